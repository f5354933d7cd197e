//! The results beside their targets: a table for people, and JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::limits::{Limit, raw_log};
use crate::operations::{CONNECTIONS, Operation, Sample};
use crate::rounds::{Pace, Results, Round, Spread};
use crate::service::Engine;

/// The target of an operation relative to a limit.
struct Target {
    engine: Engine,
    operation: Operation,
    limit: Limit,
    /// The least part of the limit.
    ratio: f64,
    /// The largest ratio of the 99th percentile to the median.
    tail: Option<f64>,
}

const fn target(engine: Engine, operation: Operation, limit: Limit, ratio: f64, tail: Option<f64>) -> Target {
    Target { engine, operation, limit, ratio, tail }
}

/// The rows of the report, in their order.
const TARGETS: [Target; 9] = [
    target(Engine::Sqlite, Operation::Create, Limit::H, 0.20, Some(10.0)),
    target(Engine::Sqlite, Operation::Create, Limit::R, 0.35, Some(10.0)),
    target(Engine::Sqlite, Operation::Get, Limit::H, 0.50, Some(3.0)),
    target(Engine::Sqlite, Operation::List, Limit::H, 0.15, None),
    target(Engine::Sqlite, Operation::Update, Limit::H, 0.20, Some(10.0)),
    target(Engine::Postgres, Operation::Create, Limit::P, 0.70, None),
    target(Engine::Postgres, Operation::Get, Limit::P, 0.60, None),
    target(Engine::Postgres, Operation::List, Limit::P, 0.60, None),
    target(Engine::Postgres, Operation::Update, Limit::P, 0.70, None),
];

/// One operation on one engine beside one limit. Medians over the rounds unless stated otherwise; a void row shows its
/// figures nevertheless.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) operation: Operation,
    pub(crate) engine: Engine,
    pub(crate) limit: Limit,
    pub(crate) requests_per_second: f64,
    pub(crate) limit_per_second: f64,
    /// The median of the rounds' ratios; absent in a void row.
    pub(crate) ratio: Option<f64>,
    pub(crate) ratio_min: Option<f64>,
    pub(crate) ratio_max: Option<f64>,
    pub(crate) target: f64,
    pub(crate) reached: bool,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    p99_over_p50: Option<f64>,
    p99_over_p50_target: Option<f64>,
    p99_over_p50_reached: Option<bool>,
    /// Of all rounds.
    requests: u64,
    /// Of all rounds.
    errors: u64,
    /// Why it is void.
    pub(crate) void: Option<String>,
    cpu_us_per_request: f64,
    postgres_cpu_us_per_request: Option<f64>,
    rss_bytes: u64,
    rss_anon_bytes: u64,
    rss_idle_bytes: u64,
    rss_anon_idle_bytes: u64,
    connections: u32,
    /// Of each round.
    seconds: u32,
    rounds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    deep_requests_per_second: Option<f64>,
    /// The last round's.
    #[serde(skip_serializing_if = "Option::is_none")]
    deep_page: Option<u64>,
    /// The median of the rounds' ratios of the deep page to page 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    deep_ratio_to_page_1: Option<f64>,
    /// F: 4 KiB appended and synced, in sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    appends_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_record_bytes: Option<usize>,
}

/// The measured rows that have targets.
pub(crate) fn rows(all: &[Results], pace: Pace) -> Vec<Row> {
    TARGETS.iter().filter_map(|target| row(target, all, pace)).collect()
}

