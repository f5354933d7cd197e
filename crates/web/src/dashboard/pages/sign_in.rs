//! Signing in, confirming an identity, signing out.

use app::{Error, SessionError, ShownLink, SignedIn, StartedSession};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use domain::api_key::PlainKey;
use domain::session::SignInMethod;

use super::super::cookies::{self, Keep};
use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{html, local_path, page, percent_encode, redirect, rejected};
use super::super::views::parts::Errors;
use super::super::views::problem::ConfirmPage;
use super::super::views::shell::Section;
use super::super::views::sign_in::{SignInLinkPage, SignInLinkProblemPage, SignInNotice, SignInPage};
use super::super::visit::{Guest, GuestForm, Submission, Visit, find_person, role_text};
use crate::Shared;
use crate::error::Problem;

/// The page that is shown after a sign-in.
pub(super) const START: &str = "/dashboard/connections";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/sign-in", get(sign_in_page).post(sign_in))
        .route("/dashboard/sign-in/link/{token}", get(link_page).post(use_link))
        .route("/dashboard/sign-out", post(sign_out))
        .route("/dashboard/confirm", get(confirm_page).post(confirm))
}

/// `/` and `/dashboard`.
pub(in super::super) async fn start_page() -> Response {
    redirect(START)
}

async fn sign_in_page(State(shared): State<Shared>, RawQuery(query): RawQuery, guest: Guest) -> Response {
    let next = parameter(query.as_deref(), "next");
    let next = local_path(&next).unwrap_or_default().to_owned();
    let notice = match &*parameter(query.as_deref(), "notice") {
        "signed-out" => Some(SignInNotice::SignedOut),
        "ended" => Some(SignInNotice::Ended),
        _ => (!next.is_empty()).then_some(SignInNotice::Required),
    };
    let response = page(&sign_in_view(&shared, &guest, (notice, next), Errors::default()));
    guest.remember(response)
}

async fn sign_in(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: GuestForm,
) -> Result<Response, PageError> {
    let GuestForm { guest, form } = sent;
    let next = local_path(form.text("next")).unwrap_or_default().to_owned();
    let started = match PlainKey::parse(form.text("key")) {
        Ok(key) => shared.app.sign_in_with_key(&key, &guest.browser).await,
        Err(_) => Err(match shared.app.refuse_key(guest.browser.remote) {
            Error::Unauthorized => SessionError::KeyRefused,
            error => error.into(),
        }),
    };
    let errors = match started {
        Ok(started) => {
            end_session_before(&shared, &headers, &guest).await;
            return Ok(with_session(redirect(target(&next)), &started));
        }
        Err(error) => key_errors(error)?,
    };
    Ok(guest.remember(rejected(&sign_in_view(&shared, &guest, (None, next), errors))))
}

fn sign_in_view(
    shared: &Shared,
    guest: &Guest,
    (notice, next): (Option<SignInNotice>, String),
    errors: Errors,
) -> SignInPage {
    let provider = shared.app.identity_provider().map(str::to_owned);
    let next_encoded = percent_encode(&next);
    SignInPage { bare: guest.bare.clone(), notice, errors, provider, next, next_encoded }
}

async fn link_page(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    guest: Guest,
) -> Result<Response, PageError> {
    let ShownLink { account, person, role, .. } =
        match shared.app.show_sign_in_link(&token, guest.browser.remote).await {
            Ok(link) => link,
            Err(error) => return refused_link(&guest, error),
        };
    let view = SignInLinkPage {
        bare: guest.bare.clone(),
        action: guest.path.clone(),
        account: account.to_string(),
        person: person.to_string(),
        role: role_text(role).to_owned(),
    };
    Ok(guest.remember(page(&view)))
}

async fn use_link(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    headers: HeaderMap,
    sent: GuestForm,
) -> Result<Response, PageError> {
    match shared.app.use_sign_in_link(&token, &sent.guest.browser).await {
        Ok(started) => {
            end_session_before(&shared, &headers, &sent.guest).await;
            Ok(with_session(redirect(START), &started))
        }
        Err(error) => refused_link(&sent.guest, error),
    }
}

