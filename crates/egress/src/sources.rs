//! A file at a user-supplied URL: its metadata, and its bytes from an offset.

use std::fmt;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, IF_RANGE, RANGE};
use thiserror::Error;

use super::connect::RequestError;
use super::content::NotVideo;
use super::probe::FIRST_BYTES;
use super::ranges::RangeResponse;
use super::resume::{Accepted, Attempts, Plan, Proof, Verdict};
use super::source_progress::SourceProgress;
use super::stream::{self, SourceStream};
use super::url::EgressUrl;
use super::validators::Validators;
use super::{Egress, Inner};

/// Metadata of a source, according to a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMetadata {
    /// Its length in bytes, if known. Never 0.
    pub length: Option<u64>,
    /// Identify this version of the file.
    pub validators: Validators,
    /// Whether range requests work.
    pub ranges: RangeSupport,
}

/// Whether a source supports range requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSupport {
    /// It returns the requested range.
    Yes,
    /// It always returns the whole file.
    No,
}

impl SourceMetadata {
    /// Whether a later response is for a different file: the length or a validator that both have differs.
    pub fn differs_from(&self, later: &Self) -> bool {
        self.length_differs_from(later) || self.validators.differs_from(&later.validators)
    }

    /// The same for a response after the last byte, by headers and first bytes.
    pub fn differs_at_end_from(&self, later: &Self) -> bool {
        self.headers_differ_at_end_from(later) || self.validators.first_bytes_differ_from(&later.validators)
    }

    /// The same by headers only. `Last-Modified` is ignored if both responses say that the file was just modified,
    /// because some servers always send the current time.
    pub fn headers_differ_at_end_from(&self, later: &Self) -> bool {
        self.length_differs_from(later)
            || if self.validators.is_recent() && later.validators.is_recent() {
                self.validators.without_time().differs_from(&later.validators)
            } else {
                self.validators.differs_from(&later.validators)
            }
    }

    fn length_differs_from(&self, later: &Self) -> bool {
        self.length.zip(later.length).is_some_and(|(was, is)| was != is)
    }
}

/// Statuses of unsuccessful responses in the order in which they arrived; at most three, with consecutive duplicates
/// removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statuses([Option<u16>; 3]);

impl Statuses {
    pub(super) fn push(&mut self, status: u16) {
        let last = self.0.iter().flatten().next_back().copied();
        let free = self.0.iter_mut().find(|seen| seen.is_none());
        if let Some(free) = free.filter(|_| last != Some(status)) {
            *free = Some(status);
        }
    }

    pub(super) fn of(status: u16) -> Self {
        Self([Some(status), None, None])
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == [None; 3]
    }
}

/// `403`, `403 and 404`, or `403, 404 and 416`.
impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [Some(first), Some(second), Some(third)] => write!(f, "{first}, {second} and {third}"),
            [Some(first), Some(second), None] => write!(f, "{first} and {second}"),
            [Some(first), ..] => write!(f, "{first}"),
            [None, ..] => f.write_str("none"),
        }
    }
}

/// Why a source could not be read, by what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Retry later. The message is the same for blocked and unreachable addresses.
    #[error("the source cannot be reached")]
    Unreachable,
    /// Retry later.
    #[error("the source is temporarily unavailable")]
    RetryLater {
        /// Minimum delay according to `Retry-After`.
        after_seconds: Option<u64>,
    },
    /// The stream ended early: reopen it at the offset that was reached.
    #[error("the source ended early")]
    EndedEarly,
    /// Below the minimum rate: retry later, a limited number of times.
    #[error("the source is too slow")]
    TooSlow,
    /// Report to the user: every kind of request was rejected. An expired link, for example.
    #[error("the source answered with status {0}")]
    Refused(Statuses),
    /// Start again: the file has changed.
    #[error("the source changed while it was read")]
    Changed,
    /// Start again: it cannot be resumed with certainty that the file is the same.
    #[error("the source does not support resuming")]
    CannotResume,
    /// Report to the user.
    #[error("the source is empty")]
    Empty,
    /// Report to the user: without a length it must be spooled, and spooling is disabled or was not requested.
    #[error("the source has no known length")]
    NoLength,
    /// Report to the user.
    #[error("the source is larger than allowed")]
    TooLarge,
    /// Report to the user, before anything is sent to Vimeo.
    #[error("the address returned {0}")]
    NotVideo(NotVideo),
    /// Retry later: other sources use all the spool space.
    #[error("the space for buffered sources is in use")]
    SpoolFull,
    /// Retry later: buffering it exceeded the time limit.
    #[error("the source took too long to buffer")]
    SpoolTimeout,
    /// Report to the operator and retry later: writing to the spool failed.
    #[error("the source could not be buffered")]
    SpoolFailed,
}

