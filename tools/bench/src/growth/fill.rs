//! Fills a database through the service, with the keys of many accounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::installation::Serving;
use crate::error::BenchError;
use crate::limits::per_second;
use crate::load::{Load, Measured};
use crate::operations::CONNECTIONS;
use crate::record;
use crate::service::COLLECTION;

pub(crate) const CREATE: &str = include_str!("../../lua/growth_create.lua");
/// The longest time without a progress message.
const CHUNK_SECONDS_MOST: u32 = 30;
const FIRST_CHUNK_SECONDS: u32 = 2;

/// More than is ever sent.
pub(crate) const ENDLESS: u64 = 1 << 32;
const UNTIL_KILLED: Duration = Duration::from_secs(2);
/// More than can be sent in that time.
const NAMED_UNTIL_KILLED: u64 = 500_000;

/// Creates connections, for filling and for measurements.
pub(crate) struct Creator {
    subdirectory: PathBuf,
    lines: PathBuf,
    body: PathBuf,
    /// The number in the last name that was used.
    named: u64,
}

/// The result.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) acknowledged: u64,
    /// How many more may have been created than acknowledged.
    pub(crate) in_flight: u64,
    pub(crate) took: Duration,
}

impl Creator {
    /// With a file of keys in their proportion.
    pub(crate) fn new(subdirectory: &Path, lines: &str) -> Result<Self, BenchError> {
        let creator = Self {
            subdirectory: subdirectory.to_owned(),
            lines: subdirectory.join("keys"),
            body: subdirectory.join("body.json"),
            named: 0,
        };
        fs::write(&creator.lines, lines)?;
        fs::write(&creator.body, record::body())?;
        Ok(creator)
    }

    /// Creates for this long, or until this many were sent.
    pub(crate) fn run(&mut self, serving: &Serving, seconds: u32, most: u64) -> Result<Measured, BenchError> {
        let measured = self.with_load(serving, seconds, most, |load, subdirectory| load.run(subdirectory))?;
        // A name may have been used without a response.
        self.named += measured.requests + u64::from(2 * CONNECTIONS);
        Ok(measured)
    }

    /// Builds the load and passes it to the caller.
    pub(crate) fn with_load<T>(
        &self,
        serving: &Serving,
        seconds: u32,
        most: u64,
        run: impl FnOnce(Load<'_>, &Path) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let (lines, body) = (self.lines.to_string_lossy(), self.body.to_string_lossy());
        let (first, most) = (self.named.to_string(), most.to_string());
        let load = Load {
            address: serving.address,
            script: CREATE,
            arguments: &[COLLECTION, &lines, &body, &first, &most],
            connections: CONNECTIONS,
            seconds,
        };
        run(load, &self.subdirectory)
    }

    /// Kills the service while connections are created.
    pub(crate) fn interrupt(&mut self, serving: Serving) -> Result<(), BenchError> {
        let seconds = CHUNK_SECONDS_MOST;
        let wrk =
            self.with_load(&serving, seconds, ENDLESS, |load, subdirectory| load.start(subdirectory))?;
        sleep(UNTIL_KILLED);
        serving.kill();
        drop(wrk);
        self.named += NAMED_UNTIL_KILLED;
        Ok(())
    }

    /// Creates at least that many; a few more are sent while the last ones are acknowledged.
    pub(crate) fn fill(
        &mut self,
        serving: &Serving,
        wanted: u64,
        progress: &dyn Fn(&str),
    ) -> Result<Filled, BenchError> {
        let (started, mut filled, mut best) = (Instant::now(), Filled::default(), None);
        while filled.acknowledged < wanted {
            let missing = wanted - filled.acknowledged;
            let began = Instant::now();
            let measured =
                self.run(serving, chunk_seconds(missing, best), missing + u64::from(CONNECTIONS))?;
            if let Some(fault) = measured.fault() {
                return Err(format!("the fill is void: {fault}").into());
            }
            filled.acknowledged += measured.requests;
            filled.in_flight += u64::from(CONNECTIONS);
            let rate = per_second(measured.requests, began.elapsed());
            best = best.filter(|best| *best > rate).or(Some(rate));
            if filled.acknowledged < wanted {
                progress(&format!("  {} of {wanted} were added, {rate:.0}/s", filled.acknowledged));
            }
        }
        filled.took = started.elapsed();
        Ok(filled)
    }
}

/// How long to continue for the missing connections, at the best rate so far: a load stops when it has sent enough, but
/// takes its full time.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is clamped"
)]
fn chunk_seconds(missing: u64, best: Option<f64>) -> u32 {
    best.map_or(FIRST_CHUNK_SECONDS, |best| {
        (missing as f64 / best).ceil().clamp(1.0, f64::from(CHUNK_SECONDS_MOST)) as u32
    })
}

impl Filled {
    /// Whether the count matches the responses: requests in flight may have an effect without a response.
    pub(crate) fn agrees_with(&self, there: u64) -> bool {
        (self.acknowledged..=self.acknowledged + self.in_flight).contains(&there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_step_lasts_as_long_as_the_missing_connections_need() {
        assert_eq!(chunk_seconds(9_000, None), 2);
        assert_eq!(chunk_seconds(9_001, Some(1_000.0)), 10);
        assert_eq!(chunk_seconds(1, Some(1_000.0)), 1);
        assert_eq!(chunk_seconds(4_000_000, Some(1_000.0)), 30);
    }

    #[test]
    fn the_count_matches_the_responses_except_requests_in_flight() {
        let filled = Filled { acknowledged: 100, in_flight: 64, ..Filled::default() };
        assert!(filled.agrees_with(100) && filled.agrees_with(164));
        assert!(!filled.agrees_with(99) && !filled.agrees_with(165));
    }
}
