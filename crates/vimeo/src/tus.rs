//! The tus 1.0.0 core protocol for Vimeo's upload links. The link alone authorises the upload, so no token, API version
//! or cookie is sent.

mod link;
mod upload_body;

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use metrics::{VimeoEndpoint, VimeoOutcome};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use thiserror::Error;

use crate::Client;
use crate::http::{TransportError, classify, failed_outcome};
use upload_body::{Stalled, UploadBody};

pub(crate) use link::accepted;
pub use link::{LinkRules, UploadHost, UploadHostError, UploadLink, UploadLinkError};

const TUS_RESUMABLE: &str = "tus-resumable";
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_LENGTH: &str = "upload-length";
const VERSION: &str = "1.0.0";
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// The state of an upload at Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOffset {
    /// Number of bytes received from the beginning.
    pub offset: u64,
    /// Total number of bytes, if reported.
    pub length: Option<u64>,
}

/// A range of bytes to send in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it starts: the current remote offset.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

/// Why a request to an upload link failed, by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkFailure {
    /// 404, 410 or 403: the link is no longer valid and the upload needs a new one.
    #[error("the upload link is no longer valid")]
    Gone,
    /// 423: another request is sending, or a broken one has not ended yet.
    #[error("the upload is locked by another request")]
    Locked,
    /// 409: the offset differs from Vimeo's. Ask for the offset again.
    #[error("the offset differs from Vimeo's")]
    Conflict,
    /// 413: more bytes than were announced.
    #[error("more bytes than were announced")]
    TooLarge,
    /// 400, 405, 412, 415 or another client error: Vimeo does not accept the request as tus.
    #[error("the upload link refused the protocol with status {0}")]
    ProtocolRefused(u16),
    /// Busy, disconnected, stalled or unreachable: ask for the offset and continue.
    #[error("the upload's server {0}")]
    RetryLater(TransportError),
    /// An impossible offset, or a success without one. Ask again, and fail if it persists.
    #[error("Vimeo reports an impossible offset")]
    Incoherent,
}

/// Why a chunk was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadError<E> {
    /// The link or Vimeo failed.
    #[error(transparent)]
    Link(#[from] LinkFailure),
    /// The source returned an error.
    #[error("the source failed")]
    Source(E),
    /// The source ended before the chunk was complete.
    #[error("the source ended early")]
    SourceTruncated,
    /// The source returned no data for too long.
    #[error("the source returned no data for too long")]
    SourceStalled,
}

impl Client {
    /// `HEAD`: how many bytes Vimeo has received.
    pub async fn offset(&self, link: &UploadLink, timeout: Duration) -> Result<RemoteOffset, LinkFailure> {
        let request = self.link_request(Method::HEAD, link).timeout(timeout);
        let response = request.send().await.map_err(|error| failed(&error))?;
        check_status(&response)?;
        let offset = number(response.headers(), UPLOAD_OFFSET).ok_or(LinkFailure::Incoherent)?;
        let length = number(response.headers(), UPLOAD_LENGTH);
        if length.is_some_and(|length| offset > length) {
            return Err(LinkFailure::Incoherent);
        }
        Ok(RemoteOffset { offset, length })
    }

    /// `PATCH`: streams one chunk from `source` and returns the new remote offset, which may be less than what was
    /// sent. Data of `source` beyond the chunk is not read.
    ///
    /// There is no overall timeout. The call fails if for `stall` no byte is sent, or no response arrives after the
    /// last one. `source` is dropped when the call ends or is dropped.
    pub async fn send_chunk<S, E>(
        &self,
        link: &UploadLink,
        chunk: Chunk,
        source: S,
        stall: Duration,
    ) -> Result<u64, UploadError<E>>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Send + 'static,
    {
        let body = UploadBody::new(source, chunk.length);
        let request = self
            .link_request(Method::PATCH, link)
            .header(UPLOAD_OFFSET, chunk.offset)
            .header(CONTENT_TYPE, OFFSET_STREAM)
            .header(CONTENT_LENGTH, chunk.length)
            .body(body.body());
        let response = tokio::select! {
            biased;
            sent = request.send() => match (sent, body.take_end()) {
                // A response that arrived takes precedence over an error of the source.
                (Ok(response), _) => response,
                (Err(_), Some(end)) => return Err(end.into()),
                (Err(error), None) => return Err(failed(&error).into()),
            },
            stalled = body.stalled(stall) => return Err(match stalled {
                Stalled::Source => UploadError::SourceStalled,
                Stalled::Server => {
                    record(VimeoOutcome::Timeout);
                    LinkFailure::RetryLater(TransportError::Timeout).into()
                }
            }),
        };
        check_status(&response)?;
        let offset = number(response.headers(), UPLOAD_OFFSET).ok_or(LinkFailure::Incoherent)?;
        let may_be = chunk.offset..=chunk.offset.saturating_add(chunk.length);
        if may_be.contains(&offset) { Ok(offset) } else { Err(LinkFailure::Incoherent.into()) }
    }

    fn link_request(&self, method: Method, link: &UploadLink) -> RequestBuilder {
        self.links.request(method, link.expose()).header(TUS_RESUMABLE, VERSION)
    }
}

/// The failure of a request without a response.
fn failed(error: &reqwest::Error) -> LinkFailure {
    let error = classify(error);
    record(failed_outcome(&error));
    LinkFailure::RetryLater(error)
}

pub(crate) fn record(outcome: VimeoOutcome) {
    metrics::record_vimeo_request(VimeoEndpoint::UploadLink, outcome);
}

/// Maps a status to the protocol's success or failure.
fn check_status(response: &Response) -> Result<(), LinkFailure> {
    let status = response.status();
    record(VimeoOutcome::of_status(status.as_u16()));
    Err(match status {
        StatusCode::OK | StatusCode::NO_CONTENT => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => LinkFailure::Gone,
        StatusCode::LOCKED => LinkFailure::Locked,
        StatusCode::CONFLICT => LinkFailure::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => LinkFailure::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => {
            LinkFailure::RetryLater(TransportError::RateLimited { not_before: None })
        }
        // The server gave up waiting, or refuses a possible replay: both can be retried.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            LinkFailure::RetryLater(TransportError::Status(status.as_u16()))
        }
        _ if status.is_success() => LinkFailure::Incoherent,
        _ if status.is_client_error() => LinkFailure::ProtocolRefused(status.as_u16()),
        // Redirects are not followed: the target may not be an upload host.
        _ => LinkFailure::RetryLater(TransportError::Status(status.as_u16())),
    })
}

/// A header with a plain decimal number.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
