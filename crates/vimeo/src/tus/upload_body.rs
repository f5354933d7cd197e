//! A piece on its way out: the body of a request, which takes from its source what the connection has room for and no
//! more, and tells whether it stands still and for whose sake.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::UploadError;

/// For whose sake nothing moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    /// The source has nothing to give.
    Source,
    /// The connection takes nothing, or no answer comes.
    Server,
}

/// How a source ended that should have gone on.
pub(super) enum SourceEnd<E> {
    Broken(E),
    Short,
}

impl<E> From<SourceEnd<E>> for UploadError<E> {
    fn from(end: SourceEnd<E>) -> Self {
        match end {
            SourceEnd::Broken(error) => Self::Source(error),
            SourceEnd::Short => Self::SourceTruncated,
        }
    }
}

/// The sender's end. As soon as it is dropped there is no source any more.
pub(super) struct UploadBody<S, E>(Arc<Mutex<BodyState<S, E>>>);

/// The request's end.
struct RequestBody<S, E>(Arc<Mutex<BodyState<S, E>>>);

struct BodyState<S, E> {
    /// Taken out when it is at its end or nobody wants it any more.
    source: Option<Pin<Box<S>>>,
    /// How many bytes of the piece are still in it.
    left: u64,
    /// When something moved last.
    moved_at: Instant,
    /// Whether the connection has room and the source has nothing.
    is_source_pending: bool,
    end: Option<SourceEnd<E>>,
    /// Whoever writes the body, if they wait for the source.
    writer: Option<Waker>,
}

impl<S, E> UploadBody<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    /// The first `length` bytes of a source.
    pub(super) fn new(source: S, length: u64) -> Self {
        Self(Arc::new(Mutex::new(BodyState {
            source: Some(Box::pin(source)),
            left: length,
            moved_at: Instant::now(),
            is_source_pending: false,
            end: None,
            writer: None,
        })))
    }

    /// The body of the one request.
    pub(super) fn body(&self) -> reqwest::Body {
        reqwest::Body::wrap(RequestBody(Arc::clone(&self.0)))
    }

    /// How the source ended, if it did before the piece was whole.
    pub(super) fn take_end(&self) -> Option<SourceEnd<E>> {
        lock(&self.0).end.take()
    }

    /// Returns when nothing has moved for so long.
    pub(super) async fn stalled(&self, stall: Duration) -> Stalled {
        loop {
            let (moved_at, is_source_pending) = {
                let state = lock(&self.0);
                (state.moved_at, state.is_source_pending)
            };
            let due = moved_at + stall;
            if Instant::now() >= due {
                return if is_source_pending { Stalled::Source } else { Stalled::Server };
            }
            sleep_until(due).await;
        }
    }
}

impl<S, E> Drop for UploadBody<S, E> {
    fn drop(&mut self) {
        let (source, writer) = {
            let mut state = lock(&self.0);
            (state.source.take(), state.writer.take())
        };
        drop(source);
        // Somebody who still waits for bytes must learn that none will come.
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl<S, E> Body for RequestBody<S, E>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut state = lock(&self.0);
        loop {
            if state.left == 0 {
                state.source = None;
                return Poll::Ready(None);
            }
            let Some(source) = &mut state.source else { return Poll::Ready(Some(Err(source_ended()))) };
            let end = match source.as_mut().poll_next(cx) {
                Poll::Pending => {
                    state.is_source_pending = true;
                    state.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(mut bytes))) => {
                    let room = usize::try_from(state.left).unwrap_or(usize::MAX);
                    bytes.truncate(room);
                    if bytes.is_empty() {
                        continue;
                    }
                    state.left -= bytes.len() as u64;
                    state.moved_at = Instant::now();
                    state.is_source_pending = false;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Poll::Ready(Some(Err(error))) => SourceEnd::Broken(error),
                Poll::Ready(None) => SourceEnd::Short,
            };
            state.source = None;
            state.end = Some(end);
        }
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(lock(&self.0).left)
    }
}

/// What ends the request; why it ended, the flow knows.
fn source_ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the source is at its end")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is written under it can be half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
