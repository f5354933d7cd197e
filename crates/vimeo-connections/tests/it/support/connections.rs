//! Requests for connections, and their rows in the database.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, Response, TestEnv, printed};

pub(crate) const NO_CONNECTION: &str =
    r#"{"code":"CONNECTION_NOT_FOUND","message":"There is no such connection in this account."}"#;

/// The parts of a row that no response shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredRow {
    pub(crate) version: u64,
    pub(crate) sealed_version: u64,
    pub(crate) sealing_key_id: i64,
    pub(crate) envelope: Vec<u8>,
    pub(crate) wrapped_key: Vec<u8>,
}

pub(crate) fn stored_row(env: &TestEnv, id: &str) -> StoredRow {
    let sql = "SELECT version, sealed_version, sealing_key_id, envelope, wrapped_key
               FROM connections JOIN sealing_keys USING (sealing_key_id) WHERE connection_id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(StoredRow {
            version: row.get(0)?,
            sealed_version: row.get(1)?,
            sealing_key_id: row.get(2)?,
            envelope: row.get(3)?,
            wrapped_key: row.get(4)?,
        })
    };
    env.database().query_row(sql, [id], read).unwrap()
}

/// Whether the key of replaced or deleted secrets was overwritten with zeros.
pub(crate) fn is_wiped(env: &TestEnv, sealing_key_id: i64) -> bool {
    let sql = "SELECT wrapped_key = zeroblob(60) FROM sealing_keys WHERE sealing_key_id = ?1";
    env.database().query_row(sql, [sealing_key_id], |row| row.get(0)).unwrap()
}

pub(crate) fn path_of(id: &str) -> String {
    format!("{COLLECTION}/{id}")
}

pub(crate) async fn put_text(env: &TestEnv, id: &str, headers: &[(&str, &str)], body: &str) -> Response {
    env.send(Method::PUT, &path_of(id), headers, body.as_bytes().to_vec()).await
}

pub(crate) async fn put(env: &TestEnv, id: &str, body: &Value) -> Response {
    put_text(env, id, &[("content-type", "application/json")], &body.to_string()).await
}

/// Creates a connection; its identifier.
pub(crate) async fn create(env: &TestEnv, body: &Value) -> String {
    let created = env.post(body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.json()["connectionId"].as_str().unwrap().to_owned()
}

pub(crate) async fn fetch(env: &TestEnv, id: &str) -> Value {
    let found = env.get(&path_of(id)).await;
    assert_eq!(found.status, 200, "{}", found.text);
    found.json()
}

pub(crate) async fn delete(env: &TestEnv, id: &str) -> Response {
    env.send(Method::DELETE, &path_of(id), &[], Vec::new()).await
}

/// Revokes an API key of the account.
pub(crate) fn revoke_key(env: &TestEnv, key: &str) {
    let listed: Value = serde_json::from_slice(&env.cli(&["keys", "list", "--json"], "").stdout).unwrap();
    let is_it = |row: &&Value| key.ends_with(row["lastFour"].as_str().unwrap());
    let row = listed.as_array().unwrap().iter().find(is_it).unwrap();
    let revoked = env.cli(&["keys", "revoke", row["keyId"].as_str().unwrap()], "");
    assert!(revoked.status.success(), "{}", printed(&revoked));
}

pub(crate) const IN_USE: &str = r#"{"code":"IDEMPOTENCY_KEY_IN_USE","message":"A request with this idempotency key is still in progress."}"#;

pub(crate) async fn post_with_key(env: &TestEnv, key: &str, body: &Value) -> Response {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    env.send(Method::POST, COLLECTION, &headers, body.to_string().into_bytes()).await
}

/// Both responses are equal, and only the second is marked as a replay.
pub(crate) fn assert_replayed(first: &Response, again: &Response) {
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201), "{} {}", first.text, again.text);
    assert_eq!(first.text, again.text);
    for header in ["location", "x-ignored-fields", "content-type", "content-length"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
}

pub(crate) fn invalid_field(field: &str, errors: &str) -> String {
    let message = json!(format!("The request body is not valid: {field} {errors}.").replace("?.", "?"));
    let (name, errors) = (json!(field), json!(errors));
    let fields = format!(r#"[{{"name":{name},"errors":{errors}}}]"#);
    format!(r#"{{"code":"INVALID_REQUEST_BODY","message":{message},"fields":{fields}}}"#)
}
