//! Whether the service lives, and whether it can work.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::Shared;
use crate::error::Problem;

#[derive(Serialize)]
struct HealthOut {
    status: &'static str,
}

/// `GET /health/live`: the process answers.
pub(crate) async fn live() -> Response {
    Json(HealthOut { status: "live" }).into_response()
}

/// `GET /health/ready`: the database answers too.
pub(crate) async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.app.ready().await?;
    Ok(Json(HealthOut { status: "ready" }).into_response())
}
