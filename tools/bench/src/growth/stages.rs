//! One size on each engine: fill or move, then measure a copy, restart it several times, and kill it once.

use std::fs;
use std::time::{Duration, Instant};

use super::fill::{Creator, Filled};
use super::installation::{Configured, Installation, Serving};
use super::list_scan::ListScan;
use super::measure::{Meter, Sample, chosen, peak};
use super::table::{Results, Times};
use crate::error::BenchError;
use crate::limits::per_second;
use crate::limits::postgres::{administer, size_bytes};
use crate::operations::share;
use crate::process::Memory;
use crate::rounds::Spread;
use crate::service::Engine;

/// Up to this size a round of creations makes the database much larger, so each round starts with a new copy.
const SMALL: u64 = 200_000;
const STARTS: u32 = 5;
const COMMAND: Duration = Duration::from_mins(1);
/// A move that would take longer is skipped.
const MOVE_MOST: Duration = Duration::from_mins(8);
/// A move that takes this long has failed.
const MOVE_ENDS: Duration = Duration::from_mins(20);

/// The databases of the run, each with a configuration.
pub(crate) struct Databases {
    /// The database that grows.
    pub(crate) grown: Configured,
    /// A copy that is measured.
    measured: Configured,
    /// A copy that is moved to PostgreSQL.
    source: Configured,
    postgres: Option<Postgres>,
}

struct Postgres {
    /// The server for databases.
    server: String,
    /// The target of the move.
    moved: (String, Configured),
    /// A copy of the target.
    copied: Configured,
}

/// How a size was created.
pub(crate) struct Arrival {
    size: u64,
    filled: Filled,
    /// The size of the file after a stop.
    bytes: u64,
}

/// One size on one engine.
struct Stage<'a> {
    engine: Engine,
    size: u64,
    served: &'a Configured,
    /// Restores the original copy.
    renew: &'a dyn Fn() -> Result<(), BenchError>,
}

/// The result of a stage.
struct Outcome {
    connections: u64,
    deep_page: u64,
    samples: Vec<Sample>,
    loaded: Memory,
    idle: Memory,
    times: Times,
}

pub(crate) struct Growing<'a> {
    installation: &'a Installation,
    databases: &'a Databases,
    meter: Meter<'a>,
    creator: Creator,
    /// The number of connections.
    connections: u64,
    /// Connections per second of the last move.
    moved_per_second: Option<f64>,
}

impl Databases {
    /// Creates the keyring and the empty database.
    pub(crate) fn configure(installation: &Installation, postgres: Option<&str>) -> Result<Self, BenchError> {
        let grown = installation.configure("grown", None)?;
        installation.command(&grown, &["init"], COMMAND)?;
        installation.command(&grown, &["migrate"], COMMAND)?;
        let postgres = match postgres {
            Some(url) => {
                let server = url.rsplit_once('/').ok_or("the URL names no database")?.0;
                let (moved, copied) = (format!("{server}/moved"), format!("{server}/copied"));
                Some(Postgres {
                    server: url.to_owned(),
                    copied: installation.configure("copied", Some(&copied))?,
                    moved: (moved.clone(), installation.configure("moved", Some(&moved))?),
                })
            }
            None => None,
        };
        let (measured, source) =
            (installation.configure("measured", None)?, installation.configure("source", None)?);
        Ok(Self { grown, measured, source, postgres })
    }
}

impl<'a> Growing<'a> {
    pub(crate) fn new(
        installation: &'a Installation,
        databases: &'a Databases,
        meter: Meter<'a>,
        creator: Creator,
    ) -> Self {
        Self { installation, databases, meter, creator, connections: 0, moved_per_second: None }
    }

    /// Adds the missing connections, and stops the service.
    pub(crate) fn fill(&mut self, size: u64) -> Result<Arrival, BenchError> {
        let missing = size.saturating_sub(self.connections);
        (self.meter.progress)(&format!(
            "\n{size} connections: adding {missing} through the service, on SQLite"
        ));
        let serving = self.installation.serve(self.meter.runtime, &self.databases.grown)?;
        let filled = self.creator.fill(&serving, missing, self.meter.progress)?;
        serving.stop()?;
        let bytes = self.databases.grown.bytes()?;
        let rate = per_second(filled.acknowledged, filled.took);
        (self.meter.progress)(&format!(
            "  added in {:.0} s, {rate:.0}/s; the file has {} MiB",
            filled.took.as_secs_f64(),
            bytes >> 20
        ));
        Ok(Arrival { size, filled, bytes })
    }