fn row(target: &Target, all: &[Results], pace: Pace) -> Option<Row> {
    let found = all
        .iter()
        .find(|found| found.group.engine == target.engine && found.group.operation == target.operation)?;
    let samples = || found.rounds.iter().filter_map(|round| round.sample.as_ref());
    let deep = || found.rounds.iter().filter_map(|round| round.deep.as_ref());
    let median = |of: &dyn Fn(&Sample) -> f64| middle(samples().map(of));
    let (p50, p99) = (median(&|s| in_us(s.measured.p50_us)), median(&|s| in_us(s.measured.p99_us)));
    let tail = (p50 > 0.0).then(|| p99 / p50);
    let last = samples().next_back().map(|sample| sample.memory).unwrap_or_default();
    let nothing = samples().next().is_none().then(|| "nothing was measured".to_owned());
    let void = found.fault.clone().or(nothing);
    let ratio = Spread::of(found.rounds.iter().filter_map(|round| ratio(round, target.limit)));
    let ratio = ratio.filter(|_| void.is_none());
    let is_r = target.limit == Limit::R;
    Some(Row {
        operation: target.operation,
        engine: target.engine,
        limit: target.limit,
        requests_per_second: median(&|s| s.measured.requests_per_second()),
        limit_per_second: middle(found.rounds.iter().filter_map(|round| limit(round, target.limit))),
        ratio: ratio.map(|spread| spread.median),
        ratio_min: ratio.map(|spread| spread.least),
        ratio_max: ratio.map(|spread| spread.most),
        target: target.ratio,
        reached: ratio.is_some_and(|spread| spread.median >= target.ratio),
        p50_us: p50,
        p99_us: p99,
        p999_us: median(&|s| in_us(s.measured.p999_us)),
        p99_over_p50: tail,
        p99_over_p50_target: target.tail,
        p99_over_p50_reached: target.tail.zip(tail).map(|(most, is)| void.is_none() && is <= most),
        requests: samples().map(|s| s.measured.requests).sum(),
        errors: samples().chain(deep()).map(|s| s.measured.errors.count()).sum(),
        void,
        cpu_us_per_request: median(&|s| s.cpu_us_per_request),
        postgres_cpu_us_per_request: Spread::of(samples().filter_map(|s| s.postgres_cpu_us_per_request))
            .map(|spread| spread.median),
        rss_bytes: last.rss,
        rss_anon_bytes: last.rss_anon,
        rss_idle_bytes: found.idle.rss,
        rss_anon_idle_bytes: found.idle.rss_anon,
        connections: CONNECTIONS,
        seconds: pace.seconds,
        rounds: pace.rounds,
        deep_requests_per_second: Spread::of(deep().map(|s| s.measured.requests_per_second()))
            .map(|spread| spread.median),
        deep_page: deep().next_back().map(|sample| sample.page),
        deep_ratio_to_page_1: Spread::of(found.rounds.iter().filter_map(deep_ratio))
            .map(|spread| spread.median),
        appends_per_second: Spread::of(found.rounds.iter().filter_map(|round| round.appends))
            .map(|spread| spread.median),
        limit_record_bytes: is_r.then_some(raw_log::RECORD_BYTES),
    })
}

fn limit(round: &Round, limit: Limit) -> Option<f64> {
    round.limits.iter().find(|(name, _)| *name == limit).map(|(_, rate)| *rate)
}

fn ratio(round: &Round, of: Limit) -> Option<f64> {
    Some(round.sample.as_ref()?.measured.requests_per_second() / limit(round, of)?)
}

fn deep_ratio(round: &Round) -> Option<f64> {
    let rate = |sample: &Option<Sample>| Some(sample.as_ref()?.measured.requests_per_second());
    Some(rate(&round.deep)? / rate(&round.sample)?)
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^52")]
pub(crate) fn in_us(us: u64) -> f64 {
    us as f64
}

#[expect(clippy::cast_precision_loss, reason = "no machine has so much memory")]
pub(crate) fn in_mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The tables.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<10} {:<9} {:>10}  {:<5} {:>9}  {:>6} {:>15}  {:>7}  {}\n",
        "operation", "engine", "requests/s", "limit", "limit/s", "ratio", "(rounds)", "target", "reached"
    );
    for row in rows {
        let number =
            |value: Option<f64>| value.map_or_else(|| "void".to_owned(), |value| format!("{value:.3}"));
        let spread = format!("({}–{})", number(row.ratio_min), number(row.ratio_max));
        let _ = writeln!(
            text,
            "{:<10} {:<9} {:>10.0}  {:<5} {:>9.0}  {:>6} {:>15}  {:>7.2}  {}",
            row.operation,
            row.engine,
            row.requests_per_second,
            row.limit.letter(),
            row.limit_per_second,
            number(row.ratio),
            spread,
            row.target,
            row.void
                .as_ref()
                .map_or(if row.reached { "yes" } else { "no" }.to_owned(), |why| format!("VOID: {why}")),
        );
    }
    let _ = writeln!(
        text,
        "\n{:<10} {:<9} {:>8} {:>9} {:>9}  {:>7} {:>7}  {:>9} {:>6}  {:>8} {:>8}  {:>14} {:>14}",
        "operation",
        "engine",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "p99/p50",
        "target",
        "requests",
        "errors",
        "CPU µs",
        "+ PG µs",
        "RSS idle→now",
        "anon idle→now"
    );
    // An operation with two limits has one latency.
    for (row, _) in rows.iter().zip(with_previous(rows)).filter(|(row, before)| !is_same(row, *before)) {
        let _ = writeln!(text, "{}", latency(row));
    }
    for row in rows {
        if let (Some(rate), Some(page), Some(ratio)) =
            (row.deep_requests_per_second, row.deep_page, row.deep_ratio_to_page_1)
        {
            let _ =
                writeln!(text, "\nlist on {}, page {page}: {rate:.0}/s, {ratio:.2} of page 1", row.engine);
        }
    }
    if let Some(appends) = rows.iter().find_map(|row| row.appends_per_second) {
        let _ = writeln!(text, "\nF, 4 KiB appended and synced one after another: {appends:.0}/s");
    }
    text
}

