//! Webhook endpoints: creating, reading, changing, deleting and testing them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::TestEnv;
use crate::support::webhooks::{DELIVERIES, ENDPOINTS, Receiver, create, env_with, items, path, send};

const URL: &str = "http://127.0.0.1:9/hook";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_created_read_changed_and_deleted() {
    let env = env_with("").await;
    let body = json!({"url": URL, "events": ["upload.failed", "connection.created"], "description": "It"});
    let made = send(&env, Method::POST, ENDPOINTS, &body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let created = made.json();
    assert_eq!(made.header("location"), path(&created));
    assert!(created["secret"].as_str().unwrap().starts_with("whsec_"));
    let shown = env.get(&path(&created)).await.json();
    assert_eq!(shown["url"], URL);
    assert_eq!(shown["events"], json!(["upload.failed", "connection.created"]));
    assert_eq!((&shown["description"], &shown["enabled"]), (&json!("It"), &json!(true)));
    assert_eq!(shown.get("secret"), None, "it is shown once");
    assert_eq!(items(&env, ENDPOINTS).await, std::slice::from_ref(&shown));

    let change = json!({"events": null, "description": null, "enabled": false});
    let changed = send(&env, Method::PATCH, &path(&created), &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let changed = changed.json();
    assert_eq!((changed.get("events"), changed.get("description")), (None, None));
    assert_eq!((&changed["enabled"], &changed["url"]), (&json!(false), &shown["url"]));
    assert_eq!(env.get(&path(&created)).await.json(), changed);
    let same = send(&env, Method::PATCH, &path(&created), &json!({})).await.json();
    assert_eq!(same["enabled"], false, "what is not named stays");

    assert_eq!(send(&env, Method::DELETE, &path(&created), &Value::Null).await.status, 204);
    for (method, path) in [
        (Method::GET, path(&created)),
        (Method::DELETE, path(&created)),
        (Method::POST, format!("{}/test", path(&created))),
        (Method::GET, format!("{}/deliveries", path(&created))),
        (Method::GET, format!("{ENDPOINTS}/anything")),
    ] {
        let gone = send(&env, method.clone(), &path, &Value::Null).await;
        assert_eq!(
            (gone.status.as_u16(), &*gone.code()),
            (404, "WEBHOOK_ENDPOINT_NOT_FOUND"),
            "{method} {path}"
        );
    }
    let actions: Vec<_> = items(&env, "/pictoryapis/v1/audit-events?action=create_webhook_endpoint").await;
    assert_eq!(actions.len(), 1);
    assert_eq!(actions[0]["subject"], created["endpointId"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_and_events_are_checked_and_unknown_fields_refused() {
    let env = TestEnv::without_verification("").await;
    for (body, field) in [
        (json!({}), "url"),
        (json!({"url": "http://hooks.example.com/"}), "url"),
        (json!({"url": "https://127.0.0.1/"}), "url"),
        (json!({"url": "nonsense"}), "url"),
        (json!({"url": "https://hooks.example.com/", "events": []}), "events"),
        (json!({"url": "https://hooks.example.com/", "events": ["webhook.test"]}), "events"),
        (json!({"url": "https://hooks.example.com/", "secret": "x"}), "secret"),
        (json!({"url": "https://hooks.example.com/", "event": ["upload.failed"]}), "event"),
    ] {
        let refused = send(&env, Method::POST, ENDPOINTS, &body).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (400, "INVALID_REQUEST_BODY"), "{body}");
        assert_eq!(refused.fields()[0].0, field, "{body}: {}", refused.text);
    }
    for query in ["?limt=3", "?status=waiting"] {
        let refused = env.get(&format!("{ENDPOINTS}{query}")).await;
        assert_eq!(refused.code(), "INVALID_QUERY", "{query}");
    }
    for query in ["?status=sent", "?jobId=x", "?endpointId=x", "?jobid=x"] {
        let refused = env.get(&format!("{DELIVERIES}{query}")).await;
        assert_eq!(refused.code(), "INVALID_QUERY", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_endpoints_is_limited() {
    let env = env_with("limits.webhook_endpoints = 2\n").await;
    for _ in 0..2 {
        create(&env, &json!({"url": URL})).await;
    }
    let refused = send(&env, Method::POST, ENDPOINTS, &json!({"url": URL})).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (422, "LIMIT_REACHED"), "{}", refused.text);
    assert_eq!(refused.json()["limit"], "webhook-endpoints");
    let first = items(&env, ENDPOINTS).await.remove(0);
    send(&env, Method::DELETE, &path(&first), &Value::Null).await;
    create(&env, &json!({"url": URL})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_creates_one_endpoint_and_returns_its_secret_again() {
    let env = env_with("").await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let body = json!({"url": URL}).to_string().into_bytes();
    let first = env.send(Method::POST, ENDPOINTS, &headers, body.clone()).await;
    let again = env.send(Method::POST, ENDPOINTS, &headers, body).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201), "{}", again.text);
    assert_eq!(first.text, again.text);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(items(&env, ENDPOINTS).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_paged_oldest_first() {
    let env = env_with("").await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(create(&env, &json!({"url": URL})).await["endpointId"].clone());
    }
    let (mut listed, mut page_key) = (Vec::new(), String::new());
    loop {
        let page = env.get(&format!("{ENDPOINTS}?limit=2&nextPageKey={page_key}")).await.json();
        listed.extend(page["items"].as_array().unwrap().iter().map(|item| item["endpointId"].clone()));
        let Some(next) = page["nextPageKey"].as_str() else { break };
        page_key = next.to_owned();
    }
    assert_eq!(listed, created);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_is_sent_to_one_endpoint_whatever_it_subscribes_to() {
    let env = env_with("").await;
    let (receiver, other) = (Receiver::start(204).await, Receiver::start(204).await);
    let created = create(&env, &json!({"url": receiver.url, "events": ["upload.failed"]})).await;
    create(&env, &json!({"url": other.url})).await;
    let test = format!("{}/test", path(&created));
    assert_eq!(send(&env, Method::POST, &test, &Value::Null).await.status, 202);
    let [message] = &receiver.wait_for(1).await[..] else { panic!("one webhook") };
    assert_eq!(message.event(), "webhook.test");
    assert_eq!(message.json()["data"]["endpointId"], created["endpointId"]);
    assert!(message.is_signed_with(created["secret"].as_str().unwrap()));
    assert_eq!(message.headers["content-type"], "application/json");
    send(&env, Method::PATCH, &path(&created), &json!({"enabled": false})).await;
    let refused = send(&env, Method::POST, &test, &Value::Null).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "WEBHOOK_ENDPOINT_DISABLED"));
    assert_eq!(other.received().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_secret_also_signs_and_the_one_before_it_does_not() {
    let env = env_with("").await;
    let receiver = Receiver::start(204).await;
    let created = create(&env, &json!({"url": receiver.url})).await;
    let mut secrets = vec![created["secret"].as_str().unwrap().to_owned()];
    for rotations in 1..=3 {
        let rotated =
            send(&env, Method::POST, &format!("{}/rotate-secret", path(&created)), &Value::Null).await;
        assert_eq!(rotated.status, 200, "{}", rotated.text);
        secrets.push(rotated.json()["secret"].as_str().unwrap().to_owned());
        // Another change keeps the predecessor.
        send(&env, Method::PATCH, &path(&created), &json!({"description": "x"})).await;
        send(&env, Method::POST, &format!("{}/test", path(&created)), &Value::Null).await;
        let message = receiver.wait_for(rotations).await.pop().unwrap();
        assert_eq!(message.signatures(), 2);
        let valid: Vec<_> = secrets.iter().map(|secret| message.is_signed_with(secret)).collect();
        let expected: Vec<_> = (0..secrets.len()).map(|at| at + 2 >= secrets.len()).collect();
        assert_eq!(valid, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_something_else_enabled_receives_nothing() {
    let env = env_with("").await;
    let receiver = Receiver::start(204).await;
    let created = create(&env, &json!({"url": receiver.url, "enabled": false})).await;
    env.database().execute("UPDATE webhook_endpoints SET is_enabled = 1", []).unwrap();
    assert_eq!(env.post(&env.valid_body("c")).await.status, 201);
    let deliveries = format!("{}/deliveries", path(&created));
    crate::support::harness::until("an ended delivery", async || {
        items(&env, &deliveries).await.first().is_some_and(|found| found["status"] == "exhausted")
    })
    .await;
    assert_eq!(items(&env, &deliveries).await[0]["lastResult"], "unreadable");
    assert_eq!(receiver.received().len(), 0);
    assert!(env.log().contains("the row of a webhook endpoint does not verify"), "{}", env.log());
}
