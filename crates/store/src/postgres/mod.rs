//! The engine for many machines: a PostgreSQL server, or what speaks its protocol.
//!
//! A few connections read, each with many queries on their way; a few write, each one batch at a time. No state of this
//! process is the truth: any number of nodes may work on one database.

mod accounts;
mod api_keys;
mod audit_events;
mod clock;
mod connection_writes;
mod connections;
mod idempotency_records;
mod job_leases;
mod job_writes;
mod jobs;
mod moves;
mod rows;
mod schema;
mod service;
mod sessions;
mod trouble;
mod webhook_secrets;
mod writer;
mod writes;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod fault_tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::connection::Connection;
use domain::id::{AccountId, ApiKeyId, ConnectionId};
use domain::idempotency::{OnceRequest, Reservation, Reserved};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::{KeyringCheck, KeyringWrapped, Sealed, SealedCredentials};
use domain::time::Timestamp;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

pub(crate) use clock::Clock;
pub(crate) use moves::Target;
pub(crate) use schema::{check_grants, check_rights, inspect, inspect_key};

use crate::jobs::{Part, order_due};
use crate::url::Server;
use crate::{
    AccountDeletion, Changed, ConnectionUpdate, Deferral, DueJob, DueLimits, Error, JobFilter, JobUpdate,
    LeaseRenewal, LeaseTerms, LeasedJob, Migrations, NewConnection, NewJob, OpenError, Options, Store,
    StoredJob, WebhookSecretRow, Work,
};
use accounts::{DeleteAccountPart, InsertAccount};
use api_keys::{InsertApiKey, RevokeApiKey};
use audit_events::InsertAuditEvent;
use connection_writes::{DeleteConnection, InsertConnection, UpdateConnection};
use idempotency_records::{DeleteEnded, Release, Reserve};
use job_leases::{DeferJobs, LeaseJob, ReleaseLease, RenewLease, WakeJobs};
use job_writes::{InsertJob, UpdateJob};
use service::{FindOrInsertSecret, InsertKeyringCheck, ProbeWrite};
use sessions::{Connector, Parameters, Slot};
use trouble::Trouble;
use webhook_secrets::InsertWebhookSecret;
use writer::{Queue, Writer};

/// A store on a PostgreSQL server.
pub(crate) struct Postgres {
    connector: Arc<Connector>,
    clock: Clock,
    readers: Vec<Slot>,
    next_reader: AtomicUsize,
    writer: Writer,
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
        let connector = Arc::new(Connector::new(server, postgres.timeout).map_err(OpenError::Server)?);
        let session = connector.connect().await.map_err(OpenError::Server)?;
        let migrated = schema::migrate(&session, options.migrations, options.now).await;
        session.abandon();
        if let Err(error) = migrated {
            connector.close().await;
            return Err(error);
        }
        let writer = Writer::new(&connector, postgres, options.queue);
        let readers: Vec<_> = (0..postgres.readers.max(1)).map(|_| Slot::new(&connector)).collect();
        if options.migrations == Migrations::Apply {
            // The service's first requests should not have to wait for what takes long.
            readers.iter().for_each(Slot::demand);
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

    /// Runs a query that reads, in any of the connections; once more in another if one was lost meanwhile, unless the
    /// server has been silent for so long that it would be again; and again while somebody else holds the table for a
    /// moment, as migrations do.
    async fn read<T>(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        take: impl Fn(&Row) -> Result<T, Trouble> + Send,
    ) -> Result<Vec<T>, Error> {
        let mut is_first = true;
        let started = Instant::now();
        loop {
            let next = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
            let slot = self.readers.get(next).ok_or_else(|| Error::Unavailable("no reader".into()))?;
            match slot.session().await?.query(sql, parameters).await {
                Ok(found) => {
                    return found.iter().map(take).collect::<Result<_, _>>().map_err(Trouble::into_error);
                }
                Err(Trouble::Lost(_) | Trouble::Gone(_) | Trouble::Again(_))
                    if is_first && started.elapsed() < self.connector.timeout() =>
                {
                    is_first = false;
                }
                Err(trouble)
                    if trouble.refusal() == Some(&SqlState::LOCK_NOT_AVAILABLE)
                        && started.elapsed() < self.connector.timeout() => {}
                Err(trouble) => return Err(trouble.into_error()),
            }
        }
    }

    /// The same where there is one row at most.
    async fn find<T>(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
        take: impl Fn(&Row) -> Result<T, Trouble> + Send,
    ) -> Result<Option<T>, Error> {
        Ok(self.read(sql, parameters, take).await?.pop())
    }
}

#[async_trait]
impl Store for Postgres {
    async fn probe_write(&self) -> Result<(), Error> {
        self.writer.write(ProbeWrite).await
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.read(service::LIST_CHECKS, &[], service::keyring_check).await
    }

