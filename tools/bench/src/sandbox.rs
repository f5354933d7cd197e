//! The sandbox, with requests as the owner of videos and to its controls.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hyper::Request;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{Body, Client};
use crate::error::{BenchError, Context as _};
use crate::process::Process;
use crate::time_of_day::TimeOfDay;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A running sandbox. Killed when dropped.
pub(crate) struct Sandbox<'a> {
    runtime: &'a Runtime,
    process: Process,
    address: SocketAddr,
    pub(crate) base_url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) access_token: String,
}

/// A video without its bytes.
pub(crate) struct Placeholder {
    pub(crate) uri: String,
    pub(crate) link: String,
}

/// An upload whose bytes have all arrived.
pub(crate) struct ReceivedUpload {
    pub(crate) at: TimeOfDay,
    pub(crate) requests: usize,
    pub(crate) sha256: String,
}

impl<'a> Sandbox<'a> {
    /// Starts it in a directory of its own. Each of the two stages of transcoding lasts that many seconds.
    pub(crate) fn start(
        runtime: &'a Runtime,
        programs: &Path,
        directory: &Path,
        transcoding: &str,
    ) -> Result<Self, BenchError> {
        fs::create_dir_all(directory)?;
        let program = programs.join("vimeo-sandbox").canonicalize().context("the sandbox is not built")?;
        let arguments = ["--json", "--listen", "127.0.0.1:0", "--transcoding", transcoding];
        let mut process = Process::start(&program, &arguments, directory)?;
        let said: Value = process.wait_for(&directory.join("vimeo-sandbox.out"), TIMEOUT, |line| {
            serde_json::from_str(line).ok()
        })?;
        let text = |name: &str| text_at(&said, &format!("/{name}"));
        let base_url = text("base_url")?;
        Ok(Self {
            runtime,
            process,
            address: base_url.trim_start_matches("http://").parse()?,
            base_url,
            client_id: text("client_id")?,
            client_secret: text("client_secret")?,
            access_token: text("access_token")?,
        })
    }

    pub(crate) fn runtime(&self) -> &'a Runtime {
        self.runtime
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// A request with the token of the first user, or without one to a control. Returns the JSON of the response.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, BenchError> {
        let mut request = Request::builder().method(method).uri(path).header("Host", "sandbox");
        if !path.starts_with("/_sandbox/") {
            request = request.header("Authorization", format!("bearer {}", self.access_token));
            request = request.header("Accept", "application/vnd.vimeo.*+json;version=3.4");
        }
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("Content-Type", "application/json").body(Body::from(text))?;
        send(self.runtime, self.address, request).context(format!("the sandbox: {method} {path}"))
    }

    /// Creates a placeholder for this many bytes.
    pub(crate) fn create_placeholder(&self, bytes: u64) -> Result<Placeholder, BenchError> {
        let body = json!({"upload": {"approach": "tus", "size": bytes}});
        let made = self.send("POST", "/me/videos", &body)?;
        Ok(Placeholder { uri: text_at(&made, "/uri")?, link: text_at(&made, "/upload/upload_link")? })
    }

    /// When the last byte of a video arrived; it must be the only upload since [`Self::forget`].
    pub(crate) fn received(&self, uri: &str, bytes: u64) -> Result<ReceivedUpload, BenchError> {
        let shown = self.send("GET", &format!("/_sandbox{uri}"), &Value::Null)?;
        let received = shown.pointer("/versions/0/received").and_then(Value::as_u64);
        if received != Some(bytes) {
            return Err(format!("{received:?} bytes of {bytes} came").into());
        }
        let journal = self.send("GET", "/_sandbox/journal?route=PATCH%20/files/%2A", &Value::Null)?;
        let requests = journal.pointer("/requests").and_then(Value::as_array).ok_or("no journal")?;
        let is_good = |request: &Value| request.get("status").and_then(Value::as_u64) == Some(204);
        if !requests.iter().all(is_good) {
            return Err("not all requests with bytes went well".into());
        }
        let last = requests.last().ok_or("no bytes came")?;
        let at = text_at(last, "/answered_at")?;
        Ok(ReceivedUpload {
            at: TimeOfDay::read(&at).ok_or_else(|| format!("no instant: {at}"))?,
            requests: requests.len(),
            sha256: text_at(&shown, "/versions/0/sha256")?,
        })
    }

    /// Deletes a video, and empties the journal.
    pub(crate) fn forget(&self, uri: &str) -> Result<(), BenchError> {
        self.send("DELETE", uri, &Value::Null)?;
        self.send("DELETE", "/_sandbox/journal", &Value::Null).map(drop)
    }
}

/// Sends a request to a server on this machine. Returns the JSON of a successful response.
pub(crate) fn send(
    runtime: &Runtime,
    address: SocketAddr,
    request: Request<Body>,
) -> Result<Value, BenchError> {
    let asked = async { Client::connect(address).await?.send(request).await };
    let (status, text) = runtime.block_on(asked)?;
    if !status.is_success() {
        return Err(format!("{status} {}", String::from_utf8_lossy(&text)).into());
    }
    Ok(if text.is_empty() { Value::Null } else { serde_json::from_slice(&text)? })
}

pub(crate) fn text_at(value: &Value, pointer: &str) -> Result<String, BenchError> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("there is no {pointer} in {value}"))?.to_owned())
}
