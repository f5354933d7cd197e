//! Persistence: one trait, [`Store`], and its two engines, SQLite and PostgreSQL.
//! Knows rows, transactions and durability. Knows no keys, no HTTP, no Vimeo: sealed data is bytes to it.
//! Invariant: one call is one transaction is one fact; an acknowledged call survives a loss of power.

mod api_keys;
mod audit;
mod authorizations;
mod backup;
mod changed;
mod connection_health;
mod dashboard_sessions;
mod delivery_rows;
mod due_class;
mod due_order;
mod engine_migration;
mod engine_migration_error;
mod error;
mod exports;
mod hex;
mod inspection;
mod job_counts;
mod job_rows;
mod job_values;
mod jobs;
mod key_rotation;
mod limits;
mod migrations;
mod postgres;
mod retention;
mod service_secrets;
mod shell;
mod sql;
mod sqlite;
mod tables;
mod traits;
mod url;
mod webhooks;

#[cfg(test)]
mod contract;

use std::sync::Arc;

use domain::time::Timestamp;

pub use api_keys::{ApiKeyUpdate, ApiKeyUse, OtherManager};
pub use audit::{Audit, AuditChainWrite, AuditLinkRow, AuditPage, LinkHorizons, UnlinkedAccounts};
pub use authorizations::{
    AuthorizationKey, AuthorizationRow, AuthorizationUpdate, Authorizations, NewAuthorization,
    OverdueAuthorization,
};
pub use backup::{BackupHeader, BackupStamp, StagedBackup, back_up, check_backup, stage_backup};
pub use changed::Changed;
pub use connection_health::{
    ConnectionHealth, DueHealthCheck, HealthLease, HealthRow, HealthUpdate, NewHealth, NotHealthy,
};
pub use dashboard_sessions::{DashboardSessions, FoundSession, SessionUpdate};
pub use engine_migration::{
    CopiedTable, EngineMigrationOutcome, EngineMigrationProgress, EngineMigrationRequest,
    EngineMigrationState, SourceMark, find_source_mark, find_target_state, migrate_engine,
    roll_back_engine_migration, rollback_command,
};
pub use engine_migration_error::EngineMigrationError;
pub use error::{BackupError, BoxError, DiskFull, Error, OpenError};
pub use exports::{Exports, IdempotencyRecord, IdempotencyRecordId, WebhookSecretDates};
pub use inspection::{
    Inspection, KeyInspection, check_grants, check_lock, check_migratable, check_place, inspect, inspect_key,
};
pub use job_counts::{JobCount, JobCounts, StatusCounts};
pub use job_rows::authenticated_bytes;
pub use jobs::{
    Deferral, Deferred, DueJob, DueLimits, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter,
    LeaseRelease, LeaseRenewal, LeaseTerms, LeasedJob, NewJob, SealedPart, SentBytes, StoredJob,
    WebhookSecretRow, Work,
};
pub use key_rotation::{
    AccountKeysUpdate, KeyRotation, KeyringUse, SealedKind, SealingKey, SealingKeyUpdate,
};
pub use limits::{Counted, FoundApiKey, Limits};
pub use retention::{Expired, Retention, SweepLease};
pub use service_secrets::{RowMacUpdate, ServiceSecretRotation, SignedKind, SignedMessage};
pub use traits::{
    AccountDeletion, Accounts, ApiKeys, Completion, ConnectionUpdate, Connections, Idempotency, Jobs,
    Keyring, Maintenance, NewConnection, Store, WebhookSecrets,
};
pub use url::DatabaseUrl;
use url::Location;
pub use webhooks::{
    AfterAttempt, DeliveryFilter, DeliveryResult, DeliveryTerms, DueDeliveries, DueDelivery, EndpointHealth,
    EndpointRow, EndpointUpdate, FailingSince, LeasedDelivery, NewEndpoint, NewJobDelivery, StoredMessage,
    WaitingDeliveries, WebhookDeliveries, WebhookEndpoints,
};

/// The schema of this version of the application: the number of its last migration.
pub const APPLICATION_SCHEMA: u32 = 20;

/// What to do about pending migrations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migrations {
    /// Run them.
    Apply,
    /// Run them only on a new database; otherwise fail with [`OpenError::MigrationsPending`]: an administrator's command must
    /// not upgrade the database of a running service.
    OnlyIfNew,
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database.
    pub database_url: DatabaseUrl,
    /// How many writes may wait; further ones fail with [`Error::Overloaded`].
    pub queue: usize,
    /// What to do about pending migrations.
    pub migrations: Migrations,
    /// Now, for the record of the migrations.
    pub now: Timestamp,
    /// How a PostgreSQL server is used, if the engine is that.
    pub postgres: PostgresOptions,
}

/// How a PostgreSQL server is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Which writes may share a statement.
    pub coalesce: Coalesce,
    /// How many connections read; each runs many queries at a time.
    pub readers: usize,
    /// How many connections write; each writes one batch at a time.
    pub writers: usize,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { coalesce: Coalesce::All, readers: 3, writers: 2 }
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
    /// Those of all accounts: where one server has all of them.
    All,
    /// Those of one account: where accounts are distributed over several servers.
    Account,
}

/// Opens the store, after creating it if there is none and running its migrations, as the options allow.
pub async fn open(options: Options) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match options.database_url.location.clone() {
        Location::Sqlite(path) => Arc::new(blocking(move || sqlite::Sqlite::open(&path, &options)).await?),
        Location::Postgres(server) => {
            Arc::new(postgres::Postgres::open(*server, &options, postgres::Clock::OfTheServer).await?)
        }
    })
}

async fn blocking<T: Send + 'static, E: From<OpenError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.map_err(|error| OpenError::Engine(Box::new(error)))?
}
