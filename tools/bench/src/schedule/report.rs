//! The figures, as a table and as `schedule.json`.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::database::Writes;
use super::openings::{Opening, Openings};
use super::{Killed, Options, VIMEO_MILLIS};
use crate::time_of_day::TimeOfDay;

/// A video is opened at most this long after its time.
const LATE_MAX_SECONDS: f64 = 2.0;

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    jobs: u64,
    spread_seconds: u32,
    vimeo_millis: u64,
    preparation_seconds: f64,
    idle: Used,
    waiting: Used,
    /// Opened before their time.
    early: u64,
    /// Not opened, or not completed.
    lost: u64,
    /// Opened later than two seconds after their time.
    late: u64,
    leases_when_killed: u64,
    vimeo_requests_per_job: f64,
    rows_written_per_job: f64,
    cpu_ms_per_job: CpuPerJob,
    all: Lateness,
    two_nodes: Lateness,
    one_node: Lateness,
    /// Jobs that were leased more than once: the killed node had them, or it was slower than its lease.
    leased_again: Lateness,
    /// Those of them that were opened after the kill.
    leased_again_opened_after: Lateness,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct CpuPerJob {
    nodes: f64,
    postgres: f64,
    sandbox: f64,
}

/// What was used while nothing was to be done.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Used {
    pub(super) seconds: f64,
    pub(super) vimeo_requests: u64,
    /// Of both nodes, in percent of one core.
    pub(super) cpu_percent: f64,
    pub(super) postgres_cpu_percent: f64,
    pub(super) writes: Writes,
}

/// In milliseconds after the time.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Lateness {
    jobs: usize,
    least: f64,
    p50: f64,
    p99: f64,
    most: f64,
}

impl Lateness {
    fn of<'a>(jobs: impl Iterator<Item = &'a Opening>) -> Self {
        let mut millis: Vec<f64> = jobs.filter_map(|job| Some(job.late_by? * 1_000.0)).collect();
        millis.sort_by(f64::total_cmp);
        let at = |percent: usize| millis.get(millis.len().saturating_sub(1) * percent / 100).copied();
        let shown = |percent| at(percent).unwrap_or_default();
        Self { jobs: millis.len(), least: shown(0), p50: shown(50), p99: shown(99), most: shown(100) }
    }
}

impl Report {
    pub(super) fn of(
        options: &Options<'_>,
        (idle, waiting): (Used, Used),
        preparation: Duration,
        openings: &Openings,
        killed: &Killed,
    ) -> Self {
        let Killed { at, leases, vimeo_requests, cpu_us: [nodes, postgres, sandbox], writes } = *killed;
        let jobs = &openings.jobs;
        let count = |is: fn(&Opening) -> bool| jobs.iter().filter(|job| is(job)).count() as u64;
        let is_before = |job: &&Opening, at: TimeOfDay| job.due_at.signed_seconds_since(at) < 0.0;
        let per_job = |count: u64| per(count, options.jobs);
        Self {
            jobs: options.jobs,
            spread_seconds: options.seconds,
            vimeo_millis: VIMEO_MILLIS,
            preparation_seconds: preparation.as_secs_f64(),
            idle,
            waiting,
            early: count(|job| job.late_by.is_some_and(|seconds| seconds < 0.0)),
            lost: count(Opening::is_lost),
            late: count(|job| job.late_by.is_some_and(|seconds| seconds > LATE_MAX_SECONDS)),
            leases_when_killed: leases,
            vimeo_requests_per_job: per_job(vimeo_requests),
            rows_written_per_job: per_job(writes.rows),
            cpu_ms_per_job: CpuPerJob {
                nodes: per_job(nodes) / 1_000.0,
                postgres: per_job(postgres) / 1_000.0,
                sandbox: per_job(sandbox) / 1_000.0,
            },
            all: Lateness::of(jobs.iter()),
            two_nodes: Lateness::of(jobs.iter().filter(|job| is_before(job, at))),
            one_node: Lateness::of(jobs.iter().filter(|job| !is_before(job, at))),
            leased_again: Lateness::of(jobs.iter().filter(|job| job.leases > 1)),
            leased_again_opened_after: Lateness::of(
                jobs.iter().filter(|job| job.leases > 1 && job.is_opened_after(at)),
            ),
        }
    }

    /// Whether no video was early, lost or late.
    pub(crate) fn is_good(&self) -> bool {
        (self.early, self.lost, self.late) == (0, 0, 0)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<24} {:>9} {:>15} {:>12} {:>13} {:>13} {:>10}\n",
            "in 10 s", "seconds", "Vimeo requests", "rows written", "WAL bytes", "CPU, nodes", "PostgreSQL"
        );
        for (name, used) in [("no job", &self.idle), ("all jobs wait", &self.waiting)] {
            let Used { seconds, vimeo_requests, cpu_percent, postgres_cpu_percent, writes } = used;
            let _ = writeln!(
                text,
                "{name:<24} {seconds:>9.1} {vimeo_requests:>15} {:>12} {:>13} {cpu_percent:>12.2}% \
                 {postgres_cpu_percent:>9.2}%",
                writes.rows, writes.wal_bytes
            );
        }
        let _ = writeln!(
            text,
            "\n{:<24} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "ms after the time", "jobs", "least", "p50", "p99", "most"
        );
        let groups = [
            ("all", &self.all),
            ("before the kill", &self.two_nodes),
            ("after the kill", &self.one_node),
            ("leased more than once", &self.leased_again),
            ("  opened after the kill", &self.leased_again_opened_after),
        ];
        for (name, Lateness { jobs, least, p50, p99, most }) in groups {
            let _ = writeln!(text, "{name:<24} {jobs:>9} {least:>9.1} {p50:>9.1} {p99:>9.1} {most:>9.1}");
        }
        let CpuPerJob { nodes, postgres, sandbox } = self.cpu_ms_per_job;
        let _ = writeln!(
            text,
            "\n{} early, {} lost, {} later than {LATE_MAX_SECONDS} s, of {} in {} s; {} leases at the kill",
            self.early, self.lost, self.late, self.jobs, self.spread_seconds, self.leases_when_killed
        );
        let _ = writeln!(
            text,
            "each: {:.2} Vimeo requests, {:.2} rows written, CPU {nodes:.2} ms of the nodes, {postgres:.2} ms of \
             PostgreSQL, {sandbox:.2} ms of the sandbox",
            self.vimeo_requests_per_job, self.rows_written_per_job
        );
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn per(count: u64, jobs: u64) -> f64 {
    count as f64 / jobs.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_shown_of_the_videos_that_were_opened() {
        let due_at = TimeOfDay::read("2026-01-31T09:00:00Z").unwrap();
        let opening = |late_by| Opening { due_at, late_by, is_completed: true, leases: 1 };
        let jobs: Vec<Opening> =
            (0..=100).rev().map(|tenth| opening(Some(f64::from(tenth) / 10.0))).collect();
        let Lateness { jobs, least, p50, p99, most } = Lateness::of(jobs.iter().chain(&[opening(None)]));
        assert_eq!((jobs, least, p50, p99, most), (101, 0.0, 5_000.0, 9_900.0, 10_000.0));
    }
}
