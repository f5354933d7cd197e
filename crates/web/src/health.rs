//! Liveness and readiness.

use std::fmt;
use std::sync::Arc;

use app::{Check, CheckResult};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::error::Problem;
use crate::openapi;

/// Checks the certificate of the service's listener.
#[derive(Clone)]
pub struct CertificateCheck(Arc<dyn Fn() -> Check + Send + Sync>);

impl CertificateCheck {
    /// Uses a function that knows the current certificate.
    pub fn from_fn(check: impl Fn() -> Check + Send + Sync + 'static) -> Self {
        Self(Arc::new(check))
    }
}

impl fmt::Debug for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateCheck")
    }
}

/// The state of the process.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthOut {
    #[schema(example = "live")]
    status: &'static str,
}

/// The state of the service.
#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
pub(crate) struct ReadinessOut {
    #[schema(example = "ready")]
    status: &'static str,
    /// The checks. None of them fails.
    checks: Vec<CheckOut>,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReadinessCheck)]
pub(crate) struct CheckOut {
    /// `database`, `disk`, `keyring`, and `certificate` where the service has one.
    #[schema(example = "database")]
    name: &'static str,
    /// `pass`, `warn`, `fail` or `unknown`.
    #[schema(example = "pass")]
    result: &'static str,
    /// What is wrong, or when it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message: Option<String>,
}

impl From<&Check> for CheckOut {
    fn from(check: &Check) -> Self {
        Self { name: check.name, result: check.result.as_str(), message: check.message.clone() }
    }
}

/// Liveness: does the process respond?
#[utoipa::path(
    get, path = "/health/live", operation_id = "live", tag = "Service", security(()),
    responses((status = 200, description = "It responds.", body = HealthOut)),
)]
pub(crate) async fn live() -> Response {
    Json(HealthOut { status: "live" }).into_response()
}

/// Readiness: can the service work?
///
/// Writes to the database, once a second at most.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "ready", tag = "Service", security(()),
    responses(
        (status = 200, description = "No check fails.", body = ReadinessOut),
        openapi::ReadyErrors,
    ),
)]
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    let checks = shared.app.check_readiness().await;
    let certificate = shared.settings.certificate.as_ref().map(|certificate| (certificate.0)());
    let checks: Vec<&Check> = checks.iter().chain(&certificate).collect();
    let out = checks.iter().map(|check| CheckOut::from(*check)).collect();
    match checks.iter().find(|check| check.result == CheckResult::Fail) {
        None => Ok(Json(ReadinessOut { status: "ready", checks: out }).into_response()),
        Some(failed) => Err(Problem::not_ready(failed, out)),
    }
}
