//! The pages for an account's own customers, who approve a connection at Vimeo: no session, no API key, no credential.

use std::net::IpAddr;
use std::sync::Arc;

use app::{
    App, Callback, CallbackAnswer, CallbackResult, ConnectStage, ConnectView, Error, StartResult,
    VimeoAccount,
};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{any, get, post};
use domain::authorization::{Authorization, AuthorizationState, FailureReason, Flow};
use domain::secret::Secret;

use super::super::cookies::{self, Keep};
use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{html, page, percent_encode, redirect, when};
use super::super::views::authorization::DeviceCode;
use super::super::views::hosted::{
    AskPage, ConnectDevicePage, ConnectProblemPage, ConnectResultPage, ConnectWarning, HostedProblem,
    LeavePage,
};
use super::super::visit::{Guest, GuestForm};
use super::present_connections::{https_only, in_words, vimeo_link};
use super::sign_in::parameter;
use super::waiting::{self, reload};
use crate::Shared;

/// What the names of the cookies of browsers that were sent to Vimeo start with. Each start has its own.
const BINDING: &str = "__Host-connect-";
/// How many characters of the state are in its cookie's name.
const BINDING_NAME_CHARS: usize = 16;
/// Between the binding and the token of its link, in a cookie.
const BINDING_SEPARATOR: char = '~';
/// As long as a person may take.
const BINDING_SECONDS: u32 = 1_800;
/// The parameter of a link that names what went wrong before.
const PROBLEM: &str = "problem";

pub(in super::super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/connect/callback", get(callback))
        .route("/connect/{token}", get(ask))
        .route("/connect", get(incomplete))
        .route("/connect/", get(incomplete))
        .route("/connect/{token}/", any(incomplete))
        .route("/connect/{token}/{*rest}", any(incomplete))
        .route("/connect/{token}/start", post(start))
        .route("/connect/{token}/decline", post(decline))
        .route("/connect/{token}/events", get(events))
}

fn path(token: &str) -> String {
    format!("/connect/{token}")
}

/// A link that was cut off, or has something behind it.
async fn incomplete(State(shared): State<Shared>, guest: Guest) -> Result<Response, PageError> {
    unknown(&shared, &guest)
}

async fn ask(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    RawQuery(query): RawQuery,
    guest: Guest,
) -> Result<Response, PageError> {
    let Some(view) = shared.app.view_authorization(&token).await? else { return unknown(&shared, &guest) };
    let response = match &view.stage {
        ConnectStage::Open => open(&guest, &view, &token, problem_of(query.as_deref())),
        _ => closed(&guest, &view, &token),
    };
    Ok(guest.remember(response))
}

/// Whether a link has led to a connection. It works once, and the browser that used it has seen the result.
fn is_used(authorization: &Authorization) -> bool {
    let is_link = matches!(authorization.flow, Flow::Redirect);
    is_link && matches!(authorization.state, AuthorizationState::Completed { .. })
}

/// What the callback says about an attempt that can be repeated.
fn problem_of(query: Option<&str>) -> String {
    let reason = FailureReason::from_stored(&parameter(query, PROBLEM));
    let reason = reason.filter(|reason| reason.is_retryable());
    reason.map_or_else(String::new, |reason| reason.message().to_owned())
}

/// The page that asks, or shows the code to enter.
fn open(guest: &Guest, view: &ConnectView, token: &str, problem: String) -> Response {
    let href = path(token);
    let request = &view.shown.request;
    let permissions = request.scopes.iter().map(|scope| m::permission(scope).to_owned()).collect();
    let account = view.account_name.to_string();
    let connection = request.target.name().as_str().to_owned();
    let expires = when(view.shown.authorization.expires_at);
    if let Some(device) = &view.shown.device {
        let device = DeviceCode {
            code: device.user_code.expose().to_owned(),
            address: https_only(&device.activate_url),
        };
        let bare = guest.bare.clone();
        return page(&ConnectDevicePage { bare, href, account, connection, permissions, device, expires });
    }
    let is_renewal = matches!(request.target, app::AuthorizationTarget::Renew { .. });
    let bare = guest.bare.clone();
    page(&AskPage { bare, href, account, connection, permissions, expires, is_renewal, problem })
}

