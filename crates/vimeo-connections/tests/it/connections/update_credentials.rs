//! Updates of credentials: all three are verified together as they would be, and a refusal changes nothing.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::connections::{create, delete, fetch, is_wiped, path_of, put, revoke_key, stored_row};
use crate::support::harness::{COLLECTION, TestEnv, printed, until};
use crate::support::verification::{
    CLIENT_UNKNOWN, Expected, GRANT, OTHER_APP, SECRET_WRONG, TOKEN_UNKNOWN, VERIFY, assert_response,
    create_token, journal, long_budget, rejected, requests_to, wait_for_revocations,
};

const SCOPES: &str = "public private upload edit";

/// A second token of the first app of the sandbox, and a second app with a token.
struct Others {
    second_token: String,
    client_id: String,
    client_secret: String,
    access_token: String,
}

async fn others(env: &TestEnv) -> Others {
    let app = env.control(Method::POST, "apps", json!({"name": "Other"})).await;
    let client_id = app["client_id"].as_str().unwrap().to_owned();
    Others {
        second_token: create_token(env, None, SCOPES, true).await,
        access_token: create_token(env, Some(&client_id), SCOPES, true).await,
        client_secret: app["client_secret"].as_str().unwrap().to_owned(),
        client_id,
    }
}

async fn forget_journal(env: &TestEnv) {
    wait_for_revocations(env, 0).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
}

