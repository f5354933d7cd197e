//! Bytes on their way: counted, so that exactly those come out that belong to the source.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use reqwest::Response;

use super::sources::SourceError;

/// The bytes of a source, in pieces. After an error nothing follows.
pub struct SourceStream(Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>);

impl SourceStream {
    pub(super) fn new(pieces: impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }

    /// The next piece, never empty; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Bytes, SourceError>> {
        StreamExt::next(&mut self.0).await
    }
}

impl Stream for SourceStream {
    type Item = Result<Bytes, SourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for SourceStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<bytes of a source>")
    }
}

/// No bytes at all.
pub(super) fn empty() -> SourceStream {
    SourceStream::new(stream::empty())
}

/// The body of an answer: `skip` bytes are dropped, and exactly `left` must follow.
pub(super) fn of(response: Response, skip: u64, left: u64) -> SourceStream {
    let body = Body { response, skip, left };
    SourceStream::new(stream::try_unfold(body, |mut body| async move {
        Ok(body.next().await?.map(|piece| (piece, body)))
    }))
}

struct Body {
    response: Response,
    skip: u64,
    left: u64,
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let piece = self.response.chunk().await.ok().flatten();
            // The end too early and a cut are the same to whoever goes on from here.
            let mut piece = piece.ok_or(SourceError::Broken)?;
            let dropped = piece.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= dropped as u64;
            drop(piece.split_to(dropped));
            if piece.is_empty() {
                continue;
            }
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(SourceError::Changed)?;
            if self.left == 0 {
                self.expect_end().await?;
            }
            return Ok(Some(piece));
        }
    }

    /// The last piece is held until it is known that nothing follows it, so that a source that grew is noticed before
    /// its beginning is taken for the whole. How the connection ends after the last byte does not matter.
    async fn expect_end(&mut self) -> Result<(), SourceError> {
        while let Ok(Some(more)) = self.response.chunk().await {
            if !more.is_empty() {
                return Err(SourceError::Changed);
            }
        }
        Ok(())
    }
}
