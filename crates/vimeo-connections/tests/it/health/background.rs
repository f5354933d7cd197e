//! Background checks: shared by the nodes of one database, each connection once in its interval.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::bulk_fixtures::send_all;
use crate::support::cluster::Node;
use crate::support::harness::{COLLECTION, EnvOptions, Service, TestEnv};
use crate::support::health::fingerprint;
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::tools::is_all;
use crate::support::uploads::WAIT_LIMIT;

/// A day, compressed.
struct Scale {
    connections: usize,
    interval_seconds: i64,
    /// Connections whose token is revoked in between.
    broken: usize,
}

fn scale() -> Scale {
    if is_all() {
        Scale { connections: 10_000, interval_seconds: 240, broken: 500 }
    } else {
        Scale { connections: 500, interval_seconds: 20, broken: 50 }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < 4 * WAIT_LIMIT, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// When each connection was checked, in milliseconds, according to the logs of the nodes.
fn checks(directories: &[&Path]) -> BTreeMap<String, Vec<i64>> {
    let mut checks: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for directory in directories {
        let log = fs::read_to_string(directory.join("service.log")).unwrap();
        for line in log.lines().filter(|line| line.contains("a connection was checked")) {
            // The last line of a killed node may be cut off.
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let at = domain::time::Timestamp::parse(line["timestamp"].as_str().unwrap()).unwrap();
            checks.entry(line["connection"].as_str().unwrap().to_owned()).or_default().push(at.as_millis());
        }
    }
    for times in checks.values_mut() {
        times.sort_unstable();
    }
    checks
}

/// Creates connections with a token each, unverified; their tokens.
async fn create(env: &TestEnv, count: usize) -> Vec<String> {
    let made = env
        .control(
            Method::POST,
            "tokens",
            json!({"app": env.sandbox.client_id, "count": count, "requests_per_minute": 12}),
        )
        .await;
    let tokens: Vec<String> = made["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| token["access_token"].as_str().unwrap().to_owned())
        .collect();
    let (body, given) = (env.valid_body("x"), tokens.clone());
    send_all(env, count, 201, move |number| {
        let mut body = body.clone();
        body["name"] = json!(format!("c-{number}"));
        body["accessToken"] = json!(given[number]);
        (Method::POST, COLLECTION.to_owned(), body)
    })
    .await;
    tokens
}

/// Starts checking: both nodes with verification, the first again in its directory.
fn start_checking(env: &mut TestEnv, interval_seconds: i64) -> Node {
    let path = env.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("vimeo.verification = \"off\"", "vimeo.verification = \"required\"").replace(
        "health.check_interval_seconds = 0",
        &format!("health.check_interval_seconds = {interval_seconds}"),
    );
    fs::write(&path, config).unwrap();
    env.service.kill();
    env.service = Service::start(env.path());
    Node::beside(env)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_check_each_connection_once_in_its_interval_and_one_is_killed() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let Scale { connections, interval_seconds, broken } = scale();
    let mut env = TestEnv::with(EnvOptions {
        verification_off: true,
        database_url: Some(database.url()),
        ..EnvOptions::default()
    })
    .await;
    let tokens = create(&env, connections).await;
    let mut other = start_checking(&mut env, interval_seconds);
    let count =
        |sql: &str| database.sql(&format!("SELECT count(*) FROM {sql}")).trim().parse::<usize>().unwrap();
    let healthy = || count("connection_health WHERE status = 'healthy'");
    until("all are healthy", || healthy() == connections).await;
    for token in &tokens[..broken] {
        env.control(Method::PATCH, &format!("tokens/{}", fingerprint(token)), json!({"revoked": true})).await;
    }
    let unhealthy = || count("connection_health WHERE status = 'unhealthy'");
    until("a part of the broken ones is found", || unhealthy() > broken / 4).await;
    other.service.kill();
    let killed_at = database.sql("SELECT (extract(epoch FROM now()) * 1000000)::bigint").trim().to_owned();
    until("the broken ones are found", || unhealthy() == broken).await;
    until("each is checked again after the kill", || {
        count(&format!("connection_health WHERE checked_at > {killed_at}")) == connections
    })
    .await;
    for token in &tokens[..broken] {
        env.control(Method::PATCH, &format!("tokens/{}", fingerprint(token)), json!({"revoked": false}))
            .await;
    }
    until("all have recovered", || healthy() == connections).await;

    // One event for each change of status, and no other.
    let marked = |action: &str| {
        let events = format!("audit_events WHERE action = '{action}'");
        let subjects = database.sql(&format!("SELECT count(DISTINCT subject) FROM {events}"));
        (count(&events), subjects.trim().parse::<usize>().unwrap())
    };
    assert_eq!(marked("mark_connection_unhealthy"), (broken, broken));
    assert_eq!(marked("mark_connection_healthy"), (connections + broken, connections));
    assert_eq!(count("audit_events WHERE action = 'mark_connection_unverified'"), 0);

    // None twice within its interval, which a fifth may shorten, nor missed.
    let checks = checks(&[env.path(), other.directory.path()]);
    assert_eq!(checks.len(), connections, "each connection was checked");
    let least = interval_seconds * 1_000 * 4 / 5 - 500;
    for (connection, times) in &checks {
        assert!(times.len() >= 2, "{connection}: {times:?}");
        for pair in times.windows(2) {
            assert!(
                pair[1] - pair[0] >= least,
                "{connection} was checked twice within its interval: {times:?}"
            );
        }
    }
    let nodes = [env.path(), other.directory.path()].map(|path| self::checks(&[path]).len());
    assert!(nodes.iter().all(|checked| *checked > 0), "both nodes have checked: {nodes:?}");

    // The rate limit of no token was exceeded.
    let shown = env.control(Method::GET, "tokens", Value::Null).await;
    let limited: Vec<_> =
        shown["tokens"].as_array().unwrap().iter().filter(|token| token["refused_429"] != 0).collect();
    assert!(limited.is_empty(), "{limited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_is_checked_soon_and_again_in_its_interval() {
    let config = "health.check_interval_seconds = 2\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    let connection = env.connect("Vimeo").await;
    let health = env.until_health(&connection, |health| health["vimeoUser"].is_object()).await;
    assert!(health["nextCheckDate"].as_str() > health["checkedDate"].as_str(), "{health}");
    env.change_token(json!({"revoked": true})).await;
    env.until_health(&connection, |health| health["status"] == "unhealthy").await;
    env.change_token(json!({"revoked": false})).await;
    env.until_health(&connection, |health| health["status"] == "healthy").await;
    let marks = ["mark_connection_unhealthy", "mark_connection_healthy"];
    assert_eq!(env.audited_actions(&marks).await, marks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_connection_is_not_checked_in_the_background() {
    let config = "health.check_interval_seconds = 1\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    let connection = env.connect("Vimeo").await;
    let body = json!({"version": 1, "enabled": false}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(env.send(Method::PUT, &connection, &headers, body.into()).await.status, 200);
    let other = env.connect("Other").await;
    env.until_health(&other, |health| health["vimeoUser"].is_object()).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
    env.change_token(json!({"revoked": true})).await;
    env.until_health(&other, |health| health["status"] == "unhealthy").await;
    let health = env.health(&connection).await;
    assert_eq!((&health["status"], &health["nextCheckDate"]), (&json!("healthy"), &Value::Null), "{health}");
}
