//! The worker: checks due connections, a few at once, fairly between accounts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::connection::Availability;
use domain::id::AccountId;
use store::{DueHealthCheck, HealthRow};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::breaker::{Allowance, Breaker};
use super::checker::{CheckError, HealthWrite, SKIPPED};
use super::{HealthChecks, stored};
use crate::App;

/// How often the database is polled for due checks.
const POLL: Duration = Duration::from_secs(1);
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
            let Some(Err(error)) = stopped.run_until_cancelled(app.add_missing_health()).await else {
                return;
            };
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "connections of an older version could not be prepared for their checks");
        });
        let slots = Arc::new(Semaphore::new(checks.setup.options.concurrency));
        let breaker = Arc::new(Mutex::new(Breaker::default()));
        let mut due = VecDeque::new();
        let mut polled_at = None;
        loop {
            let pause = lock(&breaker).allowance(Instant::now());
            let wake_at = match pause {
                Allowance::None(until) => until,
                allowance => {
                    if due.is_empty() && polled_at.is_none_or(|at: Instant| at.elapsed() >= POLL) {
                        due = self.list_due_checks().await;
                        polled_at = Some(Instant::now());
                    }
                    let is_alone = slots.available_permits() == checks.setup.options.concurrency;
                    let may_run = allowance == Allowance::All || is_alone;
                    if may_run && let Some(next) = due.pop_front() {
                        let Ok(slot) = slots.clone().acquire_owned().await else { return };
                        if stopping.is_cancelled() {
                            return;
                        }
                        let (app, checks, breaker) = (self.clone(), checks.clone(), breaker.clone());
                        self.tasks.spawn(async move {
                            if let Some(is_answered) = app.run_due_check(&checks, &next).await {
                                lock(&breaker).record(is_answered, Instant::now());
                            }
                            drop(slot);
                            checks.wakeup.notify_one();
                        });
                        continue;
                    }
                    Instant::now() + POLL
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep_until(wake_at) => {}
                () = checks.wakeup.notified() => {}
            }
        }
    }

    async fn list_due_checks(&self) -> VecDeque<DueHealthCheck> {
        match self.store.list_due_health_checks(self.clock.now(), PER_ACCOUNT).await {
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
            Err(CheckError::Gone | CheckError::Busy | CheckError::NotSetUp) => None,
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
            let row = HealthRow { next_check_at: Some(self.clock.now().plus(SKIPPED)), ..row };
            let write = HealthWrite { row, before: health.clone(), health, request: None };
            self.write_health(&connection, write).await?;
            return Ok(None);
        }
        let checked = self.check_leased(checks, &connection, row, None).await?;
        Ok(checked.map(|checked| checked.is_answered))
    }
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
