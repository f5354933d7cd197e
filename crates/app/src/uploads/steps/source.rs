//! The source of an upload while its bytes are sent: opened at an offset, opened again after a disconnect, and compared once
//! more after the last byte.

use std::time::Duration;

use domain::job::{Failure, FailureCode, Fetch, SourceFacts, Uploading};
use egress::{EgressUrl, OpenedSource, SourceError, SourceMetadata};
use tokio::time::{Instant, sleep, timeout};

use super::{Memory, StepContext};
use crate::uploads::chunks::ChunkReader;
use crate::uploads::failures::failure;
use crate::uploads::outcome::Then;
use crate::uploads::retry::{LeaseRetry, lease_backoff};
use crate::uploads::sources::{self, EndAnswers, EndVerdict};

/// Added to the whole seconds that validators have.
const SETTLE_MARGIN: Duration = Duration::from_millis(200);
/// How long the comparison after the last byte may take.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(2);
/// How often a file is opened again that was written recently; then it is read as it is.
const SETTLE_RETRIES: u32 = 3;
/// How often the comparison after the last byte is repeated; then the answers so far decide.
const CONFIRM_RETRIES: u32 = 3;
/// The last pause of the comparison, where first bytes have to be the same for two seconds.
const END_PAUSE: Duration = Duration::from_secs(2);

/// Why a source was not opened.
pub(super) enum Unopened {
    /// How the job continues.
    Later(Then),
    /// The bytes at Vimeo cannot be continued from this source.
    Restart(SourceError),
}

impl Unopened {
    /// Whether a source that was not opened at this offset is asked again within the lease; `None`: not.
    pub(super) fn lease_retry(&self, offset: u64) -> Option<LeaseRetry> {
        match self {
            // Its slot is for others meanwhile.
            Self::Later(Then::Retry(failure)) if failure.code == FailureCode::SourceTooSlow => None,
            Self::Later(Then::Retry(_)) => Some(LeaseRetry::Source),
            // Nothing was read at the first byte, so that nothing has to be the same.
            Self::Restart(SourceError::Changed) if offset > 0 => Some(LeaseRetry::ChangedSource),
            Self::Later(_) | Self::Restart(_) => None,
        }
    }
}

impl From<SourceError> for Unopened {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Changed | SourceError::CannotResume => Self::Restart(error),
            error => Self::Later(sources::then_of(error)),
        }
    }
}

/// A source that is open at an offset.
pub(super) struct Opened(OpenedSource);

impl Opened {
    /// Starts to read. At the first byte, what is known of the source from now on is what is read: returned if it differs from
    /// what the job has, to be stored before a byte is sent.
    pub(super) async fn begin(
        self,
        context: &StepContext<'_>,
        size: u64,
        offset: u64,
    ) -> (ChunkReader, Option<SourceFacts>) {
        let fetch = context.job.facts.as_ref().map(|facts| facts.fetch).filter(|_| offset == 0);
        let Some(fetch) = fetch else { return (ChunkReader::new(self.0.stream, offset), None) };
        let (opened, breaks_after) = match fetch {
            Fetch::Ranged | Fetch::Whole => self.0.with_first_bytes().await,
            // Not every source that is generated while it is read has the same first bytes each time.
            Fetch::Spooled => (self.0, None),
        };
        let read = sources::to_facts(&opened.metadata, size, fetch);
        let reader = ChunkReader::new(opened.stream, offset).breaking_after(breaks_after);
        (reader, Some(read).filter(|read| context.job.facts.as_ref() != Some(read)))
    }
}

