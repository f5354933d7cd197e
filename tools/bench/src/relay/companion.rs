//! `@uppy/companion`, which fetches a URL and uploads it to a tus link like the service: started over HTTP, with
//! progress over a WebSocket.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Request;
use serde_json::{Value, json};

use super::{TestBed, Transfer};
use crate::client::Body;
use crate::error::{BenchError, Context as _};
use crate::process::{Process, cpu_us};
use crate::rounds::subdirectory;
use crate::sandbox::{send, text_at};

const TIMEOUT: Duration = Duration::from_mins(30);
/// How long an upload may be without progress.
const SILENCE: Duration = Duration::from_mins(1);

/// A running companion. Killed when dropped.
pub(super) struct Companion {
    process: Process,
    address: SocketAddr,
}

impl Companion {
    /// Starts the installation that scripts/companion has made.
    pub(super) fn start(installed: &Path, work: &Path) -> Result<Self, BenchError> {
        let directory = subdirectory(work, "relay-companion")?;
        let script = installed.join("serve.mjs").canonicalize().context("it is not installed")?;
        let arguments = [
            "-u".to_owned(),
            "NODE_ENV".to_owned(),
            format!("DIRECTORY={}", subdirectory(&directory, "files")?.display()),
            "node".to_owned(),
            script.display().to_string(),
        ];
        let mut process = Process::start("env".as_ref(), &arguments, &directory)?;
        let base_url = process.wait_for(&directory.join("env.out"), Duration::from_mins(1), |line| {
            text_at(&serde_json::from_str::<Value>(line).ok()?, "/base_url").ok()
        })?;
        Ok(Self { process, address: base_url.trim_start_matches("http://").parse()? })
    }

    /// Subscribes to an upload, which starts it, until it has ended.
    fn follow(&self, token: &str) -> Result<(), BenchError> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(SILENCE))?;
        write!(
            stream,
            "GET /api/{token} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        )?;
        let (mut heard, mut buffer) = (String::new(), [0; 4096]);
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            let count = stream.read(&mut buffer).context("companion fell silent")?;
            heard.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
            // Only the result contains this text.
            if heard.contains("\"action\":\"success\"") {
                return Ok(());
            }
            if count == 0 || heard.contains("\"action\":\"error\"") {
                break;
            }
        }
        Err(format!("companion did not bring it: {heard}").into())
    }
}

impl TestBed<'_> {
    pub(super) fn by_companion(&self, other: &Companion, bytes: u64) -> Result<Transfer, BenchError> {
        let placeholder = self.vimeo.create_placeholder(bytes)?;
        let before = cpu_us(other.process.id())?;
        let settings = json!({
            "url": self.source.url(bytes), "protocol": "tus", "uploadUrl": placeholder.link,
            "metadata": {"name": "film.mp4", "type": "video/mp4"},
        });
        let request = Request::post("/url/get")
            .header("Host", other.address.to_string())
            .header("Content-Type", "application/json")
            .body(Body::from(settings.to_string()))?;
        let accepted = send(self.runtime, other.address, request)?;
        other.follow(&text_at(&accepted, "/token")?)?;
        let cpu = Duration::from_micros(cpu_us(other.process.id())?.saturating_sub(before)).as_secs_f64();
        let received = self.vimeo.received(&placeholder.uri, bytes)?;
        let seconds = received.at.seconds_since(self.source.started_at()?);
        self.source.forget();
        self.vimeo.forget(&placeholder.uri)?;
        Ok(Transfer::new(bytes, seconds, &received, Some(cpu)))
    }
}
