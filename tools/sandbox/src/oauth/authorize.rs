//! `/oauth/authorize`: the consent page and the user's decision.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::consent::{self, Destination, Shown};
use super::parameters::{self, Parameters};
use super::redirects::{self, ParameterLocation};
use crate::api_request::{ApiRequest, ErrorResponse, HandlerResult};
use crate::app_state::AppState;
use crate::pages;
use crate::scopes::Scopes;
use crate::state::{Answer, App, Consent, GrantFlow, Page, RedirectTarget, UserId, VimeoState, grant_end};

const QUOTED_MAX_CHARACTERS: usize = 200;
const IMPLICIT_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// `GET /oauth/authorize`: shows the consent page. Until the redirect URI is validated, errors are shown on a page and
/// the browser is not redirected.
pub(crate) async fn show_page(State(app_state): State<Arc<AppState>>, request: ApiRequest) -> HandlerResult {
    let query = request.query.as_deref().unwrap_or_default();
    let asked = Parameters::of_form(query.as_bytes());
    let client_id = asked.required("client_id").map_err(wrong_link)?;
    let redirect_uri = asked.text("redirect_uri").map_err(wrong_link)?;
    let response_type = asked.text("response_type").map_err(wrong_link)?;
    let (scopes, unknown) = Scopes::requested(asked.text("scope").map_err(wrong_link)?);
    asked.text("state").map_err(wrong_link)?;

    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let found = vimeo_state.find_public_client(client_id).cloned();
    let app = found.ok_or_else(|| wrong_link(format!("No app has the client_id {}.", quoted(client_id))))?;
    let state = parameters::raw(query, "state").map(str::to_owned);
    let back = read_return(&app, redirect_uri, state)?;
    let flow = match response_type {
        Some("code") => GrantFlow::Code(back),
        Some("token") => GrantFlow::Token(back),
        Some(_) => return Err(refuse_response_type(&back, "unsupported_response_type").into()),
        None => return Err(refuse_response_type(&back, "invalid_request").into()),
    };
    Ok(show_consent(&mut vimeo_state, &app, AuthorizationRequest { scopes, unknown, flow }, now))
}

/// The redirect URI, if the app may use it.
fn read_return(
    app: &App,
    named: Option<&str>,
    state: Option<String>,
) -> Result<RedirectTarget, ErrorResponse> {
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
    Ok(RedirectTarget { redirect_uri, is_named, state })
}

/// Foreign text, quoted for a sentence.
fn quoted(text: &str) -> String {
    format!("\u{201c}{}\u{201d}", pages::presentable(text, QUOTED_MAX_CHARACTERS))
}

fn refuse_response_type(back: &RedirectTarget, error: &str) -> Response {
    let text = "The response_type must be code or token.";
    redirects::send_back(back, ParameterLocation::Query, &[("error", error), ("error_description", text)])
}

/// What an app requests from a user.
pub(super) struct AuthorizationRequest {
    pub(super) scopes: Scopes,
    /// Requested scopes that Vimeo does not have.
    pub(super) unknown: Vec<String>,
    pub(super) flow: GrantFlow,
}

/// Shows the consent page.
pub(super) fn show_consent(
    vimeo_state: &mut VimeoState,
    app: &App,
    wanted: AuthorizationRequest,
    now: Timestamp,
) -> Response {
    let AuthorizationRequest { scopes, unknown, flow } = wanted;
    let destination = match &flow {
        GrantFlow::Code(back) | GrantFlow::Token(back) => Destination::Browser(back.redirect_uri.clone()),
        GrantFlow::Device { user_code, .. } => Destination::Device(user_code.clone()),
    };
    let page = Page { app: app.id, scopes, flow, expires_at: grant_end(now) };
    let ticket = vimeo_state.add_page(page.clone(), now);
    consent::render(vimeo_state, &page, Shown { app, ticket, destination, unknown: &unknown })
}

