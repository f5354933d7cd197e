//! Replacing keys: the keyring keys that wrap the accounts' keys, and an account's key that wraps the keys of what is sealed.

use async_trait::async_trait;
use domain::account::{Account, AccountKeys};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::secret::{KeyringKeyId, WrappedKey};

use crate::{Changed, Error};

/// What a keyring key is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringUse {
    /// The key.
    pub keyring_key: KeyringKeyId,
    /// The number of accounts that have a key wrapped with it.
    pub accounts: u64,
    /// Whether it wraps the service secret, and so the keys of new accounts.
    pub is_active: bool,
}

/// The keys of an account before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKeysUpdate {
    /// The account.
    pub account: AccountId,
    /// The keys that were read: nothing is written if they have changed.
    pub expected: AccountKeys,
    /// The keys to store.
    pub keys: AccountKeys,
}

/// The kinds of records that have sealed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// The credentials of a connection.
    Connection,
    /// The request of a job.
    JobRequest,
    /// The upload link of a job.
    JobLink,
    /// The stored response with the upload link of a job.
    JobAnswer,
    /// A secret that signs webhooks.
    WebhookSecret,
    /// A webhook endpoint.
    WebhookEndpoint,
    /// A delivery of a job's own webhook.
    WebhookDelivery,
    /// An authorization.
    Authorization,
}

impl SealedKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Connection,
        Self::JobRequest,
        Self::JobLink,
        Self::JobAnswer,
        Self::WebhookSecret,
        Self::WebhookEndpoint,
        Self::WebhookDelivery,
        Self::Authorization,
    ];

    /// The part of a job that it is, as the store names it.
    pub(crate) fn part(self) -> Option<&'static str> {
        match self {
            Self::JobRequest => Some(crate::jobs::Part::Request.as_str()),
            Self::JobLink => Some(crate::jobs::Part::Link.as_str()),
            Self::JobAnswer => Some(crate::jobs::Part::Answer.as_str()),
            _ => None,
        }
    }
}

/// Defines `statements_of`: the statements of a kind in an engine's file, which list its keys and replace one.
macro_rules! sealing_key_statements {
    ($sql:expr) => {
        fn statements_of(kind: $crate::SealedKind) -> (&'static str, &'static str) {
            use $crate::SealedKind;
            macro_rules! pair {
                ($record:literal) => {
                    const {
                        (
                            $crate::sql::statement($sql, concat!("list_", $record, "_sealing_keys")),
                            $crate::sql::statement($sql, concat!("replace_", $record, "_sealing_key")),
                        )
                    }
                };
            }
            match kind {
                SealedKind::Connection => pair!("connection"),
                SealedKind::JobRequest | SealedKind::JobLink | SealedKind::JobAnswer => pair!("job"),
                SealedKind::WebhookSecret => pair!("webhook_secret"),
                SealedKind::WebhookEndpoint => pair!("webhook_endpoint"),
                SealedKind::WebhookDelivery => pair!("webhook_delivery"),
                SealedKind::Authorization => pair!("authorization"),
            }
        }
    };
}
pub(crate) use sealing_key_statements;

/// The wrapped key of a record's sealed data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingKey {
    /// The identifier of the record.
    pub record: String,
    /// Of a connection, the version at which it was sealed; of an endpoint, its version; of a job, its restarts; otherwise 1.
    pub version: u64,
    /// The key.
    pub wrapped: WrappedKey,
}

/// A wrapped key before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingKeyUpdate {
    /// The identifier of the record.
    pub record: String,
    /// The key that was read: it stays if it has changed.
    pub expected: WrappedKey,
    /// The key to store.
    pub wrapped: WrappedKey,
}

/// Replacing keys. Every change states what was read, so that it can be repeated, and made by several nodes at once.
#[async_trait]
pub trait KeyRotation: Send + Sync {
    /// The keyring keys that the database was sealed with, ordered by their identifiers.
    async fn list_keyring_uses(&self) -> Result<Vec<KeyringUse>, Error>;
    /// Up to `limit` accounts after one, by their identifiers, that have a key which this keyring key does not wrap.
    async fn list_accounts_to_rewrap(
        &self,
        keyring_key: &KeyringKeyId,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, Error>;
    /// Stores the same keys of accounts under another wrapping. Returns how many had not changed meanwhile.
    async fn rewrap_account_keys(&self, updates: &[AccountKeysUpdate]) -> Result<usize, Error>;
    /// Stores other keys of an account, with the audit event; [`Changed::No`] if they have changed meanwhile.
    async fn update_account_keys(
        &self,
        update: &AccountKeysUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// Deletes the check value of a keyring key; [`Changed::No`] if there is none, or something is wrapped with the key.
    async fn delete_keyring_check(&self, keyring_key: &KeyringKeyId) -> Result<Changed, Error>;
    /// All accounts that have a second key.
    async fn list_accounts_with_second_key(&self) -> Result<Vec<Account>, Error>;
    /// Up to `limit` keys of one kind after a record, ordered by record.
    async fn list_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<SealingKey>, Error>;
    /// Stores keys of one kind, which must be ordered by record. Returns how many had not changed meanwhile.
    async fn replace_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        updates: &[SealingKeyUpdate],
    ) -> Result<usize, Error>;
}