async fn start(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    sent: GuestForm,
) -> Result<Response, PageError> {
    let guest = &sent.guest;
    match shared.app.start_authorization(&token, guest.browser.remote).await? {
        None => unknown(&shared, guest),
        Some(StartResult::Refused(view)) => Ok(closed(guest, &view, &token)),
        Some(StartResult::Redirect { url, binding }) => {
            let bare = guest.bare.clone();
            let mut response = page(&LeavePage { bare, url: url.expose().to_owned() });
            let state = parameter(url.expose().split_once('?').map(|(_, query)| query), "state");
            let name = binding_name(&state);
            let value = format!("{}{BINDING_SEPARATOR}{token}", binding.expose());
            cookies::set(response.headers_mut(), &name, &value, Keep::Seconds(BINDING_SECONDS));
            Ok(response)
        }
    }
}

async fn decline(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    sent: GuestForm,
) -> Result<Response, PageError> {
    match shared.app.decline_authorization(&token, sent.guest.browser.remote).await? {
        None => unknown(&shared, &sent.guest),
        Some(view) => Ok(closed(&sent.guest, &view, &token)),
    }
}

/// Where Vimeo sends the browser back to.
async fn callback(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    guest: Guest,
) -> Result<Response, PageError> {
    let query = query.as_deref();
    let (state, code, error) =
        (parameter(query, "state"), parameter(query, "code"), parameter(query, "error"));
    let answer = match (code.is_empty(), error.is_empty()) {
        (_, false) => CallbackAnswer::Error(error),
        (false, true) => CallbackAnswer::Code(Secret::new(code)),
        (true, true) => return Err(PageError::BadRequest),
    };
    let (result, token) = finish(&shared.app, (&state, &answer), &headers, guest.browser.remote).await?;
    let href = token.as_deref().map_or_else(String::new, path);
    let view = match result {
        CallbackResult::InvalidState => {
            return Ok(html(StatusCode::BAD_REQUEST, &problem(&guest, HostedProblem::Unknown)));
        }
        CallbackResult::OtherBrowser => {
            return Ok(html(StatusCode::FORBIDDEN, &problem(&guest, HostedProblem::OtherBrowser)));
        }
        // The code is used up: loading the callback again would not help.
        CallbackResult::TryAgain(reason) => {
            let mut response = redirect(&format!("{href}?{PROBLEM}={}", percent_encode(reason.as_str())));
            cookies::set(response.headers_mut(), &binding_name(&state), "", Keep::Not);
            return Ok(response);
        }
        CallbackResult::View(view) => view,
    };
    let ConnectStage::Ended { return_url } = &view.stage else { return Ok(exchanging(&guest, &href)) };
    // The dashboard shows the result itself, and who declined has nothing to read.
    let is_own = |url: &String| {
        shared.settings.public_url.as_ref().is_some_and(|own| url.starts_with(&own.join("/dashboard/")))
    };
    let is_completed = matches!(view.shown.authorization.state, AuthorizationState::Completed { .. });
    match return_url {
        Some(url) if !is_completed || is_own(url) => Ok(redirect(url)),
        _ => Ok(ended(&guest, &view)),
    }
}

/// Processes the callback with the binding of this browser that belongs to the state. Returns the token of its link, too.
async fn finish(
    app: &Arc<App>,
    (state, answer): (&str, &CallbackAnswer),
    headers: &HeaderMap,
    remote: Option<IpAddr>,
) -> Result<(CallbackResult, Option<String>), Error> {
    let bound = cookies::find(headers, &binding_name(state));
    let bound = bound.and_then(|value| value.split_once(BINDING_SEPARATOR));
    let binding = bound.map(|(binding, _)| Secret::new(binding.to_owned()));
    let callback = Callback { state: Secret::new(state.to_owned()), binding, answer: answer.clone(), remote };
    let result = app.finish_authorization(callback).await?;
    Ok((result, bound.map(|(_, token)| token.to_owned())))
}