/// `POST /oauth/authorize`: the user's decision. The request is stored under the page's ticket, so that it cannot be
/// changed in between, and no other site can decide for the user.
pub(crate) async fn answer_page(
    State(app_state): State<Arc<AppState>>,
    request: ApiRequest,
) -> HandlerResult {
    let body = request.body().map_err(|_| wrong_answer("It is longer than 1 MiB, or it was cut off."))?;
    let form = Parameters::of_body(&request.headers, body).map_err(wrong_answer)?;
    let now = app_state.now();
    let mut vimeo_state = app_state.vimeo();
    let ticket = form.required("ticket").map_err(wrong_answer)?;
    let page = vimeo_state.find_page(ticket, now).cloned().ok_or_else(old_page)?;
    let consent = read_consent(&vimeo_state, &page, &form).map_err(wrong_answer)?;
    vimeo_state.take_page(ticket);
    Ok(apply_decision(&mut vimeo_state, &page.flow, consent, now))
}

/// The consent; `None` if the user denied the request or kept no scope.
fn read_consent(vimeo_state: &VimeoState, page: &Page, form: &Parameters) -> Result<Option<Consent>, String> {
    match form.required("decision")? {
        "allow" => {}
        "deny" => return Ok(None),
        _ => return Err("The decision must be allow or deny.".to_owned()),
    }
    if form.all("scope").any(|name| !page.scopes.contains(name)) {
        return Err("It allows a scope that the app did not ask for.".to_owned());
    }
    let user = UserId::parse(form.required("user")?).and_then(|id| vimeo_state.find_user(id));
    let user = user.ok_or("There is no such user.")?.id;
    let scopes = page.scopes.kept(|name| form.all("scope").any(|kept| kept == name));
    Ok(scopes.map(|scopes| Consent { app: page.app, user, scopes }))
}

fn apply_decision(
    vimeo_state: &mut VimeoState,
    flow: &GrantFlow,
    consent: Option<Consent>,
    now: Timestamp,
) -> Response {
    let denied = [("error", "access_denied"), ("error_description", "The user denied the request.")];
    match (flow, consent) {
        (GrantFlow::Code(back), Some(consent)) => {
            let code = vimeo_state.add_code(consent, back, now);
            redirects::send_back(back, ParameterLocation::Query, &[("code", &code)])
        }
        (GrantFlow::Code(back), None) => redirects::send_back(back, ParameterLocation::Query, &denied),
        (GrantFlow::Token(back), Some(consent)) => {
            let token = vimeo_state.add_allowed_token(consent, now.checked_add(IMPLICIT_LIFETIME).ok());
            let (scope, seconds) = (token.scopes.to_string(), IMPLICIT_LIFETIME.as_secs().to_string());
            let parameters = [
                ("access_token", token.value.as_str()),
                ("token_type", "bearer"),
                ("expires_in", &seconds),
                ("scope", &scope),
            ];
            redirects::send_back(back, ParameterLocation::Fragment, &parameters)
        }
        (GrantFlow::Token(back), None) => redirects::send_back(back, ParameterLocation::Fragment, &denied),
        (GrantFlow::Device { device_code, .. }, consent) => {
            let (answer, title, text) = match consent {
                Some(consent) => {
                    (Answer::Allowed(consent), "Allowed", "Your device continues automatically.")
                }
                None => (Answer::Denied, "Denied", "Your device is notified that you denied the request."),
            };
            if !vimeo_state.answer_device(device_code, answer, now) {
                return device_gone();
            }
            pages::message(StatusCode::OK, title, &[text, "You may close this page."])
        }
    }
}

/// The link of the app is invalid.
fn wrong_link(sentence: impl Into<String>) -> ErrorResponse {
    let explanation = "The link to this page is invalid. Nothing was allowed, and the app was not notified. \
                       The developer of the app has to fix it.";
    pages::message(StatusCode::BAD_REQUEST, "This app's request is invalid", &[&sentence.into(), explanation])
        .into()
}

/// The form does not come from the page.
fn wrong_answer(sentence: impl Into<String>) -> ErrorResponse {
    let explanation = "The consent page does not send this form. Nothing was allowed.";
    pages::message(StatusCode::BAD_REQUEST, "This form is invalid", &[&sentence.into(), explanation]).into()
}

fn old_page() -> ErrorResponse {
    let sentences =
        ["It was already answered, or it expired after ten minutes.", "Go back to the app and start again."];
    pages::message(StatusCode::BAD_REQUEST, "This page has expired", &sentences).into()
}

fn device_gone() -> Response {
    let sentences = [
        "It was answered on another page, or it expired after ten minutes.",
        "Let the device show a new code and start again.",
    ];
    pages::message(StatusCode::BAD_REQUEST, "The device is no longer waiting", &sentences)
}
