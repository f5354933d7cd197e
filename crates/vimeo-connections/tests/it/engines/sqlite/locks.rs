//! Another process holds the database's lock: a backup, a forgotten shell, an administrator's command.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::connections::verification::{VERIFY, asked, patient};
use crate::support::harness::{COLLECTION, Wish, World, until};

async fn world(config: &str) -> World {
    World::with(Wish { verification_off: true, config: config.to_owned(), ..Wish::default() }).await
}

fn lock(world: &World) -> rusqlite::Connection {
    let database = world.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

/// Sends a creation over a connection of its own, and does not wait for the answer.
fn begin_to_create(world: &World, name: &str) -> TcpStream {
    let body = world.good_body(name).to_string();
    let mut stream = TcpStream::connect(world.service.address).unwrap();
    write!(
        stream,
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n{body}",
        world.api_key,
        body.len()
    )
    .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_while_the_writer_waits_for_a_lock_leaves_nothing_stored() {
    let world = world("").await;
    let lock = lock(&world);
    let clients: Vec<_> = (0..8).map(|number| begin_to_create(&world, &format!("gone {number}"))).collect();
    until("each is being handled", async || world.log().matches("\"message\":\"begun\"").count() == 8).await;
    drop(clients);
    until("it is noticed", async || world.log().matches("aborted: client disconnected").count() == 8).await;
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(world.post(&world.good_body("stays")).await.status, 201);
    assert_eq!(world.stored(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_elsewhere_is_waited_for_once_by_all_who_wait() {
    let world = Arc::new(world("").await);
    let lock = lock(&world);
    let mut posts = JoinSet::new();
    let mut post = |name: String| {
        let world = world.clone();
        posts.spawn(async move { world.post(&world.good_body(&name)).await });
    };
    // The first is alone in its batch: the others come while the writer waits for the lock, and wait together.
    post("first".to_owned());
    until("the first is being handled", async || world.log().contains("\"message\":\"begun\"")).await;
    for _ in 0..5 {
        assert_eq!(world.get(COLLECTION).await.status, 200);
    }
    (1..12).for_each(|number| post(format!("c {number}")));
    let mut codes = vec![posts.join_next().await.unwrap().unwrap().code()];
    // With a wait for each, the second answer of these would come a wait after the first.
    codes.push(posts.join_next().await.unwrap().unwrap().code());
    lock.execute_batch("ROLLBACK").unwrap();
    codes.extend(posts.join_all().await.iter().map(crate::support::harness::Answer::code));
    assert_eq!(codes, vec!["STORE_UNAVAILABLE"; 12]);
    assert_eq!(world.stored(), 0);
    assert_eq!(world.post(&world.good_body("after")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_only_reads_and_a_start_need_no_lock() {
    let mut world = world("").await;
    let lock = lock(&world);
    for arguments in [&["accounts", "list"][..], &["keys", "list"], &["connections", "check"], &["migrate"]] {
        let output = world.cli(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    world.kill_and_restart();
    assert_eq!(world.get(COLLECTION).await.status, 200);
    drop(lock);
    assert_eq!(world.post(&world.good_body("after")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_elsewhere_does_not_keep_the_service_from_stopping() {
    let mut world = world("shutdown_seconds = 1\n").await;
    let lock = lock(&world);
    let client = begin_to_create(&world, "waits");
    until("it is being handled", async || world.log().contains("\"message\":\"begun\"")).await;
    assert_eq!(world.service.terminate(), Some(130), "the writer still waited when the time was over");
    assert!(world.log().contains("the database could not be closed in time"));
    drop((client, lock));
    world.service = crate::support::harness::Service::start(world.path());
    assert_eq!(world.stored(), 0);
    assert_eq!(world.post(&world.good_body("after")).await.status, 201);
}

/// The answer, the release of the key and the entry in the audit log all wait for the lock when the client goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_on_a_refusal_keeps_no_key_and_does_not_escape_the_log() {
    let world = World::with(patient()).await;
    world.fault(json!({"route": VERIFY, "kind": "delay", "millis": 1_500})).await;
    let mut body = world.good_body("refused");
    body["accessToken"] = json!("unknown-token");
    let text = body.to_string();
    let mut stream = TcpStream::connect(world.service.address).unwrap();
    write!(
        stream,
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nidempotency-key: k\r\n\
         content-length: {}\r\n\r\n{text}",
        world.api_key,
        text.len()
    )
    .unwrap();
    let count = |query: &str| world.database().query_row(query, [], |row| row.get::<_, u32>(0)).unwrap();
    until("the key is reserved", async || count("SELECT count(*) FROM idempotency_records") == 1).await;
    let lock = lock(&world);
    until("Vimeo has answered", async || {
        asked(&world, VERIFY).await.iter().any(|one| !one["status"].is_null())
    })
    .await;
    // Some moments for the service to have read it.
    for _ in 0..50 {
        assert_eq!(world.get(COLLECTION).await.status, 200);
    }
    drop(stream);
    until("it is noticed", async || world.log().contains("aborted: client disconnected")).await;
    lock.execute_batch("ROLLBACK").unwrap();
    let refused = "SELECT count(*) FROM audit_events WHERE refusal = 'INVALID_VIMEO_CREDENTIALS'";
    until("the refusal is written down", async || count(refused) == 1).await;
    let again = crate::connections::idempotency::post_once(&world, "k", &world.good_body("mended")).await;
    assert_eq!(again.status, 201, "{}", again.text);
}
