use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox};

/// A token that a control has created.
pub(crate) struct TestToken {
    pub(crate) value: String,
    /// The path of its control.
    pub(crate) path: String,
}

impl TestSandbox {
    /// Creates a token of the first app.
    pub(crate) async fn make_token(&self, mut order: Value) -> TestToken {
        order["app"] = json!(self.running.client_id);
        let made = self.control("POST", "tokens", &order).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        TestToken {
            value: made["access_token"].as_str().unwrap().to_owned(),
            path: format!("tokens/{}", made["fingerprint"].as_str().unwrap()),
        }
    }

    pub(crate) async fn change_token(&self, token: &TestToken, change: Value) -> Value {
        let changed = self.control("PATCH", &token.path, &change).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let shown = self.control("GET", &token.path, &Value::Null).await.json();
        assert_eq!(changed.json(), shown);
        shown
    }

    async fn verify(&self, token: &TestToken) -> Reply {
        self.request_with(&token.value, "GET", "/oauth/verify").await
    }
}

/// Asserts that a token is answered as one that was never issued.
async fn assert_unknown(sandbox: &TestSandbox, token: &TestToken) {
    let verified = sandbox.verify(token).await;
    let legacy = json!({"error": "You must provide a valid authenticated access token."});
    assert_eq!((verified.status, verified.json()), (401, legacy));
    let me = sandbox.request_with(&token.value, "GET", "/me").await;
    assert_eq!((me.status, me.code()), (401, json!(8003)));
    assert_eq!(me.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(me.header("x-ratelimit-limit"), None);
}

#[tokio::test]
async fn a_token_is_shown_and_changed_only_in_its_named_members() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"scopes": "public private", "user": {"name": "Vera"}})).await;
    let before = sandbox.control("GET", &token.path, &Value::Null).await.json();
    assert_eq!((&before["scope"], &before["kind"]), (&json!("public private"), &json!("user")));
    assert_eq!((&before["revoked"], &before["expired"]), (&json!(false), &json!(false)));
    let listed = sandbox.control("GET", "tokens", &Value::Null).await.json();
    assert_eq!(listed["tokens"][1], before);
    assert_eq!(sandbox.change_token(&token, Value::Null).await, before);
}

#[tokio::test]
async fn scopes_are_taken_from_a_token_and_given_to_it() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"scopes": "public private upload edit"})).await;
    let create = async || {
        let authorization = format!("bearer {}", token.value);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
            ("Content-Type", "application/json"),
        ];
        let body = br#"{"upload": {"approach": "tus", "size": 5}}"#;
        sandbox.send("POST", "/me/videos", &headers, body).await
    };
    assert_eq!(create().await.status, 200);
    sandbox.change_token(&token, json!({"scopes": ["public", "private"]})).await;
    let refused = create().await;
    let error = json!({"error": "Your access token does not have the \"upload\" scope"});
    assert_eq!((refused.status, refused.json()), (403, error));
    assert_eq!(sandbox.verify(&token).await.json()["scope"], "public private");
    sandbox.change_token(&token, json!({"scopes": "public upload private"})).await;
    assert_eq!(create().await.status, 200);
    assert_eq!(sandbox.verify(&token).await.json()["scope"], "public upload private");
}

#[tokio::test]
async fn an_expired_or_revoked_token_is_unknown_until_it_is_restored() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"user": {"name": "Vera"}})).await;
    for member in ["expired", "revoked"] {
        assert_eq!(sandbox.change_token(&token, json!({member: true})).await[member], true);
        assert_unknown(&sandbox, &token).await;
        assert_eq!(sandbox.change_token(&token, json!({member: false})).await[member], false);
        assert_eq!(sandbox.verify(&token).await.json()["user"]["name"], "Vera");
    }
    // Revoked in another manner, it can be restored too.
    assert_eq!(sandbox.request_with(&token.value, "DELETE", "/tokens").await.status, 204);
    assert_unknown(&sandbox, &token).await;
    sandbox.change_token(&token, json!({"revoked": false})).await;
    assert_eq!(sandbox.control("DELETE", &token.path, &Value::Null).await.status, 204);
    assert_unknown(&sandbox, &token).await;
    sandbox.change_token(&token, json!({"revoked": false})).await;
    assert_eq!(sandbox.verify(&token).await.status, 200);
}

#[tokio::test]
async fn a_token_gets_another_user_or_none() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.make_token(json!({"user": {"name": "Vera"}})).await;
    let shown = sandbox.change_token(&token, json!({"user": null})).await;
    assert_eq!((&shown["user"], &shown["kind"]), (&Value::Null, &json!("client_credentials")));
    assert!(sandbox.verify(&token).await.json().get("user").is_none());
    let me = sandbox.request_with(&token.value, "GET", "/me").await;
    assert_eq!((me.status, me.code()), (401, json!(8002)));
    sandbox.change_token(&token, json!({"user": "/users/240002"})).await;
    assert_eq!(sandbox.verify(&token).await.json()["user"]["name"], "Owner of Sandbox App");
    sandbox.change_token(&token, json!({"user": {"name": "Paul"}})).await;
    assert_eq!(sandbox.verify(&token).await.json()["user"]["name"], "Paul");
    sandbox.change_token(&token, json!({"user": true, "scopes": "public"})).await;
    assert_eq!(sandbox.verify(&token).await.json()["user"]["uri"], "/users/240002");
}

