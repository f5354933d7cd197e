use serde_json::json;

use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn documented_examples_work_unchanged() {
    let sandbox = TestSandbox::open().await;
    for (client_id, client_secret, token) in [
        ("abc123def456ghi789jkl012", "any-secret/at+all=", "some_token"),
        ("test_client_id_123", "test_client_secret_456", "test_access_token_789"),
    ] {
        let granted = sandbox.grant(client_id, client_secret).await;
        assert_eq!(granted.status, 200);
        let verified = sandbox.request_with(token, "GET", "/oauth/verify").await.json();
        assert_eq!(verified["app"], granted.json()["app"]);
        assert_eq!(verified["access_token"], token);
        assert!(sandbox.request_with(token, "GET", "/me").await.json()["upload_quota"].is_object());
    }
    let known = sandbox.request("GET", "/oauth/verify").await.json();
    let guest = sandbox.request_with("some_token", "GET", "/oauth/verify").await.json();
    assert_ne!(known["app"]["uri"], guest["app"]["uri"]);
}

#[tokio::test]
async fn an_issued_id_with_a_foreign_secret_is_rejected() {
    let sandbox = TestSandbox::open().await;
    let guest_secret = sandbox.grant(&sandbox.running.client_id, "guest").await;
    assert_eq!((guest_secret.status, guest_secret.code()), (401, json!(8001)));
    let guest_id = sandbox.grant("guest", &sandbox.running.client_secret).await;
    assert_eq!((guest_id.status, &guest_id.json()["error"]), (401, &json!("invalid_client")));
    // A known identifier or secret is not a token.
    assert_eq!(sandbox.request_with(&sandbox.running.client_id, "GET", "/oauth/verify").await.status, 401);
    assert_eq!(
        sandbox.request_with(&sandbox.running.client_secret, "GET", "/oauth/verify").await.status,
        401
    );
}

#[tokio::test]
async fn values_with_invalid_or_expired_are_rejected() {
    let sandbox = TestSandbox::open().await;
    for word in ["invalid_one", "an-Expired-one", "INVALID"] {
        assert_eq!(sandbox.grant(word, "secret").await.json()["error"], "invalid_client");
        assert_eq!(sandbox.grant("guest", word).await.code(), 8001);
        assert_eq!(sandbox.request_with(word, "GET", "/oauth/verify").await.status, 401);
        assert_eq!(sandbox.request_with(word, "GET", "/me").await.code(), 8003);
    }
}

#[tokio::test]
async fn empty_credentials_are_rejected() {
    let sandbox = TestSandbox::open().await;
    assert_eq!(sandbox.grant("", "secret").await.json()["error"], "invalid_client");
    assert_eq!(sandbox.grant("guest", "").await.code(), 8001);
    assert_eq!(sandbox.request_with("", "GET", "/oauth/verify").await.status, 401);
}

#[tokio::test]
async fn a_revoked_guest_token_stays_revoked() {
    let sandbox = TestSandbox::open().await;
    for token in ["guest-token", &sandbox.running.access_token] {
        assert_eq!(sandbox.request_with(token, "DELETE", "/tokens").await.status, 204);
        assert_eq!(sandbox.request_with(token, "GET", "/oauth/verify").await.status, 401);
    }
}

#[tokio::test]
async fn a_strict_sandbox_rejects_unknown_credentials() {
    let sandbox = TestSandbox::strict().await;
    assert_eq!(sandbox.grant("abc123def456ghi789jkl012", "secret").await.status, 401);
    assert_eq!(sandbox.request_with("some_token", "GET", "/oauth/verify").await.status, 401);
}
