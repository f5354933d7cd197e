use serde_json::{Value, json};

use crate::browser::{
    allowed_tokens, another_app, encoded, location, open, post, post_as, press, submit, ticket, values,
};
use crate::harness::{Desk, Reply};

struct Begun {
    device_code: String,
    user_code: String,
    authorize_link: String,
}

async fn begin(desk: &Desk, scope: &str) -> Begun {
    let reply = post(desk, "/oauth/device", &[("grant_type", "device_grant"), ("scope", scope)]).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = reply.json();
    let text = |name: &str| shown[name].as_str().unwrap().to_owned();
    let authorize_link = text("authorize_link").strip_prefix(&desk.running.base_url).unwrap().to_owned();
    Begun { device_code: text("device_code"), user_code: text("user_code"), authorize_link }
}

async fn poll(desk: &Desk, device: &Begun) -> Reply {
    let fields = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    post(desk, "/oauth/device/authorize", &fields).await
}

fn assert_refused(reply: &Reply, error: &str) {
    assert_eq!((reply.status, &reply.json()["error"]), (400, &json!(error)), "{}", reply.text());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_device_learns_what_it_has_to_show() {
    let desk = Desk::strict().await;
    let reply = post(&desk, "/oauth/device", &[("grant_type", "device_grant")]).await;
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
    // Nothing that is easily taken for something else.
    assert!(
        code.chars().all(|char| char == '-' || (char.is_ascii_uppercase() && !"AEIOULSQVY".contains(char))),
        "{code}"
    );
    assert_eq!(shown["activate_link"], format!("{}/activate", desk.running.base_url));
    assert_eq!(
        shown["authorize_link"],
        format!("{}/oauth/device/authorize?user_code={code}", desk.running.base_url)
    );
}

#[tokio::test]
async fn a_device_gets_its_token_once_its_user_allowed_it() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public private upload").await;
    assert_refused(&poll(&desk, &device).await, "authorization_pending");
    let page = open(&desk, &device.authorize_link).await;
    assert!(page.text().contains(&device.user_code) && page.text().contains("Sandbox App"));
    let done = press(&desk, &page, "allow").await;
    assert!(done.status == 200 && done.text().contains("<h1>Allowed</h1>"), "{}", done.text());

    let reply = poll(&desk, &device).await;
    let auth = reply.json();
    assert_eq!((reply.status, &auth["scope"]), (200, &json!("public private upload")));
    assert_eq!(auth["user"]["name"], "Owner of Sandbox App");
    let verified = desk.ask_with(auth["access_token"].as_str().unwrap(), "GET", "/oauth/verify").await;
    assert_eq!(verified.json(), auth);
    // Once.
    assert_refused(&poll(&desk, &device).await, "invalid_request");
    assert_eq!(allowed_tokens(&desk).await, 1);
}

#[tokio::test]
async fn a_user_code_may_be_typed_in_many_ways() {
    let desk = Desk::strict().await;
    let form = open(&desk, "/activate").await;
    assert!(form.status == 200 && form.text().contains("name=\"user_code\""));
    let device = begin(&desk, "public").await;
    let (lower, plain) = (device.user_code.to_lowercase(), device.user_code.replace('-', ""));
    let spaced = device.user_code.replace('-', " ");
    for typed in [&device.user_code, &lower, &plain, &plain.to_lowercase(), &spaced, &format!("  {plain} ")] {
        for path in ["/activate", "/oauth/device/authorize"] {
            let page = open(&desk, &format!("{path}?{}", encoded(&[("user_code", typed)]))).await;
            assert_eq!(values(&page, "name=\"scope\" value=\""), ["public"], "{typed}");
        }
    }
    let fields = [("user_code", plain.as_str()), ("device_code", &device.device_code)];
    assert_refused(&post(&desk, "/oauth/device/authorize", &fields).await, "authorization_pending");
}

#[tokio::test]
async fn a_user_code_that_no_device_waits_for_is_told_beside_the_field() {
    let desk = Desk::strict().await;
    let answered = begin(&desk, "public").await;
    press(&desk, &open(&desk, &answered.authorize_link).await, "allow").await;
    let long = "x".repeat(5000);
    for typed in ["AAAA-AAAA", "\"><script>alert(1)</script>", "-", "\u{0}", &long, &answered.user_code] {
        let page = open(&desk, &format!("/activate?{}", encoded(&[("user_code", typed)]))).await;
        assert_eq!(page.status, 400, "{typed}");
        assert!(page.text().contains("aria-invalid=\"true\"") && !page.text().contains("<script"), "{typed}");
    }
}

#[tokio::test]
async fn a_denied_device_is_told_so() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public").await;
    let done = press(&desk, &open(&desk, &device.authorize_link).await, "deny").await;
    assert!(done.status == 200 && done.text().contains("<h1>Denied</h1>"));
    for _ in 0..2 {
        assert_refused(&poll(&desk, &device).await, "access_denied");
    }
    assert_eq!(allowed_tokens(&desk).await, 0);
}

