//! The effects of the less common faults on the wire.

use std::io;

use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox, basic, request};

fn head_of(bytes: &[u8]) -> String {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

#[tokio::test]
async fn header_names_have_the_configured_case() {
    let sandbox = TestSandbox::strict().await;
    let usual = sandbox.request("GET", "/oauth/verify").await;
    for (style, name) in [
        ("lower", "\r\ncontent-length: "),
        ("upper", "\r\nCONTENT-LENGTH: "),
        ("title", "\r\nContent-Length: "),
        ("mixed", "\r\ncOnTeNt-lEnGtH: "),
    ] {
        sandbox.fault(json!({"route": "*", "kind": "odd-headers", "style": style})).await;
        let received = sandbox.receive_verify().await.unwrap();
        let head = head_of(&received);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(name), "{head}");
        let reply = Reply::read(&received);
        assert_eq!((reply.status, &reply.body), (200, &usual.body));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(reply.header("date"), Some("Tue, 05 Oct 2021 13:46:34 GMT"));
        assert_eq!(reply.header("x-ratelimit-limit"), usual.header("x-ratelimit-limit"));
    }
    assert!(sandbox.journal().await.iter().all(|entry| entry["status"] == 200));
}

#[tokio::test]
async fn a_response_to_head_has_no_body_in_any_header_style() {
    let sandbox = TestSandbox::strict().await;
    let usual = sandbox.request("GET", "/oauth/verify").await;
    sandbox.fault(json!({"route": "*", "kind": "odd-headers", "style": "upper"})).await;
    let reply = sandbox.request("HEAD", "/oauth/verify").await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), usual.header("content-length"));
    sandbox.fault(json!({"route": "*", "kind": "odd-headers", "style": "upper"})).await;
    let reply = sandbox.request("DELETE", "/tokens").await;
    assert_eq!((reply.status, reply.header("content-length")), (204, None));
}

#[tokio::test]
async fn a_content_length_is_wrong_by_the_configured_amount() {
    let sandbox = TestSandbox::strict().await;
    let whole = sandbox.request("GET", "/oauth/verify").await.body;
    let length = i64::try_from(whole.len()).unwrap();
    for (by, said) in [(10, length + 10), (-10, length - 10), (i64::MIN, 0)] {
        sandbox.fault(json!({"route": "*", "kind": "wrong-length", "by": by})).await;
        let reply = Reply::read(&sandbox.receive_verify().await.unwrap());
        assert_eq!(reply.header("content-length"), Some(said.to_string().as_str()));
        assert_eq!(reply.body, whole);
    }
}

#[tokio::test]
async fn a_garbage_fault_returns_bytes_that_are_not_http() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "garbage"})).await;
    let received = sandbox.receive_verify().await.unwrap();
    assert!(!received.is_empty() && !received.starts_with(b"HTTP"));
    assert_eq!(sandbox.journal().await[0]["status"], Value::Null);
}

#[tokio::test]
async fn a_late_create_is_carried_out_later() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "POST /oauth/*", "kind": "late", "millis": 1})).await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let body = b"grant_type=client_credentials";
    let received = sandbox.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    while sandbox.live_granted_tokens().await == 0 {}
}

#[tokio::test]
async fn late_requests_are_dropped_at_a_stop() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "late", "millis": 3_600_000})).await;
    assert_eq!(sandbox.receive_verify().await.unwrap(), b"");
    // Returns only after all tasks have ended.
    sandbox.running.stop().await;
}

#[tokio::test]
async fn a_cut_body_is_discarded_by_handlers_that_read_it_completely() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "cut-during", "bytes": 5, "times": 2})).await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let body = b"grant_type=client_credentials";
    let received = sandbox.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    assert_eq!(sandbox.live_granted_tokens().await, 0);
    // A streamed one: either end of the broken connection may be seen.
    match sandbox.receive("PATCH", "/files/vimeo/nonsense", &[], &vec![b'x'; 100_000]).await {
        Ok(received) => assert_eq!(received, b""),
        Err(error) => assert!(
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
            "{error}"
        ),
    }
    assert_eq!(sandbox.journal().await[1]["fault"], "cut-during");
}

#[tokio::test]
async fn a_slow_body_arrives_completely() {
    let sandbox = TestSandbox::strict().await;
    for bytes_per_second in [2_000_u64, u64::MAX] {
        sandbox.fault(json!({"route": "*", "kind": "slow-body", "bytes_per_second": bytes_per_second})).await;
        assert_eq!(sandbox.grant_first().await.status, 200);
    }
}

#[tokio::test]
async fn a_dripped_response_has_the_configured_chunks() {
    let sandbox = TestSandbox::strict().await;
    let whole = sandbox.request("GET", "/oauth/verify").await;
    sandbox.fault(json!({"route": "*", "kind": "drip", "millis": 0, "bytes": 7})).await;
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.body, whole.body);
}

#[tokio::test]
async fn a_rate_limit_fault_can_use_up_the_window() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "rate-limit", "reset_seconds": 5, "spend": true})).await;
    for _ in 0..3 {
        let reply = sandbox.request("GET", "/me").await;
        assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (429, Some("0")));
        assert_eq!(reply.header("x-ratelimit-reset"), Some("2021-10-05T13:46:39+00:00"));
    }
    sandbox.pass_seconds(5);
    assert_eq!(sandbox.request("GET", "/me").await.status, 200);
}

#[tokio::test]
async fn an_outage_applies_to_every_request_until_it_ends() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"kind": "outage", "in_seconds": 5, "for_seconds": 10})).await;
    assert_eq!(sandbox.request("GET", "/me").await.status, 200);
    sandbox.pass_seconds(5);
    for path in ["/me", "/oauth/verify"] {
        let received =
            crate::support::test_sandbox::exchange(sandbox.running.addr, &request("GET", path, &[], b""))
                .await;
        assert_eq!(received.unwrap(), b"");
    }
    sandbox.pass_seconds(10);
    assert_eq!(sandbox.request("GET", "/me").await.status, 200);
    assert_eq!(sandbox.control("GET", "faults", &Value::Null).await.json(), json!({"faults": []}));
}

#[tokio::test]
async fn faults_on_missing_resources_change_nothing() {
    let sandbox = TestSandbox::strict().await;
    for fault in [
        json!({"route": "*", "kind": "expired-link", "status": 410}),
        json!({"route": "*", "kind": "outcome", "status": "transcoding_error"}),
        json!({"route": "*", "kind": "list-lag", "seconds": 5}),
    ] {
        sandbox.fault(fault).await;
        assert_eq!(sandbox.request("GET", "/me").await.status, 200);
    }
}
