//! The HTTP adapter: routes, handlers, JSON, errors and the API description.
//! Knows HTTP and JSON. Knows nothing of the store, of encryption, or of business rules.
//! Invariant: every response of the API to a valid HTTP request is JSON or empty, and has a request ID; no value of a request
//! is echoed in an error. Pages for people are HTML (`dashboard`).

mod access;
mod auth;
mod body;
mod body_drain;
mod client_address;
pub mod connection_json;
mod cors;
mod dashboard;
mod docs;
mod error;
mod event_stream;
mod fields;
mod gate;
mod headers;
mod health;
mod host;
mod json;
mod layers;
mod live;
mod metrics_page;
mod openapi;
mod page_key;
mod query;
mod rate_headers;
mod replay;
pub mod upload_json;
mod v1;

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use app::{App, Clock, PublicUrl};
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::http::HeaderMap;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use access::AccessTable;
use gate::Gate;

pub use client_address::{ClientAddress, TrustedProxies};
pub use cors::Cors;
pub use dashboard::{DashboardSettings, sign_in_path};
pub use error::errors_markdown;
pub use gate::ConcurrencyLimits;
pub use health::CertificateCheck;
pub use live::Live;
pub use metrics_page::{MetricsPage, make_metrics_service};
pub use v1::api_key::api_key_object;
pub use v1::audit::audit_event_object;
pub use v1::job::job_object;
pub use v1::webhook_deliveries::webhook_delivery_object;
pub use v1::webhook_event::PRESENTER;

/// Settings of the HTTP API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Prefix of all documented paths: empty, or with a leading slash and without a trailing one.
    pub base_path: String,
    /// The origin at which browsers reach the service, if it is known.
    pub public_url: Option<PublicUrl>,
    /// The pages for people.
    pub dashboard: DashboardSettings,
    /// Whether the service terminates TLS itself.
    pub transport: Transport,
    /// How to treat unknown fields of connections that do not resemble a known field.
    pub unknown_fields: UnknownFields,
    /// How to determine a client's address.
    pub client_address: Live<ClientAddress>,
    /// How many requests may be in progress at once.
    pub concurrency: Live<ConcurrencyLimits>,
    /// Which origins may use the service from a browser.
    pub cors: Cors,
    /// Generates request IDs.
    pub request_ids: RequestIds,
    /// Starts the spans of traces.
    pub request_spans: RequestSpans,
    /// Checks the certificate of the listener, if it has one.
    pub certificate: Option<CertificateCheck>,
    /// Cancelled at shutdown; ends long responses such as event streams.
    pub stopping: CancellationToken,
}

/// The protocol of the service's listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP. If a proxy terminates TLS, it is responsible for `Strict-Transport-Security`.
    Plain,
    /// HTTPS: browsers must use nothing else from then on.
    Tls,
}

/// How to treat unknown fields of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownFields {
    /// Ignore them and name them in a response header.
    Ignore,
    /// Reject the body.
    Reject,
}

/// Marks requests on a connection above the connection limit. Only health probes are answered.
#[derive(Debug, Clone, Copy)]
pub struct OverCapacity;

/// Marks the response to a request beyond a rate, or that was refused because the service has too many.
#[derive(Debug, Clone, Copy)]
pub struct LimitExceeded;

/// Generates request IDs.
#[derive(Clone)]
pub struct RequestIds(Arc<dyn Fn() -> [u8; 16] + Send + Sync>);

impl RequestIds {
    /// Uses a source of 16 random bytes.
    pub fn from_fn(random: impl Fn() -> [u8; 16] + Send + Sync + 'static) -> Self {
        Self(Arc::new(random))
    }
}

impl std::fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestIds")
    }
}

/// Starts the span of a request in a trace. It is disabled if traces are not exported.
#[derive(Clone)]
pub struct RequestSpans(Arc<StartSpan>);

type StartSpan = dyn Fn(&HeaderMap, &str, &str) -> Span + Send + Sync;

impl RequestSpans {
    /// Uses this function of the headers, the method and the route. The fields `otel.status_code`, `http.response.status_code`
    /// and `request_id` are recorded when they are known.
    pub fn from_fn(start: impl Fn(&HeaderMap, &str, &str) -> Span + Send + Sync + 'static) -> Self {
        Self(Arc::new(start))
    }
}

