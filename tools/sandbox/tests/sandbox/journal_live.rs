//! Bodies and callers in the journal, its filters, and the live journal.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::test_sandbox::{TestSandbox, request};

/// A reader of the live journal.
struct Reader {
    stream: TcpStream,
    read: String,
}

impl Reader {
    async fn begin(sandbox: &TestSandbox, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(sandbox.running.addr).await.unwrap();
        stream.write_all(&request("GET", "/_sandbox/journal/live", headers, b"")).await.unwrap();
        let mut reader = Self { stream, read: String::new() };
        reader.read_until("\r\n\r\n").await;
        reader
    }

    async fn read_until(&mut self, end: &str) {
        while !self.read.contains(end) {
            let mut bytes = [0; 4096];
            let length = self.stream.read(&mut bytes).await.unwrap();
            assert!(length > 0, "{}", self.read);
            self.read.push_str(str::from_utf8(&bytes[..length]).unwrap());
        }
    }

    /// Every event up to this one, as its name and number.
    async fn events_until(&mut self, name: &str, number: u64) -> Vec<(String, Value)> {
        // The sizes of chunks appear between events, and the order of an event's lines is up to the library.
        loop {
            let mut events = Vec::new();
            for event in self.read.split("event: ").skip(1).filter(|event| event.contains("\n\n")) {
                let name = event.lines().next().unwrap().to_owned();
                let data = event.lines().find_map(|connection| connection.strip_prefix("data: ")).unwrap();
                events.push((name, serde_json::from_str::<Value>(data).unwrap()));
            }
            if events.iter().any(|(found, entry)| found == name && entry["number"] == number) {
                return events;
            }
            let mut bytes = [0; 4096];
            let length = self.stream.read(&mut bytes).await.unwrap();
            assert!(length > 0, "{}", self.read);
            self.read.push_str(str::from_utf8(&bytes[..length]).unwrap());
        }
    }
}

