//! Changing a connection: each field in each state, versions, and what is refused. What changes of credentials mean
//! to Vimeo is in `changed_credentials.rs`, what many writers at once get in `races.rs`.

use std::cell::Cell;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::connections::{
    NO_CONNECTION, StoredRow, create, fetch, is_wiped, path_of, put, put_text, stored_row,
};
use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};
use crate::support::verification::{GRANT, VERIFY, journal, requests_to, wait_for_revocations};

const NAME_EXISTS: &str =
    r#"{"code":"CONNECTION_NAME_EXISTS","message":"This account already has a connection of this name."}"#;
const VERSION: &str = "must be a whole number from 1 to 9007199254740991";
const TEXT: &str = "must be a string";
const BLANK: &str = "must not be empty or blank";
const EMPTY: &str = "must not be empty";
const FLAG: &str = "must be true or false";
const LONG_CREDENTIAL: &str = "must be at most 500 characters long";
const VISIBLE: &str = "must contain only visible ASCII characters, without spaces or line breaks";

/// The whole body of an answer that shows a connection.
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

fn faulty(field: &str, errors: &str) -> String {
    let message = json!(format!("The request body is not valid: {field} {errors}.").replace("?.", "?"));
    let (name, errors) = (json!(field), json!(errors));
    let fields = format!(r#"[{{"name":{name},"errors":{errors}}}]"#);
    format!(r#"{{"code":"INVALID_REQUEST_BODY","message":{message},"fields":{fields}}}"#)
}

fn conflict(current: u64) -> String {
    format!(
        r#"{{"code":"VERSION_CONFLICT","message":"The connection has changed since you read it. Nothing was changed.","currentVersion":{current}}}"#
    )
}

/// What a change of one field comes to.
enum Outcome {
    /// Nothing but version and date differ.
    Same,
    /// The field is shown so; null: it is not shown.
    Shown(Value),
    /// Vimeo is asked; the secrets are sealed anew.
    Resealed,
    /// Vimeo is asked; the field is shown so, and the secrets stay as they are.
    Verified(Value),
    /// 400 for this field.
    Fault(&'static str),
}
use Outcome::{Fault, Resealed, Same, Shown, Verified};

/// A guest of the open sandbox, where every new credential is a good one.
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
        ("enabled", Some(json!(false)), Shown(json!(false))),
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

/// One row: the answer, what is shown and stored afterwards, and whether Vimeo was asked.
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
        assert_eq!((answer.status.as_u16(), answer.text), (400, faulty(field, errors)), "{what}");
        assert_eq!((is, after), (was, before), "{what}");
    } else {
        let mut expected = was.clone();
        if let Shown(value) | Verified(value) = outcome {
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
        if matches!(outcome, Resealed) {
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
async fn every_field_in_every_state_changes_what_it_says_and_nothing_else() {
    let config = "vimeo.budget_seconds = 60\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, open_sandbox: true, ..EnvOptions::default() }).await;
    let rows = table();
    assert_eq!(rows.len(), 52);
    for (field, value, outcome) in rows {
        check_row(&env, field, value, &outcome).await;
    }
}

async fn without_vimeo(config: &str) -> TestEnv {
    TestEnv::with(EnvOptions { verification_off: true, config: config.to_owned(), ..EnvOptions::default() })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_a_whole_number_and_the_stored_one() {
    let env = without_vimeo("").await;
    let id = create(&env, &env.valid_body("versions")).await;
    let missing = put_text(&env, &id, &[], "{}").await;
    assert_eq!((missing.status.as_u16(), missing.text), (400, faulty("version", "is required")));
    let before = (fetch(&env, &id).await, stored_row(&env, &id));
    for bad in [
        "null",
        "\"1\"",
        "\"\"",
        "true",
        "[1]",
        "{}",
        "1.5",
        "1e400",
        "3.00000000000000000001",
        "9007199254740990.6",
        "0",
        "-0",
        "0.0",
        "-1",
        "1e-1",
        "1e16",
        "9007199254740992",
        "9007199254740992.0",
        "9007199254740993",
        "18446744073709551617",
    ] {
        let answer = put_text(&env, &id, &[], &format!("{{\"version\":{bad}}}")).await;
        assert_eq!((answer.status.as_u16(), answer.text), (400, faulty("version", VERSION)), "{bad}");
    }
    for other in ["2", "2.0", "9007199254740991", "9.007199254740991e15", "3e0"] {
        let answer = put_text(&env, &id, &[], &format!("{{\"version\":{other}}}")).await;
        assert_eq!((answer.status.as_u16(), answer.text), (409, conflict(1)), "{other}");
    }
    assert_eq!((fetch(&env, &id).await, stored_row(&env, &id)), before);
    for (current, written) in [(1, "1"), (2, "2.0"), (3, "3e0"), (4, "0.4e1"), (5, "5.000"), (6, "60E-1")] {
        let answer = put_text(&env, &id, &[], &format!("{{\"version\":{written}}}")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["version"]),
            (200, &json!(current + 1)),
            "{written}"
        );
        let stale = put_text(&env, &id, &[], &format!("{{\"version\":{current}}}")).await;
        assert_eq!((stale.status.as_u16(), stale.text), (409, conflict(current + 1)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_moves_the_version_by_one_and_the_date_on() {
    let env = without_vimeo("").await;
    let id = create(&env, &env.valid_body("steps")).await;
    let mut last = fetch(&env, &id).await;
    // As quickly as they come: some fall into one millisecond.
    for version in 1..=200 {
        let answer = put(&env, &id, &json!({"version": version})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let now = answer.json();
        assert_eq!(now["version"], version + 1);
        assert!(now["updatedDate"].as_str() > last["updatedDate"].as_str(), "{now} after {last}");
        for stable_headers in ["connectionId", "createdDate", "name", "type"] {
            assert_eq!(now[stable_headers], last[stable_headers]);
        }
        last = now;
    }
    assert_eq!(fetch(&env, &id).await, last);
    // Also when the clock stands far behind what is stored.
    env.database().execute("UPDATE connections SET updated_at = 4102444800000000", []).unwrap();
    for millis in 1..=2 {
        let now = put(&env, &id, &json!({"version": 200 + millis})).await.json();
        assert_eq!(now["updatedDate"], format!("2100-01-01T00:00:00.00{millis}Z"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_match_says_the_same_as_the_body_or_is_refused() {
    let env = without_vimeo("").await;
    let id = create(&env, &env.valid_body("tags")).await;
    let version = Cell::new(1_u64);
    let try_tags = async |tags: &[&str]| {
        let headers: Vec<_> = tags.iter().map(|tag| ("if-match", *tag)).collect();
        put_text(&env, &id, &headers, &json!({"version": version.get()}).to_string()).await
    };
    for tags in [
        &["\"V\""][..],
        &["W/\"V\""],
        &["*"],
        &["\"900\", \"V\""],
        &["  \"V\"  "],
        &["\"900\"", "\"V\""],
        &[],
    ] {
        let tags: Vec<_> = tags.iter().map(|tag| tag.replace('V', &version.get().to_string())).collect();
        let tags: Vec<_> = tags.iter().map(String::as_str).collect();
        let answer = try_tags(&tags).await;
        assert_eq!(answer.status, 200, "{tags:?}: {}", answer.text);
        version.set(version.get() + 1);
        assert_eq!(answer.header("etag"), format!("\"{}\"", version.get()));
    }
    let refused = r#"{"code":"INVALID_REQUEST_HEADER","message":"A request header is not valid: If-Match names another version than the body: leave it out, or send \"<version>\" with the quotes.","fields":[{"name":"If-Match","errors":"names another version than the body: leave it out, or send \"<version>\" with the quotes"}]}"#;
    for tags in
        [&["\"9\""][..], &["8"], &["\"8"], &["w/\"8\""], &["\"\""], &[""], &["caf\u{e9}"], &["\"1\", \"2\""]]
    {
        let answer = try_tags(tags).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (400, refused), "{tags:?}");
    }
    // A fault of the body is told first; the header before what the version is.
    let first = put_text(&env, &id, &[("if-match", "\"9\"")], "{\"version\":\"8\"}").await;
    assert_eq!(first.text, faulty("version", VERSION));
    let second = put_text(&env, "unknown", &[("if-match", "\"9\"")], "{\"version\":8}").await;
    assert_eq!(second.text, refused);
    assert_eq!(fetch(&env, &id).await["version"], 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_can_be_sent_back() {
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
    // What only the service sets is ignored, whatever it says.
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
async fn a_name_is_changed_to_a_free_one_and_frees_the_old() {
    let env = without_vimeo("").await;
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
    assert_eq!(theirs.status, 201, "names are an account's own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_cannot_be_changed_by_anyone() {
    let env = without_vimeo("").await;
    let id = create(&env, &env.valid_body("mine")).await;
    let before = (fetch(&env, &id).await, stored_row(&env, &id));
    let stranger = env.make_key("another", &[]);
    let body = json!({"version": 1, "name": "taken over"}).to_string();
    for (key, id) in [
        (&stranger, &*id),
        (&env.api_key, "20260131090500042abcdefghijklmno"),
        (&env.api_key, "x"),
        (&env.api_key, "%20"),
        (&env.api_key, "%ff"),
        (&env.api_key, &id[1..]),
        (&env.api_key, &format!("{id}0")),
    ] {
        let answer = put_text(&env, id, &[("authorization", key)], &body).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (404, NO_CONNECTION), "{id}");
    }
    assert_eq!((fetch(&env, &id).await, stored_row(&env, &id)), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_things_that_are_wrong_the_first_check_answers() {
    let env = TestEnv::start().await;
    let id = create(&env, &env.valid_body("mine")).await;
    create(&env, &env.valid_body("taken")).await;
    wait_for_revocations(&env, 0).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
    let all = |version: Value| json!({"version": version, "name": "taken", "clientSecret": "guess"});
    let unknown = "20260131090500042abcdefghijklmno";
    let text = [("content-type", "text/plain")];
    assert_eq!(put_text(&env, unknown, &[("authorization", "x")], "{").await.status, 401);
    assert_eq!(put_text(&env, unknown, &text, "{").await.status, 415);
    assert_eq!(put_text(&env, unknown, &[], &" ".repeat(70_000)).await.status, 413);
    let mut answers = Vec::new();
    for (id, version) in [(unknown, json!("9")), (unknown, json!(9)), (&*id, json!(9)), (&*id, json!(1))] {
        answers.push(put(&env, id, &all(version)).await.code());
    }
    assert_eq!(
        answers,
        ["INVALID_REQUEST_BODY", "CONNECTION_NOT_FOUND", "VERSION_CONFLICT", "CONNECTION_NAME_EXISTS"]
    );
    assert_eq!(journal(&env).await, Vec::<Value>::new());
    let last = put(&env, &id, &json!({"version": 1, "name": "free", "clientSecret": "guess"})).await;
    assert_eq!(last.code(), "INVALID_VIMEO_CREDENTIALS");
    // Every fault of the body is told at once.
    let faults = put(&env, &id, &json!({"name": 1, "enabled": "x", "accesToken": "t", "version": 0})).await;
    let names: Vec<_> = faults.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["name", "enabled", "version", "accesToken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_of_a_change_are_named_or_refused() {
    for (config, refuses) in [("", false), ("strict_fields = true\n", true)] {
        let env = without_vimeo(config).await;
        let id = create(&env, &env.valid_body("fields")).await;
        for (name, near) in [
            ("Name", "name"),
            ("client_secret", "clientSecret"),
            ("versoin", "version"),
            ("enable", "enabled"),
        ] {
            let answer = put_text(&env, &id, &[], &format!("{{\"version\":1,\"{name}\":1}}")).await;
            let errors = format!("is not a known field; did you mean {near}?");
            assert_eq!((answer.status.as_u16(), answer.text), (400, faulty(name, &errors)), "{name}");
        }
        let answer = put(&env, &id, &json!({"version": 1, "folder_uri": 1, "a b": 2})).await;
        if refuses {
            assert_eq!(answer.fields().len(), 2, "{}", answer.text);
            assert_eq!(fetch(&env, &id).await["version"], 1);
        } else {
            assert_eq!(answer.status, 200, "{}", answer.text);
            let mut named: Vec<_> = answer.header("x-ignored-fields").split(", ").collect();
            named.sort_unstable();
            assert_eq!(named, ["?", "folder_uri"]);
            let stale = put(&env, &id, &json!({"version": 1, "folder_uri": 1})).await;
            assert_eq!((stale.status.as_u16(), stale.header("x-ignored-fields")), (409, "folder_uri"));
        }
    }
}
