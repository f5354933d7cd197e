//! Credentials in forms: each refusal of Vimeo is on its field, and nothing that was entered is lost except secrets.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::session::{Browser, field_error};
use crate::support::harness::{COLLECTION, TestEnv};
use crate::support::verification::{create_token, long_budget};

const LIST: &str = "/dashboard/connections";
const NEW: &str = "/dashboard/connections/new";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_vimeo_is_shown_on_its_field() {
    let env = TestEnv::with(long_budget()).await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let other = env.control(Method::POST, "apps", json!({"name": "Other"})).await;
    let others_token =
        create_token(&env, other["client_id"].as_str(), "public private upload edit", true).await;
    let app_token = create_token(&env, None, "public private upload edit", false).await;
    let small_token = create_token(&env, None, "public private", true).await;
    let (id, secret, token) =
        (&*env.sandbox.client_id, &*env.sandbox.client_secret, &*env.sandbox.access_token);
    let unknown = "0123456789abcdef0123456789abcdef01234567";
    let (spaced, quoted) = (format!("{secret} x"), format!("\"{token}\""));
    for (credentials, field, expected) in [
        ([unknown, secret, token], "clientIdentifier", "does not know this client identifier"),
        ([id, "guess-77", token], "clientSecret", "does not accept this client secret"),
        ([id, secret, unknown], "accessToken", "mistyped, expired or revoked"),
        ([id, secret, &app_token], "accessToken", "belongs to no user"),
        ([id, secret, &others_token], "accessToken", "another app"),
        ([id, secret, &small_token], "accessToken", "lacks the scopes upload and edit"),
        ([id, secret, &quoted], "accessToken", "in quotation marks"),
        ([id, &spaced, token], "clientSecret", "must contain only visible ASCII"),
        ([id, "", token], "clientSecret", "The client secret is required."),
        (["", secret, token], "clientIdentifier", "The client identifier is required."),
    ] {
        let [id, secret, token] = credentials;
        let fields = [
            ("name", "Kept name"),
            ("description", "Kept description"),
            ("clientIdentifier", id),
            ("clientSecret", secret),
            ("accessToken", token),
        ];
        let refused = browser.submit(NEW, NEW, &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{expected}");
        let text = &refused.text;
        assert!(field_error(text, field).unwrap().contains(expected), "{expected}: {text}");
        assert!(text.contains("value=\"Kept name\"") && text.contains("Kept description"), "{text}");
        assert!(text.contains(&format!("value=\"{id}\"")) && text.contains("enter them again"), "{text}");
        for value in [secret, token].into_iter().filter(|value| value.len() > 6) {
            assert!(!text.contains(value), "{expected}: a secret was sent back");
        }
    }
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_vimeo_nothing_is_stored_and_the_form_is_kept() {
    let env = TestEnv::start().await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    env.inject_fault(json!({"route": "*", "kind": "html", "times": "always"})).await;
    let fields = [
        ("name", "Kept name"),
        ("enabled", "true"),
        ("clientIdentifier", &*env.sandbox.client_id),
        ("clientSecret", &*env.sandbox.client_secret),
        ("accessToken", &*env.sandbox.access_token),
    ];
    let refused = browser.submit(NEW, NEW, &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("Vimeo could not be reached, so nothing was stored."), "{}", refused.text);
    assert!(refused.text.contains("value=\"Kept name\""));
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_replaced_one_by_one() {
    let env = TestEnv::with(long_budget()).await;
    let api = env.connect("a").await;
    let page = format!("{LIST}/{}", api.rsplit('/').next().unwrap());
    let form = format!("{page}/credentials");
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let id = env.sandbox.client_id.clone();
    let replacing = |version: &'static str, secret: &'static str, token: String| {
        vec![
            ("version", version.to_owned()),
            ("clientIdentifier", id.clone()),
            ("clientSecret", secret.to_owned()),
            ("accessToken", token),
        ]
    };
    let mut send = async |fields: Vec<(&str, String)>| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.submit(&form, &form, &fields).await
    };
    let nothing = send(replacing("1", "", String::new())).await;
    assert!(
        field_error(&nothing.text, "accessToken").unwrap().contains("Nothing was entered"),
        "{}",
        nothing.text
    );
    let wrong = send(replacing("1", "guess-77", String::new())).await;
    assert!(field_error(&wrong.text, "clientSecret").unwrap().contains("does not accept"), "{}", wrong.text);
    assert!(!wrong.text.contains("guess-77") && wrong.text.contains("enter them again"));
    let fresh = create_token(&env, None, "public private upload edit", true).await;
    let replaced = send(replacing("1", "", fresh.clone())).await;
    assert_eq!((replaced.status, replaced.header("location")), (StatusCode::SEE_OTHER, &*page));
    let late = send(replacing("1", "", fresh)).await;
    assert_eq!(late.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(late.text.contains("changed while you were editing"), "{}", late.text);
    assert!(browser.page(&page).await.contains("Healthy"));
    assert_eq!(
        env.get(&format!("{COLLECTION}/{}", api.rsplit('/').next().unwrap())).await.json()["version"],
        2
    );
}
