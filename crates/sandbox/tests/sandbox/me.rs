use serde_json::{Value, json};

use crate::harness::Desk;

#[tokio::test]
async fn the_user_is_shown_with_their_quota() {
    let desk = Desk::strict().await;
    let reply = desk.ask("GET", "/me").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.vimeo.user+json"));
    let user = reply.json();
    assert_eq!(user["uri"], desk.ask("GET", "/oauth/verify").await.json()["user"]["uri"]);
    let space = &user["upload_quota"]["space"];
    assert_eq!(
        space["free"].as_u64().unwrap() + space["used"].as_u64().unwrap(),
        space["max"].as_u64().unwrap()
    );
    assert_eq!(space["showing"], "lifetime");
    assert!(user["upload_quota"]["periodic"].is_object() && user["upload_quota"]["lifetime"].is_object());
}

#[tokio::test]
async fn only_the_fields_that_were_asked_for_are_shown() {
    let desk = Desk::strict().await;
    let whole = desk.ask("GET", "/me").await.json();
    let picked = desk.ask("GET", "/me?fields=uri,upload_quota.space.free,nonsense").await.json();
    let free = &whole["upload_quota"]["space"]["free"];
    assert_eq!(picked, json!({"uri": whole["uri"], "upload_quota": {"space": {"free": free}}}));
    // As one client library sends it.
    let doubled = desk.ask("GET", "/me?fields=uri%2Cname&fields=uri%2Cname").await.json();
    assert_eq!(doubled, json!({"uri": whole["uri"], "name": whole["name"]}));
}

#[tokio::test]
async fn whoever_asks_for_everything_gets_more_than_they_should_keep() {
    let desk = Desk::strict().await;
    let whole = desk.ask("GET", "/me").await.json();
    assert_eq!(whole["preferences"]["videos"]["password"], "sandbox-default-video-password");
}

#[tokio::test]
async fn an_app_without_upload_access_sees_no_quota() {
    let desk = Desk::strict().await;
    let app = desk.control("POST", "apps", &json!({"upload_access": false})).await.json();
    let token = desk.control("POST", "tokens", &json!({"app": app["client_id"]})).await.json();
    let me = desk.ask_with(token["access_token"].as_str().unwrap(), "GET", "/me").await.json();
    assert!(me.get("upload_quota").is_none() && me["uri"].is_string());
}

#[tokio::test]
async fn an_email_is_shown_to_tokens_that_may_see_it() {
    let desk = Desk::strict().await;
    assert!(desk.ask("GET", "/me").await.json()["email"].is_string());
    let body = json!({"app": desk.running.client_id, "scopes": "public"});
    let token = desk.control("POST", "tokens", &body).await.json();
    let me = desk.ask_with(token["access_token"].as_str().unwrap(), "GET", "/me").await.json();
    assert_eq!(me.get("email"), None::<&Value>);
}
