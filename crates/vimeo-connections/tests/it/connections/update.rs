//! Updates of a connection, field by field. `update_validation.rs` covers refusals, `update_credentials.rs`
//! verification, and `concurrent_updates.rs` concurrent writers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::connections::{
    StoredRow, create, fetch, invalid_field, is_wiped, path_of, put, stored_row,
};
use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};
use crate::support::verification::{GRANT, VERIFY, journal, requests_to, wait_for_revocations};

const NAME_EXISTS: &str =
    r#"{"code":"CONNECTION_NAME_EXISTS","message":"This account already has a connection of this name."}"#;
const TEXT: &str = "must be a string";
const BLANK: &str = "must not be empty or blank";
const EMPTY: &str = "must not be empty";
const FLAG: &str = "must be true or false";
const LONG_CREDENTIAL: &str = "must be at most 500 characters long";
const VISIBLE: &str = "must contain only visible ASCII characters, without spaces or line breaks";

/// The whole body of a response with a connection.
pub(crate) fn body_of(connection: &Value) -> String {
    let fields = [
        "connectionId",
        "name",
        "description",
        "clientIdentifier",
        "type",
        "enabled",
        "createdDate",
        "updatedDate",
        "version",
    ];
    let members: Vec<_> =
        fields.iter().filter_map(|field| Some(format!("\"{field}\":{}", connection.get(field)?))).collect();
    format!("{{{}}}", members.join(","))
}

