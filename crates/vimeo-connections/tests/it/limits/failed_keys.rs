//! Requests with invalid API keys, limited per address.

use std::time::Duration;

use reqwest::Method;

use crate::support::harness::{COLLECTION, Response, TestEnv};

const GUESS: &str = "pictai_a-guess-that-is-well-formed";

async fn get_from(env: &TestEnv, address: &str, key: &str) -> Response {
    let headers = [("authorization", key), ("x-forwarded-for", address)];
    env.send(Method::GET, COLLECTION, &headers, Vec::new()).await
}

fn assert_refused(answer: &Response) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "RATE_LIMITED"), "{}", answer.text);
    assert_eq!(answer.header("ratelimit-policy"), "\"failed-keys\";q=3;w=60");
    assert!(answer.header("ratelimit").starts_with("\"failed-keys\";r=0;t="), "{:?}", answer.headers);
    assert!((1..=20).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_many_failed_keys_is_refused_and_its_valid_keys_are_not() {
    let config = "limits.failed_keys_per_minute = 3\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let env = TestEnv::without_verification(config).await;
    let (attacker, neighbour) = ("2001:db8::1", "2001:db8::2");
    let known = env.api_key.clone();
    assert_eq!(get_from(&env, attacker, &known).await.status, 200);
    // Malformed and missing keys count like unknown ones, and every address of the network.
    for (address, key) in [(attacker, GUESS), (neighbour, "x"), (attacker, "")] {
        assert_eq!(get_from(&env, address, key).await.status, 401, "{address} {key}");
    }
    for key in [GUESS, "x", ""] {
        assert_refused(&get_from(&env, attacker, key).await);
        assert_refused(&get_from(&env, neighbour, key).await);
    }
    // A key that was valid recently needs no lookup, or is looked up whatever its address did.
    for _ in 0..2 {
        assert_eq!(get_from(&env, attacker, &known).await.status, 200);
        // Longer than a key is cached; if it was not, both requests find it cached.
        tokio::time::sleep(Duration::from_millis(750)).await;
    }
    // One that this node has not seen is looked up for other addresses only.
    let unseen = env.make_key("another", &[]);
    assert_refused(&get_from(&env, attacker, &unseen).await);
    assert_eq!(get_from(&env, "2001:db8:0:1::1", GUESS).await.status, 401);
    assert_eq!(get_from(&env, "203.0.113.9", &unseen).await.status, 200);
    assert_eq!(get_from(&env, attacker, &unseen).await.status, 200, "now it is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_names_other_addresses_is_still_refused() {
    let env = TestEnv::without_verification("limits.failed_keys_per_minute = 3\n").await;
    for number in 0..3 {
        assert_eq!(get_from(&env, &format!("203.0.113.{number}"), GUESS).await.status, 401);
    }
    assert_refused(&get_from(&env, "203.0.113.99", GUESS).await);
    assert_eq!(env.get("/health/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_counts_as_failed() {
    let env = TestEnv::without_verification("limits.failed_keys_per_minute = 3\n").await;
    let revoked = env.make_key("acme", &["--expires-in-days", "0"]);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(get_from(&env, "", &revoked).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429]);
}
