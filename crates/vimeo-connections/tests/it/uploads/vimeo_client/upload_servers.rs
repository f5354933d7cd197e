//! How the client handles upload servers that the sandbox cannot emulate: each a few bytes over TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use domain::time::Timestamp;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use vimeo::{Chunk, Client, LinkFailure, RemoteOffset, TransportError, UploadError, UploadLink};

use crate::support::client_fixture::{TIMEOUT, client_of};
use crate::support::harness::until;
use crate::uploads::vimeo_client::upload_links::{Broken, Sent, pattern, source};

const STALL: Duration = Duration::from_secs(30);
const SHORT_STALL: Duration = Duration::from_millis(300);

/// What a server does with the body of a request.
#[derive(Clone, Copy)]
enum Body {
    /// Reads all of it, then responds.
    Read,
    /// Responds immediately, and keeps reading until the client disconnects.
    AnswerFirst,
    /// Responds immediately, reads nothing, and keeps the connection open.
    Ignore,
}

/// A server with one response to every request, and the number of body bytes that it received.
struct Served {
    client: Client,
    link: UploadLink,
    received: Arc<AtomicU64>,
    /// The number of connections that the client closed.
    ended: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Served {
    async fn start(answer: &str, body: Body) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let client = client_of(&base_url, || Timestamp::from_millis(0));
        let link = UploadLink::parse(&format!("{base_url}/files/x"), client.link_rules()).unwrap();
        let received = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicU64::new(0));
        let counters = [Arc::clone(&received), Arc::clone(&ended)];
        let answer = answer.replace('\n', "\r\n");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone(), body, counters.clone()));
            }
        });
        Self { client, link, received, ended, tasks }
    }

    async fn send(&self, offset: u64, bytes: &[u8]) -> Sent {
        let piece = Chunk { offset, length: bytes.len() as u64 };
        self.client.send_chunk(&self.link, piece, source(bytes), STALL).await
    }
}

async fn serve(mut stream: TcpStream, answer: String, body: Body, counters: [Arc<AtomicU64>; 2]) {
    let [received, ended] = counters;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: u64 = length.map_or(0, |length| length.parse().unwrap());
    let mut buffer = vec![0; 65_536];
    if let Body::Read = body {
        while received.load(Ordering::SeqCst) < length {
            let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
            received.fetch_add(count as u64, Ordering::SeqCst);
        }
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    match body {
        Body::Read => {}
        Body::AnswerFirst => {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                received.fetch_add(count as u64, Ordering::SeqCst);
            }
            ended.fetch_add(1, Ordering::SeqCst);
        }
        Body::Ignore => std::future::pending().await,
    }
}

#[tokio::test]
async fn an_impossible_offset_is_a_protocol_error() {
    let bytes = pattern(10);
    for (offset, sent) in [
        ("Upload-Offset: 110\n", Ok(110)),
        ("upload-offset: 105\n", Ok(105)),
        ("Upload-Offset: 100\n", Ok(100)),
        ("Upload-Offset: 111\n", Err(())),
        ("Upload-Offset: 99\n", Err(())),
        ("Upload-Offset: 0\n", Err(())),
        ("Upload-Offset: -1\n", Err(())),
        ("Upload-Offset: +110\n", Err(())),
        ("Upload-Offset: 1e2\n", Err(())),
        ("Upload-Offset: 18446744073709551616\n", Err(())),
        ("Upload-Offset:\n", Err(())),
        ("", Err(())),
    ] {
        for status in ["200 OK", "204 No Content"] {
            let answer = format!("HTTP/1.1 {status}\n{offset}Content-Length: 0\nConnection: close\n\n");
            let served = Served::start(&answer, Body::Read).await;
            let expected = sent.map_err(|()| UploadError::Link(LinkFailure::Incoherent));
            assert_eq!(served.send(100, &bytes).await, expected, "{answer}");
            assert_eq!(served.received.load(Ordering::SeqCst), 10);
        }
    }
}

