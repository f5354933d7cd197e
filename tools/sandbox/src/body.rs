//! Request bodies: counted as they arrive, and read up to 1 MiB.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Multipart;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// The largest request body that is read. No Vimeo endpoint needs more.
pub(crate) const BODY_LIMIT_BYTES: usize = 1024 * 1024;

// A client reads the error response only after it has finished sending, so some of the excess is read and discarded.
pub(crate) const DRAIN_LIMIT_BYTES: usize = 64 * BODY_LIMIT_BYTES;

/// The body is longer than the limit, or was cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable;

/// The media type in lower case, without parameters; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, Unreadable> {
    read_at_most(body, BODY_LIMIT_BYTES).await
}

/// The whole body, if it is not longer than the limit.
pub(crate) async fn read_at_most(mut body: Body, limit: usize) -> Result<Bytes, Unreadable> {
    let mut read = Vec::new();
    let mut length: usize = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > DRAIN_LIMIT_BYTES {
            return Err(Unreadable);
        }
        if length <= limit {
            read.extend_from_slice(&data);
        }
    }
    if length > limit { Err(Unreadable) } else { Ok(read.into()) }
}

/// A body that counts its bytes as they are read.
pub(crate) struct Counted {
    body: Body,
    count: Arc<AtomicU64>,
}

impl Counted {
    pub(crate) fn new(body: Body, count: Arc<AtomicU64>) -> Self {
        Self { body, count }
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.count.fetch_add(data.len() as u64, Ordering::SeqCst);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// A client that has sent nothing for this long is waiting for the response.
const PAUSE: Duration = Duration::from_millis(250);

/// Reads the rest of a body and discards it, for the same reason.
pub(crate) async fn drain(body: &mut Body) {
    let mut length: usize = 0;
    while length <= DRAIN_LIMIT_BYTES {
        let Ok(Some(Ok(frame))) = timeout(PAUSE, body.frame()).await else { return };
        length = length.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// Reads the rest of a form and discards it.
pub(crate) async fn drain_form(form: &mut Multipart) {
    let mut length: usize = 0;
    while let Ok(Ok(Some(mut field))) = timeout(PAUSE, form.next_field()).await {
        while let Ok(Ok(Some(data))) = timeout(PAUSE, field.chunk()).await {
            length = length.saturating_add(data.len());
            if length > DRAIN_LIMIT_BYTES {
                return;
            }
        }
    }
}