/// The same page for every link that does not work: it says nothing to those who guess.
fn refused_link(guest: &Guest, error: SessionError) -> Result<Response, PageError> {
    match error {
        SessionError::LinkRefused => {
            let view = SignInLinkProblemPage { bare: guest.bare.clone() };
            Ok(html(StatusCode::NOT_FOUND, &view))
        }
        error => Err(error.into()),
    }
}

async fn sign_out(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    shared.app.sign_out(&sent.visit.person).await?;
    let mut response = redirect("/dashboard/sign-in?notice=signed-out");
    cookies::set(response.headers_mut(), cookies::SESSION, "", Keep::Not);
    // What the browser keeps of pages that were visited.
    let header = axum::http::HeaderValue::from_static("\"cache\"");
    response.headers_mut().insert("clear-site-data", header);
    Ok(response)
}

async fn confirm_page(State(shared): State<Shared>, RawQuery(query): RawQuery, visit: Visit) -> Response {
    let next = parameter(query.as_deref(), "next");
    page(&confirm_view(&shared, &visit, &next, Errors::default()))
}

async fn confirm(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let next = sent.form.text("next").to_owned();
    let person = &sent.visit.person;
    let confirmed = match PlainKey::parse(sent.form.text("key")) {
        Ok(key) => shared.app.confirm_session(person, &key, &sent.browser).await,
        Err(_) => Err(match shared.app.refuse_key(sent.browser.remote) {
            Error::Unauthorized => SessionError::KeyRefused,
            error => error.into(),
        }),
    };
    match confirmed {
        Ok(started) => Ok(with_session(redirect(target(&next)), &started)),
        Err(error) => Ok(rejected(&confirm_view(&shared, &sent.visit, &next, key_errors(error)?))),
    }
}

fn confirm_view(shared: &Shared, visit: &Visit, next: &str, errors: Errors) -> ConfirmPage {
    let is_identified = visit.person.session.method == SignInMethod::Oidc;
    let provider = shared.app.identity_provider().filter(|_| is_identified).map(str::to_owned);
    let next = target(next).to_owned();
    ConfirmPage {
        shell: visit.shell(Section::Settings),
        next_encoded: percent_encode(&next),
        next,
        cancel_href: START.to_owned(),
        provider,
        has_used_link: visit.person.session.method == SignInMethod::Link,
        errors,
    }
}

/// What the form for a key says about an error.
fn key_errors(error: SessionError) -> Result<Errors, PageError> {
    let mut errors = Errors::default();
    match error {
        SessionError::KeyRefused => errors.add("key", m::ERROR_KEY_UNKNOWN),
        SessionError::Other(Error::TooManyFailedKeys(_)) => {
            m::ERROR_TOO_MANY_SIGN_INS.clone_into(&mut errors.general);
        }
        SessionError::Other(error) => return Err(Problem::from(error).into()),
        error => return Err(error.into()),
    }
    Ok(errors)
}

pub(super) fn target(next: &str) -> &str {
    local_path(next).unwrap_or(START)
}

/// Ends the session that a browser had when it signed in again: no one could use it any more, or end it.
async fn end_session_before(shared: &Shared, headers: &HeaderMap, guest: &Guest) {
    match find_person(headers, guest.browser.remote, shared).await {
        Ok(Some(person)) => end(shared, &person).await,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(?error, "the session before was not found although its browser signed in again");
        }
    }
}

/// Ends a session that is left behind. If that fails, it ends when it is idle.
pub(super) async fn end(shared: &Shared, person: &SignedIn) {
    if let Err(error) = shared.app.sign_out(person).await {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "a session was not ended although its browser signed in again");
    }
}

/// Adds the cookie of a session. It ends with the browser, or when the service says so.
pub(super) fn with_session(mut response: Response, started: &StartedSession) -> Response {
    cookies::set(response.headers_mut(), cookies::SESSION, started.token.expose(), Keep::Session);
    cookies::set(response.headers_mut(), cookies::FORM, "", Keep::Not);
    response
}

/// A parameter of a query; empty if it is absent.
pub(in super::super) fn parameter(query: Option<&str>, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(found, _)| found == name).map_or_else(String::new, |(_, value)| value.into_owned())
}
