//! The health of connections: whether Vimeo accepts their credentials, and whether the account can take uploads.
//!
//! A check asks Vimeo (`checker.rs`), its answers become findings (`findings.rs`), and `domain::health` decides the status. One
//! store call writes it with the audit events of a change. Workers share the checks of all connections (`worker.rs`).

mod breaker;
mod checker;
mod findings;
mod missing;
mod schedule;
mod stored;
#[cfg(test)]
mod truth_table;
mod worker;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::connection::{Availability, Connection};
use domain::health::{Credentials, Health, HealthProblem, HealthStatus, Observation};
use domain::id::{AccountId, ConnectionId};
use domain::page::PageLimit;
use domain::time::Timestamp;
use store::NewHealth;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::connections::ConnectionPage;
use crate::verification::Verified;
use crate::{App, Caller, Error};

pub(crate) use checker::{CheckError, Checked};
pub(crate) use stored::{HealthSummary, summary as health_summary};

/// The shortest time between two checks of a connection on request.
const REQUEST_PAUSE: Duration = Duration::from_secs(5);
/// Attempts of a write that meets another one each time.
const ATTEMPTS: u32 = 5;

/// The options of health checks.
#[derive(Debug, Clone, Copy)]
pub struct HealthOptions {
    /// The longest time between two checks of a connection; `None`: only on request.
    pub interval: Option<Duration>,
    /// Checks that this node runs at once.
    pub concurrency: usize,
}

/// What health checks are set up with.
#[derive(Debug, Clone)]
pub struct HealthSetup {
    /// The client of Vimeo's API.
    pub client: vimeo::Client,
    /// The required scopes.
    pub requirements: vimeo::Requirements,
    /// The options.
    pub options: HealthOptions,
}

/// What checks need on this node.
pub(crate) struct HealthChecks {
    setup: HealthSetup,
    /// Wakes the worker: a check has ended, or was made due.
    finished: Notify,
    /// A check was made due at once.
    is_woken: AtomicBool,
    /// The connections that were checked on request, and when.
    requested: Mutex<HashMap<ConnectionId, Instant>>,
}

impl HealthChecks {
    pub(crate) fn new(setup: HealthSetup) -> Self {
        Self { setup, finished: Notify::new(), is_woken: AtomicBool::new(false), requested: Mutex::default() }
    }

    /// Wakes the worker: a check was made due at once.
    fn wake(&self) {
        self.is_woken.store(true, Ordering::Relaxed);
        self.finished.notify_one();
    }

    /// Counts a check on request; the seconds to wait if the last one was too recent.
    fn admit(&self, id: &ConnectionId) -> Result<(), u64> {
        let now = Instant::now();
        let mut requested = self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        requested.retain(|_, at| now < *at + REQUEST_PAUSE);
        if let Some(at) = requested.get(id) {
            return Err((*at + REQUEST_PAUSE - now).as_secs().saturating_add(1));
        }
        requested.insert(id.clone(), now);
        Ok(())
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChecks").field("options", &self.setup.options).finish_non_exhaustive()
    }
}

/// The health of a connection, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionReport {
    /// The connection.
    pub connection: Connection,
    /// Its health.
    pub health: Health,
    /// When it is checked next, if it is.
    pub next_check_at: Option<Timestamp>,
}

impl App {
    /// The health of one of the caller's connections, as the last check found it.
    pub async fn find_connection_health(
        &self,
        caller: &Caller,
        id: &ConnectionId,
    ) -> Result<ConnectionReport, Error> {
        let connection = self.find_connection(caller, id).await?;
        self.report(connection).await
    }

    async fn report(&self, connection: Connection) -> Result<ConnectionReport, Error> {
        let row = self.store.find_connection_health(&connection.account_id, &connection.id).await?;
        let is_checked = self.checks_in_background() && connection.availability == Availability::Enabled;
        let next_check_at = row.as_ref().and_then(|row| row.next_check_at).filter(|_| is_checked);
        let health = row.as_ref().map_or_else(|| Health::unverified(connection.created_at), stored::health);
        Ok(ConnectionReport { connection, health, next_check_at })
    }

    /// Has Vimeo check a connection now, also a disabled one, and returns what it found.
    pub async fn verify_connection(&self, caller: &Caller, id: &str) -> Result<ConnectionReport, Error> {
        use domain::audit::Action;
        let parsed = ConnectionId::parse(id);
        let id =
            self.well_formed(caller, Action::VerifyConnection, parsed, Error::ConnectionNotFound).await?;
        let verified = self.try_verify_connection(caller, &id).await;
        self.audited(caller, Action::VerifyConnection, Some(id.to_string()), verified).await
    }

