use serde_json::{Value, json};

use crate::harness::{Desk, exchange, request};

#[tokio::test]
async fn a_request_is_entered_with_what_it_said() {
    let desk = Desk::strict().await;
    let authorization = format!("bearer {}", desk.running.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("User-Agent", "journal-test/1"),
    ];
    desk.send("GET", "/me?fields=uri", &headers, b"").await;
    desk.grant_first().await;
    desk.send("GET", "/nonsense", &[], b"").await;

    let journal = desk.journal().await;
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
    let tokens = desk.control("GET", "tokens", &Value::Null).await.json();
    assert_eq!(first["authorization"]["fingerprint"], tokens["tokens"][0]["fingerprint"]);

    assert_eq!(journal[1]["authorization"]["client_id"], desk.running.client_id);
    assert_eq!(journal[1]["content_type"], "application/x-www-form-urlencoded");
    assert_eq!((&journal[2]["route"], &journal[2]["authorization"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn no_secret_stands_in_the_journal_or_among_the_tokens() {
    let desk = Desk::strict().await;
    let granted = desk.grant_first().await.json()["access_token"].as_str().unwrap().to_owned();
    let token = &desk.running.access_token;
    desk.ask("GET", &format!("/me?access_token={token}")).await;
    // Sent in ways in which no client should.
    desk.send("GET", "/me", &[("Authorization", token)], b"").await;
    desk.send("GET", "/me", &[("Authorization", &format!("{token} {granted}"))], b"").await;
    for control in ["journal", "tokens"] {
        let shown = desk.control("GET", control, &Value::Null).await.text();
        for secret in [token, &granted, &desk.running.client_secret] {
            assert!(!shown.contains(secret.as_str()), "{control}");
        }
    }
}

#[tokio::test]
async fn requests_of_one_connection_are_known_by_its_number() {
    let desk = Desk::strict().await;
    let mut two = b"GET /me HTTP/1.1\r\nHost: sandbox\r\n\r\n".to_vec();
    two.extend(request("GET", "/me", &[], b""));
    exchange(desk.running.addr, &two).await.unwrap();
    desk.ask("GET", "/me").await;

    let shown = desk.control("GET", "journal", &Value::Null).await.json();
    let numbers: Vec<u64> = shown["requests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["connection"].as_u64().unwrap())
        .collect();
    assert!(numbers[0] == numbers[1] && numbers[1] != numbers[2], "{numbers:?}");
    assert_eq!(shown["connections_opened"], 2);

    assert_eq!(desk.control("DELETE", "journal", &Value::Null).await.status, 204);
    let shown = desk.control("GET", "journal", &Value::Null).await.json();
    assert_eq!(shown, json!({"requests": [], "connections_opened": 0}));
}

#[tokio::test]
async fn credentials_that_were_mixed_up_are_not_shown_as_identifiers() {
    let desk = Desk::strict().await;
    let (id, secret, token) =
        (&desk.running.client_id, &desk.running.client_secret, &desk.running.access_token);
    desk.grant(secret, id).await;
    desk.grant(token, "").await;
    desk.grant(id, "wrong").await;
    let shown = desk.control("GET", "journal", &Value::Null).await;
    assert!(!shown.text().contains(secret.as_str()) && !shown.text().contains(token.as_str()));
    let authorization = &shown.json()["requests"][2]["authorization"];
    assert_eq!(authorization["client_id"], *id, "one that is known is shown, whatever the secret");
    // Of what strangers bring nobody knows what it is.
    let desk = Desk::open().await;
    desk.grant("somebodys-real-secret", "somebodys-real-id").await;
    let shown = desk.control("GET", "journal", &Value::Null).await.text();
    assert!(!shown.contains("somebodys-real"), "{shown}");
}

#[tokio::test]
async fn a_long_text_is_kept_by_its_beginning() {
    let desk = Desk::strict().await;
    let long = "x".repeat(20_000);
    desk.send("GET", &format!("/{long}?{long}"), &[("User-Agent", &long)], b"").await;
    let entry = desk.journal().await.remove(0);
    for member in ["path", "query", "user_agent"] {
        let text = entry[member].as_str().unwrap();
        assert!(text.len() < 5_000 && text.ends_with("x…"), "{member} {}", text.len());
    }
}

#[tokio::test]
async fn a_body_is_shown_as_it_came_but_for_its_secrets() {
    let desk = Desk::strict().await;
    let numbers = vec![0; 10_000];
    desk.call("PATCH", "/videos/1", &json!({"name": "A film", "numbers": numbers, "password": "hunter2"}))
        .await;
    let body = desk.journal().await[0]["body"].clone();
    assert_eq!((&body["name"], &body["numbers"]), (&json!("A film"), &json!(numbers)));
    assert_eq!(body["password"], "fingerprint:f52fbd32b2b3");
}
