//! Server-sent events of pages that wait for a decision. A stream is short; the browser opens the next one automatically.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

/// How often the state is read.
const POLL: Duration = Duration::from_secs(2);
/// How many times a stream reads it.
const POLLS: u32 = 10;
/// What a browser receives meanwhile.
const HEARTBEAT: &[u8] = b": waiting\n\n";
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The browser loads the page again.
pub(super) const RELOAD: &str = "event: reload\ndata: \n\n";

/// A stream that ends with the event that `poll` returns once there is one, when the service stops, or after some seconds.
pub(super) fn stream<F>(stopping: CancellationToken, poll: impl Fn() -> F + Send + 'static) -> Response
where
    F: Future<Output = Option<String>> + Send,
{
    let events = stream::unfold((stopping, poll, 0), |(stopping, poll, polls)| async move {
        if polls > POLLS {
            return None;
        }
        if polls > 0 {
            stopping.run_until_cancelled(tokio::time::sleep(POLL)).await?;
        }
        match poll().await {
            Some(event) => Some((Ok::<_, Infallible>(Bytes::from(event)), (stopping, poll, POLLS + 1))),
            None => Some((Ok(Bytes::from_static(HEARTBEAT)), (stopping, poll, polls + 1))),
        }
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(events)).into_response()
}
