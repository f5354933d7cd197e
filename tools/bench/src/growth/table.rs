//! What growth costs: each operation's part of H, against what it was at the smallest size, and what a size takes of disk,
//! memory and time to start.

use std::fmt::Write as _;

use serde::Serialize;

use super::measure::Sample;
use super::picture::Line;
use crate::limits::Limit;
use crate::operations::{CONNECTIONS, Operation};
use crate::process::Memory;
use crate::report::{in_mib, in_us};
use crate::rounds::{Pace, Spread};
use crate::service::Engine;

/// The part of its ratio to H that an operation may lose at most.
const LOSS_MOST: f64 = 0.25;
const START_MOST_MS: f64 = 1_000.0;
const IDLE_MOST_MIB: f64 = 64.0;
const LOADED_MOST_MIB: f64 = 256.0;
/// Up to this size, the target for memory under load is one.
const LOADED_UP_TO: u64 = 1_000_000;
const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Get, Operation::List, Operation::DeepList, Operation::Update];
const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// All that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    to: u64,
    accounts: usize,
    rounds: u32,
    /// Of each measurement.
    seconds: u32,
    /// Clients that ask at the same time.
    clients: u32,
    machine_memory_bytes: u64,
    machine_cores: usize,
    pub(crate) found: Vec<Found>,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    pub(crate) is_whole: bool,
}

/// One size on one engine.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    /// That was wished.
    pub(crate) size: u64,
    /// That were there.
    pub(crate) connections: u64,
    pub(crate) engine: Engine,
    /// On SQLite created through the service, on PostgreSQL moved.
    pub(crate) arrived_per_second: f64,
    pub(crate) arrived_in_seconds: f64,
    /// On the disk, at rest.
    pub(crate) bytes: u64,
    pub(crate) bytes_per_connection: f64,
    pub(crate) operations: Vec<Summary>,
    pub(crate) times: Times,
    /// The most after a start, before the first request.
    pub(crate) idle: Memory,
    /// The most after a load.
    pub(crate) loaded: Memory,
}

/// How long starts took, from when the process was started to its first answer that it is ready.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    pub(crate) start_ms: Option<Spread>,
    /// Killed while it wrote.
    pub(crate) start_after_kill_ms: Option<f64>,
    /// Of the write-ahead log that this start found.
    pub(crate) log_bytes_at_kill: Option<u64>,
}

/// An operation over all rounds: medians.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    operation: Operation,
    requests_per_second: f64,
    limit: Limit,
    limit_per_second: f64,
    /// Of the rounds' ratios; none of what is void.
    ratio: Option<Spread>,
    /// To R, of what writes.
    raw_log_ratio: Option<Spread>,
    raw_log_per_second: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    /// Of all rounds.
    requests: u64,
    /// Of all rounds.
    errors: u64,
    void: Option<String>,
    /// Of the list.
    page: Option<u64>,
}

/// What of its ratio an operation has lost since the smallest size.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Loss {
    size: u64,
    engine: Engine,
    operation: Operation,
    /// Of its ratio to H.
    lost: Option<f64>,
    /// Of its ratio to R, if it writes.
    lost_of_raw_log: Option<f64>,
    target: Option<f64>,
    reached: Option<bool>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    growth: &'a Growth,
    losses: Vec<Loss>,
}

/// Sums up the rounds of each operation.
pub(crate) fn operations(samples: &[Sample], deep_page: u64) -> Vec<Summary> {
    let of = |operation| {
        let own = || samples.iter().filter(move |sample| sample.operation == operation);
        let middle =
            |value: &dyn Fn(&Sample) -> f64| Spread::of(own().map(value)).map(|spread| spread.median);
        let requests_per_second = middle(&|sample| sample.measured.requests_per_second())?;
        let void = own().find_map(|sample| sample.fault.clone());
        let ratio = |sample: &Sample| sample.measured.requests_per_second() / sample.constant_per_second;
        let raw_log_ratio = |sample: &Sample| {
            sample.raw_log_per_second.map(|rate| sample.measured.requests_per_second() / rate)
        };
        Some(Summary {
            operation,
            requests_per_second,
            limit: Limit::H,
            limit_per_second: middle(&|sample| sample.constant_per_second)?,
            ratio: Spread::of(own().map(ratio)).filter(|_| void.is_none()),
            raw_log_ratio: Spread::of(own().filter_map(raw_log_ratio)).filter(|_| void.is_none()),
            raw_log_per_second: Spread::of(own().filter_map(|sample| sample.raw_log_per_second))
                .map(|spread| spread.median),
            p50_us: middle(&|sample| in_us(sample.measured.p50_us))?,
            p99_us: middle(&|sample| in_us(sample.measured.p99_us))?,
            requests: own().map(|sample| sample.measured.requests).sum(),
            errors: own().map(|sample| sample.measured.errors.count()).sum(),
            void,
            page: match operation {
                Operation::List => Some(1),
                Operation::DeepList => Some(deep_page),
                Operation::Create | Operation::Get | Operation::Update => None,
            },
        })
    };
    OPERATIONS.into_iter().filter_map(of).collect()
}

