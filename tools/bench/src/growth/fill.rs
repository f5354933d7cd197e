//! Fills a database as customers do: through the service, with the keys of many accounts.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::home::Serving;
use crate::limits::per_second;
use crate::load::{Load, Measured};
use crate::operations::CONNECTIONS;
use crate::record;
use crate::service::COLLECTION;
use crate::trouble::Trouble;

pub(crate) const CREATE: &str = include_str!("../../lua/growth_create.lua");
/// The longest that nothing is said meanwhile.
const CHUNK_SECONDS_MOST: u32 = 30;
const FIRST_CHUNK_SECONDS: u32 = 2;

/// So many are never sent.
pub(crate) const ENDLESS: u64 = 1 << 32;
const UNTIL_KILLED: Duration = Duration::from_secs(2);
/// More than can be sent until then.
const NAMED_UNTIL_KILLED: u64 = 500_000;

/// What creates connections, here and where that is measured.
pub(crate) struct Creator {
    room: PathBuf,
    lines: PathBuf,
    body: PathBuf,
    /// The number in the last name that was given.
    named: u64,
}

/// What was created.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filled {
    pub(crate) acknowledged: u64,
    /// How many more may have been done than were answered.
    pub(crate) in_flight: u64,
    pub(crate) took: Duration,
}

impl Creator {
    /// With a file of keys, in the proportion in which they are to be used.
    pub(crate) fn new(room: &Path, lines: &str) -> Result<Self, Trouble> {
        let creator =
            Self { room: room.to_owned(), lines: room.join("keys"), body: room.join("body.json"), named: 0 };
        fs::write(&creator.lines, lines)?;
        fs::write(&creator.body, record::body())?;
        Ok(creator)
    }

    /// Creates for that long, or until so many were sent.
    pub(crate) fn run(&mut self, serving: &Serving, seconds: u32, most: u64) -> Result<Measured, Trouble> {
        let measured = self.with_load(serving, seconds, most, |load, room| load.run(room))?;
        // A name may have been sent that no answer came back for.
        self.named += measured.requests + u64::from(2 * CONNECTIONS);
        Ok(measured)
    }

    /// Makes the load and lets the caller do with it what it wants.
    pub(crate) fn with_load<T>(
        &self,
        serving: &Serving,
        seconds: u32,
        most: u64,
        run: impl FnOnce(Load<'_>, &Path) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        let (lines, body) = (self.lines.to_string_lossy(), self.body.to_string_lossy());
        let (first, most) = (self.named.to_string(), most.to_string());
        let load = Load {
            address: serving.address,
            script: CREATE,
            arguments: &[COLLECTION, &lines, &body, &first, &most],
            connections: CONNECTIONS,
            seconds,
        };
        run(load, &self.room)
    }

    /// Kills the service while connections are created.
    pub(crate) fn interrupt(&mut self, serving: Serving) -> Result<(), Trouble> {
        let seconds = CHUNK_SECONDS_MOST;
        let wrk = self.with_load(&serving, seconds, ENDLESS, |load, room| load.start(room))?;
        sleep(UNTIL_KILLED);
        serving.kill();
        drop(wrk);
        self.named += NAMED_UNTIL_KILLED;
        Ok(())
    }

    /// Creates that many, and perhaps a few more: those that are sent while the last are answered.
    pub(crate) fn fill(
        &mut self,
        serving: &Serving,
        wanted: u64,
        say: &dyn Fn(&str),
    ) -> Result<Filled, Trouble> {
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
                say(&format!("  {} of {wanted} were added, {rate:.0}/s", filled.acknowledged));
            }
        }
        filled.took = started.elapsed();
        Ok(filled)
    }
}

/// How long to go on for what is missing, at the best rate that was seen: a load stops when it has sent enough, but is
/// not over before its time.
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
    /// Whether what is there is what was answered: what was in flight may be there and not counted.
    pub(crate) fn agrees_with(&self, there: u64) -> bool {
        (self.acknowledged..=self.acknowledged + self.in_flight).contains(&there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_as_long_as_what_is_missing_takes() {
        assert_eq!(chunk_seconds(9_000, None), 2);
        assert_eq!(chunk_seconds(9_001, Some(1_000.0)), 10);
        assert_eq!(chunk_seconds(1, Some(1_000.0)), 1);
        assert_eq!(chunk_seconds(4_000_000, Some(1_000.0)), 30);
    }

    #[test]
    fn what_is_there_is_what_was_answered_and_perhaps_what_was_in_flight() {
        let filled = Filled { acknowledged: 100, in_flight: 64, ..Filled::default() };
        assert!(filled.agrees_with(100) && filled.agrees_with(164));
        assert!(!filled.agrees_with(99) && !filled.agrees_with(165));
    }
}
