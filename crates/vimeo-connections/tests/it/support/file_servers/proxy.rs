//! A proxy between the service and a file server. It records the heads of requests and responses, and pauses the first
//! response that exceeds a given length until the test resumes or cuts it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Called with the number of a request before it is forwarded.
pub(crate) type BeforeRequest = Box<dyn Fn(usize) + Send + Sync>;

/// A small receive buffer, so that the server blocks soon after the proxy stops reading.
const RECEIVE_BUFFER_BYTES: u32 = 64 * 1024;

/// Whether a response was paused yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    Armed,
    Stopped,
    Resumed,
    Cut,
}

/// A request and the head of its response, as sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) request: String,
    pub(crate) response: String,
    /// The number of forwarded bytes of the response, including its head.
    pub(crate) bytes: u64,
    /// Whether this response was paused.
    pub(crate) was_stopped: bool,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    upstream: SocketAddr,
    stop_at: u64,
    before_request: BeforeRequest,
    exchanges: Mutex<Vec<Exchange>>,
    pause: watch::Sender<Pause>,
}

impl Proxy {
    /// A proxy that pauses the first response with more than `stop_at` bytes.
    pub(crate) fn start(
        listener: TcpListener,
        upstream: SocketAddr,
        stop_at: u64,
        before_request: BeforeRequest,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (pause, _) = watch::channel(Pause::Armed);
        let exchanges = Mutex::new(Vec::new());
        let shared = Arc::new(Shared { upstream, stop_at, before_request, exchanges, pause });
        let mut server = JoinSet::new();
        let accepting = shared.clone();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(accepting.clone(), stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, shared, _server: server }
    }

    /// Waits until a response is paused.
    pub(crate) async fn stopped(&self) {
        self.shared.pause.subscribe().wait_for(|pause| *pause != Pause::Armed).await.unwrap();
    }

    /// Forwards the rest of the paused response.
    pub(crate) fn resume(&self) {
        self.shared.pause.send_replace(Pause::Resumed);
    }

    /// Cuts the paused response.
    pub(crate) fn cut(&self) {
        self.shared.pause.send_replace(Pause::Cut);
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.lock().unwrap().clone()
    }
}

/// Handles one connection with one request, after which the server is to close it.
async fn pass(shared: Arc<Shared>, mut client: TcpStream) {
    let Some(head) = read_head(&mut client).await else { return };
    let number = {
        let mut exchanges = shared.exchanges.lock().unwrap();
        exchanges.push(Exchange { request: head.clone(), ..Exchange::default() });
        exchanges.len() - 1
    };
    (shared.before_request)(number);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).unwrap();
    let Ok(mut server) = socket.connect(shared.upstream).await else { return };
    let head = head.strip_suffix("\r\n").unwrap_or(&head);
    if server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.is_err() {
        return;
    }
    let (mut from_client, mut to_client) = client.split();
    // A disconnect of the client ends the request at the server too.
    let mut ignored = [0; 1];
    tokio::select! {
        () = pass_response(&shared, number, &mut server, &mut to_client) => {}
        _ = from_client.read(&mut ignored) => {}
    }
    let _ = to_client.shutdown().await;
}

async fn pass_response(
    shared: &Shared,
    number: usize,
    server: &mut TcpStream,
    client: &mut (impl tokio::io::AsyncWrite + Unpin),
) {
    let is_probe = is_probe(&shared.exchanges.lock().unwrap()[number].request);
    let (mut head, mut passed) = (Vec::new(), 0);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        if !head.ends_with(b"\r\n\r\n") {
            for byte in &buffer[..count] {
                head.push(*byte);
                if head.ends_with(b"\r\n\r\n") {
                    let text = String::from_utf8_lossy(&head).into_owned();
                    shared.exchanges.lock().unwrap()[number].response = text;
                    break;
                }
            }
        }
        if client.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        passed += count as u64;
        shared.exchanges.lock().unwrap()[number].bytes = passed;
        if passed > shared.stop_at && !is_probe && !is_passed_on(shared, number).await {
            return;
        }
    }
}

/// Whether a request is for the first bytes only. A server without ranges sends the whole file, which the service does
/// not read: pausing it would change the film before the upload starts.
fn is_probe(request: &str) -> bool {
    let request = request.to_lowercase();
    let mut ranges = request.lines().filter_map(|line| line.strip_prefix("range: bytes=0-"));
    ranges.any(|end| !end.is_empty())
}

/// Pauses this response if it is the first to exceed the length, until the test continues it.
async fn is_passed_on(shared: &Shared, number: usize) -> bool {
    let is_first = shared.pause.send_if_modified(|pause| {
        let is_armed = *pause == Pause::Armed;
        if is_armed {
            *pause = Pause::Stopped;
            shared.exchanges.lock().unwrap()[number].was_stopped = true;
        }
        is_armed
    });
    if !is_first {
        return true;
    }
    let mut pause = shared.pause.subscribe();
    *pause.wait_for(|pause| *pause != Pause::Stopped).await.unwrap() == Pause::Resumed
}

/// A head without `Connection` and without its final empty line.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).ok()?;
    let lines = text.split_inclusive("\r\n");
    Some(lines.filter(|line| !line.to_lowercase().starts_with("connection:")).collect())
}
