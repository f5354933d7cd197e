//! Fixtures of many connections, whose secrets can be computed again from their numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, TestEnv};

const CLIENTS: usize = 24;

/// The secret of this kind and number, with 128 random-looking bits.
pub(crate) fn secret(kind: &str, number: usize) -> String {
    let start = kind.bytes().fold(number as u64, |state, byte| mix(state ^ u64::from(byte)));
    format!("{kind}-{:016x}{:016x}", mix(start), mix(mix(start) ^ 1))
}

/// `SplitMix64`.
fn mix(seed: u64) -> u64 {
    let state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Sends requests from several clients with persistent connections, and checks the status of each. The responses by
/// number.
pub(crate) async fn send_all(
    env: &TestEnv,
    count: usize,
    expected: u16,
    request: impl Fn(usize) -> (Method, String, Value) + Send + Sync + 'static,
) -> Vec<Value> {
    let (next, request) = (Arc::new(AtomicUsize::new(0)), Arc::new(request));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (http, base, key) = (env.http.clone(), env.url(""), env.api_key.clone());
        let (next, request) = (next.clone(), request.clone());
        clients.spawn(async move {
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return answers;
                }
                let (method, path, body) = request(number);
                let mut sent = http.request(method, format!("{base}{path}")).header("authorization", &key);
                if !body.is_null() {
                    sent = sent.body(body.to_string());
                }
                let response = sent.send().await.unwrap();
                let status = response.status().as_u16();
                let text = response.text().await.unwrap();
                assert_eq!(status, expected, "{number}: {text}");
                answers.push((number, serde_json::from_str(&text).unwrap_or(Value::Null)));
            }
        });
    }
    let mut answers: Vec<(usize, Value)> = clients.join_all().await.into_iter().flatten().collect();
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

/// Creates connections `c-<number>` with secrets of the kinds `cs` and `at`; their identifiers by number.
pub(crate) async fn create_all(env: &TestEnv, count: usize) -> Vec<String> {
    let good = env.valid_body("x");
    let made = send_all(env, count, 201, move |number| {
        let mut body = good.clone();
        body["name"] = json!(format!("c-{number}"));
        body["clientSecret"] = json!(secret("cs", number));
        body["accessToken"] = json!(secret("at", number));
        (Method::POST, COLLECTION.to_owned(), body)
    });
    made.await.iter().map(|made| made["connectionId"].as_str().unwrap().to_owned()).collect()
}
