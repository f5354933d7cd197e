//! A scripted HTTP server that records requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How the server answers one request.
pub(super) struct Answer {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    StayOpen,
}

/// A server; stops when dropped.
pub(super) struct Web {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    _running: JoinSet<()>,
}

impl Answer {
    /// A complete response with `Content-Length`.
    pub(super) fn new(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let length = format!("Content-Length: {}", body.as_ref().len());
        Self::raw(status, &[headers, &[&length]].concat(), body)
    }

    /// A response with exactly these headers.
    pub(super) fn raw(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Self {
        let mut bytes = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n").into_bytes();
        for line in headers {
            bytes.extend_from_slice(format!("{line}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.as_ref());
        Self { bytes, then: Then::Close }
    }

    /// The body in chunks of 9 bytes, without `Content-Length`.
    pub(super) fn chunked(headers: &[&str], body: &[u8]) -> Self {
        let mut chunks = Vec::new();
        for chunk in body.chunks(9) {
            chunks.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            chunks.extend_from_slice(chunk);
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        Self::raw(200, &[headers, &["Transfer-Encoding: chunked"]].concat(), chunks)
    }

    /// These bytes, which need not be HTTP.
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), then: Then::Close }
    }

    /// Without the last `missing` bytes.
    pub(super) fn cut_by(mut self, missing: usize) -> Self {
        self.bytes.truncate(self.bytes.len() - missing);
        self
    }

    /// Keeps the connection open without sending more.
    pub(super) fn then_silence(mut self) -> Self {
        self.then = Then::StayOpen;
        self
    }
}

impl Web {
    /// A server at a free port. `answer` receives the head of a request.
    pub(super) async fn start(ip: IpAddr, answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::new(ip, 0), answer).await
    }

    pub(super) async fn start_at(
        address: SocketAddr,
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, answer) = (listener.local_addr().unwrap(), Arc::new(answer));
        let (accepted, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, journal) = (Arc::clone(&accepted), Arc::clone(&requests));
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, journal) = (Arc::clone(&answer), Arc::clone(&journal));
                connections.spawn(async move { converse(stream, &*answer, &journal).await });
            }
        });
        Self { address, accepted, requests, _running: running }
    }

    /// The number of connections.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Head and body of each request.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn converse(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Answer + Send + Sync),
    journal: &Mutex<Vec<String>>,
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let answer = answer(&request);
    journal.lock().unwrap().push(request);
    // Some tests disconnect the client in the middle.
    let _ = stream.write_all(&answer.bytes).await;
    if let Then::StayOpen = answer.then {
        let _ = stream.read(&mut [0; 1]).await;
    }
    let _ = stream.shutdown().await;
    // Read what the client still sends, so that the kernel does not reset the connection before the response is read.
    while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&part[..read]);
        // Reject clients that start with TLS.
        request.first().filter(|byte| byte.is_ascii_uppercase())?;
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

/// The value of a request header.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}
