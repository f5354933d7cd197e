//! Uploads in bulk: how many complete each second, how many requests to Vimeo's API each one takes, and what uploads cost
//! while they wait.
//! All videos go to one account of the sandbox, through 20 connections of one account of the service. With an older
//! binary to compare, both run in turn, in the opposite order in every other round.

mod bulk;
mod fixture;
mod report;
mod requests;
mod waiting;

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Runtime;

use self::bulk::Bulk;
use self::fixture::Fixture;
use self::waiting::Waiting;
use crate::error::BenchError;
use crate::service::Engine;

pub(crate) use report::Report;

/// The default numbers of queued and of waiting uploads.
pub(crate) const UPLOADS: u64 = 2_000;
pub(crate) const QUICK_UPLOADS: u64 = 400;
pub(crate) const WAITING: u64 = 100_000;
pub(crate) const QUICK_WAITING: u64 = 10_000;
/// The time limit of a bulk. After it, the bulk is stopped and reported as it is.
pub(crate) const BULK_SECONDS: u32 = 300;
pub(crate) const QUICK_BULK_SECONDS: u32 = 60;

/// What is measured, and with what.
pub(crate) struct Options<'a> {
    /// The directory of the sandbox.
    pub(crate) programs: &'a Path,
    /// The service.
    pub(crate) service: &'a Path,
    /// An older binary of the service.
    pub(crate) older: Option<&'a Path>,
    /// An empty directory.
    pub(crate) work: &'a Path,
    /// The URL of a PostgreSQL server and the number of its first process.
    pub(crate) postgres: Option<(&'a str, u32)>,
    /// 0: the bulk is not measured.
    pub(crate) uploads: u64,
    /// 0: waiting is not measured.
    pub(crate) waiting: u64,
    /// How many uploads the service may execute at once; its default if absent.
    pub(crate) concurrency: Option<u32>,
    pub(crate) rounds: u32,
    pub(crate) bulk_seconds: u32,
}

/// Which binary of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binary {
    Current,
    Older,
}

/// The figures of one binary on one engine in one round.
#[derive(Debug, Clone)]
struct Measured {
    binary: Binary,
    engine: Engine,
    bulk: Option<Bulk>,
    waiting: Option<Waiting>,
}

/// Measures every engine with every binary.
pub(crate) fn run(
    runtime: &Runtime,
    options: &Options<'_>,
    progress: impl Fn(&str),
) -> Result<Report, BenchError> {
    let mut engines = vec![Engine::Sqlite];
    engines.extend(options.postgres.map(|_| Engine::Postgres));
    let mut measured = Vec::new();
    for round in 0..options.rounds {
        for &engine in &engines {
            let mut binaries = vec![Binary::Current];
            binaries.extend(options.older.map(|_| Binary::Older));
            if round % 2 == 1 {
                binaries.reverse();
            }
            let in_turn: Vec<Fixture<'_>> =
                binaries.iter().map(|&binary| Fixture { runtime, options, engine, binary, round }).collect();
            let bulks = measure(&in_turn, options.uploads, |fixture| bulk::run(fixture, &progress))?;
            let waitings = measure(&in_turn, options.waiting, |fixture| waiting::run(fixture, &progress))?;
            for ((binary, bulk), waiting) in binaries.into_iter().zip(bulks).zip(waitings) {
                measured.push(Measured { binary, engine, bulk, waiting });
            }
        }
    }
    Ok(Report::of(&measured))
}

/// One figure for each fixture; none where `count` is 0.
fn measure<'a, T>(
    fixtures: &[Fixture<'a>],
    count: u64,
    run: impl Fn(&Fixture<'a>) -> Result<T, BenchError>,
) -> Result<Vec<Option<T>>, BenchError> {
    fixtures.iter().map(|fixture| (count > 0).then(|| run(fixture)).transpose()).collect()
}

impl Options<'_> {
    fn bulk_limit(&self) -> Duration {
        Duration::from_secs(u64::from(self.bulk_seconds))
    }
}
