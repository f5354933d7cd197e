//! The handlers of the pages, a file for each part of the dashboard.

pub(super) mod audit;
mod authorization;
mod connect;
mod connection;
mod connection_credentials;
mod connection_delete;
mod connection_edit;
mod connection_fields;
mod connection_new;
mod connections;
pub(super) mod endpoint;
pub(super) mod hosted;
pub(super) mod identity;
pub(super) mod keys;
pub(super) mod paging;
mod present_connections;
pub(super) mod settings;
pub(super) mod sign_in;
mod uploads;
mod waiting;
pub(super) mod webhooks;

use axum::Router;

use crate::Shared;

/// The routes of all pages but the hosted ones.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .merge(sign_in::routes())
        .merge(identity::routes())
        .merge(keys::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(endpoint::routes())
        .merge(settings::routes())
        .merge(connections::routes())
        .merge(connect::routes())
        .merge(uploads::routes())
}
