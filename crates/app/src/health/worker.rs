//! The worker: checks due connections, a few at once, fairly between accounts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::connection::Availability;
use domain::id::AccountId;
use store::DueHealthCheck;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::breaker::{Allowance, Breaker};
use super::checker::{CheckError, HealthWrite, SKIPPED};
use super::{HealthChecks, stored};
use crate::App;

/// How often the database is polled for due checks.
const POLL: Duration = Duration::from_secs(1);
/// The longest time between two polls, with very many accounts.
const POLL_MAX: Duration = Duration::from_mins(1);
/// Due checks of one account that are read at once.
const PER_ACCOUNT: u32 = 32;
/// Due checks that are kept at once.
const QUEUED_MAX: usize = 1_024;

impl App {
    /// Checks due connections until `stopping`.
    pub async fn run_health_worker(self: Arc<Self>, stopping: CancellationToken) {
        let Some(checks) = self.health.clone() else { return };
        if !self.checks_in_background() {
            return;
        }
        let (app, stopped) = (self.clone(), stopping.clone());
        self.tasks.spawn(async move {
            // What is left is done after the next start.
            stopped.run_until_cancelled(app.keep_adding_missing_health()).await;
        });
        let slots = Arc::new(Semaphore::new(checks.setup.options.concurrency));
        let breaker = Arc::new(Mutex::new(Breaker::default()));
        let mut due = VecDeque::new();
        let mut next_poll = Instant::now();
        loop {
            let now = Instant::now();
            let allowance = lock(&breaker).allowance(now);
            if let Allowance::None(until) = allowance {
                if !pause(&stopping, &checks, until).await {
                    return;
                }
                continue;
            }
            if due.is_empty() && now >= next_poll {
                due = self.list_due_checks().await;
                next_poll = Instant::now() + pause_after(now.elapsed());
            }
            let is_alone = slots.available_permits() == checks.setup.options.concurrency;
            let may_run = allowance == Allowance::All || is_alone;
            if may_run && let Some(next) = due.pop_front() {
                let Ok(slot) = slots.clone().acquire_owned().await else { return };
                if stopping.is_cancelled() {
                    return;
                }
                let (app, of_check, breaker) = (self.clone(), checks.clone(), breaker.clone());
                self.tasks.spawn(async move {
                    if let Some(is_answered) = app.run_due_check(&of_check, &next).await {
                        lock(&breaker).record(is_answered, Instant::now());
                    }
                    drop(slot);
                    of_check.finished.notify_one();
                });
                // What was made due at once must not wait for the whole queue.
                if checks.is_woken.swap(false, Ordering::Relaxed) {
                    due.clear();
                    next_poll = Instant::now();
                }
                continue;
            }
            let until = if due.is_empty() { next_poll } else { now + POLL };
            if !pause(&stopping, &checks, until).await {
                return;
            }
            if checks.is_woken.swap(false, Ordering::Relaxed) {
                due.clear();
                next_poll = Instant::now();
            }
        }
    }

    /// Not on a thread that serves requests: with many accounts, SQLite computes for a while.
    async fn list_due_checks(self: &Arc<Self>) -> VecDeque<DueHealthCheck> {
        let (app, runtime) = (self.clone(), Handle::current());
        let listing = tokio::task::spawn_blocking(move || {
            runtime.block_on(app.store.list_due_health_checks(app.clock.now(), PER_ACCOUNT))
        });
        let Ok(listed) = listing.await else { return VecDeque::new() };
        match listed {
            Ok(due) => in_fair_order(due),
            Err(error) => {
                tracing::warn!(%error, "the due checks of connections could not be read");
                VecDeque::new()
            }
        }
    }

