//! Signing in at a real provider.

use reqwest::StatusCode;

use super::browser::Browser;
use super::provider::{Decision, RealProvider};
use super::{SIGN_IN, assert_refused, audited, service, sessions};
use crate::support::harness::{TestEnv, until};

const ACME: &str = "oidc.account = \"acme\"\n";

/// Signs in; the response to the callback.
async fn sign_in(browser: &mut Browser, env: &TestEnv, login: &str) -> super::Page {
    let start = browser.get(&env.url(SIGN_IN)).await;
    assert_eq!(start.status, StatusCode::SEE_OTHER, "{}", start.text);
    let callback = browser.at_provider(env, &start.location, (login, Decision::Consent)).await;
    browser.get(&callback).await
}

async fn sign_in_with_key(browser: &mut Browser, env: &TestEnv) -> super::Page {
    let page = browser.get(&env.url("/dashboard/sign-in")).await;
    let token = page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = [("csrf", token), ("key", &*env.api_key), ("next", "")];
    browser.post(&env.url("/dashboard/sign-in"), &form).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_with_the_role_of_their_groups() {
    let Some(provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, ACME).await;
    let page = Browser::new().get(&env.url("/dashboard/sign-in?next=%2Fdashboard%2Fsettings")).await;
    assert!(page.text.contains("Continue with Example ID"), "{}", page.text);
    assert!(page.text.contains("/dashboard/sign-in/oidc?next=%2Fdashboard%2Fsettings"), "{}", page.text);
    for (index, (login, person, role)) in [
        ("olga+staff+admins", "olga", "owner"),
        ("max+editors+other", "max", "member"),
        ("rita+staff", "rita", "read-only"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut browser = Browser::new();
        let page = sign_in(&mut browser, &env, login).await;
        assert_eq!(page.location, env.url("/dashboard/settings"), "{}", page.text);
        assert_eq!(browser.cookie(&env.url(""), "__Host-oidc"), None, "an attempt is used once");
        let settings = browser.get(&page.location).await;
        assert_eq!(settings.status, StatusCode::OK);
        assert!(settings.text.contains(person), "{}", settings.text);
        let keys = browser.get(&env.url("/dashboard/keys")).await;
        let expected = if role == "owner" { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(keys.status, expected, "{role}");
        let stored = sessions(&env).pop().unwrap();
        let named = format!("{person} ({person}@example.com)");
        assert_eq!((&*stored.method, &*stored.role, &*stored.person), ("oidc", role, &*named));
        assert_eq!(stored.subject, format!("{}#{login}", provider.issuer));
        assert_eq!(audited(&env, "sign_in"), u32::try_from(index).unwrap() + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_without_a_role_or_an_account_are_not_signed_in() {
    let Some(provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, "oidc.account_claim = \"tenants\"\n").await;
    for login in ["anna+guests@acme", "anna@acme", "anna+admins@elsewhere", "anna+admins"] {
        let mut browser = Browser::new();
        let page = sign_in(&mut browser, &env, login).await;
        assert_refused(&page, StatusCode::FORBIDDEN, "You have no access yet", &browser, &env);
        let reason = if login.contains("admins") { "no account that exists" } else { "none of your groups" };
        assert!(page.text.contains(reason), "{login}: {}", page.text);
    }
    assert!(sessions(&env).is_empty());
    assert!(!env.log().contains("anna"), "the log names no person");
    // The first of the claim's accounts that exists.
    let page = sign_in(&mut Browser::new(), &env, "anna+admins@acme").await;
    assert_eq!(page.location, env.url("/dashboard/settings"), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_declines_is_not_signed_in() {
    let Some(provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, ACME).await;
    let mut browser = Browser::new();
    let start = browser.get(&env.url(SIGN_IN)).await;
    let callback = browser.at_provider(&env, &start.location, ("anna", Decision::Decline)).await;
    let page = browser.get(&callback).await;
    assert_refused(&page, StatusCode::FORBIDDEN, "You were not signed in", &browser, &env);
    assert!(page.text.contains("You declined at Example ID"), "{}", page.text);
    // Who starts again arrives where they wanted to go at first.
    assert!(page.text.contains(&format!("href=\"{SIGN_IN}\"")), "{}", page.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_works_once_and_only_in_its_browser() {
    let Some(provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, ACME).await;
    let (mut browser, mut other) = (Browser::new(), Browser::new());
    let start = browser.get(&env.url(SIGN_IN)).await;
    other.get(&env.url(SIGN_IN)).await;
    let attempt = browser.cookie(&env.url(""), "__Host-oidc").unwrap().to_owned();
    let callback = browser.at_provider(&env, &start.location, ("anna+staff", Decision::Consent)).await;
    let title = "This sign-in has ended";
    for other in [&mut other, &mut Browser::new()] {
        let page = other.get(&callback).await;
        assert_refused(&page, StatusCode::BAD_REQUEST, title, other, &env);
    }
    assert!(other.cookie(&env.url(""), "__Host-oidc").is_some(), "the other attempt can continue");
    // A cookie that was changed: another nonce, another path.
    let changed = attempt.replace("settings", "webhooks");
    assert_ne!(changed, attempt);
    browser.set_cookie(&env.url(""), "__Host-oidc", &changed);
    let page = browser.get(&callback).await;
    assert_refused(&page, StatusCode::BAD_REQUEST, title, &browser, &env);

    browser.set_cookie(&env.url(""), "__Host-oidc", &attempt);
    browser.set_cookie(&env.url(""), "__Host-session", "a-token-that-someone-else-chose");
    let page = browser.get(&callback).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);
    let session = browser.cookie(&env.url(""), "__Host-session").unwrap();
    assert_ne!(session, "a-token-that-someone-else-chose");
    let mut replay = Browser::new();
    let page = replay.get(&callback).await;
    assert_refused(&page, StatusCode::BAD_REQUEST, title, &replay, &env);
    // With the cookie, too: the provider accepts a code once.
    replay.set_cookie(&env.url(""), "__Host-oidc", &attempt);
    let page = replay.get(&callback).await;
    assert_refused(&page, StatusCode::FORBIDDEN, "You were not signed in", &replay, &env);
    assert_eq!(sessions(&env).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_after_the_provider_was_down_and_has_other_keys() {
    let Some(mut provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, ACME).await;
    provider.stop();
    let mut browser = Browser::new();
    let page = browser.get(&env.url(SIGN_IN)).await;
    let title = "Signing in is not possible at the moment";
    assert_refused(&page, StatusCode::SERVICE_UNAVAILABLE, title, &browser, &env);
    assert!(page.text.contains("Example ID cannot be reached"), "{}", page.text);
    assert!(page.text.contains("sign in with an API key"), "{}", page.text);
    let page = sign_in_with_key(&mut browser, &env).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.text);

    provider.restart();
    until("the provider is asked again", async || {
        Browser::new().get(&env.url(SIGN_IN)).await.status == StatusCode::SEE_OTHER
    })
    .await;
    for _ in 0..2 {
        let page = sign_in(&mut Browser::new(), &env, "anna+staff").await;
        assert_eq!(page.location, env.url("/dashboard/settings"), "{}", page.text);
        // The service has the discovery document with the keys of before.
        provider.restart();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_confirms_who_they_are_at_the_provider() {
    let Some(provider) = RealProvider::start() else { return };
    let env = service(&provider.issuer, ACME).await;
    let mut browser = Browser::new();
    sign_in(&mut browser, &env, "olga+admins").await;
    let before = sessions(&env).pop().unwrap();
    let token = browser.cookie(&env.url(""), "__Host-session").unwrap().to_owned();
    let page = browser.get(&env.url("/dashboard/confirm?next=%2Fdashboard%2Fkeys")).await;
    let link = "/dashboard/confirm/oidc?next=%2Fdashboard%2Fkeys";
    assert!(page.text.contains(link) && page.text.contains("Continue with Example ID"), "{}", page.text);

    // They are still signed in at the provider, and sign in again.
    let start = browser.get(&env.url(link)).await;
    assert!(start.location.contains("prompt=login") && start.location.contains("max_age=0"), "{start:?}");
    let callback = browser.at_provider(&env, &start.location, ("olga+admins", Decision::Consent)).await;
    let page = browser.get(&callback).await;
    assert_eq!(page.location, env.url("/dashboard/keys"), "{}", page.text);
    let after = sessions(&env).pop().unwrap();
    assert!(after.authenticated_at > before.authenticated_at);
    assert_eq!((&after.id, &after.subject, sessions(&env).len()), (&before.id, &before.subject, 1));
    assert_ne!(browser.cookie(&env.url(""), "__Host-session"), Some(&*token), "the token changes");
    assert_eq!(audited(&env, "confirm_session"), 1);

    // Who declines can start again, or use a key.
    let start = browser.get(&env.url(link)).await;
    let callback = browser.at_provider(&env, &start.location, ("olga+admins", Decision::Decline)).await;
    let page = browser.get(&callback).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    for href in [link, "/dashboard/confirm?next=%2Fdashboard%2Fkeys"] {
        assert!(page.text.contains(&format!("href=\"{href}\"")), "{}", page.text);
    }
    assert_eq!(sessions(&env), std::slice::from_ref(&after));

    // Signing in again leaves no session behind.
    let again = sign_in(&mut browser, &env, "olga+admins").await;
    assert_eq!(again.location, env.url("/dashboard/settings"), "{}", again.text);
    let ended = env.database().query_row(
        "SELECT count(*) FROM dashboard_sessions WHERE state = 'ended'",
        [],
        |row| row.get::<_, u32>(0),
    );
    assert_eq!(ended, Ok(1));
    let after = sessions(&env).pop().unwrap();

    // Another person proves nothing about this one.
    browser.forget(&provider.issuer);
    let start = browser.get(&env.url(link)).await;
    let callback = browser.at_provider(&env, &start.location, ("max+admins", Decision::Consent)).await;
    let page = browser.get(&callback).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("That was another person"), "{}", page.text);
    assert_eq!(sessions(&env).pop(), Some(after));

    // A session that came otherwise is not confirmed there.
    let mut by_key = Browser::new();
    sign_in_with_key(&mut by_key, &env).await;
    let page = by_key.get(&env.url("/dashboard/confirm")).await;
    assert!(page.status == StatusCode::OK && !page.text.contains("Continue with"), "{}", page.text);
}
