//! The dashboard: pages for people, at `/dashboard`. Every page works without scripts; with scripts, parts of it are replaced.
//! Handlers call the same operations as the API. What a page shows is a struct in `views`, and all its text is in `messages`.

mod assets;
mod browser_names;
mod cookies;
mod errors;
mod form;
mod messages;
mod pages;
mod present_audit;
mod respond;
mod security;
mod views;
mod visit;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::ACCEPT;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::{Shared, error};

pub use pages::settings::sign_in_path;

/// Settings of the dashboard.
#[derive(Debug, Clone)]
pub struct DashboardSettings {
    /// Whether the dashboard is served. The pages for an account's own customers always are.
    pub is_enabled: bool,
    /// Where browsers may send the bytes of uploads: sources as in a content security policy.
    pub upload_sources: Vec<String>,
}

/// Every path that has no route. A browser that opens `/` is sent to the dashboard; for clients of the API nothing is there.
pub(crate) async fn not_found(State(shared): State<Shared>, request: Request) -> Response {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_browser = request.method() == Method::GET && accepted.contains("text/html");
    if is_browser && request.uri().path() == "/" && shared.settings.dashboard.is_enabled {
        return pages::sign_in::start_page().await;
    }
    error::not_found(&shared, request.uri()).into_response()
}

/// All pages: those of the dashboard, if it is enabled, and the hosted ones.
pub(crate) fn routes(shared: &Shared) -> Router<Shared> {
    let dashboard = Router::new()
        .route("/dashboard", get(pages::sign_in::start_page))
        .route("/dashboard/", get(pages::sign_in::start_page))
        .merge(pages::routes())
        .route("/dashboard/{*path}", get(errors::no_such_page));
    let hosted = pages::hosted::routes();
    let pages = if shared.settings.dashboard.is_enabled { hosted.merge(dashboard) } else { hosted };
    let around = axum::middleware::from_fn_with_state(shared.clone(), security::around);
    pages
        .method_not_allowed_fallback(errors::no_such_method)
        .layer(around)
        .route("/dashboard/assets/{name}", get(assets::asset))
}
