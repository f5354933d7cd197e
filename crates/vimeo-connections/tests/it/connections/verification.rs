//! The truth table of credentials: each kind of wrong one gives its own exact answer, and nothing is stored.
//! What Vimeo's own failures give is in `vimeo_failures.rs`, how Vimeo is spoken to in `vimeo_talk.rs`.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::harness::{Response, TestEnv};

pub(crate) const GRANT: &str = "POST /oauth/authorize/client";
pub(crate) const VERIFY: &str = "GET /oauth/verify";
pub(crate) const REVOKE: &str = "DELETE /tokens";

/// How long a test waits for something that must come.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

pub(crate) const CLIENT_UNKNOWN: (&str, &str) = (
    "clientIdentifier",
    "is not known to Vimeo; copy the client identifier from the app's page at developer.vimeo.com",
);
pub(crate) const CLIENT_REJECTED: (&str, &str) = (
    "clientIdentifier",
    "was refused by Vimeo together with the client secret; copy both from the same app's page",
);
pub(crate) const SECRET_WRONG: (&str, &str) = (
    "clientSecret",
    "does not belong to the client identifier; copy the client secret from the same app's page",
);
pub(crate) const TOKEN_UNKNOWN: (&str, &str) =
    ("accessToken", "is unknown to Vimeo, expired or revoked; generate a new one on the app's page");
pub(crate) const NO_USER: (&str, &str) = (
    "accessToken",
    "is not bound to a Vimeo user; generate an authenticated token (you), not an unauthenticated one",
);
pub(crate) const OTHER_APP: (&str, &str) =
    ("accessToken", "belongs to another app than the client identifier; use the token of the same app");

