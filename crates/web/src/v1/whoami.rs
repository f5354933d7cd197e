//! Who a key's holder is to the service: a way to try a key.

use app::Identity;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::api_key::Scope;
use serde::Serialize;

use crate::Shared;
use crate::auth::Authenticated;
use crate::error::Problem;

/// An account and the key that acts for it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WhoamiOut<'a> {
    account_id: &'a str,
    account_name: &'a str,
    key_id: &'a str,
    key_name: &'a str,
    scopes: [&'static str; Scope::ALL.len()],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_date: Option<String>,
}

impl<'a> From<&'a Identity> for WhoamiOut<'a> {
    fn from(Identity { account, key }: &'a Identity) -> Self {
        Self {
            account_id: account.id.as_str(),
            account_name: account.name.as_str(),
            key_id: key.id.as_str(),
            key_name: key.name.as_str(),
            scopes: Scope::ALL.map(Scope::as_str),
            expires_date: key.expires_at.map(|at| at.to_string()),
        }
    }
}

/// `GET /v1/whoami`.
pub(crate) async fn whoami(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
) -> Result<Response, Problem> {
    let identity = shared.app.identify(&caller).await?;
    Ok(Json(WhoamiOut::from(&identity)).into_response())
}
