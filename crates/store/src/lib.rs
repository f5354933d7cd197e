//! Memory: one trait, [`Store`], and the two engines behind it, SQLite and PostgreSQL.
//! Knows rows, transactions and durability. Knows no keys, no HTTP, no Vimeo: what is sealed is bytes to it.
//! Invariant: one call is one transaction is one fact; what a call acknowledged survives the loss of power.

mod due_order;
mod error;
mod hex;
mod inspection;
mod job_rows;
mod jobs;
mod migrations;
mod moves;
mod postgres;
mod shell;
mod sql;
mod sqlite;
mod tables;
mod traits;
mod url;

#[cfg(test)]
mod contract;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::secret::KeyringKeyId;
use domain::time::Timestamp;

pub use error::{BackupError, BoxError, DiskFull, Error, OpenError};
pub use inspection::{
    Inspection, KeyInspection, check_grants, check_lock, check_migratable, check_place, inspect, inspect_key,
};
pub use job_rows::authenticated_bytes;
pub use jobs::{
    Deferral, DueJob, DueLimits, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter, LeaseRelease,
    LeaseRenewal, LeaseTerms, LeasedJob, NewJob, SealedPart, SentBytes, StoredJob, WebhookSecretRow, Work,
};
pub use moves::{
    MoveError, MoveOutcome, MoveProgress, MoveRequest, MoveState, MovedTable, SourceMove, abandon_command,
    abandon_move, find_copy, find_move, move_database,
};
pub use traits::{
    AccountDeletion, Accounts, ApiKeys, Audit, Changed, Completion, ConnectionUpdate, Connections,
    Idempotency, Jobs, Keyring, Maintenance, NewConnection, Store, WebhookSecrets,
};
pub use url::DatabaseUrl;
use url::Place;

/// The schema that this version of the application was written for: the number of its last migration.
pub const APPLICATION_SCHEMA: u32 = 9;

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

/// How long a statement that was prepared on a PostgreSQL server is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PreparedStatements {
    /// For the whole session: each statement is parsed once. For a server, or a connection pooler in session mode.
    #[default]
    Session,
    /// Once: statements have no name, and settings are made in each transaction that writes. For a connection pooler in
    /// transaction mode, which gives each transaction another session of the server.
    Transaction,
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
