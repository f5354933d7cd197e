//! A file at an address that a user gave: what is known of it, and its bytes from an offset on.

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

/// What is known of a source from the answer that is read, or was read before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMetadata {
    /// How many bytes it has, if it says so. Never 0.
    pub length: Option<u64>,
    /// What tells this version of the file from another.
    pub validators: Validators,
    /// Whether it can be read from the middle.
    pub ranges: RangeSupport,
}

/// Whether a source can be read from the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSupport {
    /// It answers with the part that was asked for.
    Yes,
    /// It always answers with the whole.
    No,
}

impl SourceMetadata {
    /// Whether a later answer is of another file: a mark or the length that both have differs.
    pub fn differ_from(&self, later: &Self) -> bool {
        self.have_another_length_than(later) || self.validators.differs_from(&later.validators)
    }

    /// The same for an answer after the last byte, by its headers and its first bytes.
    pub fn differ_at_end_from(&self, later: &Self) -> bool {
        self.have_other_headers_at_end_than(later)
            || self.validators.first_bytes_differ_from(&later.validators)
    }

    /// By the headers alone. A time of change that is always the present is no mark: it is taken out when both answers say
    /// that the file was written just then.
    pub fn have_other_headers_at_end_than(&self, later: &Self) -> bool {
        self.have_another_length_than(later)
            || if self.validators.is_recent() && later.validators.is_recent() {
                self.validators.without_time().differs_from(&later.validators)
            } else {
                self.validators.differs_from(&later.validators)
            }
    }

    fn have_another_length_than(&self, later: &Self) -> bool {
        self.length.zip(later.length).is_some_and(|(was, is)| was != is)
    }
}

/// The statuses of answers that brought no file, in the order in which they were seen; at most three, and one that
/// follows itself once.
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

/// Why a source was not read, sorted by what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SourceError {
    /// RangeRequest again later. One constant text for the user: refused and unreachable are not distinguished.
    #[error("the source cannot be reached")]
    Unreachable,
    /// RangeRequest again later.
    #[error("the source is temporarily unavailable")]
    RetryLater {
        /// Not sooner than in so many seconds, if it said so.
        after_seconds: Option<u64>,
    },
    /// Open it again at the offset that was reached: the stream was cut.
    #[error("the source ended early")]
    EndedEarly,
    /// RangeRequest again later, and not for long: it gives fewer bytes than an upload may wait for.
    #[error("the source is too slow")]
    TooSlow,
    /// Tell the user: however it is asked, it does not give the file (an expired link, say).
    #[error("the source answered with status {0}")]
    Refused(Statuses),
    /// Begin again: it is no longer the file that it was.
    #[error("the source changed while it was read")]
    Changed,
    /// Begin again: it cannot be read from the middle with the certainty that it is the same file.
    #[error("the source does not support resuming")]
    CannotResume,
    /// Tell the user.
    #[error("the source is empty")]
    Empty,
    /// Tell the user: without a length it could only be kept here first, and that is not allowed, or it must be spooled.
    #[error("the source has no known length")]
    NoLength,
    /// Tell the user.
    #[error("the source is larger than allowed")]
    TooLarge,
    /// Tell the user, before anything is sent to Vimeo.
    #[error("the address returned {0}")]
    NotVideo(NotVideo),
    /// Try again later: other sources take all the space.
    #[error("the space for buffered sources is in use")]
    SpoolFull,
    /// Try again later: it was not read to its end in the time that there is for keeping it.
    #[error("the source took too long to buffer")]
    SpoolTimeout,
    /// Tell the operator, and try again later: it could not be kept here.
    #[error("the source could not be buffered")]
    SpoolFailed,
}

impl From<RequestError> for SourceError {
    fn from(error: RequestError) -> Self {
        match error {
            // Nobody finds out through us whether something opens that does not speak HTTP.
            RequestError::Unreachable | RequestError::NoResponse => Self::Unreachable,
        }
    }
}

/// A source that is being read.
#[derive(Debug)]
pub struct OpenedSource {
    /// Its bytes, from the offset that was asked for.
    pub stream: SourceStream,
    /// What this answer says of it.
    pub metadata: SourceMetadata,
}

impl OpenedSource {
    /// The same, once the first bytes have come: they are a mark. To be called at the first byte alone. If the stream breaks
    /// before, the number says how many bytes it gives until then.
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
    /// The bytes of a source from `from` to its end, and not one more. They are passed on as they come: never more than
    /// a piece is held.
    ///
    /// At 0 the answer that is read says what the file is, whatever was known before. Further on the answer must be of
    /// the file that `known` tells of: by its marks, or by the digest of the bytes that `reading` has seen.
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

    /// Whether the whole file has the bytes that `reading` has seen: `Changed` if not, or if it has not seen all.
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
        while let Some(piece) = opened.stream.next().await {
            piece?;
        }
        Ok(())
    }

    /// Notes a time in which a source gave nothing; whether it is too slow now.
    pub fn record_wait(&self, progress: &SourceProgress, waited: Duration) -> Result<(), SourceError> {
        progress.record(self.0.minimum_rate, 0, waited).map_err(|_| SourceError::TooSlow)
    }

    /// Asks in each of a plan's ways until one gives the bytes.
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
        // Where a range can be asked for and proven, nothing will ever be compared by its bytes.
        let is_proven_by_marks =
            metadata.ranges == RangeSupport::Yes && metadata.validators.validator().is_some();
        let needs_digest = take.start == 0 && !is_proven_by_marks;
        let body = stream::Body::new(response, self.minimum_rate, progress.clone());
        let from = plan.from();
        let left = take.length.unwrap_or(0).saturating_sub(from);
        let body = body.between(from - take.start, left);
        SourceStream::of(if needs_digest { body.digested() } else { body })
    }

    /// The whole source, and the marks of that answer; if `expected` is given, only of that file.
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
            Some(expected) if expected.differ_from(&found) => Err(SourceError::Changed),
            Some(expected) if !expected.validators.shares_any_with(&found.validators) => {
                Err(SourceError::CannotResume)
            }
            _ => Ok((response, found.validators)),
        }
    }
}

/// A request for the bytes from an offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeRequest {
    /// Without `Range`.
    Whole,
    /// With `Range` alone.
    Range(u64),
    /// With `Range`, only if the file is still the same: `If-Range`, and `If-Match`, which some servers obey alone.
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
