//! The handler that creates webhook secrets.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::auth::Authenticated;
use crate::body::read_empty;
use crate::error::Problem;
use crate::openapi;
use crate::query::NoQuery;

/// A new webhook secret.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(crate) struct WebhookSecretOut<'a> {
    /// In the format of the Standard Webhooks specification. Returned only once.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]+={0,2}$", example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: &'a str,
}

/// Create the webhook secret
///
/// Webhooks are signed with it according to the Standard Webhooks specification. A second call creates a new secret:
/// the previous one also signs for 24 hours, so that receivers can switch, and older ones stop immediately. An upload
/// with `webhook` needs a secret. No body is needed; an empty object is accepted.
#[utoipa::path(
    post, path = "/v1/webhook-secret", operation_id = "create_webhook_secret", tag = "Uploads",
    security(("apiKey" = ["webhooks:manage"])),
    responses(
        (status = 201, description = "The secret, shown only this once.", body = WebhookSecretOut),
        openapi::SecretErrors,
    ),
)]
pub(crate) async fn create_webhook_secret(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
    request: Request,
) -> Result<Response, Problem> {
    read_empty(request).await?;
    let secret = shared.app.create_webhook_secret(&caller).await?;
    Ok((StatusCode::CREATED, Json(WebhookSecretOut { secret: secret.expose() })).into_response())
}
