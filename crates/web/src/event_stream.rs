//! Streams of server-sent events: their headers, their heartbeats, and how often they look for changes.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream, StreamExt as _};

/// How often a job is read, because any node may be working on it. A revoked key or session keeps a stream open at most
/// this long.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(900);
/// The longest time without an event or comment. httpx times out after 5 s by default, h2o closes an idle upstream after 30 s.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(4);
/// A comment, which clients skip. Without a blank line after it, because some clients take any block for a message.
const HEARTBEAT: &[u8] = b": heartbeat\n";
/// Delay before a client reconnects after a disconnect, in milliseconds.
pub(crate) const RETRY_MILLIS: u64 = 2_000;
/// Makes nginx, and other proxies that know the header, forward each event immediately.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The response with these events.
pub(crate) fn event_stream(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(with_heartbeats(events).map(Ok::<_, Infallible>));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// An event for a page; `data` is not empty.
pub(crate) fn event(name: &str, data: &str) -> String {
    // A carriage return ends a line as well.
    let data = data.replace('\r', " ");
    let lines: String = data.lines().flat_map(|line| ["data: ", line, "\n"]).collect();
    format!("event: {name}\n{lines}\n")
}

/// Sends a heartbeat after some seconds without an event.
fn with_heartbeats(events: impl Stream<Item = Bytes>) -> impl Stream<Item = Bytes> {
    stream::unfold(Box::pin(events), |mut events| async move {
        let next = tokio::time::timeout(HEARTBEAT_INTERVAL, events.next()).await;
        let bytes = next.unwrap_or(Some(Bytes::from_static(HEARTBEAT)))?;
        Some((bytes, events))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_has_a_comment_line_every_four_seconds() {
        let started = tokio::time::Instant::now();
        let event = || Bytes::from_static(b"data: x\n\n");
        let events = stream::unfold(0, |count| async move {
            tokio::time::sleep(Duration::from_secs(9)).await;
            (count < 2).then(|| (event(), count + 1))
        });
        let sent: Vec<_> =
            with_heartbeats(events).map(|bytes| (started.elapsed().as_secs(), bytes)).collect().await;
        let heartbeat = || Bytes::from_static(b": heartbeat\n");
        assert_eq!(
            sent,
            [
                (4, heartbeat()),
                (8, heartbeat()),
                (9, event()),
                (13, heartbeat()),
                (17, heartbeat()),
                (18, event()),
                (22, heartbeat()),
                (26, heartbeat()),
            ]
        );
    }

    #[test]
    fn every_line_of_an_event_is_data() {
        assert_eq!(
            event("update", "<a>\n\nb\rc\r\nd"),
            "event: update\ndata: <a>\ndata: \ndata: b c \ndata: d\n\n"
        );
    }
}
