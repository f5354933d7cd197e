//! A primary with a synchronous standby: acknowledged writes are on both, and a write that may be on one alone is
//! never acknowledged.

use std::time::Instant;

use tokio_util::task::TaskTracker;

use crate::support::chaos_clients::{ChaosClients, Known, assert_whole};
use crate::support::cluster::env_on_database;
use crate::support::connections::post_with_key;
use crate::support::harness::{COLLECTION, Response, TestEnv, until};
use crate::support::postgres::{Postgres, Stop, Version, sql};
use crate::support::tools::print_numbers;

const DATABASE: &str = "vimeo";
/// Backends whose commit waits for the standby.
const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// A primary with a database, its standby, and a URL with both hosts.
fn pair(version: Version) -> Option<(Postgres, Postgres, String)> {
    let primary = Postgres::private(version)?;
    let url = primary.create_database(DATABASE);
    let standby = primary.standby();
    let second = standby.url(DATABASE);
    let (_, second) = second.rsplit_once('@').unwrap();
    let (first, _) = url.rsplit_once('/').unwrap();
    let both = format!("{first},{second}");
    Some((primary, standby, both))
}

fn assert_unknown(answer: &Response) {
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "OUTCOME_UNKNOWN"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

async fn is_ready(env: &TestEnv) -> bool {
    env.get("/health/ready").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_failover() {
    for version in Version::ALL {
        let Some((mut primary, standby, both)) = tokio::task::block_in_place(|| pair(version)) else {
            continue;
        };
        let env = env_on_database(&both, "").await;
        let process = env.service.id();
        let chaos = ChaosClients::start(&env, &[env.service.address], "f", 32);
        chaos.wait_for_acks(400).await;
        tokio::task::block_in_place(|| primary.kill());
        let killed = Instant::now();
        until("the service is not ready", async || !is_ready(&env).await).await;
        assert_eq!(env.get("/health/live").await.status, 200);
        until("writes are refused", async || chaos.count_of("STORE_UNAVAILABLE") > 500).await;
        tokio::task::block_in_place(|| standby.promote());
        let promoted = killed.elapsed();
        chaos.wait_for_acks(200).await;
        until("the service is ready", async || is_ready(&env).await).await;
        let mut report = chaos.finish().await;
        report.assert_only_errors(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]);
        print_numbers(&format!(
            "failover of {version:?}, promoted {} ms after the kill: {}",
            promoted.as_millis(),
            report.summary()
        ));
        let url = standby.url(DATABASE);
        report.assert_acknowledged_stored(&url);
        let over = "UPDATE idempotency_records SET reserved_until = 0 WHERE answer IS NULL";
        sql(&url, over).unwrap();
        for connection in report
            .connections
            .iter_mut()
            .filter(|connection| connection.has_key && connection.created == Known::Maybe)
        {
            let body = serde_json::from_str(&connection.body).unwrap();
            let answer = post_with_key(&env, &connection.name, &body).await;
            assert_eq!(answer.status, 201, "{connection:?} {answer:?}");
            connection.created = Known::Yes;
        }
        report.assert_acknowledged_stored(&url);
        assert_whole(&env, &url);
        assert_eq!(env.service.id(), process);
    }
}

/// Starts a create, with an idempotency key if there is one.
fn begin(env: &TestEnv, name: &str, key: Option<&str>) -> tokio::task::JoinHandle<Response> {
    let mut request = env.http.post(env.url(COLLECTION)).header("authorization", &env.api_key);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let request = request.body(env.valid_body(name).to_string());
    TaskTracker::new().spawn(async move {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Response { status, headers, text: response.text().await.unwrap() }
    })
}

async fn assert_writes_continue(env: &TestEnv, standby: &mut Postgres, primary: &Postgres) {
    tokio::task::block_in_place(|| standby.start());
    let is_created = async || post_with_key(env, "after", &env.valid_body("after")).await.status == 201;
    until("writes continue", is_created).await;
    assert_whole(env, &primary.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_with_a_cancelled_standby_wait_is_not_acknowledged() {
    let Some((primary, mut standby, both)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let env = env_on_database(&both, "").await;
    assert_eq!(post_with_key(&env, "before", &env.valid_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Fast));
    // With a key, the reservation is a commit of its own, and its wait is cancelled too.
    for how in ["pg_cancel_backend(pid)", "pg_terminate_backend(pid)"] {
        for key in [None, Some("key-1"), Some("key-2")] {
            let name = format!("{} {}", how.split('(').next().unwrap(), key.unwrap_or("plain"));
            let asking = begin(&env, &name, key.map(|key| format!("{key}-{how}")).as_deref());
            until("the answer", async || {
                primary.sql(&format!("SELECT {how} {WAITING}"));
                asking.is_finished()
            })
            .await;
            assert_unknown(&asking.await.unwrap());
        }
    }
    let there =
        sql(&primary.url(DATABASE), "SELECT count(*) FROM connections WHERE name LIKE '%plain'").unwrap();
    assert_eq!(there, "2", "they are on the primary, and not on the standby");
    tokio::task::block_in_place(|| standby.start());
    until("writes continue", async || {
        post_with_key(&env, "after", &env.valid_body("after")).await.status == 201
    })
    .await;
    assert_whole(&env, &primary.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_missing_on_the_standby_is_not_acknowledged() {
    let Some((mut primary, mut standby, _)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let env = env_on_database(&primary.url(DATABASE), "").await;
    assert_eq!(post_with_key(&env, "before", &env.valid_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Fast));
    let asking = begin(&env, "alone", None);
    until("the commit waits", async || primary.sql(&format!("SELECT count(*) {WAITING}")) != "0").await;
    // It recovers the commit from its WAL, as if the standby had it.
    tokio::task::block_in_place(|| {
        primary.kill();
        primary.start();
    });
    let there = sql(&primary.url(DATABASE), "SELECT count(*) FROM connections WHERE name = 'alone'").unwrap();
    assert_eq!(there, "1");
    assert_unknown(&asking.await.unwrap());
    assert_writes_continue(&env, &mut standby, &primary).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_while_the_standby_is_down() {
    let Some((primary, mut standby, both)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let env = env_on_database(&both, "store.timeout_seconds = 1").await;
    assert_eq!(post_with_key(&env, "before", &env.valid_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Immediate));
    let chaos = ChaosClients::start(&env, &[env.service.address], "alone", 16);
    until("a client gets this error", async || chaos.count_of("OUTCOME_UNKNOWN") > 0).await;
    assert_eq!(chaos.acknowledged(), 0);
    tokio::task::block_in_place(|| standby.start());
    chaos.wait_for_acks(50).await;
    let report = chaos.finish().await;
    report.assert_only_errors(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]);
    print_numbers(&format!("the standby down and up again: {}", report.summary()));
    report.assert_acknowledged_stored(&primary.url(DATABASE));
    assert_whole(&env, &primary.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_primary_that_still_runs_is_replaced() {
    for version in Version::ALL {
        let Some((mut primary, standby, both)) = tokio::task::block_in_place(|| pair(version)) else {
            continue;
        };
        let env = env_on_database(&both, "store.timeout_seconds = 1").await;
        let chaos = ChaosClients::start(&env, &[env.service.address], "former", 16);
        chaos.wait_for_acks(100).await;
        // It accepts connections, and its commits wait for the standby for ever.
        tokio::task::block_in_place(|| standby.promote());
        chaos.wait_for_acks(100).await;
        until("the service is ready", async || is_ready(&env).await).await;
        let report = chaos.finish().await;
        report.assert_only_errors(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]);
        print_numbers(&format!("{version:?}, former primary still runs: {}", report.summary()));
        report.assert_acknowledged_stored(&standby.url(DATABASE));
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{DATABASE}'");
        until("its sessions are closed", async || primary.sql(&sessions) == "0").await;
        // A command connects to the first server that accepts writes.
        tokio::task::block_in_place(|| primary.stop(Stop::Immediate));
        assert_whole(&env, &standby.url(DATABASE));
    }
}
