//! How many connections, jobs, idempotency keys and event streams an account may have.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::connections::post_with_key;
use crate::support::harness::{COLLECTION, Response, TestEnv, until};

const UPLOAD: &str = r#"{"source":{"url":"https://media.invalid.example/film.mp4"}}"#;

async fn env(config: &str) -> TestEnv {
    TestEnv::without_verification(&format!("uploads.work = false\n{config}\n")).await
}

fn assert_reached(answer: &Response, limit: &str, value: u64) {
    assert_eq!(answer.status, 422, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["code"], "LIMIT_REACHED");
    assert_eq!((&body["limit"], &body["value"]), (&json!(limit), &json!(value)));
    assert!(body["message"].as_str().unwrap().contains(&value.to_string()), "{body}");
}

/// The actions that were refused with this code.
fn refusals(env: &TestEnv) -> Vec<String> {
    let database = env.database();
    let sql = "SELECT action FROM audit_events WHERE refusal = 'LIMIT_REACHED' ORDER BY audit_event_id";
    let mut statement = database.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

async fn upload(env: &TestEnv, connection: &str) -> Response {
    let headers = [("authorization", &*env.api_key)];
    env.send(Method::POST, &format!("{connection}/uploads"), &headers, UPLOAD.into()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_as_many_connections_as_its_limit() {
    let env = env("limits.connections = 3").await;
    let mut created = Vec::new();
    for name in ["a", "b", "c"] {
        let answer = env.post(&env.valid_body(name)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        created.push(answer.header("location").to_owned());
    }
    assert_reached(&env.post(&env.valid_body("d")).await, "connections", 3);
    assert_eq!(refusals(&env), ["create_connection"]);
    let stranger = env.make_key("another", &[]);
    let body = env.valid_body("d").to_string();
    let theirs = env.send(Method::POST, COLLECTION, &[("authorization", &*stranger)], body.into()).await;
    assert_eq!(theirs.status, 201, "{}", theirs.text);
    let headers = [("authorization", &*env.api_key)];
    assert_eq!(env.send(Method::DELETE, &created[1], &headers, Vec::new()).await.status, 204);
    assert_eq!(env.post(&env.valid_body("d")).await.status, 201);
    assert_reached(&env.post(&env.valid_body("e")).await, "connections", 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creates_do_not_exceed_the_limit() {
    let env = env("limits.connections = 7").await;
    let mut creates = JoinSet::new();
    for number in 0..40 {
        let body = env.valid_body(&format!("c {number}")).to_string();
        let request = env.http.post(env.url(COLLECTION)).header("authorization", &env.api_key).body(body);
        creates.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = creates.join_all().await;
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(201), count(422)), (7, 33));
    assert_eq!(env.connection_count(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_as_many_jobs_in_progress_as_its_limit() {
    let env = env("limits.jobs_in_progress = 2").await;
    let connection = env.post(&env.valid_body("a")).await.header("location").to_owned();
    let first = upload(&env, &connection).await;
    assert_eq!((first.status.as_u16(), upload(&env, &connection).await.status.as_u16()), (202, 202));
    assert_reached(&upload(&env, &connection).await, "jobs-in-progress", 2);
    assert_eq!(refusals(&env), ["create_upload"]);
    let headers = [("authorization", &*env.api_key)];
    let cancelled = env.send(Method::DELETE, first.header("location"), &headers, Vec::new()).await;
    assert_eq!(cancelled.status, 204, "{}", cancelled.text);
    assert_eq!(upload(&env, &connection).await.status, 202, "one has ended");
    assert_reached(&upload(&env, &connection).await, "jobs-in-progress", 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_is_answered_although_no_further_key_is_accepted() {
    let env = env("limits.idempotency_records = 2").await;
    let first = post_with_key(&env, "k1", &env.valid_body("a")).await;
    assert_eq!(first.status, 201);
    assert_eq!(post_with_key(&env, "k2", &env.valid_body("b")).await.status, 201);
    let refused = post_with_key(&env, "k3", &env.valid_body("c")).await;
    assert_reached(&refused, "idempotency-records", 2);
    let again = post_with_key(&env, "k1", &env.valid_body("a")).await;
    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(env.post(&env.valid_body("c")).await.status, 201, "without a key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_as_many_open_streams_as_its_limit() {
    let env = env("limits.event_streams = 2").await;
    let connection = env.post(&env.valid_body("a")).await.header("location").to_owned();
    let job = upload(&env, &connection).await.header("location").to_owned();
    let open = async || {
        let request = env.http.get(env.url(&format!("{job}/events"))).header("authorization", &env.api_key);
        request.send().await.unwrap()
    };
    let (first, second) = (open().await, open().await);
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let refused = env.get(&format!("{job}/events")).await;
    assert_reached(&refused, "event-streams", 2);
    assert!(refusals(&env).is_empty(), "only refused mutations are audited");
    assert_eq!(env.get(&job).await.json()["data"]["status"], Value::from("in-progress"));
    drop(first);
    until("the closed stream is not counted", async || open().await.status() == 200).await;
}
