//! Vimeo's known error responses, each provoked and compared: the table of section 2.3 of the API facts, row by row.
//! Those of bodies and settings are in `body_errors.rs` and
//! `setting_errors.rs`, those of upload links in `tus.rs`.

use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox, basic};

pub(crate) const JSON: &str = "application/json";
pub(crate) const VERSION: &str = "application/vnd.vimeo.*+json;version=3.4";

pub(crate) fn upload(mut more: Value) -> Value {
    more["upload"] = json!({"approach": "tus", "size": 5});
    more
}

impl TestSandbox {
    pub(crate) async fn refused_upload(&self, token: &str, body: &Value) -> (u16, Value) {
        let reply = self.api(token, "POST", "/me/videos", body).await;
        let before = self.call("GET", "/me/videos", &Value::Null).await.json();
        assert_eq!(before["total"], 0, "a refused upload leaves nothing behind");
        (reply.status, reply.code())
    }
}

pub(crate) fn invalid(reply: &Reply) -> Vec<(String, u64)> {
    assert_eq!((reply.status, reply.code()), (400, json!(2204)), "{}", reply.text());
    let body = reply.json();
    let parameters = body["invalid_parameters"].as_array().unwrap();
    let named = parameters.iter().map(|parameter| {
        assert!(parameter["error"].is_string() && parameter["developer_message"].is_string());
        (parameter["field"].as_str().unwrap().to_owned(), parameter["error_code"].as_u64().unwrap())
    });
    named.collect()
}

#[tokio::test]
async fn without_valid_credentials_the_status_is_401() {
    let sandbox = TestSandbox::strict().await;
    let none = sandbox.send("GET", "/me", &[], b"").await;
    let empty = sandbox.send("GET", "/me", &[("Authorization", "bearer ")], b"").await;
    let unknown = sandbox.request_with("0123456789abcdef0123456789abcdef", "GET", "/me/videos").await;
    for reply in [&none, &empty, &unknown] {
        assert_eq!((reply.status, reply.code()), (401, json!(8003)));
        assert_eq!(reply.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(reply.header("x-ratelimit-limit"), None);
    }
    let folders = sandbox.request_with("unknown", "GET", "/me/projects").await;
    assert_eq!((folders.status, folders.code()), (401, json!(8000)));
    let verify = sandbox.request_with("unknown", "GET", "/oauth/verify").await;
    assert_eq!(verify.status, 401);
    assert_eq!(verify.json(), json!({"error": "You must provide a valid authenticated access token."}));
    let wrong_secret = sandbox.grant(&sandbox.running.client_id, "wrong").await;
    assert_eq!((wrong_secret.status, wrong_secret.code()), (401, json!(8001)));
    let unknown_client = sandbox.grant("unknown", "x").await;
    assert_eq!((unknown_client.status, &unknown_client.json()["error"]), (401, &json!("invalid_client")));
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", JSON)];
    let bad_grant =
        sandbox.send("POST", "/oauth/authorize/client", &headers, b"{\"grant_type\":\"password\"}").await;
    assert_eq!((bad_grant.status, &bad_grant.json()["error"]), (400, &json!("unsupported_grant_type")));
}

#[tokio::test]
async fn an_app_token_has_its_own_error_code() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.grant_first().await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.refused_upload(&token, &upload(json!({}))).await, (401, json!(8002)));
    let reply = sandbox.api(&token, "POST", "/me/videos", &upload(json!({}))).await.json();
    assert_eq!(reply["error"], "Unable to upload video. Please get in touch with the app's creator.");
    for path in ["/me", "/me/videos", "/me/folders", "/me/presets"] {
        let reply = sandbox.request_with(&token, "GET", path).await;
        assert_eq!((reply.status, reply.code()), (401, json!(8002)), "{path}");
    }
    // Public resources are visible to it.
    let video = sandbox.placeholder(json!({})).await;
    assert_eq!(sandbox.request_with(&token, "GET", &video).await.status, 200);
    assert_eq!(sandbox.request_with(&token, "GET", "/contentratings").await.status, 200);
}

