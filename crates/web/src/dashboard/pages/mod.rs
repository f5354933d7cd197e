//! The handlers of the pages, a file for each part of the dashboard.

pub(super) mod audit;
pub(super) mod endpoint;
pub(super) mod identity;
pub(super) mod keys;
pub(super) mod paging;
pub(super) mod settings;
pub(super) mod sign_in;
pub(super) mod webhooks;

use axum::Router;

use crate::Shared;

/// The routes of all pages.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .merge(sign_in::routes())
        .merge(identity::routes())
        .merge(keys::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(endpoint::routes())
        .merge(settings::routes())
}
