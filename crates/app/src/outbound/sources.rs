//! A file at an address that a user gave: what is known of it, and its bytes from a place on.

use reqwest::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use thiserror::Error;

use super::content::NotVideo;
use super::first_bytes::FirstBytes;
use super::hops::NoAnswer;
use super::ranges::{ContentRange, content_length, number};
use super::stream::{self, SourceStream};
use super::url::OutboundUrl;
use super::validator::Validator;
use super::{Inner, Outbound};

/// What is known of a source before it is read, and must stay true while it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// How many bytes it has, if it says so. Never 0.
    pub length: Option<u64>,
    /// What it is known again by, if it has such a thing.
    pub validator: Option<Validator>,
    /// Whether it can be read from the middle.
    pub ranges: Ranges,
}

/// Whether a source can be read from the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranges {
    /// It answers with the part that was asked for.
    Taken,
    /// It always answers with the whole.
    Ignored,
}

/// Why a source was not read, sorted by what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Tell the user, in these words always: refused and unreachable are not told apart.
    #[error("the source cannot be reached")]
    Unreachable,
    /// Ask again later.
    #[error("the source does not answer at the moment")]
    Later {
        /// Not sooner than in so many seconds, if it said so.
        after_seconds: Option<u64>,
    },
    /// Open it again at the place that was reached: the stream was cut.
    #[error("the source's answer broke off")]
    Broken,
    /// Tell the user: it will not answer otherwise by being asked again (an expired link, say).
    #[error("the source answered with status {0}")]
    Status(u16),
    /// Tell the user: it is no longer the file that it was.
    #[error("the source changed while it was read")]
    Changed,
    /// Begin anew: it cannot be read from the middle with the certainty that it is the same file.
    #[error("the source cannot be read from the middle")]
    CannotResume,
    /// Tell the user.
    #[error("the source is empty")]
    Empty,
    /// Tell the user: without a length it could only be kept here first, and that is not allowed, or it must be spooled.
    #[error("the source does not say how long it is")]
    NoLength,
    /// Tell the user.
    #[error("the source is larger than allowed")]
    TooLarge,
    /// Tell the user, before anything is sent to Vimeo.
    #[error("the address returned {0}")]
    NotVideo(NotVideo),
    /// Try again later: other sources take all the space.
    #[error("there is no space to keep the source at the moment")]
    SpoolFull,
    /// Try again later: it was not read to its end in the time that there is for keeping it.
    #[error("the source took too long to be kept")]
    SpoolTimeout,
    /// Tell the operator, and try again later: it could not be kept here.
    #[error("the source could not be kept here for the moment")]
    NoRoom,
}

impl From<NoAnswer> for SourceError {
    fn from(no_answer: NoAnswer) -> Self {
        match no_answer {
            // Nobody finds out through us whether something opens that does not speak HTTP.
            NoAnswer::Unreachable | NoAnswer::Cut => Self::Unreachable,
        }
    }
}

impl Outbound {
    /// What there is at `url`: asked for its first bytes, since presigned addresses are often good for nothing but `GET`.
    /// A source that says that it is longer than `max_bytes` is refused.
    pub(crate) async fn look(
        &self,
        url: &OutboundUrl,
        max_bytes: u64,
    ) -> Result<(SourceFacts, FirstBytes), SourceError> {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=0-4095"))]);
        let response = self.0.get(url, &headers).await?;
        let facts = facts(&response)?;
        match facts.length {
            Some(0) => Err(SourceError::Empty),
            Some(length) if length > max_bytes => Err(SourceError::TooLarge),
            length => Ok((facts, FirstBytes::of(response, length, url, self.0.timeouts.silence).await?)),
        }
    }

    /// What is known of it alone.
    #[cfg(test)]
    pub(super) async fn probe(&self, url: &OutboundUrl, max_bytes: u64) -> Result<SourceFacts, SourceError> {
        self.look(url, max_bytes).await.map(|(facts, _)| facts)
    }

