//! Memory: one trait, [`Store`], and the two engines behind it, SQLite and PostgreSQL.
//! Knows rows, transactions and durability. Knows no keys, no HTTP, no Vimeo: what is sealed is bytes to it.
//! Invariant: one call is one transaction is one fact; what a call acknowledged survives the loss of power.

mod error;
mod hex;
mod inspection;
mod job_rows;
mod jobs;
mod migrations;
mod moves;
mod postgres;
mod shell;
mod sqlite;
mod tables;
mod url;

#[cfg(test)]
mod contract;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::connection::Connection;
use domain::id::{AccountId, ApiKeyId, ConnectionId};
use domain::idempotency::{KeptAnswer, OnceRequest, Reservation, Reserved};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped, Sealed, SealedCredentials};
use domain::time::Timestamp;

pub use error::{BackupError, BoxError, DiskFull, Error, OpenError};
pub use inspection::{
    Inspection, KeyInspection, check_grants, check_lock, check_migratable, check_place, inspect, inspect_key,
};
pub use job_rows::authenticated_bytes;
pub use jobs::{
    Deferral, DueJob, DueLimits, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter, LeaseRenewal,
    LeaseTerms, LeasedJob, NewJob, SealedPart, SentBytes, StoredJob, WebhookSecretRow, Work,
};
pub use moves::{
    MoveError, MoveOutcome, MoveProgress, MoveRequest, MoveState, MovedTable, SourceMove, abandon_command,
    abandon_move, find_copy, find_move, move_database,
};
pub use url::DatabaseUrl;
use url::Place;

/// The schema that this version of the application was written for: the number of its last migration.
pub const APPLICATION_SCHEMA: u32 = 9;

/// What the service remembers. Every method is one transaction; `Err` means that nothing was written, but for
/// [`Error::OutcomeUnknown`]. Another account's row is absence.
#[async_trait]
pub trait Store: Send + Sync {
    // About the whole service. These have no account, because they come before any account is known.

    /// Commits a write that changes nothing of what is stored for anyone: `Ok` if the database can be written.
    async fn probe_write(&self) -> Result<(), Error>;
    /// Bytes free on the disk of the database, if that is this machine's.
    fn free_bytes(&self) -> Option<u64>;
    /// The check values of the keyring keys that the database was sealed with, in the order of the keys' identifiers.
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error>;
    /// Resolves, with the cause, when the engine's state is unknown and only a restart can recover it, or when the database
    /// was moved to another place: then what is here is not to be served any more, not even to readers.
    async fn failed(&self) -> String;
    /// Finishes what was accepted and lets go of the engine.
    async fn close(&self);
    /// Keeps the check value of a keyring key, if the ones that are kept are still `expected`; all that are kept now.
    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error>;
    /// The service secret; the one that is proposed if there was none.
    async fn find_or_insert_service_secret(&self, proposed: &KeyringWrapped)
    -> Result<KeyringWrapped, Error>;
    /// Adds an account. [`Error::NameTaken`].
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error>;
    /// All accounts by name.
    async fn list_accounts(&self) -> Result<Vec<Account>, Error>;
    /// The identifiers of all accounts.
    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error>;
    /// The instant in the identifier of the connection that was stored last, in whichever account.
    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error>;
    /// The account of that name.
    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error>;
    /// The key that has this hash, whatever its state, and the instant at which it was looked for: by the database's own
    /// clock where it has one, so that a node whose clock is off lets in nobody whose time is over; else `now`.
    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error>;
    /// The key of that identifier, whatever its state.
    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error>;

    /// Forgets idempotency records that ended a day before `now` (or the database's own now), at most so many; how many
    /// there were.
    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error>;

    /// Jobs for which this kind of work is due and that no worker holds, in fair order: of each account one, then of each the
    /// next, so that an account with many jobs does not delay the others. Jobs that the limits forbid are left out.
    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error>;

    // About one account, which comes first.

