//! Whether the service lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::error::Problem;
use crate::openapi;

/// How the service is.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthOut {
    #[schema(example = "ready")]
    status: &'static str,
}

/// Does the process live?
#[utoipa::path(
    get, path = "/health/live", operation_id = "live", tag = "Service", security(()),
    responses((status = 200, description = "It answers.", body = HealthOut)),
)]
pub(crate) async fn live() -> Response {
    Json(HealthOut { status: "live" }).into_response()
}

/// Can the service work?
#[utoipa::path(
    get, path = "/health/ready", operation_id = "ready", tag = "Service", security(()),
    responses((status = 200, description = "The database answers too.", body = HealthOut), openapi::ReadyRefusals),
)]
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.app.ready().await?;
    Ok(Json(HealthOut { status: "ready" }).into_response())
}
