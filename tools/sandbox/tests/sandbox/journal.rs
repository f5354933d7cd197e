use serde_json::{Value, json};

use crate::support::test_sandbox::{TestSandbox, exchange, request};

#[tokio::test]
async fn a_request_is_journalled_with_its_properties() {
    let sandbox = TestSandbox::strict().await;
    let authorization = format!("bearer {}", sandbox.running.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("User-Agent", "journal-test/1"),
    ];
    sandbox.send("GET", "/me?fields=uri", &headers, b"").await;
    sandbox.grant_first().await;
    sandbox.send("GET", "/nonsense", &[], b"").await;

    let journal = sandbox.journal().await;
    let first = &journal[0];
    assert_eq!(first["number"], 1);
    assert_eq!(first["at"], "2021-10-05T13:46:34Z");
    assert_eq!(
        (&first["method"], &first["path"], &first["query"]),
        (&json!("GET"), &json!("/me"), &json!("fields=uri"))
    );
    assert_eq!((&first["route"], &first["status"]), (&json!("GET /me"), &json!(200)));
    assert_eq!(first["accept"], "application/vnd.vimeo.*+json;version=3.4");
    assert_eq!(first["user_agent"], "journal-test/1");
    assert_eq!(first["authorization"]["scheme"], "Bearer");
    let tokens = sandbox.control("GET", "tokens", &Value::Null).await.json();
    assert_eq!(first["authorization"]["fingerprint"], tokens["tokens"][0]["fingerprint"]);

    assert_eq!(journal[1]["authorization"]["client_id"], sandbox.running.client_id);
    assert_eq!(journal[1]["content_type"], "application/x-www-form-urlencoded");
    assert_eq!((&journal[2]["route"], &journal[2]["authorization"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn secrets_do_not_appear_in_the_journal_or_the_list_of_tokens() {
    let sandbox = TestSandbox::strict().await;
    let granted = sandbox.grant_first().await.json()["access_token"].as_str().unwrap().to_owned();
    let token = &sandbox.running.access_token;
    sandbox.request("GET", &format!("/me?access_token={token}")).await;
    // Sent in ways that no client should use.
    sandbox.send("GET", "/me", &[("Authorization", token)], b"").await;
    sandbox.send("GET", "/me", &[("Authorization", &format!("{token} {granted}"))], b"").await;
    for control in ["journal", "tokens"] {
        let shown = sandbox.control("GET", control, &Value::Null).await.text();
        for secret in [token, &granted, &sandbox.running.client_secret] {
            assert!(!shown.contains(secret.as_str()), "{control}");
        }
    }
}

#[tokio::test]
async fn requests_show_the_number_of_their_connection() {
    let sandbox = TestSandbox::strict().await;
    let mut two = b"GET /me HTTP/1.1\r\nHost: sandbox\r\n\r\n".to_vec();
    two.extend(request("GET", "/me", &[], b""));
    exchange(sandbox.running.addr, &two).await.unwrap();
    sandbox.request("GET", "/me").await;

    let shown = sandbox.control("GET", "journal", &Value::Null).await.json();
    let numbers: Vec<u64> = shown["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["connection"].as_u64().unwrap())
        .collect();
    assert!(numbers[0] == numbers[1] && numbers[1] != numbers[2], "{numbers:?}");
    assert_eq!(shown["connections_opened"], 2);

    assert_eq!(sandbox.control("DELETE", "journal", &Value::Null).await.status, 204);
    let shown = sandbox.control("GET", "journal", &Value::Null).await.json();
    assert_eq!(shown, json!({"requests": [], "connections_opened": 0}));
}

#[tokio::test]
async fn swapped_credentials_are_not_shown_as_identifiers() {
    let sandbox = TestSandbox::strict().await;
    let (id, secret, token) =
        (&sandbox.running.client_id, &sandbox.running.client_secret, &sandbox.running.access_token);
    sandbox.grant(secret, id).await;
    sandbox.grant(token, "").await;
    sandbox.grant(id, "wrong").await;
    let shown = sandbox.control("GET", "journal", &Value::Null).await;
    assert!(!shown.text().contains(secret.as_str()) && !shown.text().contains(token.as_str()));
    let authorization = &shown.json()["requests"][2]["authorization"];
    assert_eq!(authorization["client_id"], *id, "one that is known is shown, whatever the secret");
    // Unknown values are not classified.
    let sandbox = TestSandbox::open().await;
    sandbox.grant("a-real-secret", "a-real-id").await;
    let shown = sandbox.control("GET", "journal", &Value::Null).await.text();
    assert!(!shown.contains("a-real"), "{shown}");
}

#[tokio::test]
async fn long_texts_are_truncated_in_the_journal() {
    let sandbox = TestSandbox::strict().await;
    let long = "x".repeat(20_000);
    sandbox.send("GET", &format!("/{long}?{long}"), &[("User-Agent", &long)], b"").await;
    let entry = sandbox.journal().await.remove(0);
    for member in ["path", "query", "user_agent"] {
        let text = entry[member].as_str().unwrap();
        assert!(text.len() < 5_000 && text.ends_with("x…"), "{member} {}", text.len());
    }
}

#[tokio::test]
async fn a_body_is_journalled_without_its_secrets() {
    let sandbox = TestSandbox::strict().await;
    let numbers = vec![0; 10_000];
    sandbox
        .call("PATCH", "/videos/1", &json!({"name": "A film", "numbers": numbers, "password": "hunter2"}))
        .await;
    let body = sandbox.journal().await[0]["body"].clone();
    assert_eq!((&body["name"], &body["numbers"]), (&json!("A film"), &json!(numbers)));
    assert_eq!(body["password"], "fingerprint:f52fbd32b2b3");
}
