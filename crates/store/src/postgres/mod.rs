//! The engine for several nodes: a PostgreSQL server, or an engine that speaks its protocol.
//!
//! A few sessions read, each with many queries in flight; a few write, each one batch at a time. This process keeps no state
//! of its own: any number of nodes may work on one database.

mod account_limits;
mod accounts;
mod announcements;
mod api_keys;
mod audit_chains;
mod audit_events;
mod authorizations;
mod clock;
mod connection_health;
mod connection_writes;
mod connections;
mod connector;
mod dashboard_sessions;
mod engine_migration;
mod exports;
mod idempotency_records;
mod job_counts;
mod job_leases;
mod job_writes;
mod jobs;
mod key_rotation;
mod keyring;
mod maintenance;
mod parameters;
mod pg_error;
mod pooling;
mod retention;
mod rows;
mod schema;
mod servers;
mod service_secrets;
mod session_slots;
mod sessions;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_secrets;
mod write_queues;
mod write_runner;
mod writer_pool;
mod writes;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod distribution_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod pooling_tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::Sealed;
use domain::time::Timestamp;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

pub(crate) use clock::Clock;
pub(crate) use engine_migration::Target;
pub(crate) use schema::{check_grants, check_rights, inspect, inspect_key};

use crate::due_order::order_due;
use crate::jobs::Part;
use crate::url::Server;
use crate::{
    Changed, Deferral, DueJob, DueLimits, Error, JobFilter, JobUpdate, Jobs, LeaseRelease, LeaseRenewal,
    LeaseTerms, LeasedJob, Migrations, NewJob, OpenError, Options, StatusCounts, StoredJob, Work,
};
use audit_events::InsertAuditEvent;
use connection_writes::{DeleteConnection, InsertConnection, UpdateConnection};
use connector::{Connector, Purpose};
use idempotency_records::{Release, Reserve};
use job_leases::{DeferJobs, LeaseJob, ReleaseLease, RenewLease, WakeJobs};
use job_writes::{InsertJob, UpdateJob};
use parameters::{Named, Parameters};
use pg_error::PgError;
use session_slots::SessionSlot;
use write_queues::{Queue, WriteQueues};

/// A store on a PostgreSQL server.
pub(crate) struct Postgres {
    connector: Arc<Connector>,
    clock: Clock,
    readers: Vec<SessionSlot>,
    next_reader: AtomicUsize,
    writer: WriteQueues,
    inserts: Queue<InsertConnection>,
    updates: Queue<UpdateConnection>,
    deletions: Queue<DeleteConnection>,
    reservations: Queue<Reserve>,
    releases: Queue<Release>,
    renewals: Queue<RenewLease>,
    events: Queue<InsertAuditEvent>,
}

impl Postgres {
    /// Opens the database, creating and migrating its tables as the options say.
    pub(crate) async fn open(server: Server, options: &Options, clock: Clock) -> Result<Self, OpenError> {
        let postgres = &options.postgres;
        let connector = Arc::new(Connector::new(server).map_err(OpenError::Server)?);
        let session = connector.connect(Purpose::Write).await.map_err(OpenError::Server)?;
        let checked = pooling::check(&connector, &session).await;
        let migrated = match checked {
            Ok(()) => schema::migrate(&session, options.migrations, options.now).await,
            Err(error) => Err(error),
        };
        session.abandon();
        if let Err(error) = migrated {
            connector.close().await;
            return Err(error);
        }
        let writer = WriteQueues::new(&connector, postgres, options.queue);
        let readers: Vec<_> =
            (0..postgres.readers.max(1)).map(|_| SessionSlot::new(&connector, Purpose::Read)).collect();
        if options.migrations == Migrations::Apply {
            // So that the first requests do not wait for sessions to open.
            readers.iter().for_each(SessionSlot::demand);
            writer.demand();
        }
        Ok(Self {
            readers,
            next_reader: AtomicUsize::new(0),
            inserts: writer.queue(),
            updates: writer.queue(),
            deletions: writer.queue(),
            reservations: writer.queue(),
            releases: writer.queue(),
            renewals: writer.queue(),
            events: writer.queue(),
            connector,
            clock,
            writer,
        })
    }

    /// All rows of a statement that reads, in any of the sessions. Retries once in another one if the session was lost, and
    /// while another transaction locks the table, as migrations do; both within the timeout.
    async fn read<T>(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        read: impl Fn(&Row) -> Result<T, PgError> + Send,
    ) -> Result<Vec<T>, Error> {
        let mut is_first = true;
        let started = Instant::now();
        loop {
            let next = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
            let slot = self.readers.get(next).ok_or_else(|| Error::Unavailable("no reader".into()))?;
            match slot.session().await?.query_named(sql, parameters).await {
                Ok(found) => {
                    return found.iter().map(read).collect::<Result<_, _>>().map_err(PgError::into_error);
                }
                Err(PgError::OutcomeUnknown(_) | PgError::NotExecuted(_) | PgError::Conflict(_))
                    if is_first && started.elapsed() < self.connector.timeout() =>
                {
                    is_first = false;
                }
                Err(error)
                    if error.rejection() == Some(&SqlState::LOCK_NOT_AVAILABLE)
                        && started.elapsed() < self.connector.timeout() => {}
                Err(error) => return Err(error.into_error()),
            }
        }
    }

