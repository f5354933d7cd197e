use serde_json::{Value, json};

use crate::support::browser::{
    allowed_tokens, another_app, encoded, location, open, post, post_as, press, submit, ticket, values,
};
use crate::support::test_sandbox::{Reply, TestSandbox};

struct DeviceCodes {
    device_code: String,
    user_code: String,
    authorize_link: String,
}

async fn begin(sandbox: &TestSandbox, scope: &str) -> DeviceCodes {
    let reply = post(sandbox, "/oauth/device", &[("grant_type", "device_grant"), ("scope", scope)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = reply.json();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    let authorize_link = text("authorize_link").strip_prefix(&sandbox.running.base_url).unwrap().to_owned();
    DeviceCodes { device_code: text("device_code"), user_code: text("user_code"), authorize_link }
}

async fn poll(sandbox: &TestSandbox, device: &DeviceCodes) -> Reply {
    let fields = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    post(sandbox, "/oauth/device/authorize", &fields).await
}

fn assert_refused(reply: &Reply, error: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)), "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_device_receives_its_codes() {
    let sandbox = TestSandbox::strict().await;
    let reply = post(&sandbox, "/oauth/device", &[("grant_type", "device_grant")]).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    let shown = reply.json();
    let members: Vec<&String> = shown.as_object().unwrap().keys().collect();
    assert_eq!(
        members,
        ["device_code", "user_code", "authorize_link", "activate_link", "expires_in", "interval"]
    );
    assert_eq!((&shown["expires_in"], &shown["interval"]), (&json!(600), &json!(5)));
    let code = shown["user_code"].as_str().unwrap();
    assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
    // No characters that look alike.
    assert!(
        code.chars().all(|char| char == '-' || (char.is_ascii_uppercase() && !"AEIOULSQVY".contains(char))),
        "{code}"
    );
    assert_eq!(shown["activate_link"], format!("{}/activate", sandbox.running.base_url));
    assert_eq!(
        shown["authorize_link"],
        format!("{}/oauth/device/authorize?user_code={code}", sandbox.running.base_url)
    );
}

#[tokio::test]
async fn a_device_gets_its_token_after_its_user_allowed_it() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public private upload").await;
    assert_refused(&poll(&sandbox, &device).await, "authorization_pending");
    let page = open(&sandbox, &device.authorize_link).await;
    assert!(page.text().contains(&device.user_code) && page.text().contains("Sandbox App"));
    let done = press(&sandbox, &page, "allow").await;
    assert!(done.status == 200 && done.text().contains("<h1>Allowed</h1>"), "{}", done.text());

    let reply = poll(&sandbox, &device).await;
    let auth = reply.json();
    assert_eq!((reply.status, &auth["scope"]), (200, &json!("public private upload")));
    assert_eq!(auth["user"]["name"], "Owner of Sandbox App");
    let verified = sandbox.request_with(auth["access_token"].as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(verified.json(), auth);
    // Only once.
    assert_refused(&poll(&sandbox, &device).await, "invalid_request");
    assert_eq!(allowed_tokens(&sandbox).await, 1);
}

#[tokio::test]
async fn a_user_code_may_be_typed_in_many_ways() {
    let sandbox = TestSandbox::strict().await;
    let form = open(&sandbox, "/activate").await;
    assert!(form.status == 200 && form.text().contains("name=\"user_code\""));
    let device = begin(&sandbox, "public").await;
    let (lower, plain) = (device.user_code.to_lowercase(), device.user_code.replace('-', ""));
    let spaced = device.user_code.replace('-', " ");
    for typed in [&device.user_code, &lower, &plain, &plain.to_lowercase(), &spaced, &format!("  {plain} ")] {
        for path in ["/activate", "/oauth/device/authorize"] {
            let page = open(&sandbox, &format!("{path}?{}", encoded(&[("user_code", typed)]))).await;
            assert_eq!(values(&page, "name=\"scope\" value=\""), ["public"], "{typed}");
        }
    }
    let fields = [("user_code", plain.as_str()), ("device_code", &device.device_code)];
    assert_refused(&post(&sandbox, "/oauth/device/authorize", &fields).await, "authorization_pending");
}

#[tokio::test]
async fn an_unknown_user_code_is_reported_beside_the_field() {
    let sandbox = TestSandbox::strict().await;
    let answered = begin(&sandbox, "public").await;
    press(&sandbox, &open(&sandbox, &answered.authorize_link).await, "allow").await;
    let long = "x".repeat(5000);
    for typed in ["AAAA-AAAA", "\"><script>alert(1)</script>", "-", "\u{0}", &long, &answered.user_code] {
        let page = open(&sandbox, &format!("/activate?{}", encoded(&[("user_code", typed)]))).await;
        assert_eq!(page.status, 400, "{typed}");
        assert!(page.text().contains("aria-invalid=\"true\"") && !page.text().contains("<script"), "{typed}");
    }
}

