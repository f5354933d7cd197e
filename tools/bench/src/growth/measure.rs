//! Rounds of all operations at one size, each next to H, because the sizes are measured at different times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::accounts::Accounts;
use super::fill::{Creator, ENDLESS, Filled};
use super::installation::Serving;
use super::list_scan::{ListScan, Scanner};
use crate::error::BenchError;
use crate::limits::http::ConstantServer;
use crate::limits::raw_log;
use crate::load::{Load, Measured};
use crate::operations::{CONNECTIONS, Operation, PAGE};
use crate::process::Memory;
use crate::record;
use crate::rounds::Pace;
use crate::service::COLLECTION;

const GET: &str = include_str!("../../lua/growth_get.lua");
const UPDATE: &str = include_str!("../../lua/update.lua");
const LIST: &str = include_str!("../../lua/constant.lua");
/// How many different connections are read.
const GOT: usize = 100_000;
/// How many different connections are changed in a round; each round changes others, so that their versions are known.
const UPDATED: usize = 30_000;
/// How many of the changed ones are checked.
const LOOKED_AT: usize = 100;

/// All except creations, in the order of the first round: they do not change the size.
const STEADY: [Operation; 4] = [Operation::Get, Operation::List, Operation::DeepList, Operation::Update];

/// How many connections to select while the lists are read.
pub(crate) fn chosen(pace: Pace) -> usize {
    GOT.max(UPDATED * pace.rounds as usize)
}

/// The measurement at one size.
pub(crate) struct Meter<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) constant: &'a ConstantServer,
    pub(crate) accounts: &'a Accounts,
    pub(crate) subdirectory: PathBuf,
    pub(crate) pace: Pace,
    pub(crate) progress: &'a dyn Fn(&str),
}

/// One operation in one round.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) operation: Operation,
    pub(crate) measured: Measured,
    /// H, next to it.
    pub(crate) constant_per_second: f64,
    /// R, on its other side, for writes: its rate follows the disk's, and H's does not.
    pub(crate) raw_log_per_second: Option<f64>,
    /// Why it is void, if it is.
    pub(crate) fault: Option<String>,
}