#[tokio::test]
async fn every_route_names_the_scope_that_is_missing() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({"privacy": {"embed": "whitelist"}})).await;
    let folder = sandbox.call("POST", "/me/projects", &json!({"name": "F"})).await.json();
    let folder = folder["uri"].as_str().unwrap();
    let preset = sandbox.call("GET", "/me/presets", &Value::Null).await.json()["data"][0]["uri"].clone();
    let preset = preset.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let version = sandbox.call("GET", &format!("{video}/versions"), &Value::Null).await.json();
    let version = version["data"][0]["uri"].as_str().unwrap().to_owned();
    let routes = [
        ("POST", "/me/videos".to_owned(), "upload"),
        ("PATCH", video.clone(), "edit"),
        ("DELETE", video.clone(), "delete"),
        ("POST", format!("{video}/versions"), "upload"),
        ("GET", format!("{video}/versions"), "private"),
        ("PATCH", version.clone(), "edit"),
        ("DELETE", version, "delete"),
        ("GET", "/me/projects".to_owned(), "private"),
        ("POST", "/me/projects".to_owned(), "create"),
        ("PATCH", folder.to_owned(), "edit"),
        ("DELETE", folder.to_owned(), "delete"),
        ("GET", format!("{folder}/videos"), "private"),
        ("PUT", format!("{folder}{video}"), "interact"),
        ("DELETE", format!("{folder}{video}"), "delete"),
        ("PUT", format!("{folder}/videos?uris={video}"), "interact"),
        ("DELETE", format!("{folder}/videos?uris={video}"), "interact"),
        ("PUT", format!("{video}/privacy/domains/example.com"), "edit"),
        ("DELETE", format!("{video}/privacy/domains/example.com"), "edit"),
        ("PUT", format!("{video}/presets/{preset}"), "edit"),
        ("DELETE", format!("{video}/presets/{preset}"), "edit"),
        ("POST", format!("{video}/pictures"), "upload"),
    ];
    let all = ["public", "private", "create", "edit", "delete", "interact", "upload", "video_files"];
    for (method, path, scope) in routes {
        let others: Vec<&str> = all.into_iter().filter(|name| *name != scope).collect();
        let token = sandbox.token_with(&others.join(" ")).await;
        let reply = sandbox.api(&token, method, &path, &upload(json!({"name": "x"}))).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        let expected = json!({"error": format!("Your access token does not have the \"{scope}\" scope")});
        assert_eq!(reply.json(), expected, "{method} {path}");
        assert_eq!(reply.header("content-type"), Some("application/vnd.vimeo.error+json"));
    }
    // None of these requests had an effect.
    assert_eq!(sandbox.call("GET", &video, &Value::Null).await.status, 200);
    assert_eq!(sandbox.call("GET", folder, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn forbidden_requests_are_403() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.running.access_token.clone();
    sandbox.change_owner(json!({"email_verified": false})).await;
    assert_eq!(sandbox.refused_upload(&token, &upload(json!({}))).await, (403, json!(3400)));
    sandbox.change_owner(json!({"email_verified": true, "folders": false})).await;
    let folders = sandbox.call("POST", "/me/projects", &json!({"name": "F"})).await;
    assert_eq!((folders.status, folders.code()), (403, json!(3200)));
    assert_eq!(sandbox.call("GET", "/me/projects", &Value::Null).await.status, 200);

    let views = [("nobody", 2409), ("anybody", 2409), ("users", 2410), ("disable", 2411), ("contacts", 2412)];
    sandbox.change_owner(json!({"refused_views": views.map(|(view, _)| view)})).await;
    for (view, code) in views {
        let body = upload(json!({"privacy": {"view": view}}));
        assert_eq!(sandbox.refused_upload(&token, &body).await, (403, json!(code)), "{view}");
    }
    sandbox.change_owner(json!({"refused_views": [], "plan": "free"})).await;
    for (view, code) in [("users", 2410), ("disable", 2411), ("contacts", 2412)] {
        let body = upload(json!({"privacy": {"view": view}}));
        assert_eq!(sandbox.refused_upload(&token, &body).await, (403, json!(code)), "{view}");
    }
    for (member, value, code) in [("view", json!("unlisted"), 2232), ("download", json!(true), 2204)] {
        let body = upload(json!({"privacy": {member: value}}));
        let reply = sandbox.api(&token, "POST", "/me/videos", &body).await;
        assert_eq!(invalid(&reply), [(format!("privacy.{member}"), code)]);
    }
    let video = sandbox.placeholder(json!({})).await;
    let version =
        sandbox.call("POST", &format!("{video}/versions"), &upload(json!({"file_name": "a.mp4"}))).await;
    assert_eq!((version.status, version.code()), (403, json!(3427)));

    let app = sandbox.control("POST", "apps", &json!({"upload_access": false})).await.json();
    let made = sandbox.control("POST", "tokens", &json!({"app": app["uri"]})).await.json();
    let made = made["access_token"].as_str().unwrap();
    let reply = sandbox.api(made, "POST", "/me/videos", &upload(json!({}))).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json(), json!({"error": "The app is not allowed to perform that action."}));
}

