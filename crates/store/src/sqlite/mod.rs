//! The embedded engine: SQLite in a file, WAL, one writer thread with group commit, readers inline.
//!
//! Reads run on the caller's thread: a point read takes microseconds, less than handing it to another thread would.

mod accounts;
mod api_keys;
mod audit_events;
mod backup_files;
pub(crate) mod backups;
mod checkpoints;
mod connections;
mod idempotency_records;
mod job_secrets;
mod jobs;
mod moves;
mod places;
mod readers;
mod rows;
mod schema;
mod scratch;
mod sealing_keys;
mod service;
mod webhook_secrets;
mod writer;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::connection::Connection;
use domain::id::{AccountId, ApiKeyId, ConnectionId};
use domain::idempotency::{ANSWER_KEPT_SECONDS, OnceRequest, Reservation, Reserved};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::{KeyringCheck, KeyringWrapped, Sealed, SealedCredentials};
use domain::time::Timestamp;
use rusqlite::config::DbConfig;

pub(crate) use moves::Source;
pub(crate) use places::check as check_place;
pub(crate) use schema::{check_lock, inspect, inspect_key};

use crate::jobs::Part;
use crate::moves::MoveState;
use crate::{
    AccountDeletion, Changed, ConnectionUpdate, Deferral, DueJob, DueLimits, Error, JobFilter, JobUpdate,
    LeaseRenewal, LeaseTerms, LeasedJob, Migrations, NewConnection, NewJob, OpenError, Options, Store,
    StoredJob, WebhookSecretRow, Work,
};
use readers::Readers;
use writer::Writer;

/// How long one process waits for another's write.
const BUSY_TIMEOUT_MILLIS: u32 = 5_000;
/// How often a store that is open looks whether its file was moved.
const MOVED_PERIOD: Duration = Duration::from_secs(1);

/// A store in one SQLite file.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    /// Opens the file, creating and migrating it as the options say.
    pub(crate) fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        places::check(path)?;
        create_for_owner_alone(path)?;
        let mut connection = connect(path).map_err(|error| places::explain(error, path))?;
        if options.migrations == Migrations::Apply {
            // Who only looks may look at it, wherever it goes.
            moves::refuse_source(&connection, path)?;
        }
        schema::migrate(&mut connection, path, options.migrations, options.now)?;
        let writer = Writer::start(connection, path, options.queue).map_err(engine)?;
        if options.migrations == Migrations::Apply {
            // A crash may have left a log with keys that were wiped after they were written there. A command beside
            // the running service leaves the log to that.
            writer.cut_log();
        }
        Ok(Self { writer, readers: Readers::new(path.to_owned()) })
    }

    /// Resolves when the file was moved to another database. The writer keeps writes out by itself; but readers would go
    /// on with what is no longer so, keys among it that were revoked in the other one.
    async fn moved(&self) -> String {
        loop {
            tokio::time::sleep(MOVED_PERIOD).await;
            // One that cannot be read now is looked at again.
            if let Ok(Some(source)) = self.readers.read(moves::find_source)
                && source.state == MoveState::Done
            {
                return format!(
                    "the database was moved to {}; serve that one, and this file no more",
                    source.to
                );
            }
        }
    }
}

/// The file and its directory, if they are not there: nobody else may read even what is sealed.
fn create_for_owner_alone(path: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    Ok(())
}

/// A connection to a file that is there. Each is used by one thread at a time.
fn connect(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    use rusqlite::OpenFlags;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MILLIS)?;
    // Else a statement with a parameter in its LIMIT is prepared anew each time that it gets one.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn engine(error: impl std::error::Error + Send + Sync + 'static) -> OpenError {
    OpenError::Engine(Box::new(error))
}

#[async_trait]
impl Store for Sqlite {
    async fn probe_write(&self) -> Result<(), Error> {
        self.writer.write(service::probe_write).await
    }

