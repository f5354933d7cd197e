//! Connections: accepted, numbered, served, and cut where a fault wants it.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::control;
use crate::desk::Desk;
use crate::faults::{Disguise, render};
use crate::http;

/// The number of the TCP connection that a request came in on, from 1.
#[derive(Clone, Copy)]
pub(crate) struct ConnectionNumber(pub(crate) u64);

/// Put on a response that must not be sent: the connection ends instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As a peer that closes.
    Close,
    /// As a peer that crashed: the client sees a reset.
    Reset,
    /// As a peer that sends these bytes before it closes, whatever they are.
    Instead(Bytes),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault cut the connection")
    }
}

impl Error for Cut {}

impl Cut {
    /// A response that stands for no response.
    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

// How long a process that is out of file descriptors waits before it accepts again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// How long the other side may take to close a connection whose last bytes it was sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// Accepts and serves connections until it is told to stop; then closes them all.
pub(crate) async fn accept(listener: TcpListener, desk: Arc<Desk>, stopping: CancellationToken) {
    // However this ends, what goes on beside requests ends with it.
    let beside = desk.stopping.clone().drop_guard();
    let tasks = desk.tasks.clone();
    let mut api = http::router(Arc::clone(&desk));
    // Elsewhere it is reached under names that only its users know.
    if listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()) {
        api = control::behind_own_host(api);
    }
    let doors = Doors { api, controls: control::router(Arc::clone(&desk)) };
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    connections.spawn(serve(stream, ConnectionNumber(number), doors.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
    drop(beside);
    tasks.close();
    tasks.wait().await;
    // What was under way until now has been booked, too.
    desk.save().await;
}

#[derive(Clone)]
struct Doors {
    api: Router,
    controls: Router,
}

impl Doors {
    /// Controls pass beside the journal, the faults and the windows.
    fn behind(&self, path: &str) -> Router {
        if control::is_control(path) { self.controls.clone() } else { self.api.clone() }
    }
}

async fn serve(stream: TcpStream, number: ConnectionNumber, doors: Doors) {
    // Otherwise small answers in several pieces (a dripped body) wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(number);
        respond(doors.behind(request.uri().path()), request.map(Body::new))
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && let Some(cut) = cut_of(&error)
    {
        let stream: TcpStream = connection.into_parts().io.into_inner();
        match cut {
            Cut::Close => {}
            Cut::Reset => {
                // Closing with unsent data thrown away is what makes the kernel send a reset.
                let _ = stream.set_zero_linger();
            }
            Cut::Instead(bytes) => say_farewell(stream, &bytes).await,
        }
    }
}

/// Sends the last bytes of a connection. What still comes meanwhile is read away: closing on unread bytes would be a
/// reset, which may overtake them.
async fn say_farewell(mut stream: TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut unread = vec![0; 64 * 1024];
    let read_away = async { while stream.read(&mut unread).await.is_ok_and(|length| length > 0) {} };
    // A peer that waits for us to close first has its way.
    let _ = tokio::time::timeout(FAREWELL, read_away).await;
}

async fn respond(mut door: Router, request: Request) -> Result<Response, Cut> {
    let method = request.method().clone();
    let answered: Result<Response, Infallible> = door.call(request).await;
    let Ok(response) = answered;
    if let Some(cut) = response.extensions().get::<Cut>() {
        return Err(cut.clone());
    }
    match response.extensions().get::<Disguise>().copied() {
        Some(disguise) => Err(Cut::Instead(render(response, disguise, &method).await)),
        None => Ok(response),
    }
}

fn cut_of(error: &hyper::Error) -> Option<Cut> {
    error.source()?.downcast_ref().cloned()
}

/// The error that ends an answer in its middle.
pub(crate) fn broken_off() -> io::Error {
    io::Error::other(Cut::Close)
}
