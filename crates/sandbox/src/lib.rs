//! A Vimeo on your desk: a local HTTP server that answers as Vimeo's API 3.4 does, remembers what it was told,
//! and misbehaves when asked to.
//! Knows Vimeo's published and observed behaviour. Knows nothing of the service that is tested against it, and
//! never will: it shares no code with any client of ours, so that the two cannot agree on the same mistake.
//! Invariant: it speaks on loopback only, and everything it hands out is worthless anywhere else.

mod accept;
mod ambient;
mod body;
mod control;
mod credentials;
mod errors;
mod faults;
mod fields;
mod http;
mod journal;
mod limits;
mod me;
mod oauth;
mod scopes;
mod server;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use ambient::{Clock, Random, system_clock, system_random};
pub use limits::{Plan, UnknownPlan};

/// How a sandbox is to be run. Start from [`Options::default`] and change what matters.
#[derive(Clone)]
pub struct Options {
    /// Where to listen. Loopback only; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Whether credentials that the sandbox never issued are welcomed, as those of one guest app.
    pub open: bool,
    /// The users' plan. Rate limits are enforced only when one is given; without one the headers are those of
    /// an Enterprise user who never runs out.
    pub plan: Option<Plan>,
    /// The time, for rate windows, dates in answers and the journal.
    pub clock: Clock,
    /// Where identifiers, secrets and tokens come from.
    pub random: Random,
}

impl Default for Options {
    /// A strict sandbox on a free port of 127.0.0.1, without enforced rate limits, on the system's clock.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            open: false,
            plan: None,
            clock: system_clock(),
            random: system_random(),
        }
    }
}

/// A sandbox that listens. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    /// The root of the API, without a trailing slash: `http://127.0.0.1:9300`.
    pub base_url: String,
    /// The address it listens on, with the port that it really got.
    pub addr: SocketAddr,
    /// The client identifier of the first app: 40 hexadecimal characters.
    pub client_id: String,
    /// The client secret of the first app: 128 characters, some of which need escaping in URLs.
    pub client_secret: String,
    /// A token of the first app's owner that holds every scope: 32 hexadecimal characters.
    pub access_token: String,
    stopping: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// Closes the port and every connection, and returns when they are closed. Answers under way are cut.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Starts a sandbox; it serves from the moment this returns.
///
/// # Errors
/// `InvalidInput` when the address is not a loopback address, otherwise what binding the address gives
/// (`AddrInUse` when the port is taken).
pub async fn start(options: Options) -> io::Result<Running> {
    if !options.listen.ip().to_canonical().is_loopback() {
        // Its controls need no password and show credentials: a neighbour must not reach them.
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "{} is not a loopback address. The sandbox shows credentials to whoever asks, so it listens on \
                 127.0.0.1 or [::1] only.",
                options.listen.ip()
            ),
        ));
    }
    let listener = TcpListener::bind(options.listen).await?;
    let addr = listener.local_addr()?;
    let desk = Arc::new(http::Desk::new(&options));
    let first = desk.first_credentials();
    let stopping = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(server::accept(listener, desk, stopping.clone()));
    Ok(Running {
        base_url: format!("http://{addr}"),
        addr,
        client_id: first.client_id,
        client_secret: first.client_secret,
        access_token: first.access_token,
        stopping,
        tasks,
    })
}
