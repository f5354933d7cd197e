//! What the guarded client reports of a source, as it concerns a job.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::job::{Failure, FailureCode, Fetch, JobId, SourceFacts};
use domain::secret::Secret;

use super::failures::failure;
use super::outcome::Then;
use super::request::RequestedSource;
use super::setup::Uploads;
use egress::{
    Content, Egress, EgressUrl, Encoding, NotVideo, RangeSupport, SourceError, SourceProgress, Spooled,
    Validators,
};

/// The same message for a blocked source and one that does not answer, so that clients cannot scan networks through the
/// service.
const UNREACHABLE: &str = "The source could not be reached, or its address is not allowed.";
/// How many readings are remembered between two attempts of their jobs.
const PROGRESSES_MAX: usize = 10_000;

/// What this node has read of the sources of jobs that wait for their next attempt.
#[derive(Default)]
pub(crate) struct SourceProgresses(Mutex<HashMap<JobId, SourceProgress>>);

impl SourceProgresses {
    /// The reading of a job that is worked on next; a new one if there is none.
    pub(super) fn take(&self, id: &JobId) -> SourceProgress {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = readings.remove(id).unwrap_or_default();
        reading.start_attempt();
        reading
    }

    /// Keeps a reading for the next attempt. Forgotten, it costs that attempt a fresh placeholder.
    pub(super) fn put(&self, id: JobId, reading: SourceProgress) {
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.len() >= PROGRESSES_MAX {
            readings.clear();
        }
        readings.insert(id, reading);
    }
}

/// The address of a source, whose form was checked when it was asked for; the rules may have changed since.
pub(super) fn read_address(egress: &Egress, url: &Secret) -> Result<EgressUrl, Failure> {
    egress.validate(url.expose()).map_err(|_| failure(FailureCode::SourceUnreachable, UNREACHABLE))
}

/// The same for a source, with the headers that its origin is sent.
pub(super) fn read_source(egress: &Egress, source: &RequestedSource) -> Result<EgressUrl, Failure> {
    match source {
        RequestedSource::Url { url, headers } => {
            read_address(egress, url).map(|url| url.with_headers(headers.clone()))
        }
        RequestedSource::Client { .. } => {
            Err(failure(FailureCode::Unreadable, "The job's source is not known."))
        }
    }
}

/// How a source that says its length is read.
pub(super) fn fetch_of(facts: &egress::SourceMetadata) -> Fetch {
    match facts.ranges {
        RangeSupport::Yes => Fetch::Ranged,
        RangeSupport::No => Fetch::Whole,
    }
}

/// What is kept of a source with its job.
pub(super) fn to_facts(found: &egress::SourceMetadata, length: u64, fetch: Fetch) -> SourceFacts {
    SourceFacts {
        length,
        validator: found.validators.validator().map(str::to_owned),
        marks: Some(found.validators.to_stored()),
        fetch,
    }
}

/// What the guarded client needs to know of a source that was looked at before. An earlier version kept one validator.
pub(super) fn to_metadata(facts: &SourceFacts) -> egress::SourceMetadata {
    let marks = facts.marks.as_deref().and_then(Validators::from_stored);
    let validator = || facts.validator.as_deref().map(Validators::from_single_validator);
    egress::SourceMetadata {
        length: (facts.fetch != Fetch::Spooled).then_some(facts.length),
        validators: marks.or_else(validator).unwrap_or_default(),
        ranges: match facts.fetch {
            Fetch::Ranged => RangeSupport::Yes,
            Fetch::Whole | Fetch::Spooled => RangeSupport::No,
        },
    }
}

/// How the bytes of a source are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferMode {
    /// As they come.
    AsIs,
    /// Decompressed, which needs the disk.
    Decompressed,
}

/// How a source is taken whose first bytes are this; the error if it is not.
pub(super) fn transfer_mode(content: Content, spool_max_bytes: u64) -> Result<TransferMode, SourceError> {
    match content {
        Content::AsIs => Ok(TransferMode::AsIs),
        Content::Gzip if spool_max_bytes == 0 => {
            Err(SourceError::NotVideo(NotVideo::Compressed(Encoding::Gzip)))
        }
        Content::Gzip => Ok(TransferMode::Decompressed),
        Content::NotVideo(what) => Err(SourceError::NotVideo(what)),
    }
}

/// Keeps a source on the disk that does not say how long it is; if it was read before, only the file that it was then.
pub(super) async fn spool(
    uploads: &Uploads,
    url: &EgressUrl,
    expected: Option<&egress::SourceMetadata>,
) -> Result<Spooled, SourceError> {
    uploads.egress.spool(url, &uploads.spool, expected).await
}

/// What the answers after the last byte say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndVerdict {
    /// The file is the one that was read.
    Same,
    /// It is another one.
    Changed,
    /// Nothing can be said.
    Unknown,
}

