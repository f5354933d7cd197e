//! Bytes on their way: counted, so that exactly those come out that belong to the source.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use reqwest::Response;
use tokio::time::Instant;

use super::source_progress::{MinimumRate, PrefixDigest, SourceProgress};
use super::sources::SourceError;

/// The bytes of a source, in pieces. After an error nothing follows.
pub struct SourceStream(Pin<Box<dyn Stream<Item = Result<Bytes, SourceError>> + Send>>);

impl SourceStream {
    pub(super) fn new(pieces: impl Stream<Item = Result<Bytes, SourceError>> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }

    pub(super) fn of(body: Body) -> Self {
        Self::new(stream::try_unfold(body, |mut body| async move {
            Ok(body.next().await?.map(|piece| (piece, body)))
        }))
    }

    /// The first `count` bytes, or all if there are fewer, and the stream as it was. The error says how many came before
    /// the stream breaks, which it then does again.
    pub(super) async fn peek(mut self, count: usize) -> (Result<Vec<u8>, usize>, Self) {
        let (mut seen, mut first, mut is_broken) = (Vec::new(), Vec::new(), false);
        while first.len() < count && !is_broken {
            let Some(piece) = self.next().await else { break };
            match &piece {
                Ok(bytes) => first.extend(bytes.iter().take(count - first.len())),
                Err(_) => is_broken = true,
            }
            seen.push(piece);
        }
        let first = if is_broken { Err(first.len()) } else { Ok(first) };
        (first, Self::new(stream::iter(seen).chain(self)))
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

/// The body of an answer: some bytes are dropped, and exactly so many must follow.
pub(super) struct Body {
    response: Response,
    skip: u64,
    left: u64,
    minimum_rate: MinimumRate,
    progress: SourceProgress,
    digesting: Option<Digesting>,
}

/// The digest of everything from the file's first byte on, compared with what an earlier connection gave.
struct Digesting {
    now: PrefixDigest,
    before: PrefixDigest,
}

impl Digesting {
    fn update(&mut self, piece: &[u8]) -> Result<(), SourceError> {
        let until = self.before.length.saturating_sub(self.now.length);
        let until = usize::try_from(until).unwrap_or(usize::MAX);
        match piece.split_at_checked(until).filter(|_| until > 0) {
            None => self.now.update(piece),
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

    /// Drops the first `skip` bytes, and gives the `left` that must follow.
    pub(super) fn between(self, skip: u64, left: u64) -> Self {
        Self { skip, left, ..self }
    }

    /// The body begins with the file's first byte. What an earlier one began with, this one must begin with, too.
    pub(super) fn digested(self) -> Self {
        let digesting = Digesting { now: PrefixDigest::default(), before: self.progress.prefix() };
        Self { digesting: Some(digesting), ..self }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        if self.left == 0 {
            return Ok(None);
        }
        loop {
            let mut piece = self.next_piece().await?;
            if let Some(digesting) = &mut self.digesting {
                digesting.update(&piece)?;
                self.progress.keep(&digesting.now);
            }
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

    async fn next_piece(&mut self) -> Result<Bytes, SourceError> {
        let asked_at = Instant::now();
        let piece = self.response.chunk().await.ok().flatten();
        // The end too early and a cut are the same to the caller, which opens the source again there.
        let piece = piece.ok_or(SourceError::EndedEarly)?;
        let noted = self.progress.record(self.minimum_rate, piece.len() as u64, asked_at.elapsed());
        noted.map_err(|_| SourceError::TooSlow)?;
        Ok(piece)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_was_peeked_into_gives_every_piece() {
        let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        let broken = || Err(SourceError::EndedEarly);
        for (pieces, expected) in [
            (vec![piece("abcdef")], Ok("abcd")),
            (vec![piece("ab"), piece("cdef"), broken()], Ok("abcd")),
            (vec![piece("ab")], Ok("ab")),
            (vec![piece("ab"), broken()], Err(2)),
            (vec![broken()], Err(0)),
            (vec![], Ok("")),
        ] {
            let (first, mut stream) = SourceStream::new(stream::iter(pieces.clone())).peek(4).await;
            assert_eq!(first, expected.map(|text| text.as_bytes().to_vec()), "{pieces:?}");
            let mut given = Vec::new();
            while let Some(piece) = stream.next().await {
                given.push(piece);
            }
            assert_eq!(given, pieces);
        }
    }
}
