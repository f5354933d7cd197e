//! Counts of open jobs and of connections that are not healthy: for metrics, read when they are requested and at most
//! every ten seconds, and for commands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::job::WaitingFor;
use domain::time::Timestamp;
use metrics::{JobGroup, NotHealthy};
use store::{JobCount, WaitingDeliveries};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::{App, Error};

/// How long a reading is used, so that frequent requests for metrics do not load the database.
const TTL: Duration = Duration::from_secs(10);
/// How long a request for metrics waits for a new reading.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long the last reading is used while a new one takes longer.
const STALE_MAX: Duration = Duration::from_mins(1);

/// More connections of one status are not counted.
const NOT_HEALTHY_MAX: u32 = 100_000;

/// States of unfinished jobs. A name that is not known here was written by a newer version.
const STATES: [&str; 7] =
    ["queued", "creating", "uploading", "configuring", "transcoding", "publishing", "cleaning_up"];
/// States of ended jobs, which are open only for their webhooks.
const ENDED_STATES: [&str; 3] = ["completed", "failed", "cancelled"];
const UNKNOWN: &str = "unknown";

/// The last reading.
#[derive(Default)]
pub(crate) struct JobReadings {
    last: Mutex<Option<Reading>>,
    /// Locked while the database is read: one reading at a time.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone)]
struct Reading {
    at: Instant,
    /// `None`: the database could not be read.
    counts: Option<Counts>,
}

/// What is counted for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// The open jobs, and the webhooks that wait.
    pub jobs: Vec<JobGroup>,
    /// The connections that are not healthy.
    pub not_healthy: NotHealthy,
}

impl JobReadings {
    fn put(&self, counts: Option<Counts>) {
        let reading = Reading { at: Instant::now(), counts };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    /// The last reading, unless it is older.
    fn within(&self, age: Duration) -> Option<Reading> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|reading| reading.at.elapsed() < age).cloned()
    }
}

impl App {
    /// How many writes wait.
    pub fn queued_writes(&self) -> usize {
        self.store.queued_writes()
    }

    /// The counts of all accounts; `None` if the database cannot be read. Takes at most two seconds.
    pub async fn measure(self: &Arc<Self>) -> Option<Counts> {
        if let Some(reading) = self.job_readings.within(TTL) {
            return reading.counts;
        }
        if let Ok(flight) = self.job_readings.flight.clone().try_lock_owned() {
            let (app, runtime) = (self.clone(), Handle::current());
            // Not on a thread that serves requests: with many jobs, SQLite computes for a while.
            tokio::task::spawn_blocking(move || {
                app.job_readings.put(runtime.block_on(app.read_counts()));
                drop(flight);
            });
        }
        // A slow reading continues, and is there for the next request.
        let _ = timeout(DEADLINE, self.job_readings.flight.lock()).await;
        self.job_readings.within(STALE_MAX)?.counts
    }

    /// The unfinished jobs of all accounts, by the name of their state.
    pub async fn count_unfinished_jobs(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut counts = BTreeMap::new();
        for group in self.store.count_open_jobs(self.clock.now()).await? {
            if !ENDED_STATES.contains(&group.state.as_str()) {
                *counts.entry(group.state).or_default() += group.count;
            }
        }
        Ok(counts)
    }

    /// The connections of all accounts that are not healthy.
    pub async fn count_not_healthy_connections(&self) -> Result<NotHealthy, Error> {
        let counted = self.store.count_not_healthy_connections(NOT_HEALTHY_MAX).await?;
        let store::NotHealthy { unhealthy, unverified } = counted;
        Ok(NotHealthy { unhealthy, unverified })
    }

    async fn read_counts(&self) -> Option<Counts> {
        let now = self.clock.now();
        let counted = async {
            let jobs = self.store.count_open_jobs(now).await?;
            let deliveries = self.store.count_waiting_webhook_deliveries().await?;
            let not_healthy = self.count_not_healthy_connections().await?;
            let groups = jobs.iter().map(|count| group(count, now));
            Ok::<_, Error>(Counts { jobs: groups.chain(webhooks(&deliveries, now)).collect(), not_healthy })
        };
        match counted.await {
            Ok(counts) => Some(counts),
            Err(error) => {
                tracing::warn!(%error, "jobs and connections could not be counted for metrics");
                None
            }
        }
    }
}

