//! The listening socket and the connections on it: how many there may be, and what a client that reads or says nothing
//! can hold of the service.

mod ceilings;
mod heads;
mod stream;

use std::convert::Infallible;
use std::fs;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::Server;
use axum_server::accept::Accept;
use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tower_service::Service;
use web::ClientAddress;

use crate::config::ListenerConfig;
use ceilings::{Ceilings, Kind, Limits, Place, RESERVE, TOTAL_MIN};
use heads::{Budget, Head, Tracked};
use stream::Stream;

/// How long the header of a request may take to arrive, and how long a connection may be idle between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection in the reserve may last.
const RESERVE_LIFETIME: Duration = Duration::from_secs(5);
/// How much of a request's header is read, and of anything else at a time. The last read may bring 24 KiB more.
const HEADER_MAX_BYTES: usize = 32 * 1024;
/// What unfinished headers may take together, beyond some kibibytes each.
const HEADERS_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The system's buffer for what a client has not read yet: it takes up to 4 MiB otherwise. Linux doubles this number.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How many connections may wait to be accepted: as many as Linux lets wait where nobody set it otherwise. With the
/// standard library's 128, clients that come all at once would be dropped, and come back after a second.
const BACKLOG: u32 = 4_096;

/// Listens. What is set on this socket holds for every connection that is accepted on it.
pub(crate) fn listen(address: SocketAddr, options: &ListenerConfig) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restart need not wait for what remains of the connections before it.
    socket.set_reuseaddr(true)?;
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    // What a closed connection leaves in the buffer goes after this time, too.
    let millis = u32::try_from(options.write_timeout.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&socket, millis)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// Slow and silent clients are disconnected, so that they cannot hold the service's connections.
pub(crate) fn limit<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    server.http_builder().http1().header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_MAX_BYTES);
    server
        // An HTTP/2 client could keep a connection open for ever with pings alone.
        .http1_only()
        .first_request_timeout(HEADER_TIMEOUT)
        .accept_error_handler(report)
}

/// A connection that is not accepted.
fn report(peer: Option<&SocketAddr>, error: &io::Error) {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Refused>) {
        // Reported where that is decided.
        return;
    }
    let client_address = peer.map(|peer| tracing::field::display(peer.ip().to_canonical()));
    match error.kind() {
        // A check that only connects, such as a load balancer's, ends so over TLS.
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

/// What bounds the connections.
#[derive(Debug, Clone)]
pub(crate) struct Guard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ceilings: Arc<Ceilings>,
    headers: Arc<Budget>,
    client_address: ClientAddress,
    limits: Limits,
    write_timeout: Duration,
}

impl Guard {
    /// To be called when all files are open that the service keeps open. `uploads`: how many it works on at a time.
    pub(crate) fn new(options: &ListenerConfig, client_address: ClientAddress, uploads: usize) -> Self {
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
            ceilings: Ceilings::new(limits),
            headers: Budget::new(HEADERS_MAX_BYTES),
            client_address,
            limits,
            write_timeout: options.write_timeout,
        }))
    }

    /// Services for no more connections than there may be. The server asks for one as soon as it has accepted a
    /// connection, before it accepts the next: so there is never more than one file too many.
    pub(crate) fn admit<M>(&self, services: M) -> Admitting<M> {
        Admitting { services, guard: self.clone() }
    }

    fn find_place(&self, peer: IpAddr) -> Result<Place, Refused> {
        let shared = &self.0;
        shared.ceilings.admit(peer, shared.client_address.is_proxy(peer)).ok_or_else(|| {
            tracing::warn!(
                connections = shared.limits.total,
                connections_per_peer = shared.limits.per_peer,
                reserve = RESERVE,
                "connections are refused: there are too many"
            );
            Refused
        })
    }
}

/// Makes the services of connections.
#[derive(Debug)]
pub(crate) struct Admitting<M> {
    services: M,
    guard: Guard,
}

impl<M> Service<SocketAddr> for Admitting<M>
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
        let place = match self.guard.find_place(peer.ip()) {
            Ok(place) => Arc::new(place),
            Err(refused) => return Box::pin(ready(Err(refused))),
        };
        let (service, head) = (self.services.call(peer), Head::new(self.guard.0.headers.clone()));
        Box::pin(async move {
            let service = service.await.unwrap_or_else(|never| match never {});
            Ok(Tracked { service, head, place })
        })
    }
}

impl<S> Accept<TcpStream, Tracked<S>> for Guard {
    type Stream = Stream;
    type Service = Tracked<S>;
    type Future = Ready<io::Result<(Stream, Tracked<S>)>>;

    fn accept(&self, tcp: TcpStream, service: Tracked<S>) -> Self::Future {
        let place = service.place.clone();
        let kind = place.kind;
        let stream = Stream::new(tcp, self.0.write_timeout, service.head.clone(), place);
        let stream = match kind {
            Kind::Regular => stream,
            Kind::Reserve => stream.ending_after(RESERVE_LIFETIME),
        };
        ready(Ok((stream, service)))
    }
}

/// How many files the process has open; a guess where the system does not say.
fn open_files() -> usize {
    const GUESS: usize = 64;
    fs::read_dir("/proc/self/fd").map_or(GUESS, Iterator::count)
}
