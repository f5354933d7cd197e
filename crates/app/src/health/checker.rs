//! One check: takes its lease, asks Vimeo, and writes what it found.

use std::time::Duration;

use domain::audit::{Action, Actor, AuditEvent};
use domain::connection::{Connection, Credentials as ConnectionCredentials};
use domain::health::{Credentials, Health, HealthReport, HealthStatus, Observation, Transition};
use domain::id::{AccountId, ConnectionId};
use domain::job::WaitingFor;
use domain::time::Timestamp;
use domain::webhook::EventType;
use metrics::{CheckOutcome, ConnectionStatus};
use store::{Changed, HealthLease, HealthRow, HealthUpdate, JobFilter};
use tokio::time::{Instant, sleep};

use super::schedule::{DEFAULT_INTERVAL, Situation, USED_FOR, Usage, is_unanswered, next_check};
use super::{HealthChecks, findings, stored};
use crate::Error;
use crate::connections::open_credentials;
use crate::context::Context;
use crate::webhooks::EventData;

/// How long the lease of a check lasts beyond the time that it may take.
const LEASE_BEYOND: Duration = Duration::from_secs(25);
/// When the result of a check is old, if nothing checks in the background.
const OLD: Duration = Duration::from_mins(5);
/// How often a check that another worker runs is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// When a connection is looked at again that is disabled or whose secrets do not decrypt.
pub(super) const SKIPPED: Duration = Duration::from_hours(24);
/// Attempts of a check whose connection changes meanwhile.
const ATTEMPTS: u32 = 3;

/// Why a connection was not checked.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// The connection was deleted.
    Gone,
    /// Other workers check it, or it changes all the time.
    Busy,
    /// This process has no client of Vimeo.
    NotSetUp,
    /// The database or the secrets could not be read.
    Other(Error),
}

impl<E: Into<Error>> From<E> for CheckError {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The health now.
    pub(crate) health: Health,
    /// The change of its status.
    pub(crate) transition: Option<Transition>,
    /// Whether Vimeo answered.
    pub(crate) is_answered: bool,
}

/// The lease of a check, or what another worker found while it was waited for.
enum Leased {
    Yes(HealthRow),
    Done(Health),
}

/// A write of a health.
pub(super) struct HealthWrite {
    /// The row as it was read.
    pub(super) row: HealthRow,
    /// When the next check is due.
    pub(super) next_check_at: Option<Timestamp>,
    /// Checks in a row that Vimeo did not answer.
    pub(super) unanswered: u32,
    /// The health before.
    pub(super) before: Health,
    /// The health now.
    pub(super) health: Health,
    /// The audit event of the request to check.
    pub(super) request: Option<AuditEvent>,
}

impl Context {
    /// The stored health of a connection, or that of one which an older version added.
    pub(super) async fn health_row(&self, connection: &Connection) -> Result<HealthRow, Error> {
        let found = self.store.find_connection_health(&connection.account_id, &connection.id).await?;
        Ok(found.unwrap_or(HealthRow {
            status: HealthStatus::Unverified,
            since: connection.created_at,
            checked_at: None,
            // Like those that a sweep adds.
            next_check_at: Some(self.clock.now()),
            unanswered: 0,
            revision: 0,
            details: None,
        }))
    }

