//! The health of a connection: what a check shows when something breaks at Vimeo, and when it is repaired.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::TestEnv;
use crate::support::health::check;

const MARKS: [&str; 3] =
    ["mark_connection_healthy", "mark_connection_unhealthy", "mark_connection_unverified"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_is_healthy_and_a_check_adds_the_account() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    let health = env.health(&connection).await;
    assert_eq!((&health["status"], &health["vimeoUser"]), (&json!("healthy"), &Value::Null), "{health}");
    assert_eq!((check(&health, "token"), check(&health, "quota")), ("pass", "unknown"));
    assert_eq!(health["nextCheckDate"], Value::Null, "background checks are off");
    env.change_user(json!({
        "name": "Vera", "plan": "standard",
        "quota": {"lifetime": {"max": 100}, "periodic": {"max": 50}, "restricted": {"max": 30, "used": 10}}
    }))
    .await;
    let health = env.verified(&connection).await;
    assert_eq!(health["status"], "healthy", "{health}");
    for name in ["client_credentials", "token", "token_app", "scopes", "upload_access", "quota", "account"] {
        assert_eq!(check(&health, name), "pass", "{health}");
    }
    assert_eq!(health["vimeoUser"]["name"], "Vera");
    assert_eq!(health["vimeoUser"]["accountType"], "standard");
    let quota = json!({"spaceFreeBytes": 50, "periodFreeBytes": 50, "restrictedFreeBytes": 20});
    assert!(health["quota"]["restrictedFreeBytes"] == quota["restrictedFreeBytes"], "{health}");
    assert!(health["scopes"].as_array().unwrap().contains(&json!("upload")), "{health}");
    assert_eq!(env.health(&connection).await, health, "it is stored");
    assert_eq!(env.audited_actions(&MARKS).await, [] as [&str; 0], "no status has changed");
    assert_eq!(env.audited_actions(&["verify_connection"]).await, ["verify_connection"]);
    assert!(env.stray_tokens().await.is_empty());
}