    /// The account itself.
    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error>;
    /// Adds a key. [`Error::NameTaken`] if its hash is known already, in whichever account.
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error>;
    /// The account's keys, oldest first.
    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error>;
    /// Revokes a key at the instant, and with the new proof, that `revoked` says, if its proof is still `expected`.
    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// Deletes an account with all it has, a part of it with each call: its keys, at most `limit` connections, and as many
    /// jobs and secrets of webhooks, all of whose sealing keys are wiped; last the account itself, with the event. Its
    /// audit events stay.
    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error>;
    /// Adds a connection, its sealed secrets, the audit event, and what completes its idempotency record.
    /// [`Error::NameTaken`], [`Error::ReservationLost`], or [`Error::KeyNotActive`] when the API key that acts was
    /// revoked or expired in the meantime.
    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error>;
    /// Changes a connection that still has the expected version, and wipes the sealing key that is replaced, if one is.
    /// [`Error::NotFound`], [`Error::VersionConflict`], [`Error::NameTaken`] or [`Error::KeyNotActive`].
    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error>;
    /// Deletes a connection and wipes its sealing key; [`Changed::No`] if there is none. [`Error::KeyNotActive`]. Its jobs
    /// that are not over are cancelled, and what they keep sealed is wiped, but for what their webhooks need.
    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// A connection without its secrets.
    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error>;
    /// The identifier of the connection whose name is this but for spaces at the ends.
    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error>;
    /// A connection with its sealed secrets.
    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error>;
    /// The account's connections in the order of their identifiers: those after `after`, at most `limit`.
    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error>;
    /// The identifiers of the account's connections in their order: those after `after`, at most `limit`.
    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error>;
    /// Reserves an idempotency key, or says what became of the request that has it. [`Error::KeyNotActive`] when the
    /// account is gone.
    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &OnceRequest,
    ) -> Result<Reserved, Error>;
    /// Ends a reservation that led to nothing; one that was completed, or lost, stays as it is.
    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error>;
    /// Adds a job. [`Error::NotFound`] if its connection is gone, [`Error::ReservationLost`], [`Error::KeyNotActive`].
    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error>;
    /// A job, without what it keeps sealed.
    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error>;
    /// A job with its MAC and its sealed request, to be verified before it is written.
    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error>;
    /// The stored response with the upload link; `None` if there never was one, or it was wiped with the link.
    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error>;
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
    /// Releases a lease and changes nothing else of the job, which runs again after `due_in`; [`Changed::No`] if the lease is
    /// lost.
    async fn release_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        fence: u64,
        due_in: Duration,
        now: Timestamp,
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
    /// Adds a secret for webhooks. Its predecessor stays valid for `overlap` more; older ones are deleted, and their keys
    /// wiped.
    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error>;
    /// The secrets that webhooks are signed with now: the newest, then its predecessor while that is valid.
    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error>;
    /// Adds an audit event that stands alone: something refused.
    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error>;
    /// The account's audit events, oldest first, at most so many.
    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error>;
}

/// A connection to be added, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    /// The connection.
    pub connection: Connection,
    /// Its secrets.
    pub sealed: SealedCredentials,
    /// What is written of it in the audit log.
    pub event: AuditEvent,
    /// If the request may be repeated: what its repetition is answered.
    pub completion: Option<Completion>,
}

/// A connection's new state, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionUpdate {
    /// The version that it must have now.
    pub expected_version: u64,
    /// What it becomes.
    pub connection: Connection,
    /// Its secrets, if they were replaced.
    pub resealed: Option<SealedCredentials>,
    /// What is written of it in the audit log.
    pub event: AuditEvent,
}

/// The end of a request that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What it held.
    pub reservation: Reservation,
    /// What it is answered.
    pub answer: KeptAnswer,
    /// When.
    pub at: Timestamp,
}

/// How far the deletion of an account has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountDeletion {
    /// There is more to delete.
    More,
    /// That was the last of it.
    Done,
    /// There was no such account.
    NoAccount,
}

/// Whether a compare-and-set found what it expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did, and wrote.
    Yes,
    /// The row had changed, or was gone; nothing was written.
    No,
}

/// What to do about migrations that the database has not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrations {
    /// Run them.
    Apply,
    /// Run them only if there is no database yet; otherwise refuse with [`OpenError::MigrationsPending`]: an
    /// administrator's command must not upgrade the database of a service that is running.
    OnlyIfNew,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is.
    pub database_url: DatabaseUrl,
    /// How many writes may wait; more are [`Error::Overloaded`].
    pub queue: usize,
    /// What to do about new migrations.
    pub migrations: Migrations,
    /// Now, for the record of the migrations.
    pub now: Timestamp,
    /// How a PostgreSQL server is used, if there is one.
    pub postgres: PostgresOptions,
}

