//! The dashboard without a browser: who gets it, what it shows, and which requests the controls reject.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::test_sandbox::{Reply, TestSandbox, exchange, request};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const EVIL: &str = "<img src=x onerror=alert(1)>";
const HARMLESS: &str = "&#60;img src=x onerror=alert(1)&#62;";

async fn page(sandbox: &TestSandbox) -> Reply {
    let page = sandbox.send("GET", "/_sandbox/", &[BROWSER], b"").await;
    assert_eq!(page.status, 200);
    page
}

/// A request with exactly these headers and the required ones.
async fn with_headers(sandbox: &TestSandbox, connection: &str, headers: &str) -> Reply {
    let asked = format!("{connection} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
    Reply::read(&exchange(sandbox.running.addr, asked.as_bytes()).await.unwrap())
}

#[tokio::test]
async fn a_browser_gets_the_dashboard_and_curl_the_list() {
    let sandbox = TestSandbox::strict().await;
    for path in ["/_sandbox/", "/_sandbox"] {
        let page = sandbox.send("GET", path, &[BROWSER], b"").await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("vary"), Some("Accept"));
        for headers in [[].as_slice(), &[("Accept", "*/*")], &[("Accept", "application/json, text/html")]] {
            let list = sandbox.send("GET", path, headers, b"").await;
            assert_eq!(list.header("vary"), Some("Accept"));
            assert!(list.json()["controls"].is_array());
        }
    }
    let list = sandbox.send("GET", "/_sandbox/index.json", &[BROWSER], b"").await;
    assert!(list.json()["controls"].is_array());
}

#[tokio::test]
async fn the_dashboard_allows_its_own_script_only_and_no_framing_or_caching() {
    let sandbox = TestSandbox::strict().await;
    let page = page(&sandbox).await;
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let text = page.text();
    assert!(!text.contains(" style=") && !text.contains(" onclick=") && !text.contains("<script>"));
    for name in ["sandbox.js", "journal.js", "dashboard.css", "sandbox.css", "icon.svg"] {
        let asset = sandbox.control("GET", &format!("assets/{name}"), &Value::Null).await;
        assert_eq!(asset.status, 200, "{name}");
    }
    // Consent pages have no scripts.
    let other = sandbox.send("GET", "/activate", &[BROWSER], b"").await;
    assert!(!other.header("content-security-policy").unwrap().contains("script-src"));
}

#[tokio::test]
async fn the_dashboard_is_complete_without_scripts() {
    let sandbox = TestSandbox::strict().await;
    let first = &sandbox.running;
    sandbox
        .control("POST", "apps", &json!({"name": "Second", "redirect_uris": ["http://localhost/back"]}))
        .await;
    sandbox.control("POST", "users", &json!({"name": "Vera", "plan": "studio"})).await;
    sandbox.fault(json!({"route": "GET /me", "kind": "delay", "millis": 77, "after": 9})).await;
    let authorization = format!("bearer {}", first.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
    ];
    let body = br#"{"name": "A film", "upload": {"approach": "tus", "size": 5242880}}"#;
    assert!(sandbox.send("POST", "/me/videos", &headers, body).await.status < 300);
    for _ in 0..60 {
        sandbox.request("GET", "/oauth/verify").await;
    }
    let text = page(&sandbox).await.text();
    for part in [
        first.base_url.as_str(),
        &first.client_id,
        &first.access_token,
        "Second",
        "http://localhost/back",
        "Vera",
        "studio",
        "700 MiB of 5 TiB",
        "A film",
        "0 bytes of 5 MiB",
        "millis 77",
        "after 9",
        "/oauth/verify",
        "This page is static",
        "The newest 50 are shown.",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(text.matches("<tr class=\"entry\"><td>").count(), 50 + 1, "and one in the template");
}

#[tokio::test]
async fn long_tables_are_truncated_with_a_note() {
    let sandbox = TestSandbox::strict().await;
    for number in 0..205 {
        let order = json!({"app": "/apps/240001", "user": {"name": format!("User {number}.")}});
        let made = sandbox.control("POST", "tokens", &order).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let text = page(&sandbox).await.text();
    assert!(text.contains("The newest 200 are shown; 6 older ones are not."));
    assert!(text.contains("The oldest 200 are shown; 6 newer ones are not."));
    assert!(text.contains("User 1."));
}

#[tokio::test]
async fn foreign_text_is_escaped_in_the_dashboard() {
    let sandbox = TestSandbox::strict().await;
    sandbox.control("POST", "apps", &json!({"name": EVIL})).await;
    sandbox.control("POST", "users", &json!({"name": EVIL})).await;
    sandbox.fault(json!({"route": "/<b>", "kind": "status", "status": 500, "body": EVIL})).await;
    let authorization = format!("bearer {}", sandbox.running.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
        ("User-Agent", EVIL),
    ];
    let body = json!({"name": EVIL, "upload": {"approach": "tus", "size": 5}}).to_string();
    assert!(sandbox.send("POST", "/me/videos", &headers, body.as_bytes()).await.status < 300);
    assert_eq!(sandbox.send("GET", "/%3Cscript%3E\"{}?q='", &headers, b"").await.status, 404);
    let text = page(&sandbox).await.text();
    assert!(!text.contains("<img") && !text.contains("<b>"));
    // The app's owner, the app and its option, the user, the video and its owner.
    assert!(text.matches(HARMLESS).count() >= 6, "{text}");
    assert!(text.contains("/%3Cscript%3E&#34;{}?q=&#39;"));
    assert!(text.contains("/&#60;b&#62;"));
}

#[tokio::test]
async fn cut_requests_differ_from_pending_ones() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "GET /me", "kind": "cut"})).await;
    assert_eq!(sandbox.receive("GET", "/me", &[], b"").await.unwrap(), b"");
    let entries = sandbox.journal().await;
    assert_eq!((&entries[0]["status"], &entries[0]["settled"]), (&Value::Null, &json!(true)));
    sandbox.fault(json!({"route": "GET /me", "kind": "hold"})).await;
    let mut leaving = tokio::net::TcpStream::connect(sandbox.running.addr).await.unwrap();
    leaving.write_all(&request("GET", "/me", &[], b"")).await.unwrap();
    while sandbox.journal().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(page(&sandbox).await.text().contains("data-class=\"w\">waiting</span>"));
    drop(leaving);
    while sandbox.journal().await[1]["abandoned"] == false {
        tokio::task::yield_now().await;
    }
    let text = page(&sandbox).await.text();
    assert!(text.contains("data-class=\"l\">left</span>"));
    assert!(
        text.contains("data-class=\"c\">cut</span><span class=\"visually-hidden\">, fault: </span>"),
        "{text}"
    );
}

