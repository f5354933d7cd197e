use serde_json::{Value, json};

use crate::support::browser::{allow, exchange};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn the_user_is_shown_with_their_quota() {
    let sandbox = TestSandbox::strict().await;
    let reply = sandbox.request("GET", "/me").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.vimeo.user+json"));
    let user = reply.json();
    assert_eq!(user["uri"], sandbox.request("GET", "/oauth/verify").await.json()["user"]["uri"]);
    let space = &user["upload_quota"]["space"];
    assert_eq!(
        space["free"].as_u64().unwrap() + space["used"].as_u64().unwrap(),
        space["max"].as_u64().unwrap()
    );
    assert_eq!(space["showing"], "lifetime");
    assert!(user["upload_quota"]["periodic"].is_object() && user["upload_quota"]["lifetime"].is_object());
}

#[tokio::test]
async fn only_the_requested_fields_are_shown() {
    let sandbox = TestSandbox::strict().await;
    let whole = sandbox.request("GET", "/me").await.json();
    let picked = sandbox.request("GET", "/me?fields=uri,upload_quota.space.free,nonsense").await.json();
    let free = &whole["upload_quota"]["space"]["free"];
    assert_eq!(picked, json!({"uri": whole["uri"], "upload_quota": {"space": {"free": free}}}));
    // The form that one client library sends.
    let doubled = sandbox.request("GET", "/me?fields=uri%2Cname&fields=uri%2Cname").await.json();
    assert_eq!(doubled, json!({"uri": whole["uri"], "name": whole["name"]}));
}

#[tokio::test]
async fn a_request_without_fields_returns_a_password_too() {
    let sandbox = TestSandbox::strict().await;
    let whole = sandbox.request("GET", "/me").await.json();
    assert_eq!(whole["preferences"]["videos"]["password"], "sandbox-default-video-password");
}

#[tokio::test]
async fn an_app_without_upload_access_sees_no_quota() {
    let sandbox = TestSandbox::strict().await;
    let app = sandbox.control("POST", "apps", &json!({"upload_access": false})).await.json();
    let token = sandbox.control("POST", "tokens", &json!({"app": app["client_id"]})).await.json();
    let me = sandbox.request_with(token["access_token"].as_str().unwrap(), "GET", "/me").await.json();
    assert!(me.get("upload_quota").is_none() && me["uri"].is_string());
}

#[tokio::test]
async fn an_email_needs_the_scope_email() {
    let sandbox = TestSandbox::strict().await;
    assert!(sandbox.request("GET", "/me").await.json()["email"].is_string());
    let body = json!({"app": sandbox.running.client_id, "scopes": "public"});
    let token = sandbox.control("POST", "tokens", &body).await.json();
    let me = sandbox.request_with(token["access_token"].as_str().unwrap(), "GET", "/me").await.json();
    assert_eq!(me.get("email"), None::<&Value>);
}

#[tokio::test]
async fn a_verified_token_is_shown_with_its_user() {
    let sandbox = TestSandbox::strict().await;
    let verified = sandbox.request("GET", "/oauth/verify").await.json();
    let code = allow(&sandbox, &[("scope", "public private email")]).await;
    let exchanged = exchange(&sandbox, &code).await.json();
    for shown in [&verified, &exchanged] {
        let user = &shown["user"];
        assert!(user["upload_quota"]["space"]["free"].is_u64() && user["email"].is_string(), "{user}");
        assert!(user["account"].is_string() && user["metadata"]["connections"]["videos"]["uri"].is_string());
    }
    let code = allow(&sandbox, &[("scope", "public")]).await;
    assert_eq!(exchange(&sandbox, &code).await.json()["user"].get("email"), None);
    let picked = sandbox.request("GET", "/oauth/verify?fields=scope,user.uri").await.json();
    let uri = &verified["user"]["uri"];
    assert_eq!(picked, json!({"scope": verified["scope"], "user": {"uri": uri}}));
}

#[tokio::test]
async fn a_quota_is_shown_in_each_format() {
    let sandbox = TestSandbox::strict().await;
    for (quota, space, periodic, lifetime) in [
        (
            json!({"periodic": {"max": 100, "used": 10}, "period": "week"}),
            json!({"free": 90, "max": 100, "used": 10, "showing": "periodic", "unit": "video_size"}),
            json!({"free": 90, "max": 100, "used": 10, "unit": "video_size", "period": "week",
                "reset_date": "2038-01-01T00:00:00+00:00"}),
            json!({"free": null, "max": null, "used": null, "unit": null}),
        ),
        (
            json!({"unit": "count", "periodic": {"max": 9}, "period": "year"}),
            json!({"free": 9, "max": 9, "used": 0, "showing": "periodic", "unit": "video_count"}),
            json!({"free": 9, "max": 9, "used": 0, "unit": "video_count", "period": "year",
                "reset_date": "2038-01-01T00:00:00+00:00"}),
            json!({"free": null, "max": null, "used": null, "unit": null}),
        ),
        (
            json!({"periodic": {"max": 9, "used": 1}, "period": "lifetime"}),
            json!({"free": 8, "max": 9, "used": 1, "showing": "periodic", "unit": "video_size"}),
            json!({"free": 8, "max": 9, "used": 1, "unit": "video_size", "period": "lifetime", "reset_date": null}),
            json!({"free": null, "max": null, "used": null, "unit": null}),
        ),
        (
            json!({"lifetime": {"max": null, "used": 7}}),
            json!({"free": null, "max": null, "used": 7, "showing": "lifetime", "unit": "video_size"}),
            json!({"free": null, "max": null, "used": null, "unit": null, "period": null, "reset_date": null}),
            json!({"free": null, "max": null, "used": 7, "unit": "video_size"}),
        ),
        (
            json!({"periodic": {"max": null, "used": 7}, "period": "month"}),
            json!({"free": null, "max": null, "used": 7, "showing": "periodic", "unit": "video_size"}),
            json!({"free": null, "max": null, "used": 7, "unit": "video_size", "period": "month",
                "reset_date": "2038-01-01T00:00:00+00:00"}),
            json!({"free": null, "max": null, "used": null, "unit": null}),
        ),
        (
            Value::Null,
            json!({"free": null, "max": null, "used": null, "showing": null, "unit": null}),
            json!({"free": null, "max": null, "used": null, "unit": null, "period": null, "reset_date": null}),
            json!({"free": null, "max": null, "used": null, "unit": null}),
        ),
    ] {
        sandbox.change_owner(json!({"quota": quota})).await;
        let shown = sandbox.request("GET", "/me?fields=upload_quota").await.json();
        let expected = json!({"space": space, "periodic": periodic, "lifetime": lifetime});
        assert_eq!(shown["upload_quota"], expected, "{quota}");
    }
    // An unlimited quota allows uploads.
    sandbox.change_owner(json!({"quota": {"lifetime": {"max": null}}})).await;
    sandbox.placeholder(json!({})).await;
}
