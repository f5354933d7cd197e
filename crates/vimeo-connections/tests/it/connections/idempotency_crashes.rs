//! Idempotency keys after a disconnect or a crash: never two effects, and no key stays reserved for ever.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::connections::{IN_USE, assert_replayed, post_with_key};
use crate::support::create_load::assert_whole;
use crate::support::harness::{COLLECTION, Response, Service, TestEnv, until};
use crate::support::random::next_random;
use crate::support::tools::print_numbers;
use crate::support::verification::{VERIFY, long_budget, requests_to, wait_for_revocations};

/// Sends a create with a key and reads no response.
fn send_only(env: &TestEnv, key: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let request = format!(
        "POST {COLLECTION} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nIdempotency-Key: {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        env.api_key,
        body.len()
    );
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn late() -> Value {
    json!({"route": VERIFY, "kind": "delay", "millis": 8_000})
}

/// How often a key was reserved, and whether its response is stored.
fn record(env: &TestEnv, key: &str) -> Option<(u64, bool)> {
    let sql = "SELECT attempt, answer IS NOT NULL FROM idempotency_records WHERE idempotency_key = ?1";
    env.database().query_row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?))).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_before_the_effect_releases_the_key() {
    let env = TestEnv::with(long_budget()).await;
    let body = env.valid_body("hung up");
    for attempt in 1..=3 {
        env.inject_fault(late()).await;
        let questions = requests_to(&env, VERIFY).await.len();
        let stream = send_only(&env, "gone", &body);
        until("Vimeo is asked", async || requests_to(&env, VERIFY).await.len() > questions).await;
        assert_eq!(post_with_key(&env, "gone", &body).await.text, IN_USE);
        assert_eq!(record(&env, "gone"), Some((attempt, false)));
        let held_until = reserved_until(&env);
        stream.shutdown(Shutdown::Both).unwrap();
        // Released, not expired.
        until("the key is released", async || reserved_until(&env) < held_until).await;
    }
    let done = post_with_key(&env, "gone", &body).await;
    assert_eq!((done.status.as_u16(), done.header("idempotent-replayed")), (201, ""), "{}", done.text);
    assert_eq!((env.connection_count(), record(&env, "gone")), (1, Some((4, true))));
    wait_for_revocations(&env, 0).await;
}

