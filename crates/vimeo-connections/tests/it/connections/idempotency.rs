//! Idempotency keys: one effect and one response for each. `idempotency_crashes.rs` covers crashes and disconnects.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::support::connections::{IN_USE, assert_replayed, delete, fetch, post_with_key, put, put_text};
use crate::support::harness::{COLLECTION, Response, TestEnv, until};
use crate::support::raw_http::exchange;
use crate::support::tools::print_numbers;
use crate::support::verification::{GRANT, VERIFY, long_budget, requests_to, wait_for_revocations};

const REUSED: &str = r#"{"code":"IDEMPOTENCY_KEY_REUSED","message":"This idempotency key was used for a request with another body."}"#;

fn id_of(answer: &Response) -> String {
    answer.json()["connectionId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_replays_the_first_response_whatever_happened_since() {
    let mut env = TestEnv::with(long_budget()).await;
    let mut body = env.valid_body("once");
    body["folder_uri"] = json!("ignored");
    body["a b"] = json!("ignored");
    let first = post_with_key(&env, "key-1", &body).await;
    assert!(first.header("x-ignored-fields").contains("folder_uri"), "{first:?}");
    wait_for_revocations(&env, 0).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
    let second_key = env.make_key("acme", &[]);
    let by_another_key = [("authorization", &*second_key), ("idempotency-key", "key-1")];
    let again = async |env: &TestEnv| {
        assert_replayed(&first, &post_with_key(env, "key-1", &body).await);
        let theirs = env.send(Method::POST, COLLECTION, &by_another_key, body.to_string().into_bytes()).await;
        assert_replayed(&first, &theirs);
    };
    again(&env).await;
    assert_eq!(put(&env, &id_of(&first), &json!({"version": 1, "name": "renamed"})).await.status, 200);
    again(&env).await;
    assert_eq!(delete(&env, &id_of(&first)).await.status, 204);
    again(&env).await;
    env.kill_and_restart();
    again(&env).await;
    // The stored response is replayed; it is not rendered again.
    let sql = "UPDATE idempotency_records
               SET answer = CAST(replace(CAST(answer AS TEXT), 'folder_uri', 'of_old') AS BLOB)";
    assert_eq!(env.database().execute(sql, []).unwrap(), 1);
    let of_old = post_with_key(&env, "key-1", &body).await;
    assert_eq!(
        of_old.header("x-ignored-fields"),
        first.header("x-ignored-fields").replace("folder_uri", "of_old")
    );
    assert_eq!(env.connection_count(), 0, "no replay restores it");
    assert!(requests_to(&env, GRANT).await.is_empty() && requests_to(&env, VERIFY).await.is_empty());
    let created = "SELECT count(*) FROM audit_events WHERE action = 'create_connection'";
    assert_eq!(env.database().query_row(created, [], |row| row.get::<_, u64>(0)).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_belongs_to_one_account_and_one_body() {
    let env = TestEnv::without_verification("").await;
    let body = env.valid_body("mine");
    let first = post_with_key(&env, "shared", &body).await;
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger), ("idempotency-key", "shared")];
    let theirs = env.send(Method::POST, COLLECTION, &headers, body.to_string().into_bytes()).await;
    assert_eq!((theirs.status.as_u16(), theirs.header("idempotent-replayed")), (201, ""));
    assert_ne!(id_of(&first), id_of(&theirs));
    let again = env.send(Method::POST, COLLECTION, &headers, body.to_string().into_bytes()).await;
    assert_replayed(&theirs, &again);
    for other in [env.valid_body("other"), json!({"x": 1})] {
        let mut other = other;
        if other.get("x").is_some() {
            other = body.clone();
            other["clientSecret"] = json!("another");
        }
        let answer = post_with_key(&env, "shared", &other).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (422, REUSED));
    }
    // The body is compared byte for byte.
    let spaced = format!(" {body}").into_bytes();
    let answer = env.send(Method::POST, COLLECTION, &[("idempotency-key", "shared")], spaced).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (422, REUSED));
    assert_replayed(&first, &post_with_key(&env, "shared", &body).await);
    // Keys are case-sensitive, and a request without a key is a new request.
    assert_eq!(post_with_key(&env, "Shared", &body).await.code(), "CONNECTION_NAME_EXISTS");
    assert_eq!(env.post(&body).await.code(), "CONNECTION_NAME_EXISTS");
    assert_eq!(env.connection_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_in_use_while_its_request_is_in_progress() {
    let env = Arc::new(TestEnv::with(long_budget()).await);
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 4_000})).await;
    let first = {
        let env = env.clone();
        TaskTracker::new().spawn(async move { post_with_key(&env, "slow", &env.valid_body("slow")).await })
    };
    until("Vimeo is asked", async || !requests_to(&env, VERIFY).await.is_empty()).await;
    let meanwhile = post_with_key(&env, "slow", &env.valid_body("slow")).await;
    assert_eq!((meanwhile.status.as_u16(), &*meanwhile.text), (409, IN_USE));
    assert_eq!(meanwhile.header("retry-after"), "1");
    let reused = post_with_key(&env, "slow", &env.valid_body("another")).await;
    assert_eq!((reused.status.as_u16(), &*reused.text), (422, REUSED));
    let first = first.await.unwrap();
    assert_replayed(&first, &post_with_key(&env, "slow", &env.valid_body("slow")).await);
    assert_eq!((env.connection_count(), requests_to(&env, VERIFY).await.len()), (1, 1));
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_lost_its_expired_key_has_no_effect() {
    let env = Arc::new(TestEnv::with(long_budget()).await);
    let body = env.valid_body("slow");
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 6_000})).await;
    let first = {
        let (env, body) = (env.clone(), body.clone());
        TaskTracker::new().spawn(async move { post_with_key(&env, "lost", &body).await })
    };
    until("Vimeo is asked", async || !requests_to(&env, VERIFY).await.is_empty()).await;
    let moved = "UPDATE idempotency_records SET reserved_until = reserved_until - 30000000";
    assert_eq!(env.database().execute(moved, []).unwrap(), 1);
    let second = post_with_key(&env, "lost", &body).await;
    assert_eq!((second.status.as_u16(), second.header("idempotent-replayed")), (201, ""));
    // Not even once the name is free again.
    assert_eq!(delete(&env, &id_of(&second)).await.status, 204);
    let first = first.await.unwrap();
    assert_eq!((first.status.as_u16(), &*first.text), (409, IN_USE));
    assert_replayed(&second, &post_with_key(&env, "lost", &body).await);
    assert_eq!(env.connection_count(), 0);
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_with_one_key_run_once_and_replay() {
    let env = Arc::new(TestEnv::with(long_budget()).await);
    let (mut in_use, mut repeated) = (0, 0);
    for round in 0..10 {
        let mut clients = JoinSet::new();
        for _ in 0..32 {
            let env = env.clone();
            clients.spawn(async move {
                let (key, body) = (format!("key-{round}"), env.valid_body(&format!("round {round}")));
                let mut waited = 0;
                loop {
                    let answer = post_with_key(&env, &key, &body).await;
                    if answer.status == 201 {
                        return (answer, waited);
                    }
                    assert_eq!((answer.status.as_u16(), &*answer.text), (409, IN_USE));
                    waited += 1;
                }
            });
        }
        let answers = clients.join_all().await;
        let texts: HashSet<_> = answers.iter().map(|(answer, _)| &answer.text).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        let (again, first): (Vec<_>, Vec<_>) =
            answers.iter().partition(|(answer, _)| answer.header("idempotent-replayed") == "true");
        assert_eq!((first.len(), again.len()), (1, 31));
        in_use += answers.iter().map(|(_, waited)| waited).sum::<usize>();
        repeated += again.len();
    }
    assert_eq!(env.connection_count(), 10);
    wait_for_revocations(&env, 0).await;
    print_numbers(&format!("10 keys, 32 clients each: {in_use} responses \"in use\", {repeated} replayed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_releases_the_key_immediately() {
    let env = TestEnv::with(long_budget()).await;
    let good = env.valid_body("corrected");
    let mut wrong = good.clone();
    wrong["clientSecret"] = json!("guess");
    assert_eq!(post_with_key(&env, "correct", &wrong).await.code(), "INVALID_VIMEO_CREDENTIALS");
    // Another body: the key was released, so this is not a reuse.
    env.inject_fault(json!({"route": VERIFY, "kind": "status", "status": 503})).await;
    assert_eq!(post_with_key(&env, "correct", &good).await.code(), "VIMEO_UNAVAILABLE");
    let taken = env.post(&good).await;
    assert_eq!(post_with_key(&env, "correct", &good).await.code(), "CONNECTION_NAME_EXISTS");
    assert_eq!(delete(&env, &id_of(&taken)).await.status, 204);
    assert_eq!(post_with_key(&env, "correct", &json!({"name": "x"})).await.code(), "INVALID_REQUEST_BODY");
    let done = post_with_key(&env, "correct", &good).await;
    assert_eq!((done.status.as_u16(), done.header("idempotent-replayed")), (201, ""), "{}", done.text);
    assert_replayed(&done, &post_with_key(&env, "correct", &good).await);
    assert_eq!(post_with_key(&env, "correct", &wrong).await.text, REUSED);
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_one_header_of_visible_characters() {
    let env = TestEnv::without_verification("").await;
    let body = env.valid_body("keys").to_string();
    let post = |keys: &[&[u8]], body: &str| {
        let mut request = format!(
            "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nconnection: close\r\ncontent-length: {}\r\n",
            env.api_key,
            body.len()
        )
        .into_bytes();
        for key in keys {
            request.extend([b"Idempotency-Key: ", *key, b"\r\n"].concat());
        }
        request.extend(format!("\r\n{body}").into_bytes());
        exchange(&env, &request).remove(0)
    };
    let refused = |errors: &str| {
        format!(
            r#"{{"code":"INVALID_REQUEST_HEADER","message":"A request header is not valid: Idempotency-Key {errors}.","fields":[{{"name":"Idempotency-Key","errors":"{errors}"}}]}}"#
        )
    };
    let form = refused("must be 1 to 255 visible ASCII characters, without spaces");
    for bad in [&b""[..], &[b'k'; 256], b"a b", b"a\tb", "caf\u{e9}".as_bytes(), b"\xff", b"a\x80"] {
        let answer = post(&[bad], &body);
        assert_eq!((answer.status.as_u16(), &answer.text), (400, &form), "{bad:?}");
        assert_eq!(post(&[bad], "{}").code(), "INVALID_REQUEST_BODY", "the body is validated first");
    }
    for twice in [&[&b"a"[..], b"a"][..], &[b"a", b"b"], &[b"", b""]] {
        let answer = post(twice, &body);
        assert_eq!((answer.status.as_u16(), answer.text), (400, refused("must be given once")));
    }
    assert_eq!(env.connection_count(), 0);
    for (number, good) in [&b"k"[..], &[b'k'; 255], b"  trimmed  ", b"!~\"\\{},;="].into_iter().enumerate() {
        let body = env.valid_body(&format!("good {number}")).to_string();
        assert_replayed(&post(&[good], &body), &post(&[good], &body));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_stored_for_a_day() {
    let env = TestEnv::without_verification("").await;
    let body = env.valid_body("yesterday");
    let first = post_with_key(&env, "daily", &body).await;
    let age = |hours: i64| {
        let changed = env.database().execute(
            "UPDATE idempotency_records
             SET answered_at = answered_at - ?1, reserved_until = reserved_until - ?1",
            [hours * 3_600_000_000],
        );
        assert_eq!(changed.unwrap(), 1);
    };
    age(23);
    assert_replayed(&first, &post_with_key(&env, "daily", &body).await);
    age(2);
    // Now it is a new request, and conflicts with the result of the first.
    assert_eq!(post_with_key(&env, "daily", &body).await.code(), "CONNECTION_NAME_EXISTS");
    let fresh = post_with_key(&env, "daily", &env.valid_body("today")).await;
    assert_eq!((fresh.status.as_u16(), fresh.header("idempotent-replayed")), (201, ""));
    assert_eq!(env.connection_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_stores_nothing_of_the_body_beyond_the_response() {
    let env = TestEnv::without_verification("").await;
    let mut body = env.valid_body("recorded");
    body["clientSecret"] = json!("canary-secret");
    body["accessToken"] = json!("canary-token");
    body["folder_uri"] = json!("canary-folder");
    let answer = post_with_key(&env, "recorded", &body).await;
    let database = env.database();
    let mut records = database.prepare("SELECT * FROM idempotency_records").unwrap();
    let columns = records.column_count();
    let mut rows = records.query([]).unwrap();
    let row = rows.next().unwrap().unwrap();
    let mut bytes = Vec::new();
    for column in 0..columns {
        match row.get_ref(column).unwrap() {
            rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                bytes.extend(text);
            }
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(&id_of(&answer)) && text.contains("recorded"), "the response is stored");
    for secret in ["canary", "clientSecret", "accessToken"] {
        assert!(!text.contains(secret), "{secret} is in the record");
    }
    assert!(rows.next().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_ignore_the_idempotency_key() {
    let env = TestEnv::without_verification("").await;
    let id = id_of(&post_with_key(&env, "made", &env.valid_body("changed")).await);
    for (version, key) in [(1, "made"), (2, "made"), (3, "a b"), (4, "")] {
        let body = json!({"version": version}).to_string();
        let answer = put_text(&env, &id, &[("idempotency-key", key)], &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("idempotent-replayed")), (200, ""), "{key:?}");
        let again = put_text(&env, &id, &[("idempotency-key", key)], &body).await;
        assert_eq!(again.code(), "VERSION_CONFLICT", "{key:?}");
    }
    assert_eq!(fetch(&env, &id).await["version"], 5);
}
