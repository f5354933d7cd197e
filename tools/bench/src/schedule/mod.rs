//! Scheduled publication: many videos are opened at times spread evenly over a minute, on two nodes, of which one is
//! killed in the middle. The sandbox records when each video was opened. Before that, the cost of the waiting jobs.

mod database;
mod fixture;
mod openings;
mod report;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use self::database::{Counts, Writes};
use self::fixture::Cluster;
use self::openings::Openings;
use self::report::Used;
use crate::error::BenchError;
use crate::process::{cpu_us, family_cpu_us};

pub(crate) use report::Report;

/// The default number of jobs, and over how many seconds their times are spread.
pub(crate) const JOBS: u64 = 10_000;
pub(crate) const QUICK_JOBS: u64 = 300;
pub(crate) const SECONDS: u32 = 60;
pub(crate) const QUICK_SECONDS: u32 = 6;
/// How long the sandbox delays each response while the videos are opened.
const VIMEO_MILLIS: u64 = 50;
/// How long the cost of waiting is measured, and how long the nodes rest before.
const MEASURE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(12);
/// How long all uploads may take in preparation, and how long after its time a job may end before it counts as lost.
const PREPARATION_MAX: Duration = Duration::from_mins(30);
const GRACE: Duration = Duration::from_mins(1);
/// The first time is this long after the times were chosen, and longer the more jobs must be changed before.
const LEAD: Duration = Duration::from_secs(10);
const CHANGES_PER_SECOND: u64 = 100;
const STEP: Duration = Duration::from_millis(500);

/// What is measured, and with what.
pub(crate) struct Options<'a> {
    /// The directory of the sandbox.
    pub(crate) programs: &'a Path,
    /// The service.
    pub(crate) service: &'a Path,
    /// An empty directory.
    pub(crate) work: &'a Path,
    /// The URL of a PostgreSQL server, and the number of its first process.
    pub(crate) postgres: (&'a str, u32),
    pub(crate) jobs: u64,
    pub(crate) seconds: u32,
}

/// Measures once.
pub(crate) fn run(
    runtime: &Runtime,
    options: &Options<'_>,
    progress: impl Fn(&str),
) -> Result<Report, BenchError> {
    let jobs = options.jobs;
    let mut cluster = Cluster::start(runtime, options)?;
    sleep(SETTLE);
    let idle = used(&cluster, options)?;
    progress(&format!("Two nodes are started; {jobs} uploads are queued, to be published tomorrow"));
    let preparation = prepare(&cluster, jobs, &progress)?;
    cluster.database.maintain()?;
    sleep(SETTLE);
    let waiting = used(&cluster, options)?;
    progress(&format!("{jobs} jobs wait; their times are set"));
    cluster.delay_vimeo(VIMEO_MILLIS)?;
    let lead = LEAD + Duration::from_secs(jobs / CHANGES_PER_SECOND);
    let spread = Duration::from_secs(u64::from(options.seconds));
    let times = cluster.database.choose_times(jobs, (lead, spread))?;
    let first_at = Instant::now() + lead;
    let before = cluster.database.jobs()?;
    cluster.reschedule(&before, &times)?;
    if Instant::now() + Duration::from_secs(2) >= first_at {
        return Err("the times could not be set before the first of them".into());
    }
    // Each change of the time and each lease adds 1 to the fence.
    let before = cluster.database.jobs()?;
    let killed = during_publication(&mut cluster, first_at, spread, &progress)?;
    let openings = Openings::read(&cluster.sandbox, &times, &before, &cluster.database.jobs()?)?;
    Ok(Report::of(options, (idle, waiting), preparation, &openings, &killed))
}

/// What was used from before the first time until all jobs had ended, with the kill in between.
struct Killed {
    /// When one of the nodes was killed.
    at: crate::time_of_day::TimeOfDay,
    /// The leases of jobs to be published at that time, on both nodes.
    leases: u64,
    vimeo_requests: u64,
    /// The CPU time of both nodes, of PostgreSQL and of the sandbox, in microseconds.
    cpu_us: [u64; 3],
    writes: Writes,
}

