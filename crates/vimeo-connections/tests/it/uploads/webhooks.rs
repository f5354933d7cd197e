//! Webhooks at the end of an upload: signed, retried, and free of secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::canaries::Canaries;
use crate::support::uploads::UploadEnv;

/// A received webhook.
struct Message {
    headers: BTreeMap<String, String>,
    body: String,
}

/// Receives the next webhook, and responds with this status.
async fn take(listener: &TcpListener, status: u16) -> Message {
    let (mut stream, _) = listener.accept().await.unwrap();
    let text = read(&mut stream).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let headers = head.lines().skip(1).map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    Message { headers, body: body.to_owned() }
}

/// A request with its body, by its content length.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the webhook was cut off");
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if Some(body.len()) == length {
            return text;
        }
    }
}

impl Message {
    /// Whether one of its signatures was made with this secret.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let printed =
            format!("{}.{}.{}", self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), printed.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        self.headers["webhook-signature"].split(' ').any(|found| found == signature)
    }
}

async fn new_secret(uploads: &UploadEnv) -> String {
    let made = uploads.env.send(Method::POST, "/pictoryapis/v1/webhook-secret", &[], Vec::new()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_webhook_is_retried_after_a_refusal_and_a_kill() {
    let mut uploads = UploadEnv::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replaced = new_secret(&uploads).await;
    let predecessor = new_secret(&uploads).await;
    let newest = new_secret(&uploads).await;
    let id = uploads
        .submit_with(json!({
            "source": {"url": uploads.source.url("film.mp4", 1000)},
            "webhook": format!("http://{}/hook?canary-webhook-token", listener.local_addr().unwrap()),
            "webhookInput": {"order": 7, "note": "canary-webhook-input"},
        }))
        .await;
    let refused = take(&listener, 500).await;
    uploads.env.kill_and_restart();
    let delivered = take(&listener, 204).await;
    for message in [&refused, &delivered] {
        assert!(message.is_signed_with(&newest));
        assert!(message.is_signed_with(&predecessor), "it signs for another day");
        assert!(
            !message.is_signed_with(&replaced),
            "the previous secret stopped when a second new one was created"
        );
        assert_eq!(message.headers["webhook-signature"].split(' ').count(), 2);
        assert_eq!(message.headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["job_id"], id);
        assert_eq!(body["data"]["status"], "completed");
        assert_eq!(body["webhookInput"], json!({"order": 7, "note": "canary-webhook-input"}));
    }
    assert_eq!(
        refused.headers["webhook-id"], delivered.headers["webhook-id"],
        "one message, delivered twice"
    );
    let job = uploads.until(&id, |job| job["data"]["webhook"] == "delivered").await;
    assert_eq!(job["data"]["status"], "completed");
    let secrets = || {
        let sql = "SELECT count(*) FROM job_secrets";
        uploads.env.database().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(secrets(), 0, "and the sealed input is wiped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_answers_410_gets_no_more_webhooks() {
    let uploads = UploadEnv::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/hook", listener.local_addr().unwrap());
    let source = json!({"url": uploads.source.url("film.mp4", 1000)});
    new_secret(&uploads).await;
    let id = uploads.submit_with(json!({"source": source, "webhook": webhook})).await;
    let delivered = take(&listener, 410).await;
    assert!(delivered.headers.contains_key("webhook-signature"));
    uploads.until(&id, |job| job["data"]["webhook"] == "given-up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_requires_a_webhook_secret_of_the_account() {
    let uploads = UploadEnv::start().await;
    let webhook = "http://127.0.0.1:9/hook";
    let secrets = || {
        let sql = "SELECT count(*) FROM webhook_secrets";
        uploads.env.database().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for source in [json!({"url": uploads.source.url("film.mp4", 1000)}), json!({"size": 1000})] {
        let refused = uploads.post(&json!({"source": source, "webhook": webhook})).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(refused.json()["code"], "WEBHOOK_SECRET_MISSING");
        assert!(refused.text.contains("POST /v1/webhook-secret"), "it explains what to do: {}", refused.text);
    }
    assert_eq!(uploads.env.get("/pictoryapis/v1/jobs").await.json()["items"], json!([]));
    assert_eq!(secrets(), 0, "no secret is created without being shown");
    new_secret(&uploads).await;
    let source = json!({"url": uploads.source.url("film.mp4", 1000)});
    let accepted = uploads.post(&json!({"source": source, "webhook": webhook})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
}

/// The password, the query of the source, the webhook and its input, the link and the signing secret, in every
/// encoding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_upload_secret_is_in_any_file_or_response() {
    let uploads = UploadEnv::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secret = new_secret(&uploads).await;
    uploads
        .env
        .inject_fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 100_000}))
        .await;
    let id = uploads
        .submit_with(json!({
            "source": {"url": uploads.source.url("film.mp4", 1_000_000)},
            "privacy": {"view": "password"}, "password": "canary-video-password",
            "webhook": format!("http://{}/hook?canary-webhook-token", listener.local_addr().unwrap()),
            "webhookInput": "canary-webhook-input",
        }))
        .await;
    let asked = uploads.post(&json!({"source": {"size": 12_345}})).await;
    assert_eq!(asked.status, 201, "{}", asked.text);
    let link = asked.json()["data"]["uploadLink"].as_str().unwrap().to_owned();
    let delivered = take(&listener, 500).await;
    assert!(delivered.body.contains("canary-webhook-input"));
    let canaries = Canaries::of(&[
        ("the query of the source", b"canary-source-query"),
        ("the password", b"canary-video-password"),
        ("the webhook", b"canary-webhook-token"),
        ("the input of the webhook", b"canary-webhook-input"),
        ("the link", link.rsplit('/').next().unwrap().as_bytes()),
        ("the signing secret", secret.strip_prefix("whsec_").unwrap().as_bytes()),
        (
            "the bytes of the signing secret",
            &STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap(),
        ),
    ]);
    assert!(!canaries.in_bytes(asked.text.as_bytes()).is_empty(), "the search finds it");
    let keyring: PathBuf = uploads.env.path().join("vimeo-connections.keyring");
    let found = canaries.in_files(uploads.env.path(), &[&keyring]);
    assert!(found.is_empty(), "{found:#?}");
    let mut answers = vec![uploads.env.get("/pictoryapis/v1/jobs").await.text];
    answers.push(uploads.job(&id).await.to_string());
    for answer in answers {
        assert!(canaries.in_bytes(answer.as_bytes()).is_empty(), "{answer}");
    }
}
