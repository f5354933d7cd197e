//! What the service asks of persistence: one trait for each kind of data, and [`Store`], which is all of them.
//!
//! Every method is one transaction. `Err` means that nothing was written, except for [`Error::OutcomeUnknown`]. Methods on an
//! account's data take the account first; a row of another account is treated as absent.

use std::time::Duration;

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey};
use domain::audit::AuditEvent;
use domain::connection::Connection;
use domain::id::{AccountId, ApiKeyId, ConnectionId};
use domain::idempotency::{Reservation, ReserveRequest, Reserved, StoredResponse};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::{KeyringCheck, KeyringWrapped, Sealed, SealedCredentials};
use domain::time::Timestamp;

use crate::{
    ApiKeyUpdate, ApiKeyUse, Audit, Authorizations, Changed, ConnectionHealth, DashboardSessions, Deferral,
    DueJob, DueLimits, Error, Exports, FoundApiKey, JobCounts, JobFilter, JobUpdate, KeyRotation,
    LeaseRelease, LeaseRenewal, LeaseTerms, LeasedJob, Limits, NewHealth, NewJob, Retention,
    ServiceSecretRotation, StatusCounts, StoredJob, WebhookDeliveries, WebhookEndpoints, WebhookSecretRow,
    Work,
};

/// Everything that the service stores.
pub trait Store:
    Maintenance
    + Keyring
    + KeyRotation
    + ServiceSecretRotation
    + Accounts
    + ApiKeys
    + Limits
    + Connections
    + ConnectionHealth
    + Idempotency
    + Jobs
    + JobCounts
    + WebhookSecrets
    + WebhookEndpoints
    + WebhookDeliveries
    + Audit
    + Authorizations
    + Retention
    + Exports
    + DashboardSessions
{
}

impl<S> Store for S where
    S: Maintenance
        + Keyring
        + KeyRotation
        + ServiceSecretRotation
        + Accounts
        + ApiKeys
        + Limits
        + Connections
        + ConnectionHealth
        + Idempotency
        + Jobs
        + JobCounts
        + WebhookSecrets
        + WebhookEndpoints
        + WebhookDeliveries
        + Audit
        + Authorizations
        + Retention
        + Exports
        + DashboardSessions
{
}

/// The state of the engine itself.
#[async_trait]
pub trait Maintenance: Send + Sync {
    /// Commits a write that changes no data: `Ok` if the database accepts writes.
    async fn probe_write(&self) -> Result<(), Error>;
    /// Bytes free on the disk of the database, if it is on this machine.
    fn free_bytes(&self) -> Option<u64>;
    /// How many writes wait, for metrics.
    fn queued_writes(&self) -> usize;
    /// Resolves, with the cause, when the state of the engine is unknown and only a restart can recover it, or when the
    /// database was migrated to another engine. From then on not even reads may be served.
    async fn failed(&self) -> String;
    /// Completes the writes that were accepted and closes the engine.
    async fn close(&self);
}

/// The check values of the keyring, and the service secret.
#[async_trait]
pub trait Keyring: Send + Sync {
    /// The check values of the keyring keys that the database was sealed with, ordered by key identifier.
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error>;
    /// Stores the check value of a keyring key if the stored ones still equal `expected`. Returns all that are stored now.
    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error>;
    /// The service secret. Stores `proposed` if there is none yet.
    async fn find_or_insert_service_secret(&self, proposed: &KeyringWrapped)
    -> Result<KeyringWrapped, Error>;
}

/// Accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account. [`Error::NameTaken`].
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error>;
    /// All accounts, by name.
    async fn list_accounts(&self) -> Result<Vec<Account>, Error>;
    /// The identifiers of all accounts.
    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error>;
    /// The account with this identifier.
    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error>;
    /// The account with this name.
    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error>;
    /// Deletes one part of an account and everything it has: its API keys, and up to `limit` each of its connections, jobs,
    /// webhook secrets, endpoints, deliveries and idempotency records, whose sealing keys are wiped. The last part deletes the
    /// account itself and adds the event. Audit events stay.
    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error>;
}

/// API keys.
#[async_trait]
pub trait ApiKeys: Send + Sync {
    /// Adds a key. [`Error::NameTaken`] if its hash is stored already, in any account; [`Error::KeyNotActive`] if the acting
    /// API key was revoked or has expired in the meantime, or the account was deleted.
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error>;
    /// The key with this hash, whatever its state, with the limits of its account and the instant of the lookup: by the
    /// database's clock where it has one, so that a node whose clock is wrong does not accept an expired key; else `now`.
    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<FoundApiKey>, Error>;
    /// The key with this identifier, whatever its state.
    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error>;
    /// The account's keys, oldest first.
    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error>;
    /// The account's keys, oldest first: those after the key `after` that was created at that instant, at most `limit`.
    async fn list_api_key_page(
        &self,
        account: &AccountId,
        after: Option<&(Timestamp, ApiKeyId)>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRow>, Error>;
    /// Sets a key's name, expiry, revocation and MAC, if its stored MAC is still the expected one, and adds its successor.
    /// [`Error::KeyNotActive`]; [`Error::LastManagingKey`] if another key must be able to manage keys and none is.
    async fn update_api_key(
        &self,
        account: &AccountId,
        update: ApiKeyUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// Stores when keys were last used, unless a later hour is stored. Keys that are gone are skipped.
    async fn update_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), Error>;
}

/// Connections and their sealed credentials.
#[async_trait]
pub trait Connections: Send + Sync {
    /// Adds a connection, its sealed credentials, the audit event, and the completion of its idempotency record.
    /// [`Error::NameTaken`], [`Error::ReservationLost`], or [`Error::KeyNotActive`] if the acting API key was revoked or
    /// has expired in the meantime.
    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error>;
    /// Updates a connection that still has the expected version, and wipes the sealing key that is replaced, if any.
    /// [`Error::NotFound`], [`Error::VersionConflict`], [`Error::NameTaken`] or [`Error::KeyNotActive`].
    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error>;
    /// Deletes a connection and wipes its sealing key; [`Changed::No`] if there is none. [`Error::KeyNotActive`]. Its
    /// unfinished jobs are cancelled and their sealed parts wiped, except for what their webhooks need; what its failed jobs
    /// kept for a retry is wiped.
    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// A connection without its credentials.
    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error>;
    /// The identifier of the connection with this name, compared without leading and trailing spaces.
    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error>;
    /// A connection with its sealed credentials.
    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error>;
    /// The account's connections ordered by identifier: those after `after`, at most `limit`.
    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error>;
    /// The identifiers of the account's connections in order: those after `after`, at most `limit`.
    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error>;
    /// The instant in the identifier of the connection that was stored last, in any account.
    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error>;
}

/// Idempotency records.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Reserves an idempotency key, or returns the state of the request that has it. [`Error::KeyNotActive`] if the account
    /// was deleted.
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &ReserveRequest,
    ) -> Result<Reserved, Error>;
    /// Releases a reservation without a result. One that was completed or lost is left unchanged.
    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error>;
    /// Deletes up to `limit` records that ended a day before `now`, or before the database's clock where it has one. Returns
    /// how many were deleted.
    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error>;
}

