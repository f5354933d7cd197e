//! Buffers a source of unknown length in an unnamed temporary file. The file disappears with its last handle, also
//! after a crash.

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

/// How much is written or read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// A buffered source. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spooled {
    file: Arc<File>,
    length: u64,
    validators: Validators,
    _share: Arc<Reservation>,
}

impl Egress {
    /// Reads a whole source into an unnamed file in `space`, decompressed if it was compressed for transfer.
    ///
    /// Fails with `NoLength` if spooling is disabled, `TooLarge` if the file size limit is exceeded, `NotVideo` before
    /// the first byte is written, and `Changed` if it is not the `expected` file.
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
        let mut writer = SpoolWriter {
            file: Arc::clone(&file),
            reservation: space.reservation(),
            limit_bytes,
            length: 0,
            pending: BytesMut::new(),
        };
        let filling = fill(&mut writer, response);
        timeout(space.options().time_limit, filling).await.map_err(|_| SourceError::SpoolTimeout)??;
        let SpoolWriter { reservation, length, .. } = writer;
        tracing::info!(
            bytes = length,
            spool_bytes = space.used_bytes(),
            spool_max_bytes = space.total_bytes(),
            "a source of unknown length was buffered on the disk"
        );
        match expected.and_then(|expected| expected.length) {
            _ if length == 0 => Err(SourceError::Empty),
            Some(said) if said != length => Err(SourceError::Changed),
            _ => Ok(Spooled { file, length, validators, _share: Arc::new(reservation) }),
        }
    }
}

impl Spooled {
    /// Its length in bytes. Never 0.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The validators of the buffered response.
    pub fn validators(&self) -> &Validators {
        &self.validators
    }

    /// The bytes from `from` to the end; none at or beyond the end. Can be called repeatedly, also while another stream
    /// is being read.
    pub fn open(&self, from: u64) -> SourceStream {
        let spooled = self.clone();
        SourceStream::new(stream::try_unfold(from, move |at| {
            let spooled = spooled.clone();
            async move {
                let chunk = spooled.read(at).await?;
                let next = at.saturating_add(chunk.len() as u64);
                Ok((!chunk.is_empty()).then_some((chunk, next)))
            }
        }))
    }

    async fn read(&self, at: u64) -> Result<Bytes, SourceError> {
        let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let file = Arc::clone(&self.file);
        on_disk(move || {
            let mut chunk = vec![0; left.min(CHUNK_BYTES)];
            file.read_exact_at(&mut chunk, at)?;
            Ok(Bytes::from(chunk))
        })
        .await
    }
}

/// Writes a source to its file.
struct SpoolWriter {
    file: Arc<File>,
    reservation: Reservation,
    limit_bytes: u64,
    length: u64,
    /// Not written yet.
    pending: BytesMut,
}

impl SpoolWriter {
    async fn push(&mut self, chunk: &[u8]) -> Result<(), SourceError> {
        let bytes = chunk.len() as u64;
        self.length += bytes;
        if self.length > self.limit_bytes {
            return Err(SourceError::TooLarge);
        }
        self.reservation.grow(bytes).map_err(|Full| {
            tracing::warn!(
                spool_max_bytes = self.reservation.total_bytes(),
                "the space for buffered sources is used up (sources.spool_total_bytes)"
            );
            SourceError::SpoolFull
        })?;
        self.pending.extend_from_slice(chunk);
        if self.pending.len() >= CHUNK_BYTES { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), SourceError> {
        let at = self.length - self.pending.len() as u64;
        let (file, chunk) = (Arc::clone(&self.file), self.pending.split().freeze());
        on_disk(move || file.write_all_at(&chunk, at)).await
    }
}

/// Writes the body of a response to the file, decompressed if it was compressed for transfer.
async fn fill(writer: &mut SpoolWriter, mut response: Response) -> Result<(), SourceError> {
    let headers = response.headers().clone();
    let declared = Declared::of(&headers);
    let mut head = BytesMut::new();
    let mut is_end = false;
    while head.len() < HEAD_BYTES && !is_end {
        is_end = read_into(&mut head, &mut response).await?;
    }
    match classify(declared, &head) {
        Content::AsIs => loop {
            writer.push(&head.split()).await?;
            if is_end {
                return writer.write().await;
            }
            is_end = read_into(&mut head, &mut response).await?;
        },
        Content::Gzip => decompress(writer, head, response, declared.decoded()).await,
        Content::NotVideo(what) => Err(SourceError::NotVideo(what)),
    }
}

/// Reads one more chunk; returns whether the body has ended.
async fn read_into(chunks: &mut BytesMut, response: &mut Response) -> Result<bool, SourceError> {
    match response.chunk().await.map_err(|_| SourceError::EndedEarly)? {
        Some(chunk) => {
            chunks.extend_from_slice(&chunk);
            Ok(false)
        }
        None => Ok(true),
    }
}

/// Does the same for a compressed body. The decompressed content is classified again.
async fn decompress(
    writer: &mut SpoolWriter,
    mut compressed: BytesMut,
    mut response: Response,
    declared: Declared<'_>,
) -> Result<(), SourceError> {
    let broken = |_: Corrupt| SourceError::EndedEarly;
    let mut gunzip = Gunzip::new();
    let mut head = Some(BytesMut::new());
    loop {
        for chunk in compressed.split().chunks(INPUT_BYTES) {
            let content = gunzip.push(chunk).map_err(broken)?;
            push_classified(writer, &mut head, &content, declared).await?;
        }
        if read_into(&mut compressed, &mut response).await? {
            break;
        }
    }
    let rest = gunzip.finish().map_err(broken)?;
    push_classified(writer, &mut head, &rest, declared).await?;
    if let Some(head) = head {
        ensure_video(declared, &head)?;
        writer.push(&head).await?;
    }
    writer.write().await
}

/// Holds the first bytes back until there are enough to classify.
async fn push_classified(
    writer: &mut SpoolWriter,
    pending_head: &mut Option<BytesMut>,
    content: &[u8],
    declared: Declared<'_>,
) -> Result<(), SourceError> {
    let Some(head) = pending_head else { return writer.push(content).await };
    head.extend_from_slice(content);
    if head.len() < HEAD_BYTES {
        return Ok(());
    }
    ensure_video(declared, head)?;
    let head = pending_head.take().unwrap_or_default();
    writer.push(&head).await
}

fn ensure_video(declared: Declared<'_>, head: &[u8]) -> Result<(), SourceError> {
    match classify(declared, head) {
        Content::NotVideo(what) => Err(SourceError::NotVideo(what)),
        Content::AsIs | Content::Gzip => Ok(()),
    }
}

/// Runs blocking file access on a thread for blocking work.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, SourceError> {
    let done = spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        tracing::error!(%error, "cannot read or write the file of a buffered source");
        SourceError::SpoolFailed
    })
}