#[tokio::test]
async fn a_switch_that_is_on_can_be_turned_off() {
    let sandbox = TestSandbox::strict().await;
    assert!(!page(&sandbox).await.text().contains("aria-pressed=\"true\""));
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 503, "times": "always"})).await;
    let text = page(&sandbox).await.text();
    assert!(text.contains("aria-pressed=\"true\" data-control=\"DELETE /_sandbox/faults/1\""), "{text}");
    assert_eq!(text.matches("aria-pressed=\"true\"").count(), 1);
}

#[tokio::test]
async fn the_controls_respond_only_to_names_of_this_machine() {
    let sandbox = TestSandbox::strict().await;
    for (host, status) in [
        ("Host: 127.0.0.1:9300\r\n", 200),
        ("Host: vimeo.localhost:9300\r\n", 200),
        ("Host: [::1]:9300\r\n", 200),
        ("Host: rebound.example\r\n", 403),
        ("Host: 192.168.1.2:9300\r\n", 403),
    ] {
        let reply = with_headers(&sandbox, "GET /_sandbox/credentials", host).await;
        assert_eq!(reply.status, status, "{host}");
        if status == 403 {
            assert!(reply.json()["error"].as_str().unwrap().contains("Host header"));
            assert!(!reply.text().contains(&sandbox.running.client_secret));
            let page =
                with_headers(&sandbox, "GET /_sandbox/", &format!("{host}Accept: text/html\r\n")).await;
            assert_eq!(page.status, 403);
        }
    }
    // The form of HTTP/1.0 clients.
    let asked = b"GET /_sandbox/credentials HTTP/1.0\r\n\r\n";
    assert_eq!(Reply::read(&exchange(sandbox.running.addr, asked).await.unwrap()).status, 200);
    // The API too: a foreign name that resolves to this machine is rejected.
    for (host, status) in [("Host: api.vimeo.com\r\n", 403), ("Host: localhost:9300\r\n", 401)] {
        assert_eq!(with_headers(&sandbox, "GET /tutorial", host).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_cannot_use_the_controls() {
    let sandbox = TestSandbox::strict().await;
    let addr = sandbox.running.addr;
    for (headers, status) in [
        ("Origin: https://example.com\r\n".to_owned(), 403),
        ("Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n".to_owned(), 403),
        ("Origin: null\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        (format!("Origin: http://{addr}\r\nSec-Fetch-Site: same-origin\r\n"), 204),
        (String::new(), 204),
    ] {
        let reply =
            with_headers(&sandbox, "POST /_sandbox/reset", &format!("Host: {addr}\r\n{headers}")).await;
        assert_eq!(reply.status, status, "{headers}");
    }
}

#[tokio::test]
async fn every_format_of_a_quota_is_described() {
    let sandbox = TestSandbox::strict().await;
    for (quota, words) in [
        (json!({"lifetime": {"max": 2048, "used": 1024}}), "1 KiB of 2 KiB"),
        (
            json!({"unit": "count", "periodic": {"max": 9, "used": 2}, "period": "month"}),
            "2 of 9 videos a month",
        ),
        (json!({"lifetime": {"max": null, "used": 1024}}), "1 KiB, unlimited"),
        (json!({"unit": "count", "lifetime": {"max": null}}), "0 videos, unlimited"),
        (Value::Null, "unknown"),
    ] {
        sandbox.change_owner(json!({"quota": quota})).await;
        let text = page(&sandbox).await.text();
        assert!(text.contains(words), "{words}");
        assert_eq!(text.contains("<meter"), words.contains(" of "), "{words}");
    }
}