    /// The bytes of a source from `from` to its end, as `facts` say of it, and not one more. They are passed on as they
    /// come: never more than a piece is held.
    pub async fn open(
        &self,
        url: &OutboundUrl,
        from: u64,
        facts: &SourceFacts,
    ) -> Result<SourceStream, SourceError> {
        let length = facts.length.ok_or(SourceError::NoLength)?;
        if from > length {
            return Err(SourceError::Changed);
        }
        if from == length {
            return Ok(stream::empty());
        }
        let mut headers = HeaderMap::new();
        if from > 0 {
            // Without a validator nothing would tell the rest of this file from the rest of another.
            let validator = facts.validator.as_ref().ok_or(SourceError::CannotResume)?;
            if facts.ranges == Ranges::Taken {
                headers.insert(RANGE, header(&format!("bytes={from}-"))?);
                headers.insert(IF_RANGE, header(validator.as_str())?);
            }
        }
        let is_ranged = headers.contains_key(RANGE);
        let response = self.0.get(url, &headers).await?;
        let skip = match response.status() {
            StatusCode::OK => {
                whole(&response, facts)?;
                from
            }
            StatusCode::PARTIAL_CONTENT if is_ranged => {
                part(&response, from, facts)?;
                0
            }
            StatusCode::RANGE_NOT_SATISFIABLE if is_ranged => return Err(SourceError::Changed),
            _ => return Err(sort(&response)),
        };
        Ok(stream::of(response, skip, length - from))
    }
}

impl Inner {
    /// The whole source, still the one that `facts` speak of.
    pub(super) async fn get_whole(
        &self,
        url: &OutboundUrl,
        facts: &SourceFacts,
    ) -> Result<Response, SourceError> {
        let response = self.get(url, &HeaderMap::new()).await?;
        if response.status() != StatusCode::OK {
            return Err(sort(&response));
        }
        whole(&response, facts)?;
        Ok(response)
    }
}

/// What the answer to `Range: bytes=0-4095` says.
fn facts(response: &Response) -> Result<SourceFacts, SourceError> {
    let headers = response.headers();
    let range = ContentRange::of(headers);
    let (length, ranges) = match (response.status(), range) {
        (StatusCode::OK, _) => (content_length(headers), Ranges::Ignored),
        (StatusCode::PARTIAL_CONTENT, Some(ContentRange::Part { start: 0, total })) => (total, Ranges::Taken),
        // The first byte is missing only where there is none.
        (StatusCode::RANGE_NOT_SATISFIABLE, None | Some(ContentRange::Nothing { total: 0 })) => {
            return Err(SourceError::Empty);
        }
        _ => return Err(sort(response)),
    };
    Ok(SourceFacts { length, validator: Validator::of(headers), ranges })
}

/// Whether an answer with the whole is of the same file.
fn whole(response: &Response, facts: &SourceFacts) -> Result<(), SourceError> {
    let is_same = facts.validator.as_ref().is_none_or(|v| v.holds_in(response.headers()) == Some(true));
    let lengths = facts.length.zip(content_length(response.headers()));
    if is_same && lengths.is_none_or(|(was, is)| was == is) { Ok(()) } else { Err(SourceError::Changed) }
}

/// Whether an answer with a part is the right one, of the same file.
fn part(response: &Response, from: u64, facts: &SourceFacts) -> Result<(), SourceError> {
    let is_same = facts.validator.as_ref().is_some_and(|validator| {
        // To `If-Range` with an instant, a server may leave that instant out: that it sent a part says that it holds.
        validator.holds_in(response.headers()).unwrap_or(!validator.is_tag())
    });
    if !is_same {
        return Err(SourceError::Changed);
    }
    match ContentRange::of(response.headers()) {
        Some(ContentRange::Part { total: Some(total), .. }) if Some(total) != facts.length => {
            Err(SourceError::Changed)
        }
        Some(ContentRange::Part { start, .. }) if start == from => Ok(()),
        _ => Err(SourceError::CannotResume),
    }
}

/// What a status that brings no file means.
fn sort(response: &Response) -> SourceError {
    match response.status() {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            later(response)
        }
        status if status.is_server_error() => later(response),
        status => SourceError::Status(status.as_u16()),
    }
}

/// `Retry-After` as a date is not read: it would be as good as both clocks are.
fn later(response: &Response) -> SourceError {
    let said = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    SourceError::Later { after_seconds: said.and_then(|text| number(text.trim())) }
}

fn header(text: &str) -> Result<HeaderValue, SourceError> {
    HeaderValue::from_str(text).map_err(|_| SourceError::CannotResume)
}
