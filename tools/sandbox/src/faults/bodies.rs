//! Faulty response bodies.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use crate::server::connection_cut;

type Polled = Poll<Option<Result<Frame<Bytes>, io::Error>>>;

/// Half of the bytes; then the connection breaks.
pub(crate) struct TruncatedBody {
    half: Option<Bytes>,
    has_paused: bool,
}

impl TruncatedBody {
    pub(crate) fn new(whole: &Bytes) -> Self {
        Self { half: Some(whole.slice(..whole.len() / 2)), has_paused: false }
    }
}

impl Body for TruncatedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.has_paused {
            // The server flushes when a body is pending; otherwise the first half would be lost too.
            self.has_paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(connection_cut())))
    }
}

const CHUNK_BYTES: usize = 64 * 1024;
const OPENING: &[u8] = b"{\"data\":\"";
const CLOSING: &[u8] = b"\"}";

/// A JSON object of exactly this many bytes (at least 11), generated while it is sent.
pub(crate) struct HugeBody {
    opening: bool,
    filler_left: u64,
    closing: bool,
    chunk: Bytes,
}

impl HugeBody {
    pub(crate) fn new(bytes: u64) -> Self {
        let frame = (OPENING.len() + CLOSING.len()) as u64;
        Self {
            opening: true,
            filler_left: bytes.saturating_sub(frame),
            closing: true,
            chunk: Bytes::from(vec![b'x'; CHUNK_BYTES]),
        }
    }
}

impl Body for HugeBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
        if std::mem::take(&mut self.opening) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(OPENING)))));
        }
        if self.filler_left > 0 {
            let length = usize::try_from(self.filler_left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            self.filler_left -= length as u64;
            return Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..length)))));
        }
        if std::mem::take(&mut self.closing) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(CLOSING)))));
        }
        Poll::Ready(None)
    }
}

/// Bytes that are sent a few at a time, with a pause before each.
pub(crate) struct Drip {
    left: Bytes,
    pause: Duration,
    at_once: usize,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Drip {
    pub(crate) fn new(whole: Bytes, pause: Duration, at_once: usize) -> Self {
        Self { left: whole, pause, at_once, waiting: None }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let pause = self.pause;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(pause)));
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.waiting = None;
        let length = self.at_once.min(self.left.len());
        let drop = self.left.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(drop))))
    }
}
