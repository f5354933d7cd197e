//! Deleting connections: idempotent, the same for unknown and foreign identifiers, and the secrets are wiped.

use reqwest::Method;
use serde_json::json;

use crate::support::connections::{
    NO_CONNECTION, create, delete, fetch, is_wiped, path_of, put, revoke_key, stored_row,
};
use crate::support::harness::{COLLECTION, Response, TestEnv};

const UNKNOWN: &str = "20260131090500042abcdefghijklmno";

fn assert_gone(answer: &Response, what: &str) {
    assert_eq!((answer.status.as_u16(), &*answer.text), (204, ""), "{what}");
    assert!(!answer.headers.contains_key("content-type"), "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_is_idempotent_and_succeeds_for_unknown_ids() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("gone")).await;
    let other = create(&env, &env.valid_body("stays")).await;
    let before = stored_row(&env, &id);
    let upper = id.to_uppercase();
    let longer = format!("{id}0");
    for absent in [UNKNOWN, "x", "%20", "%00", "%ff", "null", &id[1..], &upper, &longer] {
        assert_gone(&delete(&env, absent).await, absent);
    }
    assert_eq!(fetch(&env, &id).await["version"], 1, "none of them deleted it");
    for time in ["first", "second", "third"] {
        assert_gone(&delete(&env, &id).await, time);
        assert!(is_wiped(&env, before.sealing_key_id));
    }
    for method in [Method::GET, Method::PUT] {
        let answer = env.send(method, &path_of(&id), &[], b"{\"version\":1}".to_vec()).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (404, NO_CONNECTION));
    }
    assert_eq!(env.send(Method::HEAD, &path_of(&id), &[], Vec::new()).await.status, 404);
    let listed = env.get(COLLECTION).await.json();
    assert_eq!(listed["Items"], json!([fetch(&env, &other).await]));
    assert_eq!(env.get(&format!("{COLLECTION}?name=gone")).await.text, r#"{"Items":[]}"#);
    let again = create(&env, &env.valid_body("gone")).await;
    assert!(again > other && again != id, "the name is free, the identifier is new");
    assert_eq!(delete(&env, &id).await.status, 204);
    assert_eq!(
        fetch(&env, &again).await["name"],
        "gone",
        "the old identifier does not lead to the new connection"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_another_accounts_connection_returns_204_and_keeps_it() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("mine")).await;
    let before = (fetch(&env, &id).await, stored_row(&env, &id));
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger), ("x-pictory-user-id", "acme")];
    let theirs = env.send(Method::DELETE, &path_of(&id), &headers, Vec::new()).await;
    assert_gone(&theirs, "another's");
    let nobodys = env.send(Method::DELETE, &path_of(UNKNOWN), &headers, Vec::new()).await;
    assert_eq!(
        crate::support::raw_http::stable_headers(&theirs),
        crate::support::raw_http::stable_headers(&nobodys)
    );
    assert_eq!((fetch(&env, &id).await, stored_row(&env, &id)), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_may_have_a_content_type_and_a_body() {
    let env = TestEnv::without_verification("").await;
    for (number, (content_type, body)) in
        [("application/json", ""), ("application/json", "{"), ("text/xml", "<a/>"), ("x", "{\"version\":9}")]
            .into_iter()
            .enumerate()
    {
        let id = create(&env, &env.valid_body(&format!("number {number}"))).await;
        // These headers apply to other methods.
        let headers = [("content-type", content_type), ("if-match", "\"9\""), ("idempotency-key", "a b")];
        assert_gone(&env.send(Method::DELETE, &path_of(&id), &headers, body.into()).await, content_type);
        assert_eq!(env.connection_count(), 0, "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_works_wherever_get_does() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("head")).await;
    for path in [
        COLLECTION.to_owned(),
        format!("{COLLECTION}?limit=0"),
        format!("{COLLECTION}?nextPageKey=x"),
        format!("{COLLECTION}?name=head"),
        path_of(&id),
        path_of(UNKNOWN),
        "/pictoryapis/v1/whoami".to_owned(),
    ] {
        let got = env.get(&path).await;
        let head = env.send(Method::HEAD, &path, &[], Vec::new()).await;
        assert_eq!((head.status, &*head.text), (got.status, ""), "{path}");
        assert_eq!(
            crate::support::raw_http::stable_headers(&head),
            crate::support::raw_http::stable_headers(&got),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unauthorized_caller_changes_and_deletes_nothing() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("safe")).await;
    let before = (fetch(&env, &id).await, stored_row(&env, &id));
    let revoked = env.make_key("acme", &[]);
    assert_eq!(
        env.send(Method::GET, &path_of(&id), &[("authorization", &revoked)], Vec::new()).await.status,
        200
    );
    revoke_key(&env, &revoked);
    for key in [&*revoked, "", "pictai_unknown-key"] {
        for method in [Method::PUT, Method::DELETE] {
            let body = b"{\"version\":1}".to_vec();
            let answer = env.send(method, &path_of(&id), &[("authorization", key)], body).await;
            assert_eq!((answer.status.as_u16(), &*answer.code()), (401, "UNAUTHORIZED"));
        }
    }
    assert_eq!((fetch(&env, &id).await, stored_row(&env, &id)), before);
    assert_eq!(put(&env, &id, &json!({"version": 1})).await.status, 200);
}
