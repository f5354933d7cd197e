//! tus 1.0.0, the core protocol, at the links that Vimeo gives for uploads. The link alone gives the right to send, so
//! nothing of the API goes there: no token, no version, no cookie.

mod link;
mod upload_body;

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use thiserror::Error;

use crate::Client;
use crate::http::{TransportError, classify};
use upload_body::{Stalled, UploadBody};

pub use link::{LinkRules, UploadHost, UploadHostError, UploadLink, UploadLinkError};

const TUS_RESUMABLE: &str = "tus-resumable";
const UPLOAD_OFFSET: &str = "upload-offset";
const UPLOAD_LENGTH: &str = "upload-length";
const VERSION: &str = "1.0.0";
const OFFSET_STREAM: &str = "application/offset+octet-stream";

/// What Vimeo holds of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteOffset {
    /// So many bytes from the beginning.
    pub offset: u64,
    /// Of so many, if it says.
    pub length: Option<u64>,
}

/// Bytes that are to be sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where they begin: what Vimeo holds already.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// How a request to an upload link ended other than well, sorted by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LinkFailure {
    /// 404, 410, 403: the link is dead; the upload needs another one.
    #[error("the upload link is dead")]
    Gone,
    /// 423: somebody else is sending, or a broken request is not over yet.
    #[error("the upload is locked by another request")]
    Locked,
    /// 409: Vimeo holds another number of bytes; ask for it.
    #[error("Vimeo holds another number of bytes")]
    Conflict,
    /// 413: these are more bytes than were announced.
    #[error("these are more bytes than were announced")]
    TooLarge,
    /// 400, 405, 412, 415 and any other status of this kind: Vimeo does not take what we say for tus.
    #[error("the upload link refused the protocol with status {0}")]
    ProtocolRefused(u16),
    /// Too busy, cut, stalled, unreachable: ask how far it came, and go on.
    #[error("the upload's server {0}")]
    RetryLater(TransportError),
    /// A number of bytes that cannot be, or a success without one: ask, and give up if it stays so.
    #[error("what Vimeo says of the upload contradicts itself")]
    Incoherent,
}

/// Why a piece was not sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UploadError<E> {
    /// It is the link's fault, or Vimeo's.
    #[error(transparent)]
    Link(#[from] LinkFailure),
    /// Where the bytes come from broke.
    #[error("the source broke")]
    Source(E),
    /// The source ended before the piece was whole.
    #[error("the source ended early")]
    SourceTruncated,
    /// The source gave nothing for too long.
    #[error("the source gave nothing for too long")]
    SourceStalled,
}

impl Client {
    /// `HEAD`: how much Vimeo holds.
    pub async fn offset(&self, link: &UploadLink, timeout: Duration) -> Result<RemoteOffset, LinkFailure> {
        let request = self.link_request(Method::HEAD, link).timeout(timeout);
        let response = request.send().await.map_err(|error| LinkFailure::RetryLater(classify(&error)))?;
        check_status(&response)?;
        let offset = number(response.headers(), UPLOAD_OFFSET).ok_or(LinkFailure::Incoherent)?;
        let length = number(response.headers(), UPLOAD_LENGTH);
        if length.is_some_and(|length| offset > length) {
            return Err(LinkFailure::Incoherent);
        }
        Ok(RemoteOffset { offset, length })
    }

    /// `PATCH`: sends one piece as it comes out of `source`, and gives how many bytes Vimeo holds then: perhaps fewer than
    /// it was sent. What the source has beyond the piece is not taken.
    ///
    /// There is no limit to the time that it takes, only to standstills: of `stall` without a byte leaving, or without an
    /// answer behind the last. When this ends or is dropped, the source is dropped, and nothing more of it is sent.
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
                // An answer that came before the end counts more than how the source came to its own.
                (Ok(response), _) => response,
                (Err(_), Some(end)) => return Err(end.into()),
                (Err(error), None) => return Err(LinkFailure::RetryLater(classify(&error)).into()),
            },
            stalled = body.stalled(stall) => return Err(match stalled {
                Stalled::Source => UploadError::SourceStalled,
                Stalled::Server => LinkFailure::RetryLater(TransportError::Timeout).into(),
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

/// Whether a status is the protocol's success.
fn check_status(response: &Response) -> Result<(), LinkFailure> {
    let status = response.status();
    Err(match status {
        StatusCode::OK | StatusCode::NO_CONTENT => return Ok(()),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => LinkFailure::Gone,
        StatusCode::LOCKED => LinkFailure::Locked,
        StatusCode::CONFLICT => LinkFailure::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE => LinkFailure::TooLarge,
        StatusCode::TOO_MANY_REQUESTS => {
            LinkFailure::RetryLater(TransportError::RateLimited { not_before: None })
        }
        // These two say that the server waited in vain, or does not dare yet.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            LinkFailure::RetryLater(TransportError::Status(status.as_u16()))
        }
        _ if status.is_success() => LinkFailure::Incoherent,
        _ if status.is_client_error() => LinkFailure::ProtocolRefused(status.as_u16()),
        // A redirect is not followed: where it leads is not where the upload may go.
        _ => LinkFailure::RetryLater(TransportError::Status(status.as_u16())),
    })
}

/// A header that is a plain number.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
