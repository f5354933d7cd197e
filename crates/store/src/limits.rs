//! The limits of an account, and how much of them it uses.

use async_trait::async_trait;
use domain::api_key::ApiKeyRow;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation};
use domain::limits::{LimitChange, LimitChanges, LimitOverrides};
use domain::time::Timestamp;

use crate::{Changed, Error};

/// Limits of accounts.
#[async_trait]
pub trait Limits: Send + Sync {
    /// What an operator set for an account; `None` if there is no such account.
    async fn find_account_limits(&self, account: &AccountId) -> Result<Option<LimitOverrides>, Error>;
    /// Changes what is set for an account; [`Changed::No`] if there is no such account.
    async fn update_account_limits(
        &self,
        account: &AccountId,
        changes: &LimitChanges,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// How many of these an account has; at most `most` are counted.
    async fn count_of_account(&self, account: &AccountId, counted: Counted, most: u64) -> Result<u64, Error>;
    /// Whether an idempotency key has a record, whatever its state.
    async fn has_idempotency_record(
        &self,
        account: &AccountId,
        operation: Operation,
        key: &IdempotencyKey,
    ) -> Result<bool, Error>;
}

/// Rows of an account that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Its connections.
    Connections,
    /// Its jobs that have not ended.
    JobsInProgress,
    /// Its idempotency records, also those that have ended and are not deleted yet.
    IdempotencyRecords,
    /// Its webhook endpoints.
    WebhookEndpoints,
    /// Its authorizations that have not ended.
    OpenAuthorizations,
}

/// An API key that was found by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundApiKey {
    /// Its row.
    pub row: ApiKeyRow,
    /// The limits that are set for its account.
    pub limits: LimitOverrides,
    /// The instant of the lookup.
    pub read_at: Timestamp,
}

/// The parameters of a change of one limit: whether it changes, and its new value.
pub(crate) fn change_parameters(change: LimitChange) -> (bool, Option<i64>) {
    match change {
        LimitChange::Keep => (false, None),
        LimitChange::Reset => (true, None),
        // A limit is far below the column's range.
        LimitChange::Set(value) => (true, Some(i64::try_from(value).unwrap_or(i64::MAX))),
    }
}
