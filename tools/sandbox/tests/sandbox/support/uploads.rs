//! Creates videos and uploads their bytes, one raw request at a time.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::test_sandbox::{Reply, TestSandbox};

/// The headers of every PATCH.
pub(crate) const PATCH: [(&str, &str); 2] =
    [("Tus-Resumable", "1.0.0"), ("Content-Type", "application/offset+octet-stream")];

/// A video without its bytes.
pub(crate) struct Made {
    pub(crate) number: u64,
    /// The path of its upload link, including the secret.
    pub(crate) path: String,
    pub(crate) link: Option<String>,
}

impl TestSandbox {
    pub(crate) async fn make(&self, upload: Value) -> Made {
        self.make_from(json!({"upload": upload})).await
    }

    pub(crate) async fn make_tus(&self, size: u64) -> Made {
        self.make(json!({"approach": "tus", "size": size})).await
    }

    async fn make_from(&self, body: Value) -> Made {
        let reply = self.call("POST", "/me/videos", &body).await;
        let made = reply.json();
        assert!(reply.status < 300, "{made}");
        let number = made["uri"].as_str().unwrap().strip_prefix("/videos/").unwrap().parse().unwrap();
        let link = made["upload"]["upload_link"].as_str().map(str::to_owned);
        let path = link.as_deref().unwrap_or_default();
        let path = path.strip_prefix(&self.running.base_url).unwrap_or_default().to_owned();
        Made { number, path, link }
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.send("HEAD", path, &[("Tus-Resumable", "1.0.0")], b"").await
    }

    /// The offset that HEAD returns.
    pub(crate) async fn offset(&self, path: &str) -> u64 {
        let reply = self.head(path).await;
        assert_eq!(reply.status, 200);
        reply.header("upload-offset").unwrap().parse().unwrap()
    }

    pub(crate) async fn patch(&self, path: &str, offset: u64, bytes: &[u8]) -> Reply {
        let offset = offset.to_string();
        let headers = [PATCH.as_slice(), &[("Upload-Offset", &offset)]].concat();
        self.send("PATCH", path, &headers, bytes).await
    }

    /// The newest version of a video, from the controls.
    pub(crate) async fn version(&self, number: u64) -> Value {
        let shown = self.control("GET", &format!("videos/{number}"), &Value::Null).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        shown.json()["versions"].as_array().unwrap().last().unwrap().clone()
    }

    /// A PATCH that has announced more than it has sent.
    pub(crate) async fn stalled(&self, path: &str, offset: u64, announced: u64, sent: &[u8]) -> TcpStream {
        stalled(self.running.addr, path, offset, announced, sent).await
    }

    /// Waits until this many bytes of an upload are recorded.
    pub(crate) async fn until_offset(&self, path: &str, offset: u64) {
        while self.offset(path).await < offset {
            tokio::task::yield_now().await;
        }
    }
}

/// A PATCH that has announced more than it has sent.
pub(crate) async fn stalled(
    addr: SocketAddr,
    path: &str,
    offset: u64,
    announced: u64,
    sent: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: sandbox\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {announced}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

/// The rest of a connection's data.
pub(crate) async fn receive_event(mut stream: TcpStream) -> Reply {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    Reply::read(&received)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Bytes without repetitions.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

/// A body in chunks of the given sizes.
pub(crate) fn chunked(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut rest, mut text) = (bytes, Vec::new());
    for size in sizes.iter().copied().chain(std::iter::once(usize::MAX)) {
        let (chunk, later) = rest.split_at(size.min(rest.len()));
        if !chunk.is_empty() {
            text.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            text.extend(chunk);
            text.extend(b"\r\n");
        }
        rest = later;
    }
    text.extend(b"0\r\n\r\n");
    text
}
