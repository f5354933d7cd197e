//! `@uppy/companion`, which fetches from an address and sends to a tus link as the service does: asked over HTTP, and let
//! go by a WebSocket that listens to how far it is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Request;
use serde_json::{Value, json};

use super::{Passage, Scene};
use crate::client::Body;
use crate::process::{Process, cpu_us};
use crate::rounds::room;
use crate::sandbox::{ask, text_at};
use crate::trouble::{Trouble, While as _};

const PATIENCE: Duration = Duration::from_mins(30);
/// How long nothing may be heard of an upload.
const SILENCE: Duration = Duration::from_mins(1);

/// It runs. Killed when dropped.
pub(super) struct Companion {
    process: Process,
    address: SocketAddr,
}

impl Companion {
    /// Starts what scripts/companion has installed in that directory.
    pub(super) fn start(installed: &Path, work: &Path) -> Result<Self, Trouble> {
        let directory = room(work, "relay-companion")?;
        let script = installed.join("serve.mjs").canonicalize().while_doing("it is not installed")?;
        let arguments = [
            "-u".to_owned(),
            "NODE_ENV".to_owned(),
            format!("DIRECTORY={}", room(&directory, "files")?.display()),
            "node".to_owned(),
            script.display().to_string(),
        ];
        let mut process = Process::start("env".as_ref(), &arguments, &directory)?;
        let base_url = process.wait_for(&directory.join("env.out"), Duration::from_mins(1), |line| {
            text_at(&serde_json::from_str::<Value>(line).ok()?, "/base_url").ok()
        })?;
        Ok(Self { process, address: base_url.trim_start_matches("http://").parse()? })
    }

    /// Listens to an upload, which begins with that, until it has ended.
    fn follow(&self, token: &str) -> Result<(), Trouble> {
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
        while started.elapsed() < PATIENCE {
            let count = stream.read(&mut buffer).while_doing("companion fell silent")?;
            heard.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
            // Nobody else writes these words there.
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

impl Scene<'_> {
    pub(super) fn by_companion(&self, other: &Companion, bytes: u64) -> Result<Passage, Trouble> {
        let placeholder = self.vimeo.make_placeholder(bytes)?;
        let before = cpu_us(other.process.id())?;
        let wish = json!({
            "url": self.source.url(bytes), "protocol": "tus", "uploadUrl": placeholder.link,
            "metadata": {"name": "film.mp4", "type": "video/mp4"},
        });
        let request = Request::post("/url/get")
            .header("Host", other.address.to_string())
            .header("Content-Type", "application/json")
            .body(Body::from(wish.to_string()))?;
        let told = ask(self.runtime, other.address, request)?;
        other.follow(&text_at(&told, "/token")?)?;
        let cpu = Duration::from_micros(cpu_us(other.process.id())?.saturating_sub(before)).as_secs_f64();
        let taken = self.vimeo.taken(&placeholder.uri, bytes)?;
        let seconds = taken.at.seconds_since(self.source.began_at()?);
        self.source.forget();
        self.vimeo.forget(&placeholder.uri)?;
        Ok(Passage::new(bytes, seconds, &taken, Some(cpu)))
    }
}