impl Meter<'_> {
    /// Gets, lists and updates.
    pub(crate) fn steady(&self, serving: &Serving, list_scan: &ListScan) -> Result<Vec<Sample>, BenchError> {
        let (gets, change) = (self.subdirectory.join("gets"), self.subdirectory.join("change.json"));
        let scanner = self.scanner(serving);
        fs::write(&gets, scanner.lines(list_scan.sample.get(..GOT).unwrap_or(&list_scan.sample)))?;
        fs::write(&change, record::change())?;
        let mut samples = Vec::new();
        for round in 0..self.pace.rounds {
            let mut order = STEADY;
            if round % 2 == 1 {
                order.reverse();
            }
            for operation in order {
                let sample = self.beside(round, operation, || match operation {
                    Operation::Get => self.load(serving, GET, &[COLLECTION, &text(&gets)]),
                    Operation::Update => self.update(serving, list_scan, round, &change),
                    _ => self.list(serving, list_scan, operation),
                })?;
                samples.push(sample);
            }
        }
        Ok(samples)
    }

    fn list(
        &self,
        serving: &Serving,
        list_scan: &ListScan,
        operation: Operation,
    ) -> Result<Asked, BenchError> {
        let first = super::list_scan::Place::default();
        let place = if operation == Operation::DeepList { &list_scan.deep } else { &first };
        let path = format!("{COLLECTION}{}", place.query(PAGE));
        // The largest account is the first.
        let key = self.accounts.keys.first().ok_or("there is no account")?;
        self.load(serving, LIST, &[&path, key])
    }

    fn update(
        &self,
        serving: &Serving,
        list_scan: &ListScan,
        round: u32,
        change: &Path,
    ) -> Result<Asked, BenchError> {
        let updates = self.subdirectory.join("updates");
        let scanner = self.scanner(serving);
        let part = part_of(&list_scan.sample, round as usize, self.pace.rounds as usize);
        fs::write(&updates, scanner.lines(part))?;
        let (measured, _) = self.load(serving, UPDATE, &[COLLECTION, &text(&updates), &text(change)])?;
        // They are changed in this order, so the first ones were changed if this many requests succeeded.
        let looked_at = LOOKED_AT.min(part.len()).min(usize::try_from(measured.requests)?);
        let changed = self.runtime.block_on(scanner.changed(part.get(..looked_at).unwrap_or_default()))?;
        let fault =
            (changed != looked_at).then(|| format!("of {looked_at} looked at, {changed} were changed"));
        Ok((measured, fault))
    }

    /// Creations: one round.
    pub(crate) fn create(
        &self,
        round: u32,
        serving: &Serving,
        list_scan: &ListScan,
        creator: &mut Creator,
    ) -> Result<Sample, BenchError> {
        let scanner = self.scanner(serving);
        let before = self.runtime.block_on(scanner.count(list_scan))?;
        let mut sample = self.beside(round, Operation::Create, || {
            Ok((creator.run(serving, self.pace.seconds, ENDLESS)?, None))
        })?;
        let done = self.runtime.block_on(scanner.count(list_scan))? - before;
        let answered = sample.measured.requests;
        let filled =
            Filled { acknowledged: answered, in_flight: u64::from(CONNECTIONS), ..Filled::default() };
        if sample.fault.is_none() && !filled.agrees_with(done) {
            sample.fault = Some(format!("{answered} were answered and {done} were done"));
        }
        Ok(sample)
    }

    /// Measures H before it and R after it; in every other round the reverse.
    fn beside(
        &self,
        round: u32,
        operation: Operation,
        send: impl FnOnce() -> Result<Asked, BenchError>,
    ) -> Result<Sample, BenchError> {
        let is_first = round.is_multiple_of(2);
        let is_write = matches!(operation, Operation::Create | Operation::Update);
        let raw_log = || if is_write { self.raw_log_per_second().map(Some) } else { Ok(None) };
        let (constant_per_second, (measured, fault), raw_log_per_second) = if is_first {
            (self.constant_per_second()?, send()?, raw_log()?)
        } else {
            let (raw_log, asked) = (raw_log()?, send()?);
            (self.constant_per_second()?, asked, raw_log)
        };
        let fault = measured.fault().or(fault);
        let rate = measured.requests_per_second();
        (self.progress)(&format!(
            "  round {} of {}: {operation:<10} {rate:>8.0}/s   H {constant_per_second:>7.0}/s{}{}",
            round + 1,
            self.pace.rounds,
            raw_log_per_second.map_or_else(String::new, |rate| format!("   R {rate:>7.0}/s")),
            fault.as_ref().map_or_else(String::new, |fault| format!("   VOID: {fault}"))
        ));
        Ok(Sample { operation, measured, constant_per_second, raw_log_per_second, fault })
    }

    fn constant_per_second(&self) -> Result<f64, BenchError> {
        let measured = self.constant.run(CONNECTIONS, self.pace.seconds)?;
        match measured.fault() {
            None => Ok(measured.requests_per_second()),
            Some(fault) => Err(format!("the constant server: {fault}").into()),
        }
    }

    fn raw_log_per_second(&self) -> Result<f64, BenchError> {
        let long = Duration::from_secs(u64::from(self.pace.seconds));
        raw_log::run(self.runtime, &self.subdirectory, long)
    }

    fn load(&self, serving: &Serving, script: &str, arguments: &[&str]) -> Result<Asked, BenchError> {
        let load = Load {
            address: serving.address,
            script,
            arguments,
            connections: CONNECTIONS,
            seconds: self.pace.seconds,
        };
        Ok((load.run(&self.subdirectory)?, None))
    }

    pub(crate) fn scanner(&self, serving: &Serving) -> Scanner<'_> {
        Scanner { address: serving.address, keys: &self.accounts.keys }
    }
}

/// The result, and its error if there is one.
type Asked = (Measured, Option<String>);

/// The larger of both.
pub(crate) fn peak(one: Memory, other: Memory) -> Memory {
    Memory { rss: one.rss.max(other.rss), rss_anon: one.rss_anon.max(other.rss_anon) }
}

/// The connections that a round changes: different ones in each.
fn part_of<T>(all: &[T], round: usize, rounds: usize) -> &[T] {
    let each = UPDATED.min(all.len() / rounds.max(1));
    all.get(round * each..(round + 1) * each).unwrap_or_default()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_change_different_connections() {
        let all: Vec<u32> = (0..10).collect();
        let parts: Vec<&[u32]> = (0..3).map(|round| part_of(&all, round, 3)).collect();
        assert_eq!(parts, [&[0, 1, 2][..], &[3, 4, 5], &[6, 7, 8]]);
        assert_eq!(part_of(&all, 3, 3), &[9; 0]);
        assert_eq!(part_of(&vec![0; 200_000], 4, 5).len(), UPDATED);
    }

    #[test]
    fn enough_are_chosen_for_every_round() {
        assert_eq!(chosen(Pace { rounds: 3, seconds: 1 }), GOT);
        assert_eq!(chosen(Pace { rounds: 5, seconds: 1 }), 150_000);
    }
}
