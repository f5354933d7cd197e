//! TCP connections: accepted, numbered, served, and cut by faults.

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

use crate::app_state::AppState;
use crate::control;
use crate::faults::{RawFormat, render};
use crate::http;

/// The number of the TCP connection that a request came in on, from 1.
#[derive(Clone, Copy)]
pub(crate) struct ConnectionNumber(pub(crate) u64);

/// An extension of a response that must not be sent: the connection ends instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Closes the connection.
    Close,
    /// Resets the connection, as a crashed peer does.
    Reset,
    /// Sends these bytes, then closes the connection.
    Instead(Bytes),
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault cut the connection")
    }
}

impl Error for Cut {}

impl Cut {
    /// A placeholder response that carries this.
    pub(crate) fn response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

// How long to wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

// How long the client may take to close a connection after its last bytes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Accepts and serves connections until it is stopped; then closes them all.
pub(crate) async fn accept(listener: TcpListener, app_state: Arc<AppState>, stopping: CancellationToken) {
    // Background tasks end with this function, however it returns.
    let beside = app_state.stopping.clone().drop_guard();
    let tasks = app_state.tasks.clone();
    let mut api = http::router(Arc::clone(&app_state));
    // On other addresses the host names are not known here.
    if listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback()) {
        api = control::require_own_host(api);
    }
    let routers = Routers { api, controls: control::router(Arc::clone(&app_state)) };
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    connections.spawn(serve(stream, ConnectionNumber(number), routers.clone()));
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
    // Includes the changes of tasks that have just ended.
    app_state.save().await;
}

#[derive(Clone)]
struct Routers {
    api: Router,
    controls: Router,
}

impl Routers {
    /// Controls bypass the journal, the faults and the rate limits.
    fn for_path(&self, path: &str) -> Router {
        if control::is_control(path) { self.controls.clone() } else { self.api.clone() }
    }
}

async fn serve(stream: TcpStream, number: ConnectionNumber, routers: Routers) {
    // Otherwise small writes (a dripped body) wait for each other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(number);
        respond(routers.for_path(request.uri().path()), request.map(Body::new))
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await
        && let Some(cut) = cut_of(&error)
    {
        let stream: TcpStream = connection.into_parts().io.into_inner();
        match cut {
            Cut::Close => {}
            Cut::Reset => {
                // Closing with SO_LINGER 0 makes the kernel send a reset.
                let _ = stream.set_zero_linger();
            }
            Cut::Instead(bytes) => send_final_bytes(stream, &bytes).await,
        }
    }
}

/// Sends the last bytes of a connection. Data that still arrives is read and discarded: closing with unread data would
/// send a reset, which may overtake the bytes.
async fn send_final_bytes(mut stream: TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut unread = vec![0; 64 * 1024];
    let read_away = async { while stream.read(&mut unread).await.is_ok_and(|length| length > 0) {} };
    // Closes first if the client waits for that.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, read_away).await;
}

async fn respond(mut router: Router, request: Request) -> Result<Response, Cut> {
    let method = request.method().clone();
    let answered: Result<Response, Infallible> = router.call(request).await;
    let Ok(response) = answered;
    if let Some(cut) = response.extensions().get::<Cut>() {
        return Err(cut.clone());
    }
    match response.extensions().get::<RawFormat>().copied() {
        Some(raw_format) => Err(Cut::Instead(render(response, raw_format, &method).await)),
        None => Ok(response),
    }
}

fn cut_of(error: &hyper::Error) -> Option<Cut> {
    error.source()?.downcast_ref().cloned()
}

/// The error that cuts a response off.
pub(crate) fn connection_cut() -> io::Error {
    io::Error::other(Cut::Close)
}