impl std::fmt::Debug for RequestSpans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestSpans")
    }
}

/// State shared by the handlers. One reference, because each request clones it several times.
#[derive(Clone)]
struct Shared(Arc<SharedState>);

struct SharedState {
    app: Arc<App>,
    settings: Settings,
    clock: Clock,
    /// What each route needs of its caller.
    access: AccessTable,
    gate: Gate,
    /// The OpenAPI document, serialised.
    openapi: Bytes,
    /// The documentation page.
    docs: Bytes,
}

impl Deref for Shared {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

/// Creates the service for a server.
pub fn make_service(
    app: Arc<App>,
    settings: Settings,
    clock: Clock,
) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    router(app, settings, clock).into_make_service_with_connect_info()
}

/// The OpenAPI 3.1 document as JSON, with this base path.
pub fn openapi_json(base_path: &str) -> String {
    let (_, described) = routes(base_path).split_for_parts();
    // Indented by two spaces, with a final newline.
    serde_json::to_string_pretty(&openapi::finish(&described)).unwrap_or_default() + "\n"
}

/// All routes. Each handler contains the description of its operation.
fn routes(base_path: &str) -> OpenApiRouter<Shared> {
    let documented = OpenApiRouter::default()
        .routes(routes!(v1::connections::list_connections, v1::connections::create_connection))
        .routes(routes!(
            v1::connections::get_connection,
            v1::connections::update_connection,
            v1::connections::delete_connection
        ))
        .routes(routes!(v1::authorizations::list_authorizations, v1::authorizations::create_authorization))
        .routes(routes!(v1::authorizations::get_authorization, v1::authorizations::withdraw_authorization))
        .routes(routes!(v1::connection_health::get_connection_health))
        .routes(routes!(v1::connection_health::verify_connection))
        .routes(routes!(v1::uploads::create_upload))
        .routes(routes!(v1::jobs::list_jobs))
        .routes(routes!(v1::jobs::get_job, v1::jobs::update_job, v1::jobs::cancel_job))
        .routes(routes!(v1::jobs::retry_job))
        .routes(routes!(v1::events::watch_job))
        .routes(routes!(v1::audit::list_audit_events))
        .routes(routes!(v1::audit::export_audit_events))
        .routes(routes!(v1::webhook_secrets::create_webhook_secret))
        .routes(routes!(
            v1::webhook_endpoints::list_webhook_endpoints,
            v1::webhook_endpoints::create_webhook_endpoint
        ))
        .routes(routes!(
            v1::webhook_endpoints::get_webhook_endpoint,
            v1::webhook_endpoints::update_webhook_endpoint,
            v1::webhook_endpoints::delete_webhook_endpoint
        ))
        .routes(routes!(v1::webhook_endpoints::rotate_webhook_endpoint_secret))
        .routes(routes!(v1::webhook_endpoints::test_webhook_endpoint))
        .routes(routes!(v1::webhook_deliveries::list_webhook_endpoint_deliveries))
        .routes(routes!(v1::webhook_deliveries::list_webhook_deliveries))
        .routes(routes!(v1::webhook_deliveries::redeliver_webhook))
        .routes(routes!(v1::whoami::whoami))
        .routes(routes!(v1::api_keys::list_api_keys, v1::api_keys::create_api_key))
        .routes(routes!(
            v1::api_keys::get_api_key,
            v1::api_keys::rename_api_key,
            v1::api_keys::revoke_api_key
        ))
        .routes(routes!(v1::api_keys::rotate_api_key));
    let service = OpenApiRouter::with_openapi(openapi::base())
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
    let access = AccessTable::of(&described);
    let (openapi, docs) = (described.to_string().into(), docs::render(&described).into());
    let cors = settings.cors.layer();
    let gate = Gate::new(settings.concurrency.clone());
    let shared = Shared(Arc::new(SharedState { app, settings, clock, access, gate, openapi, docs }));
    let routes = routes.merge(dashboard::routes(&shared)).fallback(dashboard::not_found);
    let routes = match cors {
        Some(cors) => routes.layer(axum::middleware::from_fn_with_state(cors, cors::around)),
        None => routes,
    };
    routes.layer(axum::middleware::from_fn_with_state(shared.clone(), layers::observe)).with_state(shared)
}