    /// Measures a copy on SQLite.
    pub(crate) fn sqlite(&mut self, arrival: &Arrival) -> Result<Results, BenchError> {
        let databases = self.databases;
        let Arrival { size, filled, bytes } = *arrival;
        let stage = Stage {
            engine: Engine::Sqlite,
            size,
            served: &databases.measured,
            renew: &|| databases.measured.copy_from(&databases.grown),
        };
        let mut outcome = self.measure(&stage)?;
        let added = outcome.connections - self.connections;
        if !filled.agrees_with(added) {
            return Err(format!("{} were answered and {added} are there", filled.acknowledged).into());
        }
        self.connections = outcome.connections;
        let (after_kill, log_bytes) = self.kill(&databases.measured)?;
        outcome.times.start_after_kill_ms = Some(after_kill);
        outcome.times.log_bytes_at_kill = Some(log_bytes);
        databases.measured.empty()?;
        let arrival_per_second = per_second(filled.acknowledged, filled.took);
        Ok(found(&stage, outcome, bytes, (arrival_per_second, filled.took)))
    }

    /// Moves a copy to PostgreSQL and measures it; or reports why not.
    pub(crate) fn postgres(&mut self, size: u64) -> Result<Result<Results, String>, BenchError> {
        let databases = self.databases;
        let Some(postgres) = &databases.postgres else {
            return Ok(Err("There was no PostgreSQL to measure.".to_owned()));
        };
        if let Some(seconds) = too_long(self.connections, self.moved_per_second) {
            return Ok(Err(format!(
                "PostgreSQL at {size} connections was left out: a move would take some {seconds:.0} s, more than {} s.",
                MOVE_MOST.as_secs()
            )));
        }
        let Postgres { server, moved: (url, moved), copied } = postgres;
        let administer = |statements: &[&str]| administer(self.meter.runtime, server, statements);
        let forget: [&str; 2] =
            ["DROP DATABASE IF EXISTS copied WITH (FORCE)", "DROP DATABASE IF EXISTS moved WITH (FORCE)"];
        administer(&forget)?;
        administer(&["CREATE DATABASE moved"])?;
        let took = self.move_to(moved)?;
        let rate = per_second(self.connections, took);
        self.moved_per_second = Some(rate);
        // Maintenance that the server would otherwise start during a round.
        crate::limits::postgres::administer(self.meter.runtime, url, &["VACUUM ANALYZE", "CHECKPOINT"])?;
        let bytes = size_bytes(self.meter.runtime, url)?;
        let is_small = size <= SMALL;
        let again = || {
            if is_small {
                administer(&[
                    "DROP DATABASE IF EXISTS copied WITH (FORCE)",
                    "CREATE DATABASE copied TEMPLATE moved",
                    "CHECKPOINT",
                ])?;
            }
            Ok(())
        };
        let served = if is_small { copied } else { moved };
        let stage = Stage { engine: Engine::Postgres, size, served, renew: &again };
        let outcome = self.measure(&stage)?;
        if outcome.connections != self.connections {
            let there = outcome.connections;
            return Err(format!("{} were moved and {there} are there", self.connections).into());
        }
        crate::limits::postgres::administer(self.meter.runtime, server, &forget)?;
        Ok(Ok(found(&stage, outcome, bytes, (rate, took))))
    }

    fn move_to(&self, moved: &Configured) -> Result<Duration, BenchError> {
        let source = &self.databases.source;
        source.copy_from(&self.databases.grown)?;
        let file = source.file.as_ref().ok_or("only a file is moved")?;
        let from = format!("sqlite:{}", file.display());
        (self.meter.progress)(&format!("  moving {} connections to PostgreSQL", self.connections));
        let started = Instant::now();
        self.installation.command(moved, &["move", "--yes", "--from", &from], MOVE_ENDS)?;
        let took = started.elapsed();
        source.empty()?;
        (self.meter.progress)(&format!(
            "  moved in {:.1} s, {:.0}/s",
            took.as_secs_f64(),
            per_second(self.connections, took)
        ));
        Ok(took)
    }