/// The part that was lost, of a ratio that was `before`; less than nothing if it has grown.
fn lost(before: f64, now: f64) -> f64 {
    1.0 - now / before
}

impl Found {
    fn of(&self, operation: Operation) -> Option<&Summary> {
        self.operations.iter().find(|summary| summary.operation == operation)
    }
}

impl Growth {
    pub(crate) fn new(to: u64, accounts: usize, pace: Pace, memory: u64, cores: usize) -> Self {
        Self {
            to,
            accounts,
            rounds: pace.rounds,
            seconds: pace.seconds,
            clients: CONNECTIONS,
            machine_memory_bytes: memory,
            machine_cores: cores,
            found: Vec::new(),
            notes: Vec::new(),
            is_whole: true,
        }
    }

    /// For machines.
    pub(crate) fn report(&self) -> impl Serialize {
        Report { growth: self, losses: self.losses() }
    }

    /// Whether all was measured and nothing is void.
    pub(crate) fn is_good(&self) -> bool {
        self.is_whole && self.found.iter().flat_map(|found| &found.operations).all(|sum| sum.void.is_none())
    }

    fn ratio(found: &Found, operation: Operation) -> Option<f64> {
        found.of(operation)?.ratio.map(|spread| spread.median)
    }

    fn raw_log_ratio(found: &Found, operation: Operation) -> Option<f64> {
        found.of(operation)?.raw_log_ratio.map(|spread| spread.median)
    }

    /// What each operation has lost at each size but the smallest.
    fn losses(&self) -> Vec<Loss> {
        let mut losses = Vec::new();
        for found in &self.found {
            let first = self.found.iter().find(|first| first.engine == found.engine);
            let Some(first) = first.filter(|first| first.size < found.size) else { continue };
            for Summary { operation, .. } in &found.operations {
                let lost_of = |ratio: fn(&Found, Operation) -> Option<f64>| {
                    ratio(first, *operation).zip(ratio(found, *operation)).map(|(was, is)| lost(was, is))
                };
                let loss = lost_of(Self::ratio);
                let has_target = matches!(operation, Operation::Create | Operation::Get);
                losses.push(Loss {
                    size: found.size,
                    engine: found.engine,
                    operation: *operation,
                    lost: loss,
                    lost_of_raw_log: lost_of(Self::raw_log_ratio),
                    target: has_target.then_some(LOSS_MOST),
                    reached: has_target.then_some(loss.is_some_and(|loss| loss <= LOSS_MOST)),
                });
            }
        }
        losses
    }

    /// A line for each operation and engine, with the ratio at each size.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for engine in ENGINES {
            for operation in OPERATIONS {
                let own = self.found.iter().filter(|found| found.engine == engine);
                let points: Vec<(u64, f64)> =
                    own.filter_map(|found| Some((found.size, Self::ratio(found, operation)?))).collect();
                if !points.is_empty() {
                    lines.push(Line { engine, operation, points });
                }
            }
        }
        lines
    }

    /// The tables, to read.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} accounts, {} clients, {} rounds of {} s; {} cores and {:.0} MiB of memory\n\n",
            self.accounts,
            self.clients,
            self.rounds,
            self.seconds,
            self.machine_cores,
            in_mib(self.machine_memory_bytes)
        );
        self.speeds(&mut text);
        let _ = writeln!(
            text,
            "\nThe target is for the loss of the ratio to H. What writes waits for the disk, which H knows nothing of: \
             R, a log\nwith one sync a batch, was measured on its other side, and the last columns are its part of R."
        );
        self.sizes(&mut text);
        for found in self.found.iter().filter(|found| found.bytes > self.machine_memory_bytes) {
            let _ = writeln!(
                text,
                "\nThe data of {} connections on {} ({:.0} MiB) do not fit into the memory of the machine.",
                found.size,
                found.engine,
                in_mib(found.bytes)
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn speeds(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{:<11} {:<9} {:<10} {:>6} {:>10} {:>8}  {:>6} {:>15} {:>8} {:>9}  {:>6}  {:<6}  {:<7}  {:>6} {:>6}",
            "connections",
            "engine",
            "operation",
            "page",
            "requests/s",
            "H/s",
            "ratio",
            "(rounds)",
            "p50 µs",
            "p99 µs",
            "loss",
            "target",
            "reached",
            "of R",
            "loss"
        );
        let losses = self.losses();
        for found in &self.found {
            for summary in &found.operations {
                let is_this = |loss: &&Loss| {
                    (loss.size, loss.engine, loss.operation) == (found.size, found.engine, summary.operation)
                };
                let _ = writeln!(text, "{}", speed(found, summary, losses.iter().find(is_this)));
            }
        }
    }

    fn sizes(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:<11} {:<9} {:>11} {:>8} {:>8} {:>9} {:>21} {:>5} {:>21}  {:>20} {:>5} {:>20} {:>6}",
            "connections",
            "engine",
            "arrived/s",
            "in s",
            "MiB",
            "bytes/row",
            "start ms",
            "≤ 1 s",
            "after kill -9",
            "idle MiB (own)",
            "≤ 64",
            "loaded MiB (own)",
            "≤ 256"
        );
        for found in &self.found {
            let _ = writeln!(text, "{}", size(found));
        }
    }
}

