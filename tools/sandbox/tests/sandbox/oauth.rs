use serde_json::{Value, json};

use crate::support::test_sandbox::{TestSandbox, basic};

const CHALLENGE: Option<&str> = Some("Bearer error=\"invalid_token\"");

async fn grant_with(
    sandbox: &TestSandbox,
    content_type: &str,
    body: &str,
) -> crate::support::test_sandbox::Reply {
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", content_type)];
    sandbox.send("POST", "/oauth/authorize/client", &headers, body.as_bytes()).await
}

#[tokio::test]
async fn the_first_credentials_look_like_vimeos() {
    let sandbox = TestSandbox::strict().await;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(sandbox.running.client_id.len() == 40 && is_hex(&sandbox.running.client_id));
    assert!(sandbox.running.access_token.len() == 32 && is_hex(&sandbox.running.access_token));
    assert!(sandbox.running.client_secret.len() == 128 && sandbox.running.client_secret.ends_with('='));
}

#[tokio::test]
async fn client_credentials_are_exchanged_for_a_token_without_a_user() {
    let sandbox = TestSandbox::strict().await;
    let reply = sandbox.grant_first().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));
    assert_eq!(reply.header("x-ratelimit-limit"), None);
    let auth = reply.json();
    assert_eq!((&auth["token_type"], &auth["scope"]), (&json!("bearer"), &json!("public")));
    assert!(auth.get("user").is_none());

    let token = auth["access_token"].as_str().unwrap();
    let verified = sandbox.request_with(token, "GET", "/oauth/verify").await.json();
    assert_eq!(verified, auth);
    assert_eq!(sandbox.request_with(token, "GET", "/me").await.code(), 8002);
}

#[tokio::test]
async fn a_grant_may_be_requested_in_a_form_or_in_json() {
    let sandbox = TestSandbox::strict().await;
    let form = "grant_type=client_credentials&scope=public+private";
    let json = r#"{"grant_type":"client_credentials","scope":"public private"}"#;
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", form),
        ("application/x-www-form-urlencoded; charset=utf-8", form),
        ("application/json", json),
        ("application/json; charset=utf-8", json),
        ("application/vnd.vimeo.auth+json", json),
    ] {
        let reply = grant_with(&sandbox, content_type, body).await;
        assert_eq!((reply.status, &reply.json()["scope"]), (200, &json!("public private")), "{content_type}");
    }
}

#[tokio::test]
async fn a_grant_has_only_existing_scopes() {
    let sandbox = TestSandbox::strict().await;
    for (asked, given) in [("video+stats", "public stats"), ("p+u+b+l+i+c", "public"), ("", "public")] {
        let body = format!("grant_type=client_credentials&scope={asked}");
        let reply = grant_with(&sandbox, "application/x-www-form-urlencoded", &body).await;
        assert_eq!(reply.json()["scope"], given);
    }
}

#[tokio::test]
async fn a_wrong_secret_differs_from_an_unknown_client() {
    let sandbox = TestSandbox::strict().await;
    let wrong = sandbox.grant(&sandbox.running.client_id, "wrong").await;
    assert_eq!((wrong.status, wrong.code()), (401, json!(8001)));
    assert_eq!(wrong.json()["developer_message"], "No such client secret exists");
    assert_eq!(wrong.header("cache-control"), Some("no-store"));

    let unknown =
        sandbox.grant("0123456789012345678901234567890123456789", &sandbox.running.client_secret).await;
    let body = json!({
        "error": "invalid_client",
        "error_description": "A valid client ID must be provided along with any request made to Vimeo's API",
    });
    assert_eq!((unknown.status, unknown.json()), (401, body.clone()));
    assert_eq!(unknown.header("content-type"), Some("application/json"));

    let absent = sandbox.send("POST", "/oauth/authorize/client", &[], b"grant_type=client_credentials").await;
    assert_eq!((absent.status, absent.json()), (401, body.clone()));
    // A client library with a token sends that instead.
    let bearer = sandbox.request("POST", "/oauth/authorize/client").await;
    assert_eq!((bearer.status, bearer.json()), (401, body));
}

#[tokio::test]
async fn an_invalid_grant_is_rejected_in_the_format_of_oauth() {
    let sandbox = TestSandbox::strict().await;
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, error) in [
        (form, "grant_type=password", "unsupported_grant_type"),
        (form, "scope=public", "invalid_request"),
        (form, "", "invalid_request"),
        ("application/json", "{", "invalid_request"),
        ("application/json", "[]", "invalid_request"),
        ("application/json", r#"{"grant_type":["client_credentials"]}"#, "invalid_request"),
        ("application/json", r#"{"grant_type":"client_credentials","scope":5}"#, "invalid_request"),
        ("text/plain", "grant_type=client_credentials", "invalid_request"),
    ] {
        let reply = grant_with(&sandbox, content_type, body).await;
        assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)), "{body}");
        assert!(reply.json()["error_description"].is_string());
        assert_eq!(reply.header("pragma"), Some("no-cache"));
    }
    assert_eq!(sandbox.live_granted_tokens().await, 0);
}