impl StepContext<'_> {
    /// The source from this offset on.
    pub(super) async fn open_source(
        &self,
        memory: &mut Memory,
        uploading: Uploading,
        offset: u64,
    ) -> Result<Opened, Unopened> {
        let asked_at = Instant::now();
        let opened = self.try_open_source(memory, uploading, offset).await;
        self.uploads.egress.record_wait(&memory.progress, asked_at.elapsed())?;
        opened.map(Opened)
    }

    async fn try_open_source(
        &self,
        memory: &mut Memory,
        uploading: Uploading,
        offset: u64,
    ) -> Result<OpenedSource, Unopened> {
        let Some(facts) = self.job.facts.clone() else {
            let failure = failure(FailureCode::Unreadable, "The job's source is not known.");
            return Err(Unopened::Later(Then::Fail(failure)));
        };
        let egress = &self.uploads.egress;
        let url = sources::read_source(egress, &self.prepared.request.source)
            .map_err(|failure| Unopened::Later(Then::Fail(failure)))?;
        let known = sources::to_metadata(&facts);
        let opened = match (facts.fetch, offset) {
            (Fetch::Spooled, _) => self.open_spooled(memory, &url, &known, offset).await,
            (_, 0) => self.open_settled(memory, &url, &known).await,
            _ => egress.open(&url, offset, &known, &memory.progress).await,
        }?;
        if opened.metadata.length != Some(uploading.size) {
            // The placeholder is for a file of another length.
            return Err(Unopened::Restart(SourceError::Changed));
        }
        Ok(opened)
    }

    /// The source from its first byte on. A file that was written recently is waited for: its validators could stay the same
    /// when it is written again.
    async fn open_settled(
        &self,
        memory: &Memory,
        url: &EgressUrl,
        known: &SourceMetadata,
    ) -> Result<OpenedSource, SourceError> {
        let egress = &self.uploads.egress;
        let mut attempts = 0;
        loop {
            let opened = egress.open(url, 0, known, &memory.progress).await?;
            let pause = opened.metadata.validators.settles_in();
            let Some(pause) = pause.filter(|_| attempts < SETTLE_RETRIES) else {
                return Ok(opened);
            };
            drop(opened);
            sleep(pause + SETTLE_MARGIN).await;
            attempts += 1;
        }
    }

    async fn open_spooled(
        &self,
        memory: &mut Memory,
        url: &EgressUrl,
        known: &SourceMetadata,
        offset: u64,
    ) -> Result<OpenedSource, SourceError> {
        if memory.spooled.is_none() {
            if offset > 0 && known.validators.validator().is_none() {
                // The buffered file is gone, and nothing shows whether this is the same one.
                return Err(SourceError::CannotResume);
            }
            let expected = (offset > 0).then_some(known);
            memory.spooled = Some(sources::spool(self.uploads, url, expected).await?);
        }
        let spooled = memory.spooled.as_ref().ok_or(SourceError::CannotResume)?;
        let metadata = SourceMetadata {
            length: Some(spooled.length()),
            validators: spooled.validators().clone(),
            ranges: known.ranges,
        };
        Ok(OpenedSource { stream: spooled.open(offset), metadata })
    }

    /// Whether the source is still the file that was read: `Some` if it certainly is not. A source that does not answer
    /// proves nothing (its link may have expired), and does not fail a good upload.
    pub(super) async fn confirm_source(&self, memory: &Memory) -> Option<Failure> {
        let facts = self.job.facts.as_ref()?;
        // A client's bytes are compared with nothing.
        let url = sources::read_source(&self.uploads.egress, &self.prepared.request.source).ok()?;
        let known = sources::to_metadata(facts);
        let verdict = timeout(CONFIRM_TIMEOUT, self.compare_at_end(&url, &known)).await;
        let verdict = match verdict.unwrap_or(EndVerdict::Unknown) {
            // Validators of a file that was written while it was asked for prove nothing; its bytes do.
            EndVerdict::Same if known.validators.is_recent() => {
                self.read_again(memory, &url, facts.length).await
            }
            verdict => verdict,
        };
        tracing::debug!(job = %self.job.id, ?verdict, "a source was compared after its last byte");
        (verdict == EndVerdict::Changed)
            .then(|| failure(FailureCode::SourceChanged, "The file at the source changed while it was read."))
    }

    async fn compare_at_end(&self, url: &EgressUrl, known: &SourceMetadata) -> EndVerdict {
        let (mut attempt, mut answers) = (0, EndAnswers::new(known));
        let started = Instant::now();
        loop {
            let now = self.uploads.egress.probe(url, u64::MAX).await.map(|probed| probed.metadata);
            if let Some(verdict) = answers.judge(started.elapsed(), now) {
                return verdict;
            }
            if attempt >= CONFIRM_RETRIES {
                return answers.at_end();
            }
            let is_last = attempt + 1 >= CONFIRM_RETRIES;
            let pause = if is_last && answers.needs_time() { END_PAUSE } else { lease_backoff(attempt) };
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn read_again(&self, memory: &Memory, url: &EgressUrl, length: u64) -> EndVerdict {
        match self.uploads.egress.is_unchanged(url, length, &memory.progress).await {
            Ok(()) => EndVerdict::Same,
            Err(SourceError::Changed) => EndVerdict::Changed,
            Err(_) => EndVerdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_asked_again_unless_it_is_too_slow_or_the_answer_is_final() {
        let retried = |error: SourceError| [0, 9].map(|offset| Unopened::from(error).lease_retry(offset));
        for error in [SourceError::Unreachable, SourceError::EndedEarly, SourceError::SpoolFull] {
            assert_eq!(retried(error), [Some(LeaseRetry::Source); 2], "{error:?}");
        }
        assert_eq!(retried(SourceError::Changed), [None, Some(LeaseRetry::ChangedSource)]);
        for error in [SourceError::TooSlow, SourceError::CannotResume, SourceError::Empty] {
            assert_eq!(retried(error), [None; 2], "{error:?}");
        }
    }
}
