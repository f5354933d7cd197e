//! `/oauth/authorize`: the browser's part, where a user is asked and answers.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::consent::{self, Destination, Shown};
use super::parameters::{self, Parameters};
use super::redirects::{self, Place};
use crate::ask::{Answered, Ask, Refusal};
use crate::desk::Desk;
use crate::pages;
use crate::scopes::Scopes;
use crate::state::{Answer, App, Consent, Page, Return, UserId, Way, World, grant_end};

const QUOTED_MAX_CHARACTERS: usize = 200;
const IMPLICIT_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// `GET /oauth/authorize`: asks the user. Until it is certain that the app may be answered there, what is wrong is
/// said on a page and nobody is sent anywhere.
pub(crate) async fn show_page(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let query = ask.query.as_deref().unwrap_or_default();
    let asked = Parameters::of_form(query.as_bytes());
    let client_id = asked.required("client_id").map_err(wrong_link)?;
    let redirect_uri = asked.text("redirect_uri").map_err(wrong_link)?;
    let response_type = asked.text("response_type").map_err(wrong_link)?;
    let (scopes, unknown) = Scopes::wished(asked.text("scope").map_err(wrong_link)?);
    asked.text("state").map_err(wrong_link)?;

    let now = desk.now();
    let mut world = desk.world();
    let found = world.find_public_client(client_id).cloned();
    let app = found.ok_or_else(|| wrong_link(format!("No app has the client_id {}.", quoted(client_id))))?;
    let state = parameters::raw(query, "state").map(str::to_owned);
    let back = read_return(&app, redirect_uri, state)?;
    let way = match response_type {
        Some("code") => Way::Code(back),
        Some("token") => Way::Token(back),
        Some(_) => return Err(refuse_response_type(&back, "unsupported_response_type").into()),
        None => return Err(refuse_response_type(&back, "invalid_request").into()),
    };
    Ok(ask_user(&mut world, &app, Wish { scopes, unknown, way }, now))
}

/// The redirect URI, if the app may have it.
fn read_return(app: &App, named: Option<&str>, state: Option<String>) -> Result<Return, Refusal> {
    let is_named = named.is_some();
    let redirect_uri = match (named, app.redirect_uris.as_slice()) {
        (Some(uri), _) if redirects::is_allowed(app, uri) => uri.to_owned(),
        (None, [only]) => only.clone(),
        (Some(uri), _) => {
            return Err(wrong_link(format!(
                "The app has not registered the redirect_uri {}. It must be the same, character for character; \
                 GET /_sandbox/apps shows what is registered.",
                quoted(uri)
            )));
        }
        (None, _) => {
            let sentence =
                "The redirect_uri parameter is missing, and the app has not registered exactly one.";
            return Err(wrong_link(sentence));
        }
    };
    Ok(Return { redirect_uri, is_named, state })
}

/// Somebody's text in a sentence about it.
fn quoted(text: &str) -> String {
    format!("\u{201c}{}\u{201d}", pages::presentable(text, QUOTED_MAX_CHARACTERS))
}

fn refuse_response_type(back: &Return, error: &str) -> Response {
    let text = "The response_type must be code or token.";
    redirects::send_back(back, Place::Query, &[("error", error), ("error_description", text)])
}

/// What an app wants of a user.
pub(super) struct Wish {
    pub(super) scopes: Scopes,
    /// What it asked for and Vimeo does not have.
    pub(super) unknown: Vec<String>,
    pub(super) way: Way,
}

/// Asks the user.
pub(super) fn ask_user(world: &mut World, app: &App, wish: Wish, now: Timestamp) -> Response {
    let Wish { scopes, unknown, way } = wish;
    let destination = match &way {
        Way::Code(back) | Way::Token(back) => Destination::Browser(back.redirect_uri.clone()),
        Way::Device { user_code, .. } => Destination::Device(user_code.clone()),
    };
    let page = Page { app: app.id, scopes, way, expires_at: grant_end(now) };
    let ticket = world.add_page(page.clone(), now);
    consent::render(world, &page, Shown { app, ticket, destination, unknown: &unknown })
}

