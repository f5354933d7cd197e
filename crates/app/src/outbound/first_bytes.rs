//! A look at the first bytes of a source, before anything is made at Vimeo for it.

use std::time::Duration;

use domain::upload::VideoName;
use reqwest::Response;
use reqwest::header::{CONTENT_DISPOSITION, HeaderValue};
use tokio::time::timeout;

use super::content::{Content, Declared, HEAD_BYTES, judge};
use super::file_name::video_name;
use super::sources::SourceError;
use super::url::OutboundUrl;

/// With fewer bytes of a longer file nothing is judged.
const ENOUGH_BYTES: usize = 512;

/// What the first bytes and the headers of a source show.
#[derive(Debug)]
pub(crate) struct FirstBytes {
    /// What it is.
    pub(crate) content: Content,
    /// What a video that has no name is called after it.
    pub(crate) name: Option<VideoName>,
}

impl FirstBytes {
    /// What an answer shows that begins with the first byte. The rest of its body is not read: the connection ends here.
    pub(super) async fn of(
        response: Response,
        length: Option<u64>,
        url: &OutboundUrl,
        silence: Duration,
    ) -> Result<Self, SourceError> {
        let headers = response.headers().clone();
        let head = timeout(silence, read_head(response)).await.map_err(|_| SourceError::Broken)?;
        let disposition = headers.get(CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
        // A server may give fewer bytes than it was asked for: too few of a longer file say nothing.
        let is_too_short =
            head.len() < ENOUGH_BYTES && length.is_some_and(|length| length > head.len() as u64);
        let content = if is_too_short { Content::AsIs } else { judge(Declared::of(&headers), &head) };
        Ok(Self { content, name: video_name(disposition, url.shown()) })
    }
}

/// The first bytes, as far as they come.
async fn read_head(mut response: Response) -> Vec<u8> {
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        head.extend_from_slice(&piece);
    }
    head.truncate(HEAD_BYTES);
    head
}