/// Jobs: uploads that are worked on under leases.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Jobs for which this kind of work is due and that no worker holds, in fair order: of each account one, then of each the
    /// next, so that an account with many jobs does not delay the others. Jobs that the limits forbid are left out.
    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error>;
    /// The fence of a job for which this work is due and that no worker holds.
    async fn find_fence_of_due_job(
        &self,
        account: &AccountId,
        id: &JobId,
        work: Work,
        now: Timestamp,
    ) -> Result<Option<u64>, Error>;
    /// Adds a job. [`Error::NotFound`] if its connection is gone, [`Error::AlreadyRetried`], [`Error::ReservationLost`],
    /// [`Error::KeyNotActive`].
    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error>;
    /// A job, without what it keeps sealed.
    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error>;
    /// The job that repeats this one.
    async fn find_retry(&self, account: &AccountId, id: &JobId) -> Result<Option<JobId>, Error>;
    /// A job with its MAC and its sealed request, to be verified before it is written.
    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error>;
    /// The stored response with the upload link; `None` if there never was one, or it was wiped with the link.
    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error>;
    /// How many of the account's newest jobs, at most this many, have each status.
    async fn count_jobs(&self, account: &AccountId, newest: u32) -> Result<StatusCounts, Error>;
    /// The account's jobs, the newest first, at most `limit`.
    async fn list_jobs(&self, account: &AccountId, filter: &JobFilter, limit: u32)
    -> Result<Vec<Job>, Error>;
    /// Takes a job's lease; `None` if its fence has changed, it is not due, another worker holds it, or too many run.
    async fn lease_job(
        &self,
        account: &AccountId,
        id: &JobId,
        terms: &LeaseTerms,
    ) -> Result<Option<LeasedJob>, Error>;
    /// Renews a lease and writes what was sent; [`Changed::No`] if the lease is lost.
    async fn renew_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        renewal: &LeaseRenewal,
    ) -> Result<Changed, Error>;
    /// Writes a job; [`Changed::No`] if its guard does not hold. [`Error::ReservationLost`], [`Error::KeyNotActive`].
    async fn update_job(&self, account: &AccountId, update: JobUpdate) -> Result<Changed, Error>;
    /// Releases a lease and changes nothing else of the job, which runs again later; [`Changed::No`] if the lease is
    /// lost.
    async fn release_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        release: &LeaseRelease,
    ) -> Result<Changed, Error>;
    /// Puts off uploads of a connection that are due and that no worker holds; how many.
    async fn defer_jobs(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        deferral: &Deferral,
    ) -> Result<usize, Error>;
    /// Makes the uploads of a connection due that wait for this; how many.
    async fn wake_jobs(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        waiting_for: WaitingFor,
        now: Timestamp,
    ) -> Result<usize, Error>;
}

/// The secrets that webhooks are signed with.
#[async_trait]
pub trait WebhookSecrets: Send + Sync {
    /// Adds a secret. Its predecessor stays valid for `overlap`; older ones are deleted and their sealing keys wiped.
    /// [`Error::KeyNotActive`].
    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error>;
    /// The secrets that webhooks are signed with now: the newest, then its predecessor while it is valid.
    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error>;
}

/// A connection to add, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    /// The connection.
    pub connection: Connection,
    /// Its sealed credentials.
    pub sealed: SealedCredentials,
    /// Its health.
    pub health: NewHealth,
    /// The audit event.
    pub event: AuditEvent,
    /// For a request with an idempotency key: its completion.
    pub completion: Option<Completion>,
}

/// A connection's new state, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionUpdate {
    /// The version that the stored connection must have.
    pub expected_version: u64,
    /// The new state.
    pub connection: Connection,
    /// Its sealed credentials, if they are replaced.
    pub resealed: Option<SealedCredentials>,
    /// The audit event.
    pub event: AuditEvent,
}

/// The completion of a request with an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The reservation, which must still be held.
    pub reservation: Reservation,
    /// The response that is stored for repetitions of the request.
    pub answer: StoredResponse,
    /// When.
    pub at: Timestamp,
}

/// The progress of an account's deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountDeletion {
    /// There is more to delete.
    More,
    /// The account is deleted.
    Done,
    /// There was no such account.
    NoAccount,
}