    /// Whether Vimeo answered; `None` if it was not asked.
    async fn run_due_check(&self, checks: &HealthChecks, due: &DueHealthCheck) -> Option<bool> {
        match self.try_due_check(checks, due).await {
            Ok(is_answered) => is_answered,
            Err(CheckError::Gone) => {
                // An older version deletes the connection alone.
                let (account, id) = (&due.account_id, &due.connection_id);
                if let Err(error) = self.store.delete_orphaned_health(account, id).await {
                    tracing::debug!(%error, connection = %id, "the health of a deleted connection is left");
                }
                None
            }
            Err(CheckError::Busy | CheckError::NotSetUp) => None,
            Err(CheckError::Other(error)) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, connection = %due.connection_id, "a connection could not be checked");
                None
            }
        }
    }

    async fn try_due_check(
        &self,
        checks: &HealthChecks,
        due: &DueHealthCheck,
    ) -> Result<Option<bool>, CheckError> {
        let (account, id) = (&due.account_id, &due.connection_id);
        let connection = self.store.find_connection(account, id).await?.ok_or(CheckError::Gone)?;
        let Some(row) = self.lease_check(checks, &connection, due.revision).await? else {
            // Another worker was faster.
            return Ok(None);
        };
        if connection.availability == Availability::Disabled {
            let health = stored::health(&row);
            let (next_check_at, unanswered) = (Some(self.clock.now().plus(SKIPPED)), row.unanswered);
            let before = health.clone();
            let write = HealthWrite { row, next_check_at, unanswered, before, health, request: None };
            self.write_health(&connection, write).await?;
            return Ok(None);
        }
        let checked = self.check_leased(checks, &connection, row, None).await?;
        Ok(checked.map(|checked| checked.is_answered))
    }
}

/// How long a poll is followed by none: it costs a search for each account, and takes one percent of the time at most.
fn pause_after(poll: Duration) -> Duration {
    (poll * 100).clamp(POLL, POLL_MAX)
}

/// Waits until then, or until something happens; `false` if the worker must stop.
async fn pause(stopping: &CancellationToken, checks: &HealthChecks, until: Instant) -> bool {
    tokio::select! {
        () = stopping.cancelled() => return false,
        () = sleep_until(until) => {}
        () = checks.finished.notified() => {}
    }
    true
}

fn lock(breaker: &Mutex<Breaker>) -> std::sync::MutexGuard<'_, Breaker> {
    breaker.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of each account its first, then of each its second, and so on; the earliest first.
fn in_fair_order(mut due: Vec<DueHealthCheck>) -> VecDeque<DueHealthCheck> {
    due.sort_by_key(|check| check.due_at);
    let mut ranks: HashMap<AccountId, usize> = HashMap::new();
    let mut ranked: Vec<_> = due
        .into_iter()
        .map(|check| {
            let rank = ranks.entry(check.account_id.clone()).or_default();
            *rank += 1;
            (*rank, check)
        })
        .collect();
    ranked.sort_by_key(|(rank, check)| (*rank, check.due_at));
    ranked.into_iter().take(QUEUED_MAX).map(|(_, check)| check).collect()
}

#[cfg(test)]
mod tests {
    use domain::id::ConnectionId;
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn slow_polls_are_rare() {
        let pause = |millis| pause_after(Duration::from_millis(millis)).as_millis();
        assert_eq!([0, 5, 200, 10_000].map(pause), [1_000, 1_000, 20_000, 60_000]);
    }

    #[test]
    fn an_account_with_many_due_checks_delays_no_other() {
        let check = |account: &str, second: i64| DueHealthCheck {
            account_id: AccountId::from_stored(account.to_owned()),
            connection_id: ConnectionId::from_stored(format!("{account}{second}")),
            revision: 1,
            due_at: Timestamp::from_millis(second * 1_000),
        };
        let mut due: Vec<_> = (0..5_000).map(|second| check("a", second)).collect();
        due.push(check("b", 9_000));
        due.push(check("c", 8_000));
        let ordered = in_fair_order(due);
        assert_eq!(ordered.len(), QUEUED_MAX);
        let first: Vec<_> = ordered.iter().take(4).map(|check| check.connection_id.as_str()).collect();
        assert_eq!(first, ["a0", "c8000", "b9000", "a1"]);
    }
}