#[tokio::test]
async fn a_valid_token_is_verified_with_its_app_and_user() {
    let sandbox = TestSandbox::strict().await;
    let reply = sandbox.request("GET", "/oauth/verify").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/vnd.vimeo.auth+json"));
    assert_eq!(reply.header("vary"), Some("Accept,Vimeo-Client-Id"));
    assert!(reply.header("request-hash").is_some() && reply.header("x-vimeo-dc").is_some());
    let auth = reply.json();
    assert_eq!(auth["access_token"], sandbox.running.access_token);
    assert!(auth["app"]["uri"].as_str().unwrap().starts_with("/apps/"));
    assert!(auth["user"]["uri"].as_str().unwrap().starts_with("/users/"));
    for member in ["name", "link", "account"] {
        assert!(auth["user"][member].is_string(), "{member}");
    }
    let scopes = "public private create edit delete interact upload video_files stats promo_codes purchased purchase \
                  email ai";
    assert_eq!(auth["scope"], scopes);
    assert_eq!(sandbox.grant_first().await.json()["app"], auth["app"]);
}

#[tokio::test]
async fn the_bearer_scheme_is_case_insensitive() {
    let sandbox = TestSandbox::strict().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", sandbox.running.access_token);
        let reply = sandbox.send("GET", "/oauth/verify", &[("authorization", &authorization)], b"").await;
        assert_eq!(reply.status, 200);
    }
}

#[tokio::test]
async fn a_missing_or_unknown_token_is_rejected_in_each_endpoints_format() {
    let sandbox = TestSandbox::strict().await;
    let legacy = json!({"error": "You must provide a valid authenticated access token."});
    for headers in [vec![], vec![("Authorization", "bearer 0123")], vec![("Authorization", "bearer")]] {
        let verify = sandbox.send("GET", "/oauth/verify", &headers, b"").await;
        assert_eq!((verify.status, verify.json()), (401, legacy.clone()));
        assert_eq!(verify.header("content-type"), Some("application/vnd.vimeo.error+json"));
        let me = sandbox.send("GET", "/me", &headers, b"").await;
        assert_eq!((me.status, me.code()), (401, json!(8003)));
        let tokens = sandbox.send("DELETE", "/tokens", &headers, b"").await;
        assert_eq!((tokens.status, tokens.code()), (401, json!(8003)));
        for reply in [verify, me, tokens] {
            assert_eq!(reply.header("www-authenticate"), CHALLENGE);
            assert_eq!(reply.header("x-ratelimit-limit"), None);
        }
    }
}

#[tokio::test]
async fn a_revoked_token_is_rejected() {
    let sandbox = TestSandbox::strict().await;
    let revoked = sandbox.request("DELETE", "/tokens").await;
    assert_eq!((revoked.status, revoked.body.len()), (204, 0));
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.status, 401);
    assert_eq!(sandbox.request("GET", "/me").await.code(), 8003);
    assert_eq!(sandbox.request("DELETE", "/tokens").await.status, 401);
}

#[tokio::test]
async fn a_granted_token_stays_valid_until_it_is_revoked() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.grant_first().await.json()["access_token"].clone();
    assert_eq!(sandbox.live_granted_tokens().await, 1);
    assert_eq!(sandbox.request_with(token.as_str().unwrap(), "DELETE", "/tokens").await.status, 204);
    assert_eq!(sandbox.live_granted_tokens().await, 0);
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let sandbox = TestSandbox::strict().await;
    for path in ["/", "/nonsense", "/oauth", "/me/", "//me"] {
        let reply = sandbox.send("GET", path, &[], b"").await;
        assert_eq!((reply.status, reply.code()), (404, json!(5000)), "{path}");
    }
    let reply = sandbox.send("PUT", "/me", &[], b"").await;
    assert_eq!((reply.status, reply.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(sandbox.send("GET", "/oauth/authorize/client", &[], b"").await.status, 405);
}

#[tokio::test]
async fn a_malformed_api_version_is_rejected() {
    let sandbox = TestSandbox::strict().await;
    let authorization = format!("bearer {}", sandbox.running.access_token);
    for (accept, status) in [
        ("application/vnd.vimeo.*;version=3.4", 200),
        ("application/vnd.vimeo.*+json;version=3.4", 200),
        ("application/vnd.vimeo.*+json; version=3.4", 200),
        ("application/vnd.vimeo.*+json;version=3.4.4", 200),
        ("*/*", 200),
        ("application/vnd.vimeo.*+json;version=three", 400),
    ] {
        let headers = [("Authorization", authorization.as_str()), ("Accept", accept)];
        let reply = sandbox.send("GET", "/me", &headers, b"").await;
        assert_eq!(reply.status, status, "{accept}");
        if status == 400 {
            assert_eq!(reply.code(), Value::from(2206));
        }
    }
}
