//! A flood: what an honest account, health probes and the service's memory notice of another account that writes far
//! beyond the capacity, or of a client that tries unknown keys; and how fast the service recovers.

mod answers;
mod exchange;
mod table;
mod test_bed;
mod traffic;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Runtime;

use self::answers::{Answers, Latency};
use self::table::p99_ratio;
use self::test_bed::TestBed;
use self::traffic::Recovery;
use crate::error::BenchError;
use crate::rounds::subdirectory;
use crate::service::Plan;

/// How long a flood takes, unless `--seconds` says so.
pub(crate) const SECONDS: u32 = 30;
pub(crate) const QUICK_SECONDS: u32 = 5;
/// A latency is near the unloaded one up to this many times its p99.
const NEAR: f64 = 2.0;
/// The highest `limits.account_concurrent_writes` that is tried: half of the default.
const LOWERED_MOST: u64 = 8;
/// Keeps every limit at its default: without a word about limits, a service of the bench has none.
const DEFAULT_LIMITS: &str = "# limits.* have their defaults.\n";

/// Figures of a run: latencies in microseconds, memory in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    seconds: u32,
    /// Creates per second of 64 connections without pauses.
    capacity_per_second: f64,
    capacity: Answers,
    unloaded: Observed,
    floods: Vec<Flood>,
}

/// What is measured with and without a flood.
#[derive(Debug, Default, Serialize)]
struct Observed {
    get: Answers,
    create: Answers,
    /// Health probes; `admitted` are those that got 200.
    health: Answers,
    rss_before: u64,
    /// At every second.
    rss_by_second: Vec<u64>,
    /// CPU seconds per second of the service and of the bench, until all responses and the recovery.
    service_cores: f64,
    bench_cores: f64,
}

/// One flood.
#[derive(Debug, Serialize)]
struct Flood {
    kind: Kind,
    /// `limits.account_concurrent_writes`, if it is not the default.
    account_writes: Option<u64>,
    observed: Observed,
    attack: Answers,
    attack_per_second: f64,
    /// Of the honest account and of the flood.
    admitted_creates: Latency,
    /// The same, without those of the first second.
    later_creates: Latency,
    recovery: Recovery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Writes,
    UnknownKeys,
}

/// Measures on SQLite; `work` is an empty directory.
pub(crate) fn run(
    runtime: &Runtime,
    program: &Path,
    work: &Path,
    seconds: u32,
    progress: impl Fn(&str),
) -> Result<Results, BenchError> {
    let directory = subdirectory(work, "flood")?;
    let plan = Plan { program, directory, database_url: None, configuration: DEFAULT_LIMITS };
    let mut test_bed = TestBed::set(runtime, &plan, seconds)?;
    let (capacity, capacity_per_second) = test_bed.capacity()?;
    progress(&format!("capacity: {capacity_per_second:.0} creates/s"));
    let (unloaded, _) = test_bed.observe(None)?;
    progress(&format!(
        "unloaded: p99 of gets {} µs, of creates {} µs",
        unloaded.get.admitted.p99_us, unloaded.create.admitted.p99_us
    ));
    let mut floods = vec![test_bed.flood(Kind::Writes, None, &unloaded)?];
    progress("flood of writes, default limits: measured");
    let is_near = floods.iter().all(|flood| is_near(flood.later_creates, unloaded.create.admitted));
    let limit = account_writes(capacity_per_second, unloaded.create.admitted.p99_us);
    if !is_near {
        let configuration = format!("limits.account_concurrent_writes = {limit}\n");
        let plan = Plan { configuration: &configuration, directory: plan.directory.clone(), ..plan };
        test_bed = test_bed.restart(&plan)?;
        floods.push(test_bed.flood(Kind::Writes, Some(limit), &unloaded)?);
        progress(&format!("flood of writes, {limit} at once: measured"));
    }
    let configured = (!is_near).then_some(limit);
    floods.push(test_bed.flood(Kind::UnknownKeys, configured, &unloaded)?);
    Ok(Results { seconds, capacity_per_second, capacity, unloaded, floods })
}

/// The value of `limits.account_concurrent_writes` with which a flood makes an admitted write take at most twice as long as the
/// slowest hundredth without load, if nothing else does: half of the writes that the service stores in that time.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of requests")]
fn account_writes(capacity_per_second: f64, unloaded_p99_us: u64) -> u64 {
    let seconds = Duration::from_micros(unloaded_p99_us).as_secs_f64();
    ((capacity_per_second * seconds / 2.0) as u64).clamp(1, LOWERED_MOST)
}

/// Whether the p99 is at most twice the unloaded one.
fn is_near(latency: Latency, unloaded: Latency) -> bool {
    p99_ratio(latency, unloaded).is_some_and(|ratio| ratio <= NEAR)
}

impl Results {
    /// Whether every request got an expected answer, and every health probe 200. No duration matters.
    pub(crate) fn is_good(&self) -> bool {
        self.faults().is_empty()
    }

    /// What got an unexpected answer.
    fn faults(&self) -> Vec<String> {
        let mut all = vec![("capacity", &self.capacity)];
        let observed = std::iter::once(&self.unloaded).chain(self.floods.iter().map(|flood| &flood.observed));
        for observed in observed {
            all.extend([("get", &observed.get), ("create", &observed.create), ("health", &observed.health)]);
        }
        for flood in &self.floods {
            all.extend([("flood", &flood.attack), ("recovery", &flood.recovery.answers)]);
        }
        let all = all.into_iter().filter(|(_, answers)| answers.unexpected > 0);
        all.map(|(load, answers)| {
            let first = answers.first_unexpected.as_deref().unwrap_or_default();
            format!("{load}: {} unexpected answers, the first: {first}", answers.unexpected)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_writes_follows_from_capacity_and_latency() {
        assert_eq!(account_writes(1_000.0, 10_000), 5);
        assert_eq!(account_writes(100.0, 900), 1);
        assert_eq!(account_writes(10_000.0, 900_000), LOWERED_MOST);
    }

    #[test]
    fn twice_the_unloaded_latency_is_near() {
        let latency = |p99_us| Latency { count: 1, p99_us, ..Latency::default() };
        assert!(is_near(latency(200), latency(100)));
        assert!(!is_near(latency(201), latency(100)));
        assert!(!is_near(Latency::default(), latency(100)), "without an admitted request, none is near");
    }

    #[test]
    fn an_unexpected_answer_to_any_load_is_a_fault_and_refusals_are_none() {
        let refused = Answers { unavailable: 3, ..Answers::default() };
        let mut results = Results {
            seconds: 1,
            capacity_per_second: 1.0,
            capacity: refused.clone(),
            unloaded: Observed::default(),
            floods: vec![Flood {
                kind: Kind::Writes,
                account_writes: None,
                observed: Observed { get: refused.clone(), ..Observed::default() },
                attack: refused,
                attack_per_second: 1.0,
                admitted_creates: Latency::default(),
                later_creates: Latency::default(),
                recovery: Recovery { recovered_ms: None, answers: Answers::default() },
            }],
        };
        assert!(results.is_good());
        results.floods[0].observed.health.unexpected = 2;
        assert_eq!(results.faults(), ["health: 2 unexpected answers, the first: "]);
        assert!(!results.is_good());
    }
}
