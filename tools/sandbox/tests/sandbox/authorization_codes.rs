use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::browser::{
    CALLBACK, allow, allowed_tokens, another_app, bare_link, carried, encoded, exchange, form, link,
    location, open, post, post_as, press,
};
use crate::support::test_sandbox::{self, Reply, TestSandbox, basic, request};

fn assert_refused(reply: &Reply, error: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)), "{}", reply.text());
    assert!(reply.json()["error_description"].is_string());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("pragma"), Some("no-cache"));
}

fn assert_invalid(reply: &Reply) {
    assert_refused(reply, "invalid_request");
    assert_eq!(reply.json()["error_description"], "Invalid authorization code");
}

#[tokio::test]
async fn a_code_is_exchanged_for_a_token_of_the_user_who_allowed_it() {
    let sandbox = TestSandbox::strict().await;
    let page = open(&sandbox, &link(&sandbox, &[("scope", "public private upload"), ("state", "s")])).await;
    let target = location(&press(&sandbox, &page, "allow").await);
    assert!(target.starts_with(&format!("{CALLBACK}?code=")) && target.ends_with("&state=s"), "{target}");
    let reply = exchange(&sandbox, &carried(&target, "code").unwrap()).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!((reply.header("cache-control"), reply.header("pragma")), (Some("no-store"), Some("no-cache")));
    let auth = reply.json();
    assert_eq!((&auth["token_type"], &auth["scope"]), (&json!("bearer"), &json!("public private upload")));
    assert_eq!(auth["user"]["name"], "Owner of Sandbox App");
    assert!(auth["user"]["metadata"]["connections"]["videos"].is_object());

    let token = auth["access_token"].as_str().unwrap();
    let verified = sandbox.request_with(token, "GET", "/oauth/verify").await.json();
    assert_eq!(verified, auth);
    assert_eq!(sandbox.request_with(token, "GET", "/me?fields=uri").await.json()["uri"], auth["user"]["uri"]);
    let listed = sandbox.control("GET", "tokens", &Value::Null).await.json();
    assert_eq!(
        (&listed["tokens"][1]["origin"], &listed["tokens"][1]["kind"]),
        (&json!("allowed"), &json!("user"))
    );
    assert_eq!(sandbox.request_with(token, "DELETE", "/tokens").await.status, 204);
    assert_eq!(sandbox.request_with(token, "GET", "/oauth/verify").await.status, 401);
}

