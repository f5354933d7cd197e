//! What endpoints and the webhooks of jobs keep sealed, as bytes.

use domain::secret::{Sealed, Secret};
use domain::time::Timestamp;
use domain::webhook::{Endpoint, EndpointState};
use seal::envelope::{AccountKey, AssociatedData, Purpose};
use seal::webhook::WebhookSecret;
use seal::{CryptoError, Randomness};
use serde::{Deserialize, Serialize};
use store::EndpointRow;
use zeroize::Zeroizing;

/// What an endpoint keeps sealed.
#[derive(Debug, Clone)]
pub(super) struct EndpointContent {
    pub(super) url: Secret,
    pub(super) description: Option<String>,
    pub(super) secret: WebhookSecret,
    /// The secret before it, and until when it signs.
    pub(super) previous: Option<(WebhookSecret, Timestamp)>,
}

/// The form at rest. Later versions must read it: fields are added, never changed. The last two fields are those of the row,
/// which something else than the service could have changed.
#[derive(Serialize, Deserialize)]
struct KeptEndpoint {
    url: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    secret: Zeroizing<Vec<u8>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_secret: Option<Zeroizing<Vec<u8>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_until: Option<i64>,
    #[serde(default)]
    events: Option<i64>,
    enabled: bool,
}

/// The form at rest of a job's own webhook.
#[derive(Serialize, Deserialize)]
struct KeptJobWebhook {
    url: Zeroizing<String>,
    body: Zeroizing<Vec<u8>>,
}

fn endpoint_sealed_as(endpoint: &Endpoint) -> AssociatedData<'_> {
    AssociatedData {
        purpose: Purpose::WebhookEndpoint,
        record: endpoint.id.as_str(),
        version: endpoint.version,
    }
}

impl EndpointContent {
    /// Seals it for this version of the endpoint.
    pub(super) fn seal(
        &self,
        endpoint: Endpoint,
        key: &AccountKey,
        randomness: &Randomness,
    ) -> Result<EndpointRow, CryptoError> {
        let bytes = |secret: &WebhookSecret| Zeroizing::new(secret.as_bytes().to_vec());
        let kept = KeptEndpoint {
            url: Zeroizing::new(self.url.expose().to_owned()),
            description: self.description.clone(),
            secret: bytes(&self.secret),
            previous_secret: self.previous.as_ref().map(|(secret, _)| bytes(secret)),
            previous_until: self.previous.as_ref().map(|(_, until)| until.as_micros()),
            events: endpoint.events.to_stored(),
            enabled: endpoint.state.is_enabled(),
        };
        // Texts and numbers under names of our own: they always are JSON.
        let bytes = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        let sealed = key.seal(endpoint_sealed_as(&endpoint), &bytes, randomness)?;
        Ok(EndpointRow { endpoint, sealed })
    }

    /// Decrypts it, unless its row is not as the service wrote it.
    pub(super) fn open(row: &EndpointRow, key: &AccountKey) -> Result<Self, CryptoError> {
        let endpoint = &row.endpoint;
        let bytes = key.open(endpoint_sealed_as(endpoint), &row.sealed)?;
        let kept: KeptEndpoint = serde_json::from_slice(&bytes).map_err(|_| CryptoError::Decrypt)?;
        if kept.events != endpoint.events.to_stored() || kept.enabled != endpoint.state.is_enabled() {
            return Err(CryptoError::Decrypt);
        }
        let secret = |bytes: &[u8]| WebhookSecret::from_bytes(bytes).ok_or(CryptoError::Decrypt);
        let previous = match (&kept.previous_secret, kept.previous_until) {
            (Some(bytes), Some(until)) => Some((secret(bytes)?, Timestamp::from_micros(until))),
            _ => None,
        };
        Ok(Self {
            url: Secret::new(kept.url.as_str().to_owned()),
            description: kept.description,
            secret: secret(&kept.secret)?,
            previous,
        })
    }

    /// The secrets that sign at an instant, newest first.
    pub(super) fn signing_at(&self, now: Timestamp) -> Vec<WebhookSecret> {
        let previous = self.previous.iter().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        std::iter::once(&self.secret).chain(previous).cloned().collect()
    }

    /// The same without a predecessor that no longer signs.
    pub(super) fn without_expired(mut self, now: Timestamp) -> Self {
        self.previous = self.previous.filter(|(_, until)| *until > now);
        self
    }
}

/// Whether a row says of its endpoint what the service sealed. Its state does not matter to one that is deleted.
pub(super) fn is_enabled(row: &EndpointRow) -> bool {
    row.endpoint.state == EndpointState::Enabled
}

/// The URL and the body of a job's own webhook.
pub(super) struct JobWebhookContent {
    pub(super) url: Secret,
    pub(super) body: Zeroizing<Vec<u8>>,
}

fn delivery_sealed_as(delivery_id: &str) -> AssociatedData<'_> {
    AssociatedData { purpose: Purpose::WebhookDelivery, record: delivery_id, version: 1 }
}

impl JobWebhookContent {
    pub(super) fn seal(
        &self,
        delivery_id: &str,
        key: &AccountKey,
        randomness: &Randomness,
    ) -> Result<Sealed, CryptoError> {
        let url = Zeroizing::new(self.url.expose().to_owned());
        let kept = KeptJobWebhook { url, body: self.body.clone() };
        let bytes = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        key.seal(delivery_sealed_as(delivery_id), &bytes, randomness)
    }

    pub(super) fn open(delivery_id: &str, sealed: &Sealed, key: &AccountKey) -> Result<Self, CryptoError> {
        let bytes = key.open(delivery_sealed_as(delivery_id), sealed)?;
        let kept: KeptJobWebhook = serde_json::from_slice(&bytes).map_err(|_| CryptoError::Decrypt)?;
        Ok(Self { url: Secret::new(kept.url.as_str().to_owned()), body: kept.body })
    }
}