impl From<RequestError> for SourceError {
    fn from(error: RequestError) -> Self {
        match error {
            // Users must not learn whether a non-HTTP service listens at an address.
            RequestError::Unreachable | RequestError::NoResponse => Self::Unreachable,
        }
    }
}

/// An open source.
#[derive(Debug)]
pub struct OpenedSource {
    /// Its bytes, from the requested offset.
    pub stream: SourceStream,
    /// Metadata according to this response.
    pub metadata: SourceMetadata,
}

impl OpenedSource {
    /// Reads the first bytes and adds their digest to the validators. Only for a stream that starts at offset 0. If the
    /// stream ends early before that, the number of bytes until then is returned.
    pub async fn with_first_bytes(self) -> (Self, Option<u64>) {
        let Self { stream, mut metadata } = self;
        let (first, stream) = stream.peek(FIRST_BYTES).await;
        let breaks_after = match first {
            Ok(first) => {
                metadata.validators = metadata.validators.with_first_bytes(&first);
                None
            }
            Err(count) => Some(count as u64),
        };
        (Self { stream, metadata }, breaks_after)
    }
}

impl Egress {
    /// Opens the bytes of a source from `from` to its end, and checks that nothing follows. Data is streamed; at most
    /// one chunk is buffered.
    ///
    /// From offset 0 the response defines the file, whatever was known before. From a later offset the response must be
    /// for the file in `known`, according to its validators or to the digest in `progress`.
    pub async fn open(
        &self,
        url: &EgressUrl,
        from: u64,
        known: &SourceMetadata,
        progress: &SourceProgress,
    ) -> Result<OpenedSource, SourceError> {
        let length = known.length.ok_or(SourceError::NoLength)?;
        if from > length {
            return Err(SourceError::Changed);
        }
        if from == length {
            return Ok(OpenedSource { stream: stream::empty(), metadata: known.clone() });
        }
        if from == 0 {
            progress.reset_prefix();
        }
        let mut plan = Plan::for_reading(from, known, progress.prefix().length);
        let is_stuck = progress.is_stuck_at(from);
        while let Some(current) = plan {
            match self.follow(url, current, known, (progress, is_stuck)).await {
                Err(SourceError::CannotResume) => plan = current.fallback(from, progress.prefix().length),
                opened => return opened,
            }
        }
        Err(SourceError::CannotResume)
    }

    /// Verifies that the bytes seen by `progress` are the whole file: `Changed` if they differ or are incomplete.
    pub async fn is_unchanged(
        &self,
        url: &EgressUrl,
        length: u64,
        progress: &SourceProgress,
    ) -> Result<(), SourceError> {
        let Some(last) = length.checked_sub(1).filter(|_| progress.prefix().length == length) else {
            return Err(SourceError::Changed);
        };
        let known = SourceMetadata {
            length: Some(length),
            validators: Validators::default(),
            ranges: RangeSupport::No,
        };
        let plan = Plan::Reread { from: last, proof: Proof::Digest };
        let mut opened = self.follow(url, plan, &known, (progress, false)).await?;
        while let Some(chunk) = opened.stream.next().await {
            chunk?;
        }
        Ok(())
    }

    /// Records time in which a source sent nothing. Fails if it is too slow now.
    pub fn record_wait(&self, progress: &SourceProgress, waited: Duration) -> Result<(), SourceError> {
        progress.record(self.0.minimum_rate, 0, waited).map_err(|_| SourceError::TooSlow)
    }

