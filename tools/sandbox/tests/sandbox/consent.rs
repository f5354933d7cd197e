use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::browser::{
    CALLBACK, allowed_tokens, assert_page_of_error, bare_link, carried, exchange, form, link, location, open,
    press, submit, ticket, values,
};
use crate::harness::Desk;

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_on_whose_account() {
    let desk = Desk::strict().await;
    let vera = json!({"app": desk.running.client_id, "user": {"name": "Vera"}});
    desk.control("POST", "tokens", &vera).await;
    let page = open(&desk, &link(&desk, &[("scope", "public private upload video"), ("state", "x")])).await;
    let text = page.text();
    for part in [
        "<title>Sandbox App asks for access",
        "<code>/apps/240001</code>",
        "<code>http://localhost:8080/callback</code>",
        "Upload videos, thumbnails and subtitles to your account",
        "Vimeo has no scope for: <bdi><code>video</code></bdi>",
        "Vera (/users/",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(values(&page, "name=\"scope\" value=\""), ["public", "private", "upload"]);
    // The owner stands first.
    assert_eq!(values(&page, "<option value=\"")[0], "240002");
    assert_eq!(allowed_tokens(&desk).await, 0);
}

#[tokio::test]
async fn no_page_may_be_framed_kept_or_scripted() {
    let desk = Desk::strict().await;
    for path in [link(&desk, &[]), "/oauth/authorize".to_owned(), "/activate".to_owned()] {
        let page = open(&desk, &path).await;
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
            let style = open(&desk, &asset).await;
            assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
        }
    }
    assert_eq!(open(&desk, "/_sandbox/assets/icon.svg").await.header("content-type"), Some("image/svg+xml"));
    assert_eq!(open(&desk, "/_sandbox/assets/Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn a_denial_is_told_to_the_app() {
    let desk = Desk::strict().await;
    let page = open(&desk, &link(&desk, &[("state", "s")])).await;
    let target = location(&press(&desk, &page, "deny").await);
    assert_eq!(carried(&target, "error").as_deref(), Some("access_denied"));
    assert_eq!((carried(&target, "code"), carried(&target, "state").as_deref()), (None, Some("s")));
    // Declining everything says the same.
    let page = open(&desk, &link(&desk, &[])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let reply = submit(&desk, &[("ticket", &ticket), ("user", &user), ("decision", "allow")]).await;
    assert_eq!(carried(&location(&reply), "error").as_deref(), Some("access_denied"));
}

/// Allows these of the scopes that are asked for; gives the scope of the token.
async fn allow_of(desk: &Desk, asked: &str, kept: &[&str]) -> Value {
    let page = open(desk, &link(desk, &[("scope", asked)])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let mut fields = vec![("ticket", ticket.as_str()), ("user", &user), ("decision", "allow")];
    fields.extend(kept.iter().map(|scope| ("scope", *scope)));
    let target = location(&submit(desk, &fields).await);
    match carried(&target, "code") {
        Some(code) => exchange(desk, &code).await.json()["scope"].clone(),
        None => Value::Null,
    }
}

#[tokio::test]
async fn each_scope_can_be_declined_and_private_takes_the_others_along() {
    let desk = Desk::strict().await;
    let all = "public private upload edit";
    for (kept, scope) in [
        (vec!["public", "private", "upload", "edit"], json!("public private upload edit")),
        (vec!["public", "private", "edit"], json!("public private edit")),
        (vec!["edit", "private"], json!("private edit")),
        (vec!["public", "upload", "edit"], json!("public")),
        (vec!["upload", "edit"], Value::Null),
        (vec!["public", "public"], json!("public")),
    ] {
        assert_eq!(allow_of(&desk, all, &kept).await, scope, "{kept:?}");
    }
}

#[tokio::test]
async fn scopes_that_do_not_exist_are_named_and_not_given() {
    let desk = Desk::strict().await;
    for (asked, offered) in [
        ("", vec!["public", "private"]),
        ("video", vec!["public"]),
        ("p u b l i c", vec!["public"]),
        ("upload", vec!["private", "upload"]),
        ("public public private video_files video", vec!["public", "private", "video_files"]),
    ] {
        let page = open(&desk, &link(&desk, &[("scope", asked)])).await;
        assert_eq!(values(&page, "name=\"scope\" value=\""), offered, "{asked}");
        assert_eq!(
            page.text().contains("has no scope for"),
            asked.contains("video") || asked.contains("p u")
        );
    }
    let many = (0..100).map(|number| format!("<i>{number}")).collect::<Vec<_>>().join(" ");
    let page = open(&desk, &link(&desk, &[("scope", &format!("{many} \u{202e}{}", "x".repeat(100)))])).await;
    assert!(page.text().contains("and 89 more") && !page.text().contains("<i>"));
}

#[tokio::test]
async fn a_page_is_answered_once() {
    let desk = Desk::strict().await;
    for (first, second) in [("allow", "allow"), ("deny", "allow"), ("allow", "deny")] {
        let page = open(&desk, &link(&desk, &[])).await;
        location(&press(&desk, &page, first).await);
        assert_page_of_error(&press(&desk, &page, second).await, "used up");
    }
}

#[tokio::test]
async fn a_page_waits_for_ten_minutes() {
    let desk = Desk::strict().await;
    let (early, late) = (open(&desk, &link(&desk, &[])).await, open(&desk, &link(&desk, &[])).await);
    desk.pass_seconds(599);
    location(&press(&desk, &early, "allow").await);
    desk.pass_seconds(1);
    assert_page_of_error(&press(&desk, &late, "allow").await, "used up");
}

#[tokio::test]
async fn an_answer_cannot_change_what_was_asked() {
    let desk = Desk::strict().await;
    let page = open(&desk, &link(&desk, &[("scope", "public private")])).await;
    let (ticket, user) = (ticket(&page), values(&page, "<option value=\"")[0].clone());
    let good =
        [("ticket", ticket.as_str()), ("user", user.as_str()), ("decision", "allow"), ("scope", "public")];
    for (fields, part) in [
        ([good.as_slice(), &[("scope", "delete")]].concat(), "did not ask for"),
        ([good.as_slice(), &[("scope", "<b>")]].concat(), "did not ask for"),
        ([good.as_slice(), &[("decision", "deny")]].concat(), "more than once"),
        ([good.as_slice(), &[("ticket", "x")]].concat(), "more than once"),
        ([good.as_slice(), &[("user", "240001")]].concat(), "more than once"),
        (good[1..].to_vec(), "ticket parameter is missing"),
        (vec![good[0], good[1], good[3]], "decision parameter is missing"),
        (vec![good[0], good[1], ("decision", "Allow")], "must be allow or deny"),
        (vec![good[0], good[2], good[3]], "user parameter is missing"),
        (vec![good[0], ("user", "240001"), good[2], good[3]], "no such user"),
        (vec![good[0], ("user", "-1"), good[2], good[3]], "no such user"),
        (vec![("ticket", "0123"), good[1], good[2], good[3]], "used up"),
        (vec![("ticket", "\u{0}\r\n"), good[1], good[2], good[3]], "used up"),
    ] {
        assert_page_of_error(&submit(&desk, &fields).await, part);
    }
    // What is said beside the form's own fields changes nothing, and the page is still good.
    let extra = [
        ("redirect_uri", "http://evil.example/"),
        ("client_id", "x"),
        ("state", "y"),
        ("response_type", "token"),
    ];
    let target = location(&submit(&desk, &[good.as_slice(), &extra].concat()).await);
    assert!(target.starts_with(&format!("{CALLBACK}?code=")) && !target.contains("state"), "{target}");
    let huge = vec![b'x'; 1024 * 1024 + 1];
    let reply = desk.send("POST", "/oauth/authorize", &[], &huge).await;
    assert_page_of_error(&reply, "longer than 1 MiB");
    let reply = desk.send("POST", "/oauth/authorize", &[("Content-Type", "text/plain")], b"ticket=1").await;
    assert_page_of_error(&reply, "content type");
}

#[tokio::test]
async fn the_user_who_is_chosen_is_the_tokens_user() {
    let desk = Desk::strict().await;
    let vera = json!({"app": desk.running.client_id, "user": {"name": "Vera"}});
    let uri = desk.control("POST", "tokens", &vera).await.json()["user"]["uri"].clone();
    let number = uri.as_str().unwrap().strip_prefix("/users/").unwrap().to_owned();
    let page = open(&desk, &link(&desk, &[])).await;
    let fields = [("ticket", ticket(&page)), ("user", number), ("decision", "allow".to_owned())];
    let mut fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.push(("scope", "public"));
    let target = location(&submit(&desk, &fields).await);
    let auth = exchange(&desk, &carried(&target, "code").unwrap()).await.json();
    assert_eq!((&auth["user"]["name"], &auth["user"]["uri"]), (&json!("Vera"), &uri));
}

#[tokio::test]
async fn names_with_html_in_them_are_shown_as_text() {
    let desk = Desk::strict().await;
    let name = "<script>alert(1)</script>\" onload='x' \u{202e}&amp; {{ 7 }}";
    let order = json!({"name": name, "redirect_uris": ["myapp://<b>\"'&amp;"]});
    let app = desk.control("POST", "apps", &order).await.json();
    let id = app["client_id"].as_str().unwrap();
    let reply = open(&desk, &bare_link(&[("response_type", "code"), ("client_id", id)])).await;
    let text = reply.text();
    assert_eq!(reply.status, 200, "{text}");
    for raw in ["<script", "<b>", "onload='", "\u{202e}"] {
        assert!(!text.contains(raw), "{raw}");
    }
    assert!(text.contains("{{ 7 }}"));
    // The address goes back as it was registered.
    let target = location(&press(&desk, &reply, "allow").await);
    assert!(target.starts_with("myapp://<b>\"'&amp;?code="), "{target}");
}

#[tokio::test]
async fn an_implicit_token_comes_in_the_fragment_and_lives_an_hour() {
    let desk = Desk::strict().await;
    let pairs = [
        ("response_type", "token"),
        ("client_id", desk.running.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("scope", "public private"),
        ("state", "a b"),
    ];
    let page = open(&desk, &bare_link(&pairs)).await;
    let target = location(&press(&desk, &page, "allow").await);
    assert!(target.starts_with(&format!("{CALLBACK}#access_token=")) && !target.contains('?'), "{target}");
    for (name, value) in
        [("token_type", "bearer"), ("expires_in", "3600"), ("scope", "public private"), ("state", "a b")]
    {
        assert_eq!(carried(&target, name).as_deref(), Some(value));
    }
    let token = carried(&target, "access_token").unwrap();
    let verified = desk.ask_with(&token, "GET", "/oauth/verify").await.json();
    assert_eq!(
        (&verified["scope"], &verified["user"]["name"]),
        (&json!("public private"), &json!("Owner of Sandbox App"))
    );
    desk.pass_seconds(3599);
    assert_eq!(desk.ask_with(&token, "GET", "/me").await.status, 200);
    desk.pass_seconds(1);
    assert_eq!(desk.ask_with(&token, "GET", "/oauth/verify").await.status, 401);
    assert_eq!(desk.ask_with(&token, "GET", "/me").await.code(), 8003);

    let target = location(&press(&desk, &open(&desk, &bare_link(&pairs)).await, "deny").await);
    assert!(target.starts_with(&format!("{CALLBACK}#error=access_denied&")), "{target}");
}

#[tokio::test]
async fn a_form_has_one_of_everything() {
    let desk = Desk::strict().await;
    let page = open(&desk, &link(&desk, &[("scope", "public private upload")])).await;
    let names: Vec<String> = form(&page).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ticket", "user", "scope", "scope", "scope"]);
    assert_eq!(values(&page, "name=\"decision\" value=\""), ["allow", "deny"]);
}

#[test]
fn whatever_a_link_or_an_answer_says_it_is_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let desk = runtime.block_on(Desk::open());
    let client_id = desk.running.client_id.clone();
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
        let authorization = crate::harness::basic(&client_id, &desk.running.client_secret);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let asked = runtime.block_on(desk.send("GET", &format!("{path}?{said}"), &headers, b""));
        let told = runtime.block_on(desk.send("POST", path, &headers, said.as_bytes()));
        prop_assert!((200..500).contains(&asked.status) && (200..500).contains(&told.status));
        Ok(())
    });
    outcome.unwrap();
}