fn prepare(cluster: &Cluster<'_>, jobs: u64, progress: &impl Fn(&str)) -> Result<Duration, BenchError> {
    let started = Instant::now();
    cluster.queue(jobs)?;
    let mut said = Instant::now();
    loop {
        let Counts { scheduled, failed, .. } = cluster.database.counts()?;
        if failed > 0 {
            return Err(format!("{failed} uploads failed before they were scheduled").into());
        }
        if scheduled == jobs {
            return Ok(started.elapsed());
        }
        if started.elapsed() > PREPARATION_MAX {
            return Err(format!("only {scheduled} of {jobs} uploads were scheduled in time").into());
        }
        if said.elapsed() > Duration::from_secs(20) {
            said = Instant::now();
            progress(&format!("{scheduled} are scheduled"));
        }
        sleep(STEP);
    }
}

/// What is used in a while, by both nodes together.
fn used(cluster: &Cluster<'_>, options: &Options<'_>) -> Result<Used, BenchError> {
    let read = || {
        let nodes = cluster.cpu_us()?;
        Ok::<_, BenchError>((
            cluster.vimeo_requests()?,
            nodes,
            family_cpu_us(options.postgres.1)?,
            cluster.database.writes()?,
        ))
    };
    let (started, before) = (Instant::now(), read()?);
    sleep(MEASURE);
    let (elapsed, after) = (started.elapsed(), read()?);
    let percent =
        |before: u64, after: u64| crate::limits::per_second(after.saturating_sub(before), elapsed) / 10_000.0;
    Ok(Used {
        seconds: elapsed.as_secs_f64(),
        vimeo_requests: after.0 - before.0,
        cpu_percent: percent(before.1, after.1),
        postgres_cpu_percent: percent(before.2, after.2),
        writes: after.3.since(before.3),
    })
}

fn during_publication(
    cluster: &mut Cluster<'_>,
    first_at: Instant,
    spread: Duration,
    progress: &impl Fn(&str),
) -> Result<Killed, BenchError> {
    // The times were counted from a whole second, so that the first one may be up to a second earlier.
    sleep(first_at.saturating_duration_since(Instant::now() + Duration::from_secs(2)));
    let (requests, writes) = (cluster.vimeo_requests()?, cluster.database.writes()?);
    let postgres = cluster.postgres_pid;
    let others = |cluster: &Cluster<'_>| {
        Ok::<_, BenchError>((family_cpu_us(postgres)?, cpu_us(cluster.sandbox.id())?))
    };
    let (nodes, before) = (cluster.cpu_us_each()?, others(cluster)?);
    sleep((first_at + spread / 2).saturating_duration_since(Instant::now()));
    let leases = cluster.database.counts()?.leased;
    let used_by_killed = cluster.cpu_us_each()?[0].saturating_sub(nodes[0]);
    let at = cluster.kill()?;
    progress(&format!("A node was killed while the two had {leases} leases"));
    sleep((first_at + spread).saturating_duration_since(Instant::now()));
    let last = Instant::now();
    while cluster.database.counts()?.unfinished > 0 && last.elapsed() < GRACE {
        sleep(STEP);
    }
    let after = others(cluster)?;
    let survivor = cluster.cpu_us_each()?[1].saturating_sub(nodes[1]);
    // Sessions of PostgreSQL report what they wrote once they have been idle for ten seconds.
    sleep(SETTLE);
    Ok(Killed {
        at,
        leases,
        vimeo_requests: cluster.vimeo_requests()? - requests,
        cpu_us: [used_by_killed + survivor, after.0 - before.0, after.1 - before.1],
        writes: cluster.database.writes()?.since(writes),
    })
}
