//! Failures of Vimeo during verification: each has its exact response. A definite refusal is never hidden by a
//! failure, and a failure is never reported as a refusal.

use std::time::Instant;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::harness::{EnvOptions, TestEnv};
use crate::support::verification::{
    CLIENT_REJECTED, CLIENT_UNKNOWN, Expected, GRANT, NO_USER, SECRET_WRONG, TOKEN_UNKNOWN, VERIFY,
    assert_row, body_with, create_token, lacks, long_budget, rejected, wait_for_revocations,
};

/// A failure without information about the credentials or a time to retry.
const DOUBT: Expected = Expected::Unavailable(10);

/// Checks one row with one fault, and removes the fault.
async fn faulty_row(env: &TestEnv, route: &str, fault: &Value, expected: &Expected, lost: usize) {
    let mut routed = fault.clone();
    routed["route"] = json!(route);
    env.inject_fault(routed).await;
    let what = format!("{route}: {fault}");
    assert_row(env, &what, &env.valid_body("a row"), expected, lost).await;
    let left = env.control(Method::GET, "faults", Value::Null).await;
    assert_eq!(left["faults"], json!([]), "{what}: the fault did not occur");
    // Discards the tokens that were lost with a response.
    env.control(Method::POST, "reset", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_vimeo_failure_is_reported_as_wrong_credentials() {
    let env = TestEnv::with(long_budget()).await;
    let elsewhere = TestEnv::without_verification("").await;
    let location = format!("{}/oauth/verify", elsewhere.sandbox.base_url);
    let refusal = json!({"error": "invalid_client", "error_description": "x"});
    let token_refusal = json!({"error": "invalid_token", "error_code": 8003});
    #[rustfmt::skip]
    let faults = [
        json!({"kind": "status", "status": 400}),
        json!({"kind": "status", "status": 403}),
        json!({"kind": "status", "status": 404}),
        json!({"kind": "status", "status": 405}),
        json!({"kind": "status", "status": 408}),
        json!({"kind": "status", "status": 410}),
        json!({"kind": "status", "status": 429}),
        json!({"kind": "status", "status": 500}),
        json!({"kind": "status", "status": 501}),
        json!({"kind": "status", "status": 502}),
        json!({"kind": "status", "status": 503}),
        json!({"kind": "status", "status": 504}),
        // The body of a refusal with the status of a failure.
        json!({"kind": "status", "status": 403, "body": refusal}),
        json!({"kind": "status", "status": 500, "body": refusal}),
        json!({"kind": "status", "status": 503, "body": token_refusal}),
        json!({"kind": "status", "status": 429, "body": token_refusal}),
        json!({"kind": "status", "status": 200, "body": refusal}),
        json!({"kind": "status", "status": 204}),
        json!({"kind": "status", "status": 400, "body": "invalid_client"}),
        json!({"kind": "status", "status": 400, "body": {"error": "invalid_request", "error_description": "x"}}),
        json!({"kind": "status", "status": 400, "body": {"error": "A sentence about the request."}}),
        json!({"kind": "status", "status": 400, "body": {"error": "x", "link": null, "developer_message": "x", "error_code": 2204}}),
        json!({"kind": "cut"}),
        json!({"kind": "reset"}),
        json!({"kind": "html"}),
        json!({"kind": "html", "status": 400}),
        json!({"kind": "html", "status": 401}),
        json!({"kind": "html", "status": 503}),
        json!({"kind": "wrong-json"}),
        json!({"kind": "wrong-json", "body": []}),
        json!({"kind": "wrong-json", "body": null}),
        json!({"kind": "wrong-json", "body": "fine"}),
        json!({"kind": "wrong-json", "body": {}}),
        json!({"kind": "wrong-json", "body": {"app": null, "user": null, "scope": null}}),
        json!({"kind": "wrong-json", "body": {"app": "/apps/1", "user": [], "scope": 7}}),
        json!({"kind": "empty"}),
        json!({"kind": "empty", "status": 401}),
        json!({"kind": "empty", "status": 204}),
        json!({"kind": "huge"}),
        json!({"kind": "redirect", "location": location}),
        json!({"kind": "redirect", "location": location, "status": 301}),
        json!({"kind": "redirect", "location": location, "status": 307}),
        json!({"kind": "redirect", "location": location, "status": 308}),
    ];
    for route in [GRANT, VERIFY] {
        for fault in &faults {
            faulty_row(&env, route, fault, &DOUBT, 0).await;
        }
        // The response was lost, so only Vimeo knows the token of this grant.
        let lost = usize::from(route == GRANT);
        faulty_row(&env, route, &json!({"kind": "cut-after"}), &DOUBT, lost).await;
        faulty_row(&env, route, &json!({"kind": "truncate"}), &DOUBT, lost).await;
    }
    let visits = elsewhere.control(Method::GET, "journal", Value::Null).await;
    assert_eq!(visits["requests"], json!([]), "a redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_form_of_refusal_names_its_credential() {
    let env = TestEnv::with(long_budget()).await;
    let full = |code: i64| json!({"error": "x", "link": null, "developer_message": "x", "error_code": code});
    let legacy = json!({"error": "You must provide a valid authenticated access token."});
    let oauth = |error: &str| json!({"error": error, "error_description": "x"});
    let rows = [
        (GRANT, 401, full(8001), rejected(&[SECRET_WRONG])),
        (GRANT, 400, full(8001), rejected(&[SECRET_WRONG])),
        (GRANT, 401, full(8003), rejected(&[CLIENT_REJECTED])),
        (GRANT, 401, legacy.clone(), rejected(&[CLIENT_REJECTED])),
        (GRANT, 401, oauth("invalid_client"), rejected(&[CLIENT_UNKNOWN])),
        (GRANT, 400, oauth("invalid_client"), rejected(&[CLIENT_UNKNOWN])),
        (GRANT, 401, oauth("unauthorized_client"), rejected(&[CLIENT_REJECTED])),
        (GRANT, 400, oauth("unsupported_grant_type"), DOUBT),
        (GRANT, 401, json!(["invalid_client"]), DOUBT),
        (GRANT, 401, json!({"error": 8001}), DOUBT),
        (VERIFY, 401, full(8000), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 401, full(8002), rejected(&[NO_USER])),
        (VERIFY, 401, full(8003), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 401, legacy.clone(), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 401, oauth("invalid_token"), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 400, oauth("invalid_token"), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 400, full(8002), DOUBT),
        (VERIFY, 400, legacy, DOUBT),
        // These carry the challenge `Bearer error="invalid_token"`, which is enough.
        (VERIFY, 401, json!("a page"), rejected(&[TOKEN_UNKNOWN])),
        (VERIFY, 401, json!([]), rejected(&[TOKEN_UNKNOWN])),
    ];
    for (route, status, body, expected) in rows {
        faulty_row(&env, route, &json!({"kind": "status", "status": status, "body": body}), &expected, 0)
            .await;
    }
    let bare =
        json!({"kind": "status", "status": 401, "body": "no", "headers": {"www-authenticate": "Basic"}});
    faulty_row(&env, VERIFY, &bare, &DOUBT, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusual_token_response_is_judged_by_its_content() {
    let env = TestEnv::with(long_budget()).await;
    let scope = "private upload edit";
    let tokens_app = {
        let tokens = env.control(Method::GET, "tokens", Value::Null).await;
        tokens["tokens"][0]["app"].clone()
    };
    let app = json!({"uri": tokens_app});
    let user = json!({"uri": "/users/7"});
    for (body, expected) in [
        (json!({"app": app, "user": user, "scope": scope}), Expected::Created),
        (json!({"app": app, "user": user, "scope": scope, "new": {"member": [1]}}), Expected::Created),
        (json!({"app": app, "scope": scope}), rejected(&[NO_USER])),
        (json!({"app": app, "user": null, "scope": scope}), rejected(&[NO_USER])),
        (
            json!({"app": app, "user": user, "scope": ""}),
            rejected(&[("accessToken", &lacks("private, upload, edit"))]),
        ),
        // There is a user without an address: this is not a refusal.
        (json!({"app": app, "user": {"name": "Vera"}, "scope": scope}), DOUBT),
        (json!({"app": app, "user": {"uri": ""}, "scope": scope}), DOUBT),
        (json!({"app": {}, "user": user, "scope": scope}), DOUBT),
        (json!({"user": user, "scope": scope}), DOUBT),
        (json!({"app": app, "user": user}), DOUBT),
    ] {
        faulty_row(&env, VERIFY, &json!({"kind": "wrong-json", "body": body}), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_follows_vimeos_rate_limit_within_bounds() {
    let env = TestEnv::with(long_budget()).await;
    for route in [GRANT, VERIFY] {
        for (reset, seconds) in [
            ("2001-01-01T00:00:00+00:00", 1),
            ("2999-01-01T00:00:00+02:00", 3600),
            ("32503680000", 3600),
            ("1000000000", 1),
            ("99999999999999999999", 10),
            ("-9223372036854775808", 1),
            ("soon", 10),
            ("", 10),
        ] {
            let fault = json!({"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": reset}});
            faulty_row(&env, route, &fault, &Expected::Unavailable(seconds), 0).await;
        }
        let started = Instant::now();
        env.inject_fault(json!({"route": route, "kind": "rate-limit", "reset_seconds": 1800})).await;
        let answer = env.post(&env.valid_body("limited")).await;
        assert_eq!(answer.code(), "VIMEO_UNAVAILABLE");
        let waited: u64 = answer.header("retry-after").parse().unwrap();
        // Vimeo reports whole seconds, and some have passed.
        let least = 1800 - 1 - started.elapsed().as_secs() - 1;
        assert!((least..=1800).contains(&waited), "{waited} is not in {least}..=1800");
        wait_for_revocations(&env, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_later_of_two_rate_limits_determines_retry_after() {
    let env = TestEnv::with(long_budget()).await;
    let limited =
        |reset: &str| json!({"kind": "status", "status": 429, "headers": {"X-RateLimit-Reset": reset}});
    let (past, future) = (limited("2001-01-01T00:00:00Z"), limited("2999-01-01T00:00:00Z"));
    let down = json!({"kind": "status", "status": 503});
    for (grant, verify, seconds) in [
        (&future, &down, 3600),
        (&down, &future, 3600),
        (&past, &down, 1),
        (&future, &past, 3600),
        (&past, &future, 3600),
        (&down, &down, 10),
    ] {
        let mut first = grant.clone();
        first["route"] = json!(GRANT);
        env.inject_fault(first).await;
        faulty_row(&env, VERIFY, verify, &Expected::Unavailable(seconds), 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definite_refusal_wins_over_a_failure() {
    let env = TestEnv::with(long_budget()).await;
    let other = env.control(Method::POST, "apps", json!({"name": "Other"})).await;
    let others_token = create_token(&env, other["client_id"].as_str(), "private upload edit", true).await;
    let small_token = create_token(&env, None, "public", true).await;
    let app_token = create_token(&env, None, "private upload edit", false).await;
    let client = |value| ("clientIdentifier", value);
    let access = |value| ("accessToken", value);
    let lacking = lacks("private, upload, edit");
    let rows = [
        (VERIFY, vec![client("nobody")], rejected(&[CLIENT_UNKNOWN])),
        (VERIFY, vec![("clientSecret", "guess")], rejected(&[SECRET_WRONG])),
        (VERIFY, vec![access("stale")], DOUBT),
        (GRANT, vec![access("stale")], rejected(&[TOKEN_UNKNOWN])),
        (GRANT, vec![access(&small_token)], rejected(&[("accessToken", &lacking)])),
        (GRANT, vec![access(&app_token)], rejected(&[NO_USER])),
        (GRANT, vec![client("nobody")], DOUBT),
        // Without the app of the client there is nothing to compare the app of the token with.
        (GRANT, vec![access(&others_token)], DOUBT),
        (VERIFY, vec![], DOUBT),
        (GRANT, vec![], DOUBT),
    ];
    for (route, changes, expected) in rows {
        for mut fault in
            [json!({"kind": "cut"}), json!({"kind": "status", "status": 503}), json!({"kind": "html"})]
        {
            fault["route"] = json!(route);
            env.inject_fault(fault.clone()).await;
            assert_row(&env, &format!("{fault} {changes:?}"), &body_with(&env, &changes), &expected, 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_vimeo_is_unavailable_and_its_late_token_is_revoked() {
    let config = "vimeo.budget_seconds = 1\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    for route in [GRANT, VERIFY] {
        faulty_row(&env, route, &json!({"kind": "delay", "millis": 1500}), &DOUBT, 0).await;
        faulty_row(&env, route, &json!({"kind": "drip", "millis": 15}), &DOUBT, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definite_refusal_wins_over_a_timeout() {
    let env = TestEnv::start().await;
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 60_000})).await;
    let wrong = body_with(&env, &[("clientSecret", "guess")]);
    assert_row(&env, "the secret is wrong, verify hangs", &wrong, &rejected(&[SECRET_WRONG]), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_response_within_the_budget_counts() {
    let env = TestEnv::with(long_budget()).await;
    for route in [GRANT, VERIFY] {
        faulty_row(&env, route, &json!({"kind": "drip", "millis": 2}), &Expected::Created, 0).await;
        faulty_row(&env, route, &json!({"kind": "delay", "millis": 300}), &Expected::Created, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_vimeo_is_unavailable_until_it_returns() {
    let mut env = TestEnv::with(long_budget()).await;
    let body = env.valid_body("unreachable");
    let address = env.sandbox.addr;
    // The environment needs a sandbox; the one that the service uses is stopped.
    let spare = sandbox::start(sandbox::Options::default()).await.unwrap();
    std::mem::replace(&mut env.sandbox, spare).stop().await;
    let answer = env.post(&body).await;
    crate::support::verification::assert_response("stopped", &answer, &DOUBT);
    assert_eq!(env.connection_count(), 0);

    let again = sandbox::Options { listen: address, open: true, ..sandbox::Options::default() };
    env.sandbox = sandbox::start(again).await.unwrap();
    assert_eq!(env.post(&body).await.status, StatusCode::CREATED);
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_vimeo_failure_names_the_workaround() {
    let env = TestEnv::with(long_budget()).await;
    env.inject_fault(json!({"route": VERIFY, "kind": "status", "status": 502})).await;
    let answer = env.post(&env.valid_body("unlucky")).await;
    assert_eq!(answer.code(), "VIMEO_UNAVAILABLE");
    let log = env.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_failure =
        |line: &&Value| line["message"].as_str().unwrap_or_default().contains("vimeo.verification = \"off\"");
    let Some(line) = lines.iter().find(is_failure) else { panic!("the failure is not in the log") };
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["error"], "answered with status 502");
    assert_eq!(line["span"]["request_id"], answer.header("x-request-id"));
}
