//! The page at `/_sandbox/` without a browser: who gets it, what it shows, and whom the controls refuse.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Desk, Reply, exchange, request};

const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
const EVIL: &str = "<img src=x onerror=alert(1)>";
const HARMLESS: &str = "&#60;img src=x onerror=alert(1)&#62;";

async fn page(desk: &Desk) -> Reply {
    let page = desk.send("GET", "/_sandbox/", &[BROWSER], b"").await;
    assert_eq!(page.status, 200);
    page
}

/// A request with exactly these headers, but for those that make it whole.
async fn with_headers(desk: &Desk, line: &str, headers: &str) -> Reply {
    let asked = format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
    Reply::read(&exchange(desk.running.addr, asked.as_bytes()).await.unwrap())
}

#[tokio::test]
async fn a_browser_gets_the_page_and_curl_gets_the_list() {
    let desk = Desk::strict().await;
    for path in ["/_sandbox/", "/_sandbox"] {
        let page = desk.send("GET", path, &[BROWSER], b"").await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("vary"), Some("Accept"));
        for headers in [[].as_slice(), &[("Accept", "*/*")], &[("Accept", "application/json, text/html")]] {
            let list = desk.send("GET", path, headers, b"").await;
            assert_eq!(list.header("vary"), Some("Accept"));
            assert!(list.json()["controls"].is_array());
        }
    }
    let list = desk.send("GET", "/_sandbox/index.json", &[BROWSER], b"").await;
    assert!(list.json()["controls"].is_array());
}

#[tokio::test]
async fn the_page_runs_its_own_script_only_and_cannot_be_framed_or_kept() {
    let desk = Desk::strict().await;
    let page = page(&desk).await;
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
    for name in ["sandbox.js", "journal.js", "desk.css", "sandbox.css", "icon.svg"] {
        let asset = desk.control("GET", &format!("assets/{name}"), &Value::Null).await;
        assert_eq!(asset.status, 200, "{name}");
    }
    // The pages where users decide stay without scripts.
    let other = desk.send("GET", "/activate", &[BROWSER], b"").await;
    assert!(!other.header("content-security-policy").unwrap().contains("script-src"));
}

#[tokio::test]
async fn the_page_shows_everything_without_a_script() {
    let desk = Desk::strict().await;
    let first = &desk.running;
    desk.control("POST", "apps", &json!({"name": "Second", "redirect_uris": ["http://localhost/back"]}))
        .await;
    desk.control("POST", "users", &json!({"name": "Vera", "plan": "studio"})).await;
    desk.fault(json!({"route": "GET /me", "kind": "delay", "millis": 77, "after": 9})).await;
    let authorization = format!("bearer {}", first.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
    ];
    let body = br#"{"name": "A film", "upload": {"approach": "tus", "size": 5242880}}"#;
    assert!(desk.send("POST", "/me/videos", &headers, body).await.status < 300);
    for _ in 0..60 {
        desk.ask("GET", "/oauth/verify").await;
    }
    let text = page(&desk).await.text();
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
        "This page is not live",
        "The newest 50 are shown.",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert_eq!(text.matches("<tr class=\"entry\"><td>").count(), 50 + 1, "and one in the template");
}

#[tokio::test]
async fn long_tables_are_cut_and_say_so() {
    let desk = Desk::strict().await;
    for number in 0..205 {
        let order = json!({"app": "/apps/240001", "user": {"name": format!("User {number}.")}});
        let made = desk.control("POST", "tokens", &order).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let text = page(&desk).await.text();
    assert!(text.contains("The newest 200 are shown; 6 older ones are not."));
    assert!(text.contains("The oldest 200 are shown; 6 newer ones are not."));
    assert!(text.contains("User 1."));
}

#[tokio::test]
async fn what_others_have_written_is_shown_as_text() {
    let desk = Desk::strict().await;
    desk.control("POST", "apps", &json!({"name": EVIL})).await;
    desk.control("POST", "users", &json!({"name": EVIL})).await;
    desk.fault(json!({"route": "/<b>", "kind": "status", "status": 500, "body": EVIL})).await;
    let authorization = format!("bearer {}", desk.running.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
        ("User-Agent", EVIL),
    ];
    let body = json!({"name": EVIL, "upload": {"approach": "tus", "size": 5}}).to_string();
    assert!(desk.send("POST", "/me/videos", &headers, body.as_bytes()).await.status < 300);
    assert_eq!(desk.send("GET", "/%3Cscript%3E\"{}?q='", &headers, b"").await.status, 404);
    let text = page(&desk).await.text();
    assert!(!text.contains("<img") && !text.contains("<b>"));
    // The app's owner, the app and where it can be chosen, the user, the video and its owner.
    assert!(text.matches(HARMLESS).count() >= 6, "{text}");
    assert!(text.contains("/%3Cscript%3E&#34;{}?q=&#39;"));
    assert!(text.contains("/&#60;b&#62;"));
}

#[tokio::test]
async fn a_request_that_was_cut_is_told_from_one_that_waits() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "GET /me", "kind": "cut"})).await;
    assert_eq!(desk.receive("GET", "/me", &[], b"").await.unwrap(), b"");
    let entries = desk.journal().await;
    assert_eq!((&entries[0]["status"], &entries[0]["settled"]), (&Value::Null, &json!(true)));
    desk.fault(json!({"route": "GET /me", "kind": "hold"})).await;
    let mut leaving = tokio::net::TcpStream::connect(desk.running.addr).await.unwrap();
    leaving.write_all(&request("GET", "/me", &[], b"")).await.unwrap();
    while desk.journal().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(page(&desk).await.text().contains("data-class=\"w\">waiting</span>"));
    drop(leaving);
    while desk.journal().await[1]["abandoned"] == false {
        tokio::task::yield_now().await;
    }
    let text = page(&desk).await.text();
    assert!(text.contains("data-class=\"l\">left</span>"));
    assert!(
        text.contains("data-class=\"c\">cut</span><span class=\"visually-hidden\">, fault: </span>"),
        "{text}"
    );
}