    fn measure(&mut self, stage: &Stage<'_>) -> Result<Outcome, BenchError> {
        let Stage { engine, size, served, renew } = *stage;
        let (installation, meter) = (self.installation, &self.meter);
        renew()?;
        (meter.progress)(&format!("  {engine}, {size} connections: reading all lists"));
        let mut serving = installation.serve(meter.runtime, served)?;
        let list_scan = meter.runtime.block_on(meter.scanner(&serving).list_scan(chosen(meter.pace)))?;
        let mut samples = meter.steady(&serving, &list_scan)?;
        let mut loaded = serving.memory()?;
        for round in 0..meter.pace.rounds {
            if size <= SMALL {
                serving.stop()?;
                renew()?;
                serving = installation.serve(meter.runtime, served)?;
            }
            samples.push(meter.create(round, &serving, &list_scan, &mut self.creator)?);
            loaded = peak(loaded, serving.memory()?);
        }
        serving.stop()?;
        let ListScan { connections, deep, .. } = list_scan;
        let (start_ms, idle) = self.starts(served)?;
        let times = Times { start_ms, start_after_kill_ms: None, log_bytes_at_kill: None };
        Ok(Outcome { connections, deep_page: deep.page(), samples, loaded, idle, times })
    }

    /// Starts and stops it several times. Returns the durations of the starts in milliseconds, and the most memory
    /// after one.
    fn starts(&self, served: &Configured) -> Result<(Option<Spread>, Memory), BenchError> {
        let (mut took, mut idle) = (Vec::new(), Memory::default());
        for _ in 0..STARTS {
            let serving = self.serve(served)?;
            took.push(serving.start.as_secs_f64() * 1e3);
            idle = peak(idle, serving.idle);
            serving.stop()?;
        }
        Ok((Spread::of(took), idle))
    }

    /// Kills it while it writes. Returns the duration of the next start in milliseconds, and the size of the log.
    fn kill(&mut self, served: &Configured) -> Result<(f64, u64), BenchError> {
        let serving = self.serve(served)?;
        self.creator.interrupt(serving)?;
        let log = served.file.as_ref().map(|file| file.with_extension("db-wal"));
        let bytes = log.map_or(Ok(0), |log| fs::metadata(log).map(|log| log.len()))?;
        let serving = self.serve(served)?;
        let took = serving.start.as_secs_f64() * 1e3;
        (self.meter.progress)(&format!(
            "  started {took:.0} ms after kill -9, with a log of {} MiB",
            bytes >> 20
        ));
        serving.stop()?;
        Ok((took, bytes))
    }

    fn serve(&self, served: &Configured) -> Result<Serving, BenchError> {
        self.installation.serve(self.meter.runtime, served)
    }
}

fn found(stage: &Stage<'_>, outcome: Outcome, bytes: u64, arrival: (f64, Duration)) -> Results {
    let Outcome { connections, deep_page, samples, loaded, idle, times } = outcome;
    Results {
        size: stage.size,
        connections,
        engine: stage.engine,
        arrived_per_second: arrival.0,
        arrived_in_seconds: arrival.1.as_secs_f64(),
        bytes,
        bytes_per_connection: share(bytes, connections),
        operations: super::table::operations(&samples, deep_page),
        times,
        idle,
        loaded,
    }
}

/// The expected duration of a move in seconds, if it is too long.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn too_long(connections: u64, per_second: Option<f64>) -> Option<f64> {
    let seconds = connections as f64 / per_second?.max(1.0);
    (seconds > MOVE_MOST.as_secs_f64()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_that_would_take_too_long_is_skipped() {
        assert_eq!(too_long(5_000_000, None), None);
        assert_eq!(too_long(5_000_000, Some(20_000.0)), None);
        assert_eq!(too_long(5_000_000, Some(10_000.0)), Some(500.0));
    }
}