#[tokio::test]
async fn a_denial_is_reported_to_the_device() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public").await;
    let done = press(&sandbox, &open(&sandbox, &device.authorize_link).await, "deny").await;
    assert!(done.status == 200 && done.text().contains("<h1>Denied</h1>"));
    for _ in 0..2 {
        assert_refused(&poll(&sandbox, &device).await, "access_denied");
    }
    assert_eq!(allowed_tokens(&sandbox).await, 0);
}

#[tokio::test]
async fn the_first_decision_for_a_device_counts() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public").await;
    let (first, second) =
        (open(&sandbox, &device.authorize_link).await, open(&sandbox, &device.authorize_link).await);
    assert_ne!(ticket(&first), ticket(&second));
    assert_eq!(press(&sandbox, &first, "deny").await.status, 200);
    assert_eq!(press(&sandbox, &second, "allow").await.status, 400);
    assert_refused(&poll(&sandbox, &device).await, "access_denied");
}

#[tokio::test]
async fn a_device_without_a_decision_expires() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public").await;
    sandbox.pass_seconds(599);
    let page = open(&sandbox, &device.authorize_link).await;
    assert_refused(&poll(&sandbox, &device).await, "authorization_pending");
    sandbox.pass_seconds(1);
    assert_eq!(open(&sandbox, &device.authorize_link).await.status, 400);
    // The page expires after the device.
    assert_eq!(press(&sandbox, &page, "allow").await.status, 400);
    begin(&sandbox, "public").await;
    assert_refused(&poll(&sandbox, &device).await, "expired_token");
    sandbox.pass_seconds(25 * 60 * 60);
    begin(&sandbox, "public").await;
    assert_refused(&poll(&sandbox, &device).await, "invalid_request");
}

#[tokio::test]
async fn a_device_code_belongs_to_its_app_and_its_user_code() {
    let sandbox = TestSandbox::strict().await;
    let (device, other) = (begin(&sandbox, "public").await, begin(&sandbox, "public").await);
    press(&sandbox, &open(&sandbox, &device.authorize_link).await, "allow").await;
    let (id, secret) = another_app(&sandbox, &[]).await;
    let own = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    assert_refused(
        &post_as(&sandbox, (&id, &secret), "/oauth/device/authorize", &own).await,
        "invalid_request",
    );
    for (user_code, device_code) in [
        (&other.user_code, &device.device_code),
        (&device.user_code, &other.device_code),
        (&device.user_code, &String::new()),
        (&String::new(), &device.device_code),
        (&device.user_code, &"\u{0}<b>".to_owned()),
    ] {
        let fields = [("user_code", user_code.as_str()), ("device_code", device_code)];
        assert_refused(&post(&sandbox, "/oauth/device/authorize", &fields).await, "invalid_request");
    }
    assert_eq!(poll(&sandbox, &device).await.status, 200);
}

#[tokio::test]
async fn the_device_endpoints_check_client_and_grant() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public").await;
    for path in ["/oauth/device", "/oauth/device/authorize"] {
        let wrong = post_as(&sandbox, (&sandbox.running.client_id, "wrong"), path, &[]).await;
        assert_eq!((wrong.status, wrong.code()), (401, json!(8001)));
        assert_eq!(post_as(&sandbox, ("unknown", "x"), path, &[]).await.json()["error"], "invalid_client");
    }
    assert_refused(&post(&sandbox, "/oauth/device", &[]).await, "invalid_request");
    let other = [("grant_type", "authorization_code")];
    assert_refused(&post(&sandbox, "/oauth/device", &other).await, "unsupported_grant_type");
    let own = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    let fields = [own.as_slice(), &[("grant_type", "password")]].concat();
    assert_refused(&post(&sandbox, "/oauth/device/authorize", &fields).await, "unsupported_grant_type");
    // The request of Vimeo's library for Android, at the link that it was given.
    let fields = [own.as_slice(), &[("grant_type", "device_grant"), ("scope", "public")]].concat();
    assert_refused(&post(&sandbox, &device.authorize_link, &fields).await, "authorization_pending");
}

#[tokio::test]
async fn scopes_are_declined_for_devices_too() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public private upload video").await;
    let page = open(&sandbox, &device.authorize_link).await;
    assert!(page.text().contains("scopes that Vimeo does not have"));
    let user = values(&page, "<option value=\"")[0].clone();
    let fields = [
        ("ticket", ticket(&page)),
        ("user", user),
        ("scope", "public".to_owned()),
        ("decision", "allow".to_owned()),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(submit(&sandbox, &fields).await.status, 200);
    assert_eq!(poll(&sandbox, &device).await.json()["scope"], "public");
}

#[tokio::test]
async fn a_reset_removes_devices_and_pages() {
    let sandbox = TestSandbox::strict().await;
    let device = begin(&sandbox, "public").await;
    let page = open(&sandbox, &device.authorize_link).await;
    sandbox.control("POST", "reset", &Value::Null).await;
    assert_refused(&poll(&sandbox, &device).await, "invalid_request");
    assert_eq!(press(&sandbox, &page, "allow").await.status, 400);
    let page = open(&sandbox, &crate::support::browser::link(&sandbox, &[])).await;
    location(&press(&sandbox, &page, "deny").await);
}
