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

use super::Unsent;

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

impl<E> From<SourceEnd<E>> for Unsent<E> {
    fn from(end: SourceEnd<E>) -> Self {
        match end {
            SourceEnd::Broken(error) => Self::Source(error),
            SourceEnd::Short => Self::SourceShort,
        }
    }
}

/// The sender's end. As soon as it is dropped there is no source any more.
pub(super) struct Outflow<S, E>(Arc<Mutex<Flow<S, E>>>);

/// The request's end.
struct Outgoing<S, E>(Arc<Mutex<Flow<S, E>>>);

struct Flow<S, E> {
    /// Taken out when it is at its end or nobody wants it any more.
    source: Option<Pin<Box<S>>>,
    /// How many bytes of the piece are still in it.
    left: u64,
    /// When something moved last.
    moved_at: Instant,
    /// Whether the connection has room and the source has nothing.
    is_dry: bool,
    end: Option<SourceEnd<E>>,
    /// Whoever writes the body, if they wait for the source.
    writer: Option<Waker>,
}

impl<S, E> Outflow<S, E>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Send + 'static,
{
    /// The first `length` bytes of a source.
    pub(super) fn new(source: S, length: u64) -> Self {
        Self(Arc::new(Mutex::new(Flow {
            source: Some(Box::pin(source)),
            left: length,
            moved_at: Instant::now(),
            is_dry: false,
            end: None,
            writer: None,
        })))
    }

    /// The body of the one request.
    pub(super) fn body(&self) -> reqwest::Body {
        reqwest::Body::wrap(Outgoing(Arc::clone(&self.0)))
    }

    /// How the source ended, if it did before the piece was whole.
    pub(super) fn take_end(&self) -> Option<SourceEnd<E>> {
        lock(&self.0).end.take()
    }

    /// Returns when nothing has moved for so long.
    pub(super) async fn stalled(&self, stall: Duration) -> Stalled {
        loop {
            let (moved_at, is_dry) = {
                let flow = lock(&self.0);
                (flow.moved_at, flow.is_dry)
            };
            let due = moved_at + stall;
            if Instant::now() >= due {
                return if is_dry { Stalled::Source } else { Stalled::Server };
            }
            sleep_until(due).await;
        }
    }
}

impl<S, E> Drop for Outflow<S, E> {
    fn drop(&mut self) {
        let (source, writer) = {
            let mut flow = lock(&self.0);
            (flow.source.take(), flow.writer.take())
        };
        drop(source);
        // Somebody who still waits for bytes must learn that none will come.
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

impl<S, E> Body for Outgoing<S, E>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut flow = lock(&self.0);
        loop {
            if flow.left == 0 {
                flow.source = None;
                return Poll::Ready(None);
            }
            let Some(source) = &mut flow.source else { return Poll::Ready(Some(Err(broken_off()))) };
            let end = match source.as_mut().poll_next(cx) {
                Poll::Pending => {
                    flow.is_dry = true;
                    flow.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(mut bytes))) => {
                    let room = usize::try_from(flow.left).unwrap_or(usize::MAX);
                    bytes.truncate(room);
                    if bytes.is_empty() {
                        continue;
                    }
                    flow.left -= bytes.len() as u64;
                    flow.moved_at = Instant::now();
                    flow.is_dry = false;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Poll::Ready(Some(Err(error))) => SourceEnd::Broken(error),
                Poll::Ready(None) => SourceEnd::Short,
            };
            flow.source = None;
            flow.end = Some(end);
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
fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the source is at its end")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is written under it can be half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