/// What is broken at Vimeo, the check that fails, and the code of the problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_at_vimeo_is_named_and_recovers() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    let mut expected = Vec::new();
    for (what, repair, failing, code) in [
        (json!({"revoked": true}), json!({"revoked": false}), "token", "TOKEN_REJECTED"),
        (json!({"expired": true}), json!({"expired": false}), "token", "TOKEN_REJECTED"),
        (json!({"user": null}), json!({"user": true}), "token", "TOKEN_WITHOUT_USER"),
        (
            json!({"scopes": "public private"}),
            json!({"scopes": "public private upload edit"}),
            "scopes",
            "SCOPES_MISSING",
        ),
    ] {
        env.change_token(what.clone()).await;
        let health = env.verified(&connection).await;
        assert_eq!(health["status"], "unhealthy", "{what}: {health}");
        assert_eq!(
            (check(&health, failing), &health["problem"]["code"]),
            ("fail", &json!(code)),
            "{what}: {health}"
        );
        if failing == "scopes" {
            let message = health["problem"]["message"].as_str().unwrap();
            assert_eq!(message.lines().count(), 2, "one line for each missing scope: {message}");
        }
        env.change_token(repair).await;
        let health = env.verified(&connection).await;
        assert_eq!(
            (&health["status"], &health["problem"]),
            (&json!("healthy"), &Value::Null),
            "{what}: {health}"
        );
        expected.extend(["mark_connection_unhealthy", "mark_connection_healthy"]);
    }
    env.change_app(json!({"upload_access": false})).await;
    let health = env.verified(&connection).await;
    assert_eq!(health["problem"]["code"], "UPLOAD_ACCESS_MISSING", "{health}");
    env.change_app(json!({"upload_access": true})).await;
    assert_eq!(env.verified(&connection).await["status"], "healthy");
    env.change_app(json!({"client_secret_rotated": true})).await;
    let health = env.verified(&connection).await;
    assert_eq!(health["problem"]["code"], "CLIENT_CREDENTIALS_REJECTED", "{health}");
    assert_eq!((check(&health, "client_credentials"), check(&health, "token")), ("fail", "pass"), "{health}");
    expected.extend(["mark_connection_unhealthy", "mark_connection_healthy", "mark_connection_unhealthy"]);
    assert_eq!(env.audited_actions(&MARKS).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_account_is_a_warning() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    env.change_user(json!({"quota": {"lifetime": {"max": 100, "used": 100}}})).await;
    let health = env.verified(&connection).await;
    assert_eq!((&health["status"], check(&health, "quota")), (&json!("healthy"), "warn"), "{health}");
    env.change_user(json!({"quota": null})).await;
    let health = env.verified(&connection).await;
    assert_eq!((check(&health, "quota"), &health["quota"]), ("pass", &json!({})), "{health}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_vimeo_changes_no_status() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    let before = env.verified(&connection).await;
    env.inject_fault(json!({"route": "*", "kind": "status", "status": 503, "times": 0})).await;
    let health = env.verified(&connection).await;
    assert_eq!((&health["status"], &health["since"]), (&before["status"], &before["since"]), "{health}");
    assert_eq!((check(&health, "token"), check(&health, "client_credentials")), ("unknown", "unknown"));
    assert_eq!(health["vimeoUser"], before["vimeoUser"], "what was known stays");
    env.control(Method::DELETE, "faults", Value::Null).await;
    env.change_token(json!({"revoked": true})).await;
    let broken = env.verified(&connection).await;
    assert_eq!(broken["status"], "unhealthy");
    env.inject_fault(json!({"route": "*", "kind": "status", "status": 503, "times": 0})).await;
    let health = env.verified(&connection).await;
    assert_eq!(
        (&health["status"], &health["problem"]),
        (&json!("unhealthy"), &broken["problem"]),
        "{health}"
    );
    assert_eq!(env.audited_actions(&MARKS).await, ["mark_connection_unhealthy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_on_request_are_limited_and_refused_ones_say_why() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    assert_eq!(env.verify(&connection).await.status, 200);
    let again = env.verify(&connection).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (429, "RATE_LIMITED"), "{}", again.text);
    assert!((1..=6).contains(&again.header("retry-after").parse::<u64>().unwrap()), "{:?}", again.headers);
    let other = env.connect("Other").await;
    assert_eq!(env.verify(&other).await.status, 200, "another connection is not limited");
    let (start, last) = other.split_at(other.len() - 1);
    let unknown = env.verify(&format!("{start}{}", if last == "0" { "1" } else { "0" })).await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "CONNECTION_NOT_FOUND"));
    let malformed = env.get(&format!("{other}x/health")).await;
    assert_eq!((malformed.status.as_u16(), malformed.code().as_str()), (404, "CONNECTION_NOT_FOUND"));
    let body = env.send(Method::POST, &format!("{other}/verify"), &[], b"{\"force\":true}".to_vec()).await;
    assert_eq!((body.status.as_u16(), body.code().as_str()), (400, "INVALID_REQUEST_BODY"), "{}", body.text);
    let query = env.get(&format!("{other}/health?x=1")).await;
    assert_eq!((query.status.as_u16(), query.code().as_str()), (400, "INVALID_QUERY"), "{}", query.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_checks_at_once_are_one_and_leave_one_event() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    env.change_token(json!({"revoked": true})).await;
    let mut requests = Vec::new();
    for _ in 0..10 {
        requests.push(env.verify(&connection));
    }
    let answers = futures_util::future::join_all(requests).await;
    let checked = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(checked, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    assert_eq!(env.audited_actions(&MARKS).await, ["mark_connection_unhealthy"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_token_makes_a_connection_healthy_at_once() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(env.verified(&connection).await["status"], "unhealthy");
    let replaced = env.replace_token(&connection, 1, &env.new_token().await).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    let health = env.health(&connection).await;
    assert_eq!((&health["status"], &health["problem"]), (&json!("healthy"), &Value::Null), "{health}");
    assert_eq!(env.audited_actions(&MARKS).await, ["mark_connection_unhealthy", "mark_connection_healthy"]);
    // A rename says nothing about the credentials.
    let since = health["since"].clone();
    let body = json!({"version": 2, "name": "Renamed"}).to_string();
    let renamed =
        env.send(Method::PUT, &connection, &[("content-type", "application/json")], body.into()).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    assert_eq!(env.health(&connection).await["since"], since);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_connection_can_be_checked() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    let body = json!({"version": 1, "enabled": false}).to_string();
    let disabled =
        env.send(Method::PUT, &connection, &[("content-type", "application/json")], body.into()).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(env.verified(&connection).await["status"], "unhealthy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_shown_or_logged() {
    let env = TestEnv::start().await;
    let connection = env.connect("Vimeo").await;
    env.change_token(json!({"revoked": true})).await;
    let shown = env.verified(&connection).await.to_string();
    let log = env.log();
    for secret in [&env.sandbox.access_token, &env.sandbox.client_secret] {
        assert!(!shown.contains(secret.as_str()), "{shown}");
        assert!(!log.contains(secret.as_str()), "it is in the log");
    }
}
