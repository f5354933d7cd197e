//! Several nodes on one PostgreSQL: they need nothing of each other, and any of them may go at any moment.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::connections::concurrent_updates::tell;
use crate::connections::delete::revoke;
use crate::connections::idempotency::{IN_USE, assert_repeated};
use crate::support::chaos_clients::{Aftermath, Known, Storm, assert_whole, draw};
use crate::support::cluster::{Node, copy_of, send_to, start_at_once, world_on};
use crate::support::harness::{ACCOUNT, Answer, COLLECTION, Service, World, cli, said, schema, until};
use crate::support::postgres::{SharedPostgres, Version};

const KILLS: usize = 8;

async fn post(world: &World, node: SocketAddr, key: &str, body: &str) -> Answer {
    send_to(world, node, (Method::POST, COLLECTION), &[("idempotency-key", key)], body).await
}

/// Every creation that had a key is sent again, to whichever node: the first answer, or the effect, once.
async fn repeat_all(world: &World, nodes: &[SocketAddr], database: &SharedPostgres, came: &mut Aftermath) {
    let over =
        "UPDATE idempotency_records SET reserved_until = reserved_until - 30000000 WHERE answer IS NULL";
    // Reservations of the dead: their time goes by.
    database.sql(over);
    let (mut lost, mut begun_anew) = (0, 0);
    for (n, fate) in came.fates.iter_mut().filter(|fate| fate.has_key).enumerate() {
        if fate.created == Known::Yes && n > 500 {
            continue;
        }
        let answer = post(world, nodes[n % nodes.len()], &fate.name, &fate.body).await;
        assert_ne!(answer.text, IN_USE, "{fate:?}");
        assert_eq!(answer.status, 201, "{fate:?}: {}", answer.text);
        let is_repeated = answer.header("idempotent-replayed") == "true";
        if let Some((first, _)) = &fate.first {
            assert_eq!((&answer.text, is_repeated), (first, true), "{fate:?}");
        } else {
            lost += usize::from(is_repeated);
            begun_anew += usize::from(!is_repeated);
            let again = post(world, nodes[(n + 1) % nodes.len()], &fate.name, &fate.body).await;
            assert_eq!((&again.text, again.header("idempotent-replayed")), (&answer.text, "true"));
            fate.created = Known::Yes;
        }
    }
    tell(&format!("answers lost: {lost} requests had been done, {begun_anew} had not"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_node_acknowledged_outlives_the_nodes_and_is_there_once() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = world_on(&database.url(), "").await;
    let mut nodes: Vec<_> = (0..3).map(|_| Node::beside(&world)).collect();
    let addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    let storm = Storm::start(&world, &addresses, "c", 64);
    let mut seed = 20_260_301;
    for _ in 0..KILLS {
        storm.acknowledge(150 + draw(&mut seed, 100)).await;
        let node = draw(&mut seed, nodes.len());
        storm.leave(node);
        let address = tokio::task::block_in_place(|| nodes[node].kill_and_restart());
        storm.come_back(node, address);
    }
    storm.acknowledge(150).await;
    let mut came = storm.finish().await;
    came.assert_heard_only(&["no answer"]);
    tell(&format!("{KILLS} kills among 3 nodes: {}", came.in_words()));
    let addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    repeat_all(&world, &addresses, &database, &mut came).await;
    came.assert_kept(&database.url());
    assert_whole(&world, &database.url());
    assert!(came.codes.contains_key("no answer"), "nobody noticed the kills");
    for node in &nodes {
        let log = std::fs::read_to_string(node.directory.path().join("service.log")).unwrap();
        assert!(!log.contains("\"ERROR\""), "{log}");
    }
}

/// New directories with one new keyring.
fn directories(world: &World, count: usize) -> Vec<tempfile::TempDir> {
    let first = copy_of(world.path());
    std::fs::remove_file(first.path().join("vimeo-connections.keyring")).unwrap();
    let made = cli(first.path(), &["init"], "");
    assert!(made.status.success(), "{}", said(&made));
    let others: Vec<_> = (1..count).map(|_| copy_of(first.path())).collect();
    std::iter::once(first).chain(others).collect()
}

/// A directory whose nodes find this database, as a pattern for others.
async fn pattern(database: &SharedPostgres) -> World {
    let mut world = world_on(&database.url(), "store.readers = 1\nstore.writers = 1").await;
    world.service.kill();
    database.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    world
}

fn counts(database: &SharedPostgres) -> String {
    database.sql(
        "SELECT (SELECT count(*) || ' up to ' || max(number) FROM schema_migrations), (SELECT count(*) FROM keyring_checks), (SELECT count(*) FROM service_secrets)",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_on_an_empty_database_make_one_service() {
    for version in Version::ALL {
        let Some(database) = SharedPostgres::database(version) else { continue };
        let world = pattern(&database).await;
        let nodes = directories(&world, 8);
        let paths: Vec<&Path> = nodes.iter().map(tempfile::TempDir::path).collect();
        let started = tokio::task::block_in_place(|| start_at_once(&paths));
        let services: Vec<Service> = started.into_iter().map(Result::unwrap).collect();
        assert_eq!(counts(&database), format!("{0} up to {0}|1|1", schema()));
        let key = crate::support::harness::make_key(paths[7], ACCOUNT, &[]);
        for (n, service) in services.iter().enumerate() {
            let (with_key, body) = ([("authorization", &*key)], world.good_body(&n.to_string()).to_string());
            let made = send_to(&world, service.address, (Method::POST, COLLECTION), &with_key, &body).await;
            assert_eq!(made.status, 201, "{}", made.text);
        }
        assert_eq!(database.sql("SELECT count(*) FROM connections"), "8");
        let checked = cli(paths[3], &["connections", "check"], "");
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_keyrings_that_start_at_once_one_has_the_database() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = pattern(&database).await;
    for _ in 0..2 {
        let kinds = [directories(&world, 4), directories(&world, 4)];
        let paths: Vec<&Path> = (0..8).map(|n| kinds[n % 2][n / 2].path()).collect();
        let started = tokio::task::block_in_place(|| start_at_once(&paths));
        let up = started.iter().enumerate().filter(|(_, result)| result.is_ok());
        let kinds_up: BTreeSet<_> = up.map(|(n, _)| n % 2).collect();
        assert_eq!(kinds_up.len(), 1, "exactly one kind comes up");
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
async fn what_one_node_gave_out_is_good_on_another() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = world_on(&database.url(), "").await;
    let other = Node::beside(&world);
    let (one, other) = (world.service.address, other.service.address);
    let mut names = BTreeSet::new();
    for n in 0..7 {
        let body = world.good_body(&format!("page {n}")).to_string();
        let key = format!("key-{n}");
        let first = post(&world, one, &key, &body).await;
        assert_repeated(&first, &post(&world, other, &key, &body).await);
        let twisted = world.good_body("another").to_string();
        assert_eq!(post(&world, other, &key, &twisted).await.code(), "IDEMPOTENCY_KEY_REUSED");
    }
    let (mut path, mut nodes) = (format!("{COLLECTION}?limit=2"), [one, other].into_iter().cycle());
    loop {
        let page = send_to(&world, nodes.next().unwrap(), (Method::GET, &path), &[], "").await;
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
async fn one_key_at_three_nodes_at_once_has_one_effect() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = Arc::new(world_on(&database.url(), "").await);
    let nodes: Vec<_> = (0..2).map(|_| Node::beside(&world)).collect();
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    addresses.push(world.service.address);
    let (mut done, mut repeated, mut in_use) = (0, 0, 0);
    for round in 0..30 {
        let (key, body) = (format!("key-{round}"), world.good_body(&format!("round {round}")).to_string());
        let mut clients = JoinSet::new();
        for client in 0..9 {
            let (world, node) = (world.clone(), addresses[client % 3]);
            let (key, body) = (key.clone(), body.clone());
            clients.spawn(async move { post(&world, node, &key, &body).await });
        }
        let answers = clients.join_all().await;
        let (good, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
        assert!(others.iter().all(|answer| answer.text == IN_USE), "{others:?}");
        let is_first = |answer: &&&Answer| answer.header("idempotent-replayed").is_empty();
        let first = good.iter().filter(is_first).count();
        assert_eq!(first, 1, "{good:?}");
        assert!(good.iter().all(|answer| answer.text == good[0].text), "{good:?}");
        (done, repeated, in_use) = (done + first, repeated + good.len() - first, in_use + others.len());
    }
    assert_eq!(database.sql("SELECT count(*) FROM connections"), "30");
    assert_whole(&world, &database.url());
    tell(&format!("30 keys at 3 nodes: {done} done, {repeated} repeated, {in_use} told to wait"));
}

/// Keeps asking a node with a key; when each request that was accepted began, until told to stop.
async fn ask_on(
    world: Arc<World>,
    (node, name): (SocketAddr, String),
    key: String,
    is_over: Arc<AtomicBool>,
) -> Vec<Instant> {
    let mut accepted = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let began = Instant::now();
        let body = world.good_body(&format!("{name} {}", accepted.len())).to_string();
        let headers = [("authorization", &*key)];
        // A read and a write in turn.
        let method = if accepted.len().is_multiple_of(2) { Method::GET } else { Method::POST };
        let answer = send_to(&world, node, (method, COLLECTION), &headers, &body).await;
        if answer.status == 401 {
            continue;
        }
        assert!(answer.status.is_success(), "{answer:?}");
        accepted.push(began);
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_good_nowhere_a_second_later() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = Arc::new(world_on(&database.url(), "").await);
    let nodes: Vec<_> = (0..2).map(|_| Node::beside(&world)).collect();
    let mut addresses: Vec<_> = nodes.iter().map(|node| node.service.address).collect();
    addresses.push(world.service.address);
    for round in 0..3 {
        let key = tokio::task::block_in_place(|| world.make_key(ACCOUNT, &[]));
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for (client, node) in addresses.iter().cycle().take(6).enumerate() {
            let who = (*node, format!("round {round} client {client}"));
            clients.spawn(ask_on(world.clone(), who, key.clone(), is_over.clone()));
        }
        tokio::task::block_in_place(|| revoke(&world, &key));
        let revoked = Instant::now();
        let headers = [("authorization", &*key)];
        for node in &addresses {
            let is_refused =
                async || send_to(&world, *node, (Method::GET, COLLECTION), &headers, "").await.status == 401;
            until("the key is refused", is_refused).await;
        }
        // Long enough after it that a late acceptance would be seen.
        until("a second has gone by", async || revoked.elapsed() > Duration::from_millis(1_200)).await;
        is_over.store(true, Ordering::SeqCst);
        let accepted: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        assert!(!accepted.is_empty());
        let last = accepted.iter().max().unwrap();
        assert!(
            *last <= revoked + Duration::from_secs(1),
            "accepted {:?} after the revocation",
            last.duration_since(revoked)
        );
    }
    let expired = world.make_key(ACCOUNT, &["--expires-in-days", "0"]);
    for node in &addresses {
        let headers = [("authorization", &*expired)];
        assert_eq!(send_to(&world, *node, (Method::GET, COLLECTION), &headers, "").await.status, 401);
    }
}

const NEWER: &str = "ALTER TABLE connections ADD COLUMN colour TEXT;
    ALTER TABLE idempotency_records ADD COLUMN mood BIGINT;
    CREATE TABLE folders (folder_id TEXT PRIMARY KEY);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_a_newer_version_has_carried_on_is_served_before_and_after() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut world = world_on(&database.url(), "").await;
    let storm = Storm::start(&world, &[world.service.address], "rolling", 8);
    storm.acknowledge(100).await;
    let row = |lowest: u32| {
        format!("INSERT INTO schema_migrations VALUES (9{lowest:02}, 'later_{lowest}', {lowest}, 0)")
    };
    // While it runs, every statement is prepared already.
    database.sql(&format!("{NEWER} {}", row(1)));
    storm.acknowledge(200).await;
    let came = storm.finish().await;
    came.assert_heard_only(&[]);
    came.assert_kept(&database.url());
    assert_whole(&world, &database.url());
    world.kill_and_restart();
    let storm = Storm::start(&world, &[world.service.address], "after", 8);
    storm.acknowledge(50).await;
    let came = storm.finish().await;
    came.assert_heard_only(&[]);
    came.assert_kept(&database.url());

    world.service.kill();
    let above = u32::try_from(schema()).unwrap() + 1;
    database.sql(&row(above));
    let everything = "SELECT md5(string_agg(t, '/')) FROM (SELECT (c)::text AS t FROM connections c
        UNION ALL SELECT (a)::text FROM audit_events a UNION ALL SELECT (m)::text FROM schema_migrations m
        UNION ALL SELECT (k)::text FROM keyring_checks k ORDER BY 1) rows";
    let before = database.sql(everything);
    for arguments in [&["serve"][..], &["accounts", "list"], &["migrate"]] {
        let refused = crate::support::harness::run(world.path(), &[], arguments);
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(78), "{text}");
        assert!(
            text.contains(&format!("lowest application schema is {above}"))
                && text.contains("Nothing was changed"),
            "{text}"
        );
    }
    assert_eq!(database.sql(everything), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_at_one_node_is_seen_at_once_at_the_other() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let world = world_on(&database.url(), "").await;
    let node = Node::beside(&world);
    let nodes = [world.service.address, node.service.address];
    for n in 0..50 {
        let (here, there) = (nodes[n % 2], nodes[(n + 1) % 2]);
        let body = world.good_body(&format!("seen {n}")).to_string();
        let made = send_to(&world, here, (Method::POST, COLLECTION), &[], &body).await.json();
        let path = format!("{COLLECTION}/{}", made["connectionId"].as_str().unwrap());
        let seen = send_to(&world, there, (Method::GET, &path), &[], "").await.json();
        assert_eq!(seen["version"], 1);
        let change = json!({"version": 1, "clientSecret": "another"}).to_string();
        assert_eq!(send_to(&world, there, (Method::PUT, &path), &[], &change).await.status, 200);
        let late = send_to(&world, here, (Method::PUT, &path), &[], &change).await;
        assert_eq!((&*late.code(), &late.json()["currentVersion"]), ("VERSION_CONFLICT", &json!(2)));
        assert_eq!(send_to(&world, here, (Method::DELETE, &path), &[], "").await.status, 204);
        let gone: Value = send_to(&world, there, (Method::GET, &path), &[], "").await.json();
        assert_eq!(gone["code"], "CONNECTION_NOT_FOUND");
    }
    assert_whole(&world, &database.url());
}
