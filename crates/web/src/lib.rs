//! HTTP in, verbs out: every route of the service, on this one screen.
//! Knows HTTP and JSON. Knows no store, no seals, and no rule of the business.
//! Invariant: every response to what is HTTP is JSON, or empty, and carries a request id; no request's value is echoed in an error.

mod answer;
mod auth;
mod body;
mod client_address;
mod cors;
mod docs;
mod error;
mod fields;
mod headers;
mod health;
mod host;
mod json;
mod layers;
mod leftover;
mod openapi;
mod page_key;
mod query;
pub mod records;
mod v1;

use std::net::SocketAddr;
use std::sync::Arc;

use app::{App, Clock};
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use client_address::{ClientAddress, TrustedProxies};
pub use cors::Cors;
pub use error::errors_markdown;
pub use health::CertificateCheck;
pub use v1::job::job_object;

/// How the service presents itself over HTTP.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In front of every documented path: empty, or with a slash at its beginning and none at its end.
    pub base_path: String,
    /// Whether clients reach the service by TLS of its own.
    pub transport: Transport,
    /// What to do about unknown fields that resemble no known one, in the bodies of connections.
    pub unknown_fields: UnknownFields,
    /// Whose word is taken for a client's address.
    pub client_address: ClientAddress,
    /// Which origins' pages may use the service from a browser.
    pub cors: Cors,
    /// Where request identifiers come from.
    pub request_ids: RequestIds,
    /// Checks the certificate of the listener, if it has one.
    pub certificate: Option<CertificateCheck>,
    /// Ends what would go on for long, such as streams of events, when the service is about to stop.
    pub stopping: CancellationToken,
}

/// What the service's own listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP. Where a proxy in front speaks TLS, `Strict-Transport-Security` is that proxy's to send.
    Plain,
    /// HTTP in TLS: browsers must use nothing else from now on.
    Tls,
}

/// What to do about unknown fields of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// Ignore them and name them in a response header.
    Report,
    /// Refuse the body.
    Refuse,
}

/// Marks the requests of a connection beyond the ceiling: of these only probes of health are answered.
#[derive(Debug, Clone, Copy)]
pub struct OverCapacity;

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
    /// The description of the API, as it is sent.
    openapi: Bytes,
    /// The same as a page.
    docs: Bytes,
}

/// The service, for a server to run on its connections.
pub fn make_service(
    app: Arc<App>,
    settings: Settings,
    clock: Clock,
) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router(app, settings, clock).into_make_service_with_connect_info()
}

/// The description of the API (OpenAPI 3.1, JSON), as it is with the base path that is built in.
pub fn openapi_json(base_path: &str) -> String {
    let (_, described) = routes(base_path).split_for_parts();
    // Two blanks in, and a line break at the end, as people keep such files.
    serde_json::to_string_pretty(&openapi::finish(&described)).unwrap_or_default() + "\n"
}

/// Every route of the service; each handler carries the description of its operation.
fn routes(base_path: &str) -> OpenApiRouter<Shared> {
    let documented = OpenApiRouter::default()
        .routes(routes!(v1::connections::list_connections, v1::connections::create_connection))
        .routes(routes!(
            v1::connections::get_connection,
            v1::connections::update_connection,
            v1::connections::delete_connection
        ))
        .routes(routes!(v1::uploads::create_upload))
        .routes(routes!(v1::jobs::list_jobs))
        .routes(routes!(v1::jobs::get_job, v1::jobs::cancel_job))
        .routes(routes!(v1::events::watch_job))
        .routes(routes!(v1::webhook_secrets::create_webhook_secret))
        .routes(routes!(v1::whoami::whoami));
    let service = OpenApiRouter::with_openapi(openapi::beginning())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(openapi::openapi_json))
        .routes(routes!(docs::docs_page));
    match base_path {
        "" => service.merge(documented),
        base_path => service.nest(base_path, documented),
    }
}

fn router(app: Arc<App>, settings: Settings, clock: Clock) -> Router {
    let (routes, described) = routes(&settings.base_path).split_for_parts();
    let described = openapi::finish(&described);
    let (openapi, docs) = (described.to_string().into(), docs::render(&described).into());
    let cors = settings.cors.layer();
    let shared = Shared { app, settings: Arc::new(settings), clock, openapi, docs };
    let routes = routes.fallback(error::not_found);
    let routes = match cors {
        Some(cors) => routes.layer(axum::middleware::from_fn_with_state(cors, cors::around)),
        None => routes,
    };
    routes.layer(axum::middleware::from_fn_with_state(shared.clone(), layers::observe)).with_state(shared)
}
