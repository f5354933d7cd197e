//! The source of an upload while its bytes are sent: opened at an offset, opened again after a cut, and compared once
//! more behind the last byte.

use std::time::Duration;

use domain::job::{Failure, FailureCode, Fetch, Finishing, JobState, Sending};
use tokio::time::{Instant, sleep, timeout};

use super::attendance::{Attendance, Step, failure};
use super::held::{Change, Interrupt, Trouble};
use super::relay::Feed;
use super::request::RequestedSource;
use super::sending::{TRIES, pause_after};
use super::sources::{self, EndAnswers, EndVerdict};
use egress::{EgressUrl, OpenedSource, SourceError, SourceMetadata};

/// How often a source is asked whose file was written recently, until it is old enough for its marks to count.
const SETTLE_TRIES: u32 = 3;
/// Behind the whole seconds that marks have.
const SETTLE_MARGIN: Duration = Duration::from_millis(200);
/// How often a source that seems to be another file is asked again: another node of a cluster may have the one that was
/// read.
const CHANGED_TRIES: u32 = 2;
/// How long the questions after the last byte may take.
const CONFIRM_TIMEOUT: Duration = Duration::from_mins(2);
/// The last pause of these, where first bytes have to be the same for two seconds.
const END_PAUSE: Duration = Duration::from_secs(2);

/// Why a source was not opened.
pub(super) enum Unopened {
    /// What follows for the job.
    Step(Step),
    /// The bytes at Vimeo cannot be continued from this source.
    Restart(SourceError),
}

impl From<SourceError> for Unopened {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Changed | SourceError::CannotResume => Self::Restart(error),
            error => Self::Step(sources::step_of(error)),
        }
    }
}

