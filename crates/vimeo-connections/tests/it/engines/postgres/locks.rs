//! Another client locks a table: the service waits for it, refuses what waits too long, and stays live.

use std::process::{Child, Stdio};
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::outages::{IMPATIENT, REFUSALS, assert_back, assert_unavailable};
use crate::support::chaos_clients::{ChaosClients, assert_whole};
use crate::support::cluster::env_on_database;
use crate::support::connections::{assert_replayed, create, delete, path_of, post_with_key, put};
use crate::support::harness::until;
use crate::support::postgres::{Postgres, SharedPostgres, Version, psql, sql};
use crate::support::tools::print_numbers;

/// A transaction of another client that locks the table of connections.
struct Holder {
    client: Child,
    url: String,
}

impl Holder {
    async fn hold(url: &str, mode: &str) -> Self {
        let mut client =
            psql(url, &format!("BEGIN; LOCK TABLE connections IN {mode} MODE; SELECT pg_sleep(600)"));
        let client = client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
        until("the table is locked", async || sql(url, sleeps).unwrap() == "1").await;
        Self { client, url: url.to_owned() }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()";
        let _ = sql(&self.url, end);
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_a_locked_table_run_concurrently() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    let url = server.create_database("vimeo");
    let env = Arc::new(env_on_database(&url, IMPATIENT).await);
    let mut ids = Vec::new();
    for n in 0..64 {
        ids.push(create(&env, &env.valid_body(&format!("before {n}"))).await);
    }
    assert_eq!(put(&env, &ids[0], &json!({"version": 1, "description": "before"})).await.status, 200);
    // Writes wait, and reads do not.
    let holder = Holder::hold(&url, "EXCLUSIVE").await;
    let mut clients = JoinSet::new();
    for (n, id) in ids.iter().cloned().enumerate() {
        let env = env.clone();
        clients.spawn(async move {
            match n % 4 {
                0 => post_with_key(&env, &format!("held-{n}"), &env.valid_body(&format!("held {n}"))).await,
                1 => put(&env, &id, &json!({"version": 1, "description": "held"})).await,
                2 => env.post(&env.valid_body(&format!("held {n}"))).await,
                _ => delete(&env, &id).await,
            }
        });
    }
    // All are answered while the lock is held.
    for answer in clients.join_all().await {
        assert_unavailable(&answer);
    }
    let waits = server.log().matches("canceling statement due to").count();
    assert!((1..40).contains(&waits), "{waits} waits");
    assert_eq!(env.get(&path_of(&ids[1])).await.status, 200);
    assert_eq!(env.get("/health/ready").await.status, 200);
    drop(holder);
    until("writes continue", async || env.post(&env.valid_body("after")).await.status == 201).await;
    assert_eq!(sql(&url, "SELECT count(*), sum(version) FROM connections").unwrap(), "65|66");
    let body = env.valid_body("held 0");
    let first = post_with_key(&env, "held-0", &body).await;
    assert_replayed(&first, &post_with_key(&env, "held-0", &body).await);
    assert_whole(&env, &url);
    print_numbers(&format!("64 writes to a locked table: {waits} waits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusively_locked_table_leaves_the_service_live() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), IMPATIENT).await;
    let id = create(&env, &env.valid_body("before")).await;
    let chaos = ChaosClients::start(&env, &[env.service.address], "held", 16);
    chaos.wait_for_acks(50).await;
    let holder = Holder::hold(&database.url(), "ACCESS EXCLUSIVE").await;
    until("clients are refused", async || chaos.count_of("STORE_UNAVAILABLE") > 32).await;
    assert_eq!(env.get("/health/live").await.status, 200);
    assert_unavailable(&env.send(Method::GET, &path_of(&id), &[], Vec::new()).await);
    drop(holder);
    chaos.wait_for_acks(50).await;
    let report = chaos.finish().await;
    report.assert_only_errors(&REFUSALS);
    report.assert_acknowledged_stored(&database.url());
    assert_back(&env, &database.url(), &id).await;
    print_numbers(&format!("a table locked by another client: {}", report.summary()));
}
