//! Reads a whole small file, such as a text track or an image.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use tokio::time;

use super::Egress;
use super::content::Declared;
use super::gunzip::{Corrupt, Gunzip, INPUT_BYTES};
use super::ranges::content_length;
use super::sources::SourceError;
use super::url::EgressUrl;

/// A file that was read completely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes, decompressed if they were compressed for transfer. Never empty.
    pub bytes: Bytes,
    /// The `Content-Type` of the response. Servers often send a wrong one.
    pub content_type: Option<String>,
}

impl Egress {
    /// Reads a whole file of at most `max_bytes` within `timeout`. Redirects and addresses are checked as for sources.
    ///
    /// Fails with `TooLarge` as soon as the limit is exceeded, also by a declared length; with `TooSlow` after `timeout`;
    /// with `NotVideo(Compressed)` if the file is compressed for transfer by anything but gzip, which this client never
    /// asks for; with `EndedEarly` if the response is incomplete; with `Empty`.
    pub async fn fetch(
        &self,
        url: &EgressUrl,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Fetched, SourceError> {
        let fetching = async {
            let (response, _) = self.0.get_whole(url, None).await?;
            read(response, max_bytes).await
        };
        time::timeout(timeout, fetching).await.map_err(|_| SourceError::TooSlow)?
    }
}

async fn read(mut response: Response, max_bytes: usize) -> Result<Fetched, SourceError> {
    let headers = response.headers().clone();
    // Gzip adds a few bytes to a file that it cannot compress.
    let max_sent_bytes = max_bytes.saturating_add(INPUT_BYTES);
    let declared_length = content_length(&headers);
    let is_encoded = headers.contains_key(reqwest::header::CONTENT_ENCODING);
    let max_declared = if is_encoded { max_sent_bytes } else { max_bytes };
    if declared_length.is_some_and(|length| length > max_declared as u64) {
        return Err(SourceError::TooLarge);
    }
    let mut sent = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| SourceError::EndedEarly)? {
        if sent.len() + chunk.len() > max_declared {
            return Err(SourceError::TooLarge);
        }
        sent.extend_from_slice(&chunk);
    }
    let declared = Declared::of(&headers);
    let bytes = if declared.is_gzip(&sent) {
        decompressed(&sent, max_bytes)?
    } else if let Some(what) = declared.compressed(&sent) {
        return Err(SourceError::NotVideo(what));
    } else {
        sent.freeze()
    };
    if bytes.is_empty() {
        return Err(SourceError::Empty);
    }
    if bytes.len() > max_bytes {
        return Err(SourceError::TooLarge);
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Fetched { bytes, content_type })
}

/// The content of a gzip stream; no more than `max_bytes` and one step are decompressed.
fn decompressed(compressed: &[u8], max_bytes: usize) -> Result<Bytes, SourceError> {
    let corrupt = |Corrupt| SourceError::EndedEarly;
    let (mut gunzip, mut bytes) = (Gunzip::new(), BytesMut::new());
    for part in compressed.chunks(INPUT_BYTES) {
        bytes.extend_from_slice(&gunzip.push(part).map_err(corrupt)?);
        if bytes.len() > max_bytes {
            return Err(SourceError::TooLarge);
        }
    }
    bytes.extend_from_slice(&gunzip.finish().map_err(corrupt)?);
    Ok(bytes.freeze())
}
