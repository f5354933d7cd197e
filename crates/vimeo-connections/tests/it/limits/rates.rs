//! Requests per minute of an API key and of an account.

use reqwest::Method;

use crate::support::harness::{COLLECTION, Response, TestEnv};

const MISSING: &str = "/pictoryapis/v1/vimeo-connections/20260131090500042abcdefghijklmno";

async fn get_as(env: &TestEnv, path: &str, key: &str) -> Response {
    env.send(Method::GET, path, &[("authorization", key)], Vec::new()).await
}

/// The number of a policy's parameter in a `RateLimit` header.
fn parameter(header: &str, policy: &str, parameter: &str) -> Option<u64> {
    let item = header.split(", ").find_map(|item| item.strip_prefix(&format!("\"{policy}\";")))?;
    item.split(';').find_map(|pair| pair.strip_prefix(&format!("{parameter}=")))?.parse().ok()
}

fn assert_refused(answer: &Response) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (429, "RATE_LIMITED"), "{}", answer.text);
    let retry_after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert!(answer.header("ratelimit").contains(";r=0;"), "{}", answer.header("ratelimit"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_to_a_valid_key_has_the_state_of_its_quotas() {
    let config = "limits.key_requests_per_minute = 1000\nlimits.requests_per_minute = 5000\n";
    let env = TestEnv::without_verification(config).await;
    let other = env.make_key("acme", &[]);
    // One of the key's is regained every 60 ms.
    let mut taken_by_account = 0;
    for (key, path, status) in [
        (&env.api_key, COLLECTION, 200),
        (&env.api_key, MISSING, 404),
        (&other, "/pictoryapis/v1/vimeo-connections?limit=0", 400),
        (&other, "/pictoryapis/v1/whoami", 200),
    ] {
        let answer = get_as(&env, path, key).await;
        taken_by_account += 1;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        let policies = "\"key\";q=1000;w=60, \"account\";q=5000;w=60";
        assert_eq!(answer.header("ratelimit-policy"), policies);
        let state = answer.header("ratelimit");
        let (of_key, of_account) = (parameter(state, "key", "r"), parameter(state, "account", "r"));
        assert!((998..=999).contains(&of_key.unwrap()), "{state}");
        assert!((5_000 - taken_by_account..=4_999).contains(&of_account.unwrap()), "{state}");
        assert_eq!((parameter(state, "key", "t"), parameter(state, "account", "t")), (Some(1), Some(1)));
        assert_eq!(answer.header("retry-after"), "");
    }
    for (path, key) in
        [(COLLECTION, "pictai_unknown-but-well-formed"), ("/health/live", ""), ("/x", &env.api_key)]
    {
        let answer = get_as(&env, path, key).await;
        assert_eq!((answer.header("ratelimit-policy"), answer.header("ratelimit")), ("", ""), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_shorter_while_several_accounts_send_requests() {
    let config = "limits.key_requests_per_minute = 6000\nlimits.burst_seconds = 10\n";
    let env = TestEnv::without_verification(config).await;
    let stranger = env.make_key("another", &[]);
    let policy = async |key: &str| get_as(&env, COLLECTION, key).await.header("ratelimit-policy").to_owned();
    assert_eq!(policy(&env.api_key).await, "\"key\";q=6000;w=60, \"account\";q=120000;w=60");
    for key in [&stranger, &env.api_key] {
        assert_eq!(policy(key).await, "\"key\";q=1000;w=10, \"account\";q=20000;w=10");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_over_its_quota_is_refused_and_other_keys_are_not() {
    let config = "limits.key_requests_per_minute = 2\nlimits.requests_per_minute = 3\n";
    let env = TestEnv::without_verification(config).await;
    let (second, stranger) = (env.make_key("acme", &[]), env.make_key("another", &[]));
    for _ in 0..2 {
        assert_eq!(env.get(COLLECTION).await.status, 200);
    }
    assert_refused(&env.get(COLLECTION).await);
    // A refused request takes nothing from the account, whose last request is the other key's.
    assert_eq!(get_as(&env, COLLECTION, &second).await.status, 200);
    let refused = get_as(&env, COLLECTION, &second).await;
    assert_refused(&refused);
    assert_eq!(parameter(refused.header("ratelimit"), "account", "r"), Some(0));
    assert_eq!(parameter(refused.header("ratelimit"), "key", "r"), Some(1));
    assert_eq!(get_as(&env, COLLECTION, &stranger).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_is_checked_after_the_key_and_before_the_body() {
    let env = TestEnv::without_verification("limits.key_requests_per_minute = 1\n").await;
    assert_eq!(env.get(COLLECTION).await.status, 200);
    let wrong_type = [("authorization", &*env.api_key), ("content-type", "text/plain")];
    assert_refused(&env.send(Method::POST, COLLECTION, &wrong_type, vec![b'x'; 100_000]).await);
    assert_refused(&env.post(&env.valid_body("a")).await);
    assert_refused(&env.send(Method::DELETE, MISSING, &[("authorization", &*env.api_key)], Vec::new()).await);
    let unknown = env.send(Method::POST, COLLECTION, &[("authorization", "x")], Vec::new()).await;
    assert_eq!(unknown.status, 401);
    assert_eq!(env.get("/pictoryapis/v1/nothing").await.status, 404);
    let method = env.send(Method::PATCH, COLLECTION, &[("authorization", &*env.api_key)], Vec::new()).await;
    assert_eq!(method.status, 405);
    let refusals: u64 = env
        .database()
        .query_row("SELECT count(*) FROM audit_events WHERE refusal IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!(refusals, 0, "what the rate refuses is not audited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_scope_beyond_the_rate_is_not_audited() {
    let env = TestEnv::without_verification("limits.key_requests_per_minute = 2\n").await;
    let reader = env.make_key("acme", &["--scopes", "connections:read"]);
    for _ in 0..6 {
        let refused = env.send(Method::DELETE, MISSING, &[("authorization", &*reader)], Vec::new()).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (403, "FORBIDDEN"), "scopes come first");
    }
    let refusals: u64 = env
        .database()
        .query_row("SELECT count(*) FROM audit_events WHERE refusal = 'FORBIDDEN'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(refusals, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_limits_no_response_mentions_them() {
    let config = "limits.key_requests_per_minute = 0\nlimits.requests_per_minute = 0\n";
    let env = TestEnv::without_verification(config).await;
    let answer = env.get(COLLECTION).await;
    assert_eq!(answer.status, 200);
    assert_eq!((answer.header("ratelimit-policy"), answer.header("ratelimit")), ("", ""));
}
