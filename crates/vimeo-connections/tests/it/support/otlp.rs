//! A receiver of traces by OTLP, protobuf over HTTP.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

/// Collects everything that is sent to it.
pub(crate) struct OtlpReceiver {
    pub(crate) endpoint: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    bytes: Vec<u8>,
}

impl OtlpReceiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::<Mutex<Received>>::default();
        let collected = received.clone();
        let tasks = TaskTracker::new();
        let connections = tasks.clone();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(receive(stream, collected.clone()));
            }
        });
        Self { endpoint, received }
    }

    /// The configuration of a service that sends to it.
    pub(crate) fn config(&self) -> String {
        format!("otlp.endpoint = {:?}\n", self.endpoint)
    }

    /// The spans of a trace, by its ID in hexadecimal.
    pub(crate) fn trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.received.lock().unwrap().spans.clone();
        spans.into_iter().filter(|span| hex(&span.trace_id) == trace_id).collect()
    }

    /// All spans with this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        let spans = self.received.lock().unwrap().spans.clone();
        spans.into_iter().filter(|span| span.name == name).collect()
    }

    /// Everything that was received, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap().bytes).into_owned()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Answers the requests of one connection.
async fn receive(stream: TcpStream, received: Arc<Mutex<Received>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut head = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head += &line;
        }
        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let request = ExportTraceServiceRequest::decode(&*body).unwrap();
        {
            let mut received = received.lock().unwrap();
            received.bytes.extend_from_slice(&body);
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            received.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}
