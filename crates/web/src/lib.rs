//! HTTP in, verbs out: every route of the service, on this one screen.
//! Knows HTTP and JSON. Knows no store, no seals, and no rule of the business.
//! Invariant: every response to what is HTTP is JSON, or empty, and carries a request id; no request's value is echoed in an error.

mod answer;
mod auth;
mod body;
mod error;
mod headers;
mod health;
mod json;
mod layers;
mod leftover;
mod query;
pub mod records;
mod v1;

use std::net::SocketAddr;
use std::sync::Arc;

use app::{App, Clock};
use axum::Router;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::routing::get;

pub use error::errors_markdown;

/// How the service presents itself over HTTP.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In front of every documented path: empty, or with a slash at its beginning and none at its end.
    pub base_path: String,
    /// What to do about unknown fields that resemble no known one.
    pub unknown_fields: UnknownFields,
    /// Whose word is taken for a client's address.
    pub client_address: ClientAddress,
    /// Where request identifiers come from.
    pub request_ids: RequestIds,
}

/// What to do about unknown fields of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// Ignore them and name them in a response header.
    Report,
    /// Refuse the body.
    Refuse,
}

/// Where a client's address is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// From the connection.
    Peer,
    /// From the last entry of `X-Forwarded-For`, which the proxy in front wrote.
    ForwardedFor,
}

/// Makes request identifiers.
#[derive(Clone)]
pub struct RequestIds(Arc<dyn Fn() -> [u8; 16] + Send + Sync>);

impl RequestIds {
    /// From a source of 16 random bytes.
    pub fn from_fn(random: impl Fn() -> [u8; 16] + Send + Sync + 'static) -> Self {
        Self(Arc::new(random))
    }
}

impl std::fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestIds")
    }
}

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    app: Arc<App>,
    settings: Arc<Settings>,
    clock: Clock,
}

/// The service, for a server to run on its connections.
pub fn make_service(
    app: Arc<App>,
    settings: Settings,
    clock: Clock,
) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router(app, settings, clock).into_make_service_with_connect_info()
}

/// Every route of the service.
fn router(app: Arc<App>, settings: Settings, clock: Clock) -> Router {
    let shared = Shared { app, settings: Arc::new(settings), clock };
    let documented = Router::new()
        .route(
            "/v1/vimeo-connections",
            get(v1::connections::list_connections).post(v1::connections::create_connection),
        )
        .route(
            "/v1/vimeo-connections/{connection_id}",
            get(v1::connections::get_connection)
                .put(v1::connections::update_connection)
                .delete(v1::connections::delete_connection),
        )
        .route("/v1/whoami", get(v1::whoami::whoami));
    let service =
        Router::new().route("/health/live", get(health::live)).route("/health/ready", get(health::ready));
    let all = match shared.settings.base_path.as_str() {
        "" => service.merge(documented),
        base_path => service.nest(base_path, documented),
    };
    all.fallback(error::not_found)
        .layer(axum::middleware::from_fn_with_state(shared.clone(), layers::observe))
        .with_state(shared)
}
