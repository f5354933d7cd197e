//! The body of an upload request. It reads from its source only what the connection can take, and reports whether it is
//! stalled and on which side.

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

/// Which side is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stalled {
    /// The source returns no data.
    Source,
    /// The connection accepts no data, or no response arrives.
    Server,
}

/// Why the source ended before the chunk was complete.
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

/// The caller's handle. Dropping it drops the source.
pub(super) struct UploadBody<S, E>(Arc<Mutex<BodyState<S, E>>>);

/// The HTTP client's handle.
struct RequestBody<S, E>(Arc<Mutex<BodyState<S, E>>>);

struct BodyState<S, E> {
    /// `None` once it has ended or the caller's handle was dropped.
    source: Option<Pin<Box<S>>>,
    /// Bytes of the chunk that have not been read yet.
    left: u64,
    /// When a byte was last sent.
    moved_at: Instant,
    /// Whether the connection is waiting for the source.
    is_source_pending: bool,
    end: Option<SourceEnd<E>>,
    /// Wakes the HTTP client while it waits for the source.
    writer: Option<Waker>,
}

impl<S, E> UploadBody<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    /// The body for the first `length` bytes of `source`.
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

    /// The body to pass to the request.
    pub(super) fn body(&self) -> reqwest::Body {
        reqwest::Body::wrap(RequestBody(Arc::clone(&self.0)))
    }

    /// Why the source ended, if it ended before the chunk was complete.
    pub(super) fn take_end(&self) -> Option<SourceEnd<E>> {
        lock(&self.0).end.take()
    }

    /// Returns when no byte has been sent for `stall`.
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
        // A reader that still waits must see the end.
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
                    let limit = usize::try_from(state.left).unwrap_or(usize::MAX);
                    bytes.truncate(limit);
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

/// Aborts the request; the cause is in [`BodyState::end`].
fn source_ended() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the source has ended")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No update under this lock can be left incomplete by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