/// Sends an update that must fail; checks the response, and that nothing changed.
async fn assert_unchanged(env: &TestEnv, id: &str, change: &Value, expected: &Expected) {
    let before = (fetch(env, id).await, stored_row(env, id));
    let mut body = change.clone();
    body["version"] = before.0["version"].clone();
    body["description"] = json!("must not be seen");
    let what: Vec<_> = change.as_object().unwrap().keys().collect();
    let answer = put(env, id, &body).await;
    assert_response(&format!("{what:?}"), &answer, expected);
    assert_eq!((fetch(env, id).await, stored_row(env, id)), before, "{what:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_credential_is_verified_with_the_stored_others() {
    let env = TestEnv::with(long_budget()).await;
    let others = others(&env).await;
    let id = create(&env, &env.valid_body("checked")).await;
    let unknown_client = "0123456789abcdef0123456789abcdef01234567";
    for (change, expected) in [
        (json!({"clientSecret": "guess"}), rejected(&[SECRET_WRONG])),
        (json!({"clientSecret": others.client_secret}), rejected(&[SECRET_WRONG])),
        (json!({"clientIdentifier": others.client_id}), rejected(&[SECRET_WRONG])),
        (json!({"clientIdentifier": unknown_client}), rejected(&[CLIENT_UNKNOWN])),
        (json!({"accessToken": "guess"}), rejected(&[TOKEN_UNKNOWN])),
        (json!({"accessToken": others.access_token}), rejected(&[OTHER_APP])),
        (
            json!({"clientIdentifier": others.client_id, "clientSecret": others.client_secret}),
            rejected(&[OTHER_APP]),
        ),
        (json!({"clientSecret": "guess", "accessToken": "guess"}), rejected(&[SECRET_WRONG, TOKEN_UNKNOWN])),
    ] {
        forget_journal(&env).await;
        assert_unchanged(&env, &id, &change, &expected).await;
        let questions = (requests_to(&env, GRANT).await.len(), requests_to(&env, VERIFY).await.len());
        assert_eq!(questions, (1, 1), "{expected:?}");
    }
    // What counts as a change shows what is stored: the first token is a change once the second was stored.
    let before = stored_row(&env, &id);
    for (version, access_token, is_new) in [
        (1, &others.second_token, true),
        (2, &others.second_token, false),
        (3, &env.sandbox.access_token, true),
        (4, &env.sandbox.access_token, false),
    ] {
        forget_journal(&env).await;
        let answer = put(&env, &id, &json!({"version": version, "accessToken": access_token})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(!journal(&env).await.is_empty(), is_new, "version {version}");
    }
    assert_eq!((stored_row(&env, &id).version, stored_row(&env, &id).sealed_version), (5, 4));
    assert!(is_wiped(&env, before.sealing_key_id));
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_credentials_decrypt_after_a_restart() {
    let mut env = TestEnv::with(long_budget()).await;
    let others = others(&env).await;
    let id = create(&env, &env.valid_body("moved")).await;
    let moved = json!({
        "version": 1, "clientIdentifier": others.client_id, "clientSecret": others.client_secret,
        "accessToken": others.access_token,
    });
    let answer = put(&env, &id, &moved).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["clientIdentifier"]),
        (200, &moved["clientIdentifier"])
    );
    wait_for_revocations(&env, 0).await;
    env.kill_and_restart();
    let checked = env.cli(&["connections", "check", "--json"], "");
    assert!(checked.status.success(), "{}", printed(&checked));
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&report["opened"], &report["broken"]), (&json!(1), &json!([])));
    forget_journal(&env).await;
    let mut same = moved.clone();
    same["version"] = json!(2);
    assert_eq!(put(&env, &id, &same).await.status, 200);
    assert_eq!(journal(&env).await, Vec::<Value>::new(), "all three are already stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn during_a_vimeo_outage_only_credentials_cannot_be_updated() {
    let mut options = long_budget();
    options.config = "vimeo.budget_seconds = 2\n".to_owned();
    let env = TestEnv::with(options).await;
    let others = others(&env).await;
    let id = create(&env, &env.valid_body("bad days")).await;
    let change = json!({"accessToken": others.second_token});
    for (fault, seconds) in [
        (json!({"kind": "status", "status": 503}), Some(10)),
        (json!({"kind": "cut"}), Some(10)),
        (json!({"kind": "delay", "millis": 60_000}), Some(10)),
        // Vimeo says when the limit resets; the remaining seconds depend on the clock.
        (json!({"kind": "rate-limit", "reset_seconds": 500}), None),
    ] {
        let mut fault = fault;
        fault["route"] = json!(VERIFY);
        fault["times"] = json!("always");
        env.inject_fault(fault.clone()).await;
        let before = (fetch(&env, &id).await, stored_row(&env, &id));
        if let Some(seconds) = seconds {
            assert_unchanged(&env, &id, &change, &Expected::Unavailable(seconds)).await;
        } else {
            let mut limited = change.clone();
            limited["version"] = before.0["version"].clone();
            let answer = put(&env, &id, &limited).await;
            assert_eq!(answer.code(), "VIMEO_UNAVAILABLE", "{}", answer.text);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 10);
            assert_eq!((fetch(&env, &id).await, stored_row(&env, &id)), before);
        }
        let harmless = json!({"version": before.0["version"], "description": fault["kind"]});
        assert_eq!(put(&env, &id, &harmless).await.status, 200);
        env.control(Method::DELETE, "faults", Value::Null).await;
    }
    let version = fetch(&env, &id).await["version"].clone();
    let fixed = put(&env, &id, &json!({"version": version, "accessToken": others.second_token})).await;
    assert_eq!(fixed.status, 200, "{}", fixed.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_during_verification_wins() {
    let env = Arc::new(TestEnv::with(long_budget()).await);
    let others = others(&env).await;
    let key = env.make_key("acme", &[]);
    for (meanwhile, status, code) in [
        ("changed", 409, "VERSION_CONFLICT"),
        ("deleted", 404, "CONNECTION_NOT_FOUND"),
        ("revoked", 401, "UNAUTHORIZED"),
    ] {
        let id = create(&env, &env.valid_body(meanwhile)).await;
        forget_journal(&env).await;
        let before = stored_row(&env, &id);
        env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 3_000})).await;
        let body = json!({"version": 1, "accessToken": others.second_token}).to_string().into_bytes();
        let (slow, path, slow_key) = (env.clone(), path_of(&id), key.clone());
        let slow = TaskTracker::new()
            .spawn(async move { slow.send(Method::PUT, &path, &[("authorization", &slow_key)], body).await });
        until("Vimeo is asked", async || !requests_to(&env, VERIFY).await.is_empty()).await;
        match meanwhile {
            "changed" => assert_eq!(put(&env, &id, &json!({"version": 1})).await.status, 200),
            "deleted" => assert_eq!(delete(&env, &id).await.status, 204),
            _ => revoke_key(&env, &key),
        }
        let answer = slow.await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code), "{meanwhile}");
        match meanwhile {
            "changed" => assert_eq!(answer.json()["currentVersion"], 2),
            "deleted" => assert!(is_wiped(&env, before.sealing_key_id)),
            _ => assert_eq!(stored_row(&env, &id), before),
        }
    }
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_during_verification_changes_nothing() {
    let env = TestEnv::with(long_budget()).await;
    let others = others(&env).await;
    let id = create(&env, &env.valid_body("left alone")).await;
    forget_journal(&env).await;
    let before = (fetch(&env, &id).await, stored_row(&env, &id), events(&env));
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 6_000})).await;
    let body = json!({"version": 1, "accessToken": others.second_token}).to_string();
    let request = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
        path_of(&id),
        env.api_key,
        body.len()
    );
    let mut stream = TcpStream::connect(env.service.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    until("Vimeo is asked", async || !requests_to(&env, VERIFY).await.is_empty()).await;
    stream.shutdown(Shutdown::Both).unwrap();
    until("the service notices it", async || env.log().contains("aborted: client disconnected")).await;
    // Everything is as before.
    assert_eq!((fetch(&env, &id).await, stored_row(&env, &id), events(&env)), before);
    let again = put(&env, &id, &json!({"version": 1, "accessToken": others.second_token})).await;
    assert_eq!((again.status.as_u16(), &again.json()["version"]), (200, &json!(2)));
    wait_for_revocations(&env, 0).await;
}