fn with_previous(rows: &[Row]) -> impl Iterator<Item = Option<&Row>> {
    std::iter::once(None).chain(rows.iter().map(Some))
}

fn is_same(row: &Row, before: Option<&Row>) -> bool {
    before.is_some_and(|before| before.operation == row.operation && before.engine == row.engine)
}

fn latency(row: &Row) -> String {
    let target = row.p99_over_p50_target.map_or_else(String::new, |most| {
        format!("{}{most:.0}", if row.p99_over_p50_reached == Some(true) { "≤ " } else { "not ≤ " })
    });
    let memory = |idle, now| format!("{:.0}→{:.0} MiB", in_mib(idle), in_mib(now));
    format!(
        "{:<10} {:<9} {:>8.0} {:>9.0} {:>9.0}  {:>7.1} {:>7}  {:>9} {:>6}  {:>8.1} {:>8}  {:>14} {:>14}",
        row.operation,
        row.engine,
        row.p50_us,
        row.p99_us,
        row.p999_us,
        row.p99_over_p50.unwrap_or_default(),
        target,
        row.requests,
        row.errors,
        row.cpu_us_per_request,
        row.postgres_cpu_us_per_request.map_or_else(String::new, |us| format!("{us:.1}")),
        memory(row.rss_idle_bytes, row.rss_bytes),
        memory(row.rss_anon_idle_bytes, row.rss_anon_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Errors, Measured};
    use crate::process::Memory;
    use crate::rounds::GROUPS;

    fn sample(requests: u64) -> Sample {
        let errors = Errors { connect: 0, read: 0, write: 0, timeout: 0, status: 0 };
        let measured =
            Measured { requests, duration_us: 1_000_000, p50_us: 100, p99_us: 500, p999_us: 900, errors };
        Sample {
            measured,
            fault: None,
            cpu_us_per_request: 20.0,
            postgres_cpu_us_per_request: None,
            memory: Memory::default(),
            page: 1,
        }
    }

    fn found(fault: Option<&str>) -> Vec<Results> {
        let round = |own, limit| Round {
            sample: Some(sample(own)),
            limits: vec![(Limit::H, limit), (Limit::R, limit), (Limit::P, limit)],
            ..Round::default()
        };
        let rounds = vec![round(50, 100.0), round(30, 100.0), round(30, 300.0)];
        let fault = fault.map(str::to_owned);
        let found =
            |group| Results { group, rounds: rounds.clone(), fault: fault.clone(), idle: Memory::default() };
        GROUPS.into_iter().map(found).collect()
    }

    const PACE: Pace = Pace { rounds: 3, seconds: 1 };

    #[test]
    fn the_ratio_is_the_median_over_the_rounds() {
        let rows = rows(&found(None), PACE);
        assert_eq!(rows.len(), 9);
        let first = &rows[0];
        assert_eq!((first.ratio, first.ratio_min, first.ratio_max), (Some(0.3), Some(0.1), Some(0.5)));
        assert!(first.reached && first.p99_over_p50_reached == Some(true));
        assert!(!rows[2].reached && rows[2].p99_over_p50_reached == Some(false));
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!((&json[1]["limit"], &json[1]["operation"]), (&"R".into(), &"create".into()));
        assert_eq!(json[5]["engine"], "postgres");
    }

    #[test]
    fn a_row_with_an_error_misses_its_target() {
        let rows = rows(&found(Some("1 status")), PACE);
        assert!(rows.iter().all(|row| !row.reached && row.ratio.is_none()));
        assert!(table(&rows).contains("VOID: 1 status"));
    }
}
