//! Requests whose clients leave before the answer, and what becomes of what was put off.

use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Desk, basic, request};

/// Asks for a token of the app's, and leaves once the request is in the journal.
async fn ask_and_leave(desk: &Desk, body: &str) {
    let authorization = basic(&desk.running.client_id, &desk.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let mut client = TcpStream::connect(desk.running.addr).await.unwrap();
    let asked = request("POST", "/oauth/authorize/client", &headers, body.as_bytes());
    client.write_all(&asked).await.unwrap();
    while desk.journal().await.last().is_none_or(|entry| entry["settled"] == true) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_an_abandoned_request_asked_for_is_done_and_settled() {
    let desk = Desk::strict().await;
    // A body that fits into one reading, and one that does not.
    for (turn, padding) in [(1, 0), (2, 600_000)] {
        desk.fault(json!({"route": "*", "kind": "hold"})).await;
        let body = format!("grant_type=client_credentials&padding={}", "x".repeat(padding));
        ask_and_leave(&desk, &body).await;
        while padding == 0 && desk.journal().await.last().unwrap()["abandoned"] == false {
            tokio::task::yield_now().await;
        }
        assert_eq!(desk.stray_tokens().await, turn - 1);
        desk.control("DELETE", "faults", &Value::Null).await;
        while desk.journal().await.last().unwrap()["settled"] == false {
            tokio::task::yield_now().await;
        }
        let last = desk.journal().await.pop().unwrap();
        assert_eq!(last["fault"], "hold");
        // One whose body is still to be read is not missed before it was read.
        assert!(padding > 0 || last["status"].is_null(), "{last}");
        assert_eq!(desk.stray_tokens().await, turn);
    }
}

#[tokio::test]
async fn what_was_put_off_is_not_done_after_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let desk = Desk::with(Options { state_file: Some(file.clone()), ..Options::default() }).await;
    desk.fault(json!({"route": "*", "kind": "delay", "millis": 3_600_000})).await;
    ask_and_leave(&desk, "grant_type=client_credentials").await;
    // Returns only when nothing goes on.
    desk.running.stop().await;
    let text = std::fs::read_to_string(file).unwrap();
    let state: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(state["world"]["tokens"].as_object().unwrap().len(), 1, "only the first one");
}

#[tokio::test]
async fn what_an_abandoned_request_asked_for_is_not_done_to_another_world() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "*", "kind": "delay", "millis": 300})).await;
    ask_and_leave(&desk, "grant_type=client_credentials").await;
    while desk.journal().await.last().unwrap()["abandoned"] == false {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.control("POST", "reset", &Value::Null).await.status, 204);
    // Another that is put off for as long, and begun later, is done after it would have been.
    desk.fault(json!({"route": "*", "kind": "delay", "millis": 300})).await;
    assert_eq!(desk.grant_first().await.status, 200);
    assert_eq!(desk.stray_tokens().await, 1);
}

#[tokio::test]
async fn what_came_slowly_and_late_is_not_done_after_a_reset() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "POST /oauth/*", "kind": "late", "millis": 0})).await;
    let authorization = basic(&desk.running.client_id, &desk.running.client_secret);
    let asked = request(
        "POST",
        "/oauth/authorize/client",
        &[("Authorization", &authorization)],
        b"grant_type=client_credentials",
    );
    let (first, rest) = asked.split_at(asked.len() - 5);
    let mut client = TcpStream::connect(desk.running.addr).await.unwrap();
    client.write_all(first).await.unwrap();
    while desk.journal().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.control("POST", "reset", &Value::Null).await.status, 204);
    client.write_all(rest).await.unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
    // Put off by nothing, it would be done by now.
    for _ in 0..50 {
        assert_eq!(desk.stray_tokens().await, 0);
    }
}
