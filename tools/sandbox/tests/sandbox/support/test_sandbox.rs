//! A sandbox with a manual clock, and a minimal HTTP client that shows everything.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sandbox::{Options, Plan, Running};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// `2021-10-05T13:46:34Z`.
const START: i64 = 1_633_441_594;

pub(crate) struct TestSandbox {
    pub(crate) running: Running,
    clock: Arc<Mutex<Timestamp>>,
}

impl TestSandbox {
    pub(crate) async fn strict() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn open() -> Self {
        Self::with(Options { open: true, ..Options::default() }).await
    }

    pub(crate) async fn on_plan(plan: Plan) -> Self {
        Self::with(Options { plan: Some(plan), ..Options::default() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Arc::new(Mutex::new(Timestamp::from_second(START).unwrap()));
        let time = Arc::clone(&clock);
        let options = Options { clock: Arc::new(move || *time.lock().unwrap()), ..options };
        Self { running: sandbox::start(options).await.unwrap(), clock }
    }

    pub(crate) fn pass_seconds(&self, seconds: i64) {
        let mut clock = self.clock.lock().unwrap();
        *clock = clock.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    /// A request with the first token. It must get a response.
    pub(crate) async fn request(&self, method: &str, path: &str) -> Reply {
        self.request_with(&self.running.access_token, method, path).await
    }

    pub(crate) async fn request_with(&self, token: &str, method: &str, path: &str) -> Reply {
        let authorization = format!("bearer {token}");
        self.send(method, path, &[("Authorization", &authorization)], b"").await
    }

    /// A client-credentials grant. It must get a response.
    pub(crate) async fn grant(&self, client_id: &str, client_secret: &str) -> Reply {
        let authorization = basic(client_id, client_secret);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let body = b"grant_type=client_credentials&scope=public";
        self.send("POST", "/oauth/authorize/client", &headers, body).await
    }

    pub(crate) async fn grant_first(&self) -> Reply {
        self.grant(&self.running.client_id, &self.running.client_secret).await
    }

    /// A control, with the body as curl would send it.
    pub(crate) async fn control(&self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/_sandbox/{path}"), &[], body.as_bytes()).await
    }

    /// Creates a fault.
    pub(crate) async fn fault(&self, fault: Value) {
        let reply = self.control("POST", "faults", &fault).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }

    /// Changes the first app's owner.
    pub(crate) async fn change_owner(&self, change: Value) {
        let users = self.control("GET", "users", &Value::Null).await.json();
        let path = format!("users/{}", users["users"][0]["number"]);
        let reply = self.control("PATCH", &path, &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Every request in the journal.
    pub(crate) async fn journal(&self) -> Vec<Value> {
        let shown = self.control("GET", "journal", &Value::Null).await.json();
        shown["requests"].as_array().unwrap().clone()
    }

    /// How many granted tokens are still valid: a careful client leaves none.
    pub(crate) async fn live_granted_tokens(&self) -> usize {
        let shown = self.control("GET", "tokens", &Value::Null).await.json();
        let tokens = shown["tokens"].as_array().unwrap();
        tokens.iter().filter(|token| token["origin"] == "granted" && token["revoked"] == false).count()
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let bytes = self.receive(method, path, headers, body).await.unwrap();
        Reply::read(&bytes)
    }

    /// The bytes of the response, up to the end of the connection.
    pub(crate) async fn receive(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Vec<u8>> {
        exchange(self.running.addr, &request(method, path, headers, body)).await
    }

    /// The bytes of the response to a request with the first token.
    pub(crate) async fn receive_verify(&self) -> io::Result<Vec<u8>> {
        let authorization = format!("bearer {}", self.running.access_token);
        self.receive("GET", "/oauth/verify", &[("Authorization", &authorization)], b"").await
    }
}

pub(crate) fn basic(client_id: &str, client_secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{client_secret}")))
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Sends bytes on a new connection and reads until the server closes it.
pub(crate) async fn exchange(addr: SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(sent).await?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await?;
    Ok(received)
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Self { status, head, body: bytes[end + 4..].to_vec() };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body = dechunked(&reply.body);
        }
        reply
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|connection| connection.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn code(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/vnd.vimeo.error+json"));
        let body = self.json();
        assert_eq!(body["link"], Value::Null);
        assert!(body["error"].is_string() && body["developer_message"].is_string(), "{body}");
        body["error_code"].clone()
    }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&bytes[end + 2..end + 2 + size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
    whole
}
