//! The listening socket and its connections: limits their number, and what an idle or slow client can occupy.

mod header_budget;
mod limits;
mod pacing;
mod stream;

use std::convert::Infallible;
use std::fs;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tower_service::Service;
use web::{ClientAddress, Live};

use crate::config::ListenerConfig;
use header_budget::{Budget, HeaderReservation, Tracked};
use limits::{ConnectionLimiter, ConnectionPermit, Kind, Limits, RESERVE, TOTAL_MIN};
use pacing::Pace;
use stream::Stream;

/// Limit for receiving a request header, and for idle time between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Lifetime of a connection in the reserve.
const RESERVE_LIFETIME: Duration = Duration::from_secs(5);
/// Limit for the size of a request header, and for other reads. The last read may add 24 KiB.
const HEADER_MAX_BYTES: usize = 32 * 1024;
/// Limit for all incomplete headers, beyond a few KiB each.
const HEADERS_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The kernel's buffer for data that a client has not read; it would grow to 4 MiB by default. Linux doubles this
/// number.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many connections may wait to be accepted: Linux's default limit. With the standard library's 128, connections in
/// a burst would be dropped and retried after a second.
const BACKLOG: u32 = 4_096;

/// Opens the listening socket. Accepted connections inherit its options.
pub(crate) fn listen(address: SocketAddr, options: &ListenerConfig) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restart need not wait for old connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    set_options(&socket, options)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Uses a socket that listens already, which the process got from its supervisor.
pub(crate) fn adopt(listener: TcpListener, options: &ListenerConfig) -> io::Result<TcpListener> {
    if !sockopt::socket_acceptconn(&listener)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
    }
    set_options(&listener, options)?;
    Ok(listener)
}

fn set_options(socket: &impl AsFd, options: &ListenerConfig) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES)?;
    sockopt::set_tcp_nodelay(socket, true)?;
    // Also limits how long data of a closed connection stays in the buffer.
    let millis = u32::try_from(options.write_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, millis)?;
    Ok(())
}

/// Disconnects slow and silent clients, so that they cannot occupy connections.
pub(crate) fn limit<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    server.http_builder().http1().header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_MAX_BYTES);
    server
        // With HTTP/2, a client could keep a connection open forever with pings.
        .http1_only()
        .first_request_timeout(HEADER_TIMEOUT)
        .accept_error_handler(report)
}

/// Reports a connection that was not accepted.
fn report(peer: Option<&SocketAddr>, error: &io::Error) {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>) {
        // Reported where it was rejected.
        return;
    }
    let client_address = peer.map(|peer| tracing::field::display(peer.ip().to_canonical()));
    match error.kind() {
        // A health check that only connects, as some load balancers do, ends like this with TLS.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::debug!(client_address, %error, "a connection ended before its TLS handshake");
        }
        _ if peer.is_some() => tracing::info!(client_address, %error, "a TLS handshake failed"),
        _ => tracing::warn!(%error, "a connection could not be accepted"),
    }
}

/// There are too many connections.
#[derive(Debug, Error)]
#[error("too many connections")]
pub(crate) struct Refused;

/// Limits connections.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limiter: Arc<ConnectionLimiter>,
    headers: Arc<Budget>,
    client_address: Live<ClientAddress>,
    /// Connections so far.
    count: AtomicU32,
    limits: Limits,
    write_timeout: Duration,
}

impl Guard {
    /// Call this once all permanently open files are open. `uploads` is the number of concurrent uploads.
    pub(crate) fn new(options: &ListenerConfig, client_address: Live<ClientAddress>, uploads: usize) -> Self {
        let configured =
            Limits { total: options.max_connections, per_peer: options.max_connections_per_peer };
        let file_limit = getrlimit(Resource::Nofile).current;
        let file_limit = file_limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let limits = configured.within(file_limit, open_files(), uploads);
        if limits.total < configured.total {
            tracing::info!(
                file_limit,
                connections = limits.total,
                connections_per_peer = limits.per_peer,
                "the limit of open files allows fewer connections than listener.max_connections"
            );
        }
        if limits.total == TOTAL_MIN {
            tracing::warn!(
                file_limit,
                "the limit of open files is too low: raise it (`ulimit -n`, LimitNOFILE)"
            );
        }
        Self(Arc::new(Shared {
            limiter: ConnectionLimiter::new(limits),
            headers: Budget::new(HEADERS_MAX_BYTES),
            client_address,
            count: AtomicU32::new(0),
            limits,
            write_timeout: options.write_timeout,
        }))
    }

    /// Creates services for at most the allowed number of connections. The server requests one after accepting a
    /// connection and before accepting the next, so at most one file too many is open.
    pub(crate) fn admit<M>(&self, services: M) -> LimitedServices<M> {
        LimitedServices { services, guard: self.clone() }
    }

    fn acquire(&self, peer: IpAddr) -> Result<ConnectionPermit, Refused> {
        let shared = &self.0;
        shared.limiter.admit(peer, shared.client_address.get().is_proxy(peer)).ok_or_else(|| {
            tracing::warn!(
                connections = shared.limits.total,
                connections_per_peer = shared.limits.per_peer,
                reserve = RESERVE,
                "connections are rejected: the limit is reached"
            );
            Refused
        })
    }
}

/// Creates the services of connections.
#[derive(Debug)]
pub(crate) struct LimitedServices<M> {
    services: M,
    guard: Guard,
}

impl<M> Service<SocketAddr> for LimitedServices<M>
where
    M: Service<SocketAddr, Error = Infallible>,
    M::Response: Send + 'static,
    M::Future: Send + 'static,
{
    type Response = Tracked<M::Response>;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Tracked<M::Response>, Refused>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.services.poll_ready(context).map_err(|never| match never {})
    }

    fn call(&mut self, peer: SocketAddr) -> Self::Future {
        let permit = match self.guard.acquire(peer.ip()) {
            Ok(permit) => Arc::new(permit),
            Err(refused) => return Box::pin(ready(Err(refused))),
        };
        let (service, head) =
            (self.services.call(peer), HeaderReservation::new(self.guard.0.headers.clone()));
        let number = self.guard.0.count.fetch_add(1, Ordering::Relaxed);
        let pace = Arc::new(Pace::new(number, self.guard.0.client_address.get().is_proxy(peer.ip())));
        Box::pin(async move {
            let service = service.await.unwrap_or_else(|never| match never {});
            Ok(Tracked { service, head, permit, pace })
        })
    }
}

impl<S> Accept<TcpStream, Tracked<S>> for Guard {
    type Stream = Stream;
    type Service = Tracked<S>;
    type Future = Ready<io::Result<(Stream, Tracked<S>)>>;

    fn accept(&self, tcp: TcpStream, service: Tracked<S>) -> Self::Future {
        let permit = service.permit.clone();
        let kind = permit.kind;
        let stream = Stream::new(tcp, self.0.write_timeout, service.head.clone(), permit);
        let stream = match kind {
            Kind::Regular => stream,
            Kind::Reserve => stream.ending_after(RESERVE_LIFETIME),
        };
        ready(Ok((stream, service)))
    }
}

/// The number of open files; a guess if the system does not report it.
fn open_files() -> usize {
    const GUESS: usize = 64;
    fs::read_dir("/proc/self/fd").map_or(GUESS, Iterator::count)
}