    /// Tries the requests of a plan until one returns the bytes.
    async fn follow(
        &self,
        url: &EgressUrl,
        plan: Plan,
        known: &SourceMetadata,
        (progress, is_stuck): (&SourceProgress, bool),
    ) -> Result<OpenedSource, SourceError> {
        let mut attempts = Attempts::default();
        for request in plan.requests(is_stuck) {
            let response = self.0.get(url, &request.headers(&known.validators)?).await?;
            let response_range = RangeResponse::parse(response.status(), response.headers());
            let validators = Validators::from_headers(response.headers());
            match attempts.evaluate(plan, request, known, (response_range, &validators)) {
                Verdict::Accept(take) => {
                    let length = take.length.ok_or(SourceError::NoLength)?;
                    let metadata = SourceMetadata { length: Some(length), validators, ranges: known.ranges };
                    let stream = self.0.stream(response, take, &metadata, (plan, progress));
                    return Ok(OpenedSource { stream, metadata });
                }
                Verdict::Next => {}
                Verdict::Fail(error) => return Err(error),
            }
        }
        Err(attempts.error())
    }
}

impl Inner {
    fn stream(
        &self,
        response: Response,
        take: Accepted,
        metadata: &SourceMetadata,
        (plan, progress): (Plan, &SourceProgress),
    ) -> SourceStream {
        // With range requests and a validator, the bytes never need to be compared.
        let is_proven_by_marks =
            metadata.ranges == RangeSupport::Yes && metadata.validators.validator().is_some();
        let needs_digest = take.start == 0 && !is_proven_by_marks;
        let body = stream::Body::new(response, self.minimum_rate, progress.clone());
        let from = plan.from();
        let left = take.length.unwrap_or(0).saturating_sub(from);
        let body = body.between(from - take.start, left);
        SourceStream::of(if needs_digest { body.digested() } else { body })
    }

    /// Requests the whole source, and returns the validators of the response; with `expected`, only if it is the same
    /// file.
    pub(super) async fn get_whole(
        &self,
        url: &EgressUrl,
        expected: Option<&SourceMetadata>,
    ) -> Result<(Response, Validators), SourceError> {
        let response = self.get(url, &HeaderMap::new()).await?;
        let length = match RangeResponse::parse(response.status(), response.headers()) {
            RangeResponse::Whole { length } => length,
            RangeResponse::RetryLater { after_seconds } => {
                return Err(SourceError::RetryLater { after_seconds });
            }
            _ => return Err(SourceError::Refused(Statuses::of(response.status().as_u16()))),
        };
        let validators = Validators::from_headers(response.headers());
        let found = SourceMetadata { length, validators, ranges: RangeSupport::No };
        match expected {
            Some(expected) if expected.differs_from(&found) => Err(SourceError::Changed),
            Some(expected) if !expected.validators.shares_any_with(&found.validators) => {
                Err(SourceError::CannotResume)
            }
            _ => Ok((response, found.validators)),
        }
    }
}

/// A request for the bytes from an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeRequest {
    /// Without `Range`.
    Whole,
    /// With `Range` only.
    Range(u64),
    /// With `Range`, conditional on the file being unchanged: `If-Range`, and `If-Match`, because some servers support
    /// only that.
    ConditionalRange(u64),
}

impl RangeRequest {
    fn headers(self, validators: &Validators) -> Result<HeaderMap, SourceError> {
        let mut headers = HeaderMap::new();
        let (Self::Range(from) | Self::ConditionalRange(from)) = self else { return Ok(headers) };
        headers.insert(RANGE, header(&format!("bytes={from}-"))?);
        if let Self::ConditionalRange(_) = self {
            headers.insert(IF_RANGE, header(validators.validator().ok_or(SourceError::CannotResume)?)?);
            if let Some(tag) = validators.strong_etag() {
                headers.insert(IF_MATCH, header(tag)?);
            }
        }
        Ok(headers)
    }
}

fn header(text: &str) -> Result<HeaderValue, SourceError> {
    HeaderValue::from_str(text).map_err(|_| SourceError::CannotResume)
}
