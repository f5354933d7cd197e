//! Replacing the service secret: the secrets themselves, and the MACs of the rows that it has signed.

use async_trait::async_trait;
use domain::account::SecondKeyRole;
use domain::id::{AccountId, DeliveryId};
use domain::secret::KeyringCheck;
use domain::service_secrets::{RetiredServiceSecret, SecondServiceSecret, ServiceSecret, ServiceSecrets};
use domain::time::Timestamp;

use crate::{Changed, Error};

/// The stored role of a retired secret. The others are those of [`SecondKeyRole`].
const RETIRED: &str = "retired";

/// The kinds of rows that have a MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedKind {
    /// An API key.
    ApiKey,
    /// A session of the dashboard.
    Session,
    /// A job. Those of the first versions have none.
    Job,
    /// A message to a webhook endpoint.
    WebhookMessage,
    /// The state of an audit chain. Its record is the account.
    AuditChain,
}

impl SignedKind {
    /// All kinds.
    pub const ALL: [Self; 5] =
        [Self::ApiKey, Self::Session, Self::Job, Self::WebhookMessage, Self::AuditChain];
}

/// Defines `statements_of`: the statements of a kind in an engine's file, which list its records and replace a MAC.
macro_rules! signed_row_statements {
    ($sql:expr) => {
        fn statements_of(kind: $crate::SignedKind) -> (&'static str, &'static str) {
            use $crate::SignedKind;
            macro_rules! pair {
                ($record:literal) => {
                    const {
                        (
                            $crate::sql::statement($sql, concat!("list_signed_", $record, "s")),
                            $crate::sql::statement($sql, concat!("replace_", $record, "_mac")),
                        )
                    }
                };
            }
            match kind {
                SignedKind::ApiKey => pair!("api_key"),
                SignedKind::Session => pair!("session"),
                SignedKind::Job => pair!("job"),
                SignedKind::WebhookMessage => pair!("webhook_message"),
                SignedKind::AuditChain => pair!("audit_chain"),
            }
        }
    };
}
pub(crate) use signed_row_statements;

/// A MAC before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMacUpdate {
    /// The identifier of the record.
    pub record: String,
    /// The MAC that was read: it stays if it has changed.
    pub expected: Vec<u8>,
    /// The MAC to store.
    pub mac: [u8; 32],
}

/// A message to a webhook endpoint with its MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    /// The event's identifier.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// The body.
    pub body: String,
    /// Its MAC.
    pub mac: Vec<u8>,
}

/// Replacing the service secret.
#[async_trait]
pub trait ServiceSecretRotation: Send + Sync {
    /// The service secrets, unless the database is new.
    async fn find_service_secrets(&self) -> Result<Option<ServiceSecrets>, Error>;
    /// Stores other secrets in place of those that were read, and with them the check value of a keyring key that they are wrapped
    /// with; [`Changed::No`] if they have changed meanwhile.
    async fn change_service_secrets(
        &self,
        expected: &ServiceSecrets,
        secrets: &ServiceSecrets,
        check: Option<&KeyringCheck>,
    ) -> Result<Changed, Error>;
    /// Up to `limit` identifiers of records of one kind that have a MAC, in their order after one.
    async fn list_signed_records(
        &self,
        account: &AccountId,
        kind: SignedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, Error>;
    /// The message of a delivery; `None` if it has none.
    async fn find_signed_message(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<SignedMessage>, Error>;
    /// Stores MACs of one kind, which must be ordered by record. Returns how many had not changed meanwhile.
    async fn replace_row_macs(
        &self,
        account: &AccountId,
        kind: SignedKind,
        updates: &[RowMacUpdate],
    ) -> Result<usize, Error>;
}

/// A row of a service secret.
#[derive(Debug, Clone)]
pub(crate) struct SecretRow {
    pub(crate) secret: ServiceSecret,
    /// `None`: the current one.
    pub(crate) role: Option<String>,
    pub(crate) since: Option<Timestamp>,
}

/// The secrets of these rows, which are ordered, the latest first. `None`: there are none; an error: no version writes such rows.
pub(crate) fn assemble(rows: Vec<SecretRow>) -> Result<Option<ServiceSecrets>, &'static str> {
    if rows.is_empty() {
        return Ok(None);
    }
    let (mut current, mut second, mut retired) = (None, None, Vec::new());
    for SecretRow { secret, role, since } in rows {
        let since = || since.ok_or("since");
        match role.as_deref() {
            None => current = Some(secret),
            Some(RETIRED) => retired.push(RetiredServiceSecret { secret, since: since()? }),
            Some(role) => {
                let role = SecondKeyRole::from_stored(role).ok_or("role")?;
                second = Some(SecondServiceSecret { secret, role, since: since()? });
            }
        }
    }
    Ok(Some(ServiceSecrets { current: current.ok_or("purpose")?, second, retired }))
}

/// The secrets that only verify, with their roles.
pub(crate) fn others(
    secrets: &ServiceSecrets,
) -> impl Iterator<Item = (&ServiceSecret, &'static str, Timestamp)> {
    let second = secrets.second.iter().map(|second| (&second.secret, second.role.as_str(), second.since));
    second.chain(secrets.retired.iter().map(|retired| (&retired.secret, RETIRED, retired.since)))
}
