use std::collections::HashSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;
use crate::token_controls::TestToken;

impl TestSandbox {
    /// Requests and refusals that were counted for a token.
    async fn usage(&self, token: &TestToken) -> (Value, Value) {
        let shown = self.control("GET", &token.path, &Value::Null).await.json();
        (shown["requests"].clone(), shown["refused_429"].clone())
    }

    /// Creates tokens of new users.
    async fn make_tokens(&self, mut order: Value) -> Vec<Value> {
        order["app"] = json!(self.running.client_id);
        let made = self.control("POST", "tokens", &order).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["tokens"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn each_token_has_counts_of_its_own_requests() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"user": {"name": "Vera"}})).await;
    let shown = sandbox.control("GET", &token.path, &Value::Null).await.json();
    assert_eq!(sandbox.usage(&token).await, (json!(0), json!(0)));
    assert_eq!(shown["last_request_at"], Value::Null);

    sandbox.request_with(&token.value, "GET", "/me").await;
    sandbox.pass_seconds(5);
    sandbox.request_with(&token.value, "GET", "/nonsense").await;
    sandbox.request("GET", "/me").await;
    sandbox.request_with("unknown", "GET", "/me").await;
    let listed = sandbox.control("GET", "tokens", &Value::Null).await.json();
    let counts: Vec<_> = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|token| (token["requests"].as_u64().unwrap(), token["last_request_at"].as_str().unwrap()))
        .collect();
    assert_eq!(counts, [(1, "2021-10-05T13:46:39Z"), (2, "2021-10-05T13:46:39Z")]);
}

#[tokio::test]
async fn requests_are_counted_however_they_are_answered_and_whatever_the_journal_keeps() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({})).await;
    sandbox.fault(json!({"route": "GET /me", "kind": "cut"})).await;
    let authorization = format!("bearer {}", token.value);
    let headers = [("Authorization", authorization.as_str())];
    let cut = sandbox.receive("GET", "/me", &headers, b"").await.unwrap_or_default();
    assert!(cut.is_empty());
    sandbox.fault(json!({"route": "GET /me", "kind": "rate-limit"})).await;
    assert_eq!(sandbox.request_with(&token.value, "GET", "/me").await.status, 429);
    sandbox.change_token(&token, json!({"revoked": true})).await;
    assert_eq!(sandbox.request_with(&token.value, "GET", "/me").await.status, 401);
    sandbox.control("DELETE", "journal", &Value::Null).await;
    // A fault is not the token's rate limit.
    assert_eq!(sandbox.usage(&token).await, (json!(3), json!(0)));
    // Uploads are no API requests.
    sandbox.send("HEAD", "/files/vimeo-prod-src-tus-eu/x", &headers, b"").await;
    assert_eq!(sandbox.usage(&token).await.0, 3);
}

#[tokio::test]
async fn a_guests_first_request_counts_and_a_reset_removes_the_counts() {
    let sandbox = TestSandbox::open().await;
    sandbox.request_with("a-guest", "GET", "/me").await;
    sandbox.request_with("a-guest", "GET", "/me").await;
    sandbox.request("GET", "/me").await;
    let requests = async || {
        let listed = sandbox.control("GET", "tokens", &Value::Null).await.json();
        let tokens = listed["tokens"].as_array().unwrap().iter();
        tokens.map(|token| token["requests"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(requests().await, [1, 2]);
    sandbox.control("POST", "reset", &Value::Null).await;
    assert_eq!(requests().await, [0]);
}

#[tokio::test]
async fn a_user_has_a_rate_limit_of_its_own_until_it_is_taken_away() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"user": {"name": "Vera"}})).await;
    let statuses = async |path: &str, count: usize| {
        let mut statuses = Vec::new();
        for _ in 0..count {
            statuses.push(sandbox.request_with(&token.value, "GET", path).await.status);
        }
        statuses
    };
    let users = sandbox.control("GET", "users", &Value::Null).await.json();
    let path = format!("users/{}", users["users"][1]["number"]);
    let changed = sandbox.control("PATCH", &path, &json!({"requests_per_minute": 2})).await.json();
    assert_eq!((&changed["requests_per_minute"], &changed["plan"]), (&json!(2), &Value::Null));
    assert_eq!(statuses("/me", 4).await, [200, 200, 429, 429]);
    assert_eq!(sandbox.usage(&token).await, (json!(4), json!(2)));
    // As for a plan's limit, `fields` doubles it.
    assert_eq!(statuses("/me?fields=uri", 3).await, [200, 200, 429]);
    assert_eq!(sandbox.usage(&token).await, (json!(7), json!(3)));
    let limited = sandbox.request_with(&token.value, "GET", "/me").await;
    assert_eq!(limited.header("x-ratelimit-limit"), Some("2"));
    // Other users are not affected.
    assert_eq!(sandbox.request("GET", "/me").await.status, 200);

    sandbox.pass_seconds(60);
    assert_eq!(statuses("/me", 3).await, [200, 200, 429]);
    let changed = sandbox.control("PATCH", &path, &json!({"requests_per_minute": null})).await.json();
    assert_eq!(changed["requests_per_minute"], Value::Null);
    assert_eq!(statuses("/me", 30).await, [200; 30]);
    // It takes precedence over a plan in both directions.
    sandbox.control("PATCH", &path, &json!({"requests_per_minute": 40, "plan": "free"})).await;
    sandbox.pass_seconds(60);
    assert_eq!(statuses("/me", 41).await, [[200; 40].as_slice(), &[429]].concat());
}

