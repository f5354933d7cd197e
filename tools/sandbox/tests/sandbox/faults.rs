use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::test_sandbox::{Reply, TestSandbox, request};

pub(crate) async fn verify(sandbox: &TestSandbox) -> Reply {
    sandbox.request("GET", "/oauth/verify").await
}

pub(crate) async fn pending(sandbox: &TestSandbox) -> Value {
    sandbox.control("GET", "faults", &Value::Null).await.json()["faults"].clone()
}

#[tokio::test]
async fn a_status_fault_responds_once_as_configured() {
    let sandbox = TestSandbox::strict().await;
    sandbox
        .fault(json!({
            "route": "GET /oauth/verify", "kind": "status", "status": 503, "body": {"error": "busy"},
            "content_type": "application/problem+json", "headers": {"Retry-After": "7"},
        }))
        .await;
    let reply = verify(&sandbox).await;
    assert_eq!((reply.status, reply.json()), (503, json!({"error": "busy"})));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.header("retry-after"), Some("7"));
    assert_eq!(verify(&sandbox).await.status, 200);
}

#[tokio::test]
async fn a_status_without_a_body_has_vimeos_format_and_a_string_is_plain_text() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 503})).await;
    assert_eq!(verify(&sandbox).await.code(), 7000);
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 502, "body": "Bad Gateway"})).await;
    let reply = verify(&sandbox).await;
    assert_eq!((reply.text().as_str(), reply.header("content-type")), ("Bad Gateway", Some("text/plain")));
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 401})).await;
    assert_eq!(verify(&sandbox).await.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    // Statuses without a known code have no code.
    for status in [400, 409, 423, 502, 504] {
        sandbox.fault(json!({"route": "*", "kind": "status", "status": status})).await;
        let reply = verify(&sandbox).await;
        assert_eq!((reply.status, reply.json().get("error_code")), (status, None));
        assert_eq!(reply.header("content-type"), Some("application/vnd.vimeo.error+json"));
    }
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 400, "error_code": 2204})).await;
    assert_eq!(verify(&sandbox).await.code(), 2204);
    // Upload servers respond in plain text.
    let made = sandbox.make_tus(3).await;
    sandbox.fault(json!({"route": "PATCH /files/*", "kind": "status", "status": 503})).await;
    let reply = sandbox.patch(&made.path, 0, b"abc").await;
    assert_eq!((reply.status, reply.header("content-type")), (503, Some("text/plain; charset=utf-8")));
    // A body with a status that allows none.
    sandbox.fault(json!({"route": "*", "kind": "status", "status": 204, "body": "text"})).await;
    assert_eq!(verify(&sandbox).await.body, b"");
}

#[tokio::test]
async fn a_delayed_response_is_the_normal_one() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "delay", "millis": 1})).await;
    let late = verify(&sandbox).await;
    assert_eq!((late.status, late.json()), (200, verify(&sandbox).await.json()));
}

#[tokio::test]
async fn a_cut_does_not_wait_for_a_slow_body_or_for_100_continue() {
    for kind in [json!({"kind": "cut"}), json!({"kind": "reset"}), json!({"kind": "garbage"})] {
        let sandbox = TestSandbox::strict().await;
        let made = sandbox.make_tus(1_000_000).await;
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut fault = kind.clone();
            fault["route"] = json!("PATCH /files/*");
            sandbox.fault(fault).await;
            let mut stream = TcpStream::connect(sandbox.running.addr).await.unwrap();
            let head = format!(
                "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n{expect}\
                 Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n",
                made.path
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut received = Vec::new();
            // The rest of the body is never sent, and the connection is cut nevertheless.
            let ended = stream.read_to_end(&mut received).await;
            assert!(kind["kind"] != "cut" || ended.is_ok_and(|length| length == 0));
            assert!(!received.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&received));
        }
    }
}

