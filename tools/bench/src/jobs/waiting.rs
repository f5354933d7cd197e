//! Waiting uploads, of a disabled connection: what they cost the service, and how soon an upload of another connection starts
//! beside them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::fixture::{Fixture, Running, VIDEO_BYTES, Worker};
use crate::error::BenchError;
use crate::process::{cpu_us, family_cpu_us};
use crate::time_of_day::now;

/// How long the service may take after its start to defer all waiting uploads.
const SETTLE: Duration = Duration::from_secs(20);
/// How long its CPU time is measured.
const MEASURE: Duration = Duration::from_secs(20);
/// How many uploads are started beside the waiting ones, one after another.
const STARTS: usize = 10;
/// The time limit of a start.
const START_LIMIT: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(2);

/// The cost of waiting uploads.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Waiting {
    pub(super) jobs: u64,
    pub(super) queued_per_second: f64,
    /// Of the service, in percent of one core.
    pub(super) cpu_percent: f64,
    /// Of all processes of PostgreSQL, in percent of one core.
    pub(super) postgres_cpu_percent: Option<f64>,
    /// From the request for an upload until the first request to its source, in milliseconds: the median and the longest.
    /// Absent if one did not start within a minute.
    pub(super) start_ms: Option<(f64, f64)>,
}

pub(super) fn run(fixture: &Fixture<'_>, progress: &impl Fn(&str)) -> Result<Waiting, BenchError> {
    let jobs = fixture.options.waiting;
    let running = fixture.start("waiting", Worker::Off, 2)?;
    let [disabled, other] = running.connections.as_slice() else { return Err("no two connections".into()) };
    let (disabled, other) = (disabled.clone(), other.clone());
    let started = Instant::now();
    running.queue(std::slice::from_ref(&disabled), jobs)?;
    let queued_per_second = per_second(jobs, started.elapsed());
    running.send("PUT", &format!("/{disabled}"), &json!({"version": 1, "enabled": false}))?;
    let running = running.restart_with_worker()?;
    progress(&format!("{}: {jobs} uploads wait, queued at {queued_per_second:.0} a second", fixture.name()));
    sleep(SETTLE);
    let postmaster = fixture.options.postgres.filter(|_| running.is_on_postgres()).map(|(_, pid)| pid);
    let (cpu_percent, postgres_cpu_percent) = measure_cpu(&running, postmaster)?;
    let start_ms = measure_starts(&running, &other)?;
    progress(&format!("{}: {cpu_percent:.2} % of a core while they wait", fixture.name()));
    Ok(Waiting { jobs, queued_per_second, cpu_percent, postgres_cpu_percent, start_ms })
}

fn measure_cpu(running: &Running<'_>, postmaster: Option<u32>) -> Result<(f64, Option<f64>), BenchError> {
    let pid = running.service.id();
    let used = || Ok::<_, BenchError>((cpu_us(pid)?, postmaster.map(family_cpu_us).transpose()?));
    let (started, before) = (Instant::now(), used()?);
    sleep(MEASURE);
    let (elapsed, after) = (started.elapsed(), used()?);
    let percent =
        |before: u64, after: u64| per_second(after.saturating_sub(before), elapsed) / 1_000_000.0 * 100.0;
    let postgres = before.1.zip(after.1).map(|(before, after)| percent(before, after));
    Ok((percent(before.0, after.0), postgres))
}

/// The median and the longest time until an upload starts.
fn measure_starts(running: &Running<'_>, connection: &str) -> Result<Option<(f64, f64)>, BenchError> {
    let mut millis = Vec::new();
    for _ in 0..STARTS {
        running.source.forget();
        let (sent_at, waited) = (now(), Instant::now());
        let body = json!({"source": {"url": running.source.url(VIDEO_BYTES)}});
        running.send("POST", &format!("/{connection}/uploads"), &body)?;
        let asked_at = loop {
            match running.source.first_requested_at() {
                Some(at) => break at,
                None if waited.elapsed() > START_LIMIT => return Ok(None),
                None => sleep(STEP),
            }
        };
        millis.push(asked_at.seconds_since(sent_at) * 1_000.0);
        wait_until_idle(running)?;
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis.get(millis.len() / 2).copied().zip(millis.last().copied()))
}

/// Waits until the newest upload has ended.
fn wait_until_idle(running: &Running<'_>) -> Result<(), BenchError> {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        let page = running.jobs(1, None)?;
        let status = page.pointer("/items/0/data/status").and_then(Value::as_str);
        if status.is_some_and(|status| status != "in-progress") {
            return Ok(());
        }
        sleep(Duration::from_millis(20));
    }
    Err("an upload beside those that wait did not end within a minute".into())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}
