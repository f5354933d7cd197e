//! A look at the first bytes of a source, before anything is made at Vimeo for it.

use domain::upload::VideoName;
use reqwest::header::{CONTENT_DISPOSITION, HeaderValue};

use super::Outbound;
use super::content::{Content, Declared, judge};
use super::file_name::video_name;
use super::probe::Probed;
use super::sources::{SourceError, SourceFacts};
use super::url::OutboundUrl;

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
    fn of(probed: &Probed, url: &OutboundUrl) -> Self {
        let disposition = probed.headers.get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        // A server may give fewer bytes than it was asked for: too few of a longer file say nothing.
        let (head, length) = (&probed.first, probed.facts.length);
        let is_too_short =
            head.len() < ENOUGH_BYTES && length.is_some_and(|length| length > head.len() as u64);
        let content = if is_too_short { Content::AsIs } else { judge(Declared::of(&probed.headers), head) };
        Self { content, name: video_name(disposition, url.shown()) }
    }
}

impl Outbound {
    /// What there is at `url`, and what its first bytes are.
    pub async fn look(
        &self,
        url: &OutboundUrl,
        max_bytes: u64,
    ) -> Result<(SourceFacts, FirstBytes), SourceError> {
        let probed = self.probe(url, max_bytes).await?;
        let first = FirstBytes::of(&probed, url);
        Ok((probed.facts, first))
    }
}
