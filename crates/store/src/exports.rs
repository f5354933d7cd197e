//! What an account's export reads that nothing else lists.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::time::Timestamp;

use crate::Error;

/// What an idempotency record is found by, within its account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdempotencyRecordId {
    /// The kind of request.
    pub operation: String,
    /// The client's key.
    pub key: String,
}

/// An idempotency record without what it stores of the request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Its operation and key.
    pub id: IdempotencyRecordId,
    /// When the reservation expires.
    pub reserved_until: Timestamp,
    /// When the request was completed; `None` if it was not.
    pub answered_at: Option<Timestamp>,
}

/// When a webhook secret is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookSecretDates {
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops signing; `None` if it has no successor.
    pub retires_at: Option<Timestamp>,
}

/// Lists for an export.
#[async_trait]
pub trait Exports: Send + Sync {
    /// The account's idempotency records in the order of their identifiers: those after `after`, at most `limit`.
    async fn list_idempotency_records(
        &self,
        account: &AccountId,
        after: &IdempotencyRecordId,
        limit: u32,
    ) -> Result<Vec<IdempotencyRecord>, Error>;
    /// The dates of all stored webhook secrets of the account, newest first.
    async fn list_webhook_secret_dates(&self, account: &AccountId) -> Result<Vec<WebhookSecretDates>, Error>;
}