#[tokio::test]
async fn a_rate_limit_fault_reports_the_callers_limit_and_none_to_unknown_callers() {
    let sandbox = TestSandbox::strict().await;
    sandbox.change_owner(json!({"plan": "starter"})).await;
    let limit = |reply: &Reply| reply.header("x-ratelimit-limit").map(str::to_owned);
    sandbox.fault(json!({"route": "*", "kind": "rate-limit", "times": "always"})).await;
    let known = verify(&sandbox).await;
    assert_eq!((known.status, limit(&known).as_deref()), (429, Some("125")));
    let of_app = sandbox.grant_first().await;
    assert_eq!((of_app.status, limit(&of_app).as_deref()), (429, Some("125")));
    let unknown = sandbox.send("GET", "/me", &[], b"").await;
    assert_eq!((unknown.status, unknown.code(), limit(&unknown)), (429, json!(9000), None));

    // A guest is known from the first request on, even a rejected one.
    let sandbox = TestSandbox::open().await;
    sandbox.fault(json!({"route": "*", "kind": "rate-limit", "spend": true})).await;
    for _ in 0..2 {
        let guest = sandbox.request_with("never-seen-before", "GET", "/me").await;
        assert_eq!((guest.status, limit(&guest).as_deref()), (429, Some("2500")));
    }
}

#[tokio::test]
async fn an_outcome_applies_to_created_versions_only() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    sandbox.patch(&made.path, 0, b"abc").await;
    sandbox.pass_seconds(10);
    let uri = format!("/videos/{}", made.number);
    sandbox.fault(json!({"route": "GET /videos/*", "kind": "outcome", "status": "transcoding_error"})).await;
    for _ in 0..2 {
        assert_eq!(sandbox.call("GET", &uri, &Value::Null).await.json()["status"], "available");
    }
}

#[tokio::test]
async fn an_unlimited_lag_hides_everything() {
    let sandbox = TestSandbox::strict().await;
    sandbox.placeholder(json!({})).await;
    sandbox.fault(json!({"route": "GET /me/videos", "kind": "list-lag", "seconds": u64::MAX})).await;
    assert_eq!(sandbox.call("GET", "/me/videos", &Value::Null).await.json()["total"], 0);
    assert_eq!(sandbox.call("GET", "/me/videos", &Value::Null).await.json()["total"], 1);
}

#[tokio::test]
async fn a_held_request_is_handled_after_the_fault_is_removed() {
    let sandbox = TestSandbox::strict().await;
    let usual = verify(&sandbox).await;
    for (method, path) in [("DELETE", "faults"), ("DELETE", "faults/2"), ("POST", "reset")] {
        sandbox.fault(json!({"route": "GET /oauth/verify", "kind": "hold"})).await;
        let release = async {
            while sandbox.journal().await.iter().all(|request| request["fault"] != "hold") {}
            assert!(sandbox.journal().await.iter().any(|request| request["status"].is_null()));
            sandbox.control(method, path, &Value::Null).await
        };
        let (held, released) = tokio::join!(verify(&sandbox), release);
        assert_eq!((held.status, held.json(), released.status), (200, usual.json(), 204), "{path}");
        assert_eq!(pending(&sandbox).await, json!([]));
        sandbox.control("DELETE", "journal", &Value::Null).await;
    }
}

#[tokio::test]
async fn a_cut_request_has_no_effect_and_no_response() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "POST /oauth/*", "kind": "cut"})).await;
    let (id, secret) = (&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", crate::support::test_sandbox::basic(id, secret))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let body = b"grant_type=client_credentials";
    let received = sandbox.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    assert_eq!(sandbox.live_granted_tokens().await, 0);

    // With a lost response, a token exists that no client knows.
    sandbox.fault(json!({"route": "POST /oauth/*", "kind": "cut-after"})).await;
    let received = sandbox.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    assert_eq!(sandbox.live_granted_tokens().await, 1);

    let journal = sandbox.journal().await;
    assert_eq!((&journal[0]["fault"], &journal[0]["status"]), (&json!("cut"), &Value::Null));
    assert_eq!((&journal[1]["fault"], &journal[1]["status"]), (&json!("cut-after"), &Value::Null));
}

#[tokio::test]
async fn a_reset_fault_resets_the_connection() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "reset"})).await;
    let error = sandbox.receive_verify().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(verify(&sandbox).await.status, 200);
}

#[tokio::test]
async fn a_truncated_response_is_shorter_than_its_length() {
    let sandbox = TestSandbox::strict().await;
    let whole = verify(&sandbox).await;
    sandbox.fault(json!({"route": "*", "kind": "truncate", "times": 2})).await;
    let received = sandbox.receive_verify().await.unwrap();
    let half = Reply::read(&received);
    assert_eq!((half.status, half.header("content-length")), (200, whole.header("content-length")));
    assert_eq!(half.body, whole.body[..whole.body.len() / 2]);
    // A response without a body is lost completely; the request was carried out.
    let authorization = format!("bearer {}", sandbox.running.access_token);
    let headers = [("Authorization", authorization.as_str())];
    assert_eq!(sandbox.receive("DELETE", "/tokens", &headers, b"").await.unwrap(), b"");
    assert_eq!(verify(&sandbox).await.status, 401);
}

