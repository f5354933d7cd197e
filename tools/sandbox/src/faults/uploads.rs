//! Faulty request bodies: slow, or cut off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Method;
use hyper::body::{Body as _, Frame};
use tokio::time::{Sleep, sleep};

use crate::server::connection_cut;

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

/// Whether the handler streams this request's body, and keeps what has arrived when the rest is missing.
pub(super) fn is_streamed(method: &Method, path: &str) -> bool {
    method == Method::PATCH && path.starts_with("/files/")
}

/// The first bytes of a body, then an error, as when the connection breaks.
pub(super) struct CutShort {
    whole: Body,
    left: u64,
}

impl CutShort {
    pub(super) fn new(whole: Body, bytes: u64) -> Self {
        Self { whole, left: bytes }
    }
}

impl hyper::body::Body for CutShort {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.left == 0 {
            return Poll::Ready(Some(Err(connection_cut())));
        }
        let Some(mut data) = ready!(poll_data(&mut self.whole, cx))? else {
            // The body is shorter than that; the connection breaks nevertheless.
            return Poll::Ready(Some(Err(connection_cut())));
        };
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
        self.left -= length as u64;
        data.truncate(length);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

// How many times per second data of a slow body is read.
const PIECES_PER_SECOND: u64 = 10;

/// A body that is read at a steady rate.
pub(super) struct Slow {
    whole: Body,
    bytes_per_second: u64,
    taken: Bytes,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Slow {
    pub(super) fn new(whole: Body, bytes_per_second: u64) -> Self {
        Self { whole, bytes_per_second, taken: Bytes::new(), waiting: None }
    }
}

impl hyper::body::Body for Slow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.taken.is_empty() {
            match ready!(poll_data(&mut self.whole, cx))? {
                Some(data) => self.taken = data,
                None => return Poll::Ready(None),
            }
        }
        let piece = (self.bytes_per_second / PIECES_PER_SECOND).max(1);
        let length = usize::try_from(piece).unwrap_or(usize::MAX).min(self.taken.len());
        // The time that this many bytes take at this rate.
        let nanos = (length as u64).saturating_mul(1_000_000_000) / self.bytes_per_second;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(Duration::from_nanos(nanos))));
        ready!(waiting.as_mut().poll(cx));
        self.waiting = None;
        let data = self.taken.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// The next non-empty data of a body.
fn poll_data(body: &mut Body, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, io::Error>> {
    loop {
        let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)) else { return Poll::Ready(Ok(None)) };
        match frame.map_err(io::Error::other)?.into_data() {
            Ok(data) if !data.is_empty() => return Poll::Ready(Ok(Some(data))),
            _ => {}
        }
    }
}
