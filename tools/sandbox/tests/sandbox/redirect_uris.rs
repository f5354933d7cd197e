use crate::support::browser::{
    CALLBACK, another_app, assert_page_of_error, bare_link, carried, link, location, open, press,
};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn a_redirect_uri_is_compared_byte_for_byte() {
    let sandbox = TestSandbox::strict().await;
    for uri in [
        "http://localhost:8080/callback.evil",
        "http://localhost:8080/callback/",
        "http://localhost:8080/callback?a=b",
        "http://localhost:8080/callback#fragment",
        "http://localhost:8080/callbac",
        "http://localhost:8080/Callback",
        "http://LOCALHOST:8080/callback",
        "http://localhost:8080/%63allback",
        "http://localhost:8080/callback%00",
        "http://localhost:8080/callback\u{0}",
        "http://localhost:8080/callback ",
        "http://localhost:8080/x/../callback",
        "http://localhost:8080@evil.example/callback",
        "http://localhost/callback",
        "https://localhost:8080/callback",
        "//localhost:8080/callback",
        "/callback",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "\r\nLocation: http://evil.example/",
    ] {
        let pairs = [
            ("response_type", "code"),
            ("client_id", sandbox.running.client_id.as_str()),
            ("redirect_uri", uri),
        ];
        let reply = open(&sandbox, &bare_link(&pairs)).await;
        assert_page_of_error(&reply, "has not registered");
        assert!(!reply.text().contains("<script"), "{uri}");
    }
}

#[tokio::test]
async fn an_unknown_app_is_not_redirected() {
    let sandbox = TestSandbox::strict().await;
    for id in ["0123456789012345678901234567890123456789", "<script>alert(1)</script>", "\u{0}", "a\r\nb: c"]
    {
        let pairs = [("response_type", "code"), ("client_id", id), ("redirect_uri", CALLBACK)];
        let reply = open(&sandbox, &bare_link(&pairs)).await;
        assert_page_of_error(&reply, "No app has the client_id");
        assert!(!reply.text().contains("<script"));
    }
    let reply = open(&sandbox, &bare_link(&[("response_type", "code"), ("redirect_uri", CALLBACK)])).await;
    assert_page_of_error(&reply, "client_id parameter is missing");
    assert_page_of_error(&open(&sandbox, "/oauth/authorize").await, "client_id parameter is missing");
}

#[tokio::test]
async fn a_redirect_uri_may_be_omitted_if_only_one_is_registered() {
    let sandbox = TestSandbox::strict().await;
    for (uris, status) in [(vec![], 400), (vec![CALLBACK], 200), (vec![CALLBACK, "http://a/"], 400)] {
        let (id, _) = another_app(&sandbox, &uris).await;
        for pairs in [
            vec![("response_type", "code"), ("client_id", id.as_str())],
            vec![("response_type", "code"), ("client_id", id.as_str()), ("redirect_uri", "")],
        ] {
            assert_eq!(open(&sandbox, &bare_link(&pairs)).await.status, status, "{uris:?}");
        }
    }
}

#[tokio::test]
async fn a_guest_app_may_use_any_web_address() {
    let sandbox = TestSandbox::open().await;
    for (uri, status) in [
        ("http://127.0.0.1:5000/callback", 200),
        ("https://example.com/cb?a=b", 200),
        ("https://example.com/cb#fragment", 400),
        ("javascript:alert(1)", 400),
        ("myapp://callback", 400),
        ("http:///nowhere", 400),
        ("http://a b/", 400),
        ("callback", 400),
    ] {
        let pairs = [("response_type", "code"), ("client_id", "abc123"), ("redirect_uri", uri)];
        let reply = open(&sandbox, &bare_link(&pairs)).await;
        assert_eq!(reply.status, status, "{uri}");
        if status == 200 {
            let target = location(&press(&sandbox, &reply, "allow").await);
            assert!(target.starts_with(uri), "{target}");
        }
    }
    // The first app's redirect URIs are still compared.
    let pairs = [
        ("response_type", "code"),
        ("client_id", sandbox.running.client_id.as_str()),
        ("redirect_uri", "http://127.0.0.1:5000/callback"),
    ];
    assert_eq!(open(&sandbox, &bare_link(&pairs)).await.status, 400);
}