    fn free_bytes(&self) -> Option<u64> {
        places::free_bytes(self.readers.path())
    }

    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.readers.read(service::list_keyring_checks)
    }

    async fn failed(&self) -> String {
        tokio::select! {
            cause = self.writer.failed() => cause,
            cause = self.moved() => cause,
        }
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }

    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error> {
        let (check, expected) = (check.clone(), expected.to_vec());
        self.writer
            .write(move |connection| service::insert_keyring_check(connection, &check, &expected))
            .await
    }

    async fn find_or_insert_service_secret(
        &self,
        proposed: &KeyringWrapped,
    ) -> Result<KeyringWrapped, Error> {
        if let Some(kept) = self.readers.read(service::find_secret)? {
            return Ok(kept);
        }
        let proposed = proposed.clone();
        self.writer.write(move |connection| service::find_or_insert_secret(connection, &proposed)).await
    }

    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| accounts::insert(connection, &account, &event)).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.readers.read(accounts::list)
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        self.readers.read(accounts::list_ids)
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        self.readers.read(service::find_last_connection_time)
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.readers.read(|connection| accounts::find_by_name(connection, name))
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error> {
        let found = self.readers.read(|connection| api_keys::find_by_hash(connection, hash))?;
        Ok(found.map(|row| (row, now)))
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.readers.read(|connection| api_keys::find(connection, id))
    }

    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error> {
        let until = now.plus_seconds(-ANSWER_KEPT_SECONDS);
        self.writer.write(move |connection| idempotency_records::delete_ended(connection, until, limit)).await
    }

    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error> {
        self.readers.read(|connection| jobs::list_due(connection, now, work, limits))
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.readers.read(|connection| accounts::find(connection, account))
    }

    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(move |connection| api_keys::insert(connection, &account, &row, &event)).await
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.readers.read(|connection| api_keys::list(connection, account))
    }

    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, expected, revoked, event) =
            (account.clone(), expected.clone(), revoked.clone(), event.clone());
        self.writer
            .write(move |connection| {
                api_keys::update_revoked(connection, &account, &expected, &revoked, &event)
            })
            .await
    }

    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| accounts::delete_part(connection, &account, limit, &event)).await
    }

    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| connections::insert(connection, &account, &new)).await
    }

    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| connections::update(connection, &account, &update)).await
    }

    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(move |connection| connections::delete(connection, &account, &id, &event)).await
    }

    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error> {
        self.readers.read(|connection| connections::find(connection, account, id))
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        self.readers.read(|connection| connections::find_id_by_name(connection, account, unique_name))
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        self.readers.read(|connection| connections::find_sealed(connection, account, id))
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        self.readers.read(|connection| connections::list(connection, account, after, limit))
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        self.readers.read(|connection| connections::list_ids(connection, account, after, limit))
    }

    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &OnceRequest,
    ) -> Result<Reserved, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.writer
            .write(move |connection| idempotency_records::reserve(connection, &account, &request))
            .await
    }

    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, reservation) = (account.clone(), reservation.clone());
        self.writer
            .write(move |connection| idempotency_records::release(connection, &account, &reservation, at))
            .await
    }

    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| jobs::insert(connection, &account, &new)).await
    }

    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error> {
        self.readers.read(|connection| jobs::find(connection, account, id))
    }

    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error> {
        self.readers.read(|connection| jobs::find_stored(connection, account, id))
    }

    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error> {
        self.readers.read(|connection| job_secrets::find(connection, account, id, Part::Answer))
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
        fence: u64,
        due_in: Duration,
        now: Timestamp,
    ) -> Result<Changed, Error> {
        let (account, id) = (account.clone(), id.clone());
        self.writer
            .write(move |connection| jobs::release_lease(connection, (&account, &id), fence, due_in, now))
            .await
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

    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, secret, event) = (account.clone(), secret.clone(), event.clone());
        self.writer
            .write(move |connection| webhook_secrets::insert(connection, &account, &secret, overlap, &event))
            .await
    }

    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error> {
        self.readers.read(|connection| webhook_secrets::list(connection, account, now))
    }

    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| Ok(Ok(audit_events::insert(connection, &account, &event)?))).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        self.readers.read(|connection| audit_events::list(connection, account, limit))
    }
}
