//! Authorizations over the HTTP API: creating, reading, listing; the device flow as a whole.

use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::authorizations;
use crate::support::harness::{COLLECTION, EnvOptions, Response, TestEnv};
use crate::support::verification::WAIT_LIMIT;

async fn post(env: &TestEnv, body: &Value, headers: &[(&str, &str)]) -> Response {
    let headers = [&[("content-type", "application/json")], headers].concat();
    let path = format!("{COLLECTION}/authorizations");
    env.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await
}

fn draft(env: &TestEnv, name: &str) -> Value {
    json!({
        "name": name,
        "description": "Asked for",
        "clientIdentifier": env.sandbox.client_id,
        "clientSecret": env.sandbox.client_secret,
        "returnUrl": "https://app.example.com/connected",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_is_created_read_and_listed() {
    let env = TestEnv::start().await;
    let made = post(&env, &draft(&env, "First"), &[]).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let created = made.json();
    let id = created["authorizationId"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("{COLLECTION}/authorizations/{id}"));
    let connect_url = created["connectUrl"].as_str().unwrap();
    assert!(connect_url.starts_with(&format!("http://{}/connect/", env.service.address)), "{connect_url}");
    assert_eq!((&created["status"], &created["flow"]), (&json!("pending"), &json!("redirect")));
    assert_eq!(created["scopes"], json!(["public", "private", "upload", "edit"]));
    let shown = env.get(made.header("location")).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    let shown = shown.json();
    assert_eq!(shown.get("connectUrl"), None, "it is shown once");
    assert!(!shown.to_string().contains(&env.sandbox.client_secret));
    let second = post(&env, &draft(&env, "Second"), &[]).await.json();
    let page = env.get(&format!("{COLLECTION}/authorizations?limit=1")).await.json();
    assert_eq!(page["items"][0]["authorizationId"], second["authorizationId"], "newest first");
    let key = page["nextPageKey"].as_str().unwrap();
    let page = env.get(&format!("{COLLECTION}/authorizations?limit=1&nextPageKey={key}")).await.json();
    assert_eq!(page, json!({"items": [shown]}));
    for path in ["auth_20260131090500042k3v9x0q2m7t1b8z", "anything"] {
        let unknown = env.get(&format!("{COLLECTION}/authorizations/{path}")).await;
        assert_eq!((unknown.status.as_u16(), &*unknown.code()), (404, "AUTHORIZATION_NOT_FOUND"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authorization_is_withdrawn_by_its_account() {
    let env = TestEnv::start().await;
    let created = post(&env, &draft(&env, "Mistaken"), &[]).await;
    let path = created.header("location");
    let delete = async |path: &str, headers: &[(&str, &str)]| {
        env.send(Method::DELETE, path, headers, Vec::new()).await
    };
    let other = env.make_key("other", &[]);
    let foreign = delete(path, &[("authorization", &*other)]).await;
    assert_eq!((foreign.status.as_u16(), &*foreign.code()), (404, "AUTHORIZATION_NOT_FOUND"));
    for _ in 0..2 {
        let withdrawn = delete(path, &[]).await;
        assert_eq!((withdrawn.status.as_u16(), &*withdrawn.text), (204, ""));
        let shown = env.get(path).await.json();
        assert_eq!((&shown["status"], &shown["reason"]), (&json!("failed"), &json!("WITHDRAWN")));
    }
    let connect_url = created.json()["connectUrl"].as_str().unwrap().to_owned();
    let page = env.http.get(connect_url).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("This link was withdrawn"));
    let events = env.get("/pictoryapis/v1/audit-events?action=withdraw_authorization").await.json();
    let events = events["items"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["actor"]["type"], "api_key", "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_creates_one_authorization_and_returns_its_page_again() {
    let env = TestEnv::start().await;
    let key = [("idempotency-key", "ask-once")];
    let first = post(&env, &draft(&env, "Once"), &key).await;
    let again = post(&env, &draft(&env, "Once"), &key).await;
    assert_eq!((first.status.as_u16(), &first.text), (again.status.as_u16(), &again.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let stored: Vec<u8> =
        env.database().query_row("SELECT answer FROM idempotency_records", [], |row| row.get(0)).unwrap();
    let token = first.json()["connectUrl"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert!(!stored.windows(token.len()).any(|window| window == token.as_bytes()), "it is sealed");
    let items = env.get(&format!("{COLLECTION}/authorizations")).await.json()["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invalid_field_is_named_at_once() {
    let env = TestEnv::start().await;
    let body = json!({"flow": "implicit", "name": " ", "scopes": ["video"], "returnUrl": "/connected", "enabled": true});
    let refused = post(&env, &body, &[]).await;
    assert_eq!(
        (refused.status.as_u16(), &*refused.code()),
        (400, "INVALID_REQUEST_BODY"),
        "{}",
        refused.text
    );
    let names: Vec<_> = refused.fields().into_iter().map(|(name, _)| name).collect();
    for name in ["flow", "name", "clientIdentifier", "clientSecret", "scopes", "returnUrl", "enabled"] {
        assert!(names.iter().any(|found| found == name), "{name}: {}", refused.text);
    }
    let body = json!({"connectionId": "20260131090500042k3v9x0q2m7t1b8z"});
    let unknown = post(&env, &body, &[]).await;
    assert_eq!(
        (unknown.status.as_u16(), &*unknown.code()),
        (404, "CONNECTION_NOT_FOUND"),
        "{}",
        unknown.text
    );
    env.post(&env.valid_body("Taken")).await;
    let taken = post(&env, &draft(&env, "Taken"), &[]).await;
    assert_eq!((taken.status.as_u16(), &*taken.code()), (409, "CONNECTION_NAME_EXISTS"), "{}", taken.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_open_authorizations_is_limited() {
    let config = "limits.open_authorizations = 1\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    assert_eq!(post(&env, &draft(&env, "First"), &[]).await.status, 201);
    let refused = post(&env, &draft(&env, "Second"), &[]).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (422, "LIMIT_REACHED"), "{}", refused.text);
    assert_eq!(refused.json()["limit"], "open-authorizations");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_public_url_only_the_device_flow_is_offered() {
    let config = "listen = \"0.0.0.0:0\"\nbehind_tls_proxy = true\n";
    let env = TestEnv::start().await;
    let file = env.path().join("vimeo-connections.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace("listen = \"127.0.0.1:0\"\n", config);
    let mut env = env;
    assert_eq!(env.service.terminate(), Some(0));
    std::fs::write(&file, text).unwrap();
    env.service = crate::support::harness::Service::start(env.path());
    let refused = post(&env, &draft(&env, "Redirected"), &[]).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "PUBLIC_URL_MISSING"), "{}", refused.text);
    let mut body = draft(&env, "By code");
    body["flow"] = "device".into();
    let made = post(&env, &body, &[]).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json().get("connectUrl"), None);
    assert!(made.json()["userCode"].is_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_device_flow_ends_with_a_connection() {
    let env = TestEnv::start().await;
    let mut body = draft(&env, "By code");
    body["flow"] = "device".into();
    let made = post(&env, &body, &[]).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let created = made.json();
    assert_eq!(created["interval"], 5);
    let activate = created["activateUrl"].as_str().unwrap();
    let page = format!("{activate}?user_code={}", created["userCode"].as_str().unwrap());
    let allowed = authorizations::decide(&env.http, &page, "allow", 0).await;
    assert_eq!(allowed.status(), 200);
    let path = made.header("location").to_owned();
    let started = Instant::now();
    let done = loop {
        let shown = env.get(&path).await.json();
        if shown["status"] != "pending" || started.elapsed() > WAIT_LIMIT {
            break shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!((&done["uploadAccess"], done.get("userCode")), (&json!(true), None));
    let connection =
        env.get(&format!("{COLLECTION}/{}", done["connectionId"].as_str().unwrap())).await.json();
    assert_eq!((&connection["name"], &connection["enabled"]), (&json!("By code"), &json!(true)));
    assert_eq!(connection["description"], "Asked for");
    let secrets: i64 =
        env.database().query_row("SELECT count(*) FROM authorization_secrets", [], |row| row.get(0)).unwrap();
    assert_eq!(secrets, 0, "what was sealed is wiped");
    let events = env.get("/pictoryapis/v1/audit-events").await.json();
    let actions: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| &event["action"]).collect();
    for action in ["create_authorization", "create_connection", "complete_authorization"] {
        assert!(actions.iter().any(|found| *found == action), "{action}: {actions:?}");
    }
}