#[tokio::test]
async fn the_state_is_returned_unchanged() {
    let sandbox = TestSandbox::strict().await;
    let long = "s".repeat(4096);
    let states = [
        "",
        "xyz",
        "a%20b",
        "a+b",
        "%ff%00",
        "%0d%0aSet-Cookie:%20x",
        "%3Cscript%3E",
        "a%26code=1",
        "'!*(){}|~",
        &long,
    ];
    for state in states {
        for decision in ["allow", "deny"] {
            let page = open(&sandbox, &format!("{}&state={state}", link(&sandbox, &[]))).await;
            assert!(!page.text().contains("<script"));
            let target = location(&press(&sandbox, &page, decision).await);
            assert!(target.ends_with(&format!("&state={state}")), "{target}");
        }
    }
    let page = open(&sandbox, &link(&sandbox, &[])).await;
    let target = location(&press(&sandbox, &page, "allow").await);
    assert!(!target.contains("state"), "{target}");
}

#[tokio::test]
async fn the_query_of_a_redirect_uri_is_kept() {
    let sandbox = TestSandbox::strict().await;
    let uri = "https://example.com/cb?tenant=7&x";
    let (id, _) = another_app(&sandbox, &[uri]).await;
    let pairs =
        [("response_type", "code"), ("client_id", id.as_str()), ("redirect_uri", uri), ("state", "s")];
    for (decision, name) in [("allow", "code"), ("deny", "error")] {
        let target = location(&press(&sandbox, &open(&sandbox, &bare_link(&pairs)).await, decision).await);
        assert!(target.starts_with(&format!("{uri}&{name}=")) && target.ends_with("&state=s"), "{target}");
    }
}

#[tokio::test]
async fn an_unsupported_response_type_is_reported_to_the_app() {
    let sandbox = TestSandbox::strict().await;
    for (kind, error) in [
        ("id_token", "unsupported_response_type"),
        ("code token", "unsupported_response_type"),
        ("CODE", "unsupported_response_type"),
        ("", "invalid_request"),
    ] {
        let pairs = [
            ("response_type", kind),
            ("client_id", sandbox.running.client_id.as_str()),
            ("redirect_uri", CALLBACK),
            ("state", "s"),
        ];
        let target = location(&open(&sandbox, &bare_link(&pairs)).await);
        assert!(target.starts_with(&format!("{CALLBACK}?error={error}&")), "{target}");
        assert_eq!(carried(&target, "state").as_deref(), Some("s"));
    }
}

#[tokio::test]
async fn repeated_parameters_must_have_the_same_value() {
    let sandbox = TestSandbox::strict().await;
    let once = link(&sandbox, &[("scope", "public"), ("state", "s")]);
    let query = once.strip_prefix("/oauth/authorize?").unwrap();
    let page = open(&sandbox, &format!("{once}&{query}")).await;
    let target = location(&press(&sandbox, &page, "allow").await);
    assert!(target.ends_with("&state=s") && target.matches("state").count() == 1, "{target}");
    for other in [
        "response_type=token",
        "client_id=x",
        "redirect_uri=http%3A%2F%2Fevil.example%2F",
        "scope=public+delete",
        "state=t",
        "st%61te=t",
    ] {
        assert_page_of_error(&open(&sandbox, &format!("{once}&{other}")).await, "with different values");
    }
    for name in ["response_type", "client_id", "redirect_uri", "scope", "state"] {
        let long = "x".repeat(4097);
        let bare = bare_link(&[
            (name, &long),
            ("client_id", &sandbox.running.client_id),
            ("redirect_uri", CALLBACK),
        ]);
        assert_eq!(open(&sandbox, &bare).await.status, 400, "{name}");
    }
    // OAuth parameters that Vimeo does not have are ignored.
    let more = [("code_challenge", "x"), ("prompt", "none"), ("", "x")];
    assert_eq!(open(&sandbox, &link(&sandbox, &more)).await.status, 200);
}
