//! Latency at a rate that the service sustains: get and create at parts of the closed loop's rate.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::BenchError;
use crate::open_loop::Schedule;
use crate::operations::{CONNECTIONS, Operation, Subject, share};
use crate::service::Engine;

/// Parts of the closed loop's rate.
const PARTS: [f64; 2] = [0.5, 0.8];
pub(crate) const OPERATIONS: [Operation; 2] = [Operation::Get, Operation::Create];

/// One run at one rate. Latencies count from when a request was due.
#[derive(Debug, Serialize)]
pub(crate) struct Paced {
    engine: Engine,
    operation: Operation,
    /// Part of the closed loop's rate; absent if the rate was given.
    part: Option<f64>,
    rate: f64,
    achieved_per_second: f64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
    most_us: u64,
    /// CPU time of the client side per request: the cores are shared.
    client_cpu_us_per_request: f64,
    requests: u64,
    pub(crate) errors: u64,
    first_error: Option<String>,
    connections: u32,
    seconds: u32,
}

/// Measures at this rate, or at parts of the closed loop's rate.
pub(crate) fn run(
    subject: &mut Subject,
    operation: Operation,
    rates: Rates,
    seconds: u32,
) -> Result<Vec<Paced>, BenchError> {
    let rates: Vec<(Option<f64>, f64)> = match rates {
        Rates::Given(rate) => vec![(None, rate)],
        Rates::PartsOf(whole) => PARTS.iter().map(|part| (Some(*part), part * whole)).collect(),
    };
    let mut all = Vec::new();
    for (part, rate) in rates {
        let outcome = subject.open_loop(operation, Schedule::of(rate, seconds))?;
        let at = |quantile| outcome.latencies.value_at_quantile(quantile);
        all.push(Paced {
            engine: subject.engine,
            operation,
            part,
            rate,
            achieved_per_second: outcome.per_second,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            most_us: outcome.latencies.max(),
            client_cpu_us_per_request: share(outcome.own_cpu_us, outcome.latencies.len()),
            requests: outcome.latencies.len(),
            errors: outcome.errors,
            first_error: outcome.first_error,
            connections: CONNECTIONS,
            seconds,
        });
    }
    Ok(all)
}

impl Paced {
    /// Whether responses kept up with the schedule: if not, the queue only grew, and the latencies only show the length
    /// of the run.
    fn is_held(&self) -> bool {
        self.achieved_per_second >= 0.98 * self.rate
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Rates {
    Given(f64),
    PartsOf(f64),
}

/// A table, to read.
pub(crate) fn table(all: &[Paced]) -> String {
    let mut text = format!(
        "{:<10} {:<9} {:>5} {:>9} {:>11} {:>5}  {:>8} {:>9} {:>9} {:>9}  {:>9} {:>6} {:>10}\n",
        "operation",
        "engine",
        "part",
        "due/s",
        "answered/s",
        "held",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "most µs",
        "requests",
        "errors",
        "own CPU µs"
    );
    for paced in all {
        let part = paced.part.map_or_else(String::new, |part| format!("{:.0} %", part * 100.0));
        let _ = writeln!(
            text,
            "{:<10} {:<9} {part:>5} {:>9.0} {:>11.0} {:>5}  {:>8} {:>9} {:>9} {:>9}  {:>9} {:>6} {:>10.1} {}",
            paced.operation,
            paced.engine,
            paced.rate,
            paced.achieved_per_second,
            if paced.is_held() { "yes" } else { "no" },
            paced.p50_us,
            paced.p99_us,
            paced.p999_us,
            paced.most_us,
            paced.requests,
            paced.errors,
            paced.client_cpu_us_per_request,
            paced.first_error.as_ref().map_or_else(String::new, |error| format!("VOID: {error}")),
        );
    }
    text
}
