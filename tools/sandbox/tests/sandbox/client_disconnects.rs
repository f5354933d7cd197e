//! Requests whose clients disconnect before the response, and delayed requests.

use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::test_sandbox::{TestSandbox, basic, request};

/// Requests a token of the app, and disconnects once the request is in the journal.
async fn ask_and_leave(sandbox: &TestSandbox, body: &str) {
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let headers = [("Authorization", authorization.as_str())];
    let mut client = TcpStream::connect(sandbox.running.addr).await.unwrap();
    let asked = request("POST", "/oauth/authorize/client", &headers, body.as_bytes());
    client.write_all(&asked).await.unwrap();
    while sandbox.journal().await.last().is_none_or(|entry| entry["settled"] == true) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_whose_client_disconnects_is_carried_out_and_journalled() {
    let sandbox = TestSandbox::strict().await;
    // A body that is read at once, and one that is not.
    for (turn, padding) in [(1, 0), (2, 600_000)] {
        sandbox.fault(json!({"route": "*", "kind": "hold"})).await;
        let body = format!("grant_type=client_credentials&padding={}", "x".repeat(padding));
        ask_and_leave(&sandbox, &body).await;
        while padding == 0 && sandbox.journal().await.last().unwrap()["abandoned"] == false {
            tokio::task::yield_now().await;
        }
        assert_eq!(sandbox.live_granted_tokens().await, turn - 1);
        sandbox.control("DELETE", "faults", &Value::Null).await;
        while sandbox.journal().await.last().unwrap()["settled"] == false {
            tokio::task::yield_now().await;
        }
        let last = sandbox.journal().await.pop().unwrap();
        assert_eq!(last["fault"], "hold");
        // A disconnect is not noticed before the body is read.
        assert!(padding > 0 || last["status"].is_null(), "{last}");
        assert_eq!(sandbox.live_granted_tokens().await, turn);
    }
}

#[tokio::test]
async fn delayed_requests_are_dropped_at_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let sandbox = TestSandbox::with(Options { state_file: Some(file.clone()), ..Options::default() }).await;
    sandbox.fault(json!({"route": "*", "kind": "delay", "millis": 3_600_000})).await;
    ask_and_leave(&sandbox, "grant_type=client_credentials").await;
    // Returns only after all tasks have ended.
    sandbox.running.stop().await;
    let text = std::fs::read_to_string(file).unwrap();
    let state: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert_eq!(state["world"]["tokens"].as_object().unwrap().len(), 1, "only the first one");
}

#[tokio::test]
async fn a_request_of_a_disconnected_client_does_not_change_a_reset_state() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "delay", "millis": 300})).await;
    ask_and_leave(&sandbox, "grant_type=client_credentials").await;
    while sandbox.journal().await.last().unwrap()["abandoned"] == false {
        tokio::task::yield_now().await;
    }
    assert_eq!(sandbox.control("POST", "reset", &Value::Null).await.status, 204);
    // A request that is delayed by the same time and sent later is carried out after this one would have been.
    sandbox.fault(json!({"route": "*", "kind": "delay", "millis": 300})).await;
    assert_eq!(sandbox.grant_first().await.status, 200);
    assert_eq!(sandbox.live_granted_tokens().await, 1);
}

#[tokio::test]
async fn slow_and_delayed_requests_are_dropped_at_a_reset() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "POST /oauth/*", "kind": "late", "millis": 0})).await;
    let authorization = basic(&sandbox.running.client_id, &sandbox.running.client_secret);
    let asked = request(
        "POST",
        "/oauth/authorize/client",
        &[("Authorization", &authorization)],
        b"grant_type=client_credentials",
    );
    let (first, rest) = asked.split_at(asked.len() - 5);
    let mut client = TcpStream::connect(sandbox.running.addr).await.unwrap();
    client.write_all(first).await.unwrap();
    while sandbox.journal().await.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(sandbox.control("POST", "reset", &Value::Null).await.status, 204);
    client.write_all(rest).await.unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"");
    // Without the reset it would have been carried out by now.
    for _ in 0..50 {
        assert_eq!(sandbox.live_granted_tokens().await, 0);
    }
}
