//! The embedded engine: SQLite in a file, WAL, one writer thread with group commit, readers inline.
//!
//! Reads run on the caller's thread: a point read takes microseconds, less than passing it to another thread.

mod account_limits;
mod accounts;
mod api_keys;
mod audit_chains;
mod audit_events;
mod authorizations;
mod backup_files;
pub(crate) mod backups;
#[cfg(test)]
mod checkpoint_tests;
mod checkpoints;
mod connection_health;
mod connection_writes;
mod connections;
mod dashboard_sessions;
mod database_file;
mod due_jobs;
mod engine_migration;
mod exports;
mod idempotency_records;
mod job_counts;
mod job_secrets;
mod jobs;
mod key_rotation;
mod keyring;
mod maintenance;
mod readers;
mod retention;
mod rows;
mod schema;
mod sealing_keys;
mod service_secrets;
mod statements;
mod temp_database;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_secrets;
mod writer;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use async_trait::async_trait;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::Sealed;
use domain::time::Timestamp;
use rusqlite::config::DbConfig;

pub(crate) use database_file::check as check_place;
pub(crate) use engine_migration::Source;
pub(crate) use schema::{check_lock, inspect, inspect_key};

use crate::jobs::Part;
use crate::{
    Changed, Deferral, DueJob, DueLimits, Error, JobFilter, JobUpdate, Jobs, LeaseRelease, LeaseRenewal,
    LeaseTerms, LeasedJob, Migrations, NewJob, OpenError, Options, StatusCounts, StoredJob, Work,
};
use readers::Readers;
use writer::Writer;

/// How long one process waits for the write of another.
const BUSY_TIMEOUT_MILLIS: u32 = 5_000;
/// A store in one SQLite file.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    /// Opens the file, creating and migrating it as the options say.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        database_file::check(path)?;
        create_for_owner_alone(path)?;
        let mut connection = connect(path).map_err(|error| database_file::explain(error, path))?;
        if options.migrations == Migrations::Apply {
            // A command that only reads may read it during an engine migration and after.
            engine_migration::refuse_source(&connection, path)?;
        }
        schema::migrate(&mut connection, path, options.migrations, options.now)?;
        let writer = Writer::start(connection, path, options.queue).map_err(engine)?;
        if options.migrations == Migrations::Apply {
            // A crash may have left a log with keys that have been wiped since. A command beside the running service leaves
            // the log to the service.
            writer.truncate_wal();
        }
        Ok(Self { writer, readers: Readers::new(path.to_owned()) })
    }
}

/// Creates the file and its directory if they do not exist, readable by the owner alone: not even sealed data is for others.
fn create_for_owner_alone(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    Ok(())
}

/// A connection to an existing file. Each is used by one thread at a time.
fn connect(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MILLIS)?;
    // Without this, a statement with a parameter in its LIMIT is prepared again for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn engine(error: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    OpenError::Engine(Box::new(error))
}

#[async_trait]
impl Jobs for Sqlite {
    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error> {
        self.readers.read(|connection| due_jobs::list(connection, now, work, limits))
    }

    async fn find_fence_of_due_job(
        &self,
        account: &AccountId,
        id: &JobId,
        work: Work,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        self.readers.read(|connection| due_jobs::find_fence(connection, account, id, work, now))
    }

    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| jobs::insert(connection, &account, &new)).await
    }

    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error> {
        self.readers.read(|connection| jobs::find(connection, account, id))
    }

    async fn find_retry(&self, account: &AccountId, id: &JobId) -> Result<Option<JobId>, Error> {
        self.readers.read(|connection| jobs::find_retry(connection, account, id))
    }

    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error> {
        self.readers.read(|connection| jobs::find_stored(connection, account, id))
    }

    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error> {
        self.readers.read(|connection| job_secrets::find(connection, account, id, Part::Answer))
    }

    async fn count_jobs(&self, account: &AccountId, newest: u32) -> Result<StatusCounts, Error> {
        self.readers.read(|connection| jobs::count(connection, account, newest))
    }

    async fn list_jobs(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        self.readers.read(|connection| jobs::list(connection, account, filter, limit))
    }

    async fn lease_job(
        &self,
        account: &AccountId,
        id: &JobId,
        terms: &LeaseTerms,
    ) -> Result<Option<LeasedJob>, Error> {
        let (account, id, terms) = (account.clone(), id.clone(), *terms);
        self.writer.write(move |connection| jobs::lease(connection, &account, &id, &terms)).await
    }

    async fn renew_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        renewal: &LeaseRenewal,
    ) -> Result<Changed, Error> {
        let (account, id, renewal) = (account.clone(), id.clone(), renewal.clone());
        self.writer.write(move |connection| jobs::renew(connection, &account, &id, &renewal)).await
    }

    async fn update_job(&self, account: &AccountId, update: JobUpdate) -> Result<Changed, Error> {
        let account = account.clone();
        self.writer.write(move |connection| jobs::update(connection, &account, &update)).await
    }

    async fn release_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        release: &LeaseRelease,
    ) -> Result<Changed, Error> {
        let (account, id, release) = (account.clone(), id.clone(), *release);
        self.writer.write(move |connection| jobs::release_lease(connection, &account, &id, &release)).await
    }

    async fn defer_jobs(
        &self,
        account: &AccountId,
        connection_id: &ConnectionId,
        deferral: &Deferral,
    ) -> Result<usize, Error> {
        let (account, id, deferral) = (account.clone(), connection_id.clone(), *deferral);
        self.writer.write(move |connection| jobs::defer(connection, &account, &id, &deferral)).await
    }

    async fn wake_jobs(
        &self,
        account: &AccountId,
        connection_id: &ConnectionId,
        waiting_for: WaitingFor,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let (account, id) = (account.clone(), connection_id.clone());
        self.writer.write(move |connection| jobs::wake(connection, &account, &id, waiting_for, now)).await
    }
}
