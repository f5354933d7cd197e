//! The body of a source as a stream that returns exactly the expected bytes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use reqwest::Response;
use tokio::time::Instant;

use super::source_progress::{MinimumRate, PrefixDigest, SourceProgress};
use super::sources::SourceError;

/// The bytes of a source in chunks. Ends after an error.
pub struct SourceStream(Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>);

impl SourceStream {
    pub(super) fn new(chunks: impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static) -> Self {
        Self(Box::pin(chunks))
    }

    pub(super) fn of(body: Body) -> Self {
        Self::new(stream::try_unfold(body, |mut body| async move {
            Ok(body.next().await?.map(|chunk| (chunk, body)))
        }))
    }

    /// The first `count` bytes, or all if there are fewer, and the unchanged stream. The error is the number of bytes
    /// before the stream fails.
    pub(super) async fn peek(mut self, count: usize) -> (Result<Vec<u8>, usize>, Self) {
        let (mut seen, mut first, mut is_broken) = (Vec::new(), Vec::new(), false);
        while first.len() < count && !is_broken {
            let Some(chunk) = self.next().await else { break };
            match &chunk {
                Ok(bytes) => first.extend(bytes.iter().take(count - first.len())),
                Err(_) => is_broken = true,
            }
            seen.push(chunk);
        }
        let first = if is_broken { Err(first.len()) } else { Ok(first) };
        (first, Self::new(stream::iter(seen).chain(self)))
    }

    /// The next chunk, never empty; `None` after the last.
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

/// An empty stream.
pub(super) fn empty() -> SourceStream {
    SourceStream::new(stream::empty())
}

/// The body of a response: skips some bytes, then returns exactly the expected number.
pub(super) struct Body {
    response: Response,
    skip: u64,
    left: u64,
    minimum_rate: MinimumRate,
    progress: SourceProgress,
    digesting: Option<Digesting>,
}

/// A digest from the file's first byte, compared with the prefix from an earlier connection.
struct Digesting {
    now: PrefixDigest,
    before: PrefixDigest,
}

impl Digesting {
    fn update(&mut self, chunk: &[u8]) -> Result<(), SourceError> {
        let until = self.before.length.saturating_sub(self.now.length);
        let until = usize::try_from(until).unwrap_or(usize::MAX);
        match chunk.split_at_checked(until).filter(|_| until > 0) {
            None => self.now.update(chunk),
            Some((head, tail)) => {
                self.now.update(head);
                if !self.now.equals(&self.before) {
                    return Err(SourceError::Changed);
                }
                self.now.update(tail);
            }
        }
        Ok(())
    }
}

impl Body {
    pub(super) fn new(response: Response, minimum_rate: MinimumRate, progress: SourceProgress) -> Self {
        Self { response, skip: 0, left: 0, minimum_rate, progress, digesting: None }
    }

    /// Skips `skip` bytes and returns the `left` bytes that must follow.
    pub(super) fn between(self, skip: u64, left: u64) -> Self {
        Self { skip, left, ..self }
    }

    /// The body starts at offset 0. Its prefix must match the one of an earlier connection.
    pub(super) fn digested(self) -> Self {
        let digesting = Digesting { now: PrefixDigest::default(), before: self.progress.prefix() };
        Self { digesting: Some(digesting), ..self }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let mut chunk = self.next_chunk().await?;
            if let Some(digesting) = &mut self.digesting {
                digesting.update(&chunk)?;
                self.progress.keep(&digesting.now);
            }
            let dropped = chunk.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= dropped as u64;
            drop(chunk.split_to(dropped));
            if chunk.is_empty() {
                continue;
            }
            self.left = self.left.checked_sub(chunk.len() as u64).ok_or(SourceError::Changed)?;
            if self.left == 0 {
                self.expect_end().await?;
            }
            return Ok(Some(chunk));
        }
    }

    async fn next_chunk(&mut self) -> Result<Bytes, SourceError> {
        let asked_at = Instant::now();
        let chunk = self.response.chunk().await.ok().flatten();
        // An early end and a broken connection are handled alike: the caller reopens the source at this offset.
        let chunk = chunk.ok_or(SourceError::EndedEarly)?;
        let noted = self.progress.record(self.minimum_rate, chunk.len() as u64, asked_at.elapsed());
        noted.map_err(|_| SourceError::TooSlow)?;
        Ok(chunk)
    }

    /// The last chunk is held back until the end of the body is confirmed, so that a file that grew is detected. How
    /// the connection ends after that does not matter.
    async fn expect_end(&mut self) -> Result<(), SourceError> {
        while let Ok(Some(more)) = self.response.chunk().await {
            if !more.is_empty() {
                return Err(SourceError::Changed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peeked_stream_returns_every_chunk() {
        let chunk = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        let broken = || Err(SourceError::EndedEarly);
        for (chunks, expected) in [
            (vec![chunk("abcdef")], Ok("abcd")),
            (vec![chunk("ab"), chunk("cdef"), broken()], Ok("abcd")),
            (vec![chunk("ab")], Ok("ab")),
            (vec![chunk("ab"), broken()], Err(2)),
            (vec![broken()], Err(0)),
            (vec![], Ok("")),
        ] {
            let (first, mut stream) = SourceStream::new(stream::iter(chunks.clone())).peek(4).await;
            assert_eq!(first, expected.map(|text| text.as_bytes().to_vec()), "{chunks:?}");
            let mut given = Vec::new();
            while let Some(chunk) = stream.next().await {
                given.push(chunk);
            }
            assert_eq!(given, chunks);
        }
    }
}
