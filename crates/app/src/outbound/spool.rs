//! A source that does not say how long it is, kept in a file without a name until it is sent on. The file is gone when
//! nobody holds it any more, also after a crash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::Response;
use tokio::task::spawn_blocking;

use super::Outbound;
use super::ranges::content_length;
use super::sources::{SourceError, SourceFacts};
use super::stream::SourceStream;
use super::url::OutboundUrl;

/// How much is written and read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A source that is kept here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spooled {
    file: Arc<File>,
    length: u64,
}

impl Outbound {
    /// Reads a source to its end into a file of `directory` without a name. Refuses with `NoLength` if `limit_bytes` is
    /// 0, and with `TooLarge` if it has more bytes than that.
    pub async fn spool(
        &self,
        url: &OutboundUrl,
        limit_bytes: u64,
        directory: &Path,
        facts: &SourceFacts,
    ) -> Result<Spooled, SourceError> {
        if limit_bytes == 0 {
            return Err(SourceError::NoLength);
        }
        let response = self.0.get_whole(url, facts).await?;
        if content_length(response.headers()).is_some_and(|length| length > limit_bytes) {
            return Err(SourceError::TooLarge);
        }
        let directory = directory.to_owned();
        let file = Arc::new(on_disk(move || tempfile::tempfile_in(directory)).await?);
        let length = fill(&file, response, limit_bytes).await?;
        match facts.length {
            _ if length == 0 => Err(SourceError::Empty),
            Some(said) if said != length => Err(SourceError::Changed),
            _ => Ok(Spooled { file, length }),
        }
    }
}

impl Spooled {
    /// How many bytes it has. Never 0.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `from` to the end; none if that is the end or beyond. May be called again and again, also while
    /// another stream of it is read.
    pub fn open(&self, from: u64) -> SourceStream {
        let spooled = self.clone();
        SourceStream::new(stream::try_unfold(from, move |at| {
            let spooled = spooled.clone();
            async move {
                let piece = spooled.read(at).await?;
                let next = at.saturating_add(piece.len() as u64);
                Ok((!piece.is_empty()).then_some((piece, next)))
            }
        }))
    }

    async fn read(&self, at: u64) -> Result<Bytes, SourceError> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let file = Arc::clone(&self.file);
        on_disk(move || {
            let mut piece = vec![0; left.min(PIECE_BYTES)];
            file.read_exact_at(&mut piece, at)?;
            Ok(Bytes::from(piece))
        })
        .await
    }
}

/// Writes the body of an answer to the file and says how long it was.
async fn fill(file: &Arc<File>, mut response: Response, limit_bytes: u64) -> Result<u64, SourceError> {
    let (mut length, mut written) = (0, 0);
    let mut waiting = BytesMut::new();
    loop {
        let piece = response.chunk().await.map_err(|_| SourceError::Broken)?;
        let is_end = piece.is_none();
        let piece = piece.unwrap_or_default();
        length += piece.len() as u64;
        if length > limit_bytes {
            return Err(SourceError::TooLarge);
        }
        waiting.extend_from_slice(&piece);
        if waiting.len() >= PIECE_BYTES || is_end {
            let (file, piece) = (Arc::clone(file), waiting.split().freeze());
            let at = written;
            written += piece.len() as u64;
            on_disk(move || file.write_all_at(&piece, at)).await?;
        }
        if is_end {
            return Ok(length);
        }
    }
}

/// Does what may wait for a disk on a thread that may wait.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        tracing::error!(%error, "the file of a source that is kept here cannot be used");
        SourceError::NoRoom
    })
}