/// What a row of a table must give.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Created,
    /// 422 with these fields, in this order.
    Rejected(Vec<(&'static str, String)>),
    /// 503, to be asked again in so many seconds.
    Unavailable(u64),
}

/// One fault, or several of different fields.
pub(crate) fn rejected(faults: &[(&'static str, &str)]) -> Expected {
    Expected::Rejected(faults.iter().map(|(name, errors)| (*name, (*errors).to_owned())).collect())
}

/// What is said of a token that lacks these scopes.
pub(crate) fn lacks(scopes: &str) -> String {
    if scopes.contains(", ") {
        format!("lacks the scopes {scopes}; generate a new one with these scopes added")
    } else {
        format!("lacks the scope {scopes}; generate a new one with this scope added")
    }
}

/// Several faults of the access token, told in one text.
fn token_faults(faults: &[&str]) -> Expected {
    Expected::Rejected(vec![("accessToken", faults.join("; and "))])
}

/// A client that is unknown or wrong, to be put into a good body.
pub(crate) fn with(env: &TestEnv, changes: &[(&str, &str)]) -> Value {
    let mut body = env.valid_body("a row");
    for (field, value) in changes {
        body[*field] = json!(value);
    }
    body
}

/// How much is stored: rows of connections, of their keys, and of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) connections: usize,
    pub(crate) sealing_keys: usize,
    pub(crate) events: usize,
}

pub(crate) fn footprint(env: &TestEnv) -> Footprint {
    let database = env.database();
    let count = |sql| database.query_row(sql, [], |row| row.get(0)).unwrap();
    Footprint {
        connections: count("SELECT count(*) FROM connections"),
        sealing_keys: count("SELECT count(*) FROM sealing_keys"),
        events: count("SELECT count(*) FROM audit_events WHERE action = 'create_connection'"),
    }
}

/// The requests that the sandbox was asked, oldest first.
pub(crate) async fn journal(env: &TestEnv) -> Vec<Value> {
    env.control(Method::GET, "journal", Value::Null).await["requests"].as_array().unwrap().clone()
}

/// The requests of one route.
pub(crate) async fn asked(env: &TestEnv, route: &str) -> Vec<Value> {
    journal(env).await.into_iter().filter(|request| request["route"] == route).collect()
}

/// Waits until every grant was answered, even one that is late, and all but `lost` of the tokens are revoked.
pub(crate) async fn settle(env: &TestEnv, lost: usize) {
    let started = Instant::now();
    loop {
        let grants = asked(env, GRANT).await;
        let is_cut = |fault: &Value| ["cut", "cut-after", "reset"].iter().any(|cut| fault == cut);
        let late =
            grants.iter().filter(|grant| grant["status"].is_null() && !is_cut(&grant["fault"])).count();
        let tokens = env.control(Method::GET, "tokens", Value::Null).await;
        let is_stray = |token: &&Value| token["origin"] == "granted" && token["revoked"] == false;
        let strays = tokens["tokens"].as_array().unwrap().iter().filter(is_stray).count();
        if late == 0 && strays == lost {
            return;
        }
        let wait_limit = started.elapsed() < WAIT_LIMIT;
        assert!(wait_limit, "{late} grants are not answered and {strays} tokens are left, not {lost}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A token made by the sandbox; of its first app unless another is named.
pub(crate) async fn token(env: &TestEnv, app: Option<&str>, scopes: &str, user: bool) -> String {
    let app = app.unwrap_or(&env.sandbox.client_id);
    let options = json!({"app": app, "scopes": scopes, "user": user});
    let made = env.control(Method::POST, "tokens", options).await;
    made["access_token"].as_str().unwrap().to_owned()
}

/// Revokes a token at Vimeo, as its user would.
async fn revoke(env: &TestEnv, token: &str) {
    let url = format!("{}/tokens", env.sandbox.base_url);
    let answer = env.http.delete(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

/// The whole answer: status, body, and `Retry-After` exactly where it is due.
pub(crate) fn assert_answer(what: &str, answer: &Response, expected: &Expected) {
    let (status, body, retry_after) = match expected {
        Expected::Created => {
            assert_eq!(answer.status, StatusCode::CREATED, "{what}: {answer:?}");
            assert_eq!(answer.json()["version"], 1, "{what}");
            return;
        }
        Expected::Rejected(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, errors)| format!("{{\"name\":\"{name}\",\"errors\":\"{errors}\"}}"))
                .collect();
            let body = format!(
                "{{\"code\":\"INVALID_VIMEO_CREDENTIALS\",\"message\":\"Vimeo refused the credentials.\",\
                 \"fields\":[{}]}}",
                fields.join(",")
            );
            (StatusCode::UNPROCESSABLE_ENTITY, body, String::new())
        }
        Expected::Unavailable(seconds) => {
            let body =
                "{\"code\":\"VIMEO_UNAVAILABLE\",\"message\":\"Vimeo is unavailable. Nothing was stored.\"}";
            (StatusCode::SERVICE_UNAVAILABLE, body.to_owned(), seconds.to_string())
        }
    };
    assert_eq!((answer.status, answer.text.as_str()), (status, body.as_str()), "{what}");
    assert_eq!(answer.header("retry-after"), retry_after, "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
}

/// One row: the answer, what it left in the database, and what it left at Vimeo. `lost` tokens are such that Vimeo's
/// answer never arrived, so that nobody but Vimeo can name them.
pub(crate) async fn row(env: &TestEnv, what: &str, body: &Value, expected: &Expected, lost: usize) {
    let before = footprint(env);
    let mut body = body.clone();
    body["name"] = json!(format!("row {}", before.connections));
    let answer = env.post(&body).await;
    assert_answer(what, &answer, expected);
    settle(env, lost).await;
    let Footprint { connections, sealing_keys, events } = before;
    let after = match expected {
        Expected::Created => {
            Footprint { connections: connections + 1, sealing_keys: sealing_keys + 1, events: events + 1 }
        }
        // A refusal is audited, a failure is not; both store nothing.
        Expected::Rejected(_) => Footprint { events: events + 1, ..before },
        Expected::Unavailable(_) => before,
    };
    assert_eq!(footprint(env), after, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_client_or_token_has_its_own_answer() {
    let env = TestEnv::with(patient()).await;
    let env = &env;
    let other = env.control(Method::POST, "apps", json!({"name": "Other"})).await;
    let other_id = other["client_id"].as_str().unwrap();
    let other_secret = other["client_secret"].as_str().unwrap();
    let others_token = token(env, Some(other_id), "public private upload edit", true).await;
    let revoked_token = token(env, None, "public private upload edit", true).await;
    revoke(env, &revoked_token).await;
    let app_token = token(env, None, "public private upload edit", false).await;
    let small_app_token = token(env, None, "public", false).await;
    let others_app_token = token(env, Some(other_id), "public", false).await;
    let others_small_token = token(env, Some(other_id), "public upload", true).await;
    let small_token = token(env, None, "public private", true).await;
    let nobody = "0123456789abcdef0123456789abcdef01234567";
    let stale = "0123456789abcdef0123456789abcdef";
    let loud = env.sandbox.access_token.to_uppercase();
    let all = lacks("private, upload, edit");
    let (no_user, other_app) = (NO_USER.1, OTHER_APP.1);

    let client = |value| ("clientIdentifier", value);
    let secret = |value| ("clientSecret", value);
    let access = |value| ("accessToken", value);
    #[rustfmt::skip]
    let rows = [
        ("good", vec![], Expected::Created),
        ("unknown client", vec![client(nobody)], rejected(&[CLIENT_UNKNOWN])),
        ("wrong secret", vec![secret("guess")], rejected(&[SECRET_WRONG])),
        ("another app's secret", vec![secret(other_secret)], rejected(&[SECRET_WRONG])),
        ("another app's identifier", vec![client(other_id)], rejected(&[SECRET_WRONG])),
        ("unknown client, wrong secret", vec![client(nobody), secret("guess")], rejected(&[CLIENT_UNKNOWN])),
        ("identifier and secret swapped", vec![client(&env.sandbox.client_secret), secret(&env.sandbox.client_id)], rejected(&[CLIENT_UNKNOWN])),
        ("unknown token", vec![access(stale)], rejected(&[TOKEN_UNKNOWN])),
        ("revoked token", vec![access(&revoked_token)], rejected(&[TOKEN_UNKNOWN])),
        ("token in capitals", vec![access(&loud)], rejected(&[TOKEN_UNKNOWN])),
        ("the secret as token", vec![access(&env.sandbox.client_secret)], rejected(&[TOKEN_UNKNOWN])),
        ("token without a user", vec![access(&app_token)], rejected(&[NO_USER])),
        ("token without a user or scopes", vec![access(&small_app_token)], token_faults(&[no_user, &all])),
        ("token of another app", vec![access(&others_token)], rejected(&[OTHER_APP])),
        ("token of another app, lacking scopes", vec![access(&others_small_token)], token_faults(&[other_app, &lacks("private, edit")])),
        ("everything wrong with one token", vec![access(&others_app_token)], token_faults(&[no_user, other_app, &all])),
        ("unknown client, unknown token", vec![client(nobody), access(stale)], rejected(&[CLIENT_UNKNOWN, TOKEN_UNKNOWN])),
        ("wrong secret, revoked token", vec![secret("guess"), access(&revoked_token)], rejected(&[SECRET_WRONG, TOKEN_UNKNOWN])),
        ("all three wrong", vec![client(nobody), secret("guess"), access(stale)], rejected(&[CLIENT_UNKNOWN, TOKEN_UNKNOWN])),
        ("wrong secret, lacking scopes", vec![secret("guess"), access(&small_token)], rejected(&[SECRET_WRONG, ("accessToken", &lacks("upload, edit"))])),
        ("wrong secret, no user", vec![secret("guess"), access(&app_token)], rejected(&[SECRET_WRONG, NO_USER])),
        // Whose app it is cannot be compared while the client is unknown.
        ("unknown client, another app's token", vec![client(nobody), access(&others_token)], rejected(&[CLIENT_UNKNOWN])),
        ("another app, whole", vec![client(other_id), secret(other_secret), access(&others_token)], Expected::Created),
        ("another app, the first's token", vec![client(other_id), secret(other_secret)], rejected(&[OTHER_APP])),
    ];
    for (what, changes, expected) in rows {
        row(env, what, &with(env, &changes), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_scope_is_named() {
    let env = TestEnv::with(patient()).await;
    for (scopes, lacking) in [
        ("public private upload edit", None),
        ("private upload edit", None),
        ("edit upload private delete interact stats", None),
        // The documentation's own scope, which Vimeo does not have, neither helps nor hurts.
        ("public private upload edit video", None),
        ("public upload edit", Some("private")),
        ("public private edit", Some("upload")),
        ("public private upload", Some("edit")),
        ("public edit", Some("private, upload")),
        ("public upload", Some("private, edit")),
        ("public private", Some("upload, edit")),
        ("public", Some("private, upload, edit")),
        ("video", Some("private, upload, edit")),
        ("video private", Some("upload, edit")),
        ("video_files private edit", Some("upload")),
    ] {
        let access_token = token(&env, None, scopes, true).await;
        let expected = lacking.map_or(Expected::Created, |lacking| token_faults(&[&lacks(lacking)]));
        row(&env, scopes, &with(&env, &[("accessToken", &access_token)]), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_says_which_scopes_are_needed() {
    let env =
        TestEnv::with(options("vimeo.required_scopes = [\"video_files\", \"stats\", \"private\"]\n")).await;
    for (scopes, lacking) in [
        ("video_files stats private", None),
        ("public private upload edit", Some("video_files, stats")),
        ("video_files", Some("stats, private")),
        ("stats private", Some("video_files")),
    ] {
        let access_token = token(&env, None, scopes, true).await;
        let expected = lacking.map_or(Expected::Created, |lacking| token_faults(&[&lacks(lacking)]));
        row(&env, scopes, &with(&env, &[("accessToken", &access_token)]), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_token_is_enough_where_only_public_is_needed() {
    let env = TestEnv::with(options("vimeo.required_scopes = [\"public\"]\n")).await;
    let public = token(&env, None, "public", true).await;
    row(&env, "public", &with(&env, &[("accessToken", &public)]), &Expected::Created, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_audited_once_under_its_code_and_a_failure_never() {
    let env = TestEnv::with(patient()).await;
    assert_eq!(env.post(&env.valid_body("taken")).await.status, StatusCode::CREATED);
    assert_eq!(env.post(&env.valid_body("taken")).await.code(), "CONNECTION_NAME_EXISTS");
    let wrong = with(&env, &[("clientSecret", "guess")]);
    assert_eq!(env.post(&wrong).await.code(), "INVALID_VIMEO_CREDENTIALS");
    env.inject_fault(json!({"route": VERIFY, "kind": "status", "status": 503})).await;
    assert_eq!(env.post(&env.valid_body("unlucky")).await.code(), "VIMEO_UNAVAILABLE");
    assert_eq!(env.post(&json!({"name": "x"})).await.code(), "INVALID_REQUEST_BODY");
    assert_eq!(env.post(&env.valid_body("another")).await.status, StatusCode::CREATED);

    let database = env.database();
    let mut events = database
        .prepare(
            "SELECT refusal, subject IS NOT NULL, remote, api_key_id IS NOT NULL FROM audit_events
             WHERE action = 'create_connection' ORDER BY audit_event_id",
        )
        .unwrap();
    let events: Vec<(Option<String>, bool, String, bool)> = events
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let event =
        |refusal: Option<&str>| (refusal.map(str::to_owned), refusal.is_none(), "127.0.0.1".to_owned(), true);
    assert_eq!(
        events,
        [
            event(None),
            event(Some("CONNECTION_NAME_EXISTS")),
            event(Some("INVALID_VIMEO_CREDENTIALS")),
            event(None)
        ]
    );
}

/// A world whose answers do not depend on how busy the machine is.
pub(crate) fn patient() -> crate::support::harness::EnvOptions {
    options("")
}

/// A patient world with more configuration.
pub(crate) fn options(config: &str) -> crate::support::harness::EnvOptions {
    crate::support::harness::EnvOptions {
        config: format!("vimeo.budget_seconds = 60\n{config}"),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_in_quotation_marks_says_so() {
    let env = TestEnv::start().await;
    let quoted = |text: &str| format!("\"{text}\"");
    let body = with(
        &env,
        &[
            ("clientSecret", &*quoted(&env.sandbox.client_secret)),
            ("accessToken", &*quoted(&env.sandbox.access_token)),
        ],
    );
    let refused = env.post(&body).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    for field in ["clientSecret", "accessToken"] {
        let fault = refused.fields().into_iter().find(|(name, _)| name == field).unwrap();
        assert!(fault.1.ends_with("is in quotation marks; send it without them"), "{}", refused.text);
    }
    assert_eq!(env.connection_count(), 0);
}
