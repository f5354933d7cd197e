//! Verification of credentials: each kind of wrong credential has its own exact response, and nothing is stored.
//! `verification_failures.rs` covers failures of Vimeo, `verification_requests.rs` the requests.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::harness::TestEnv;
use crate::support::verification::{
    CLIENT_UNKNOWN, Expected, NO_USER, OTHER_APP, SECRET_WRONG, TOKEN_UNKNOWN, VERIFY, assert_row, body_with,
    create_token, lacks, long_budget, long_budget_with, rejected,
};

/// Several errors of the access token, in one text.
fn token_faults(faults: &[&str]) -> Expected {
    Expected::Rejected(vec![("accessToken", faults.join("; and "))])
}

/// Revokes a token at Vimeo, as its user would.
async fn revoke(env: &TestEnv, token: &str) {
    let url = format!("{}/tokens", env.sandbox.base_url);
    let answer = env.http.delete(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_client_or_token_has_its_own_response() {
    let env = TestEnv::with(long_budget()).await;
    let env = &env;
    let other = env.control(Method::POST, "apps", json!({"name": "Other"})).await;
    let other_id = other["client_id"].as_str().unwrap();
    let other_secret = other["client_secret"].as_str().unwrap();
    let others_token = create_token(env, Some(other_id), "public private upload edit", true).await;
    let revoked_token = create_token(env, None, "public private upload edit", true).await;
    revoke(env, &revoked_token).await;
    let app_token = create_token(env, None, "public private upload edit", false).await;
    let small_app_token = create_token(env, None, "public", false).await;
    let others_app_token = create_token(env, Some(other_id), "public", false).await;
    let others_small_token = create_token(env, Some(other_id), "public upload", true).await;
    let small_token = create_token(env, None, "public private", true).await;
    let unknown = "0123456789abcdef0123456789abcdef01234567";
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
        ("unknown client", vec![client(unknown)], rejected(&[CLIENT_UNKNOWN])),
        ("wrong secret", vec![secret("guess")], rejected(&[SECRET_WRONG])),
        ("another app's secret", vec![secret(other_secret)], rejected(&[SECRET_WRONG])),
        ("another app's identifier", vec![client(other_id)], rejected(&[SECRET_WRONG])),
        ("unknown client, wrong secret", vec![client(unknown), secret("guess")], rejected(&[CLIENT_UNKNOWN])),
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
        ("unknown client, unknown token", vec![client(unknown), access(stale)], rejected(&[CLIENT_UNKNOWN, TOKEN_UNKNOWN])),
        ("wrong secret, revoked token", vec![secret("guess"), access(&revoked_token)], rejected(&[SECRET_WRONG, TOKEN_UNKNOWN])),
        ("all three wrong", vec![client(unknown), secret("guess"), access(stale)], rejected(&[CLIENT_UNKNOWN, TOKEN_UNKNOWN])),
        ("wrong secret, lacking scopes", vec![secret("guess"), access(&small_token)], rejected(&[SECRET_WRONG, ("accessToken", &lacks("upload, edit"))])),
        ("wrong secret, no user", vec![secret("guess"), access(&app_token)], rejected(&[SECRET_WRONG, NO_USER])),
        // The app of a token cannot be compared while the client is unknown.
        ("unknown client, another app's token", vec![client(unknown), access(&others_token)], rejected(&[CLIENT_UNKNOWN])),
        ("another app, whole", vec![client(other_id), secret(other_secret), access(&others_token)], Expected::Created),
        ("another app, the first's token", vec![client(other_id), secret(other_secret)], rejected(&[OTHER_APP])),
    ];
    for (what, changes, expected) in rows {
        assert_row(env, what, &body_with(env, &changes), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_scope_is_named() {
    let env = TestEnv::with(long_budget()).await;
    for (scopes, lacking) in [
        ("public private upload edit", None),
        ("private upload edit", None),
        ("edit upload private delete interact stats", None),
        // The scope of the documentation, which Vimeo does not have, makes no difference.
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
        let access_token = create_token(&env, None, scopes, true).await;
        let expected = lacking.map_or(Expected::Created, |lacking| token_faults(&[&lacks(lacking)]));
        assert_row(&env, scopes, &body_with(&env, &[("accessToken", &access_token)]), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_scopes_are_configurable() {
    let env = TestEnv::with(long_budget_with(
        "vimeo.required_scopes = [\"video_files\", \"stats\", \"private\"]\n",
    ))
    .await;
    for (scopes, lacking) in [
        ("video_files stats private", None),
        ("public private upload edit", Some("video_files, stats")),
        ("video_files", Some("stats, private")),
        ("stats private", Some("video_files")),
    ] {
        let access_token = create_token(&env, None, scopes, true).await;
        let expected = lacking.map_or(Expected::Created, |lacking| token_faults(&[&lacks(lacking)]));
        assert_row(&env, scopes, &body_with(&env, &[("accessToken", &access_token)]), &expected, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_token_suffices_if_only_public_is_required() {
    let env = TestEnv::with(long_budget_with("vimeo.required_scopes = [\"public\"]\n")).await;
    let public = create_token(&env, None, "public", true).await;
    assert_row(&env, "public", &body_with(&env, &[("accessToken", &public)]), &Expected::Created, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_audited_once_with_its_code_and_a_failure_never() {
    let env = TestEnv::with(long_budget()).await;
    assert_eq!(env.post(&env.valid_body("taken")).await.status, StatusCode::CREATED);
    assert_eq!(env.post(&env.valid_body("taken")).await.code(), "CONNECTION_NAME_EXISTS");
    let wrong = body_with(&env, &[("clientSecret", "guess")]);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_credential_in_quotes_is_reported_as_such() {
    let env = TestEnv::start().await;
    let quoted = |text: &str| format!("\"{text}\"");
    let body = body_with(
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
