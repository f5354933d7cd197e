//! Whether the process runs, and whether the service can work.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::error::Problem;
use crate::openapi;

/// The state of the service.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthOut {
    #[schema(example = "ready")]
    status: &'static str,
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
#[utoipa::path(
    get, path = "/health/ready", operation_id = "ready", tag = "Service", security(()),
    responses((status = 200, description = "The database responds too.", body = HealthOut), openapi::ReadyRefusals),
)]
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.app.ready().await?;
    Ok(Json(HealthOut { status: "ready" }).into_response())
}
