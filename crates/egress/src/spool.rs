//! A source that does not say how long it is, kept in a file without a name until it is sent on. The file is gone when
//! nobody holds it any more, also after a crash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::Response;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Egress;
use super::content::{Content, Declared, HEAD_BYTES, classify};
use super::gunzip::{Corrupt, Gunzip, INPUT_BYTES};
use super::ranges::content_length;
use super::sources::{SourceError, SourceMetadata};
use super::spool_space::{Full, Reservation, SpoolSpace};
use super::stream::SourceStream;
use super::url::EgressUrl;
use super::validators::Validators;

/// How much is written and read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// A source that is kept here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spooled {
    file: Arc<File>,
    length: u64,
    validators: Validators,
    _share: Arc<Reservation>,
}

impl Egress {
    /// Reads a source to its end into a file of `space` without a name, decompressed if it was compressed for the
    /// transfer. Refuses with `NoLength` if nothing may be kept, with `TooLarge` if it has more bytes than one file may
    /// have, with `NotVideo` before its first byte is kept, and with `Changed` if it is not the file that was `expected`.
    pub async fn spool(
        &self,
        url: &EgressUrl,
        space: &SpoolSpace,
        expected: Option<&SourceMetadata>,
    ) -> Result<Spooled, SourceError> {
        let limit_bytes = space.options().file_max_bytes;
        if limit_bytes == 0 {
            return Err(SourceError::NoLength);
        }
        let (response, validators) = self.0.get_whole(url, expected).await?;
        if content_length(response.headers()).is_some_and(|length| length > limit_bytes) {
            return Err(SourceError::TooLarge);
        }
        let of_space = space.clone();
        let file = Arc::new(on_disk(move || of_space.file()).await?);
        let mut kept = SpoolWriter {
            file: Arc::clone(&file),
            reservation: space.reservation(),
            limit_bytes,
            length: 0,
            waiting: BytesMut::new(),
        };
        let filling = fill(&mut kept, response);
        timeout(space.options().time_limit, filling).await.map_err(|_| SourceError::SpoolTimeout)??;
        let SpoolWriter { reservation, length, .. } = kept;
        tracing::info!(
            bytes = length,
            spool_bytes = space.used_bytes(),
            spool_max_bytes = space.total_bytes(),
            "a source of unknown length is buffered on the disk"
        );
        match expected.and_then(|expected| expected.length) {
            _ if length == 0 => Err(SourceError::Empty),
            Some(said) if said != length => Err(SourceError::Changed),
            _ => Ok(Spooled { file, length, validators, _share: Arc::new(reservation) }),
        }
    }
}

impl Spooled {
    /// How many bytes it has. Never 0.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The marks of the answer that is kept.
    pub fn validators(&self) -> &Validators {
        &self.validators
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

/// What is kept so far.
struct SpoolWriter {
    file: Arc<File>,
    reservation: Reservation,
    limit_bytes: u64,
    length: u64,
    /// Not written yet.
    waiting: BytesMut,
}

impl SpoolWriter {
    async fn push(&mut self, piece: &[u8]) -> Result<(), SourceError> {
        let bytes = piece.len() as u64;
        self.length += bytes;
        if self.length > self.limit_bytes {
            return Err(SourceError::TooLarge);
        }
        self.reservation.grow(bytes).map_err(|Full| {
            tracing::warn!(
                spool_max_bytes = self.reservation.total_bytes(),
                "the space for sources of unknown length is used up (sources.spool_total_bytes)"
            );
            SourceError::SpoolFull
        })?;
        self.waiting.extend_from_slice(piece);
        if self.waiting.len() >= PIECE_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), SourceError> {
        let at = self.length - self.waiting.len() as u64;
        let (file, piece) = (Arc::clone(&self.file), self.waiting.split().freeze());
        on_disk(move || file.write_all_at(&piece, at)).await
    }
}

/// Writes the body of an answer to the file, decompressed if it was compressed for the transfer.
async fn fill(kept: &mut SpoolWriter, mut response: Response) -> Result<(), SourceError> {
    let headers = response.headers().clone();
    let declared = Declared::of(&headers);
    let mut head = BytesMut::new();
    let mut is_end = false;
    while head.len() < HEAD_BYTES && !is_end {
        is_end = read_into(&mut head, &mut response).await?;
    }
    match classify(declared, &head) {
        Content::AsIs => loop {
            kept.push(&head.split()).await?;
            if is_end {
                return kept.write().await;
            }
            is_end = read_into(&mut head, &mut response).await?;
        },
        Content::Gzip => decompress(kept, head, response, declared.decoded()).await,
        Content::NotVideo(what) => Err(SourceError::NotVideo(what)),
    }
}

/// Reads a piece more; whether that was the end.
async fn read_into(pieces: &mut BytesMut, response: &mut Response) -> Result<bool, SourceError> {
    match response.chunk().await.map_err(|_| SourceError::EndedEarly)? {
        Some(piece) => {
            pieces.extend_from_slice(&piece);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// The same of a compressed body, whose content is judged once more.
async fn decompress(
    kept: &mut SpoolWriter,
    mut compressed: BytesMut,
    mut response: Response,
    declared: Declared<'_>,
) -> Result<(), SourceError> {
    let broken = |_: Corrupt| SourceError::EndedEarly;
    let mut gunzip = Gunzip::new();
    let mut head = Some(BytesMut::new());
    loop {
        for piece in compressed.split().chunks(INPUT_BYTES) {
            let content = gunzip.push(piece).map_err(broken)?;
            keep_judged(kept, &mut head, &content, declared).await?;
        }
        if read_into(&mut compressed, &mut response).await? {
            break;
        }
    }
    let rest = gunzip.finish().map_err(broken)?;
    keep_judged(kept, &mut head, &rest, declared).await?;
    if let Some(head) = head {
        pass(declared, &head)?;
        kept.push(&head).await?;
    }
    kept.write().await
}

/// Holds the first bytes back until there are enough to classify by.
async fn keep_judged(
    kept: &mut SpoolWriter,
    unjudged: &mut Option<BytesMut>,
    content: &[u8],
    declared: Declared<'_>,
) -> Result<(), SourceError> {
    let Some(head) = unjudged else { return kept.push(content).await };
    head.extend_from_slice(content);
    if head.len() < HEAD_BYTES {
        return Ok(());
    }
    pass(declared, head)?;
    let head = unjudged.take().unwrap_or_default();
    kept.push(&head).await
}

fn pass(declared: Declared<'_>, head: &[u8]) -> Result<(), SourceError> {
    match classify(declared, head) {
        Content::NotVideo(what) => Err(SourceError::NotVideo(what)),
        Content::AsIs | Content::Gzip => Ok(()),
    }
}

/// Does what may wait for a disk on a thread that may wait.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        tracing::error!(%error, "the file of a buffered source cannot be used");
        SourceError::SpoolFailed
    })
}
