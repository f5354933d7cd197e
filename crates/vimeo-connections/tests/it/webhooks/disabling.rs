//! Endpoints that the service disables, and what becomes of their deliveries.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::until;
use crate::support::webhooks::{Receiver, create, env_with, items, path, send, until_disabled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_answers_410_is_disabled_and_the_others_hear_of_it_once() {
    let env = env_with("").await;
    let (gone, other) = (Receiver::start(410).await, Receiver::start(204).await);
    let created = create(&env, &json!({"url": gone.url})).await;
    create(&env, &json!({"url": other.url, "events": ["webhook_endpoint.disabled"]})).await;
    env.post(&env.valid_body("c")).await;
    until_disabled(&env, &created, "gone").await;
    let message = other.wait_for(1).await.remove(0);
    assert_eq!(message.json()["data"], json!({"endpointId": created["endpointId"], "reason": "gone"}));
    let deliveries = items(&env, &format!("{}/deliveries", path(&created))).await;
    assert_eq!((&deliveries[0]["status"], &deliveries[0]["lastStatus"]), (&json!("exhausted"), &json!(410)));
    env.post(&env.valid_body("d")).await;
    let events = items(&env, "/pictoryapis/v1/audit-events?action=disable_webhook_endpoint").await;
    assert_eq!((events.len(), &events[0]["actor"]["type"]), (1, &json!("worker")));
    assert_eq!((gone.received().len(), other.received().len()), (1, 1), "a disabled endpoint gets nothing");
    // Enabled again, it receives what happens from then on.
    gone.answer(204);
    let enabled = send(&env, Method::PATCH, &path(&created), &json!({"enabled": true})).await.json();
    assert_eq!(enabled.get("disabledReason"), None);
    env.post(&env.valid_body("e")).await;
    gone.wait_for(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_for_too_long_is_disabled() {
    let config = "webhooks.disable_after_seconds = 3\n".to_owned();
    let env = env_with(&config).await;
    let (failing, other) = (Receiver::start(500).await, Receiver::start(204).await);
    let created = create(&env, &json!({"url": failing.url})).await;
    create(&env, &json!({"url": other.url, "events": ["webhook_endpoint.disabled"]})).await;
    env.post(&env.valid_body("c")).await;
    until("a failure", async || env.get(&path(&created)).await.json().get("failingSinceDate").is_some())
        .await;
    failing.answer(204);
    let failed = format!("{}/deliveries?status=waiting", path(&created));
    until("a success", async || items(&env, &failed).await.is_empty()).await;
    assert_eq!(env.get(&path(&created)).await.json().get("failingSinceDate"), None, "a success ends it");
    failing.answer(500);
    // When the second of them is exhausted, the endpoint has failed for long enough.
    env.post(&env.valid_body("d")).await;
    tokio::time::sleep(std::time::Duration::from_millis(3_500)).await;
    env.post(&env.valid_body("e")).await;
    until_disabled(&env, &created, "failing").await;
    let message = other.wait_for(1).await.remove(0);
    assert_eq!(message.json()["data"]["reason"], "failing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failure_of_a_quiet_endpoint_that_failed_long_ago_does_not_disable_it() {
    let env = env_with("webhooks.disable_after_seconds = 1\n").await;
    let receiver = Receiver::start(500).await;
    let created = create(&env, &json!({"url": receiver.url, "events": ["connection.created"]})).await;
    env.post(&env.valid_body("c")).await;
    // The third failure comes when it has failed for longer than a second.
    receiver.wait_for(3).await;
    receiver.answer(204);
    let waiting = format!("{}/deliveries?status=waiting", path(&created));
    until("a success", async || items(&env, &waiting).await.is_empty()).await;
    let endpoint = env.get(&path(&created)).await.json();
    assert_eq!((&endpoint["enabled"], endpoint.get("failingSinceDate")), (&json!(true), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_disabled_or_deleted_endpoint_ends_without_a_request() {
    let env = env_with("").await;
    let (one, two) = (Receiver::start(500).await, Receiver::start(500).await);
    let (disabled, deleted) =
        (create(&env, &json!({"url": one.url})).await, create(&env, &json!({"url": two.url})).await);
    env.post(&env.valid_body("c")).await;
    one.wait_for(1).await;
    two.wait_for(1).await;
    send(&env, Method::PATCH, &path(&disabled), &json!({"enabled": false})).await;
    send(&env, Method::DELETE, &path(&deleted), &Value::Null).await;
    let list = "/pictoryapis/v1/webhook-deliveries?status=exhausted";
    until("both end", async || items(&env, list).await.len() == 2).await;
    let mut results: Vec<_> = items(&env, list)
        .await
        .iter()
        .map(|found| found["lastResult"].as_str().unwrap().to_owned())
        .collect();
    results.sort_unstable();
    assert_eq!(results, ["endpoint_deleted", "endpoint_disabled"]);
}
