//! The handlers of the pages, a file for each part of the dashboard.

pub(super) mod sign_in;
mod uploads;

use axum::Router;

use crate::Shared;

/// The routes of all pages.
pub(super) fn routes() -> Router<Shared> {
    Router::new().merge(sign_in::routes()).merge(uploads::routes())
}