/// `POST /oauth/authorize`: what the user said. All that was asked is kept here under the page's ticket, so that
/// nothing of it can be changed on the way, and no other site can answer for the user.
pub(crate) async fn answer_page(State(desk): State<Arc<Desk>>, ask: Ask) -> Answered {
    let body = ask.body().map_err(|_| wrong_answer("It is longer than 1 MiB, or it was cut short."))?;
    let form = Parameters::of_body(&ask.headers, body).map_err(wrong_answer)?;
    let now = desk.now();
    let mut world = desk.world();
    let ticket = form.required("ticket").map_err(wrong_answer)?;
    let page = world.find_page(ticket, now).cloned().ok_or_else(old_page)?;
    let consent = read_consent(&world, &page, &form).map_err(wrong_answer)?;
    world.take_page(ticket);
    Ok(conclude(&mut world, &page.way, consent, now))
}

/// What was allowed; nothing, if the user said no, or yes to nothing.
fn read_consent(world: &World, page: &Page, form: &Parameters) -> Result<Option<Consent>, String> {
    match form.required("decision")? {
        "allow" => {}
        "deny" => return Ok(None),
        _ => return Err("The decision must be allow or deny.".to_owned()),
    }
    if form.all("scope").any(|name| !page.scopes.contains(name)) {
        return Err("It allows a scope that the app did not ask for.".to_owned());
    }
    let user = UserId::parse(form.required("user")?).and_then(|id| world.find_user(id));
    let user = user.ok_or("There is no such user.")?.id;
    let scopes = page.scopes.kept(|name| form.all("scope").any(|kept| kept == name));
    Ok(scopes.map(|scopes| Consent { app: page.app, user, scopes }))
}

fn conclude(world: &mut World, way: &Way, consent: Option<Consent>, now: Timestamp) -> Response {
    let denied = [("error", "access_denied"), ("error_description", "The user denied the request.")];
    match (way, consent) {
        (Way::Code(back), Some(consent)) => {
            let code = world.add_code(consent, back, now);
            redirects::send_back(back, Place::Query, &[("code", &code)])
        }
        (Way::Code(back), None) => redirects::send_back(back, Place::Query, &denied),
        (Way::Token(back), Some(consent)) => {
            let token = world.add_allowed_token(consent, now.checked_add(IMPLICIT_LIFETIME).ok());
            let (scope, seconds) = (token.scopes.to_string(), IMPLICIT_LIFETIME.as_secs().to_string());
            let parameters = [
                ("access_token", token.value.as_str()),
                ("token_type", "bearer"),
                ("expires_in", &seconds),
                ("scope", &scope),
            ];
            redirects::send_back(back, Place::Fragment, &parameters)
        }
        (Way::Token(back), None) => redirects::send_back(back, Place::Fragment, &denied),
        (Way::Device { device_code, .. }, consent) => {
            let (answer, title, text) = match consent {
                Some(consent) => (Answer::Allowed(consent), "Allowed", "Your device goes on by itself."),
                None => (Answer::Denied, "Denied", "Your device is told that you said no."),
            };
            if !world.answer_device(device_code, answer, now) {
                return device_gone();
            }
            pages::message(StatusCode::OK, title, &[text, "You may close this page."])
        }
    }
}

/// The link that an app sent its user to is not one that can be followed.
fn wrong_link(sentence: impl Into<String>) -> Refusal {
    let explanation = "The link that brought you here is wrong. Nothing was allowed, and nobody was told. The maker \
                       of the app has to mend it.";
    pages::message(StatusCode::BAD_REQUEST, "This app cannot ask you", &[&sentence.into(), explanation])
        .into()
}

/// What came is no answer that the page gives.
fn wrong_answer(sentence: impl Into<String>) -> Refusal {
    let explanation = "The page that asks you gives no such answer. Nothing was allowed.";
    pages::message(StatusCode::BAD_REQUEST, "This is no answer", &[&sentence.into(), explanation]).into()
}

fn old_page() -> Refusal {
    let sentences = [
        "It was answered already, or it waited longer than ten minutes.",
        "Go back to the app and begin again.",
    ];
    pages::message(StatusCode::BAD_REQUEST, "This page is used up", &sentences).into()
}

fn device_gone() -> Response {
    let sentences = [
        "It was answered on another page, or it waited longer than ten minutes.",
        "Let the device show a new code and begin again.",
    ];
    pages::message(StatusCode::BAD_REQUEST, "The device does not wait any more", &sentences)
}
