//! A persistent connection: a minimal client for many thousand requests.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::test_sandbox::Reply;

pub(crate) struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { addr, stream }
    }

    /// Sends a request and reads the whole response. If the sandbox closed the connection after it, the next one is
    /// new.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let head: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: sandbox\r\n{head}Content-Length: {length}\r\n\r\n");
        self.stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut received = Vec::new();
        let end = loop {
            if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            // A panic in the sandbox would close the connection without a byte.
            assert_ne!(
                self.stream.read_buf(&mut received).await.unwrap(),
                0,
                "{method} {path} has no answer"
            );
        };
        let reply = Reply::read(&received);
        let announced = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let length: usize = if method == "HEAD" || reply.status == 204 { 0 } else { announced };
        assert_ne!(reply.header("transfer-encoding"), Some("chunked"), "{method} {path}");
        while received.len() < end + length {
            assert_ne!(self.stream.read_buf(&mut received).await.unwrap(), 0, "{method} {path} is cut short");
        }
        if reply.header("connection") == Some("close") {
            *self = Self::open(self.addr).await;
        }
        Reply::read(&received)
    }

    /// A request to the API, with a JSON body unless that is null.
    pub(crate) async fn api(&mut self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let authorization = format!("bearer {token}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, path, &headers, body.as_bytes()).await
    }

    /// A control.
    pub(crate) async fn control(&mut self, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, &format!("/_sandbox/{path}"), &[], body.as_bytes()).await
    }
}