/// The deliveries that wait, if there are any.
fn webhooks(waiting: &WaitingDeliveries, now: Timestamp) -> Option<JobGroup> {
    let due_since = waiting.earliest_due_at.filter(|due_at| *due_at <= now).map(Timestamp::as_micros);
    (waiting.count > 0).then_some(JobGroup::Webhooks { count: waiting.count, due_since })
}

/// A group as it is exported. A job that no worker holds and that has no other reason waits for a worker.
fn group(jobs: &JobCount, now: Timestamp) -> JobGroup {
    let is_due = !jobs.is_leased && jobs.earliest_due_at <= now;
    let due_since = is_due.then(|| jobs.earliest_due_at.as_micros());
    if ENDED_STATES.contains(&jobs.state.as_str()) {
        return JobGroup::Webhooks { count: jobs.count, due_since };
    }
    let known = |name: &str, names: &[&'static str]| names.iter().copied().find(|known| *known == name);
    let waiting_for = match &jobs.waiting_for {
        _ if jobs.is_leased => "nothing",
        None => "worker",
        Some(reason) => WaitingFor::from_stored(reason).map_or(UNKNOWN, WaitingFor::as_str),
    };
    JobGroup::Unfinished {
        state: known(&jobs.state, &STATES).unwrap_or(UNKNOWN),
        waiting_for,
        count: jobs.count,
        oldest_created_at: jobs.oldest_created_at.as_micros(),
        due_since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(state: &str, waiting_for: Option<&str>, due_at: i64) -> JobCount {
        JobCount {
            state: state.to_owned(),
            waiting_for: waiting_for.map(str::to_owned),
            is_leased: false,
            count: 3,
            oldest_created_at: Timestamp::from_micros(5),
            earliest_due_at: Timestamp::from_micros(due_at),
        }
    }

    fn unfinished(state: &'static str, waiting_for: &'static str, due_since: Option<i64>) -> JobGroup {
        JobGroup::Unfinished { state, waiting_for, count: 3, oldest_created_at: 5, due_since }
    }

    #[test]
    fn a_group_waits_for_its_reason_for_a_worker_or_for_nothing() {
        let now = Timestamp::from_micros(100);
        let leased = JobCount { is_leased: true, ..jobs("uploading", Some("client"), 50) };
        for (counted, expected) in [
            (jobs("queued", None, 50), unfinished("queued", "worker", Some(50))),
            (jobs("queued", None, 101), unfinished("queued", "worker", None)),
            (jobs("creating", Some("rate-limit"), 100), unfinished("creating", "rate-limit", Some(100))),
            (jobs("transcoding", Some("transcoding"), 101), unfinished("transcoding", "transcoding", None)),
            (leased, unfinished("uploading", "nothing", None)),
            (jobs("new", Some("new"), 101), unfinished("unknown", "unknown", None)),
            (jobs("failed", None, 99), JobGroup::Webhooks { count: 3, due_since: Some(99) }),
            (jobs("completed", None, 101), JobGroup::Webhooks { count: 3, due_since: None }),
        ] {
            assert_eq!(group(&counted, now), expected, "{counted:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_is_used_until_it_is_too_old() {
        let readings = JobReadings::default();
        assert!(readings.within(TTL).is_none());
        let counts = Counts { jobs: Vec::new(), not_healthy: NotHealthy { unhealthy: 0, unverified: 0 } };
        readings.put(Some(counts));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert!(readings.within(TTL).is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(readings.within(TTL).is_none() && readings.within(STALE_MAX).is_some());
        readings.put(None);
        assert!(
            readings.within(STALE_MAX).unwrap().counts.is_none(),
            "a failed reading replaces the last one"
        );
    }
}
