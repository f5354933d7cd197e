//! One request and its response, within a time, on a connection that is opened again when necessary.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use tokio::time::timeout_at;

use crate::client::{Body, Client};
use crate::error::BenchError;

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum Failure {
    TooLate,
    Broken(BenchError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLate => f.write_str("there was no answer in time"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

/// Sends a request on this connection, or on a new one if it is closed.
pub(super) async fn exchange(
    client: &mut Option<Client>,
    address: SocketAddr,
    request: Request<Body>,
    end: Instant,
) -> Result<(StatusCode, Bytes), Failure> {
    let answered = async {
        let mut open = match client.take().filter(Client::is_open) {
            Some(open) => open,
            None => Client::connect(address).await?,
        };
        let answer = open.send(request).await?;
        // Only now: a connection with an unfinished response cannot be used again.
        *client = Some(open);
        Ok(answer)
    };
    timeout_at(end.into(), answered).await.map_err(|_| Failure::TooLate)?.map_err(Failure::Broken)
}