    /// Whether the last check found a connection unhealthy.
    pub(crate) async fn is_unhealthy(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<bool, store::Error> {
        let row = self.store.find_connection_health(account, id).await?;
        Ok(row.is_some_and(|row| row.status == HealthStatus::Unhealthy))
    }

    /// Whether a connection is unhealthy. If nothing checks in the background, and the last check is old, it is checked now.
    pub(crate) async fn is_unhealthy_now(&self, connection: &Connection) -> Result<bool, Error> {
        let row = self.health_row(connection).await?;
        if row.status != HealthStatus::Unhealthy {
            return Ok(false);
        }
        let is_background = self.health.as_ref().is_none_or(|checks| checks.setup.options.interval.is_some());
        let is_recent = row.checked_at.is_some_and(|at| at.plus(OLD) > self.clock.now());
        if is_background || is_recent {
            return Ok(true);
        }
        Ok(match self.check_connection(connection, None).await {
            Ok(checked) => checked.health.status == HealthStatus::Unhealthy,
            Err(_) => true,
        })
    }

    /// Wakes the worker of this node: a check may be due.
    pub(crate) fn wake_health_worker(&self) {
        if let Some(health) = &self.health {
            health.wake();
        }
    }

    /// Checks a connection now. While another worker checks it, that one's result is awaited. `actor`: who asked for it.
    pub(crate) async fn check_connection(
        &self,
        connection: &Connection,
        actor: Option<&Actor>,
    ) -> Result<Checked, CheckError> {
        let checks = self.health.as_ref().ok_or(CheckError::NotSetUp)?;
        for _ in 0..ATTEMPTS {
            let row = match self.lease_or_wait(checks, connection).await? {
                Leased::Yes(row) => row,
                Leased::Done(health) if actor.is_none() => {
                    let is_answered = !is_unanswered(&health);
                    return Ok(Checked { health, transition: None, is_answered });
                }
                Leased::Done(_) => continue,
            };
            if let Some(checked) = self.check_leased(checks, connection, row, actor).await? {
                return Ok(checked);
            }
        }
        Err(CheckError::Busy)
    }

    /// Takes the lease of a check, after another worker's has ended.
    async fn lease_or_wait(
        &self,
        checks: &HealthChecks,
        connection: &Connection,
    ) -> Result<Leased, CheckError> {
        let budget = checks.setup.requirements.budget;
        let (until, began_at) = (Instant::now() + budget + LEASE_BEYOND, self.clock.now());
        while Instant::now() < until {
            let row = self.health_row(connection).await?;
            if row.checked_at.is_some_and(|at| at > began_at) {
                return Ok(Leased::Done(stored::health(&row)));
            }
            if row.revision == 0 {
                // An older version added the connection. The write adds the row.
                return Ok(Leased::Yes(row));
            }
            if let Some(row) = self.lease_check(checks, connection, row.revision).await? {
                return Ok(Leased::Yes(row));
            }
            sleep(LOOK).await;
        }
        Err(CheckError::Busy)
    }

    pub(super) async fn lease_check(
        &self,
        checks: &HealthChecks,
        connection: &Connection,
        expected_revision: u64,
    ) -> Result<Option<HealthRow>, Error> {
        let lasts = checks.setup.requirements.budget + LEASE_BEYOND;
        let terms = HealthLease { expected_revision, lasts, now: self.clock.now() };
        Ok(self.store.lease_health_check(&connection.account_id, &connection.id, &terms).await?)
    }

    /// Checks a connection whose lease was taken. `None`: it has changed meanwhile.
    pub(super) async fn check_leased(
        &self,
        checks: &HealthChecks,
        connection: &Connection,
        row: HealthRow,
        actor: Option<&Actor>,
    ) -> Result<Option<Checked>, CheckError> {
        let (account, id) = (&connection.account_id, &connection.id);
        let found = self.store.find_sealed_connection(account, id).await?.ok_or(CheckError::Gone)?;
        let (connection, sealed) = found;
        let secrets = match open_credentials(&self.account_key(account).await?, &connection, &sealed) {
            Ok(secrets) => secrets,
            Err(error) => {
                self.leave_unchecked(&connection, row).await?;
                return Err(error.into());
            }
        };
        let credentials = ConnectionCredentials {
            client_identifier: connection.client_identifier.clone(),
            client_secret: secrets.client_secret,
            access_token: secrets.access_token,
        };
        let requirements = &checks.setup.requirements;
        let rate_limit = self.rate_limits.of(id);
        let report = checks.setup.client.check(&credentials, rate_limit, requirements.budget).await;
        let observed = findings::observe(&report, &requirements.scopes);
        let not_before = findings::not_before(&report);
        let before = stored::health(&row);
        let health = before.observe(observed, Credentials::Same, self.clock.now());
        let is_answered = !is_unanswered(&health);
        let unanswered = if is_answered { 0 } else { row.unanswered.saturating_add(1) };
        let usage = self.usage_of(&connection).await?;
        let [random] = self.randomness.identifier_bytes::<1>();
        let extent = findings::extent(&report);
        let situation =
            Situation { health: &health, unanswered, not_before, usage, extent, now: self.clock.now() };
        let interval = checks.setup.options.interval.unwrap_or(DEFAULT_INTERVAL);
        let next_check_at = Some(next_check(&situation, interval, random));
        let request = actor.map(|actor| {
            self.audit_event(account, actor.clone(), Action::VerifyConnection, Some(id.to_string()))
        });
        let write = HealthWrite { row, next_check_at, unanswered, before, health: health.clone(), request };
        let written = self.write_health(&connection, write).await?;
        metrics::record_health_check(if is_answered {
            CheckOutcome::Answered(metric_of(health.status))
        } else {
            CheckOutcome::Unanswered
        });
        if written.is_some() {
            tracing::debug!(connection = %id, status = health.status.as_str(), is_answered, "a connection was checked");
        }
        Ok(written.map(|transition| Checked { health, transition, is_answered }))
    }

    /// The stored secrets do not decrypt: an operator reads that in the log, and the connection is looked at again tomorrow.
    async fn leave_unchecked(&self, connection: &Connection, row: HealthRow) -> Result<(), Error> {
        let before = stored::health(&row);
        let observed = Observation::unknown("The stored credentials cannot be decrypted.");
        let health = before.observe(observed, Credentials::Same, self.clock.now());
        let (next_check_at, unanswered) = (Some(self.clock.now().plus(SKIPPED)), row.unanswered);
        let write = HealthWrite { row, next_check_at, unanswered, before, health, request: None };
        self.write_health(connection, write).await.map(drop)
    }

    /// Writes a health, with the audit event of a change of status. `None`: the connection or its health has changed
    /// meanwhile, and nothing was written.
    pub(super) async fn write_health(
        &self,
        connection: &Connection,
        write: HealthWrite,
    ) -> Result<Option<Option<Transition>>, Error> {
        let HealthWrite { row, next_check_at, unanswered, before, health, request } = write;
        let account = &connection.account_id;
        let transition = health.transition_from(&before);
        let changed = match transition {
            Some(transition) => {
                Some(self.transition_event(connection, (&before, &health), transition).await?)
            }
            None => None,
        };
        let update = HealthUpdate {
            connection_id: connection.id.clone(),
            sealed_version: connection.sealed_version,
            client_identifier: connection.client_identifier.clone(),
            read_next_check_at: row.next_check_at,
            row: HealthRow {
                status: health.status,
                since: health.since,
                checked_at: health.checked_at,
                next_check_at,
                unanswered,
                revision: row.revision,
                details: Some(stored::details(&health)),
            },
            events: request.into_iter().chain(changed).collect(),
        };
        if self.store.write_connection_health(account, update).await? == Changed::No {
            return Ok(None);
        }
        if let Some(Transition { from, to }) = transition {
            let problem = health.problem.as_ref().map(|problem| problem.code.as_str());
            tracing::info!(
                connection = %connection.id, %account, from = from.as_str(), to = to.as_str(), problem,
                "the health of a connection has changed"
            );
            metrics::record_health_change(metric_of(to));
            self.announcer.wakeup.notify_one();
        }
        if health.status != HealthStatus::Unhealthy {
            self.wake_paused_uploads(connection).await;
        }
        Ok(Some(transition))
    }

    /// The audit event of a change of status, with the webhook event that announces it.
    async fn transition_event(
        &self,
        connection: &Connection,
        (before, health): (&Health, &Health),
        transition: Transition,
    ) -> Result<AuditEvent, Error> {
        let action = match transition.to {
            HealthStatus::Healthy => Action::MarkConnectionHealthy,
            HealthStatus::Unhealthy => Action::MarkConnectionUnhealthy,
            HealthStatus::Unverified => Action::MarkConnectionUnverified,
        };
        let event_type = health.report_after(before).map(|report| match report {
            HealthReport::Unhealthy => EventType::ConnectionUnhealthy,
            HealthReport::Recovered => EventType::ConnectionRecovered,
        });
        let account = &connection.account_id;
        let event = self.audit_event(account, Actor::Service, action, Some(connection.id.to_string()));
        let Some(event_type) = event_type else { return Ok(event) };
        let account = self.account(account).await?;
        let data = EventData::Health { connection, health, before: transition.from };
        Ok(self.announce_to_operator(event, (event_type, data), &account))
    }

    /// Makes the uploads due that wait for the connection to recover. If that fails, they look again later.
    async fn wake_paused_uploads(&self, connection: &Connection) {
        let (account, now) = (&connection.account_id, self.clock.now());
        match self.store.wake_jobs(account, &connection.id, WaitingFor::Health, now).await {
            Ok(0) => {}
            Ok(_) => self.upload_wakeup.notify_one(),
            Err(error) => {
                tracing::warn!(%error, connection = %connection.id, "the uploads of a connection could not be woken");
            }
        }
    }

    async fn usage_of(&self, connection: &Connection) -> Result<Usage, Error> {
        let filter = JobFilter { connection_id: Some(connection.id.clone()), ..JobFilter::default() };
        let jobs = self.store.list_jobs(&connection.account_id, &filter, 1).await?;
        let since = self.clock.now().minus(USED_FOR);
        Ok(if jobs.iter().any(|job| job.created_at >= since) { Usage::Used } else { Usage::Idle })
    }

    /// Stores the values of `privacy.view` that an account may use, which only a video shows.
    pub(crate) async fn learn_privacies(
        &self,
        connection: &Connection,
        allowed: Vec<String>,
    ) -> Result<(), Error> {
        let row = self.health_row(connection).await?;
        let before = stored::health(&row);
        if before.facts.allowed_privacies.as_ref() == Some(&allowed) {
            return Ok(());
        }
        let mut health = before.clone();
        health.facts.allowed_privacies = Some(allowed);
        let (next_check_at, unanswered) = (row.next_check_at, row.unanswered);
        let write = HealthWrite { row, next_check_at, unanswered, before, health, request: None };
        self.write_health(connection, write).await.map(drop)
    }
}

fn metric_of(status: HealthStatus) -> ConnectionStatus {
    match status {
        HealthStatus::Healthy => ConnectionStatus::Healthy,
        HealthStatus::Unhealthy => ConnectionStatus::Unhealthy,
        HealthStatus::Unverified => ConnectionStatus::Unverified,
    }
}
