//! Several nodes on one PostgreSQL database: independent of each other, and any of them may be killed at any time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::chaos_clients::{ChaosClients, Known, Report, assert_whole};
use crate::support::cluster::{Node, copy_installation, env_on_database, send_to, start_concurrently};
use crate::support::connections::{IN_USE, assert_replayed, revoke_key};
use crate::support::harness::{ACCOUNT, COLLECTION, Response, Service, TestEnv, cli, printed, schema, until};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::random::next_random;
use crate::support::tools::print_numbers;

const KILLS: usize = 8;

async fn post(env: &TestEnv, node: SocketAddr, key: &str, body: &str) -> Response {
    send_to(env, node, (Method::POST, COLLECTION), &[("idempotency-key", key)], body).await
}

/// Sends every create with a key again, to any node: the first response is replayed, or the create runs once.
async fn repeat_all(env: &TestEnv, nodes: &[SocketAddr], database: &SharedPostgres, report: &mut Report) {
    let over =
        "UPDATE idempotency_records SET reserved_until = reserved_until - 30000000 WHERE answer IS NULL";
    // Reservations of killed nodes: let them expire.
    database.sql(over);
    let (mut lost, mut restarted) = (0, 0);
    for (n, connection) in report.connections.iter_mut().filter(|connection| connection.has_key).enumerate() {
        if connection.created == Known::Yes && n > 500 {
            continue;
        }
        let answer = post(env, nodes[n % nodes.len()], &connection.name, &connection.body).await;
        assert_ne!(answer.text, IN_USE, "{connection:?}");
        assert_eq!(answer.status, 201, "{connection:?}: {}", answer.text);
        let is_replayed = answer.header("idempotent-replayed") == "true";
        if let Some((first, _)) = &connection.first {
            assert_eq!((&answer.text, is_replayed), (first, true), "{connection:?}");
        } else {
            lost += usize::from(is_replayed);
            restarted += usize::from(!is_replayed);
            let again = post(env, nodes[(n + 1) % nodes.len()], &connection.name, &connection.body).await;
            assert_eq!((&again.text, again.header("idempotent-replayed")), (&answer.text, "true"));
            connection.created = Known::Yes;
        }
    }
    print_numbers(&format!("lost responses: {lost} requests were executed, {restarted} were not"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_node_kills_exactly_once() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    // A node that restarts beside 64 clients on a loaded machine waits for the server.
    let env = env_on_database(&database.url(), "store.timeout_seconds = 30").await;
    let mut nodes: Vec<_> = (0..3).map(|_| Node::beside(&env)).collect();
    let addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    let chaos = ChaosClients::start(&env, &addresses, "c", 64);
    let mut seed = 20_260_301;
    for _ in 0..KILLS {
        chaos.wait_for_acks(150 + next_random(&mut seed, 100)).await;
        let node = next_random(&mut seed, nodes.len());
        chaos.mark_down(node);
        let address = tokio::task::block_in_place(|| nodes[node].kill_and_restart());
        chaos.mark_up(node, address);
    }
    chaos.wait_for_acks(150).await;
    let mut report = chaos.finish().await;
    report.assert_only_errors(&["no answer"]);
    print_numbers(&format!("{KILLS} kills among 3 nodes: {}", report.summary()));
    let addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    repeat_all(&env, &addresses, &database, &mut report).await;
    report.assert_acknowledged_stored(&database.url());
    assert_whole(&env, &database.url());
    assert!(report.codes.contains_key("no answer"), "no client noticed the kills");
    for node in &nodes {
        let log = std::fs::read_to_string(node.directory.path().join("service.log")).unwrap();
        assert!(!log.contains("\"ERROR\""), "{log}");
    }
}

/// New directories that share one new keyring.
fn directories(env: &TestEnv, count: usize) -> Vec<tempfile::TempDir> {
    let first = copy_installation(env.path());
    std::fs::remove_file(first.path().join("vimeo-connections.keyring")).unwrap();
    let made = cli(first.path(), &["init"], "");
    assert!(made.status.success(), "{}", printed(&made));
    let others: Vec<_> = (1..count).map(|_| copy_installation(first.path())).collect();
    std::iter::once(first).chain(others).collect()
}

/// An environment on this database, whose directory others can copy.
async fn pattern(database: &SharedPostgres) -> TestEnv {
    // Eight nodes that start together wait for each other.
    let config = "store.readers = 1\nstore.writers = 1\nstore.timeout_seconds = 30";
    let mut env = env_on_database(&database.url(), config).await;
    env.service.kill();
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    env
}

fn counts(database: &SharedPostgres) -> String {
    database.sql(
        "SELECT (SELECT count(*) || ' up to ' || max(number) FROM schema_migrations), (SELECT count(*) FROM keyring_checks), (SELECT count(*) FROM service_secrets)",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_starting_together_on_an_empty_database_agree() {
    for version in Version::ALL {
        let Some(database) = SharedPostgres::database(version) else { continue };
        let env = pattern(&database).await;
        let nodes = directories(&env, 8);
        let paths: Vec<&Path> = nodes.iter().map(tempfile::TempDir::path).collect();
        let started = tokio::task::block_in_place(|| start_concurrently(&paths));
        let services: Vec<Service> = started.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts(&database), format!("{0} up to {0}|1|1", schema()));
        let key = crate::support::harness::make_key(paths[7], ACCOUNT, &[]);
        for (n, service) in services.iter().enumerate() {
            let (with_key, body) = ([("authorization", &*key)], env.valid_body(&n.to_string()).to_string());
            let made = send_to(&env, service.address, (Method::POST, COLLECTION), &with_key, &body).await;
            assert_eq!(made.status, 201, "{}", made.text);
        }
        assert_eq!(database.sql("SELECT count(*) FROM connections"), "8");
        let checked = cli(paths[3], &["connections", "check"], "");
        assert!(checked.status.success(), "{}", printed(&checked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_one_of_two_keyrings_claims_an_empty_database() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = pattern(&database).await;
    for _ in 0..2 {
        let kinds = [directories(&env, 4), directories(&env, 4)];
        let paths: Vec<&Path> = (0..8).map(|n| kinds[n % 2][n / 2].path()).collect();
        let started = tokio::task::block_in_place(|| start_concurrently(&paths));
        let up = started.iter().enumerate().filter(|(_, result)| result.is_ok());
        let kinds_up: BTreeSet<_> = up.map(|(n, _)| n % 2).collect();
        assert_eq!(kinds_up.len(), 1, "nodes of exactly one keyring start");
        let refusals: Vec<_> = started.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(refusals.len(), 4, "{refusals:?}");
        for refusal in refusals {
            assert!(refusal.contains("not the one that this database was sealed with"), "{refusal}");
        }
        assert_eq!(counts(&database), format!("{0} up to {0}|1|1", schema()));
        database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_issues_is_valid_on_another() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), "").await;
    let other = Node::beside(&env);
    let (one, other) = (env.service.address, other.service.address);
    let mut names = BTreeSet::new();
    for n in 0..7 {
        let body = env.valid_body(&format!("page {n}")).to_string();
        let key = format!("key-{n}");
        let first = post(&env, one, &key, &body).await;
        assert_replayed(&first, &post(&env, other, &key, &body).await);
        let twisted = env.valid_body("another").to_string();
        assert_eq!(post(&env, other, &key, &twisted).await.code(), "IDEMPOTENCY_KEY_REUSED");
    }
    let (mut path, mut nodes) = (format!("{COLLECTION}?limit=2"), [one, other].into_iter().cycle());
    loop {
        let page = send_to(&env, nodes.next().unwrap(), (Method::GET, &path), &[], "").await;
        assert_eq!(page.status, 200, "{}", page.text);
        let page = page.json();
        names.extend(page["Items"].as_array().unwrap().iter().map(|item| item["name"].to_string()));
        let Some(next) = page["nextPageKey"].as_str() else { break };
        path = format!("{COLLECTION}?limit=2&nextPageKey={next}");
    }
    assert_eq!(names.len(), 7);
    assert_eq!(database.sql("SELECT count(*) FROM connections"), "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_on_three_nodes_has_one_effect() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = Arc::new(env_on_database(&database.url(), "").await);
    let nodes: Vec<_> = (0..2).map(|_| Node::beside(&env)).collect();
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    addresses.push(env.service.address);
    let (mut done, mut repeated, mut in_use) = (0, 0, 0);
    for round in 0..30 {
        let (key, body) = (format!("key-{round}"), env.valid_body(&format!("round {round}")).to_string());
        let mut clients = JoinSet::new();
        for client in 0..9 {
            let (env, node) = (env.clone(), addresses[client % 3]);
            let (key, body) = (key.clone(), body.clone());
            clients.spawn(async move { post(&env, node, &key, &body).await });
        }
        let answers = clients.join_all().await;
        let (good, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert!(others.iter().all(|answer| answer.text == IN_USE), "{others:?}");
        let is_first = |answer: &&&Response| answer.header("idempotent-replayed").is_empty();
        let first = good.iter().filter(is_first).count();
        assert_eq!(first, 1, "{good:?}");
        assert!(good.iter().all(|answer| answer.text == good[0].text), "{good:?}");
        (done, repeated, in_use) = (done + first, repeated + good.len() - first, in_use + others.len());
    }
    assert_eq!(database.sql("SELECT count(*) FROM connections"), "30");
    assert_whole(&env, &database.url());
    print_numbers(&format!("30 keys at 3 nodes: {done} executed, {repeated} replayed, {in_use} in progress"));
}

/// Sends requests with a key to a node until stopped; the start times of those that were accepted.
async fn ask_on(
    env: Arc<TestEnv>,
    (node, name): (SocketAddr, String),
    key: String,
    is_finished: Arc<AtomicBool>,
) -> Vec<Instant> {
    let mut accepted = Vec::new();
    while !is_finished.load(Ordering::SeqCst) {
        let began = Instant::now();
        let body = env.valid_body(&format!("{name} {}", accepted.len())).to_string();
        let headers = [("authorization", &*key)];
        // Alternates reads and writes.
        let method = if accepted.len().is_multiple_of(2) { Method::GET } else { Method::POST };
        let answer = send_to(&env, node, (method, COLLECTION), &headers, &body).await;
        // After many refusals, the key is not even looked up.
        if matches!(answer.status.as_u16(), 401 | 429) {
            continue;
        }
        assert!(answer.status.is_success(), "{answer:?}");
        accepted.push(began);
    }
    accepted
}

/// Opens an event stream of a job at a node.
async fn open_stream(env: &TestEnv, node: SocketAddr, job: &str, key: &str) -> reqwest::Response {
    let url = format!("http://{node}/pictoryapis/v1/jobs/{job}/events");
    let response = env.http.get(url).header("authorization", key).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response
}

/// Reads an event stream to its end; the instant of that.
async fn read_to_end(mut stream: reqwest::Response) -> Instant {
    while stream.chunk().await.unwrap().is_some() {}
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_streams_of_a_revoked_key_end_on_every_node() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = Arc::new(env_on_database(&database.url(), "uploads.work = false").await);
    let nodes: Vec<_> = (0..2).map(|_| Node::beside(&env)).collect();
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    addresses.push(env.service.address);
    let connection =
        env.post(&env.valid_body("watched")).await.json()["connectionId"].as_str().unwrap().to_owned();
    let upload = json!({ "source": { "url": "https://media.invalid.example/film.mp4" } }).to_string();
    let path = format!("{COLLECTION}/{connection}/uploads");
    let accepted = env.send(Method::POST, &path, &[], upload.into()).await.json();
    let job = accepted["data"]["jobId"].as_str().unwrap().to_owned();
    let body = json!({ "name": "watcher", "scopes": ["uploads:read"] }).to_string();
    let made = env.send(Method::POST, "/pictoryapis/v1/api-keys", &[], body.into()).await.json();
    let mut streams = JoinSet::new();
    for node in &addresses {
        streams.spawn(read_to_end(open_stream(&env, *node, &job, made["key"].as_str().unwrap()).await));
    }
    let mut kept = JoinSet::new();
    kept.spawn(read_to_end(open_stream(&env, addresses[0], &job, &env.api_key).await));
    let path = format!("/pictoryapis/v1/api-keys/{}", made["keyId"].as_str().unwrap());
    let revoked = env.send(Method::DELETE, &path, &[], Vec::new()).await;
    assert_eq!(revoked.status, 204, "{}", revoked.text);
    let began = Instant::now();
    let ends = streams.join_all().await;
    let last = ends.iter().max().unwrap().saturating_duration_since(began);
    print_numbers(&format!("the streams of a revoked key on 3 nodes ended within {} ms", last.as_millis()));
    assert!(kept.try_join_next().is_none(), "the stream of another key stays open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_rejected_on_every_node_within_a_second() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = Arc::new(env_on_database(&database.url(), "").await);
    let nodes: Vec<_> = (0..2).map(|_| Node::beside(&env)).collect();
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    addresses.push(env.service.address);
    for round in 0..3 {
        let key = tokio::task::block_in_place(|| env.make_key(ACCOUNT, &[]));
        let is_finished = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for (client, node) in addresses.iter().cycle().take(6).enumerate() {
            let who = (*node, format!("round {round} client {client}"));
            clients.spawn(ask_on(env.clone(), who, key.clone(), is_finished.clone()));
        }
        tokio::task::block_in_place(|| revoke_key(&env, &key));
        let revoked = Instant::now();
        let headers = [("authorization", &*key)];
        for node in &addresses {
            let is_refused =
                async || send_to(&env, *node, (Method::GET, COLLECTION), &headers, "").await.status == 401;
            until("the key is refused", is_refused).await;
        }
        // Waits long enough to notice an acceptance that comes too late.
        until("a second has passed", async || revoked.elapsed() > Duration::from_millis(1_200)).await;
        is_finished.store(true, Ordering::SeqCst);
        let accepted: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        assert!(!accepted.is_empty());
        let last = accepted.iter().max().unwrap();
        assert!(
            *last <= revoked + Duration::from_secs(1),
            "accepted {:?} after the revocation",
            last.duration_since(revoked)
        );
    }
    let expired = env.make_key(ACCOUNT, &["--expires-in-days", "0"]);
    for node in &addresses {
        let headers = [("authorization", &*expired)];
        assert_eq!(send_to(&env, *node, (Method::GET, COLLECTION), &headers, "").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_one_node_is_visible_on_the_other_immediately() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), "").await;
    let node = Node::beside(&env);
    let nodes = [env.service.address, node.service.address];
    for n in 0..50 {
        let (here, there) = (nodes[n % 2], nodes[(n + 1) % 2]);
        let body = env.valid_body(&format!("seen {n}")).to_string();
        let made = send_to(&env, here, (Method::POST, COLLECTION), &[], &body).await.json();
        let path = format!("{COLLECTION}/{}", made["connectionId"].as_str().unwrap());
        let seen = send_to(&env, there, (Method::GET, &path), &[], "").await.json();
        assert_eq!(seen["version"], 1);
        let change = json!({"version": 1, "clientSecret": "another"}).to_string();
        assert_eq!(send_to(&env, there, (Method::PUT, &path), &[], &change).await.status, 200);
        let late = send_to(&env, here, (Method::PUT, &path), &[], &change).await;
        assert_eq!((&*late.code(), &late.json()["currentVersion"]), ("VERSION_CONFLICT", &json!(2)));
        assert_eq!(send_to(&env, here, (Method::DELETE, &path), &[], "").await.status, 204);
        let gone: Value = send_to(&env, there, (Method::GET, &path), &[], "").await.json();
        assert_eq!(gone["code"], "CONNECTION_NOT_FOUND");
    }
    assert_whole(&env, &database.url());
}
