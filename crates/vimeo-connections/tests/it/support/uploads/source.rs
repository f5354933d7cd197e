//! A source of videos: a web server on loopback whose files have the length in their URL.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A prime, so that no two offsets a power of two apart have equal bytes.
const PERIOD: usize = 65_537;

/// A server of files: `/{name}?size=N`, complete or by ranges, with an `ETag`. Ends when dropped.
pub(crate) struct Source {
    address: std::net::SocketAddr,
    requests: Arc<AtomicU64>,
    _server: JoinSet<()>,
}

/// The behaviour of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Good,
    /// Every response stalls for ever after this many bytes.
    StopsAfter(u64),
    /// Every response is cut after this many bytes.
    CutAfter(u64),
    /// No ranges, and no length.
    WithoutLength,
    /// Responds with this status.
    Status(u16),
}

/// How long a response is open after the last byte before a cut: the bytes arrive at Vimeo meanwhile, which a client drops
/// that still has them when the source fails.
pub(super) const CUT_DELAY: Duration = Duration::from_millis(300);

/// The pattern that every file repeats.
fn table() -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..PERIOD).map(|_| next()).collect()
}

/// The bytes of a file from `offset` on, in chunks.
pub(crate) fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Vec<u8>> {
    let table = table();
    let mut at = usize::try_from(offset % PERIOD as u64).unwrap();
    let mut left = length;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let take = (PERIOD - at).min(usize::try_from(left).unwrap_or(usize::MAX));
        let piece = table[at..at + take].to_vec();
        at = (at + take) % PERIOD;
        left -= take as u64;
        Some(piece)
    })
}

/// The SHA-256 of a file of this length, as the sandbox reports it.
pub(crate) fn sha256(size: u64) -> String {
    sha256_from(0, size)
}

/// The same for a file that starts at another offset of the pattern.
pub(crate) fn sha256_from(offset: u64, size: u64) -> String {
    let mut hash = Context::new(&SHA256);
    for piece in pieces(offset, size) {
        hash.update(&piece);
    }
    let mut hex = String::new();
    for byte in hash.finish().as_ref() {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

/// The SHA-256 of any bytes.
pub(crate) fn sha256_of(bytes: &[u8]) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(bytes);
    hash.finish().as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The bytes of a file.
pub(crate) fn bytes(size: u64) -> Vec<u8> {
    pieces(0, size).flatten().collect()
}

impl Source {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let mut server = JoinSet::new();
        let counted = requests.clone();
        server.spawn(async move {
            let mut talks = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                talks.spawn(serve(stream, behaviour));
                while talks.try_join_next().is_some() {}
            }
        });
        Self { address, requests, _server: server }
    }

    /// The URL of a file of this length.
    pub(crate) fn url(&self, name: &str, size: u64) -> String {
        format!("http://{}/{name}?size={size}&token=canary-source-query", self.address)
    }

    /// The number of requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// The head of a request, in lower case; `None` if the connection ends first.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => head.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
    Some(String::from_utf8(head).unwrap().to_lowercase())
}

async fn serve(mut stream: TcpStream, behaviour: Behaviour) {
    let Some(head) = read_head(&mut stream).await else { return };
    let after = |mark: &str| head.split_once(mark).map(|(_, rest)| rest);
    let digits =
        |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().ok();
    let size = after("size=").and_then(digits).unwrap();
    let range = after("range: bytes=").and_then(|rest| {
        let (from, to) = rest.split_once('-').unwrap();
        Some((digits(from)?, digits(to).unwrap_or(size - 1).min(size - 1)))
    });
    if let Behaviour::Status(status) = behaviour {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        return;
    }
    let (mut answer, from, length) = match range {
        Some((from, to)) if behaviour != Behaviour::WithoutLength => (
            format!("HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{to}/{size}\r\n"),
            from,
            to + 1 - from,
        ),
        _ => ("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n".to_owned(), 0, size),
    };
    answer += "ETag: \"tag-0\"\r\nConnection: close\r\n";
    let is_chunked = behaviour == Behaviour::WithoutLength;
    if is_chunked {
        answer += "Transfer-Encoding: chunked\r\n\r\n";
    } else {
        write!(answer, "Content-Length: {length}\r\n\r\n").unwrap();
    }
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let limit = match behaviour {
        Behaviour::StopsAfter(most) | Behaviour::CutAfter(most) => most.min(length),
        _ => length,
    };
    for piece in pieces(from, limit) {
        let piece = if is_chunked {
            [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat()
        } else {
            piece
        };
        if stream.write_all(&piece).await.is_err() {
            return;
        }
    }
    if is_chunked {
        let _ = stream.write_all(b"0\r\n\r\n").await;
    }
    match behaviour {
        Behaviour::StopsAfter(_) if limit < length => std::future::pending::<()>().await,
        Behaviour::CutAfter(_) if limit < length => tokio::time::sleep(CUT_DELAY).await,
        _ => {}
    }
    let _ = stream.shutdown().await;
}
