//! The controls: how a test or a person tells the sandbox what to be, under `/_sandbox/` on the same port.
//! They are no part of Vimeo, need no credentials, and pass beside the journal, the faults and the rate windows.

mod apps;
mod film;
mod guard;
mod index;
mod journal;
pub(crate) mod members;
mod page;
mod tokens;
mod users;
mod videos;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post};
use serde_json::{Value, json};

use crate::body;
use crate::desk::Desk;
use crate::errors;
use crate::faults;
use crate::pages;
use index::INDEX;
use members::Members;

const PREFIX: &str = "/_sandbox";

/// Whether a path belongs to the controls, known or not.
pub(crate) fn is_control(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every control.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/_sandbox", get(front))
        .route("/_sandbox/", get(front))
        .route("/_sandbox/index.json", get(index))
        .route("/_sandbox/credentials", get(show_credentials))
        .route("/_sandbox/apps", post(apps::create).get(apps::list))
        .route("/_sandbox/apps/{number}", patch(apps::change))
        .route("/_sandbox/codes", post(apps::create_code))
        .route("/_sandbox/tokens", post(tokens::create).get(tokens::list))
        .route("/_sandbox/tokens/{fingerprint}", delete(tokens::revoke))
        .route("/_sandbox/users", get(users::list).post(users::create))
        .route("/_sandbox/users/{number}", patch(users::edit))
        .route("/_sandbox/faults", post(create_fault).get(list_faults).delete(clear_faults))
        .route("/_sandbox/faults/{id}", delete(remove_fault))
        .route("/_sandbox/journal", get(journal::show).delete(journal::clear))
        .route("/_sandbox/journal/live", get(journal::live))
        .route("/_sandbox/videos", get(videos::list))
        .route("/_sandbox/videos/{number}", get(videos::show))
        .route("/_sandbox/videos/{number}/bytes", get(videos::bytes))
        .route("/_sandbox/videos/{number}/step", post(videos::step))
        .route("/_sandbox/videos/{number}/fail", post(videos::fail))
        .route("/_sandbox/videos/{number}/expire-link", post(videos::expire_link))
        .route("/_sandbox/reset", post(reset))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(from_fn_with_state(Arc::clone(&desk), save))
        .layer(from_fn(guard::keep_strangers_out))
        // They tell nobody anything, and the pages for users need them too.
        .route("/_sandbox/assets/{name}", get(pages::asset))
        .route("/_sandbox/film.avi", get(film::show))
        .with_state(desk)
}

/// Protects the API of a sandbox on loopback from other people's web pages.
pub(crate) fn behind_own_host(api: Router) -> Router {
    api.layer(from_fn(guard::require_own_host))
}

/// What a control changed is kept before it is said to be done.
async fn save(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    desk.save().await;
    response
}

/// `GET /_sandbox/`: a page for browsers, a list for everybody else.
async fn front(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    if page::is_wanted(&headers) {
        return page::show(&desk);
    }
    let mut response = index().await;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    response
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
