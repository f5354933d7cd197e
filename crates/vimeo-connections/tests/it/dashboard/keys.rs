//! The pages of API keys.

use reqwest::StatusCode;
use serde_json::json;

use super::person::{Person, field};
use super::session::{Browser, csrf, field_error};
use super::sign_in::with_link;
use crate::support::harness::{ACCOUNT, COLLECTION, Response, TestEnv};

const KEYS: &str = "/dashboard/keys";
const NAME: &str = "ci \"><script>alert(1)</script>";

/// The text of the first element with a class that looks like a key.
fn shown_key(page: &str) -> String {
    let start = page.find("pictai_").unwrap();
    page[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_created_used_rotated_and_revoked() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    let fields = [("name", NAME), ("scopes", "connections:read"), ("expiresInDays", "30")];
    let created = browser.submit(KEYS, KEYS, &fields).await;
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    assert!(!created.text.contains("<script>alert"), "{}", created.text);
    let key = shown_key(&created.text);
    let call = async |key: &str| {
        let headers = [("authorization", key)];
        env.send(reqwest::Method::GET, COLLECTION, &headers, Vec::new()).await.status
    };
    assert_eq!(call(&key).await, StatusCode::OK);
    assert!(created.text.contains("curl -H"), "{}", created.text);

    let page = browser.page(KEYS).await;
    assert!(!page.contains(&key) && page.contains(&key[key.len() - 4..]), "{page}");
    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    let newest = keys["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&newest["scopes"], &newest["creator"]),
        (&json!(["connections:read"]), &json!("person:Anna"))
    );
    let path = format!("{KEYS}/{}", newest["keyId"].as_str().unwrap());

    let renamed = browser.submit(&path, &format!("{path}/rename"), &[("name", "deploy")]).await;
    assert!(browser.follow(&renamed).await.contains("deploy"));
    let rotated = browser.submit(&path, &format!("{path}/rotate"), &[("overlapHours", "1")]).await;
    let successor = shown_key(&rotated.text);
    assert_ne!(successor, key);
    assert_eq!((call(&key).await, call(&successor).await), (StatusCode::OK, StatusCode::OK));
    let revoke = format!("{path}/revoke");
    let revoked = browser.submit(&revoke, &revoke, &[]).await;
    assert!(browser.follow(&revoked).await.contains("The API key was revoked."));
    crate::support::harness::until("the key is not accepted", async || {
        call(&key).await == StatusCode::UNAUTHORIZED
    })
    .await;
    assert_eq!(call(&successor).await, StatusCode::OK);
}

fn is_new_key(answer: &Response) -> bool {
    answer.text.contains("Your new API key")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_for_a_key_that_is_sent_twice_makes_one_key() {
    let env = TestEnv::without_verification("").await;
    let person = Person::sign_in(&env).await;
    let count = async || env.get("/pictoryapis/v1/api-keys").await.json()["items"].as_array().unwrap().len();
    let id = field(&person.page(KEYS).await, "requestId");
    let fields = [("csrf", &*person.csrf), ("requestId", &id), ("name", "once"), ("scopes", "uploads:read")];
    let send = async || person.post_exactly(KEYS, &fields, &[]).await;
    let (one, two, three) = tokio::join!(send(), send(), send());
    let shown: Vec<_> = [one, two, three].into_iter().filter(is_new_key).collect();
    assert_eq!((shown.len(), count().await), (1, 2));
    // Loading the page with the key again sends the form again.
    let again = person.post(KEYS, &fields[1..]).await;
    assert_eq!((again.status, again.header("location")), (StatusCode::SEE_OTHER, KEYS));
    let list = person.page(KEYS).await;
    assert!(
        list.contains("This form was sent before") && !list.contains(&shown_key(&shown[0].text)),
        "{list}"
    );

    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    let newest = keys["items"].as_array().unwrap().last().unwrap()["keyId"].as_str().unwrap().to_owned();
    let path = format!("{KEYS}/{newest}");
    let (id, rotate) = (field(&person.page(&path).await, "requestId"), format!("{path}/rotate"));
    let fields = [("csrf", &*person.csrf), ("requestId", &id)];
    let send = async || person.post_exactly(&rotate, &fields, &[]).await;
    let (one, two) = tokio::join!(send(), send());
    assert_ne!(is_new_key(&one), is_new_key(&two));
    assert_eq!(count().await, 3);
    for path in [KEYS, &rotate] {
        let without = person.post(path, &[("name", "x"), ("scopes", "uploads:read")]).await;
        assert_eq!(without.status, StatusCode::BAD_REQUEST, "{}", without.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_key_is_shown_at_its_field_and_nothing_is_lost() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    let answer = browser.submit(KEYS, KEYS, &[("name", "kept"), ("expiresInDays", "x")]).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("value=\"kept\"") && answer.text.contains("value=\"x\""), "{}", answer.text);
    assert!(
        field_error(&answer.text, "scopes").is_some() && field_error(&answer.text, "expiresInDays").is_some()
    );
    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_gives_no_more_than_the_key_of_the_session() {
    let env = TestEnv::without_verification("").await;
    let key = env.make_key(ACCOUNT, &["--scopes", "keys:manage,uploads:read", "--expires-in-days", "9"]);
    let mut browser = Browser::signed_in(&env, &key).await;
    let page = browser.page(KEYS).await;
    assert!(
        page.contains("value=\"uploads:read\"") && !page.contains("value=\"connections:write\""),
        "{page}"
    );
    let more = [("name", "x"), ("scopes", "connections:write")];
    assert_eq!(browser.submit(KEYS, KEYS, &more).await.status, StatusCode::FORBIDDEN);
    let longer = [("name", "x"), ("scopes", "uploads:read"), ("expiresInDays", "10")];
    let answer = browser.submit(KEYS, KEYS, &longer).await;
    assert!(
        field_error(&answer.text, "expiresInDays").unwrap().contains("expires earlier"),
        "{}",
        answer.text
    );
    let without = [("name", "x"), ("scopes", "uploads:read")];
    assert_eq!(browser.submit(KEYS, KEYS, &without).await.status, StatusCode::OK, "as long as its maker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_key_that_manages_keys_stays() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    let keys = env.get("/pictoryapis/v1/api-keys").await.json();
    let revoke = format!("{KEYS}/{}/revoke", keys["items"][0]["keyId"].as_str().unwrap());
    let answer = browser.submit(&revoke, &revoke, &[]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.text.contains("the last key that can manage"), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_another_account_and_changes_without_the_scope_are_refused() {
    let env = TestEnv::without_verification("").await;
    env.cli(&["accounts", "create", "other"], "");
    let foreign = env.make_key("other", &[]);
    let headers = [("authorization", &*foreign)];
    let theirs = env.send(reqwest::Method::GET, "/pictoryapis/v1/api-keys", &headers, Vec::new()).await;
    let id = theirs.json()["items"][0]["keyId"].as_str().unwrap().to_owned();
    let mut owner = with_link(&env, "owner").await;
    let token = csrf(&owner.page(KEYS).await);
    for path in [format!("{KEYS}/{id}"), format!("{KEYS}/{id}/revoke"), format!("{KEYS}/nonsense")] {
        assert_eq!(owner.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for action in ["rename", "rotate", "revoke"] {
        let form = "7".repeat(64);
        let fields = [("csrf", &*token), ("name", "stolen"), ("requestId", &form)];
        let answer = owner.post(&format!("{KEYS}/{id}/{action}"), &fields).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action}");
    }
    let mut member = with_link(&env, "member").await;
    let token = csrf(&member.page("/dashboard/settings").await);
    let own =
        env.get("/pictoryapis/v1/api-keys").await.json()["items"][0]["keyId"].as_str().unwrap().to_owned();
    for path in [KEYS.to_owned(), format!("{KEYS}/{own}/rotate"), format!("{KEYS}/{own}/revoke")] {
        assert_eq!(member.get(&path).await.status.as_u16() / 100, 4, "{path}");
        let answer =
            member.post(&path, &[("csrf", &*token), ("name", "x"), ("scopes", "uploads:read")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
}
