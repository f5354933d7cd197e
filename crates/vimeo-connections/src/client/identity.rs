//! Whose an API key is.

use serde::Deserialize;

use super::{ApiClient, Call, ClientError};

/// The response to `/v1/whoami`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub(crate) account_id: String,
    pub(crate) account_name: String,
    pub(crate) key_id: String,
    pub(crate) key_name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_date: Option<String>,
}

impl ApiClient {
    /// The account and the key that requests are sent with.
    pub(crate) async fn whoami(&self) -> Result<Identity, ClientError> {
        self.send(Call::get(&["v1", "whoami"])).await?.json()
    }
}
