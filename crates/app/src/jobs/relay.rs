//! One stream of a source, given away in pieces: bytes go from the one connection to the other, and stay nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream};

use super::held::Meter;
use egress::{SourceError, SourceStream};

/// A source that is being read.
pub(super) struct Feed {
    shared: Arc<tokio::sync::Mutex<Reading>>,
    offset: Arc<AtomicU64>,
    /// The longest piece that can be sent whole.
    piece_max: u64,
}

struct Reading {
    stream: SourceStream,
    /// What was read and belongs to the next piece.
    rest: Bytes,
}

impl Feed {
    /// A source that is read from this offset on.
    pub(super) fn new(stream: SourceStream, offset: u64) -> Self {
        let reading = Reading { stream, rest: Bytes::new() };
        Self {
            shared: Arc::new(tokio::sync::Mutex::new(reading)),
            offset: Arc::new(AtomicU64::new(offset)),
            piece_max: u64::MAX,
        }
    }

    /// The stream is known to break after this many bytes. They are a piece of their own: sent together with the break, none
    /// of them might get there.
    pub(super) fn breaking_after(self, bytes: Option<u64>) -> Self {
        let piece_max = bytes.filter(|bytes| *bytes > 0).unwrap_or(u64::MAX);
        Self { piece_max, ..self }
    }

    pub(super) fn piece_max(&self) -> u64 {
        self.piece_max
    }

    /// What the next byte's offset is.
    pub(super) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The next so many bytes; the meter counts them as they are taken.
    pub(super) fn piece(
        &self,
        length: u64,
        meter: Arc<Meter>,
    ) -> impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static {
        let (shared, offset) = (self.shared.clone(), self.offset.clone());
        stream::try_unfold(length, move |left| {
            let (shared, offset, meter) = (shared.clone(), offset.clone(), meter.clone());
            async move {
                if left == 0 {
                    return Ok(None);
                }
                let mut reading = shared.lock().await;
                let mut bytes = std::mem::take(&mut reading.rest);
                while bytes.is_empty() {
                    bytes = match reading.stream.next().await {
                        Some(bytes) => bytes?,
                        None => return Err(SourceError::EndedEarly),
                    };
                }
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                reading.rest = bytes.split_off(take);
                let count = u64::try_from(take).unwrap_or(0);
                offset.fetch_add(count, Ordering::Relaxed);
                meter.add(count);
                Ok(Some((bytes, left - count)))
            }
        })
    }
}
