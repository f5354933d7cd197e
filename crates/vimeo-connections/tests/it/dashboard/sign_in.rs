//! Signing in with a key and with a link, confirming an identity, and the end of sessions.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::session::{Browser, csrf, field_error};
use crate::support::harness::{ACCOUNT, TestEnv};

pub(super) const SIGN_IN: &str = "/dashboard/sign-in";
const CONNECTIONS: &str = "/dashboard/connections";
const KEYS: &str = "/dashboard/keys";

/// A new sign-in link: its path.
pub(super) fn link(env: &TestEnv, role: &str) -> String {
    let arguments = ["accounts", "sign-in-link", ACCOUNT, "--person", "Anna", "--role", role, "--json"];
    let output = env.cli(&arguments, "");
    let created: Value = serde_json::from_slice(&output.stdout).unwrap();
    created["path"].as_str().unwrap().to_owned()
}

/// A browser whose person has signed in with a new link.
pub(super) async fn with_link(env: &TestEnv, role: &str) -> Browser {
    let (mut browser, path) = (Browser::new(env), link(env, role));
    let answer = browser.submit(&path, &path, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    browser
}

/// What the account's audit log says, newest first: the actor, the action and the result.
pub(super) async fn audited(env: &TestEnv) -> Vec<String> {
    let events = env.get("/pictoryapis/v1/audit-events").await.json();
    let line = |event: &Value| {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
        format!("{} {} {}", text("/actor/keyName"), text("/action"), text("/errorCode"))
    };
    events["items"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_signs_in_with_a_key_and_out_again() {
    let env = TestEnv::without_verification("").await;
    let mut browser = Browser::new(&env);
    assert_eq!(browser.get("/dashboard").await.header("location"), CONNECTIONS);
    let asked = browser.get("/dashboard/keys?page=x").await;
    assert_eq!(asked.header("location"), "/dashboard/sign-in?next=%2Fdashboard%2Fkeys%3Fpage%3Dx");
    let next = [("key", &*env.api_key), ("next", KEYS)];
    let answer = browser.submit(asked.header("location"), SIGN_IN, &next).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, KEYS));
    let page = browser.page(KEYS).await;
    assert!(page.contains(ACCOUNT) && !page.contains(&env.api_key), "{page}");
    assert!(audited(&env).await[0].ends_with("sign_in -"));

    // Signing in again leaves no session behind, with a key or a link.
    let (link, mut old) = (link(&env, "owner"), Browser::new(&env));
    for (page, fields) in [(SIGN_IN, &next[..]), (&link, &[])] {
        old.set_cookies(&browser.cookies());
        browser.submit(page, page, fields).await;
        browser.page(KEYS).await;
        assert_eq!(old.get(KEYS).await.status, StatusCode::SEE_OTHER);
    }

    let answer = browser.submit(KEYS, "/dashboard/sign-out", &[]).await;
    assert_eq!(answer.header("clear-site-data"), "\"cache\"");
    let page = browser.follow(&answer).await;
    assert!(page.contains("signed out"), "{page}");
    assert_eq!(browser.get(KEYS).await.status, StatusCode::SEE_OTHER);
    assert!(audited(&env).await[0].ends_with("sign_out -"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_not_accepted_signs_no_one_in() {
    let env = TestEnv::without_verification("").await;
    let mut browser = Browser::new(&env);
    let expired = env.make_key(ACCOUNT, &["--expires-in-days", "0"]);
    for key in ["", "nonsense", "pictai_0123456789abcdef", &*expired] {
        let answer = browser.submit(SIGN_IN, SIGN_IN, &[("key", key)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
        assert!(field_error(&answer.text, "key").unwrap().contains("is not accepted"), "{}", answer.text);
        assert!(key.is_empty() || !answer.text.contains(key), "it is not echoed");
        assert_eq!(browser.get(CONNECTIONS).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_signs_one_person_in_once_with_its_role() {
    let env = TestEnv::without_verification("").await;
    let path = link(&env, "read-only");
    let (mut first, mut second) = (Browser::new(&env), Browser::new(&env));
    // Looking at it does not use it.
    for _ in 0..3 {
        let page = second.page(&path).await;
        assert!(page.contains("Anna") && page.contains(ACCOUNT) && page.contains("Read-only"), "{page}");
    }
    let answer = first.submit(&path, &path, &[]).await;
    assert_eq!(answer.header("location"), CONNECTIONS);
    let page = first.page(CONNECTIONS).await;
    assert!(page.contains("Anna") && page.contains("Read-only in"), "{page}");
    assert!(!page.contains(">API keys<") && page.contains(">Audit<"), "{page}");
    assert_eq!(first.get(KEYS).await.status, StatusCode::FORBIDDEN);
    let token = path.rsplit('/').next().unwrap();
    assert!(!first.cookies().contains(token.rsplit('.').next().unwrap()), "the session has its own token");
    // Used, and the same answer as for a link that never existed.
    let used = second.get(&path).await;
    let unknown = second.get("/dashboard/sign-in/link/nonsense").await;
    assert_eq!((used.status, unknown.status), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(used.text, unknown.text);
    assert!(audited(&env).await.contains(&"Anna sign_in -".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_use_a_link_at_once_one_is_signed_in() {
    let env = TestEnv::without_verification("").await;
    let path = link(&env, "owner");
    let mut browsers: Vec<_> = (0..8).map(|_| Browser::new(&env)).collect();
    let mut tokens = Vec::new();
    for browser in &mut browsers {
        tokens.push(csrf(&browser.page(&path).await));
    }
    let forms: Vec<_> = tokens.iter().map(|token| [("csrf", token.as_str())]).collect();
    let uses = browsers.iter_mut().zip(&forms).map(|(browser, form)| browser.post(&path, form));
    let answers = futures_util::future::join_all(uses).await;
    let signed_in = answers.iter().filter(|answer| answer.status == StatusCode::SEE_OTHER).count();
    assert_eq!(signed_in, 1);
    assert!(answers.iter().all(|a| a.status == StatusCode::SEE_OTHER || a.status == StatusCode::NOT_FOUND));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_key_at_once() {
    let env = TestEnv::without_verification("").await;
    let key = env.make_key(ACCOUNT, &["--name", "temporary"]);
    let mut browser = Browser::signed_in(&env, &key).await;
    browser.page(CONNECTIONS).await;
    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    let id = keys["items"].as_array().unwrap().last().unwrap()["keyId"].as_str().unwrap().to_owned();
    let revoked = env.send(Method::DELETE, &format!("/pictoryapis/v1/api-keys/{id}"), &[], Vec::new()).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get(CONNECTIONS).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_not_recent_confirms_who_it_is_before_a_key_is_made() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    let page = browser.page(KEYS).await;
    assert!(page.contains("action=\"/dashboard/keys\""), "a new session is recent: {page}");
    let token = csrf(&page);
    // As if eleven minutes had passed. The row no longer verifies, which ends the session instead.
    let moved = "UPDATE dashboard_sessions SET authenticated_at = authenticated_at - 660000000";
    env.database().execute(moved, []).unwrap();
    let fields = [("csrf", &*token), ("name", "ci"), ("scopes", "uploads:read")];
    assert!(browser.post(KEYS, &fields).await.header("location").starts_with(SIGN_IN), "tampered");
    assert!(env.log().contains("the row of a session was not written by this service"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_needs_a_key_of_the_account_that_allows_as_much_and_renews_the_token() {
    let env = TestEnv::without_verification("").await;
    env.cli(&["accounts", "create", "other"], "");
    let (foreign, weak) = (env.make_key("other", &[]), env.make_key(ACCOUNT, &["--scopes", "uploads:read"]));
    let mut browser = with_link(&env, "owner").await;
    let page = "/dashboard/confirm?next=/dashboard/keys";
    for key in ["nonsense", &*foreign, &*weak] {
        let answer = browser.submit(page, "/dashboard/confirm", &[("key", key)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(field_error(&answer.text, "key").is_some(), "{}", answer.text);
    }
    let last_seen = || {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        env.database().query_row("SELECT last_seen_at FROM dashboard_sessions", [], read).unwrap()
    };
    let seen_before = last_seen();
    env.database()
        .execute("UPDATE dashboard_sessions SET last_seen_at = last_seen_at - 30000000", [])
        .unwrap();
    let before = browser.cookies();
    let elsewhere = csrf(&browser.page(KEYS).await);
    let answer = browser.submit(page, "/dashboard/confirm", &[("key", &env.api_key)]).await;
    assert!(last_seen() >= seen_before, "a confirmation is a request");
    assert_eq!(answer.header("location"), KEYS);
    assert_ne!(browser.cookies(), before);
    // The forms in other tabs can still be sent.
    assert_eq!(csrf(&browser.page(KEYS).await), elsewhere);
    browser.set_cookies(&before);
    assert_eq!(browser.get(KEYS).await.status, StatusCode::SEE_OTHER, "the token before is worth nothing");
    assert!(audited(&env).await.contains(&"Anna confirm_session -".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_and_one_whose_time_is_up_end() {
    let env = TestEnv::without_verification("dashboard.idle_minutes = 1\n").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    browser.page(CONNECTIONS).await;
    // The last request is not authenticated: nothing but this depends on it.
    env.database()
        .execute("UPDATE dashboard_sessions SET last_seen_at = last_seen_at - 61000000", [])
        .unwrap();
    assert_eq!(browser.get(CONNECTIONS).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_dashboard_the_service_has_only_its_api() {
    let env = TestEnv::without_verification("dashboard.enabled = false\n").await;
    for path in ["/", "/dashboard", SIGN_IN] {
        let answer = env.get(path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "NOT_FOUND".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_that_opens_the_address_of_the_service_comes_to_the_dashboard() {
    let env = TestEnv::without_verification("").await;
    let page = env.send(Method::GET, "/", &[("accept", "text/html,*/*;q=0.8")], Vec::new()).await;
    assert!(page.text.contains("action=\"/dashboard/sign-in\""), "{}", page.text);
    let client = env.get("/").await;
    assert_eq!((client.status, client.code()), (StatusCode::NOT_FOUND, "NOT_FOUND".to_owned()));
}