fn numbered(events: &[(String, Value)]) -> Vec<(&str, u64)> {
    events.iter().map(|(name, entry)| (name.as_str(), entry["number"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn the_live_journal_streams_events_and_replays_missed_ones() {
    let sandbox = TestSandbox::strict().await;
    let mut reader = Reader::begin(&sandbox, &[]).await;
    sandbox.request("GET", "/me").await;
    sandbox.grant_first().await;
    let events = reader.events_until("settled", 2).await;
    assert_eq!(numbered(&events), [("arrived", 1), ("settled", 1), ("arrived", 2), ("settled", 2)]);
    assert_eq!((&events[0].1["status"], &events[1].1["status"]), (&Value::Null, &json!(200)));
    assert_eq!(events[3].1["body"]["grant_type"], "client_credentials");
    assert!(reader.read.contains("id: 2\n") && reader.read.contains("text/event-stream"));
    drop(reader);

    let mut reader = Reader::begin(&sandbox, &[("Last-Event-ID", "1")]).await;
    let events = reader.events_until("settled", 2).await;
    assert_eq!(numbered(&events), [("settled", 1), ("arrived", 2), ("settled", 2)]);
    // The stream ends with the sandbox.
    sandbox.running.stop().await;
}

#[tokio::test]
async fn a_lost_response_is_settled_without_a_status() {
    let sandbox = TestSandbox::strict().await;
    let mut reader = Reader::begin(&sandbox, &[]).await;
    sandbox.fault(json!({"route": "*", "kind": "cut"})).await;
    sandbox.receive_verify().await.unwrap();
    let events = reader.events_until("settled", 1).await;
    assert_eq!((&events[1].1["status"], &events[1].1["answered_at"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_entry_shows_the_caller_the_body_and_the_duration() {
    let sandbox = TestSandbox::open().await;
    let me = sandbox.request("GET", "/me").await.json();
    sandbox.grant_first().await;
    sandbox.request_with("welcome-guest", "GET", "/me").await;
    sandbox.send("GET", "/me", &[], b"").await;
    let journal = sandbox.journal().await;
    assert_eq!(journal[0]["user"], me["uri"]);
    assert_eq!((&journal[0]["answered_at"], &journal[0]["millis"]), (&journal[0]["at"], &json!(0)));
    assert_eq!((&journal[0]["request_bytes"], &journal[0]["body"]), (&json!(0), &Value::Null));
    assert_eq!((&journal[1]["user"], &journal[1]["app"]), (&Value::Null, &journal[0]["app"]));
    assert_eq!(journal[1]["request_bytes"], "grant_type=client_credentials&scope=public".len());
    assert_eq!(journal[1]["body"], json!({"grant_type": "client_credentials", "scope": "public"}));
    assert!(journal[2]["user"].is_string() && journal[2]["app"] != journal[0]["app"]);
    assert_eq!((&journal[3]["user"], &journal[3]["app"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn secrets_in_a_body_do_not_appear_in_the_journal_even_with_a_fault() {
    let sandbox = TestSandbox::strict().await;
    sandbox.fault(json!({"route": "*", "kind": "empty", "status": 500})).await;
    for (kind, body) in [
        ("application/json", r#"{"password": "hunter2", "upload": {"link": "http://x/?hunter2"}}"#),
        ("application/json", r#"{"review": {"nested": [{"client_secret": "hunter2"}]}}"#),
        ("application/x-www-form-urlencoded", "code=hunter2&refresh_token=hunter2&device_code=hunter2"),
        ("application/x-www-form-urlencoded", r#"{"password": "hunter2"}"#),
        ("application/x-www-form-urlencoded", r#"{"password": "hunter2","#),
        ("text/plain", "hunter2"),
    ] {
        sandbox.send("POST", "/me?code=hunter2", &[("Content-Type", kind)], body.as_bytes()).await;
    }
    let shown = sandbox.control("GET", "journal", &Value::Null).await;
    assert!(!shown.text().contains("hunter2"), "{}", shown.text());
    assert_eq!(shown.json()["requests"][0]["body"]["password"], "fingerprint:f52fbd32b2b3");
}

#[tokio::test]
async fn the_journal_can_be_filtered() {
    let sandbox = TestSandbox::strict().await;
    for path in ["/me", "/videos/1", "/me", "/videos/2", "/me"] {
        sandbox.request("GET", path).await;
    }
    for (query, numbers) in [
        ("after=3", vec![4, 5]),
        ("after=1&limit=2", vec![2, 3]),
        ("limit=2", vec![4, 5]),
        ("route=GET%20/videos/%7Bvideo%7D", vec![2, 4]),
        ("route=/me&after=1&limit=1", vec![3]),
        ("after=99", vec![]),
    ] {
        let shown = sandbox.control("GET", &format!("journal?{query}"), &Value::Null).await.json();
        let found: Vec<u64> = shown["requests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["number"].as_u64().unwrap())
            .collect();
        assert_eq!(found, numbers, "{query}");
    }
    for query in ["after=x", "limit=0", "limit=-1", "route=me", "before=5", "live?after=x", "live?x=1"] {
        let path =
            if query.starts_with("live") { format!("journal/{query}") } else { format!("journal?{query}") };
        let reply = sandbox.control("GET", &path, &Value::Null).await;
        assert!(reply.status == 400 && reply.json()["error"].is_string(), "{query}");
    }
}

#[tokio::test]
async fn a_disconnect_is_reported_before_its_request_ends() {
    let sandbox = TestSandbox::strict().await;
    let mut reader = Reader::begin(&sandbox, &[]).await;
    sandbox.fault(json!({"route": "GET /me", "kind": "hold"})).await;
    let mut leaving = TcpStream::connect(sandbox.running.addr).await.unwrap();
    leaving.write_all(&request("GET", "/me", &[], b"")).await.unwrap();
    reader.events_until("arrived", 1).await;
    drop(leaving);
    let events = reader.events_until("abandoned", 1).await;
    let (_, entry) = events.last().unwrap();
    assert_eq!((&entry["abandoned"], &entry["settled"]), (&json!(true), &json!(false)));
    sandbox.control("DELETE", "faults", &Value::Null).await;
    let events = reader.events_until("settled", 1).await;
    assert_eq!(numbered(&events), [("arrived", 1), ("abandoned", 1), ("settled", 1)]);
    let (_, entry) = events.last().unwrap();
    assert_eq!((&entry["status"], &entry["settled"]), (&Value::Null, &json!(true)));
}