#[tokio::test]
async fn an_html_fault_returns_a_page() {
    let sandbox = TestSandbox::strict().await;
    for (fault, status) in [
        (json!({"route": "*", "kind": "html"}), 200),
        (json!({"route": "*", "kind": "html", "status": 502}), 502),
    ] {
        sandbox.fault(fault).await;
        let reply = verify(&sandbox).await;
        assert_eq!((reply.status, reply.header("content-type")), (status, Some("text/html; charset=UTF-8")));
        assert!(reply.text().starts_with("<!DOCTYPE html>"));
    }
}

#[tokio::test]
async fn a_rate_limit_fault_reports_its_end() {
    let sandbox = TestSandbox::strict().await;
    for (fault, reset) in [
        (json!({"route": "*", "kind": "rate-limit"}), "2021-10-05T13:47:04+00:00"),
        (json!({"route": "*", "kind": "rate-limit", "reset_seconds": 5}), "2021-10-05T13:46:39+00:00"),
        (json!({"route": "*", "kind": "rate-limit", "reset_seconds": u64::MAX}), "9999-12-30T22:00:00+00:00"),
    ] {
        sandbox.fault(fault).await;
        let reply = verify(&sandbox).await;
        assert_eq!((reply.status, reply.code()), (429, json!(9000)));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
        assert_eq!(reply.header("x-ratelimit-reset"), Some(reset));
    }
}

#[tokio::test]
async fn a_wrong_json_fault_returns_json() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "wrong-json"})).await;
    sandbox.fault(json!({"route": "*", "kind": "wrong-json", "body": {"access_token": 5}})).await;
    sandbox.fault(json!({"route": "*", "kind": "wrong-json", "body": "text"})).await;
    for body in [
        json!({"unexpected": ["this", "is", "not", "what", "was", "asked", "for"]}),
        json!({"access_token": 5}),
        json!("text"),
    ] {
        let reply = verify(&sandbox).await;
        assert_eq!((reply.status, reply.json()), (200, body));
    }
}

#[tokio::test]
async fn an_empty_fault_returns_a_status_only() {
    let sandbox = TestSandbox::strict().await;
    for status in [200, 204, 304, 500] {
        sandbox.fault(json!({"route": "*", "kind": "empty", "status": status})).await;
        let reply = verify(&sandbox).await;
        assert_eq!((reply.status, reply.body.len()), (status, 0));
        assert_eq!(reply.header("content-type"), None);
    }
}

#[tokio::test]
async fn a_huge_response_has_the_configured_length() {
    let sandbox = TestSandbox::strict().await;
    for bytes in [200_000, 11] {
        sandbox.fault(json!({"route": "*", "kind": "huge", "bytes": bytes})).await;
        let reply = verify(&sandbox).await;
        assert_eq!(reply.body.len(), bytes);
        assert!(reply.json()["data"].is_string());
    }
}

#[tokio::test]
async fn a_client_may_disconnect_from_a_huge_response() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "huge", "bytes": u64::MAX})).await;
    let mut client = TcpStream::connect(sandbox.running.addr).await.unwrap();
    client.write_all(&request("GET", "/me", &[], b"")).await.unwrap();
    drop(client);
    assert_eq!(verify(&sandbox).await.status, 200);
}

#[tokio::test]
async fn a_dripped_response_arrives_completely() {
    let sandbox = TestSandbox::strict().await;
    let whole = verify(&sandbox).await;
    sandbox.fault(json!({"route": "*", "kind": "drip", "millis": 0})).await;
    let dripped = verify(&sandbox).await;
    assert_eq!((dripped.status, &dripped.body), (200, &whole.body));
    assert_eq!(dripped.header("content-length"), whole.header("content-length"));
}

#[tokio::test]
async fn a_redirect_fault_returns_the_location() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "redirect", "location": "http://127.0.0.1:1/"})).await;
    sandbox.fault(json!({"route": "*", "kind": "redirect", "location": "/me", "status": 307})).await;
    let reply = verify(&sandbox).await;
    assert_eq!((reply.status, reply.header("location")), (302, Some("http://127.0.0.1:1/")));
    let reply = verify(&sandbox).await;
    assert_eq!((reply.status, reply.header("location")), (307, Some("/me")));
}
