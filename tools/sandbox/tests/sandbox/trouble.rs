//! What the faults beyond the plain ones do on the wire.

use std::io;

use serde_json::{Value, json};

use crate::harness::{Desk, Reply, basic, request};

fn head_of(bytes: &[u8]) -> String {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}

#[tokio::test]
async fn header_names_come_in_the_case_that_was_ordered() {
    let desk = Desk::strict().await;
    let usual = desk.ask("GET", "/oauth/verify").await;
    for (style, name) in [
        ("lower", "\r\ncontent-length: "),
        ("upper", "\r\nCONTENT-LENGTH: "),
        ("title", "\r\nContent-Length: "),
        ("mixed", "\r\ncOnTeNt-lEnGtH: "),
    ] {
        desk.fault(json!({"route": "*", "kind": "odd-headers", "style": style})).await;
        let received = desk.receive_verify().await.unwrap();
        let head = head_of(&received);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(name), "{head}");
        let reply = Reply::read(&received);
        assert_eq!((reply.status, &reply.body), (200, &usual.body));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(reply.header("date"), Some("Tue, 05 Oct 2021 13:46:34 GMT"));
        assert_eq!(reply.header("x-ratelimit-limit"), usual.header("x-ratelimit-limit"));
    }
    assert!(desk.journal().await.iter().all(|entry| entry["status"] == 200));
}

#[tokio::test]
async fn the_answer_to_a_head_stays_without_a_body_in_any_case() {
    let desk = Desk::strict().await;
    let usual = desk.ask("GET", "/oauth/verify").await;
    desk.fault(json!({"route": "*", "kind": "odd-headers", "style": "upper"})).await;
    let reply = desk.ask("HEAD", "/oauth/verify").await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.header("content-length"), usual.header("content-length"));
    desk.fault(json!({"route": "*", "kind": "odd-headers", "style": "upper"})).await;
    let reply = desk.ask("DELETE", "/tokens").await;
    assert_eq!((reply.status, reply.header("content-length")), (204, None));
}

#[tokio::test]
async fn a_length_is_wrong_by_as_much_as_was_ordered() {
    let desk = Desk::strict().await;
    let whole = desk.ask("GET", "/oauth/verify").await.body;
    let length = i64::try_from(whole.len()).unwrap();
    for (by, said) in [(10, length + 10), (-10, length - 10), (i64::MIN, 0)] {
        desk.fault(json!({"route": "*", "kind": "wrong-length", "by": by})).await;
        let reply = Reply::read(&desk.receive_verify().await.unwrap());
        assert_eq!(reply.header("content-length"), Some(said.to_string().as_str()));
        assert_eq!(reply.body, whole);
    }
}

#[tokio::test]
async fn garbage_is_no_http() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "*", "kind": "garbage"})).await;
    let received = desk.receive_verify().await.unwrap();
    assert!(!received.is_empty() && !received.starts_with(b"HTTP"));
    assert_eq!(desk.journal().await[0]["status"], Value::Null);
}

#[tokio::test]
async fn a_create_lands_late() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "POST /oauth/*", "kind": "late", "millis": 1})).await;
    let authorization = basic(&desk.running.client_id, &desk.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let body = b"grant_type=client_credentials";
    let received = desk.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    while desk.stray_tokens().await == 0 {}
}

#[tokio::test]
async fn what_is_late_does_not_land_after_a_stop() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "*", "kind": "late", "millis": 3_600_000})).await;
    assert_eq!(desk.receive_verify().await.unwrap(), b"");
    // Returns only when nothing goes on beside requests.
    desk.running.stop().await;
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_not_acted_upon_where_it_is_read_whole() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "*", "kind": "cut-during", "bytes": 5, "times": 2})).await;
    let authorization = basic(&desk.running.client_id, &desk.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let body = b"grant_type=client_credentials";
    let received = desk.receive("POST", "/oauth/authorize/client", &headers, body).await;
    assert_eq!(received.unwrap(), b"");
    assert_eq!(desk.stray_tokens().await, 0);
    // A streamed one: nobody says which of the two ends of a broken connection is seen.
    match desk.receive("PATCH", "/files/vimeo/nonsense", &[], &vec![b'x'; 100_000]).await {
        Ok(received) => assert_eq!(received, b""),
        Err(error) => assert!(
            matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
            "{error}"
        ),
    }
    assert_eq!(desk.journal().await[1]["fault"], "cut-during");
}

#[tokio::test]
async fn a_body_that_is_taken_in_slowly_is_taken_in_whole() {
    let desk = Desk::strict().await;
    for bytes_per_second in [2_000_u64, u64::MAX] {
        desk.fault(json!({"route": "*", "kind": "slow-body", "bytes_per_second": bytes_per_second})).await;
        assert_eq!(desk.grant_first().await.status, 200);
    }
}

#[tokio::test]
async fn an_answer_drips_by_as_many_bytes_as_told() {
    let desk = Desk::strict().await;
    let whole = desk.ask("GET", "/oauth/verify").await;
    desk.fault(json!({"route": "*", "kind": "drip", "millis": 0, "bytes": 7})).await;
    assert_eq!(desk.ask("GET", "/oauth/verify").await.body, whole.body);
}

#[tokio::test]
async fn a_rate_limit_can_really_spend_the_window() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "*", "kind": "rate-limit", "reset_seconds": 5, "spend": true})).await;
    for _ in 0..3 {
        let reply = desk.ask("GET", "/me").await;
        assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (429, Some("0")));
        assert_eq!(reply.header("x-ratelimit-reset"), Some("2021-10-05T13:46:39+00:00"));
    }
    desk.pass_seconds(5);
    assert_eq!(desk.ask("GET", "/me").await.status, 200);
}

#[tokio::test]
async fn an_outage_befalls_everything_until_it_is_over() {
    let desk = Desk::strict().await;
    desk.fault(json!({"kind": "outage", "in_seconds": 5, "for_seconds": 10})).await;
    assert_eq!(desk.ask("GET", "/me").await.status, 200);
    desk.pass_seconds(5);
    for path in ["/me", "/oauth/verify"] {
        let received = crate::harness::exchange(desk.running.addr, &request("GET", path, &[], b"")).await;
        assert_eq!(received.unwrap(), b"");
    }
    desk.pass_seconds(10);
    assert_eq!(desk.ask("GET", "/me").await.status, 200);
    assert_eq!(desk.control("GET", "faults", &Value::Null).await.json(), json!({"faults": []}));
}

#[tokio::test]
async fn faults_of_what_is_not_there_change_nothing() {
    let desk = Desk::strict().await;
    for fault in [
        json!({"route": "*", "kind": "expired-link", "status": 410}),
        json!({"route": "*", "kind": "outcome", "status": "transcoding_error"}),
        json!({"route": "*", "kind": "list-lag", "seconds": 5}),
    ] {
        desk.fault(fault).await;
        assert_eq!(desk.ask("GET", "/me").await.status, 200);
    }
}
