//! Inspects the first bytes of a source before anything is created at Vimeo.

use domain::upload::VideoName;
use reqwest::header::{CONTENT_DISPOSITION, HeaderValue};

use super::Egress;
use super::content::{Content, Declared, classify};
use super::file_name::video_name;
use super::probe::ProbeResult;
use super::sources::{SourceError, SourceMetadata};
use super::url::EgressUrl;

/// A longer file is not classified by fewer bytes.
const ENOUGH_BYTES: usize = 512;

/// What the first bytes and the headers show.
#[derive(Debug)]
pub struct FirstBytes {
    /// The kind of content.
    pub content: Content,
    /// The name for a video without one.
    pub name: Option<VideoName>,
}

impl FirstBytes {
    /// Evaluates a response that starts at offset 0.
    fn of(found: &ProbeResult, url: &EgressUrl) -> Self {
        let disposition = found.headers.get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        // A server may return fewer bytes than requested: too few of a longer file are inconclusive.
        let (head, length) = (&found.first, found.metadata.length);
        let is_too_short =
            head.len() < ENOUGH_BYTES && length.is_some_and(|length| length > head.len() as u64);
        let content = if is_too_short { Content::AsIs } else { classify(Declared::of(&found.headers), head) };
        Self { content, name: video_name(disposition, url.shown()) }
    }
}

impl Egress {
    /// The metadata of a source and the result of its inspection.
    pub async fn inspect(
        &self,
        url: &EgressUrl,
        max_bytes: u64,
    ) -> Result<(SourceMetadata, FirstBytes), SourceError> {
        let found = self.probe(url, max_bytes).await?;
        let first = FirstBytes::of(&found, url);
        Ok((found.metadata, first))
    }
}
