//! Another process holds the lock of the database: a backup, an open shell, an administrator's command.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, TestEnv, until};
use crate::support::verification::{VERIFY, long_budget, requests_to};

fn lock(env: &TestEnv) -> rusqlite::Connection {
    let database = env.database();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

/// Sends a create over a connection of its own, without waiting for the response.
fn begin_to_create(env: &TestEnv, name: &str) -> TcpStream {
    let body = env.valid_body(name).to_string();
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    write!(
        stream,
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n{body}",
        env.api_key,
        body.len()
    )
    .unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_while_waiting_for_a_lock_stores_nothing() {
    let env = TestEnv::without_verification("").await;
    let lock = lock(&env);
    let clients: Vec<_> = (0..8).map(|number| begin_to_create(&env, &format!("gone {number}"))).collect();
    until("each is being handled", async || env.log().matches("\"message\":\"started\"").count() == 8).await;
    drop(clients);
    until("the service notices it", async || env.log().matches("aborted: client disconnected").count() == 8)
        .await;
    lock.execute_batch("ROLLBACK").unwrap();
    assert_eq!(env.post(&env.valid_body("stays")).await.status, 201);
    assert_eq!(env.connection_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_writes_share_one_wait_for_a_lock() {
    let env = Arc::new(TestEnv::without_verification("").await);
    let lock = lock(&env);
    let mut posts = JoinSet::new();
    let mut post = |name: String| {
        let env = env.clone();
        posts.spawn(async move { env.post(&env.valid_body(&name)).await });
    };
    // The first is alone in its batch. The others arrive while the writer waits for the lock, and wait together.
    post("first".to_owned());
    until("the first is being handled", async || env.log().contains("\"message\":\"started\"")).await;
    for _ in 0..5 {
        assert_eq!(env.get(COLLECTION).await.status, 200);
    }
    (1..12).for_each(|number| post(format!("c {number}")));
    let mut codes = vec![posts.join_next().await.unwrap().unwrap().code()];
    // With a separate wait for each, the second response would arrive one timeout after the first.
    codes.push(posts.join_next().await.unwrap().unwrap().code());
    lock.execute_batch("ROLLBACK").unwrap();
    codes.extend(posts.join_all().await.iter().map(crate::support::harness::Response::code));
    assert_eq!(codes, vec!["STORE_UNAVAILABLE"; 12]);
    assert_eq!(env.connection_count(), 0);
    assert_eq!(env.post(&env.valid_body("after")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_commands_and_starts_need_no_lock() {
    let mut env = TestEnv::without_verification("").await;
    let lock = lock(&env);
    for arguments in [&["accounts", "list"][..], &["keys", "list"], &["connections", "check"], &["migrate"]] {
        let output = env.cli(arguments, "");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    env.kill_and_restart();
    assert_eq!(env.get(COLLECTION).await.status, 200);
    drop(lock);
    assert_eq!(env.post(&env.valid_body("after")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_lock_does_not_prevent_shutdown() {
    let mut env = TestEnv::without_verification("shutdown_seconds = 1\n").await;
    let lock = lock(&env);
    let client = begin_to_create(&env, "waits");
    until("it is being handled", async || env.log().contains("\"message\":\"started\"")).await;
    assert_eq!(env.service.terminate(), Some(130), "the writer was still waiting at the deadline");
    assert!(env.log().contains("the database could not be closed in time"));
    drop((client, lock));
    env.service = crate::support::harness::Service::start(env.path());
    assert_eq!(env.connection_count(), 0);
    assert_eq!(env.post(&env.valid_body("after")).await.status, 201);
}

/// The response, the release of the key and the audit event all wait for the lock when the client disconnects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_on_a_refusal_releases_the_key_and_is_audited() {
    let env = TestEnv::with(long_budget()).await;
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 1_500})).await;
    let mut body = env.valid_body("refused");
    body["accessToken"] = json!("unknown-token");
    let text = body.to_string();
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    write!(
        stream,
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nidempotency-key: k\r\n\
         content-length: {}\r\n\r\n{text}",
        env.api_key,
        text.len()
    )
    .unwrap();
    let count = |query: &str| env.database().query_row(query, [], |row| row.get::<_, u32>(0)).unwrap();
    until("the key is reserved", async || count("SELECT count(*) FROM idempotency_records") == 1).await;
    let lock = lock(&env);
    until("Vimeo has answered", async || {
        requests_to(&env, VERIFY).await.iter().any(|one| !one["status"].is_null())
    })
    .await;
    // Gives the service time to read the request.
    for _ in 0..50 {
        assert_eq!(env.get(COLLECTION).await.status, 200);
    }
    drop(stream);
    until("the service notices it", async || env.log().contains("aborted: client disconnected")).await;
    lock.execute_batch("ROLLBACK").unwrap();
    let refused = "SELECT count(*) FROM audit_events WHERE refusal = 'INVALID_VIMEO_CREDENTIALS'";
    until("the refusal is audited", async || count(refused) == 1).await;
    let again = crate::support::connections::post_with_key(&env, "k", &env.valid_body("corrected")).await;
    assert_eq!(again.status, 201, "{}", again.text);
}