#[tokio::test]
async fn a_switch_that_is_on_offers_to_be_switched_off() {
    let desk = Desk::strict().await;
    assert!(!page(&desk).await.text().contains("aria-pressed=\"true\""));
    desk.fault(json!({"route": "*", "kind": "status", "status": 503, "times": "always"})).await;
    let text = page(&desk).await.text();
    assert!(text.contains("aria-pressed=\"true\" data-control=\"DELETE /_sandbox/faults/1\""), "{text}");
    assert_eq!(text.matches("aria-pressed=\"true\"").count(), 1);
}

#[tokio::test]
async fn the_controls_answer_under_names_of_this_machine_only() {
    let desk = Desk::strict().await;
    for (host, status) in [
        ("Host: 127.0.0.1:9300\r\n", 200),
        ("Host: vimeo.localhost:9300\r\n", 200),
        ("Host: [::1]:9300\r\n", 200),
        ("Host: rebound.example\r\n", 403),
        ("Host: 192.168.1.2:9300\r\n", 403),
    ] {
        let reply = with_headers(&desk, "GET /_sandbox/credentials", host).await;
        assert_eq!(reply.status, status, "{host}");
        if status == 403 {
            assert!(reply.json()["error"].as_str().unwrap().contains("Host header"));
            assert!(!reply.text().contains(&desk.running.client_secret));
            let page = with_headers(&desk, "GET /_sandbox/", &format!("{host}Accept: text/html\r\n")).await;
            assert_eq!(page.status, 403);
        }
    }
    // Such as HTTP/1.0 clients send.
    let asked = b"GET /_sandbox/credentials HTTP/1.0\r\n\r\n";
    assert_eq!(Reply::read(&exchange(desk.running.addr, asked).await.unwrap()).status, 200);
    // The API, too: a name that leads here by its server's will is no name of this machine.
    for (host, status) in [("Host: api.vimeo.com\r\n", 403), ("Host: localhost:9300\r\n", 401)] {
        assert_eq!(with_headers(&desk, "GET /tutorial", host).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn web_pages_of_other_origins_change_nothing() {
    let desk = Desk::strict().await;
    let addr = desk.running.addr;
    for (headers, status) in [
        ("Origin: https://example.com\r\n".to_owned(), 403),
        ("Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n".to_owned(), 403),
        ("Origin: null\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        (format!("Origin: http://{addr}\r\nSec-Fetch-Site: same-origin\r\n"), 204),
        (String::new(), 204),
    ] {
        let reply = with_headers(&desk, "POST /_sandbox/reset", &format!("Host: {addr}\r\n{headers}")).await;
        assert_eq!(reply.status, status, "{headers}");
    }
}

#[tokio::test]
async fn every_form_of_a_quota_is_told_in_words() {
    let desk = Desk::strict().await;
    for (quota, words) in [
        (json!({"lifetime": {"max": 2048, "used": 1024}}), "1 KiB of 2 KiB"),
        (
            json!({"unit": "count", "periodic": {"max": 9, "used": 2}, "period": "month"}),
            "2 of 9 videos a month",
        ),
        (json!({"lifetime": {"max": null, "used": 1024}}), "1 KiB, without an end"),
        (json!({"unit": "count", "lifetime": {"max": null}}), "0 videos, without an end"),
        (Value::Null, "nothing known"),
    ] {
        desk.change_owner(json!({"quota": quota})).await;
        let text = page(&desk).await.text();
        assert!(text.contains(words), "{words}");
        assert_eq!(text.contains("<meter"), words.contains(" of "), "{words}");
    }
}
