//! What a handler leaves of a request's body is read and thrown away before the answer goes out. A refusal that does
//! not wait for it would close the connection under a client that still sends, which then loses the answer.

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

/// How much is thrown away.
const DISCARD_MAX_BYTES: usize = 4 * 1024 * 1024;
/// How long that may take; the answer to a slower client says that the connection closes.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(3);

/// A body that was lent to a handler, which may read it or not.
pub(crate) struct Leftover {
    lent: Arc<Mutex<Lent>>,
    /// The client sends the body only when it is told to go on, which reading it does.
    is_held_back: bool,
}

struct Lent {
    body: Fuse<BodyDataStream>,
    is_begun: bool,
}

/// Lends a request's body to whoever handles the request; `None` if there is nothing that could be left of it.
pub(crate) fn lend(request: Request) -> (Request, Option<Leftover>) {
    if request.body().is_end_stream() {
        return (request, None);
    }
    let (parts, body) = request.into_parts();
    let lent = Arc::new(Mutex::new(Lent { body: body.into_data_stream().fuse(), is_begun: false }));
    let leftover = Leftover { lent: lent.clone(), is_held_back: parts.headers.contains_key(EXPECT) };
    let body = Body::from_stream(stream::poll_fn(move |context| poll_next(&lent, context)));
    (Request::from_parts(parts, body), Some(leftover))
}

impl Leftover {
    /// Throws away what is left, or tells the client that the connection closes.
    pub(crate) async fn discard(self, response: &mut Response) {
        let is_begun = self.lent.lock().unwrap_or_else(PoisonError::into_inner).is_begun;
        let is_over = (is_begun || !self.is_held_back)
            && tokio::time::timeout(DISCARD_TIMEOUT, self.read_to_end()).await.unwrap_or(false);
        if !is_over {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Whether the end was reached.
    async fn read_to_end(&self) -> bool {
        let mut left = DISCARD_MAX_BYTES;
        while let Some(data) = poll_fn(|context| poll_next(&self.lent, context)).await {
            match data.ok().and_then(|data| left.checked_sub(data.len())) {
                Some(fewer) => left = fewer,
                None => return false,
            }
        }
        true
    }
}

fn poll_next(lent: &Mutex<Lent>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, axum::Error>>> {
    let mut lent = lent.lock().unwrap_or_else(PoisonError::into_inner);
    lent.is_begun = true;
    lent.body.poll_next_unpin(context)
}
