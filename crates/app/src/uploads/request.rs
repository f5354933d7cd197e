//! The request of an upload. `request_form.rs` has the form in which it is sealed.

use domain::job::SourceKind;
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::upload::UploadSettings;
use domain::video::VideoNumber;
use egress::{EgressUrl, RequestHeaders};

/// The format of a request that every version reads.
const FIRST_FORMAT: u32 = 1;
/// The format of a request with a publication or with headers for its source, which earlier versions would ignore.
const PUBLICATION_FORMAT: u32 = 2;
/// The highest format that this version reads.
pub(crate) const REQUEST_FORMAT_MAX: u32 = PUBLICATION_FORMAT;

/// The request of an upload.
#[derive(Debug, Clone)]
pub struct UploadRequest {
    /// Where the bytes come from.
    pub source: RequestedSource,
    /// The settings of the video.
    pub settings: UploadSettings,
    /// The video whose file is replaced, instead of creating one. Stored with the job.
    pub replaces: Option<VideoNumber>,
    /// When the video is opened to its viewers. Stored with the job.
    pub publish_at: Option<Timestamp>,
    /// Called when the job has ended.
    pub webhook: Option<WebhookTarget>,
}

/// Where the bytes of an upload come from.
#[derive(Debug, Clone)]
pub enum RequestedSource {
    /// This URL, which is syntactically valid.
    Url {
        /// The URL.
        url: Secret,
        /// Headers for its origin.
        headers: RequestHeaders,
    },
    /// The client, which sends the bytes itself.
    Client {
        /// The number of bytes.
        size: u64,
    },
}

/// The webhook that is called when a job has ended.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// A syntactically valid URL.
    pub url: Secret,
    /// JSON that is sent along, unchanged.
    pub input: Option<Secret>,
}

impl UploadRequest {
    /// A new video with these settings, opened as soon as possible.
    pub fn new(source: RequestedSource, settings: UploadSettings) -> Self {
        Self { source, settings, replaces: None, publish_at: None, webhook: None }
    }

    /// The lowest format that its sealed form needs.
    pub(crate) fn format(&self) -> u32 {
        let has_headers = matches!(&self.source, RequestedSource::Url { headers, .. } if !headers.is_empty());
        let publication = &self.settings.publication;
        // A frame as the thumbnail is as old as uploads.
        let is_new = has_headers || self.replaces.is_some() || publication.is_newer_than_first_format();
        if is_new { PUBLICATION_FORMAT } else { FIRST_FORMAT }
    }
}

impl RequestedSource {
    /// A URL, with the headers that belong to it.
    pub fn of_url(url: &EgressUrl) -> Self {
        Self::Url { url: url.secret().clone(), headers: url.headers().clone() }
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> SourceKind {
        match self {
            Self::Url { .. } => SourceKind::Url,
            Self::Client { .. } => SourceKind::Client,
        }
    }
}
