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

fn found(size: u64, engine: Engine, samples: &[Sample]) -> Results {
    let start_ms = Spread::of([20.0]);
    Results {
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

fn growth(found: Vec<Results>) -> Growth {
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
fn only_rows_with_targets_are_judged() {
    let list = [sample(Operation::DeepList, 9, None)];
    let growth = growth(vec![found(10_000, Engine::Sqlite, &list), found(20_000, Engine::Sqlite, &list)]);
    assert_eq!((growth.losses()[0].lost, growth.losses()[0].reached), (Some(0.0), None));
    assert_eq!(growth.found[0].operations[0].page, Some(40));
}

#[test]
fn a_row_with_an_error_has_no_ratio_and_misses_its_target() {
    let good = [sample(Operation::Get, 40, None)];
    let bad = [sample(Operation::Get, 40, None), sample(Operation::Get, 40, Some("1 status"))];
    let growth = growth(vec![found(10_000, Engine::Sqlite, &good), found(20_000, Engine::Sqlite, &bad)]);
    assert!(!growth.is_good());
    assert_eq!((growth.losses()[0].lost, growth.losses()[0].reached), (None, Some(false)));
    assert!(growth.table().contains("VOID: 1 status"));
}

#[test]
fn the_table_lists_what_does_not_fit_and_what_was_skipped() {
    let mut growth = growth(vec![found(1_000_000, Engine::Sqlite, &[])]);
    growth.notes.push("PostgreSQL was left out.".to_owned());
    let table = growth.table();
    assert!(table.contains("do not fit into the memory") && table.contains("PostgreSQL was left out."));
    let line = table.lines().find(|line| line.contains("20 (20–20)")).unwrap();
    assert!(line.contains("30 (4 MiB log)") && line.contains("300 (10)") && line.ends_with("no"), "{line}");
    assert!(growth.is_good());
}