#[tokio::test]
async fn a_code_may_be_sent_in_a_form_or_in_json() {
    let sandbox = TestSandbox::strict().await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    for content_type in
        ["application/json", "application/vnd.vimeo.auth+json", "application/json; charset=utf-8"]
    {
        let code = allow(&sandbox, &[]).await;
        let body =
            json!({"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}).to_string();
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", content_type)];
        let reply = sandbox.send("POST", "/oauth/access_token", &headers, body.as_bytes()).await;
        assert_eq!((reply.status, &reply.json()["scope"]), (200, &json!("public private")), "{content_type}");
    }
    assert_eq!(exchange(&sandbox, &allow(&sandbox, &[]).await).await.status, 200);
}

#[tokio::test]
async fn a_used_code_is_rejected() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let token = exchange(&sandbox, &code).await.json()["access_token"].clone();
    assert_invalid(&exchange(&sandbox, &code).await);
    assert_eq!(sandbox.request_with(token.as_str().unwrap(), "GET", "/me").await.status, 200);
    assert_eq!(allowed_tokens(&sandbox).await, 1);
}

/// The statuses of twenty concurrent equal requests, sorted.
async fn send_twenty_times(sandbox: &TestSandbox, sent: Vec<u8>) -> Vec<u16> {
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let (addr, sent) = (sandbox.running.addr, sent.clone());
        asking.spawn(async move { Reply::read(&test_sandbox::exchange(addr, &sent).await.unwrap()).status });
    }
    let mut statuses = asking.join_all().await;
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_concurrent_exchanges_of_a_code_one_gets_a_token() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers =
        [("Authorization", authorization.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
    let body = encoded(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)]);
    let sent = request("POST", "/oauth/access_token", &headers, body.as_bytes());
    let statuses = send_twenty_times(&sandbox, sent).await;
    assert_eq!((statuses[0], &statuses[1..]), (200, [400; 19].as_slice()));
    assert_eq!(allowed_tokens(&sandbox).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_concurrent_decisions_on_a_page_one_counts() {
    let sandbox = TestSandbox::strict().await;
    let page = open(&sandbox, &link(&sandbox, &[])).await;
    let mut fields = form(&page);
    fields.push(("decision".to_owned(), "allow".to_owned()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let sent = request("POST", "/oauth/authorize", &headers, encoded(&fields).as_bytes());
    let statuses = send_twenty_times(&sandbox, sent).await;
    assert_eq!((statuses[0], &statuses[1..]), (302, [400; 19].as_slice()));
}

#[tokio::test]
async fn a_code_expires_after_ten_minutes() {
    let sandbox = TestSandbox::strict().await;
    let (early, late) = (allow(&sandbox, &[]).await, allow(&sandbox, &[]).await);
    sandbox.pass_seconds(599);
    assert_eq!(exchange(&sandbox, &early).await.status, 200);
    sandbox.pass_seconds(1);
    assert_invalid(&exchange(&sandbox, &late).await);
}

#[tokio::test]
async fn a_code_belongs_to_its_app() {
    let sandbox = TestSandbox::strict().await;
    let (id, secret) = another_app(&sandbox, &[CALLBACK]).await;
    let code = allow(&sandbox, &[]).await;
    let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    assert_invalid(&post_as(&sandbox, (&id, &secret), "/oauth/access_token", &fields).await);
    // The other app has not used it.
    assert_eq!(exchange(&sandbox, &code).await.status, 200);
}

#[tokio::test]
async fn a_code_needs_the_redirect_uri_of_its_request() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let grant = [("grant_type", "authorization_code"), ("code", code.as_str())];
    for other in
        ["http://localhost:8080/callback/", "http://localhost:8080/Callback", "http://evil.example/", "x"]
    {
        let fields = [grant.as_slice(), &[("redirect_uri", other)]].concat();
        assert_refused(&post(&sandbox, "/oauth/access_token", &fields).await, "invalid_request");
    }
    // The request named it, so it must be repeated.
    assert_refused(&post(&sandbox, "/oauth/access_token", &grant).await, "invalid_request");
    assert_eq!(exchange(&sandbox, &code).await.status, 200);
}

#[tokio::test]
async fn a_redirect_uri_that_was_not_named_need_not_be_repeated() {
    let sandbox = TestSandbox::strict().await;
    let short = bare_link(&[("response_type", "code"), ("client_id", &sandbox.running.client_id)]);
    for (named, status) in [(None, 200), (Some(CALLBACK), 200), (Some("http://localhost:8080/other"), 400)] {
        let page = open(&sandbox, &short).await;
        let target = location(&press(&sandbox, &page, "allow").await);
        assert!(target.starts_with(CALLBACK));
        let code = carried(&target, "code").unwrap();
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code.as_str())];
        fields.extend(named.map(|uri| ("redirect_uri", uri)));
        assert_eq!(post(&sandbox, "/oauth/access_token", &fields).await.status, status, "{named:?}");
    }
}

#[tokio::test]
async fn a_guest_app_completes_the_flow_with_its_own_codes_only() {
    let sandbox = TestSandbox::open().await;
    let first = allow(&sandbox, &[]).await;
    let pairs = [("response_type", "code"), ("client_id", "abc123"), ("redirect_uri", "http://127.0.0.1/cb")];
    let page = open(&sandbox, &bare_link(&pairs)).await;
    let guests = carried(&location(&press(&sandbox, &page, "allow").await), "code").unwrap();
    let bring = |code, redirect_uri| {
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect_uri)]
    };
    let path = "/oauth/access_token";
    assert_invalid(&post_as(&sandbox, ("abc123", "any"), path, &bring(&first, CALLBACK)).await);
    assert_invalid(&post(&sandbox, path, &bring(&guests, "http://127.0.0.1/cb")).await);
    let auth =
        post_as(&sandbox, ("abc123", "any"), path, &bring(&guests, "http://127.0.0.1/cb")).await.json();
    assert_eq!(
        (&auth["app"]["name"], &auth["user"]["name"]),
        (&json!("Guest App"), &json!("Owner of Guest App"))
    );
    assert_eq!(exchange(&sandbox, &first).await.status, 200);
}

