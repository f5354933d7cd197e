//! A look at the first bytes of a source, before anything is made at Vimeo for it.

use domain::upload::VideoName;
use reqwest::header::{CONTENT_DISPOSITION, HeaderValue};

use super::Egress;
use super::content::{Content, Declared, classify};
use super::file_name::video_name;
use super::probe::ProbeResult;
use super::sources::{SourceError, SourceMetadata};
use super::url::EgressUrl;

/// With fewer bytes of a longer file nothing is judged.
const ENOUGH_BYTES: usize = 512;

/// What the first bytes and the headers of a source show.
#[derive(Debug)]
pub struct FirstBytes {
    /// What it is.
    pub content: Content,
    /// What a video that has no name is called after it.
    pub name: Option<VideoName>,
}

impl FirstBytes {
    /// What an answer shows that begins with the first byte.
    fn of(found: &ProbeResult, url: &EgressUrl) -> Self {
        let disposition = found.headers.get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        // A server may give fewer bytes than it was asked for: too few of a longer file say nothing.
        let (head, length) = (&found.first, found.metadata.length);
        let is_too_short =
            head.len() < ENOUGH_BYTES && length.is_some_and(|length| length > head.len() as u64);
        let content = if is_too_short { Content::AsIs } else { classify(Declared::of(&found.headers), head) };
        Self { content, name: video_name(disposition, url.shown()) }
    }
}

impl Egress {
    /// What there is at `url`, and what its first bytes are.
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