#[tokio::test]
async fn the_first_answer_to_a_device_stands() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public").await;
    let (first, second) =
        (open(&desk, &device.authorize_link).await, open(&desk, &device.authorize_link).await);
    assert_ne!(ticket(&first), ticket(&second));
    assert_eq!(press(&desk, &first, "deny").await.status, 200);
    assert_eq!(press(&desk, &second, "allow").await.status, 400);
    assert_refused(&poll(&desk, &device).await, "access_denied");
}

#[tokio::test]
async fn a_device_that_nobody_answers_expires() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public").await;
    desk.pass_seconds(599);
    let page = open(&desk, &device.authorize_link).await;
    assert_refused(&poll(&desk, &device).await, "authorization_pending");
    desk.pass_seconds(1);
    assert_eq!(open(&desk, &device.authorize_link).await.status, 400);
    // The page is younger than the device.
    assert_eq!(press(&desk, &page, "allow").await.status, 400);
    begin(&desk, "public").await;
    assert_refused(&poll(&desk, &device).await, "expired_token");
    desk.pass_seconds(25 * 60 * 60);
    begin(&desk, "public").await;
    assert_refused(&poll(&desk, &device).await, "invalid_request");
}

#[tokio::test]
async fn a_device_code_belongs_to_its_app_and_its_user_code() {
    let desk = Desk::strict().await;
    let (device, other) = (begin(&desk, "public").await, begin(&desk, "public").await);
    press(&desk, &open(&desk, &device.authorize_link).await, "allow").await;
    let (id, secret) = another_app(&desk, &[]).await;
    let own = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    assert_refused(&post_as(&desk, (&id, &secret), "/oauth/device/authorize", &own).await, "invalid_request");
    for (user_code, device_code) in [
        (&other.user_code, &device.device_code),
        (&device.user_code, &other.device_code),
        (&device.user_code, &String::new()),
        (&String::new(), &device.device_code),
        (&device.user_code, &"\u{0}<b>".to_owned()),
    ] {
        let fields = [("user_code", user_code.as_str()), ("device_code", device_code)];
        assert_refused(&post(&desk, "/oauth/device/authorize", &fields).await, "invalid_request");
    }
    assert_eq!(poll(&desk, &device).await.status, 200);
}

#[tokio::test]
async fn the_device_endpoints_check_client_and_grant() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public").await;
    for path in ["/oauth/device", "/oauth/device/authorize"] {
        let wrong = post_as(&desk, (&desk.running.client_id, "wrong"), path, &[]).await;
        assert_eq!((wrong.status, wrong.code()), (401, json!(8001)));
        assert_eq!(post_as(&desk, ("nobody", "x"), path, &[]).await.json()["error"], "invalid_client");
    }
    assert_refused(&post(&desk, "/oauth/device", &[]).await, "invalid_request");
    let other = [("grant_type", "authorization_code")];
    assert_refused(&post(&desk, "/oauth/device", &other).await, "unsupported_grant_type");
    let own = [("user_code", device.user_code.as_str()), ("device_code", &device.device_code)];
    let fields = [own.as_slice(), &[("grant_type", "password")]].concat();
    assert_refused(&post(&desk, "/oauth/device/authorize", &fields).await, "unsupported_grant_type");
    // As Vimeo's library for Android asks, and at the link that it was given.
    let fields = [own.as_slice(), &[("grant_type", "device_grant"), ("scope", "public")]].concat();
    assert_refused(&post(&desk, &device.authorize_link, &fields).await, "authorization_pending");
}

#[tokio::test]
async fn scopes_are_declined_for_devices_too() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public private upload video").await;
    let page = open(&desk, &device.authorize_link).await;
    assert!(page.text().contains("Vimeo has no scope for"));
    let user = values(&page, "<option value=\"")[0].clone();
    let fields = [
        ("ticket", ticket(&page)),
        ("user", user),
        ("scope", "public".to_owned()),
        ("decision", "allow".to_owned()),
    ];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(submit(&desk, &fields).await.status, 200);
    assert_eq!(poll(&desk, &device).await.json()["scope"], "public");
}

#[tokio::test]
async fn a_reset_forgets_devices_and_pages() {
    let desk = Desk::strict().await;
    let device = begin(&desk, "public").await;
    let page = open(&desk, &device.authorize_link).await;
    desk.control("POST", "reset", &Value::Null).await;
    assert_refused(&poll(&desk, &device).await, "invalid_request");
    assert_eq!(press(&desk, &page, "allow").await.status, 400);
    let page = open(&desk, &crate::browser::link(&desk, &[])).await;
    location(&press(&desk, &page, "deny").await);
}