#[tokio::test]
async fn an_invalid_exchange_is_rejected_in_the_format_of_oauth() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let long = "x".repeat(5000);
    let back = ("redirect_uri", CALLBACK);
    let right = ("grant_type", "authorization_code");
    for (fields, error) in [
        (vec![back, ("code", code.as_str())], "invalid_request"),
        (vec![back, ("code", code.as_str()), ("grant_type", "password")], "unsupported_grant_type"),
        (vec![back, ("code", code.as_str()), ("grant_type", "client_credentials")], "unsupported_grant_type"),
        (vec![back, right], "invalid_request"),
        (vec![back, right, ("code", "")], "invalid_request"),
        (vec![back, right, ("code", "0123456789")], "invalid_request"),
        (vec![back, right, ("code", "\u{0}\r\n<b>")], "invalid_request"),
        (vec![back, right, ("code", &long)], "invalid_request"),
        (vec![back, right, ("code", code.as_str()), ("code", "other")], "invalid_request"),
    ] {
        assert_refused(&post(&sandbox, "/oauth/access_token", &fields).await, error);
    }
    // Repeated with the same value.
    let twice = [back, right, ("code", code.as_str()), ("code", code.as_str()), back];
    assert_eq!(post(&sandbox, "/oauth/access_token", &twice).await.status, 200);
}

#[tokio::test]
async fn an_exchange_needs_the_apps_credentials() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    let wrong =
        post_as(&sandbox, (&sandbox.running.client_id, "wrong"), "/oauth/access_token", &fields).await;
    assert_eq!((wrong.status, wrong.code()), (401, json!(8001)));
    let unknown = post_as(&sandbox, ("unknown", "wrong"), "/oauth/access_token", &fields).await;
    assert_eq!((unknown.status, &unknown.json()["error"]), (401, &json!("invalid_client")));
    let bearer = sandbox.request("POST", "/oauth/access_token").await;
    assert_eq!((bearer.status, &bearer.json()["error"]), (401, &json!("invalid_client")));
    assert_eq!(exchange(&sandbox, &code).await.status, 200);
}

#[tokio::test]
async fn a_code_survives_a_restart_with_a_state_file() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("grants");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let options =
        || sandbox::Options { state_file: Some(directory.join("state")), ..sandbox::Options::default() };
    let before = TestSandbox::with(options()).await;
    let code = allow(&before, &[]).await;
    before.running.stop().await;
    let after = TestSandbox::with(options()).await;
    assert_eq!(exchange(&after, &code).await.status, 200);
    assert_invalid(&exchange(&after, &code).await);
}

#[tokio::test]
async fn codes_do_not_appear_in_the_journal() {
    let sandbox = TestSandbox::strict().await;
    let code = allow(&sandbox, &[]).await;
    let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    let path = format!("/oauth/access_token?{}", encoded(&fields));
    post(&sandbox, &path, &fields).await;
    let fields = [("ticket", "0123abcd"), ("user_code", "BCDF-GHJK"), ("device_code", "4567")];
    sandbox.send("GET", &format!("/activate?{}", encoded(&fields)), &[], b"").await;
    let shown = sandbox.control("GET", "journal", &Value::Null).await.text();
    for secret in [code.as_str(), "0123abcd", "BCDF-GHJK", "device_code=4567"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}
