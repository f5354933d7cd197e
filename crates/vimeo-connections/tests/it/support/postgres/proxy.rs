//! A TCP proxy to a server, which fails on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::ports::Port;

/// More connections than any test opens.
const MOST_CONNECTIONS: usize = 512;

/// The fault of the proxy, for existing and new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No fault.
    Pass,
    /// Refuses new connections. Existing ones stay open.
    Refuse,
    /// Holds the data of clients until the fault ends; lost with the connection.
    HoldRequests,
    /// Holds the data of the server likewise.
    HoldAnswers,
    /// Delays every read, in both directions, until the fault ends.
    Delay(Duration),
}

/// When a connection is cut, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After clients have sent exactly this many more bytes, which are forwarded.
    AfterBytes(usize),
    /// When the server replies to a client that has sent these bytes: it has done the work, and the client never
    /// receives the reply. The client must have received all earlier replies.
    BeforeAnswer(&'static str),
}

/// Closed when dropped, with all its connections.
pub(crate) struct Proxy {
    url: String,
    /// Kept while the proxy refuses connections.
    port: Port,
    line: Arc<Line>,
    listener: JoinSet<()>,
}

struct Line {
    server: String,
    fault: watch::Sender<Fault>,
    cut: Mutex<Option<Cut>>,
    /// Closes all existing connections.
    all: Mutex<CancellationToken>,
    tasks: Mutex<JoinSet<()>>,
    open: AtomicUsize,
    cuts: AtomicUsize,
}

/// What to do with bytes from a client.
enum Step {
    Forward,
    ForwardAndCut(usize),
    ForwardAndAwaitAnswer,
}

impl Proxy {
    /// A proxy in front of the server of a URL, `postgres://user:password@host:port/database`.
    pub(crate) async fn before(url: &str) -> Self {
        let port = Port::reserve();
        let (start, rest) = url.rsplit_once('@').unwrap();
        let (server, end) = rest.split_once('/').unwrap();
        let line = Line {
            server: server.to_owned(),
            fault: watch::Sender::new(Fault::Pass),
            cut: Mutex::default(),
            all: Mutex::default(),
            tasks: Mutex::default(),
            open: AtomicUsize::new(0),
            cuts: AtomicUsize::new(0),
        };
        let mut proxy = Self {
            url: format!("{start}@{}/{end}", port.address()),
            port,
            line: Arc::new(line),
            listener: JoinSet::new(),
        };
        proxy.listen().await;
        proxy
    }

    /// The URL of the server through the proxy.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sets the fault from now on.
    pub(crate) async fn set(&mut self, fault: Fault) {
        self.line.fault.send_replace(fault);
        if fault == Fault::Refuse {
            self.listener.shutdown().await;
        } else if self.listener.is_empty() {
            self.listen().await;
        }
    }

    /// Cuts all existing connections.
    pub(crate) fn cut(&self) {
        std::mem::take(&mut *self.line.all.lock().unwrap()).cancel();
    }

    /// Cuts one connection later. Replaces an earlier condition.
    pub(crate) fn cut_when(&self, cut: Cut) {
        *self.line.cut.lock().unwrap() = Some(cut);
    }

    /// How often the condition of [`Proxy::cut_when`] was met.
    pub(crate) fn cuts(&self) -> usize {
        self.line.cuts.load(Ordering::SeqCst)
    }

    /// The number of open connections.
    pub(crate) fn connections(&self) -> usize {
        self.line.open.load(Ordering::SeqCst)
    }

    async fn listen(&mut self) {
        let listener = TcpListener::bind(self.port.address()).await.unwrap();
        let line = Arc::downgrade(&self.line);
        self.listener.spawn(accept(listener, line));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.line.tasks.lock().unwrap().abort_all();
    }
}

async fn accept(listener: TcpListener, line: Weak<Line>) {
    while let Ok((client, _)) = listener.accept().await {
        let Some(line) = line.upgrade() else { return };
        // A connection is registered before it is counted, so that it can be cut.
        let all = line.all.lock().unwrap().clone();
        assert!(line.open.fetch_add(1, Ordering::SeqCst) < MOST_CONNECTIONS, "too many connections");
        let task = carry(client, line.clone(), all);
        let mut tasks = line.tasks.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

async fn carry(client: TcpStream, line: Arc<Line>, all: CancellationToken) {
    let _open = Open(line.clone());
    let Ok(server) = TcpStream::connect(&line.server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let is_stalled = AtomicBool::new(false);
    // The first of the three to finish drops both sockets.
    tokio::select! {
        () = all.cancelled() => {}
        () = line.carry_requests(from_client, to_server, &is_stalled) => {}
        () = line.carry_answers(from_server, to_client, &is_stalled) => {}
    }
}

/// Counts a connection while it is open.
struct Open(Arc<Line>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Line {
    async fn carry_requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_stalled: &AtomicBool) {
        let (mut buffer, mut tail) = (vec![0; 16 * 1024], Vec::new());
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let piece = &buffer[..count];
            self.linger(Fault::HoldRequests).await;
            match self.step(piece, &mut tail) {
                Step::Forward => {}
                Step::ForwardAndCut(count) => {
                    let _ = to.write_all(&piece[..count]).await;
                    self.cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                Step::ForwardAndAwaitAnswer => is_stalled.store(true, Ordering::SeqCst),
            }
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
    }

    async fn carry_answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_stalled: &AtomicBool) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if is_stalled.load(Ordering::SeqCst) {
                self.cuts.fetch_add(1, Ordering::SeqCst);
                return;
            }
            self.linger(Fault::HoldAnswers).await;
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    }

    /// Waits as the current fault requires, and no longer than it lasts.
    async fn linger(&self, holding: Fault) {
        let mut faults = self.fault.subscribe();
        let now = *faults.borrow_and_update();
        if let Fault::Delay(time) = now {
            let _ = tokio::time::timeout(time, faults.wait_for(|fault| *fault != now)).await;
        }
        // The sender belongs to this proxy, so it cannot be gone.
        let _ = faults.wait_for(|fault| *fault != holding).await;
    }

    fn step(&self, piece: &[u8], tail: &mut Vec<u8>) -> Step {
        let mut cut = self.cut.lock().unwrap();
        let step = match cut.as_mut() {
            None => Step::Forward,
            Some(Cut::AfterBytes(left)) if *left > piece.len() => {
                *left -= piece.len();
                Step::Forward
            }
            Some(Cut::AfterBytes(left)) => Step::ForwardAndCut(*left),
            Some(Cut::BeforeAnswer(words)) => {
                tail.extend_from_slice(piece);
                let is_said = tail.windows(words.len()).any(|window| window == words.as_bytes());
                tail.drain(..tail.len().saturating_sub(words.len()));
                if is_said { Step::ForwardAndAwaitAnswer } else { Step::Forward }
            }
        };
        if !matches!(step, Step::Forward) {
            *cut = None;
        }
        step
    }
}
