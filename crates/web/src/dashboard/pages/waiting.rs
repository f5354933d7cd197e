//! Server-sent events of pages that wait for a decision. A stream is short; the browser opens the next one automatically.

use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::event_stream::{RETRY_MILLIS, event, event_stream};

/// How often the state is read.
const POLL: Duration = Duration::from_secs(2);
/// How many times a stream reads it.
const POLLS: u32 = 11;

/// The browser loads the page again.
pub(super) fn reload() -> String {
    event("reload", "-")
}

/// A stream that ends with the event that `poll` returns once there is one, when the service stops, or after some seconds.
pub(super) fn stream<F>(stopping: CancellationToken, poll: impl Fn() -> F + Send + 'static) -> Response
where
    F: Future<Output = Option<String>> + Send,
{
    // At once, so that the browser knows that the stream is open.
    let start = Bytes::from(format!("retry: {RETRY_MILLIS}\n\n"));
    let event = async move { stopping.run_until_cancelled(first_event(poll)).await.flatten() };
    event_stream(stream::iter([start]).chain(stream::once(event).flat_map(stream::iter)))
}

async fn first_event<F: Future<Output = Option<String>>>(poll: impl Fn() -> F) -> Option<Bytes> {
    for polls in 0..POLLS {
        if polls > 0 {
            tokio::time::sleep(POLL).await;
        }
        if let Some(event) = poll().await {
            return Some(Bytes::from(event));
        }
    }
    None
}