fn speed(found: &Found, summary: &Summary, loss: Option<&Loss>) -> String {
    let ratio = summary.ratio.map_or_else(|| "void".to_owned(), |ratio| format!("{:.3}", ratio.median));
    let rounds =
        summary.ratio.map_or_else(String::new, |ratio| format!("({:.3}–{:.3})", ratio.least, ratio.most));
    let part = loss.and_then(|loss| loss.lost);
    let percent = part.map_or_else(String::new, |loss| format!("{:.0} %", loss * 100.0));
    let target =
        loss.and_then(|loss| loss.target).map_or_else(String::new, |most| format!("≤ {:.0} %", most * 100.0));
    let reached = match (&summary.void, loss.and_then(|loss| loss.reached)) {
        (Some(why), _) => format!("VOID: {why}"),
        (None, reached) => reached.map_or("", yes).to_owned(),
    };
    let page = summary.page.map_or_else(String::new, |page| page.to_string());
    let raw_log = summary.raw_log_ratio.map_or_else(String::new, |ratio| format!("{:.3}", ratio.median));
    let raw_log_loss = loss
        .and_then(|loss| loss.lost_of_raw_log)
        .map_or_else(String::new, |loss| format!("{:.0} %", loss * 100.0));
    let line = format!(
        "{:<11} {:<9} {:<10} {page:>6} {:>10.0} {:>8.0}  {ratio:>6} {rounds:>15} {:>8.0} {:>9.0}  {percent:>6}  {target:<6}  {reached:<7}  {raw_log:>6} {raw_log_loss:>6}",
        found.size,
        found.engine,
        summary.operation,
        summary.requests_per_second,
        summary.limit_per_second,
        summary.p50_us,
        summary.p99_us,
    );
    line.trim_end().to_owned()
}

fn size(found: &Found) -> String {
    let Times { start_ms, start_after_kill_ms, log_bytes_at_kill } = &found.times;
    let start = start_ms.map_or_else(String::new, |spread| {
        format!("{:.0} ({:.0}–{:.0})", spread.median, spread.least, spread.most)
    });
    let killed = start_after_kill_ms.zip(*log_bytes_at_kill);
    let killed = killed.map_or_else(String::new, |(ms, log)| format!("{ms:.0} ({:.0} MiB log)", in_mib(log)));
    let memory = |memory: Memory| format!("{:.0} ({:.0})", in_mib(memory.rss), in_mib(memory.rss_anon));
    let is_within = |memory: Memory, most: f64| yes(in_mib(memory.rss) <= most);
    let loaded = if found.size <= LOADED_UP_TO { is_within(found.loaded, LOADED_MOST_MIB) } else { "" };
    let line = format!(
        "{:<11} {:<9} {:>11.0} {:>8.0} {:>8.0} {:>9.0} {start:>21} {:>5} {killed:>21}  {:>20} {:>5} {:>20} {loaded:>6}",
        found.size,
        found.engine,
        found.arrived_per_second,
        found.arrived_in_seconds,
        in_mib(found.bytes),
        found.bytes_per_connection,
        yes(start_ms.is_some_and(|spread| spread.median <= START_MOST_MS)),
        memory(found.idle),
        is_within(found.idle, IDLE_MOST_MIB),
        memory(found.loaded),
    );
    line.trim_end().to_owned()
}