#[tokio::test]
async fn a_contradictory_head_response_is_rejected() {
    for (headers, held) in [
        ("Upload-Offset: 5\nUpload-Length: 10\n", Ok(RemoteOffset { offset: 5, length: Some(10) })),
        ("Upload-Offset: 10\nUpload-Length: 10\n", Ok(RemoteOffset { offset: 10, length: Some(10) })),
        ("Upload-Offset: 5\nUpload-Defer-Length: 1\n", Ok(RemoteOffset { offset: 5, length: None })),
        ("Upload-Offset: 11\nUpload-Length: 10\n", Err(LinkFailure::Incoherent)),
        ("Upload-Length: 10\n", Err(LinkFailure::Incoherent)),
        ("Upload-Offset: five\n", Err(LinkFailure::Incoherent)),
        ("", Err(LinkFailure::Incoherent)),
    ] {
        let served =
            Served::start(&format!("HTTP/1.1 200 OK\n{headers}Connection: close\n\n"), Body::Read).await;
        assert_eq!(served.client.offset(&served.link, TIMEOUT).await, held, "{headers}");
    }
}

/// A response while most of the chunk is still to be sent: it is read, and the rest is not sent.
#[tokio::test]
async fn a_response_before_the_end_of_the_chunk_is_read() {
    for (status, failure) in [
        ("409 Conflict", LinkFailure::Conflict),
        ("423 Locked", LinkFailure::Locked),
        ("404 Not Found", LinkFailure::Gone),
        ("503 Service Unavailable", LinkFailure::RetryLater(TransportError::Status(503))),
    ] {
        for body in [Body::AnswerFirst, Body::Ignore] {
            // The source has more in one case, and is waiting in the other.
            for chunks in [1 << 20, 1] {
                let answer = format!("HTTP/1.1 {status}\nContent-Length: 5\n\nsorry");
                let served = Served::start(&answer, body).await;
                let (taken, source) = endless(chunks);
                let piece = Chunk { offset: 0, length: 1 << 40 };
                let sent: Sent = served.client.send_chunk(&served.link, piece, source, STALL).await;
                assert_eq!(sent, Err(failure.clone().into()), "{status}");
                assert_eq!(Arc::strong_count(&taken), 1, "the source is dropped");
                if let Body::AnswerFirst = body {
                    until("the connection ends", async || served.ended.load(Ordering::SeqCst) == 1).await;
                }
            }
        }
    }
}

/// A source with this many chunks of 64 KiB, which then stalls for ever; and the number of bytes taken from it.
fn endless(chunks: usize) -> (Arc<AtomicU64>, impl Stream<Item = Result<Bytes, Broken>> + Send) {
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    let given = stream::repeat(Bytes::from(vec![7; 65_536])).take(chunks).chain(stream::pending());
    let source = given.map(move |bytes| {
        counter.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(bytes)
    });
    (taken, source)
}

/// A server that reads nothing: only the buffers of the connection fill up.
#[tokio::test]
async fn a_server_that_reads_nothing_costs_no_memory_and_times_out() {
    const MEBI: u64 = 1 << 20;
    let served = Served::start("", Body::Ignore).await;
    let (taken, source) = endless(1 << 20);
    let piece = Chunk { offset: 0, length: 1024 * MEBI };
    let sent: Sent = served.client.send_chunk(&served.link, piece, source, SHORT_STALL).await;
    assert_eq!(sent, Err(LinkFailure::RetryLater(TransportError::Timeout).into()));
    // Most of it is in the kernel's buffers on both sides.
    assert!(taken.load(Ordering::SeqCst) < 64 * MEBI, "{taken:?}");
}

#[tokio::test]
async fn redirects_of_a_link_are_not_followed() {
    let elsewhere = Served::start("HTTP/1.1 204 No Content\nUpload-Offset: 10\n\n", Body::Read).await;
    let location = elsewhere.link.expose();
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer =
            format!("HTTP/1.1 {status}\nLocation: {location}\nContent-Length: 0\nConnection: close\n\n");
        let served = Served::start(&answer, Body::Read).await;
        let code = status[..3].parse().unwrap();
        let later = LinkFailure::RetryLater(TransportError::Status(code));
        assert_eq!(served.client.offset(&served.link, TIMEOUT).await, Err(later.clone()));
        assert_eq!(served.send(0, &pattern(10)).await, Err(later.into()));
    }
    assert_eq!(elsewhere.received.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_link_without_a_listener_is_retried_later() {
    let Served { client, link, mut tasks, .. } = Served::start("", Body::Read).await;
    tasks.shutdown().await;
    let later = LinkFailure::RetryLater(TransportError::Unreachable);
    assert_eq!(client.offset(&link, TIMEOUT).await, Err(later.clone()));
    let piece = Chunk { offset: 0, length: 10 };
    assert_eq!(client.send_chunk(&link, piece, source(&pattern(10)), STALL).await, Err(later.into()));
}
