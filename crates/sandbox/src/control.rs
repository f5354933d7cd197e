//! The controls: how a test or a person tells the sandbox what to be, under `/_sandbox/` on the same port.
//! They are no part of Vimeo, need no credentials, and pass beside the journal, the faults and the rate windows.

mod journal;
pub(crate) mod members;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use serde_json::{Value, json};

use crate::body;
use crate::desk::Desk;
use crate::errors;
use crate::faults;
use crate::state::NewApp;
use members::Members;

const PREFIX: &str = "/_sandbox";

/// Every control, and what its body takes.
const INDEX: [(&str, &str, &str); 15] = [
    ("GET", "/_sandbox/", "This list."),
    (
        "POST",
        "/_sandbox/apps",
        "Makes an app: {\"name\"?, \"upload_access\"? (true), \"redirect_uris\"? ([])}. Answers with its credentials.",
    ),
    (
        "POST",
        "/_sandbox/tokens",
        "Makes a token: {\"app\": client id or \"/apps/N\", \"scopes\"? (all): [\"public\", ...] or \"public private\", \
         \"user\"? (true): true for the app's owner, {\"name\"} for somebody new, false or null for nobody}.",
    ),
    ("GET", "/_sandbox/tokens", "Lists every token by fingerprint: whose, where from, revoked or not."),
    ("DELETE", "/_sandbox/tokens/{fingerprint}", "Revokes a token."),
    (
        "POST",
        "/_sandbox/faults",
        "Makes a fault: {\"route\": \"GET /me\", \"/videos/{video}\", \"/videos/*\" or \"*\", \"kind\", \"times\"? (1; 0 or \
         \"always\"), \"after\"? (0), \"every\"?, \"probability\"?, \"seed\"? (0), \"in_seconds\"?, \"for_seconds\"?, and what \
         its kind takes}: status {status, body?, content_type?, headers?}, delay {millis}, hold, cut, cut-after, \
         cut-during {bytes}, late {millis}, outage, reset, truncate, html {status?}, rate-limit {reset_seconds?, \
         spend?}, wrong-json {body?}, empty {status?}, huge {bytes?}, garbage, drip {millis, bytes?}, \
         slow-body {bytes_per_second}, odd-headers {style}, wrong-length {by}, redirect {location, status?}, \
         list-lag {seconds}, expired-link {status?}, outcome {status, error?}.",
    ),
    ("GET", "/_sandbox/faults", "Lists the faults that are still to happen."),
    ("DELETE", "/_sandbox/faults", "Removes every fault."),
    ("DELETE", "/_sandbox/faults/{id}", "Removes one fault."),
    (
        "GET",
        "/_sandbox/journal",
        "Shows the last 10,000 requests and how many connections brought them; ?after=N&route=GET /me&limit=N.",
    ),
    ("GET", "/_sandbox/journal/live", "Goes on to show them as they come, as server-sent events; ?after=N."),
    ("DELETE", "/_sandbox/journal", "Empties the journal."),
    ("GET", "/_sandbox/credentials", "Shows the first app's credentials again."),
    (
        "POST",
        "/_sandbox/reset",
        "Puts everything back as it was at the start, with the same first credentials.",
    ),
    ("GET", "/_sandbox", "The same list."),
];

/// Whether a path belongs to the controls, known or not.
pub(crate) fn is_control(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every control.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/_sandbox", get(index))
        .route("/_sandbox/", get(index))
        .route("/_sandbox/credentials", get(show_credentials))
        .route("/_sandbox/apps", post(create_app))
        .route("/_sandbox/tokens", post(tokens::create).get(tokens::list))
        .route("/_sandbox/tokens/{fingerprint}", delete(tokens::revoke))
        .route("/_sandbox/faults", post(create_fault).get(list_faults).delete(clear_faults))
        .route("/_sandbox/faults/{id}", delete(remove_fault))
        .route("/_sandbox/journal", get(journal::show).delete(journal::clear))
        .route("/_sandbox/journal/live", get(journal::live))
        .route("/_sandbox/reset", post(reset))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .with_state(desk)
}

async fn index() -> Response {
    let controls: Vec<Value> = INDEX
        .iter()
        .map(|(method, path, does)| json!({"method": method, "path": path, "does": does}))
        .collect();
    done(StatusCode::OK, &json!({"controls": controls}))
}

async fn show_credentials(State(desk): State<Arc<Desk>>) -> Response {
    let first = desk.first_credentials();
    let shown = json!({
        "client_id": first.client_id,
        "client_secret": first.client_secret,
        "access_token": first.access_token,
    });
    done(StatusCode::OK, &shown)
}

async fn create_app(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    let read = members(body).await.and_then(|mut members| {
        members.refuse_unknown("an app", &["name", "upload_access", "redirect_uris"])?;
        let redirect_uris = members.texts("redirect_uris")?.unwrap_or_default();
        Ok((members.text("name")?, members.truth("upload_access")?, redirect_uris))
    });
    let (name, upload_access, redirect_uris) = match read {
        Ok(read) => read,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let app = desk.world().add_app(NewApp {
        name: name.unwrap_or_else(|| "Another App".to_owned()),
        has_upload_access: upload_access.unwrap_or(true),
        redirect_uris,
    });
    let shown = json!({
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "name": app.name,
        "uri": app.id.to_string(),
        "upload_access": app.has_upload_access,
        "redirect_uris": app.redirect_uris,
    });
    done(StatusCode::CREATED, &shown)
}

async fn create_fault(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    match members(body).await.and_then(faults::read) {
        Ok(fault) => {
            let now = desk.now();
            let shown = desk.faults().add(fault, now);
            done(StatusCode::CREATED, &shown)
        }
        Err(sentence) => refused(StatusCode::BAD_REQUEST, &sentence),
    }
}

async fn list_faults(State(desk): State<Arc<Desk>>) -> Response {
    let now = desk.now();
    let shown = desk.faults().show(now);
    done(StatusCode::OK, &shown)
}

async fn clear_faults(State(desk): State<Arc<Desk>>) -> Response {
    desk.faults().clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn remove_fault(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    if desk.faults().remove(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        refused(StatusCode::NOT_FOUND, "There is no such fault, or it has happened as often as it was to.")
    }
}

async fn reset(State(desk): State<Arc<Desk>>) -> Response {
    desk.reset();
    StatusCode::NO_CONTENT.into_response()
}

async fn unknown() -> Response {
    refused(StatusCode::NOT_FOUND, "There is no such control; GET /_sandbox/ lists them.")
}

async fn wrong_method() -> Response {
    let sentence = "This control has no such method; GET /_sandbox/ lists what there is.";
    refused(StatusCode::METHOD_NOT_ALLOWED, sentence)
}

async fn members(body: Body) -> Result<Members, String> {
    let bytes = body::read(body)
        .await
        .map_err(|_| "The body is longer than 1 MiB, or it was cut short.".to_owned())?;
    Members::read(&bytes)
}

fn done(status: StatusCode, shown: &Value) -> Response {
    let mut response = errors::answer(status, "application/json", shown);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refused(status: StatusCode, sentence: &str) -> Response {
    done(status, &json!({"error": sentence}))
}