    async fn try_verify_connection(
        &self,
        caller: &Caller,
        id: &ConnectionId,
    ) -> Result<ConnectionReport, Error> {
        let connection = self.find_connection(caller, id).await?;
        if let Some(checks) = &self.health {
            checks.admit(id).map_err(|retry_after_seconds| Error::CheckedRecently { retry_after_seconds })?;
        }
        let waits = self.waiting.begin(caller);
        let (context, actor) = (self.context.clone(), caller.actor.clone());
        // In a task of its own: a client that disconnects does not leave the lease of its check behind.
        let checking = async move { context.check_connection(&connection, Some(&actor)).await };
        let checked = self.tasks.spawn(checking.in_current_span()).await;
        drop(waits);
        let checked = checked.map_err(|error| Error::Internal(Box::new(error)))?;
        match checked {
            Ok(_) => self.report(self.find_connection(caller, id).await?).await,
            Err(CheckError::Gone) => Err(Error::ConnectionNotFound),
            Err(CheckError::Busy) => {
                Err(Error::CheckedRecently { retry_after_seconds: REQUEST_PAUSE.as_secs() })
            }
            Err(CheckError::NotSetUp) => {
                Err(Error::Internal("connections cannot be checked in this process".into()))
            }
            Err(CheckError::Other(error)) => Err(error),
        }
    }

    /// The caller's connections with this status that follow `after`, oldest first.
    pub async fn list_connections_by_health(
        &self,
        caller: &Caller,
        status: HealthStatus,
        after: Option<&ConnectionId>,
        limit: PageLimit,
    ) -> Result<ConnectionPage, Error> {
        let account = &caller.account_id;
        let wanted = limit.as_u32() + 1;
        let items = self.store.list_connections_by_health(account, status, after, wanted).await?;
        Ok(self.connection_page(account, items, limit))
    }

    /// The connection, if it has this status.
    pub async fn with_health(
        &self,
        connection: Connection,
        status: HealthStatus,
    ) -> Result<Option<Connection>, Error> {
        let row = self.context.health_row(&connection).await?;
        Ok((row.status == status).then_some(connection))
    }

    /// Refuses an unhealthy connection.
    pub(crate) async fn require_healthy(&self, connection: &Connection) -> Result<(), Error> {
        if !self.context.is_unhealthy_now(connection).await? {
            return Ok(());
        }
        let row = self.store.find_connection_health(&connection.account_id, &connection.id).await?;
        match row.as_ref().filter(|row| row.status == HealthStatus::Unhealthy).map(stored::health) {
            Some(Health { problem: Some(problem), .. }) => Err(Error::ConnectionUnhealthy(problem)),
            _ => Ok(()),
        }
    }

    /// The client of Vimeo's API and the required scopes, also if credentials are stored without a check.
    pub(crate) fn vimeo_setup(&self) -> Result<(&vimeo::Client, &vimeo::Requirements), Error> {
        let setup = self.health.as_ref().map(|checks| (&checks.setup.client, &checks.setup.requirements));
        setup.ok_or_else(|| Error::Internal("this process cannot ask Vimeo".into()))
    }

    /// Whether connections are checked without a request.
    fn checks_in_background(&self) -> bool {
        self.health_interval().is_some()
    }

    fn health_interval(&self) -> Option<Duration> {
        self.health.as_ref()?.setup.options.interval
    }

    /// The health of a new connection.
    pub(crate) fn new_health(&self, verified: Verified, created_at: Timestamp) -> NewHealth {
        let interval = self.health_interval().unwrap_or(schedule::DEFAULT_INTERVAL);
        let [random] = self.randomness.identifier_bytes::<1>();
        match verified {
            Verified::Accepted => NewHealth {
                status: HealthStatus::Healthy,
                checked_at: Some(created_at),
                next_check_at: Some(schedule::first_check(created_at, interval, random)),
            },
            Verified::NotAsked => NewHealth {
                status: HealthStatus::Unverified,
                checked_at: None,
                next_check_at: Some(schedule::first_check_of_unverified(created_at, interval)),
            },
        }
    }

    /// Stores that a connection has other credentials, of which Vimeo has said this. A check of everything follows.
    /// If that fails, the check shows it later: the update itself is stored.
    pub(crate) async fn renew_health(&self, connection: &Connection, verified: Option<Verified>) {
        let Some(verified) = verified else { return };
        if let Err(error) = self.try_renew_health(connection, verified).await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, connection = %connection.id, "the health of updated credentials was not stored");
        }
        self.wake_health_worker();
    }

    async fn try_renew_health(&self, connection: &Connection, verified: Verified) -> Result<(), Error> {
        let observed = match verified {
            Verified::Accepted => Observation::accepted(),
            Verified::NotAsked => Observation::unknown("Vimeo could not be asked."),
        };
        for _ in 0..ATTEMPTS {
            let row = self.context.health_row(connection).await?;
            let before = stored::health(&row);
            let health = before.observe(observed.clone(), Credentials::Replaced, self.clock.now());
            let write = checker::HealthWrite {
                row,
                next_check_at: Some(self.clock.now()),
                unanswered: 0,
                before,
                health,
                request: None,
            };
            if self.context.write_health(connection, write).await?.is_some() {
                return Ok(());
            }
        }
        // Another check has seen the new credentials each time.
        Ok(())
    }

    /// Makes the check of a connection due, before its credentials change: if this process ends in between, a worker checks.
    pub(crate) async fn schedule_check(&self, account: &AccountId, id: &ConnectionId) -> Result<(), Error> {
        Ok(self.store.schedule_health_check(account, id, Duration::ZERO, self.clock.now()).await?)
    }
}

/// Why uploads of a connection are refused, in one line.
pub(crate) fn in_one_line(problem: &HealthProblem) -> String {
    problem.message.lines().collect::<Vec<_>>().join(" ")
}
