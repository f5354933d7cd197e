//! The handlers of the pages, a file for each part of the dashboard.

mod connection;
mod connection_credentials;
mod connection_delete;
mod connection_edit;
mod connection_fields;
mod connection_new;
mod connections;
mod present_activity;
mod present_connections;
pub(super) mod sign_in;

use axum::Router;

use crate::Shared;

/// The routes of all pages.
pub(super) fn routes() -> Router<Shared> {
    Router::new().merge(sign_in::routes()).merge(connections::routes())
}
