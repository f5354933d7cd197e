//! The listener for Prometheus, which has one route and shares nothing with the API.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::IntoMakeServiceWithConnectInfo;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;

/// Renders the metrics.
#[derive(Clone)]
pub struct MetricsPage(Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>);

impl MetricsPage {
    /// A page that is rendered for each request.
    pub fn from_fn(render: impl Fn() -> BoxFuture<'static, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }
}

impl std::fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsPage")
    }
}

/// Creates the service of that listener: `GET /metrics`, and 404 for every other path.
pub fn make_metrics_service(page: MetricsPage) -> IntoMakeServiceWithConnectInfo<Router, SocketAddr> {
    Router::new().route("/metrics", get(show)).with_state(page).into_make_service_with_connect_info()
}

async fn show(State(page): State<MetricsPage>) -> Response {
    let text = (page.0)().await;
    ([(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], text).into_response()
}