impl Attendance<'_> {
    /// The source from this offset on, asked for more than once: one refusal is no reason to give up what is on its way.
    pub(super) async fn open_source_patiently(
        &mut self,
        sending: Sending,
        offset: u64,
    ) -> Result<Result<Feed, Unopened>, Interrupt> {
        let (mut tries, mut changes) = (0, 0);
        loop {
            let asked_at = Instant::now();
            let opened = self.open_source(sending, offset).await;
            if let Err(error) = self.uploads.outbound.record_wait(&self.reading, asked_at.elapsed()) {
                return Ok(Err(error.into()));
            }
            match opened {
                Err(Unopened::Step(Step::Trouble(_))) if tries < TRIES => {
                    self.pause_for_source(tries).await;
                    tries += 1;
                }
                Err(Unopened::Restart(SourceError::Changed)) if changes < CHANGED_TRIES && offset > 0 => {
                    self.pause_for_source(changes).await;
                    changes += 1;
                }
                Err(unopened) => return Ok(Err(unopened)),
                Ok(opened) => return self.begin_reading(sending, opened, offset).await.map(Ok),
            }
        }
    }

    /// The source is open. At its first byte, what is known of it from now on is what is read, and durable before a byte of
    /// it is at Vimeo.
    async fn begin_reading(
        &mut self,
        sending: Sending,
        opened: OpenedSource,
        offset: u64,
    ) -> Result<Feed, Interrupt> {
        let fetch = self.held.job.facts.as_ref().map(|facts| facts.fetch).filter(|_| offset == 0);
        let Some(fetch) = fetch else { return Ok(Feed::new(opened.stream, offset)) };
        let (opened, breaks_after) = match fetch {
            Fetch::Ranged | Fetch::Whole => opened.with_first_bytes().await,
            // Not every source that is made while it is read begins with the same bytes each time.
            Fetch::Spooled => (opened, None),
        };
        let read = sources::kept(&opened.metadata, sending.size, fetch);
        if self.held.job.facts.as_ref() != Some(&read) {
            self.held.job.facts = Some(read);
            self.held.advance_without_progress(JobState::Sending(sending)).await?;
        }
        Ok(Feed::new(opened.stream, offset).breaking_after(breaks_after))
    }

    /// What Vimeo acknowledges is a reason to forget the job's troubles, unless the source gives it too slowly.
    pub(super) async fn note_progress(&mut self, sending: Sending) -> Result<(), Interrupt> {
        let troubles = if self.reading.is_fast_enough() { Trouble::None } else { Trouble::Waiting };
        self.held.settle(JobState::Sending(sending), Change { troubles, ..Change::default() }).await
    }

    /// A pause that the source is the reason of: it counts as time in which it gave nothing.
    pub(super) async fn pause_for_source(&mut self, tries: u32) {
        let pause = pause_after(tries);
        sleep(pause).await;
        // If that makes it too slow, the next piece shows it.
        let _ = self.uploads.outbound.record_wait(&self.reading, pause);
    }

    /// The source from this offset on.
    async fn open_source(&mut self, sending: Sending, offset: u64) -> Result<OpenedSource, Unopened> {
        let (RequestedSource::Url(url), Some(facts)) =
            (&self.opened.request.source, self.held.job.facts.clone())
        else {
            let failure = failure(FailureCode::Unreadable, "The job's source is not known.");
            return Err(Unopened::Step(Step::Fail(failure)));
        };
        let url = sources::read_address(&self.uploads.outbound, url)
            .map_err(|failure| Unopened::Step(Step::Fail(failure)))?;
        let known = sources::known(&facts);
        let opened = match (facts.fetch, offset) {
            (Fetch::Spooled, _) => self.open_spooled(&url, &known, offset).await,
            (_, 0) => self.open_settled(&url, &known).await,
            _ => self.uploads.outbound.open(&url, offset, &known, &self.reading).await,
        }?;
        if opened.metadata.length != Some(sending.size) {
            // The placeholder is for a file of another length.
            return Err(Unopened::Restart(SourceError::Changed));
        }
        Ok(opened)
    }

    /// The source from its first byte on. A file that was written recently is waited for: its marks could stay the
    /// same when it is written again.
    async fn open_settled(
        &self,
        url: &EgressUrl,
        known: &SourceMetadata,
    ) -> Result<OpenedSource, SourceError> {
        for _ in 0..SETTLE_TRIES {
            let opened = self.uploads.outbound.open(url, 0, known, &self.reading).await?;
            let Some(pause) = opened.metadata.validators.settles_in() else { return Ok(opened) };
            drop(opened);
            sleep(pause + SETTLE_MARGIN).await;
        }
        self.uploads.outbound.open(url, 0, known, &self.reading).await
    }

    async fn open_spooled(
        &mut self,
        url: &EgressUrl,
        known: &SourceMetadata,
        offset: u64,
    ) -> Result<OpenedSource, SourceError> {
        if self.spooled.is_none() {
            if offset > 0 && known.validators.validator().is_none() {
                // The file that was kept is gone, and nothing tells whether this is the same one.
                return Err(SourceError::CannotResume);
            }
            let expected = (offset > 0).then_some(known);
            self.spooled = Some(sources::spool(self.uploads, url, expected).await?);
        }
        let spooled = self.spooled.as_ref().ok_or(SourceError::CannotResume)?;
        let facts = SourceMetadata {
            length: Some(spooled.length()),
            validators: spooled.validators().clone(),
            ranges: known.ranges,
        };
        Ok(OpenedSource { stream: spooled.open(offset), metadata: facts })
    }

    /// What was sent cannot be continued: the file is another one now, or there is no way to know. Another placeholder is
    /// needed, and the source is looked at again.
    pub(super) async fn begin_source_again(
        &mut self,
        sending: Sending,
        reason: SourceError,
    ) -> Result<Step, Interrupt> {
        // Where all bytes may be at Vimeo, no placeholder is given up for another one.
        if sending.may_be_whole() || sending.restart().is_none() {
            return Ok(match reason {
                SourceError::CannotResume => Step::Fail(failure(
                    FailureCode::SourceBroken,
                    "The source repeatedly ended early and does not support resuming.",
                )),
                reason => sources::step_of(reason),
            });
        }
        tracing::info!(job = %self.held.job.id, %reason, "an upload restarts at the first byte of its source");
        self.reading.reset();
        self.spooled = None;
        self.held.job.facts = None;
        self.restart(sending).await
    }

    /// All bytes are at Vimeo: unless the source is another file now, the settings are made next. Otherwise what is there
    /// may be two files joined, and it stays closed.
    pub(super) async fn all_is_sent(&mut self, finishing: Finishing) -> Result<Step, Interrupt> {
        self.held.meter.stop();
        match self.confirm_source().await {
            Some(changed) => self.keep_closed(finishing.finished(), changed).await?,
            None => self.held.advance(JobState::Finishing(finishing)).await?,
        }
        Ok(Step::Go)
    }

    /// Whether the source is still the file that was read: `Some` if it certainly is not. A source that does not answer
    /// proves nothing (its link may have expired), and does not fail a good upload.
    async fn confirm_source(&self) -> Option<Failure> {
        let (RequestedSource::Url(url), Some(facts)) = (&self.opened.request.source, &self.held.job.facts)
        else {
            return None;
        };
        let url = sources::read_address(&self.uploads.outbound, url).ok()?;
        let known = sources::known(facts);
        let verdict = timeout(CONFIRM_TIMEOUT, self.ask_at_the_end(&url, &known)).await;
        let verdict = match verdict.unwrap_or(EndVerdict::Unknown) {
            // Marks of a file that was written while it was asked for prove nothing; its bytes do.
            EndVerdict::Same if known.validators.is_recent() => self.read_again(&url, facts.length).await,
            verdict => verdict,
        };
        tracing::debug!(job = %self.held.job.id, ?verdict, "a source was compared after its last byte");
        (verdict == EndVerdict::Changed)
            .then(|| failure(FailureCode::SourceChanged, "The file at the source changed while it was read."))
    }

    async fn ask_at_the_end(&self, url: &EgressUrl, known: &SourceMetadata) -> EndVerdict {
        let (mut attempt, mut answers) = (0, EndAnswers::new(known));
        let started = Instant::now();
        loop {
            let now = self.uploads.outbound.probe(url, u64::MAX).await.map(|probed| probed.metadata);
            if let Some(verdict) = answers.judge(started.elapsed(), now) {
                return verdict;
            }
            if attempt == sources::END_TRIES {
                return answers.in_the_end();
            }
            let is_last = attempt + 1 == sources::END_TRIES;
            let pause = if is_last && answers.needs_time() { END_PAUSE } else { pause_after(attempt) };
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn read_again(&self, url: &EgressUrl, length: u64) -> EndVerdict {
        match self.uploads.outbound.is_unchanged(url, length, &self.reading).await {
            Ok(()) => EndVerdict::Same,
            Err(SourceError::Changed) => EndVerdict::Changed,
            Err(_) => EndVerdict::Unknown,
        }
    }
}
