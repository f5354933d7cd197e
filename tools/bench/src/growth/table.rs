//! The cost of growth: each operation's part of H, compared with the smallest size, and the disk, memory and start time
//! of each size.

use std::fmt::Write as _;

use serde::Serialize;

use super::chart::Line;
use super::measure::Sample;
use crate::limits::Limit;
use crate::operations::{CONNECTIONS, Operation};
use crate::process::Memory;
use crate::report::{in_mib, in_us};
use crate::rounds::{Pace, Spread};
use crate::service::Engine;

/// The largest part of its ratio to H that an operation may lose.
const LOSS_MOST: f64 = 0.25;
const START_MOST_MS: f64 = 1_000.0;
const IDLE_MOST_MIB: f64 = 64.0;
const LOADED_MOST_MIB: f64 = 256.0;
/// Up to this size there is a target for memory under load.
const LOADED_UP_TO: u64 = 1_000_000;
const OPERATIONS: [Operation; 5] =
    [Operation::Create, Operation::Get, Operation::List, Operation::DeepList, Operation::Update];
const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    to: u64,
    accounts: usize,
    rounds: u32,
    /// The length of each measurement.
    seconds: u32,
    /// Concurrent clients.
    clients: u32,
    machine_memory_bytes: u64,
    machine_cores: usize,
    pub(crate) found: Vec<Results>,
    /// What was skipped, and why.
    pub(crate) notes: Vec<String>,
    pub(crate) is_whole: bool,
}

/// One size on one engine.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// The requested number of connections.
    pub(crate) size: u64,
    /// The actual number of connections.
    pub(crate) connections: u64,
    pub(crate) engine: Engine,
    /// Created through the service on SQLite, moved on PostgreSQL.
    pub(crate) arrived_per_second: f64,
    pub(crate) arrived_in_seconds: f64,
    /// On the disk, after a stop.
    pub(crate) bytes: u64,
    pub(crate) bytes_per_connection: f64,
    pub(crate) operations: Vec<Summary>,
    pub(crate) times: Times,
    /// The maximum after a start, before the first request.
    pub(crate) idle: Memory,
    /// The maximum after a load.
    pub(crate) loaded: Memory,
}

/// The duration of starts, up to the first successful readiness check.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    pub(crate) start_ms: Option<Spread>,
    /// The same after a kill during writes.
    pub(crate) start_after_kill_ms: Option<f64>,
    /// The size of the write-ahead log at that start.
    pub(crate) log_bytes_at_kill: Option<u64>,
}

/// An operation over all rounds: medians.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    operation: Operation,
    requests_per_second: f64,
    limit: Limit,
    limit_per_second: f64,
    /// The ratio to H; absent if void.
    ratio: Option<Spread>,
    /// The ratio to R, for writes.
    raw_log_ratio: Option<Spread>,
    raw_log_per_second: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    /// Of all rounds.
    requests: u64,
    /// Of all rounds.
    errors: u64,
    void: Option<String>,
    /// The page of the list.
    page: Option<u64>,
}

/// The part of its ratio that an operation has lost since the smallest size.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Loss {
    size: u64,
    engine: Engine,
    operation: Operation,
    /// The loss of its ratio to H.
    lost: Option<f64>,
    /// The loss of its ratio to R, for writes.
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

/// Summarizes the rounds of each operation.
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

/// The lost part of a ratio; negative if it has grown.
fn lost(before: f64, now: f64) -> f64 {
    1.0 - now / before
}

impl Results {
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

    /// Writes the JSON.
    pub(crate) fn report(&self) -> impl Serialize {
        Report { growth: self, losses: self.losses() }
    }

    /// Whether everything was measured and no row is void.
    pub(crate) fn is_good(&self) -> bool {
        self.is_whole && self.found.iter().flat_map(|found| &found.operations).all(|sum| sum.void.is_none())
    }

    fn ratio(found: &Results, operation: Operation) -> Option<f64> {
        found.of(operation)?.ratio.map(|spread| spread.median)
    }

    fn raw_log_ratio(found: &Results, operation: Operation) -> Option<f64> {
        found.of(operation)?.raw_log_ratio.map(|spread| spread.median)
    }

    /// The losses of each operation at each size except the smallest.
    fn losses(&self) -> Vec<Loss> {
        let mut losses = Vec::new();
        for found in &self.found {
            let first = self.found.iter().find(|first| first.engine == found.engine);
            let Some(first) = first.filter(|first| first.size < found.size) else { continue };
            for Summary { operation, .. } in &found.operations {
                let lost_of = |ratio: fn(&Results, Operation) -> Option<f64>| {
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

    /// The tables.
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

fn speed(found: &Results, summary: &Summary, loss: Option<&Loss>) -> String {
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

fn size(found: &Results) -> String {
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

/// The content of a cell.
const fn yes(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

#[cfg(test)]
mod tests;
