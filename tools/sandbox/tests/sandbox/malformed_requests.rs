use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::test_sandbox::{TestSandbox, basic, exchange};

/// The head of a request, one more header, a body, and the expected status.
type Case = (&'static [u8], &'static [u8], &'static [u8], u16);

fn raw(head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(
        format!("\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
    );
    bytes.extend_from_slice(body);
    bytes
}

fn status(received: &[u8]) -> Option<u16> {
    let text = str::from_utf8(received.get(..12)?).ok()?;
    text.strip_prefix("HTTP/1.1 ").or(text.strip_prefix("HTTP/1.0 "))?.parse().ok()
}

#[tokio::test]
async fn malformed_requests_are_rejected_with_their_status() {
    let sandbox = TestSandbox::open().await;
    let grant = b"POST /oauth/authorize/client HTTP/1.1\r\nHost: x\r\n".as_slice();
    let verify = b"GET /oauth/verify HTTP/1.1\r\nHost: x\r\n".as_slice();
    let cases: [Case; 14] = [
        (grant, b"Authorization: Basic", b"", 401),
        (grant, b"Authorization: Basic ", b"", 401),
        (grant, b"Authorization: Basic !!!not base64!!!", b"", 401),
        (grant, b"Authorization: Basic //79", b"", 401),
        (grant, b"Authorization: Basic Og==", b"", 401),
        (grant, b"Authorization: \xff\xfe\xfd", b"", 401),
        (grant, b"Content-Type: \xff", b"\xff\xfe\x00", 401),
        (verify, b"Authorization: Bearer \xff\xfe", b"", 401),
        (verify, b"Authorization: Bearer two words", b"", 401),
        (verify, b"Authorization: Bearer x\r\nAccept: \xff", b"", 200),
        (verify, b"Authorization: Bearer x\r\nAccept: application/vnd.vimeo.\xff;version=\xff", b"", 400),
        (verify, b"Authorization: Bearer x\r\nContent-Type: application/json", b"\x00\xff{", 200),
        (
            b"GET /me?fields=%ff%00,,.,a..b&fields HTTP/1.1\r\nHost: x\r\n",
            b"Authorization: Bearer x",
            b"",
            200,
        ),
        (b"DELETE /_sandbox/tokens/%ff%00 HTTP/1.1\r\nHost: x\r\n", b"X: y", b"", 400),
    ];
    for (head, header, body, expected) in cases {
        let bytes = raw(&[head, header].concat(), body);
        let received = exchange(sandbox.running.addr, &bytes).await.unwrap();
        assert_eq!(status(&received), Some(expected), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn non_http_and_oversized_requests_are_rejected() {
    let sandbox = TestSandbox::strict().await;
    let huge_header = format!("GET /me HTTP/1.1\r\nHost: x\r\nX-Huge: {}\r\n\r\n", "x".repeat(1_000_000));
    let many_headers = format!("GET /me HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: x\r\n".repeat(500));
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /me HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /me HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        many_headers.as_bytes(),
    ] {
        // A reset may overtake the response if much was left unread; either is a rejection.
        if let Ok(received) = exchange(sandbox.running.addr, bytes).await {
            assert!(status(&received).is_none_or(|status| (400..=505).contains(&status)));
        }
    }
    let _ = exchange(sandbox.running.addr, huge_header.as_bytes()).await;
    assert_eq!(sandbox.request("GET", "/me").await.status, 200);
}

#[tokio::test]
async fn a_body_over_1_mib_is_rejected() {
    let sandbox = TestSandbox::strict().await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let body = vec![b'x'; 1024 * 1024 + 1];
    let reply = sandbox.send("POST", "/oauth/authorize/client", &headers, &body).await;
    assert_eq!((reply.status, &reply.json()["error"]), (413, &"invalid_request".into()));
    let reply = sandbox.send("POST", "/_sandbox/apps", &[], &body).await;
    assert!(reply.status == 400 && reply.json()["error"].is_string());
}

#[test]
fn random_requests_get_a_response() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sandbox = runtime.block_on(TestSandbox::open());
    let method = prop::sample::select(vec!["GET", "POST", "DELETE", "HEAD", "OPTIONS", "BREW"]);
    let path = prop_oneof![
        prop::sample::select(vec![
            "/oauth/authorize/client",
            "/oauth/verify",
            "/tokens",
            "/me",
            "/_sandbox/apps",
            "/_sandbox/tokens",
            "/_sandbox/journal",
            "/_sandbox/nonsense",
        ])
        .prop_map(str::to_owned),
        "/[!-~&&[^#]]{0,40}",
    ];
    let value = prop::collection::vec(
        any::<u8>().prop_filter("a header's bytes", |byte| *byte >= 32 && *byte != 127),
        0..40,
    );
    let scheme = prop::sample::select(vec!["", "Basic ", "bearer ", "Digest "]);
    let kind = prop::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "\t;;",
    ]);
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        r#"[{}\[\]":,a-z0-9]{0,60}"#.prop_map(String::into_bytes),
        "grant_type=client_credentials&scope=[ -~]{0,40}".prop_map(String::into_bytes),
    ];
    let request = (method, path, scheme, value.clone(), value, kind, body);
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&request, |(method, path, scheme, secret, accept, kind, body)| {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nAuthorization: {scheme}");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&secret);
        bytes.extend_from_slice(b"\r\nAccept: application/vnd.vimeo.");
        bytes.extend_from_slice(&accept);
        let received = runtime.block_on(exchange(sandbox.running.addr, &raw(&bytes, &body)));
        // A panic would close the connection without a byte.
        let status = received.ok().and_then(|received| status(&received));
        prop_assert!(status.is_some_and(|status| (200..500).contains(&status)), "{status:?}");
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(runtime.block_on(sandbox.control("POST", "reset", &serde_json::Value::Null)).status, 204);
}
