//! Receivers of webhooks, and environments with endpoints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::support::harness::{EnvOptions, Response, TestEnv, until};

/// Receivers on loopback, and delays of a second.
pub(crate) const CONFIG: &str = "sources.allow = [\"127.0.0.1/32\"]\nsources.allow_http = true\n\
    sources.ports = \"any\"\nwebhooks.retry_delays_seconds = [\"1\", \"1\", \"1\"]\n";
pub(crate) const ENDPOINTS: &str = "/pictoryapis/v1/webhook-endpoints";
pub(crate) const DELIVERIES: &str = "/pictoryapis/v1/webhook-deliveries";

/// A received webhook.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Whether one of its signatures was made with this secret.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(tag.as_ref()));
        self.headers["webhook-signature"].split(' ').any(|found| found == signature)
    }

    pub(crate) fn signatures(&self) -> usize {
        self.headers["webhook-signature"].split(' ').count()
    }
}

/// A receiver that answers every webhook with the same status, until it is changed.
pub(crate) struct Receiver {
    pub(crate) url: String,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Message>>>,
}

impl Receiver {
    pub(crate) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?canary-endpoint-token", listener.local_addr().unwrap());
        let made = Self { url, status: Arc::new(AtomicU16::new(status)), received: Arc::default() };
        let (status, received) = (made.status.clone(), made.received.clone());
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (status, received) = (status.clone(), received.clone());
                tasks.spawn(async move { answer(stream, &status, &received).await });
            }
        });
        made
    }

    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn received(&self) -> Vec<Message> {
        self.received.lock().unwrap().clone()
    }

    /// Waits for this many webhooks, and returns all.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Message> {
        until(&format!("{count} webhooks"), async || self.received().len() >= count).await;
        self.received()
    }
}

async fn answer(mut stream: TcpStream, status: &AtomicU16, received: &Mutex<Vec<Message>>) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8(bytes.clone()).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_lowercase();
        let length: Option<usize> =
            lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if Some(body.len()) == length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    received.lock().unwrap().push(Message { headers, body });
    let status = status.load(Ordering::SeqCst);
    let answer = format!(
        "HTTP/1.1 {status} Said\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await.ok()
}

/// An environment in which connections are not verified.
pub(crate) async fn env_with(config: &str) -> TestEnv {
    let config = format!("{CONFIG}{config}");
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

pub(crate) async fn send(env: &TestEnv, method: Method, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    env.send(method, path, &[("content-type", "application/json")], body).await
}

/// Creates an endpoint; the response.
pub(crate) async fn create(env: &TestEnv, body: &Value) -> Value {
    let created = send(env, Method::POST, ENDPOINTS, body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.json()
}

/// The path of a created endpoint.
pub(crate) fn path(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", endpoint["endpointId"].as_str().unwrap())
}

/// The items of a list.
pub(crate) async fn items(env: &TestEnv, path: &str) -> Vec<Value> {
    let listed = env.get(path).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    listed.json()["items"].as_array().unwrap().clone()
}

/// Waits until an endpoint is disabled for this reason.
pub(crate) async fn until_disabled(env: &TestEnv, endpoint: &Value, reason: &str) {
    let path = path(endpoint);
    until(reason, async || env.get(&path).await.json()["disabledReason"] == reason).await;
}
