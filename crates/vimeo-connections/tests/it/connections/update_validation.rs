//! Updates that are refused: versions, `If-Match`, unknown connections and fields, and the order of the checks.

use std::cell::Cell;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::connections::{NO_CONNECTION, create, fetch, invalid_field, put, put_text, stored_row};
use crate::support::harness::TestEnv;
use crate::support::verification::{journal, wait_for_revocations};

pub(crate) const VERSION: &str = "must be a whole number from 1 to 9007199254740991";

pub(crate) fn conflict(current: u64) -> String {
    format!(
        r#"{{"code":"VERSION_CONFLICT","message":"The connection has changed since you read it. Nothing was changed.","currentVersion":{current}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn the_version_must_be_a_whole_number_and_current() {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("versions")).await;
    let missing = put_text(&env, &id, &[], "{}").await;
    assert_eq!((missing.status.as_u16(), missing.text), (400, invalid_field("version", "is required")));
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
        assert_eq!((answer.status.as_u16(), answer.text), (400, invalid_field("version", VERSION)), "{bad}");
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
pub(crate) async fn if_match_must_agree_with_the_version_in_the_body() {
    let env = TestEnv::without_verification("").await;
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
    // Errors of the body come first, then the header, then the current version.
    let first = put_text(&env, &id, &[("if-match", "\"9\"")], "{\"version\":\"8\"}").await;
    assert_eq!(first.text, invalid_field("version", VERSION));
    let second = put_text(&env, "unknown", &[("if-match", "\"9\"")], "{\"version\":8}").await;
    assert_eq!(second.text, refused);
    assert_eq!(fetch(&env, &id).await["version"], 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn unknown_and_foreign_connections_cannot_be_updated() {
    let env = TestEnv::without_verification("").await;
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
pub(crate) async fn the_first_failed_check_of_an_update_determines_the_response() {
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
    // All errors of the body are reported together.
    let faults = put(&env, &id, &json!({"name": 1, "enabled": "x", "accesToken": "t", "version": 0})).await;
    let names: Vec<_> = faults.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["name", "enabled", "version", "accesToken"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn unknown_fields_of_an_update_are_reported_or_rejected() {
    for (config, refuses) in [("", false), ("strict_fields = true\n", true)] {
        let env = TestEnv::without_verification(config).await;
        let id = create(&env, &env.valid_body("fields")).await;
        for (name, near) in [
            ("Name", "name"),
            ("client_secret", "clientSecret"),
            ("versoin", "version"),
            ("enable", "enabled"),
        ] {
            let answer = put_text(&env, &id, &[], &format!("{{\"version\":1,\"{name}\":1}}")).await;
            let errors = format!("is not a known field; did you mean {near}?");
            assert_eq!((answer.status.as_u16(), answer.text), (400, invalid_field(name, &errors)), "{name}");
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
