//! A receiver of webhooks whose behaviour is scripted for each path.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::support::uploads::WAIT_LIMIT;
use crate::support::webhooks::Message;

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Responds with this status.
    Status(u16),
    /// The same, after this time.
    Late(u16, Duration),
    /// Responds with this status and `Retry-After` in seconds.
    Busy(u16, u64),
    /// Redirects to another path of its own.
    Redirect,
    /// Responds with a body that never ends.
    Endless(u16),
    /// Closes the connection without a response.
    Cut,
    /// Closes it in the middle of the response's head.
    CutHead,
    /// Responds with something else than HTTP.
    Garbage,
    /// Never responds.
    Silent,
}

impl Reaction {
    /// The status that its client reads, if it reads one.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Status(status) | Self::Late(status, _) | Self::Busy(status, _) | Self::Endless(status) => {
                Some(status)
            }
            Self::Redirect => Some(302),
            Self::Cut | Self::CutHead | Self::Garbage | Self::Silent => None,
        }
    }

    /// Whether its client learns that the webhook was accepted.
    pub(crate) fn accepts(self) -> bool {
        self.status().is_some_and(|status| (200..300).contains(&status))
    }
}

/// A webhook as it was received.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) message: Message,
    pub(crate) reaction: Reaction,
}

#[derive(Debug, Default)]
struct State {
    /// What follows at each path; the last one is repeated.
    scripts: HashMap<String, VecDeque<Reaction>>,
    received: HashMap<String, Vec<Received>>,
    /// Requests without a response that the client has given up.
    silent_ended: usize,
}

/// The receiver; it ends with the test's runtime.
#[derive(Clone, Debug)]
pub(crate) struct ScriptedReceiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl ScriptedReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(State::default())));
        let receiver = Self { address, state };
        let serving = receiver.clone();
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let receiver = serving.clone();
                tasks.spawn(async move { receiver.serve(stream).await });
            }
        });
        receiver
    }

    /// The URL of a path, whose reactions are these in turn; the last one is repeated.
    pub(crate) fn url(&self, path: &str, script: &[Reaction]) -> String {
        let mut state = self.state.lock().unwrap();
        state.scripts.insert(path.to_owned(), script.iter().copied().collect());
        format!("http://{}{path}", self.address)
    }

    /// Everything that a path has received, in order.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        self.state.lock().unwrap().received.get(path).cloned().unwrap_or_default()
    }

    /// How many requests without a response the clients have given up.
    pub(crate) fn silent_ended(&self) -> usize {
        self.state.lock().unwrap().silent_ended
    }

    /// Waits until a path has received this many.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) -> Vec<Received> {
        let started = std::time::Instant::now();
        loop {
            let received = self.received(path);
            if received.len() >= count {
                return received;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{path} has {} of {count}", received.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some((path, headers, body)) = read(&mut stream).await else { return };
        let reaction = {
            let mut state = self.state.lock().unwrap();
            let script = state.scripts.entry(path.clone()).or_default();
            let next = if script.len() > 1 { script.pop_front() } else { script.front().copied() };
            let reaction = next.unwrap_or(Reaction::Status(404));
            state
                .received
                .entry(path)
                .or_default()
                .push(Received { message: Message { headers, body }, reaction });
            reaction
        };
        react(&mut stream, reaction).await;
        if matches!(reaction, Reaction::Silent) {
            self.state.lock().unwrap().silent_ended += 1;
        }
    }
}

/// The path, the headers in lower case and the body of a request; `None` if it was cut off.
async fn read(stream: &mut TcpStream) -> Option<(String, BTreeMap<String, String>, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: BTreeMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize = headers.get("content-length")?.parse().ok()?;
        if body.len() >= length {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some((path, headers, body.to_owned()));
        }
    }
}

async fn react(stream: &mut TcpStream, reaction: Reaction) {
    let head = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n{more}\r\n")
    };
    let text = match reaction {
        Reaction::Status(status) => head(status, ""),
        Reaction::Late(status, delay) => {
            tokio::time::sleep(delay).await;
            head(status, "")
        }
        Reaction::Busy(status, seconds) => head(status, &format!("Retry-After: {seconds}\r\n")),
        Reaction::Redirect => head(302, "Location: /elsewhere\r\n"),
        Reaction::Endless(status) => {
            let head = format!("HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = format!("{:x}\r\n{}\r\n", 8192, "x".repeat(8192));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            return;
        }
        Reaction::Cut => return,
        Reaction::CutHead => "HTTP/1.1 200 O".to_owned(),
        Reaction::Garbage => "not HTTP at all\r\n\r\n".to_owned(),
        Reaction::Silent => {
            // Until the client gives up.
            let _ = stream.read(&mut [0; 16]).await;
            return;
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
}