#[tokio::test]
async fn an_exceeded_quota_is_named_by_its_code() {
    let sandbox = TestSandbox::strict().await;
    let token = sandbox.running.access_token.clone();
    for (quota, code, space) in [
        (json!({"lifetime": {"max": 100, "used": 96}}), 4101, (json!(4), "lifetime", "video_size")),
        (
            json!({"lifetime": {"max": 900}, "periodic": {"max": 100, "used": 96}, "period": "month"}),
            4102,
            (json!(4), "periodic", "video_size"),
        ),
        (
            json!({"unit": "count", "lifetime": {"max": 3, "used": 3}}),
            4103,
            (json!(0), "lifetime", "video_count"),
        ),
        (
            json!({"unit": "count", "periodic": {"max": 3, "used": 3}}),
            4104,
            (json!(0), "periodic", "video_count"),
        ),
    ] {
        sandbox.change_owner(json!({"quota": quota})).await;
        assert_eq!(sandbox.refused_upload(&token, &upload(json!({}))).await, (403, json!(code)), "{quota}");
        let shown = sandbox.call("GET", "/me?fields=upload_quota", &Value::Null).await.json();
        let shown = &shown["upload_quota"]["space"];
        let (free, showing, unit) = space;
        assert_eq!(
            (&shown["free"], &shown["showing"], &shown["unit"]),
            (&free, &json!(showing), &json!(unit))
        );
    }
    // Another version of a video does not count as a video.
    sandbox.change_owner(json!({"quota": null})).await;
    let video = sandbox.placeholder(json!({})).await;
    sandbox.change_owner(json!({"quota": {"unit": "count", "lifetime": {"max": 1}}})).await;
    let version =
        sandbox.call("POST", &format!("{video}/versions"), &upload(json!({"file_name": "a.mp4"}))).await;
    assert_eq!(version.status, 201, "{}", version.text());
    let other = sandbox.call("POST", "/me/videos", &upload(json!({}))).await;
    assert_eq!((other.status, other.code()), (403, json!(4103)));
    sandbox.call("DELETE", &video, &Value::Null).await;

    sandbox.change_owner(json!({"quota": null})).await;
    let shown = sandbox.call("GET", "/me?fields=upload_quota.space.free", &Value::Null).await.json();
    assert_eq!(shown["upload_quota"]["space"]["free"], Value::Null);
    let too_large = json!({"upload": {"approach": "tus", "size": 300_000_000_001_u64}});
    assert_eq!(sandbox.refused_upload(&token, &too_large).await, (403, json!(3428)));
    // The announced size counts, and is released by the deletion.
    sandbox.change_owner(json!({"quota": {"lifetime": {"max": 8}}})).await;
    let video = sandbox.placeholder(json!({})).await;
    let full = sandbox.call("POST", "/me/videos", &upload(json!({}))).await;
    assert_eq!((full.status, full.code()), (403, json!(4101)));
    sandbox.call("DELETE", &video, &Value::Null).await;
    sandbox.placeholder(json!({})).await;
}

#[tokio::test]
async fn error_codes_are_in_a_header_too() {
    let sandbox = TestSandbox::strict().await;
    for (reply, code) in [
        (sandbox.send("GET", "/me", &[], b"").await, "8003"),
        (sandbox.call("GET", "/videos/1", &Value::Null).await, "5000"),
        (sandbox.call("POST", "/me/videos", &upload(json!({"name": 1}))).await, "2204"),
        (sandbox.call("POST", "/me/videos", &json!({"upload": {"approach": "x"}})).await, "2230"),
    ] {
        assert_eq!(reply.header("vimeo-error-code"), Some(code));
    }
    let legacy = sandbox.request_with("unknown", "GET", "/oauth/verify").await;
    assert_eq!((legacy.status, legacy.header("vimeo-error-code")), (401, None));
}

