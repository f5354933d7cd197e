//! The caller's account and API key, for testing a key.

use app::Identity;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::scope::Scope;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::auth::Authenticated;
use crate::error::Problem;
use crate::openapi;
use crate::query::NoQuery;

/// An account and the key that authenticates as it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Identity)]
pub(crate) struct WhoamiOut<'a> {
    #[schema(example = "acc_0c6q2v9x1k3m7t1b8z4d")]
    account_id: &'a str,
    #[schema(example = "acme")]
    account_name: &'a str,
    /// The ID of the key, not the key.
    #[schema(example = "key_7t1b8z4d0c6q2v9x1k3m")]
    key_id: &'a str,
    #[schema(example = "api key")]
    key_name: &'a str,
    /// What the key allows.
    #[schema(value_type = Vec<String>, example = json!(["connections:read", "connections:write"]))]
    scopes: Vec<&'static str>,
    /// Omitted if the key does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2027-01-31T09:05:00.042Z")]
    expires_date: Option<String>,
}

impl<'a> From<&'a Identity> for WhoamiOut<'a> {
    fn from(Identity { account, key }: &'a Identity) -> Self {
        Self {
            account_id: account.id.as_str(),
            account_name: account.name.as_str(),
            key_id: key.id.as_str(),
            key_name: key.name.as_str(),
            scopes: key.scopes().iter().map(Scope::as_str).collect(),
            expires_date: key.expires_at.map(|at| at.to_string()),
        }
    }
}

/// Get the caller's account and key
///
/// Use it to test a key.
#[utoipa::path(
    get, path = "/v1/whoami", operation_id = "whoami", tag = "Keys",
    security(("apiKey" = [])),
    responses((status = 200, description = "The key is valid.", body = WhoamiOut), openapi::ReadErrors),
)]
pub(crate) async fn whoami(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    NoQuery: NoQuery,
) -> Result<Response, Problem> {
    let identity = shared.app.identify(&caller).await?;
    Ok(Json(WhoamiOut::from(&identity)).into_response())
}