/// When the reservation of the only key expires, in microseconds.
fn reserved_until(env: &TestEnv) -> i64 {
    let sql = "SELECT reserved_until FROM idempotency_records";
    env.database().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_response_is_replayed_on_retry() {
    let env = TestEnv::without_verification("").await;
    let (mut repeated, mut restarted) = (0, 0);
    for number in 0..100 {
        let (key, body) = (format!("lost-{number}"), env.valid_body(&format!("lost {number}")));
        let stream = send_only(&env, &key, &body);
        // Every other client stays until the effect is stored, and still never reads.
        let is_done = number % 2 == 0;
        if is_done {
            until("the effect is stored", async || record(&env, &key) == Some((1, true))).await;
        }
        drop(stream);
        let mut answer = post_with_key(&env, &key, &body).await;
        while answer.text == IN_USE {
            answer = post_with_key(&env, &key, &body).await;
        }
        assert_eq!(answer.status, 201, "{}", answer.text);
        let is_replayed = answer.header("idempotent-replayed") == "true";
        assert!(is_replayed || !is_done, "{key} was executed");
        repeated += usize::from(is_replayed);
        restarted += usize::from(!is_replayed);
        let again = post_with_key(&env, &key, &body).await;
        assert_eq!((&again.text, again.header("idempotent-replayed")), (&answer.text, "true"));
    }
    assert_eq!(env.connection_count(), 100);
    assert_whole(&env, &[]);
    print_numbers(&format!("100 lost responses: {repeated} requests were executed, {restarted} were not"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_the_key_stays_reserved_until_it_expires() {
    let mut env = TestEnv::with(long_budget()).await;
    let body = env.valid_body("killed");
    env.inject_fault(late()).await;
    let stream = send_only(&env, "killed", &body);
    until("Vimeo is asked", async || !requests_to(&env, VERIFY).await.is_empty()).await;
    env.kill_and_restart();
    drop(stream);
    assert_eq!(env.connection_count(), 0);
    for _ in 0..3 {
        let answer = post_with_key(&env, "killed", &body).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (409, IN_USE));
    }
    // The reservation expires.
    let moved = "UPDATE idempotency_records SET reserved_until = reserved_until - 30000000";
    assert_eq!(env.database().execute(moved, []).unwrap(), 1);
    let done = post_with_key(&env, "killed", &body).await;
    assert_eq!((done.status.as_u16(), done.header("idempotent-replayed")), (201, ""), "{}", done.text);
    assert_replayed(&done, &post_with_key(&env, "killed", &body).await);
    assert_eq!((env.connection_count(), record(&env, "killed")), (1, Some((2, true))));
}

/// Clients that create with keys of their own until the service is killed: each key with its response, if there was
/// one.
async fn work_until_killed(
    env: &mut TestEnv,
    round: u64,
    goal: usize,
) -> BTreeMap<(String, String), Option<String>> {
    let (acknowledged_tx, mut acknowledged_rx) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for client in 0..32 {
        let (http, url, key) = (env.http.clone(), env.url(COLLECTION), env.api_key.clone());
        let (acknowledged_tx, mut body) = (acknowledged_tx.clone(), env.valid_body("x"));
        clients.spawn(async move {
            let mut log = Vec::new();
            for n in 0.. {
                let name = format!("r{round}-{client}-{n}");
                body["name"] = json!(name);
                let body = body.to_string();
                let request = http.post(&url).header("authorization", &key).header("idempotency-key", &name);
                let answered = match request.body(body.clone()).send().await {
                    Ok(response) => {
                        assert_eq!(response.status(), 201);
                        response.text().await.ok()
                    }
                    Err(_) => None,
                };
                let is_finished = answered.is_none();
                log.push(((name, body), answered));
                if is_finished {
                    return log;
                }
                let _ = acknowledged_tx.send(());
            }
            log
        });
    }
    for _ in 0..goal {
        acknowledged_rx.recv().await.unwrap();
    }
    env.service.kill();
    clients.join_all().await.into_iter().flatten().collect()
}

async fn repeat(env: &TestEnv, key: &str, body: &str) -> Response {
    let headers = [("idempotency-key", key)];
    env.send(reqwest::Method::POST, COLLECTION, &headers, body.as_bytes().to_vec()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_one_connection_or_none_for_each_key() {
    let mut env = TestEnv::without_verification("").await;
    let (mut seed, mut keys) = (20_260_102, 0);
    let (mut acknowledged, mut lost, mut in_use, mut restarted) = (0, 0, 0, 0);
    for round in 0..10 {
        let goal = 1 + next_random(&mut seed, 200);
        let log = work_until_killed(&mut env, round, goal).await;
        env.service = Service::start(env.path());
        keys += log.len();
        for ((key, body), answered) in &log {
            let mut answer = repeat(&env, key, body).await;
            if answer.text == IN_USE {
                // Reserved by the killed process: let the reservation expire.
                assert!(answered.is_none(), "{key} was answered");
                in_use += 1;
                let moved = "UPDATE idempotency_records SET reserved_until = reserved_until - 30000000
                             WHERE idempotency_key = ?1 AND answer IS NULL";
                assert_eq!(env.database().execute(moved, [key]).unwrap(), 1);
                answer = repeat(&env, key, body).await;
            }
            assert_eq!(answer.status, 201, "{key}: {}", answer.text);
            let is_replayed = answer.header("idempotent-replayed") == "true";
            match answered {
                Some(text) => {
                    acknowledged += 1;
                    assert_eq!((&answer.text, is_replayed), (text, true), "{key}");
                }
                None if is_replayed => lost += 1,
                None => restarted += 1,
            }
        }
        assert_eq!(env.connection_count(), keys, "one connection for each key");
        assert_whole(&env, &[]);
    }
    print_numbers(&format!(
        "10 kills, {keys} keys: {acknowledged} were answered, {lost} were executed and not answered, \
         {restarted} were not executed ({in_use} of them still in use)"
    ));
    assert!(lost + restarted > 0);
}