/// The answers after the last byte so far, compared with what was read.
///
/// One answer that differs is not the end: a node of a cluster may have other marks for the same file than the one that
/// was read from. One that is equal in every mark is.
#[derive(Debug)]
pub(super) struct EndAnswers<'a> {
    known: &'a egress::SourceMetadata,
    /// Those that differ, and when they came.
    others: Vec<(Duration, egress::SourceMetadata)>,
}

/// Bytes that are the same for so long are not made for each request: those have the second in them, at most.
const SAME_BYTES_FOR: Duration = Duration::from_secs(2);

impl<'a> EndAnswers<'a> {
    pub(super) fn new(known: &'a egress::SourceMetadata) -> Self {
        Self { known, others: Vec::new() }
    }

    /// Another answer, which came so long after the last byte; `None`: ask again.
    pub(super) fn judge(
        &mut self,
        at: Duration,
        now: Result<egress::SourceMetadata, SourceError>,
    ) -> Option<EndVerdict> {
        match now {
            Ok(now) if self.known.differs_at_end_from(&now) => {
                self.others.push((at, now));
                None
            }
            Ok(_) => Some(EndVerdict::Same),
            Err(SourceError::Unreachable | SourceError::RetryLater { .. } | SourceError::EndedEarly) => None,
            // It is empty now; or it was read from a place that says no more.
            Err(SourceError::Empty) => Some(EndVerdict::Changed),
            Err(_) => Some(self.at_end()),
        }
    }

    /// What follows if there are no more answers.
    pub(super) fn at_end(&self) -> EndVerdict {
        let mut headers = self.others.iter().filter(|(_, one)| self.known.headers_differ_at_end_from(one));
        if headers.next().is_some() || self.begins_the_same_for_long_enough() {
            EndVerdict::Changed
        } else {
            EndVerdict::Unknown
        }
    }

    /// Whether the last pause must be long enough for [`SAME_BYTES_FOR`].
    pub(super) fn needs_time(&self) -> bool {
        !self.others.is_empty() && self.at_end() == EndVerdict::Unknown
    }

    /// Whether two answers have the same first bytes, one long enough after the other. Where the headers are those that were
    /// read, other first bytes alone prove nothing: some sources make their bytes for each request.
    fn begins_the_same_for_long_enough(&self) -> bool {
        self.others.iter().any(|(at, one)| {
            self.others.iter().any(|(later, other)| {
                later.saturating_sub(*at) >= SAME_BYTES_FOR
                    && !one.validators.first_bytes_differ_from(&other.validators)
            })
        })
    }
}