#[tokio::test]
async fn many_tokens_of_new_users_are_created_at_once() {
    let sandbox = TestSandbox::strict().await;
    let order = json!({"count": 3, "scopes": "public", "user": {"name": "Vera"}, "requests_per_minute": 1});
    let tokens = sandbox.make_tokens(order).await;
    let users: HashSet<&str> = tokens.iter().map(|token| token["user"]["uri"].as_str().unwrap()).collect();
    assert_eq!((tokens.len(), users.len()), (3, 3));
    for (token, name) in tokens.iter().zip(["Vera 1", "Vera 2", "Vera 3"]) {
        let value = token["access_token"].as_str().unwrap();
        let verified = sandbox.request_with(value, "GET", "/oauth/verify").await.json();
        assert_eq!((&verified["user"]["name"], &verified["scope"]), (&json!(name), &json!("public")));
        assert_eq!((&token["user"]["name"], &token["kind"]), (&json!(name), &json!("user")));
        assert_eq!(verified["app"], token["app"]);
        assert_eq!(sandbox.request_with(value, "GET", "/oauth/verify").await.status, 429);
        let path = format!("tokens/{}", token["fingerprint"].as_str().unwrap());
        let shown = sandbox.control("GET", &path, &Value::Null).await.json();
        assert_eq!((&shown["requests"], &shown["refused_429"]), (&json!(2), &json!(1)));
    }
    let plain = sandbox.make_tokens(json!({"count": 1})).await;
    assert_eq!(plain[0]["user"]["name"], "User 1");
    assert!(plain[0]["scope"].as_str().unwrap().ends_with(" ai"));
}

#[tokio::test]
async fn twenty_thousand_tokens_are_created_listed_and_used_quickly() {
    let sandbox = TestSandbox::strict().await;
    let start = Instant::now();
    let tokens = sandbox.make_tokens(json!({"count": 20_000})).await;
    let last = tokens.last().unwrap();
    for _ in 0..50 {
        let value = last["access_token"].as_str().unwrap();
        assert_eq!(sandbox.request_with(value, "GET", "/me?fields=uri").await.status, 200);
    }
    let path = format!("tokens/{}", last["fingerprint"].as_str().unwrap());
    for _ in 0..50 {
        let shown = sandbox.control("PATCH", &path, &json!({"scopes": "public"})).await.json();
        assert_eq!(shown["requests"], 50);
    }
    let listed = sandbox.control("GET", "tokens", &Value::Null).await.json();
    let listed = listed["tokens"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[20_000]["requests"]), (20_001, &json!(50)));
    // Usually two seconds without optimization. Work that grows with the number of tokens would take minutes.
    let took = start.elapsed();
    assert!(took.as_secs() < 20, "{took:?}");
}

#[tokio::test]
async fn invalid_orders_of_many_tokens_and_limits_are_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    let app = &sandbox.running.client_id;
    for (method, path, body, part) in [
        ("POST", "tokens", json!({"app": app, "count": 0}), "`count` must be from 1 to 20000"),
        ("POST", "tokens", json!({"app": app, "count": 20_001}), "`count` must be from 1 to 20000"),
        ("POST", "tokens", json!({"app": app, "count": "3"}), "`count` must be a whole number"),
        ("POST", "tokens", json!({"app": app, "count": 3, "user": null}), "each token has a new user"),
        ("POST", "tokens", json!({"app": app, "count": 3, "user": "/users/240002"}), "each token has a new"),
        ("POST", "tokens", json!({"count": 3}), "needs an `app`"),
        ("POST", "tokens", json!({"app": "x", "count": 3}), "no app `x`"),
        ("POST", "tokens", json!({"app": app, "requests_per_minute": 3}), "`requests_per_minute` is unknown"),
        ("PATCH", "users/240002", json!({"requests_per_minute": -1}), "must be a whole number, or null"),
        ("PATCH", "users/240002", json!({"requests_per_minute": "1"}), "must be a whole number, or null"),
    ] {
        let reply = sandbox.control(method, path, &body).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && sentence.contains(part), "{body}: {sentence}");
    }
    let listed = sandbox.control("GET", "users", &Value::Null).await.json();
    assert_eq!(listed["users"].as_array().unwrap().len(), 1);
}