/// How a PostgreSQL server is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Which writes may share a statement.
    pub coalesce: Coalesce,
    /// How many connections read; each takes many queries at a time.
    pub readers: usize,
    /// How many connections write; each writes one batch at a time.
    pub writers: usize,
    /// How long connecting, and one statement, may take.
    pub timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { coalesce: Coalesce::All, readers: 3, writers: 2, timeout: Duration::from_secs(5) }
    }
}

/// Which writes may share a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coalesce {
    /// Those of all accounts: for a PostgreSQL that has all of them.
    All,
    /// Those of one account: where accounts are distributed over machines.
    Account,
}

/// Opens the store, creating it if there is none, after any migrations it needs.
pub async fn open(options: Options) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match options.database_url.place.clone() {
        Place::Sqlite(path) => Arc::new(blocking(move || sqlite::Sqlite::open(&path, &options)).await?),
        Place::Postgres(server) => {
            Arc::new(postgres::Postgres::open(*server, &options, postgres::Clock::OfTheServer).await?)
        }
    })
}

/// What a backup says of itself in its first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupHeader {
    /// The number of the last migration that its database has seen.
    pub schema: u32,
    /// When it was made: ISO 8601.
    pub made_at: String,
    /// The keyring keys that are needed to open what is in it.
    pub keyring_keys: Vec<KeyringKeyId>,
    /// How large its database is.
    pub bytes: u64,
    /// The hash of its database: SHA-256, hexadecimal.
    pub sha256: String,
}

/// What a backup cannot know by itself.
#[derive(Debug, Clone)]
pub struct BackupStamp {
    /// Now.
    pub at: Timestamp,
    /// Tells the files that are being made from others: a random name.
    pub tag: String,
}

/// Copies the database, as it is at one moment, into a new file, beside whoever writes it.
pub async fn back_up(
    database_url: &DatabaseUrl,
    target: PathBuf,
    stamp: BackupStamp,
) -> Result<BackupHeader, BackupError> {
    let path = backup_path_of(database_url)?;
    blocking(move || sqlite::backups::back_up(&path, &target, &stamp)).await
}

/// Whether a backup is whole: what it says of itself, and what is in its database.
pub async fn check_backup(file: PathBuf, tag: String) -> Result<(BackupHeader, Inspection), BackupError> {
    blocking(move || sqlite::backups::check(&file, &tag)).await
}

/// Takes the database out of a backup that is whole, beside the place where it will stand and where nothing may be.
pub async fn stage_backup(
    file: PathBuf,
    database_url: &DatabaseUrl,
    tag: String,
) -> Result<StagedBackup, BackupError> {
    let path = backup_path_of(database_url)?;
    blocking(move || sqlite::backups::stage(&file, &path, &tag)).await.map(StagedBackup)
}

/// A database that was taken out of a backup and has not got its name yet. Dropped, it is gone.
#[derive(Debug)]
pub struct StagedBackup(sqlite::backups::Staged);

impl StagedBackup {
    /// What the backup says of itself.
    pub fn header(&self) -> &BackupHeader {
        &self.0.header
    }

    /// What its database says of itself.
    pub fn found(&self) -> &Inspection {
        &self.0.found
    }

    /// How to open the database meanwhile; it must be closed again before it is put in place.
    pub fn database_url(&self) -> DatabaseUrl {
        DatabaseUrl::of_file(self.0.path())
    }

    /// Gives the database its name, in one step and durably.
    pub async fn put_in_place(self) -> Result<(), BackupError> {
        blocking(move || self.0.put_in_place()).await
    }
}

fn backup_path_of(database_url: &DatabaseUrl) -> Result<PathBuf, BackupError> {
    Ok(database_url.file().ok_or(BackupError::OtherEngine)?.to_owned())
}

async fn blocking<T: Send + 'static, E: From<OpenError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.map_err(|error| OpenError::Engine(Box::new(error)))?
}