/// How a job continues after an error of its source.
pub(super) fn then_of(error: SourceError) -> Then {
    let fail = |code, message: String| Then::Fail(failure(code, message));
    match error {
        SourceError::Unreachable => Then::Retry(failure(FailureCode::SourceUnreachable, UNREACHABLE)),
        SourceError::RetryLater { .. } => Then::Retry(failure(
            FailureCode::SourceBroken,
            "The source's server was busy or failing for too long.",
        )),
        SourceError::EndedEarly => {
            Then::Retry(failure(FailureCode::SourceBroken, "The source repeatedly ended early."))
        }
        SourceError::NotVideo(what) => fail(
            FailureCode::SourceNotVideo,
            format!("The address returned {what}, not a video file. Give the address of the file itself."),
        ),
        SourceError::SpoolFull => Then::Retry(failure(
            FailureCode::SourceBroken,
            "The source must be buffered, because its length is not known or it is compressed, but the space for buffered sources is in use.",
        )),
        SourceError::SpoolTimeout => Then::Retry(failure(
            FailureCode::SourceBroken,
            "The source must be buffered, because its length is not known or it is compressed, but took too long to read.",
        )),
        SourceError::TooSlow => {
            Then::Retry(failure(FailureCode::SourceTooSlow, "The source sends its bytes too slowly."))
        }
        SourceError::SpoolFailed => Then::Retry(failure(
            FailureCode::SourceBroken,
            "The source must be buffered, because its length is not known or it is compressed, but this service's disk is full or cannot be used.",
        )),
        SourceError::Refused(statuses) => fail(
            FailureCode::SourceRefused,
            format!(
                "The source's server answered with status {statuses}, with and without a range: the file does not exist, or its link is invalid or has expired."
            ),
        ),
        SourceError::Changed => {
            fail(FailureCode::SourceChanged, "The file at the source changed while it was read.".to_owned())
        }
        SourceError::CannotResume => fail(
            FailureCode::SourceChanged,
            "The source does not support resuming, or does not show whether it is still the same file."
                .to_owned(),
        ),
        SourceError::Empty => fail(FailureCode::SourceEmpty, "The file at the source is empty.".to_owned()),
        SourceError::NoLength => fail(
            FailureCode::SourceWithoutLength,
            "The source has no known length, and this service does not buffer such sources.".to_owned(),
        ),
        SourceError::TooLarge => fail(
            FailureCode::SourceTooLarge,
            "The file at the source is larger than this service accepts, or than it buffers where it has to."
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(tag: &str, length: u64) -> egress::SourceMetadata {
        egress::SourceMetadata {
            length: Some(length),
            validators: Validators::from_single_validator(tag),
            ranges: RangeSupport::Yes,
        }
    }

    #[test]
    fn stored_facts_match_their_source() {
        let found = facts("\"a\"", 10);
        for fetch in [Fetch::Ranged, Fetch::Whole, Fetch::Spooled] {
            let stored = to_facts(&found, 10, fetch);
            assert_eq!(to_metadata(&stored).validators, found.validators);
            assert_eq!(
                to_metadata(&SourceFacts { marks: None, ..stored }).validators,
                found.validators,
                "an earlier version's row"
            );
        }
    }

    /// What the answers say that came so far, and what follows if no more do.
    fn at_the_end(
        known: &egress::SourceMetadata,
        answers: &[Result<egress::SourceMetadata, SourceError>],
    ) -> (Option<EndVerdict>, EndVerdict) {
        let mut so_far = EndAnswers::new(known);
        let judged = answers.iter().zip(0..).map(|(answer, place)| {
            // As long as the service pauses: the last answer comes two seconds after the first.
            so_far.judge(Duration::from_millis([0, 250, 750, 2_750][place]), answer.clone())
        });
        let verdicts: Vec<_> = judged.collect();
        (verdicts.last().copied().flatten(), so_far.at_end())
    }

    #[test]
    fn a_file_has_changed_at_the_end_only_if_no_answer_says_that_it_is_the_same() {
        use EndVerdict::{Changed, Same, Unknown};
        let (known, same, other) = (facts("\"a\"", 10), facts("\"a\"", 10), facts("\"b\"", 10));
        assert_eq!(at_the_end(&known, &[Ok(same.clone())]).0, Some(Same));
        assert_eq!(at_the_end(&known, &[Ok(other.clone())]), (None, Changed));
        assert_eq!(at_the_end(&known, &[Ok(facts("\"a\"", 11))]), (None, Changed));
        assert_eq!(at_the_end(&known, &[Ok(other.clone()), Ok(same)]).0, Some(Same));
        for passing in [
            SourceError::Unreachable,
            SourceError::EndedEarly,
            SourceError::RetryLater { after_seconds: None },
        ] {
            assert_eq!(at_the_end(&known, &[Err(passing)]), (None, Unknown));
            assert_eq!(at_the_end(&known, &[Ok(other.clone()), Err(passing)]), (None, Changed));
        }
        assert_eq!(at_the_end(&known, &[Err(SourceError::Empty)]).0, Some(Changed));
        assert_eq!(at_the_end(&known, &[Err(SourceError::SpoolFailed)]).0, Some(Unknown));
        assert_eq!(at_the_end(&known, &[Ok(other), Err(SourceError::SpoolFailed)]).0, Some(Changed));
    }

    #[test]
    fn other_first_bytes_are_a_change_unless_they_are_never_the_same() {
        use EndVerdict::{Changed, Same, Unknown};
        let begins = |tag, bytes: &[u8]| {
            let facts = facts(tag, 10);
            egress::SourceMetadata { validators: facts.validators.with_first_bytes(bytes), ..facts }
        };
        let known = begins("\"a\"", b"old");
        let (same, new) = (|| Ok(begins("\"a\"", b"old")), || Ok(begins("\"a\"", b"new")));
        let third = || Ok(begins("\"a\"", b"third"));
        assert_eq!(at_the_end(&known, &[same()]).0, Some(Same));
        assert_eq!(at_the_end(&known, &[Ok(facts("\"a\"", 10))]).0, Some(Same), "the bytes did not come");
        assert_eq!(at_the_end(&known, &[new()]), (None, Unknown), "one answer alone");
        assert_eq!(at_the_end(&known, &[new(), new()]), (None, Unknown), "within one second");
        assert_eq!(at_the_end(&known, &[new(), new(), new(), new()]), (None, Changed));
        assert_eq!(at_the_end(&known, &[new(), third(), third(), third()]), (None, Changed));
        assert_eq!(at_the_end(&known, &[new(), same()]).0, Some(Same), "another node of a cluster");
        assert_eq!(at_the_end(&known, &[new(), third()]), (None, Unknown), "made for each request");
        assert_eq!(
            at_the_end(&known, &[new(), new(), new(), third()]),
            (None, Unknown),
            "made for each second"
        );
        assert_eq!(at_the_end(&known, &[new(), third(), third(), new()]), (None, Changed));
        let other_tag = || Ok(begins("\"b\"", b"third"));
        assert_eq!(at_the_end(&known, &[new(), other_tag()]), (None, Changed));
        assert_eq!(at_the_end(&known, &[Ok(facts("\"b\"", 10)), other_tag()]), (None, Changed));
    }
}