    async fn failed(&self) -> String {
        // Whatever becomes of the server, a later connection finds what was committed.
        std::future::pending().await
    }

    async fn close(&self) {
        self.inserts.close();
        self.updates.close();
        self.deletions.close();
        self.reservations.close();
        self.releases.close();
        self.renewals.close();
        self.events.close();
        self.writer.close().await;
        self.connector.close().await;
    }

    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error> {
        self.writer.write(InsertKeyringCheck { check: check.clone(), expected: expected.to_vec() }).await
    }

    async fn find_or_insert_service_secret(
        &self,
        proposed: &KeyringWrapped,
    ) -> Result<KeyringWrapped, Error> {
        let kept =
            self.find(service::FIND_SECRET, &[&service::SERVICE_SECRET], rows::keyring_wrapped).await?;
        match kept {
            Some(kept) => Ok(kept),
            None => self.writer.write(FindOrInsertSecret { proposed: proposed.clone() }).await,
        }
    }

    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        self.writer.write(InsertAccount { account: account.clone(), event: event.clone() }).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(accounts::LIST, &[], accounts::account).await
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        self.read(accounts::LIST_IDS, &[], accounts::account_id).await
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        let last = |row: &Row| rows::optional_instant(row, "created_at");
        match self.find(service::LAST_CONNECTION_TIME, &[], last).await {
            Ok(last) => Ok(last.flatten()),
            // It looks at every account; of very many, the server may give up. Then the clock alone must do.
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "the last identifier is not known: new ones go by this node's clock alone");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.find(accounts::FIND_BY_NAME, &[&name.as_str()], accounts::account).await
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error> {
        let parameters: Parameters<'_> = &[&hash.0.as_slice(), &self.clock.or_the_servers(now)];
        let take = |row: &Row| Ok((api_keys::api_key(row)?, rows::instant(row, "looked_at")?));
        self.find(api_keys::FIND_BY_HASH, parameters, take).await
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.find(api_keys::FIND, &[&id.as_str()], api_keys::api_key).await
    }

    async fn delete_idempotency_records(&self, now: Timestamp, limit: u32) -> Result<usize, Error> {
        self.writer.write(DeleteEnded { now, limit, clock: self.clock }).await
    }

