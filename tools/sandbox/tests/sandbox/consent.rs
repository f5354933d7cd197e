use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::support::browser::{
    CALLBACK, allowed_tokens, assert_page_of_error, bare_link, carried, exchange, form, link, location, open,
    press, submit, ticket, values,
};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn the_page_names_the_app_the_scopes_and_the_user() {
    let sandbox = TestSandbox::strict().await;
    let vera = json!({"app": sandbox.running.client_id, "user": {"name": "Vera"}});
    sandbox.control("POST", "tokens", &vera).await;
    let page =
        open(&sandbox, &link(&sandbox, &[("scope", "public private upload video"), ("state", "x")])).await;
    let text = page.text();
    for part in [
        "<title>Sandbox App asks for access",
        "<code>/apps/240001</code>",
        "<code>http://localhost:8080/callback</code>",
        "Upload videos, thumbnails and subtitles to your account",
        "scopes that Vimeo does not have: <bdi><code>video</code></bdi>",
        "Vera (/users/",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(values(&page, "name=\"scope\" value=\""), ["public", "private", "upload"]);
    // The owner is the first user.
    assert_eq!(values(&page, "<option value=\"")[0], "240002");
    assert_eq!(allowed_tokens(&sandbox).await, 0);
}

#[tokio::test]
async fn pages_forbid_framing_caching_and_scripts() {
    let sandbox = TestSandbox::strict().await;
    for path in [link(&sandbox, &[]), "/oauth/authorize".to_owned(), "/activate".to_owned()] {
        let page = open(&sandbox, &path).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(page.header(name), Some(value));
        }
        assert!(!page.text().contains("<script") && !page.text().contains("style="));
        for asset in values(&page, "rel=\"stylesheet\" href=\"") {
            let style = open(&sandbox, &asset).await;
            assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
        }
    }
    assert_eq!(
        open(&sandbox, "/_sandbox/assets/icon.svg").await.header("content-type"),
        Some("image/svg+xml")
    );
    assert_eq!(open(&sandbox, "/_sandbox/assets/Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn a_denial_is_reported_to_the_app() {
    let sandbox = TestSandbox::strict().await;
    let page = open(&sandbox, &link(&sandbox, &[("state", "s")])).await;
    let target = location(&press(&sandbox, &page, "deny").await);
    assert_eq!(carried(&target, "error").as_deref(), Some("access_denied"));
    assert_eq!((carried(&target, "code"), carried(&target, "state").as_deref()), (None, Some("s")));
    // Declining everything has the same result.
    let page = open(&sandbox, &link(&sandbox, &[])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let reply = submit(&sandbox, &[("ticket", &ticket), ("user", &user), ("decision", "allow")]).await;
    assert_eq!(carried(&location(&reply), "error").as_deref(), Some("access_denied"));
}

/// Allows these of the requested scopes; returns the scope of the token.
async fn allow_of(sandbox: &TestSandbox, asked: &str, kept: &[&str]) -> Value {
    let page = open(sandbox, &link(sandbox, &[("scope", asked)])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let mut fields = vec![("ticket", ticket.as_str()), ("user", &user), ("decision", "allow")];
    fields.extend(kept.iter().map(|scope| ("scope", *scope)));
    let target = location(&submit(sandbox, &fields).await);
    match carried(&target, "code") {
        Some(code) => exchange(sandbox, &code).await.json()["scope"].clone(),
        None => Value::Null,
    }
}

#[tokio::test]
async fn each_scope_can_be_declined_and_without_private_only_public_remains() {
    let sandbox = TestSandbox::strict().await;
    let all = "public private upload edit";
    for (kept, scope) in [
        (vec!["public", "private", "upload", "edit"], json!("public private upload edit")),
        (vec!["public", "private", "edit"], json!("public private edit")),
        (vec!["edit", "private"], json!("private edit")),
        (vec!["public", "upload", "edit"], json!("public")),
        (vec!["upload", "edit"], Value::Null),
        (vec!["public", "public"], json!("public")),
    ] {
        assert_eq!(allow_of(&sandbox, all, &kept).await, scope, "{kept:?}");
    }
}

#[tokio::test]
async fn unknown_scopes_are_shown_and_not_granted() {
    let sandbox = TestSandbox::strict().await;
    for (asked, offered) in [
        ("", vec!["public", "private"]),
        ("video", vec!["public"]),
        ("p u b l i c", vec!["public"]),
        ("upload", vec!["private", "upload"]),
        ("public public private video_files video", vec!["public", "private", "video_files"]),
    ] {
        let page = open(&sandbox, &link(&sandbox, &[("scope", asked)])).await;
        assert_eq!(values(&page, "name=\"scope\" value=\""), offered, "{asked}");
        assert_eq!(
            page.text().contains("scopes that Vimeo does not have"),
            asked.contains("video") || asked.contains("p u")
        );
    }
    let many = (0..100).map(|number| format!("<i>{number}")).collect::<Vec<_>>().join(" ");
    let page =
        open(&sandbox, &link(&sandbox, &[("scope", &format!("{many} \u{202e}{}", "x".repeat(100)))])).await;
    assert!(page.text().contains("and 89 more") && !page.text().contains("<i>"));
}

#[tokio::test]
async fn a_page_can_be_answered_once() {
    let sandbox = TestSandbox::strict().await;
    for (first, second) in [("allow", "allow"), ("deny", "allow"), ("allow", "deny")] {
        let page = open(&sandbox, &link(&sandbox, &[])).await;
        location(&press(&sandbox, &page, first).await);
        assert_page_of_error(&press(&sandbox, &page, second).await, "has expired");
    }
}

#[tokio::test]
async fn a_page_expires_after_ten_minutes() {
    let sandbox = TestSandbox::strict().await;
    let (early, late) =
        (open(&sandbox, &link(&sandbox, &[])).await, open(&sandbox, &link(&sandbox, &[])).await);
    sandbox.pass_seconds(599);
    location(&press(&sandbox, &early, "allow").await);
    sandbox.pass_seconds(1);
    assert_page_of_error(&press(&sandbox, &late, "allow").await, "has expired");
}

#[tokio::test]
async fn a_decision_cannot_change_the_request() {
    let sandbox = TestSandbox::strict().await;
    let page = open(&sandbox, &link(&sandbox, &[("scope", "public private")])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let good =
        [("ticket", ticket.as_str()), ("user", user.as_str()), ("decision", "allow"), ("scope", "public")];
    for (fields, part) in [
        ([good.as_slice(), &[("scope", "delete")]].concat(), "did not ask for"),
        ([good.as_slice(), &[("scope", "<b>")]].concat(), "did not ask for"),
        ([good.as_slice(), &[("decision", "deny")]].concat(), "is repeated with"),
        ([good.as_slice(), &[("ticket", "x")]].concat(), "is repeated with"),
        ([good.as_slice(), &[("user", "240001")]].concat(), "is repeated with"),
        (good[1..].to_vec(), "ticket parameter is missing"),
        (vec![good[0], good[1], good[3]], "decision parameter is missing"),
        (vec![good[0], good[1], ("decision", "Allow")], "must be allow or deny"),
        (vec![good[0], good[2], good[3]], "user parameter is missing"),
        (vec![good[0], ("user", "240001"), good[2], good[3]], "no such user"),
        (vec![good[0], ("user", "-1"), good[2], good[3]], "no such user"),
        (vec![("ticket", "0123"), good[1], good[2], good[3]], "has expired"),
        (vec![("ticket", "\u{0}\r\n"), good[1], good[2], good[3]], "has expired"),
    ] {
        assert_page_of_error(&submit(&sandbox, &fields).await, part);
    }
    // Additional fields change nothing, and the page stays valid.
    let extra = [
        ("redirect_uri", "http://evil.example/"),
        ("client_id", "x"),
        ("state", "y"),
        ("response_type", "token"),
    ];
    let target = location(&submit(&sandbox, &[good.as_slice(), &extra].concat()).await);
    assert!(target.starts_with(&format!("{CALLBACK}?code=")) && !target.contains("state"), "{target}");
    let huge = vec![b'x'; 1024 * 1024 + 1];
    let reply = sandbox.send("POST", "/oauth/authorize", &[], &huge).await;
    assert_page_of_error(&reply, "longer than 1 MiB");
    let reply =
        sandbox.send("POST", "/oauth/authorize", &[("Content-Type", "text/plain")], b"ticket=1").await;
    assert_page_of_error(&reply, "content type");
}

#[tokio::test]
async fn the_token_belongs_to_the_chosen_user() {
    let sandbox = TestSandbox::strict().await;
    let vera = json!({"app": sandbox.running.client_id, "user": {"name": "Vera"}});
    let uri = sandbox.control("POST", "tokens", &vera).await.json()["user"]["uri"].clone();
    let number = uri.as_str().unwrap().strip_prefix("/users/").unwrap().to_owned();
    let page = open(&sandbox, &link(&sandbox, &[])).await;
    let fields = [("ticket", ticket(&page)), ("user", number), ("decision", "allow".to_owned())];
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("scope", "public"));
    let target = location(&submit(&sandbox, &fields).await);
    let auth = exchange(&sandbox, &carried(&target, "code").unwrap()).await.json();
    assert_eq!((&auth["user"]["name"], &auth["user"]["uri"]), (&json!("Vera"), &uri));
}

#[tokio::test]
async fn names_are_escaped_in_pages() {
    let sandbox = TestSandbox::strict().await;
    let name = "<script>alert(1)</script>\" onload='x' \u{202e}&amp; {{ 7 }}";
    let order = json!({"name": name, "redirect_uris": ["myapp://<b>\"'&amp;"]});
    let app = sandbox.control("POST", "apps", &order).await.json();
    let id = app["client_id"].as_str().unwrap();
    let reply = open(&sandbox, &bare_link(&[("response_type", "code"), ("client_id", id)])).await;
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    for raw in ["<script", "<b>", "onload='", "\u{202e}"] {
        assert!(!text.contains(raw), "{raw}");
    }
    assert!(text.contains("{{ 7 }}"));
    // The registered URI is used unchanged.
    let target = location(&press(&sandbox, &reply, "allow").await);
    assert!(target.starts_with("myapp://<b>\"'&amp;?code="), "{target}");
}

#[tokio::test]
async fn an_implicit_token_is_in_the_fragment_and_expires_after_an_hour() {
    let sandbox = TestSandbox::strict().await;
    let pairs = [
        ("response_type", "token"),
        ("client_id", sandbox.running.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("scope", "public private"),
        ("state", "a b"),
    ];
    let page = open(&sandbox, &bare_link(&pairs)).await;
    let target = location(&press(&sandbox, &page, "allow").await);
    assert!(target.starts_with(&format!("{CALLBACK}#access_token=")) && !target.contains('?'), "{target}");
    for (name, value) in
        [("token_type", "bearer"), ("expires_in", "3600"), ("scope", "public private"), ("state", "a b")]
    {
        assert_eq!(carried(&target, name).as_deref(), Some(value));
    }
    let token = carried(&target, "access_token").unwrap();
    let verified = sandbox.request_with(&token, "GET", "/oauth/verify").await.json();
    assert_eq!(
        (&verified["scope"], &verified["user"]["name"]),
        (&json!("public private"), &json!("Owner of Sandbox App"))
    );
    sandbox.pass_seconds(3599);
    assert_eq!(sandbox.request_with(&token, "GET", "/me").await.status, 200);
    sandbox.pass_seconds(1);
    assert_eq!(sandbox.request_with(&token, "GET", "/oauth/verify").await.status, 401);
    assert_eq!(sandbox.request_with(&token, "GET", "/me").await.code(), 8003);

    let target = location(&press(&sandbox, &open(&sandbox, &bare_link(&pairs)).await, "deny").await);
    assert!(target.starts_with(&format!("{CALLBACK}#error=access_denied&")), "{target}");
}

#[tokio::test]
async fn a_form_has_each_field_once() {
    let sandbox = TestSandbox::strict().await;
    let page = open(&sandbox, &link(&sandbox, &[("scope", "public private upload")])).await;
    let names: Vec<String> = form(&page).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ticket", "user", "scope", "scope", "scope"]);
    assert_eq!(values(&page, "name=\"decision\" value=\""), ["allow", "deny"]);
}

#[test]
fn random_links_and_decisions_get_a_response() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime.block_on(TestSandbox::open());
    let client_id = sandbox.running.client_id.clone();
    let name = prop::sample::select(vec![
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "ticket",
        "decision",
        "user",
        "user_code",
        "device_code",
        "code",
        "grant_type",
    ]);
    let value = prop_oneof![
        prop::sample::select(
            [client_id.as_str(), CALLBACK, "code", "token", "allow", "240002", "public"]
                .map(str::to_owned)
                .to_vec()
        ),
        "[ -~&&[^#&]]{0,20}".prop_map(|text| text.replace(' ', "+")),
        "(%[0-9a-f]{2}){0,8}",
        "\\PC{0,8}".prop_map(|text| form_urlencoded::byte_serialize(text.as_bytes()).collect()),
    ];
    let pairs = prop::collection::vec((name, value), 0..8);
    let path = prop::sample::select(vec![
        "/oauth/authorize",
        "/oauth/access_token",
        "/oauth/device",
        "/oauth/device/authorize",
        "/activate",
    ]);
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&(path, pairs), |(path, pairs)| {
        let said: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let said = said.join("&");
        let authorization = crate::support::test_sandbox::basic(&client_id, &sandbox.running.client_secret);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let asked = runtime.block_on(sandbox.send("GET", &format!("{path}?{said}"), &headers, b""));
        let decided = runtime.block_on(sandbox.send("POST", path, &headers, said.as_bytes()));
        prop_assert!((200..500).contains(&asked.status) && (200..500).contains(&decided.status));
        Ok(())
    });
    outcome.unwrap();
}
