//! One HTTP connection, for requests beside the measurements.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::error::{BenchError, Context as _};

pub(crate) type Body = Full<Bytes>;

/// A page of the service's list.
#[derive(Deserialize)]
pub(crate) struct Page {
    #[serde(rename = "Items")]
    pub(crate) items: Vec<Item>,
    #[serde(rename = "nextPageKey")]
    pub(crate) next_page_key: Option<String>,
}

/// The members that are read of one of the service's connections.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) connection_id: String,
    pub(crate) version: u64,
}

/// A persistent connection.
pub(crate) struct Client {
    sender: SendRequest<Body>,
    /// Drives the connection; ends with the client.
    _driver: JoinSet<()>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).await.context(format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // Errors are reported to the sender of the request too.
            let _ = connection.await;
        });
        Ok(Self { sender, _driver: driver })
    }

    /// Whether it is still open: servers close idle connections.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request, and reads the response to its end.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<(StatusCode, Bytes), BenchError> {
        let (head, text) = self.exchange(request).await?;
        Ok((head.status, text))
    }

    /// The same, with the headers of the response.
    pub(crate) async fn exchange(&mut self, request: Request<Body>) -> Result<(Parts, Bytes), BenchError> {
        self.sender.ready().await?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        Ok((head, body.collect().await?.to_bytes()))
    }
}
