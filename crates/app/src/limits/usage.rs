//! How much of its limits each account uses, on this node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::AccountId;
use domain::limits::Limit;
use store::{Counted, Store};
use tokio::time::Instant;

use super::per_account::PerAccount;
use super::tally::{CountAge, Tally, Verdict};
use crate::Error;

/// How often one request counts before it is refused, while others are added meanwhile.
const COUNTS: u32 = 3;

/// The usage of all accounts. What was forgotten of one is counted again when needed.
#[derive(Debug, Default)]
pub(crate) struct Usage(PerAccount<AccountUsage>);

/// The usage of one account.
#[derive(Debug, Default)]
struct AccountUsage {
    connections: Thing,
    jobs: Thing,
    records: Thing,
    endpoints: Thing,
    authorizations: Thing,
}

/// The number of things of one kind.
#[derive(Debug, Default)]
struct Thing {
    state: Mutex<State>,
    /// Held while counting, so that concurrent requests share one count.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    /// When the last count started.
    counted_at: Option<Instant>,
}

/// One more thing, which is counted from now on. When it is dropped, it counts as added.
#[derive(Debug)]
#[must_use]
pub(crate) struct Place {
    /// `None` if there is no limit.
    of: Option<(Arc<AccountUsage>, Counted)>,
}

impl Usage {
    /// Reserves a place for one more thing. [`Error::LimitReached`].
    pub(crate) async fn reserve(
        &self,
        store: &dyn Store,
        account: &AccountId,
        counted: Counted,
        limit: u64,
    ) -> Result<Place, Error> {
        if limit == 0 {
            return Ok(Place { of: None });
        }
        let usage = self.0.find_or_add(account, AccountUsage::default);
        let thing = usage.thing(counted);
        let arrived_at = Instant::now();
        let mut verdict = thing.decide(limit, arrived_at);
        for _ in 0..COUNTS {
            if verdict != Verdict::Count {
                break;
            }
            thing.count(store, account, counted, limit).await?;
            verdict = thing.decide(limit, arrived_at);
        }
        match verdict {
            Verdict::Admit => Ok(Place { of: Some((usage, counted)) }),
            Verdict::Refuse | Verdict::Count => {
                Err(Error::LimitReached { limit: limit_of(counted), value: limit })
            }
        }
    }
}

fn limit_of(counted: Counted) -> Limit {
    match counted {
        Counted::Connections => Limit::Connections,
        Counted::JobsInProgress => Limit::JobsInProgress,
        Counted::IdempotencyRecords => Limit::IdempotencyRecords,
        Counted::WebhookEndpoints => Limit::WebhookEndpoints,
        Counted::OpenAuthorizations => Limit::OpenAuthorizations,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccountUsage {
    fn thing(&self, counted: Counted) -> &Thing {
        match counted {
            Counted::Connections => &self.connections,
            Counted::JobsInProgress => &self.jobs,
            Counted::IdempotencyRecords => &self.records,
            Counted::WebhookEndpoints => &self.endpoints,
            Counted::OpenAuthorizations => &self.authorizations,
        }
    }
}

impl Thing {
    /// Decides about one more, and begins to add it if it is admitted.
    fn decide(&self, limit: u64, arrived_at: Instant) -> Verdict {
        let mut state = lock(&self.state);
        let age = match state.counted_at {
            None => CountAge::Never,
            Some(at) if at >= arrived_at => CountAge::After,
            Some(at) => CountAge::Before(arrived_at - at),
        };
        let verdict = state.tally.decide(limit, age);
        if verdict == Verdict::Admit {
            state.tally.begin();
        }
        verdict
    }

    /// Counts, unless another request begins to do so while this one waits for it.
    async fn count(
        &self,
        store: &dyn Store,
        account: &AccountId,
        counted: Counted,
        most: u64,
    ) -> Result<(), Error> {
        let waited_since = Instant::now();
        let _counting = self.counting.lock().await;
        let (started_at, added) = {
            let state = lock(&self.state);
            // Shared: this count started while the request waited for it.
            if state.counted_at.is_some_and(|at| at > waited_since) {
                return Ok(());
            }
            (Instant::now(), state.tally.added())
        };
        let count = store.count_of_account(account, counted, most).await?;
        let mut state = lock(&self.state);
        state.tally.set(count, added);
        state.counted_at = Some(started_at);
        Ok(())
    }
}

impl Place {
    /// The thing was not added.
    pub(crate) fn withdraw(mut self) {
        if let Some((usage, counted)) = self.of.take() {
            lock(&usage.thing(counted).state).tally.withdraw();
        }
    }

    /// Settles the place by the result of the addition: only a definite failure withdraws it.
    pub(crate) fn settle<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Err(Error::OutcomeUnknown) | Ok(_) => drop(self),
            Err(_) => self.withdraw(),
        }
        result
    }
}

impl Drop for Place {
    /// Also if the request was abandoned: its write may still be executed. A later count corrects it.
    fn drop(&mut self) {
        if let Some((usage, counted)) = self.of.take() {
            lock(&usage.thing(counted).state).tally.complete();
        }
    }
}