    async fn list_due_jobs(
        &self,
        now: Timestamp,
        work: Work,
        limits: &DueLimits,
    ) -> Result<Vec<DueJob>, Error> {
        let (now, is_webhook) = (self.clock.or_the_servers(now), work == Work::Webhook);
        let running = self.read(jobs::LIST_RUNNING, &[&now, &is_webhook], jobs::running).await?;
        // A lease may be taken by another worker meanwhile.
        let per_connection = i64::from(limits.per_connection.saturating_add(4).min(limits.total));
        let parameters: Parameters<'_> = &[&now, &per_connection, &is_webhook];
        let candidates = self.read(jobs::LIST_DUE, parameters, jobs::candidate).await?;
        Ok(order_due(candidates, &running, limits))
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.find(accounts::FIND, &[&account.as_str()], accounts::account).await
    }

    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(InsertApiKey { account, row, event }).await
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.read(api_keys::LIST, &[&account.as_str()], api_keys::api_key).await
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
        self.writer.write(RevokeApiKey { account, expected, revoked, event }).await
    }

    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(DeleteAccountPart { account, limit, event }).await
    }

    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error> {
        self.inserts.write(InsertConnection { account: account.clone(), new, clock: self.clock }).await
    }

    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error> {
        self.updates.write(UpdateConnection { account: account.clone(), update, clock: self.clock }).await
    }

    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.deletions.write(DeleteConnection { account, id, event, clock: self.clock }).await
    }

    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error> {
        self.find(connections::FIND, &[&account.as_str(), &id.as_str()], connections::connection).await
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &unique_name];
        self.find(connections::FIND_ID_BY_NAME, parameters, connections::connection_id).await
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &id.as_str()];
        self.find(connections::FIND_SEALED, parameters, connections::sealed_connection).await
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        let (after, limit) = (connections::text_of(after), i64::from(limit));
        let parameters: Parameters<'_> = &[&account.as_str(), &after, &limit];
        self.read(connections::LIST, parameters, connections::connection).await
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        let (after, limit) = (connections::text_of(after), i64::from(limit));
        let parameters: Parameters<'_> = &[&account.as_str(), &after, &limit];
        self.read(connections::LIST_IDS, parameters, connections::connection_id).await
    }

    async fn reserve_idempotency_key(
        &self,
        account: &AccountId,
        request: &OnceRequest,
    ) -> Result<Reserved, Error> {
        let (account, request) = (account.clone(), request.clone());
        self.reservations.write(Reserve { account, request, clock: self.clock }).await
    }

    async fn release_idempotency_key(
        &self,
        account: &AccountId,
        reservation: &Reservation,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, reservation) = (account.clone(), reservation.clone());
        self.releases.write(Release { account, reservation, at, clock: self.clock }).await
    }

    async fn insert_job(&self, account: &AccountId, new: NewJob) -> Result<(), Error> {
        self.writer.write(InsertJob { account: account.clone(), new, clock: self.clock }).await
    }

    async fn find_job(&self, account: &AccountId, id: &JobId) -> Result<Option<Job>, Error> {
        self.find(jobs::FIND, &[&account.as_str(), &id.as_str()], jobs::job).await
    }

    async fn find_stored_job(&self, account: &AccountId, id: &JobId) -> Result<Option<StoredJob>, Error> {
        let key: Parameters<'_> = &[&account.as_str(), &id.as_str()];
        let Some(job) = self.find(jobs::FIND, key, jobs::job).await? else { return Ok(None) };
        let found = self.find(jobs::FIND_MAC, key, jobs::mac_and_request).await?;
        Ok(found.map(|(row_mac, request)| StoredJob { job, row_mac, request }))
    }

    async fn find_job_answer(&self, account: &AccountId, id: &JobId) -> Result<Option<Sealed>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &id.as_str(), &Part::Answer.as_str()];
        self.find(jobs::FIND_PART, parameters, jobs::sealed).await
    }

    async fn list_jobs(
        &self,
        account: &AccountId,
        filter: &JobFilter,
        limit: u32,
    ) -> Result<Vec<Job>, Error> {
        let (before, limit) = (jobs::text_of(filter.before.as_ref()), i64::from(limit));
        let (account, connection) =
            (account.as_str(), filter.connection_id.as_ref().map(ConnectionId::as_str));
        match &connection {
            None => self.read(jobs::LIST, &[&account, &before, &limit], jobs::job).await,
            Some(connection) => {
                let parameters: Parameters<'_> = &[&account, &before, &limit, connection];
                self.read(jobs::LIST_OF_CONNECTION, parameters, jobs::job).await
            }
        }
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
        fence: u64,
        due_in: Duration,
        now: Timestamp,
    ) -> Result<Changed, Error> {
        let (account, id) = (account.clone(), id.clone());
        self.writer.write(ReleaseLease { account, id, fence, due_in, now, clock: self.clock }).await
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

    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, secret, event) = (account.clone(), secret.clone(), event.clone());
        self.writer.write(InsertWebhookSecret { account, secret, overlap, event, clock: self.clock }).await
    }

    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &self.clock.or_the_servers(now)];
        self.read(webhook_secrets::LIST, parameters, webhook_secrets::webhook_secret).await
    }

    async fn insert_audit_event(&self, _account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        self.events.write(InsertAuditEvent { event: event.clone() }).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &i64::from(limit)];
        self.read(audit_events::LIST, parameters, audit_events::audit_event).await
    }
}
