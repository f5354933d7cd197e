use serde_json::json;

use crate::harness::Desk;

#[tokio::test]
async fn documented_examples_work_as_they_stand_and_belong_together() {
    let desk = Desk::open().await;
    for (client_id, client_secret, token) in [
        ("abc123def456ghi789jkl012", "any-secret/at+all=", "some_token"),
        ("test_client_id_123", "test_client_secret_456", "test_access_token_789"),
    ] {
        let granted = desk.grant(client_id, client_secret).await;
        assert_eq!(granted.status, 200);
        let verified = desk.ask_with(token, "GET", "/oauth/verify").await.json();
        assert_eq!(verified["app"], granted.json()["app"]);
        assert_eq!(verified["access_token"], token);
        assert!(desk.ask_with(token, "GET", "/me").await.json()["upload_quota"].is_object());
    }
    let known = desk.ask("GET", "/oauth/verify").await.json();
    let guest = desk.ask_with("some_token", "GET", "/oauth/verify").await.json();
    assert_ne!(known["app"]["uri"], guest["app"]["uri"]);
}

#[tokio::test]
async fn half_a_known_pair_is_refused() {
    let desk = Desk::open().await;
    let guest_secret = desk.grant(&desk.running.client_id, "guest").await;
    assert_eq!((guest_secret.status, guest_secret.code()), (401, json!(8001)));
    let guest_id = desk.grant("guest", &desk.running.client_secret).await;
    assert_eq!((guest_id.status, &guest_id.json()["error"]), (401, &json!("invalid_client")));
    // A known identifier or secret is no token.
    assert_eq!(desk.ask_with(&desk.running.client_id, "GET", "/oauth/verify").await.status, 401);
    assert_eq!(desk.ask_with(&desk.running.client_secret, "GET", "/oauth/verify").await.status, 401);
}

#[tokio::test]
async fn what_calls_itself_invalid_or_expired_is_refused() {
    let desk = Desk::open().await;
    for word in ["invalid_one", "an-Expired-one", "INVALID"] {
        assert_eq!(desk.grant(word, "secret").await.json()["error"], "invalid_client");
        assert_eq!(desk.grant("guest", word).await.code(), 8001);
        assert_eq!(desk.ask_with(word, "GET", "/oauth/verify").await.status, 401);
        assert_eq!(desk.ask_with(word, "GET", "/me").await.code(), 8003);
    }
}

#[tokio::test]
async fn empty_credentials_are_nobodys() {
    let desk = Desk::open().await;
    assert_eq!(desk.grant("", "secret").await.json()["error"], "invalid_client");
    assert_eq!(desk.grant("guest", "").await.code(), 8001);
    assert_eq!(desk.ask_with("", "GET", "/oauth/verify").await.status, 401);
}

#[tokio::test]
async fn a_revoked_token_is_not_welcomed_again() {
    let desk = Desk::open().await;
    for token in ["guest-token", &desk.running.access_token] {
        assert_eq!(desk.ask_with(token, "DELETE", "/tokens").await.status, 204);
        assert_eq!(desk.ask_with(token, "GET", "/oauth/verify").await.status, 401);
    }
}

#[tokio::test]
async fn a_strict_sandbox_welcomes_nobody() {
    let desk = Desk::strict().await;
    assert_eq!(desk.grant("abc123def456ghi789jkl012", "secret").await.status, 401);
    assert_eq!(desk.ask_with("some_token", "GET", "/oauth/verify").await.status, 401);
}