/// The name of the cookie of a start. A state is from a query: other characters than those of this service are left out.
fn binding_name(state: &str) -> String {
    let plain: Vec<_> =
        state.bytes().rev().take(BINDING_NAME_CHARS).filter(u8::is_ascii_alphanumeric).collect();
    format!("{BINDING}{}", String::from_utf8_lossy(&plain))
}

/// Sends one event when the person has decided at Vimeo.
async fn events(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    guest: Guest,
) -> Result<Response, PageError> {
    if shared.app.view_authorization(&token).await?.is_none() {
        return unknown(&shared, &guest);
    }
    let stopping = shared.settings.stopping.clone();
    Ok(waiting::stream(stopping, move || {
        let (shared, token) = (shared.clone(), token.clone());
        async move {
            match shared.app.view_authorization(&token).await {
                Ok(Some(ConnectView { stage: ConnectStage::Open, .. })) | Err(_) => None,
                Ok(_) => Some(reload()),
            }
        }
    }))
}

/// The page of an authorization that leaves the person nothing to decide, or not yet.
fn closed(guest: &Guest, view: &ConnectView, token: &str) -> Response {
    let authorization = &view.shown.authorization;
    match view.stage {
        _ if is_used(authorization) => html(StatusCode::GONE, &problem(guest, HostedProblem::Used)),
        ConnectStage::Ended { .. } => ended(guest, view),
        ConnectStage::Exchanging | ConnectStage::Open => exchanging(guest, &path(token)),
    }
}

/// How it ended.
fn ended(guest: &Guest, view: &ConnectView) -> Response {
    let ConnectStage::Ended { return_url } = &view.stage else { return exchanging(guest, "") };
    let (kind, reason) = match view.shown.authorization.state {
        AuthorizationState::Completed { .. } => return completed(guest, view, return_url.clone()),
        AuthorizationState::Denied { .. } => (HostedProblem::Denied, ""),
        AuthorizationState::Failed { reason: FailureReason::VimeoUnavailable, .. } => {
            (HostedProblem::VimeoUnavailable, "")
        }
        AuthorizationState::Failed { reason: FailureReason::Withdrawn, .. } => (HostedProblem::Withdrawn, ""),
        AuthorizationState::Failed { reason, .. } => (HostedProblem::Failed, reason.message()),
        _ => (HostedProblem::Expired, ""),
    };
    let problem = problem(guest, kind);
    page(&ConnectProblemPage { reason: reason.to_owned(), return_url: return_url.clone(), ..problem })
}

fn completed(guest: &Guest, view: &ConnectView, return_url: Option<String>) -> Response {
    let outcome = view.shown.outcome.as_ref();
    let account = outcome.and_then(|outcome| outcome.account.as_ref());
    let has_no_access = outcome.is_some_and(|outcome| outcome.has_upload_access == Some(false));
    let text = |read: fn(&VimeoAccount) -> String| account.map_or_else(String::new, read);
    page(&ConnectResultPage {
        bare: guest.bare.clone(),
        account: view.account_name.to_string(),
        vimeo_name: text(|account| account.name.clone()),
        vimeo_link: text(|account| vimeo_link(&account.uri)),
        vimeo_plan: text(|account| account.account_type.as_deref().map_or_else(String::new, in_words)),
        warnings: if has_no_access { vec![ConnectWarning::NoUploadAccess] } else { Vec::new() },
        return_url,
    })
}

fn exchanging(guest: &Guest, href: &str) -> Response {
    let problem = problem(guest, HostedProblem::InProgress);
    let retry_href = Some(href.to_owned()).filter(|href| !href.is_empty());
    page(&ConnectProblemPage { retry_href, ..problem })
}

/// No authorization has the token. Such attempts are counted for each address.
fn unknown(shared: &Shared, guest: &Guest) -> Result<Response, PageError> {
    match shared.app.refuse_key(guest.browser.remote) {
        Error::Unauthorized => Ok(html(StatusCode::NOT_FOUND, &problem(guest, HostedProblem::Unknown))),
        error => Err(error.into()),
    }
}

fn problem(guest: &Guest, problem: HostedProblem) -> ConnectProblemPage {
    let bare = guest.bare.clone();
    ConnectProblemPage { bare, problem, reason: String::new(), retry_href: None, return_url: None }
}