/// Actions on connections in the audit log, oldest first.
fn events(env: &TestEnv) -> Vec<(String, Option<String>, Option<String>)> {
    let database = env.database();
    let mut events = database
        .prepare(
            "SELECT action, subject, refusal FROM audit_events WHERE action LIKE '%_connection'
             ORDER BY audit_event_id",
        )
        .unwrap();
    events
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_and_deletes_are_audited_with_their_outcome() {
    let env = TestEnv::with(long_budget()).await;
    let id = create(&env, &env.valid_body("audited")).await;
    create(&env, &env.valid_body("taken")).await;
    let earlier = events(&env).len();
    let unknown = "20260131090500042abcdefghijklmno";
    let update = "update_connection";
    let rows = [
        (&*id, json!({"version": 1, "description": "x"}), Some((update, Some(&*id), None))),
        (&id, json!({"version": 1}), Some((update, Some(&id), Some("VERSION_CONFLICT")))),
        (
            &id,
            json!({"version": 2, "name": "taken"}),
            Some((update, Some(&id), Some("CONNECTION_NAME_EXISTS"))),
        ),
        (
            &id,
            json!({"version": 2, "clientSecret": "guess"}),
            Some((update, Some(&id), Some("INVALID_VIMEO_CREDENTIALS"))),
        ),
        (unknown, json!({"version": 1}), Some((update, Some(unknown), Some("CONNECTION_NOT_FOUND")))),
        // A malformed identifier is not recorded as a subject.
        ("guess", json!({"version": 1}), Some((update, None, Some("CONNECTION_NOT_FOUND")))),
        (&id, json!({"version": "1"}), None),
        (&id, json!({"version": 2, "clientSecret": "unlucky"}), None),
    ];
    let mut expected = Vec::new();
    for (id, body, event) in rows {
        if body["clientSecret"] == "unlucky" {
            env.inject_fault(json!({"route": "*", "kind": "status", "status": 503, "times": "always"})).await;
        }
        put(&env, id, &body).await;
        expected.extend(event);
    }
    env.control(Method::DELETE, "faults", Value::Null).await;
    let stranger = env.make_key("another", &[]);
    let theirs = [("authorization", &*stranger)];
    assert_eq!(env.send(Method::DELETE, &path_of(&id), &theirs, Vec::new()).await.status, 204);
    for id in [&*id, &id, unknown, "guess"] {
        assert_eq!(delete(&env, id).await.status, StatusCode::NO_CONTENT);
    }
    // Only the delete of an existing connection is audited, once.
    expected.push(("delete_connection", Some(&id), None));
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(action, subject, refusal)| {
            (action.to_owned(), subject.map(str::to_owned), refusal.map(str::to_owned))
        })
        .collect();
    assert_eq!(events(&env)[earlier..], expected);
    assert_eq!(env.get(COLLECTION).await.json()["Items"].as_array().unwrap().len(), 1);
}