#[tokio::test]
async fn an_upload_must_name_the_api_version() {
    let sandbox = TestSandbox::strict().await;
    let authorization = format!("bearer {}", sandbox.running.access_token);
    let body = upload(json!({})).to_string();
    for (accept, status) in [
        ("*/*", 400),
        ("application/json", 400),
        ("application/vnd.vimeo.*+json", 400),
        ("application/vnd.vimeo.*+json;version=3.2", 400),
        ("application/vnd.vimeo.*;version=3.4", 200),
        ("application/vnd.vimeo.*+json; version=3.4", 200),
        ("application/vnd.vimeo.*+json;version=3.4.9", 200),
        ("application/json, application/vnd.vimeo.video+json;version=\"3.4\";q=0.9", 200),
    ] {
        let headers = [("Authorization", authorization.as_str()), ("Accept", accept), ("Content-Type", JSON)];
        let reply = sandbox.send("POST", "/me/videos", &headers, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{accept}");
        if status == 400 {
            assert_eq!(reply.code(), 3116);
        }
    }
    let malformed = sandbox.receive_accepting("application/vnd.vimeo.*+json;version=latest").await;
    assert_eq!((malformed.status, malformed.code()), (400, json!(2206)));
}

#[tokio::test]
async fn missing_resources_are_404() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let version = sandbox.call("GET", &format!("{video}/versions"), &Value::Null).await.json();
    let version = version["data"][0]["uri"].as_str().unwrap().to_owned();
    let other = sandbox.token_of_another_user().await;
    let mut theirs = Vec::new();
    for view in ["nobody", "anybody"] {
        let made =
            sandbox.api(&other, "POST", "/me/videos", &upload(json!({"privacy": {"view": view}}))).await;
        theirs.push(made.json()["uri"].as_str().unwrap().to_owned());
    }
    let [hidden, public] = theirs.try_into().unwrap();
    assert_eq!(sandbox.call("GET", &public, &Value::Null).await.status, 200);
    for (method, path, code) in [
        ("GET", "/videos/1".to_owned(), 5000),
        ("GET", "/videos/x".to_owned(), 5000),
        ("GET", "/videos/01".to_owned(), 5000),
        ("GET", "/videos/%ff".to_owned(), 5000),
        ("GET", "/users/1".to_owned(), 5000),
        ("GET", "/users/1/videos".to_owned(), 5000),
        ("GET", "/nowhere".to_owned(), 5000),
        ("PUT", format!("/me/projects/1{video}"), 5000),
        ("GET", "/me/projects/1".to_owned(), 5000),
        ("GET", "/videos/1/versions".to_owned(), 5011),
        ("POST", "/videos/1/versions".to_owned(), 5011),
        ("GET", format!("{video}/versions/1"), 5012),
        ("DELETE", format!("{video}/versions/x"), 5012),
        ("DELETE", version, 5013),
        // Another user's, which is invisible.
        ("GET", format!("{hidden}/versions"), 5011),
        ("GET", hidden.clone(), 5000),
        ("DELETE", hidden, 5000),
        // Not a video of the user in the path.
        ("GET", format!("/users/1{video}"), 5000),
        ("GET", format!("/me{public}"), 5000),
        ("DELETE", format!("/me{public}"), 5000),
    ] {
        let reply = sandbox.call(method, &path, &upload(json!({}))).await;
        assert_eq!((reply.status, reply.code()), (404, json!(code)), "{method} {path}");
    }
    let wrong_method = sandbox.call("POST", &video, &json!({})).await;
    assert_eq!((wrong_method.status, wrong_method.header("allow").is_some()), (405, true));
}

#[tokio::test]
async fn a_reached_rate_limit_is_429_until_the_window_ends() {
    let sandbox = TestSandbox::strict().await;
    sandbox.change_owner(json!({"plan": "free"})).await;
    for _ in 0..25 {
        assert_eq!(sandbox.call("GET", "/tutorial", &Value::Null).await.status, 200);
    }
    let spent = sandbox.call("GET", "/tutorial", &Value::Null).await;
    assert_eq!((spent.status, spent.code()), (429, json!(9000)));
    assert_eq!(spent.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(spent.header("x-ratelimit-reset"), Some("2021-10-05T13:47:34+00:00"));
    // Requests that name their fields have twice the limit.
    let doubled = sandbox.call("GET", "/me?fields=uri", &Value::Null).await;
    assert_eq!((doubled.status, doubled.header("x-ratelimit-limit")), (200, Some("50")));
    sandbox.pass_seconds(60);
    assert_eq!(sandbox.call("GET", "/tutorial", &Value::Null).await.status, 200);
}

#[tokio::test]
async fn server_errors_can_be_injected() {
    let sandbox = TestSandbox::strict().await;
    for (status, code, error_code) in [
        (500, 4003, Value::Null),
        (503, 7000, Value::Null),
        (503, 7100, json!(7100)),
        (403, 4101, json!(4101)),
    ] {
        sandbox.fault(
            json!({"route": "POST /me/videos", "kind": "status", "status": status, "error_code": error_code}),
        )
        .await;
        let token = sandbox.running.access_token.clone();
        assert_eq!(sandbox.refused_upload(&token, &upload(json!({}))).await, (status, json!(code)));
    }
}
