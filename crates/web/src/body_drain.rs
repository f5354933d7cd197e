//! Discards the rest of a request's body before the response is sent. Otherwise the connection would be closed while
//! the client is still sending, and the client would lose the response.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONNECTION, EXPECT};
use axum::response::Response;
use futures_util::stream::{self, Fuse, StreamExt as _};

/// How much is discarded at most.
const DRAIN_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long discarding may take. A slower client gets `Connection: close`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// A body that a handler reads in part or not at all.
pub(crate) struct BodyDrain {
    shared: Arc<Mutex<SharedBody>>,
    /// The client sends the body only after `100 Continue`, which reading it triggers.
    expects_continue: bool,
}

struct SharedBody {
    body: Fuse<BodyDataStream>,
    is_started: bool,
}

/// Shares a request's body with its handler. `None` if the body is empty.
pub(crate) fn split(request: Request) -> (Request, Option<BodyDrain>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(SharedBody { body: body.into_data_stream().fuse(), is_started: false }));
    let drain = BodyDrain { shared: shared.clone(), expects_continue: parts.headers.contains_key(EXPECT) };
    let body = Body::from_stream(stream::poll_fn(move |context| poll_next(&shared, context)));
    (Request::from_parts(parts, body), Some(drain))
}

impl BodyDrain {
    /// Discards the rest of the body, or announces that the connection closes.
    pub(crate) async fn drain(self, response: &mut Response) {
        let is_started = self.shared.lock().unwrap_or_else(PoisonError::into_inner).is_started;
        let is_drained = (is_started || !self.expects_continue)
            && tokio::time::timeout(DRAIN_TIMEOUT, self.read_to_end()).await.unwrap_or(false);
        if !is_drained {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether the end was reached.
    async fn read_to_end(&self) -> bool {
        let mut left = DRAIN_MAX_BYTES;
        while let Some(data) = poll_fn(|context| poll_next(&self.shared, context)).await {
            match data.ok().and_then(|data| left.checked_sub(data.len())) {
                Some(fewer) => left = fewer,
                None => return false,
            }
        }
        true
    }
}

fn poll_next(
    shared: &Mutex<SharedBody>,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, axum::Error>>> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.is_started = true;
    shared.body.poll_next_unpin(context)
}