#[tokio::test]
async fn invalid_changes_of_tokens_are_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    let TestToken { path, .. } = sandbox.make_token(json!({})).await;
    let before = sandbox.control("GET", &path, &Value::Null).await.json();
    for (path, body, status, part) in [
        (path.as_str(), json!({"scope": "public"}), 400, "takes `scopes`, `expired`, `revoked`, `user`"),
        (&path, json!({"scopes": "publik"}), 400, "no scope `publik`"),
        (&path, json!({"scopes": []}), 400, "at least one scope"),
        (&path, json!({"expired": 1}), 400, "`expired` must be true or false"),
        (&path, json!({"revoked": "no"}), 400, "`revoked` must be true or false"),
        (&path, json!({"user": "/users/1", "revoked": true}), 400, "no user `/users/1`"),
        (&path, json!({"user": "Vera"}), 400, "`user` must be"),
        ("tokens/0123456789ab", json!({}), 404, "no token with this fingerprint"),
    ] {
        let reply = sandbox.control("PATCH", path, &body).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == status && sentence.contains(part), "{body}: {sentence}");
    }
    assert_eq!(sandbox.control("GET", &path, &Value::Null).await.json(), before);
    assert_eq!(sandbox.control("GET", "tokens/0123456789ab", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_rotated_client_secret_is_new_and_the_old_one_is_refused() {
    // Not even open mode accepts an old secret with a client id that it would accept otherwise.
    let sandbox = TestSandbox::open().await;
    let (id, old) = (&sandbox.running.client_id, &sandbox.running.client_secret);
    let same = sandbox.control("PATCH", "apps/240001", &json!({"client_secret_rotated": false})).await.json();
    assert_eq!(same["client_secret"], old.as_str());
    let app = sandbox.control("PATCH", "apps/240001", &json!({"client_secret_rotated": true})).await.json();
    let fresh = app["client_secret"].as_str().unwrap();
    assert!(fresh != old && fresh.len() == 128, "{fresh}");
    assert_eq!(sandbox.grant(id, fresh).await.status, 200);
    let refused = sandbox.grant(id, old).await;
    assert_eq!((refused.status, refused.code()), (401, json!(8001)));
    assert_eq!(sandbox.grant("another-id", old).await.json()["error"], "invalid_client");
    assert_eq!(sandbox.grant(old, "another-secret").await.json()["error"], "invalid_client");
    // Tokens stay valid.
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.status, 200);
    let shown = sandbox.control("GET", "credentials", &Value::Null).await.json();
    assert_eq!(shown["client_secret"], fresh);
    sandbox.control("POST", "reset", &Value::Null).await;
    assert_eq!((sandbox.grant_first().await.status, sandbox.grant(id, fresh).await.status), (200, 401));
}

#[tokio::test]
async fn a_deleted_app_and_its_tokens_are_unknown_until_it_is_restored() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.control("POST", "apps", &json!({"redirect_uris": ["http://a/"]})).await.json();
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let path = made["uri"].as_str().unwrap().trim_start_matches('/');
    let order = json!({"app": id});
    let token = sandbox.control("POST", "tokens", &order).await.json();
    let token = TestToken {
        value: token["access_token"].as_str().unwrap().to_owned(),
        path: format!("tokens/{}", token["fingerprint"].as_str().unwrap()),
    };
    let page = format!("/oauth/authorize?response_type=code&client_id={id}");

    let deleted = sandbox.control("PATCH", path, &json!({"deleted": true})).await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(true)));
    let refused = sandbox.grant(id, secret).await;
    assert_eq!((refused.status, &refused.json()["error"]), (401, &json!("invalid_client")));
    assert_unknown(&sandbox, &token).await;
    assert_eq!(sandbox.send("GET", &page, &[], b"").await.status, 400);
    for control in ["tokens", "codes"] {
        let refused = sandbox.control("POST", control, &order).await;
        assert!(refused.status == 400 && refused.text().contains("is deleted"), "{}", refused.text());
    }
    // Other apps are not affected.
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.status, 200);

    sandbox.control("PATCH", path, &json!({"deleted": false})).await;
    assert_eq!(sandbox.grant(id, secret).await.status, 200);
    assert_eq!(sandbox.verify(&token).await.status, 200);
    assert_eq!(sandbox.send("GET", &page, &[], b"").await.status, 200);
}
