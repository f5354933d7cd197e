//! Many more requests than the service admits: what is refused is refused with a time to retry, health and reads are
//! answered meanwhile, and everything afterwards.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv, until};
use crate::support::verification::{VERIFY, requests_to};

const CLIENTS: usize = 48;
const REQUESTS: usize = 40;

/// The statuses of a flood of requests, each of which is checked.
async fn flood(env: &TestEnv, key: &str) -> BTreeMap<u16, usize> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (http, url, key) = (env.http.clone(), env.url(COLLECTION), key.to_owned());
        let bodies: Vec<_> =
            (0..REQUESTS).map(|number| env.valid_body(&format!("c {client} {number}")).to_string()).collect();
        clients.spawn(async move {
            let mut statuses = Vec::new();
            for body in bodies {
                let answer = http.post(&url).header("authorization", &key).body(body).send().await.unwrap();
                let status = answer.status().as_u16();
                if matches!(status, 429 | 503) {
                    assert!(answer.headers().contains_key("retry-after"), "{status}");
                }
                statuses.push(status);
            }
            statuses
        });
    }
    let mut counts = BTreeMap::new();
    for status in clients.join_all().await.concat() {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// Reads and health checks until the flag is set; how many.
async fn observe(env: &TestEnv, key: &str, has_ended: &AtomicBool) -> usize {
    let mut rounds = 0;
    while rounds == 0 || !has_ended.load(Ordering::SeqCst) {
        assert_eq!(env.get("/health/live").await.status, 200);
        let ready = env.get("/health/ready").await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        let read = env.send(Method::GET, COLLECTION, &[("authorization", key)], Vec::new()).await;
        assert_eq!(read.status, 200, "{}", read.text);
        rounds += 1;
        // The reader's key has the same quota as the flood's.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rounds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_refused_while_health_and_reads_are_answered() {
    let config = "limits.concurrent_writes = 4\nlimits.key_requests_per_minute = 600\n";
    let env = TestEnv::without_verification(config).await;
    let (flooder, reader) = (env.make_key("flooder", &[]), env.make_key("reader", &[]));
    let has_ended = Arc::new(AtomicBool::new(false));
    let flooding = async {
        let counts = flood(&env, &flooder).await;
        has_ended.store(true, Ordering::SeqCst);
        counts
    };
    let (counts, _) = tokio::join!(flooding, observe(&env, &reader, &has_ended));
    let total: usize = counts.values().sum();
    assert_eq!(total, CLIENTS * REQUESTS);
    assert!(counts.keys().all(|status| matches!(status, 201 | 429 | 503)), "{counts:?}");
    assert!(counts.contains_key(&429), "{counts:?}");
    let created = counts.get(&201).copied().unwrap_or_default();
    assert_eq!(env.connection_count(), created, "what was refused was not stored");
    for number in 0..20 {
        assert_eq!(env.post(&env.valid_body(&format!("after {number}"))).await.status, 201);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_failed_keys_leaves_valid_ones_alone() {
    let env = TestEnv::without_verification("limits.failed_keys_per_minute = 50\n").await;
    let reader = env.make_key("reader", &[]);
    assert_eq!(
        env.send(Method::GET, COLLECTION, &[("authorization", &*reader)], Vec::new()).await.status,
        200
    );
    let has_ended = Arc::new(AtomicBool::new(false));
    let flooding = async {
        let counts = flood(&env, "pictai_a-guess-that-is-well-formed").await;
        has_ended.store(true, Ordering::SeqCst);
        counts
    };
    let (counts, _) = tokio::join!(flooding, observe(&env, &reader, &has_ended));
    assert!(counts.keys().all(|status| matches!(status, 401 | 429)), "{counts:?}");
    assert!(counts[&429] > counts[&401], "{counts:?}");
}

/// Sends the beginning of a create, which is in progress as long as the connection is open.
fn begin_create(env: &TestEnv, key: &str) -> TcpStream {
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    let head = format!(
        "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-length: 10\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_its_share_of_writes_while_others_send_requests() {
    let env = TestEnv::without_verification("limits.account_concurrent_writes = 2\n").await;
    let (greedy, other) = (env.make_key("greedy", &[]), env.make_key("other", &[]));
    let without_scope = env.make_key("greedy", &["--scopes", "connections:read"]);
    let delete = async |key: &str| {
        let missing = format!("{COLLECTION}/20260131090500042abcdefghijklmno");
        env.send(Method::DELETE, &missing, &[("authorization", key)], Vec::new()).await
    };
    let mut slow: Vec<_> = (0..4).map(|_| begin_create(&env, &greedy)).collect();
    for _ in 0..20 {
        assert_eq!(delete(&greedy).await.status, 204, "it is alone");
    }
    let mut beyond_share = 0;
    let refused = loop {
        if beyond_share % 50 == 0 {
            // Neither is in progress, or counts, for longer than ten seconds.
            slow.extend((0..4).map(|_| begin_create(&env, &greedy)));
            assert_eq!(delete(&other).await.status, 204);
        }
        let answer = delete(&greedy).await;
        if answer.status != 204 {
            break answer;
        }
        beyond_share += 1;
        assert!(beyond_share < 2_000, "it is never refused");
    };
    assert!(beyond_share >= 150, "{beyond_share}: a burst is admitted");
    assert_eq!((refused.status.as_u16(), &*refused.code()), (503, "OVERLOADED"));
    assert_eq!(refused.header("retry-after"), "1");
    // A 403 would be audited, and that is a write. Some may be admitted: the account regains three writes a second.
    let mut is_refused = false;
    for _ in 0..20 {
        let status = delete(&without_scope).await.status.as_u16();
        assert!(matches!(status, 403 | 503), "{status}");
        is_refused |= status == 503;
    }
    assert!(is_refused);
    let read = env.send(Method::GET, COLLECTION, &[("authorization", &*greedy)], Vec::new()).await;
    assert_eq!(read.status, 200);
    for _ in 0..20 {
        assert_eq!(delete(&other).await.status, 204);
    }
    drop(slow);
    until("its writes are admitted again", async || delete(&greedy).await.status == 204).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_ignores_a_refusal_is_answered_later() {
    let env = TestEnv::without_verification("limits.key_requests_per_minute = 1\n").await;
    let key = env.make_key("impatient", &[]);
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    let get = format!("GET {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\r\n");
    let mut status = || {
        stream.write_all(get.as_bytes()).unwrap();
        read_status(&mut stream)
    };
    assert_eq!(status(), 200);
    let started_at = Instant::now();
    assert_eq!([status(), status()], [429, 429]);
    assert!(started_at.elapsed() >= Duration::from_millis(100));
}

/// Reads a response. Returns its status.
fn read_status(stream: &mut TcpStream) -> u16 {
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the service closed the connection");
        response.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&response);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse::<usize>().unwrap() {
            return head["HTTP/1.1 ".len()..][..3].parse().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_for_vimeo_do_not_count_and_the_others_are_limited() {
    let config =
        "limits.concurrent_writes = 1\nlimits.account_concurrent_writes = 1\nvimeo.budget_seconds = 300\n"
            .to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    let other = env.make_key("other", &[]);
    let read = env.send(Method::GET, COLLECTION, &[("authorization", &*other)], Vec::new()).await;
    assert_eq!(read.status, 200, "the node is shared");
    env.inject_fault(json!({"route": VERIFY, "kind": "hold"})).await;
    let mut waiting = JoinSet::new();
    for number in 0..5 {
        let body = env.valid_body(&format!("c {number}")).to_string();
        let request = env.http.post(env.url(COLLECTION)).header("authorization", &env.api_key).body(body);
        waiting.spawn(async move { request.send().await.unwrap().status().as_u16() });
        until("it waits for Vimeo", async || requests_to(&env, VERIFY).await.len() == number + 1).await;
    }
    let missing = format!("{COLLECTION}/20260131090500042abcdefghijklmno");
    let headers = [("authorization", &*env.api_key)];
    assert_eq!(env.send(Method::DELETE, &missing, &headers, Vec::new()).await.status, 204);
    // A write whose body has not arrived is in progress, unless it arrived beside another one.
    let mut slow = Vec::new();
    until("the limit is reached", async || {
        slow.push(begin_create(&env, &env.api_key));
        let refused = env.send(Method::DELETE, &missing, &headers, Vec::new()).await;
        refused.status == 503 && refused.code() == "OVERLOADED" && refused.header("retry-after") == "1"
    })
    .await;
    assert_eq!(env.get(COLLECTION).await.status, 200);
    assert_eq!(env.get("/health/ready").await.status, 200);
    drop(slow);
    until("writes are admitted again", async || {
        env.send(Method::DELETE, &missing, &headers, Vec::new()).await.status == 204
    })
    .await;
    env.control(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(waiting.join_all().await, [201; 5]);
}
