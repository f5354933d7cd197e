//! The controls under `/_sandbox/` on the same port, with which a test or a person sets up the sandbox. They are not
//! part of Vimeo's API, need no credentials, and bypass the journal, the faults and the rate limits.

mod apps;
mod film;
mod guard;
mod index;
mod journal;
pub(crate) mod members;
mod page;
mod publication;
mod settings;
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

use crate::app_state::AppState;
use crate::body;
use crate::errors;
use crate::faults;
use crate::pages;
use index::INDEX;
use members::Members;

const PREFIX: &str = "/_sandbox";

/// Whether a path is below that of the controls, even if there is no such control.
pub(crate) fn is_control(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The router of all controls.
pub(crate) fn router(app_state: Arc<AppState>) -> Router {
    Router::new()
        .route("/_sandbox", get(front))
        .route("/_sandbox/", get(front))
        .route("/_sandbox/index.json", get(index))
        .route("/_sandbox/credentials", get(show_credentials))
        .route("/_sandbox/apps", post(apps::create).get(apps::list))
        .route("/_sandbox/apps/{number}", patch(apps::change))
        .route("/_sandbox/codes", post(apps::create_code))
        .route("/_sandbox/tokens", post(tokens::create).get(tokens::list))
        .route(
            "/_sandbox/tokens/{fingerprint}",
            get(tokens::show).patch(tokens::change).delete(tokens::revoke),
        )
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
        .route("/_sandbox/settings", get(settings::show).patch(settings::change))
        .route("/_sandbox/reset", post(reset))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown)
        .layer(from_fn_with_state(Arc::clone(&app_state), save))
        .layer(from_fn(guard::require_same_origin))
        // They reveal nothing, and the consent page needs them too.
        .route("/_sandbox/assets/{name}", get(pages::asset))
        .route("/_sandbox/film.avi", get(film::show))
        .with_state(app_state)
}

/// Protects the API of a sandbox on loopback from web pages of other sites.
pub(crate) fn require_own_host(api: Router) -> Router {
    api.layer(from_fn(guard::require_own_host))
}

/// Saves what a control has changed before its response is sent.
async fn save(State(app_state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    app_state.save().await;
    response
}

/// `GET /_sandbox/`: a page for browsers, a JSON list for other clients.
async fn front(State(app_state): State<Arc<AppState>>, headers: HeaderMap) -> Response {
    if page::is_wanted(&headers) {
        return page::show(&app_state);
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
    json_response(StatusCode::OK, &json!({"controls": controls}))
}

async fn show_credentials(State(app_state): State<Arc<AppState>>) -> Response {
    let first = app_state.first_credentials();
    let shown = json!({
        "client_id": first.client_id,
        "client_secret": first.client_secret,
        "access_token": first.access_token,
    });
    json_response(StatusCode::OK, &shown)
}

async fn create_fault(State(app_state): State<Arc<AppState>>, body: Body) -> Response {
    match members(body).await.and_then(faults::read) {
        Ok(fault) => {
            let now = app_state.now();
            let shown = app_state.faults().add(fault, now);
            json_response(StatusCode::CREATED, &shown)
        }
        Err(sentence) => error_response(StatusCode::BAD_REQUEST, &sentence),
    }
}

async fn list_faults(State(app_state): State<Arc<AppState>>) -> Response {
    let now = app_state.now();
    let shown = app_state.faults().show(now);
    json_response(StatusCode::OK, &shown)
}

async fn clear_faults(State(app_state): State<Arc<AppState>>) -> Response {
    app_state.faults().clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn remove_fault(State(app_state): State<Arc<AppState>>, Path(id): Path<String>) -> Response {
    if app_state.faults().remove(&id) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        error_response(
            StatusCode::NOT_FOUND,
            "There is no such fault, or it has already happened as often as requested.",
        )
    }
}

async fn reset(State(app_state): State<Arc<AppState>>) -> Response {
    app_state.reset();
    StatusCode::NO_CONTENT.into_response()
}

async fn unknown() -> Response {
    error_response(StatusCode::NOT_FOUND, "There is no such control; GET /_sandbox/ lists them.")
}

async fn wrong_method() -> Response {
    let sentence = "This control has no such method; GET /_sandbox/ lists what there is.";
    error_response(StatusCode::METHOD_NOT_ALLOWED, sentence)
}

async fn members(body: Body) -> Result<Members, String> {
    let bytes = body::read(body)
        .await
        .map_err(|_| "The body is longer than 1 MiB, or it was cut short.".to_owned())?;
    Members::read(&bytes)
}

fn json_response(status: StatusCode, shown: &Value) -> Response {
    let mut response = errors::answer(status, "application/json", shown);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn error_response(status: StatusCode, sentence: &str) -> Response {
    json_response(status, &json!({"error": sentence}))
}