/// The expected effect of updating one field.
enum Outcome {
    /// Only version and date change.
    Same,
    /// The field has this value; null: it is absent.
    Shown(Value),
    /// Vimeo is asked, and the secrets are sealed again.
    Resealed,
    /// Vimeo is not asked, the field has this value, and the secrets are sealed again: they bind whether the connection is
    /// enabled.
    Toggled(Value),
    /// Vimeo is asked, the field has this value, and the sealed secrets do not change.
    Verified(Value),
    /// 400 with this error for the field.
    Fault(&'static str),
}
use Outcome::{Fault, Resealed, Same, Shown, Toggled, Verified};

/// Credentials for the open sandbox, which accepts all new ones.
fn guest(name: &str) -> Value {
    json!({
        "name": name, "description": "as it was", "enabled": true, "clientIdentifier": "guest-client",
        "clientSecret": "guest-secret", "accessToken": "guest-token",
    })
}

/// Each field, absent and with every kind of value.
fn table() -> Vec<(&'static str, Option<Value>, Outcome)> {
    let long = |count| Some(json!("x".repeat(count)));
    let text = |text: &str| Some(json!(text));
    let null = || Some(Value::Null);
    let mut rows = vec![
        ("name", None, Same),
        ("name", null(), Fault(TEXT)),
        ("name", text(""), Fault(BLANK)),
        ("name", text("a row"), Same),
        ("name", text("a new name"), Shown(json!("a new name"))),
        ("name", text("Cafe\u{301}"), Shown(json!("Caf\u{e9}"))),
        ("name", text("  a row "), Shown(json!("  a row "))),
        ("name", Some(json!(7)), Fault(TEXT)),
        ("name", long(100), Shown(json!("x".repeat(100)))),
        ("name", long(101), Fault("must be at most 100 characters long")),
        ("description", None, Same),
        ("description", null(), Shown(Value::Null)),
        ("description", text(""), Shown(Value::Null)),
        ("description", text("as it was"), Same),
        ("description", text("another"), Shown(json!("another"))),
        ("description", Some(json!(["x"])), Fault("must be a string or null")),
        ("description", long(250), Shown(json!("x".repeat(250)))),
        ("description", long(251), Fault("must be at most 250 characters long")),
        ("enabled", None, Same),
        ("enabled", null(), Fault(FLAG)),
        ("enabled", text(""), Fault(FLAG)),
        ("enabled", Some(json!(true)), Same),
        ("enabled", Some(json!(false)), Toggled(json!(false))),
        ("enabled", text("false"), Fault(FLAG)),
        ("enabled", Some(json!(0)), Fault(FLAG)),
    ];
    for (field, old) in [
        ("clientIdentifier", "guest-client"),
        ("clientSecret", "guest-secret"),
        ("accessToken", "guest-token"),
    ] {
        let changed = |value: String| {
            if field == "clientIdentifier" { Verified(json!(value)) } else { Resealed }
        };
        rows.extend([
            (field, None, Same),
            (field, null(), Fault(TEXT)),
            (field, text(""), Fault(EMPTY)),
            (field, text(old), Same),
            (field, text("guest-other"), changed("guest-other".to_owned())),
            (field, Some(json!(true)), Fault(TEXT)),
            (field, text("guest other"), Fault(VISIBLE)),
            (field, long(500), changed("x".repeat(500))),
            (field, long(501), Fault(LONG_CREDENTIAL)),
        ]);
    }
    rows
}

/// Checks one row: the response, what is returned and stored afterwards, and whether Vimeo was asked.
async fn check_row(env: &TestEnv, field: &str, value: Option<Value>, outcome: &Outcome) {
    let what: String = format!("{field} = {value:?}").chars().take(60).collect();
    let id = create(env, &guest("a row")).await;
    wait_for_revocations(env, 0).await;
    let (was, before) = (fetch(env, &id).await, stored_row(env, &id));
    env.control(Method::DELETE, "journal", Value::Null).await;
    let mut body = json!({"version": 1});
    if let Some(value) = value {
        body[field] = value;
    }
    let answer = put(env, &id, &body).await;
    wait_for_revocations(env, 0).await;
    let (is, after) = (fetch(env, &id).await, stored_row(env, &id));
    let questions = (requests_to(env, GRANT).await.len(), requests_to(env, VERIFY).await.len());
    let is_checked = matches!(outcome, Resealed | Verified(_));
    assert_eq!(questions, if is_checked { (1, 1) } else { (0, 0) }, "{what}");
    assert_eq!(journal(env).await.is_empty(), !is_checked, "{what}");
    if let Fault(errors) = outcome {
        assert_eq!((answer.status.as_u16(), answer.text), (400, invalid_field(field, errors)), "{what}");
        assert_eq!((is, after), (was, before), "{what}");
    } else {
        let mut expected = was.clone();
        if let Shown(value) | Verified(value) | Toggled(value) = outcome {
            expected[field] = value.clone();
        }
        if expected["description"].is_null() {
            expected.as_object_mut().unwrap().remove("description");
        }
        expected["version"] = json!(2);
        assert!(is["updatedDate"].as_str() > was["updatedDate"].as_str(), "{what}");
        expected["updatedDate"] = is["updatedDate"].clone();
        assert_eq!((answer.status.as_u16(), answer.text.clone()), (200, body_of(&expected)), "{what}");
        assert_eq!(answer.header("etag"), "\"2\"", "{what}");
        assert_eq!(is, expected, "{what}");
        if matches!(outcome, Resealed | Toggled(_)) {
            assert_eq!((after.version, after.sealed_version), (2, 2), "{what}");
            assert!(after.sealing_key_id > before.sealing_key_id, "{what}");
            assert_ne!(after.envelope, before.envelope, "{what}");
            assert!(is_wiped(env, before.sealing_key_id), "{what}");
        } else {
            assert_eq!(after, StoredRow { version: 2, ..before }, "{what}");
        }
    }
    assert_eq!(env.send(Method::DELETE, &path_of(&id), &[], Vec::new()).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_updates_itself_and_nothing_else() {
    let config = "vimeo.budget_seconds = 60\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, open_sandbox: true, ..EnvOptions::default() }).await;
    let rows = table();
    assert_eq!(rows.len(), 52);
    for (field, value, outcome) in rows {
        check_row(&env, field, value, &outcome).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_update_increments_the_version_and_advances_the_date() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("steps")).await;
    let mut last = fetch(&env, &id).await;
    // In quick succession, so that some happen within one millisecond.
    for version in 1..=200 {
        let answer = put(&env, &id, &json!({"version": version})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let now = answer.json();
        assert_eq!(now["version"], version + 1);
        assert!(now["updatedDate"].as_str() > last["updatedDate"].as_str(), "{now} after {last}");
        for field in ["connectionId", "createdDate", "name", "type"] {
            assert_eq!(now[field], last[field]);
        }
        last = now;
    }
    assert_eq!(fetch(&env, &id).await, last);
    // Also if the clock is far behind the stored time.
    env.database().execute("UPDATE connections SET updated_at = 4102444800000000", []).unwrap();
    for millis in 1..=2 {
        let now = put(&env, &id, &json!({"version": 200 + millis})).await.json();
        assert_eq!(now["updatedDate"], format!("2100-01-01T00:00:00.00{millis}Z"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetched_connection_can_be_sent_back() {
    let env = TestEnv::start().await;
    let id = create(&env, &env.valid_body("there and back")).await;
    wait_for_revocations(&env, 0).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
    let mut read = fetch(&env, &id).await;
    for version in 1..=3 {
        let answer = put(&env, &id, &read).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["version"]), (200, &json!(version + 1)));
        assert_eq!(answer.header("x-ignored-fields"), "");
        read = answer.json();
    }
    // Read-only fields are ignored, whatever their value.
    for (field, value) in [
        ("connectionId", json!(7)),
        ("type", json!("YOUTUBE")),
        ("createdDate", json!(null)),
        ("updatedDate", json!([])),
    ] {
        let mut body = read.clone();
        body[field] = value;
        let answer = put(&env, &id, &body).await;
        assert_eq!(answer.status, 200, "{field}: {}", answer.text);
        assert_eq!(answer.json()[field] == read[field], field != "updatedDate", "{field}");
        read = answer.json();
    }
    assert_eq!(journal(&env).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renaming_needs_a_free_name_and_releases_the_old_one() {
    let env = TestEnv::without_verification("").await;
    let first = create(&env, &env.valid_body("first")).await;
    let second = create(&env, &env.valid_body("second")).await;
    for taken in ["second", " second", "second  "] {
        let answer = put(&env, &first, &json!({"version": 1, "name": taken})).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (409, NAME_EXISTS), "{taken:?}");
    }
    assert_eq!(fetch(&env, &first).await["version"], 1);
    for (version, own) in [(1, "first"), (2, " first  "), (3, "third")] {
        let answer = put(&env, &first, &json!({"version": version, "name": own})).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["name"]), (200, &json!(own)), "{}", answer.text);
    }
    let freed = put(&env, &second, &json!({"version": 1, "name": "first"})).await;
    assert_eq!(freed.status, 200, "{}", freed.text);
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger)];
    let theirs =
        env.send(Method::POST, COLLECTION, &headers, env.valid_body("first").to_string().into()).await;
    assert_eq!(theirs.status, 201, "names are unique within an account only");
}
