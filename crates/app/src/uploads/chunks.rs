//! One stream of a source, sent in chunks: bytes pass from one connection to the other and are not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use super::transfer_counter::TransferCounter;
use egress::SourceError;

/// A source that is open.
pub(super) struct ChunkReader {
    shared: Arc<tokio::sync::Mutex<Reading>>,
    offset: Arc<AtomicU64>,
    /// The longest chunk that can be sent whole.
    chunk_max: u64,
}

struct Reading {
    stream: BoxStream<'static, Result<Bytes, SourceError>>,
    /// What was read and belongs to the next chunk.
    rest: Bytes,
}

impl ChunkReader {
    /// A source that is read from this offset on.
    pub(super) fn new(
        stream: impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static,
        offset: u64,
    ) -> Self {
        let reading = Reading { stream: stream.boxed(), rest: Bytes::new() };
        Self {
            shared: Arc::new(tokio::sync::Mutex::new(reading)),
            offset: Arc::new(AtomicU64::new(offset)),
            chunk_max: u64::MAX,
        }
    }

    /// The stream is known to break after this many bytes. They are a chunk of their own: sent together with the break, none
    /// of them might arrive.
    pub(super) fn breaking_after(self, bytes: Option<u64>) -> Self {
        let chunk_max = bytes.filter(|bytes| *bytes > 0).unwrap_or(u64::MAX);
        Self { chunk_max, ..self }
    }

    pub(super) fn chunk_max(&self) -> u64 {
        self.chunk_max
    }

    /// The offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The next `length` bytes; the counter counts them as they are read.
    pub(super) fn chunk(
        &self,
        length: u64,
        counter: Arc<TransferCounter>,
    ) -> impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static {
        let (shared, offset) = (self.shared.clone(), self.offset.clone());
        stream::try_unfold(length, move |left| {
            let (shared, offset, counter) = (shared.clone(), offset.clone(), counter.clone());
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
                counter.add(count);
                Ok(Some((bytes, left - count)))
            }
        })
    }
}
