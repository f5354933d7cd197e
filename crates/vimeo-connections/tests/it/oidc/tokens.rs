//! Which ID tokens are accepted.

use reqwest::{StatusCode, Url};
use serde_json::{Value, json};

use super::browser::{Browser, Page};
use super::fake_provider::{FakeProvider, Signature};
use super::{CLIENT_ID, SIGN_IN, assert_refused, service, sessions};
use crate::support::harness::TestEnv;

const ACCOUNT: &str = "oidc.account = \"acme\"\n";

fn now() -> i64 {
    app::Clock::system().now().as_millis() / 1000
}

/// Starts at a path, and returns with a token that `change` has made from a right one.
async fn attempt(
    (browser, path): (&mut Browser, &str),
    env: &TestEnv,
    provider: &FakeProvider,
    (signature, change): (Signature, Value),
) -> Page {
    let start = browser.get(&env.url(path)).await;
    let url = Url::parse(&start.location).unwrap_or_else(|_| panic!("{}", start.text));
    let parameter = |name: &str| url.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned();
    assert_eq!(parameter("code_challenge_method"), "S256");
    let mut claims = json!({
        "iss": provider.issuer, "aud": CLIENT_ID, "sub": "1", "name": "Anna", "groups": "staff",
        "iat": now(), "exp": now() + 300, "auth_time": now(), "nonce": parameter("nonce"),
    });
    let claims_map = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => claims_map.remove(name),
            value => claims_map.insert(name.clone(), value.clone()),
        };
    }
    provider.issue(&claims, signature);
    browser
        .get(&env.url(&format!("/dashboard/sign-in/oidc/callback?code=x&state={}", parameter("state"))))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_right_token_signs_in() {
    let provider = FakeProvider::start().await;
    let env = service(&provider.issuer, ACCOUNT).await;
    for (signature, change) in [
        (Signature::None, json!({})),
        (Signature::ClientSecret, json!({})),
        (Signature::Forged, json!({})),
        (Signature::Published, json!({"aud": "another-client"})),
        (Signature::Published, json!({"aud": [CLIENT_ID, "another-client"]})),
        (Signature::Published, json!({"azp": "another-client"})),
        (Signature::Published, json!({"iss": "http://127.0.0.1:2"})),
        (Signature::Published, json!({"exp": now() - 120})),
        (Signature::Published, json!({"nonce": "another"})),
        (Signature::Published, json!({"nonce": null})),
        (Signature::Published, json!({"sub": "x".repeat(256)})),
        (Signature::Published, json!({"sub": "a\u{0}"})),
    ] {
        let mut browser = Browser::new();
        let case = format!("{signature:?} {change}");
        let page = attempt((&mut browser, SIGN_IN), &env, &provider, (signature, change)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{case}: {}", page.text);
        assert_refused(&page, StatusCode::FORBIDDEN, "You were not signed in", &browser, &env);
    }
    assert!(sessions(&env).is_empty());
    let page =
        attempt((&mut Browser::new(), SIGN_IN), &env, &provider, (Signature::Published, json!({}))).await;
    assert_eq!(page.location, env.url("/dashboard/settings"), "{}", page.text);
    assert_eq!(sessions(&env).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_needs_a_sign_in_that_came_after_its_start() {
    let provider = FakeProvider::start().await;
    let env = service(&provider.issuer, ACCOUNT).await;
    let mut browser = Browser::new();
    attempt((&mut browser, SIGN_IN), &env, &provider, (Signature::Published, json!({}))).await;
    let before = sessions(&env);
    let confirm = "/dashboard/confirm/oidc?next=%2Fdashboard%2Fsettings";
    for change in [json!({"auth_time": now() - 600}), json!({"auth_time": null})] {
        let page = attempt((&mut browser, confirm), &env, &provider, (Signature::Published, change)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{}", page.text);
        assert_eq!(sessions(&env), before);
    }
    // The role is that of the provider now.
    let change = json!({"groups": ["admins"]});
    let page = attempt((&mut browser, confirm), &env, &provider, (Signature::Published, change)).await;
    assert_eq!(page.location, env.url("/dashboard/settings"), "{}", page.text);
    assert_eq!(sessions(&env)[0].role, "owner");
}