    /// The only row of a statement that reads, if there is one.
    async fn find<T>(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        read: impl Fn(&Row) -> Result<T, PgError> + Send,
    ) -> Result<Option<T>, Error> {
        Ok(self.read(sql, parameters, read).await?.pop())
    }
}

#[async_trait]
impl Jobs for Postgres {
    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error> {
        let (now, number) = (self.clock.or_the_servers(now), work.number());
        if work == Work::Publication {
            let parameters: Parameters<'_> = &[("now", &now), ("limit", &i64::from(limits.total))];
            let due = self.read(jobs::LIST_DUE_PUBLICATIONS, parameters, jobs::candidate).await?;
            return Ok(due.into_iter().map(|candidate| candidate.job).collect());
        }
        let parameters: Parameters<'_> = &[("now", &now), ("work", &number)];
        let running = self.read(jobs::COUNT_RUNNING, parameters, jobs::running).await?;
        // A lease may be taken by another worker meanwhile.
        let per_connection = i64::from(limits.per_connection.saturating_add(4).min(limits.total));
        let parameters: Parameters<'_> = &[("now", &now), ("work", &number), ("limit", &per_connection)];
        let candidates = self.read(jobs::LIST_DUE, parameters, jobs::candidate).await?;
        Ok(order_due(candidates, &running, limits))
    }

    async fn find_fence_of_due_job(
        &self,
        account: &AccountId,
        id: &JobId,
        work: Work,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("job_id", &id.as_str()),
            ("work", &work.number()),
            ("now", &self.clock.or_the_servers(now)),
        ];
        self.find(jobs::FIND_FENCE, parameters, jobs::fence).await
    }

    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error> {
        self.writer.write(InsertJob { account: account.clone(), new, clock: self.clock }).await
    }

    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("job_id", &id.as_str())];
        self.find(jobs::FIND, key, jobs::job).await
    }

    async fn find_retry(&self, account: &AccountId, id: &JobId) -> Result<Option<JobId>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("job_id", &id.as_str())];
        self.find(jobs::FIND_RETRY, key, jobs::job_id).await
    }

    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("job_id", &id.as_str())];
        self.find(jobs::FIND_STORED, key, jobs::stored_job).await
    }

    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("job_id", &id.as_str()), ("part", &Part::Answer.as_str())];
        self.find(jobs::FIND_SECRET, parameters, jobs::sealed).await
    }

    async fn count_jobs(&self, account: &AccountId, newest: u32) -> Result<StatusCounts, Error> {
        let (account, newest) = (account.as_str(), i64::from(newest));
        let of: Parameters<'_> = &[("account_id", &account), ("newest", &newest)];
        self.read(jobs::COUNT, of, jobs::status_count).await.map(StatusCounts::of)
    }

    async fn list_jobs(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        let (account, only, limit) = (account.as_str(), filter.parameters(), i64::from(limit));
        let page: [Named<'_>; 7] = [
            ("account_id", &account),
            ("before", &only.before),
            ("status", &only.status),
            ("phase", &only.phase),
            ("created_from", &only.created_from),
            ("created_until", &only.created_until),
            ("limit", &limit),
        ];
        let Some(connection) = filter.connection_id.as_ref().map(ConnectionId::as_str) else {
            return self.read(jobs::LIST, &page, jobs::job).await;
        };
        let parameters = [&page[..], &[("connection_id", &connection)]].concat();
        self.read(jobs::LIST_OF_CONNECTION, &parameters, jobs::job).await
    }

    async fn lease_job(
        &self,
        account: &AccountId,
        id: &JobId,
        terms: &LeaseTerms,
    ) -> Result<Option<LeasedJob>, Error> {
        let (account, id, terms) = (account.clone(), id.clone(), *terms);
        self.writer.write(LeaseJob { account, id, terms, clock: self.clock }).await
    }

    async fn renew_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        renewal: &LeaseRenewal,
    ) -> Result<Changed, Error> {
        let (account, id, renewal) = (account.clone(), id.clone(), renewal.clone());
        self.renewals.write(RenewLease { account, id, renewal, clock: self.clock }).await
    }

    async fn update_job(&self, account: &AccountId, update: JobUpdate) -> Result<Changed, Error> {
        self.writer.write(UpdateJob { account: account.clone(), update, clock: self.clock }).await
    }

    async fn release_job_lease(
        &self,
        account: &AccountId,
        id: &JobId,
        release: &LeaseRelease,
    ) -> Result<Changed, Error> {
        let (account, id, release) = (account.clone(), id.clone(), *release);
        self.writer.write(ReleaseLease { account, id, release, clock: self.clock }).await
    }

    async fn defer_jobs(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        deferral: &Deferral,
    ) -> Result<usize, Error> {
        let (account, connection, deferral) = (account.clone(), connection.clone(), *deferral);
        self.writer.write(DeferJobs { account, connection, deferral, clock: self.clock }).await
    }

    async fn wake_jobs(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        waiting_for: WaitingFor,
        now: Timestamp,
    ) -> Result<usize, Error> {
        let (account, connection) = (account.clone(), connection.clone());
        self.writer.write(WakeJobs { account, connection, waiting_for, now, clock: self.clock }).await
    }
}
