//! `vimeo.verification = "when-reachable"`: Vimeo's absence stores a connection as unverified, and its return checks it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{EnvOptions, TestEnv};

const CONFIG: &str = "vimeo.verification = \"when-reachable\"\nhealth.check_interval_seconds = 3600\n";

async fn env() -> TestEnv {
    TestEnv::with(EnvOptions { config: CONFIG.to_owned(), ..EnvOptions::default() }).await
}

async fn vimeo_is_down(env: &TestEnv) {
    env.inject_fault(json!({"route": "*", "kind": "status", "status": 503, "times": 0})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_stored_unverified_and_checked_once_vimeo_answers() {
    let mut env = env().await;
    vimeo_is_down(&env).await;
    let connection = env.connect("Vimeo").await;
    let health = env.health(&connection).await;
    assert_eq!(health["status"], "unverified", "{health}");
    assert!(health["nextCheckDate"].is_string(), "{health}");
    // It is still unverified after checks without an answer, and after a crash.
    env.until_health(&connection, |health| health["checkedDate"].is_string()).await;
    env.kill_and_restart();
    assert_eq!(env.health(&connection).await["status"], "unverified");
    env.control(Method::DELETE, "faults", Value::Null).await;
    let health = env.until_health(&connection, |health| health["status"] == "healthy").await;
    assert!(health["vimeoUser"]["uri"].is_string(), "{health}");
    assert_eq!(env.audited_actions(&["mark_connection_healthy"]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_vimeo_rejects_is_not_stored_and_what_it_rejects_later_is_unhealthy() {
    let env = env().await;
    let mut body = env.valid_body("Vimeo");
    body["accessToken"] = json!("not-a-token");
    let refused = env.post(&body).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "INVALID_VIMEO_CREDENTIALS"));
    vimeo_is_down(&env).await;
    let created = env.post(&body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let connection = created.header("location").to_owned();
    env.control(Method::DELETE, "faults", Value::Null).await;
    let health = env.until_health(&connection, |health| health["status"] != "unverified").await;
    assert_eq!(
        (&health["status"], &health["problem"]["code"]),
        (&json!("unhealthy"), &json!("TOKEN_REJECTED"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_replaced_while_vimeo_is_down_are_unverified() {
    let env = env().await;
    let connection = env.connect("Vimeo").await;
    let token = env.new_token().await;
    vimeo_is_down(&env).await;
    let replaced = env.replace_token(&connection, 1, &token).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    assert_eq!(env.health(&connection).await["status"], "unverified");
    env.control(Method::DELETE, "faults", Value::Null).await;
    env.until_health(&connection, |health| health["status"] == "healthy").await;
    let actions = env.audited_actions(&["mark_connection_unverified", "mark_connection_healthy"]).await;
    assert_eq!(actions, ["mark_connection_unverified", "mark_connection_healthy"]);
}