/// What stands in a table.
const fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Errors, Measured};

    fn sample(operation: Operation, requests: u64, fault: Option<&str>) -> Sample {
        let errors = Errors { connect: 0, read: 0, write: 0, timeout: 0, status: 0 };
        let measured =
            Measured { requests, duration_us: 1_000_000, p50_us: 100, p99_us: 500, p999_us: 900, errors };
        Sample {
            operation,
            measured,
            constant_per_second: 100.0,
            raw_log_per_second: Some(200.0),
            fault: fault.map(str::to_owned),
        }
    }

    fn found(size: u64, engine: Engine, samples: &[Sample]) -> Found {
        let start_ms = Spread::of([20.0]);
        Found {
            size,
            connections: size,
            engine,
            arrived_per_second: 1_000.0,
            arrived_in_seconds: 10.0,
            bytes: size * 1_000,
            bytes_per_connection: 1_000.0,
            operations: operations(samples, 40),
            times: Times { start_ms, start_after_kill_ms: Some(30.0), log_bytes_at_kill: Some(4 << 20) },
            idle: Memory { rss: 20 << 20, rss_anon: 10 << 20 },
            loaded: Memory { rss: 300 << 20, rss_anon: 10 << 20 },
        }
    }

    fn growth(found: Vec<Found>) -> Growth {
        let mut growth = Growth::new(1_000_000, 2_003, Pace { rounds: 1, seconds: 1 }, 1 << 29, 2);
        growth.found = found;
        growth
    }

    #[test]
    fn a_loss_is_counted_from_the_smallest_size_of_the_same_engine() {
        let create = |requests| [sample(Operation::Create, requests, None)];
        let growth = growth(vec![
            found(10_000, Engine::Sqlite, &create(40)),
            found(10_000, Engine::Postgres, &create(80)),
            found(1_000_000, Engine::Sqlite, &create(32)),
            found(1_000_000, Engine::Postgres, &create(40)),
        ]);
        let losses = growth.losses();
        let seen: Vec<_> = losses
            .iter()
            .map(|loss| (loss.engine, (loss.lost.unwrap() * 100.0).round(), loss.reached.unwrap()))
            .collect();
        assert_eq!(seen, [(Engine::Sqlite, 20.0, true), (Engine::Postgres, 50.0, false)]);
        assert_eq!(growth.lines().len(), 2);
        assert_eq!(growth.lines()[1].points, [(10_000, 0.8), (1_000_000, 0.4)]);
        assert_eq!(serde_json::to_value(growth.report()).unwrap()["losses"][1]["lost"], 0.5);
        assert_eq!(losses[1].lost_of_raw_log, Some(0.5));
    }

    #[test]
    fn only_what_the_targets_name_is_judged() {
        let list = [sample(Operation::DeepList, 9, None)];
        let growth = growth(vec![found(10_000, Engine::Sqlite, &list), found(20_000, Engine::Sqlite, &list)]);
        assert_eq!((growth.losses()[0].lost, growth.losses()[0].reached), (Some(0.0), None));
        assert_eq!(growth.found[0].operations[0].page, Some(40));
    }

    #[test]
    fn what_met_an_error_has_no_ratio_and_reaches_nothing() {
        let good = [sample(Operation::Get, 40, None)];
        let bad = [sample(Operation::Get, 40, None), sample(Operation::Get, 40, Some("1 status"))];
        let growth = growth(vec![found(10_000, Engine::Sqlite, &good), found(20_000, Engine::Sqlite, &bad)]);
        assert!(!growth.is_good());
        assert_eq!((growth.losses()[0].lost, growth.losses()[0].reached), (None, Some(false)));
        assert!(growth.table().contains("VOID: 1 status"));
    }

    #[test]
    fn the_table_says_what_does_not_fit_and_what_was_left_out() {
        let mut growth = growth(vec![found(1_000_000, Engine::Sqlite, &[])]);
        growth.notes.push("PostgreSQL was left out.".to_owned());
        let table = growth.table();
        assert!(table.contains("do not fit into the memory") && table.contains("PostgreSQL was left out."));
        let line = table.lines().find(|line| line.contains("20 (20–20)")).unwrap();
        assert!(
            line.contains("30 (4 MiB log)") && line.contains("300 (10)") && line.ends_with("no"),
            "{line}"
        );
        assert!(growth.is_good());
    }
}
