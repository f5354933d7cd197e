//! Attending to one leased job: from state to state, as far as it goes without waiting.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Action, Actor, Outcome};
use domain::connection::Availability;
use domain::job::{End, Failure, FailureCode, Job, JobId, JobState, Refusal, SourceKind, Webhook};
use domain::secret::Sealed;
use domain::time::Timestamp;
use domain::video::VideoNumber;
use seal::envelope::{Purpose, SealedAs, SealedFor};
use store::{LeasedJob, SealedPart};
use tokio_util::sync::CancellationToken;

use super::held::{Change, Due, Held, Interrupt, Trouble};
use super::request::UploadRequest;
use super::{Shared, Uploads};
use crate::{App, Error};
use egress::{SourceProgress, Spooled};

/// In front of the job's identifier in the name of a placeholder.
const PLACEHOLDER_PREFIX: &str = "vimeo-connections upload ";
/// A disabled connection is looked at again after so long.
const DISABLED_PAUSE: Duration = Duration::from_secs(5);
/// The first pause after a trouble; each further one is twice as long.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a trouble.
const TROUBLE_PAUSE_MAX: Duration = Duration::from_mins(5);
/// Before so many troubles in a row, patience is never at its end.
const PATIENT_TRIES: u32 = 8;
/// The wait for a rate limit of which no end is told.
const LIMIT_PAUSE: Duration = Duration::from_mins(1);
/// The longest wait that a rate limit leads to.
const LIMIT_PAUSE_MAX: Duration = Duration::from_hours(1);

/// A leased job, and everything that is needed to work on it.
pub(super) struct Attendance<'a> {
    pub(super) app: &'a App,
    pub(super) uploads: &'a Uploads,
    pub(super) held: Held,
    pub(super) opened: Opened,
    /// The source, if it had to be kept on the disk.
    pub(super) spooled: Option<Spooled>,
    /// What is remembered of the source while it is read.
    pub(super) reading: SourceProgress,
    /// The video that was deleted last.
    pub(super) last_deleted: Option<VideoNumber>,
}

/// What a state led to.
#[derive(Debug)]
pub(super) enum Step {
    /// To another one, which was written.
    Go,
    /// To nothing yet: somebody else has to do something first.
    Wait(Duration),
    /// To a trouble that may pass; if it does not, the job fails so.
    Trouble(Failure),
    /// To a retry: Vimeo refuses a request for a video whose bytes it has. If that lasts, the job fails so.
    Refused(Failure, Refusal),
    /// To the end.
    Fail(Failure),
}

/// Whether a job that has failed this many attempts in a row is worth a line: the first, the second, the fourth and so on.
fn is_logged(attempts: u32) -> bool {
    attempts.is_power_of_two()
}

/// What stands between a job and the work on it.
pub(super) enum Obstacle {
    /// The connection is disabled.
    Disabled,
    /// The connection is gone, and its jobs were left behind.
    Gone,
    /// What is sealed for the job, or for its connection, does not open under the account's good key.
    Unreadable,
    /// Something that passes, or that an operator mends: the database, the keyring.
    Passing(Error),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Passing(error)
    }
}

impl From<store::Error> for Obstacle {
    fn from(error: store::Error) -> Self {
        Self::Passing(error.into())
    }
}

impl From<seal::DoesNotOpen> for Obstacle {
    fn from(_: seal::DoesNotOpen) -> Self {
        Self::Unreadable
    }
}

/// What a job was asked for, and the way to its customer's Vimeo.
pub(super) struct Opened {
    pub(super) request: UploadRequest,
    pub(super) session: vimeo::Session,
    pub(super) shared: Arc<Shared>,
    /// The connection's version when its credentials were sealed last: another one means other credentials.
    pub(super) sealed_version: u64,
}

/// Opens what is sealed for a job.
pub(super) async fn open_request(
    app: &App,
    uploads: &Uploads,
    job: &Job,
    sealed: Option<Sealed>,
) -> Result<Opened, Obstacle> {
    let key = app.account_key(&job.account_id).await?;
    let sealed_as = SealedAs { purpose: Purpose::JobRequest, record: job.id.as_str(), version: 1 };
    let bytes = key.open(sealed_as, &sealed.ok_or(Obstacle::Unreadable)?)?;
    let request = UploadRequest::from_bytes(&bytes).ok_or(Obstacle::Unreadable)?;
    let found = app.store.find_sealed_connection(&job.account_id, &job.connection_id).await?;
    let (connection, credentials) = found.ok_or(Obstacle::Gone)?;
    if connection.availability == Availability::Disabled {
        return Err(Obstacle::Disabled);
    }
    let sealed_version = connection.sealed_version;
    let sealed_for = SealedFor { connection: &connection.id, sealed_version };
    let secrets = key.open_credentials(sealed_for, &credentials)?;
    let shared = uploads.shared(&connection.id);
    let session = uploads.client.session(secrets.access_token, shared.window.clone());
    Ok(Opened { request, session, shared, sealed_version })
}

/// The name by which a job's placeholder is known at Vimeo.
pub(super) fn placeholder_name(id: &JobId) -> String {
    format!("{PLACEHOLDER_PREFIX}{id}")
}

/// A failure out of a code and a sentence.
pub(super) fn failure(code: FailureCode, message: impl Into<String>) -> Failure {
    Failure { code, message: message.into() }
}

/// Works on a leased job until it has to wait, is over, or must be let go.
pub(super) async fn attend(app: &App, uploads: &Uploads, leased: LeasedJob, stopping: CancellationToken) {
    let sealed_request = leased.request.clone();
    let id = leased.job.id.clone();
    let mut held = Held::new(leased, app.store.clone(), app.clock.clone());
    if held.job.state.is_over() {
        let told = super::notifying::notify(app, uploads, &mut held, sealed_request).await;
        return note(&id, told);
    }
    match open_request(app, uploads, &held.job, sealed_request).await {
        Ok(opened) => {
            let (spooled, reading, last_deleted) = (None, uploads.readings.take(&id), None);
            let mut attendance = Attendance { app, uploads, held, opened, spooled, reading, last_deleted };
            note(&id, attendance.work(stopping).await);
            if matches!(attendance.held.job.state, JobState::Sending(_)) {
                uploads.readings.put(id, attendance.reading);
            }
        }
        Err(Obstacle::Disabled) => note(&id, held.let_go(DISABLED_PAUSE).await),
        Err(Obstacle::Gone) => note(&id, give_up_blindly(app, &mut held, End::Cancelled).await),
        Err(Obstacle::Unreadable) => {
            tracing::error!(job = %id, "the stored secrets of a job cannot be decrypted: they were damaged");
            let failure =
                failure(FailureCode::Unreadable, "The job's stored secrets can no longer be decrypted.");
            note(&id, give_up_blindly(app, &mut held, End::Failed(failure)).await);
        }
        Err(Obstacle::Passing(error)) => {
            tracing::warn!(%error, job = %id, "a job could not be worked on; it will be retried");
        }
    }
}

/// There is no way to Vimeo any more: the end is written at once, and names what may be left there.
async fn give_up_blindly(app: &App, held: &mut Held, end: End) -> Result<(), Interrupt> {
    let size = held.job.size();
    let state = match held.job.state.clone() {
        JobState::Abandoning(abandoning) => JobState::Abandoning(abandoning),
        state => state.abandon(&end, size).unwrap_or(held.job.state.clone()),
    };
    let state = match state {
        JobState::Abandoning(abandoning) => {
            if abandoning.doubt.is_some() {
                held.warn(format!(
                    "A video named “{}” may still be at Vimeo.",
                    placeholder_name(&held.job.id)
                ));
            }
            let left = abandoning.video;
            abandoning.ended(left)
        }
        state => state,
    };
    // Whoever would be told stands in what does not open, or may have to be told by somebody else's rules.
    if matches!(end, End::Failed(_)) {
        held.job.webhook = Webhook::None;
    }
    let change = app.last_change(held, &state);
    held.settle(state, change).await
}

fn note(id: &JobId, outcome: Result<(), Interrupt>) {
    match outcome {
        Ok(()) | Err(Interrupt::Done | Interrupt::Disabled | Interrupt::Stopping) => {}
        Err(Interrupt::Lost) => {
            tracing::info!(job = %id, "the lease of a job was lost; its new holder continues");
        }
        Err(Interrupt::Store(error)) => {
            tracing::warn!(%error, job = %id, "a job could not be written; it will be retried when its lease expires");
        }
    }
}

impl App {
    /// What is written when a job ends, beside its state: the event, and the wiping of its secrets, but for those that a
    /// webhook still needs.
    pub(super) fn last_change(&self, held: &Held, state: &JobState) -> Change {
        let mut event =
            self.done(&held.job.account_id, Actor::Service, Action::EndUpload, Some(held.job.id.to_string()));
        event.outcome = match state {
            JobState::Failed(failed) => Outcome::Refused(failed.failure.code.as_str().to_owned()),
            JobState::Cancelled(_) => Outcome::Refused("CANCELLED".to_owned()),
            _ => Outcome::Done,
        };
        let is_awaited = matches!(held.job.webhook, Webhook::Waiting { .. });
        Change {
            due: Some(if is_awaited { Due::In(Duration::ZERO) } else { Due::Never }),
            request: if is_awaited { SealedPart::Kept } else { SealedPart::Wiped },
            link: SealedPart::Wiped,
            event: Some(event),
            ..Change::default()
        }
    }
}

impl Attendance<'_> {
    /// Works until there is nothing more to do now, or something interrupts.
    async fn work(&mut self, stopping: CancellationToken) -> Result<(), Interrupt> {
        let keep = self.held.keep(stopping);
        let outcome = tokio::select! {
            outcome = self.run() => outcome,
            interrupt = keep => Err(interrupt),
        };
        match outcome {
            Err(Interrupt::Disabled) => self.held.let_go(DISABLED_PAUSE).await,
            Err(Interrupt::Stopping) => self.held.let_go(Duration::ZERO).await,
            outcome => outcome,
        }
    }

    async fn run(&mut self) -> Result<(), Interrupt> {
        let is_without_link = matches!(self.held.job.state, JobState::Accepted(_) | JobState::Creating(_));
        if self.held.job.source == SourceKind::Client && is_without_link {
            // Whoever asked for the link did not get it, and nobody else can. It goes on when it is found again.
            return self.give_up(End::Cancelled).await;
        }
        while !self.held.job.state.is_over() {
            let step = match self.held.job.state.clone() {
                JobState::Accepted(accepted) => self.create(accepted).await?,
                JobState::Creating(creating) => self.look_for_placeholder(creating).await?,
                JobState::Sending(sending) => self.send(sending).await?,
                JobState::Finishing(finishing) => self.finish(finishing).await?,
                JobState::Transcoding(transcoding) => self.await_transcoding(transcoding).await?,
                JobState::Abandoning(abandoning) => self.take_away(abandoning).await?,
                JobState::Completed(_) | JobState::Failed(_) | JobState::Cancelled(_) => return Ok(()),
            };
            let step = match step {
                Step::Refused(failure, refusal) => self.judge_refusal(failure, refusal).await?,
                step => step,
            };
            match step {
                Step::Go => {}
                Step::Wait(pause) => return self.pause(pause, Trouble::Waiting).await,
                Step::Trouble(failure) => {
                    if !self.is_out_of_patience() && !self.is_hopeless(failure.code) {
                        let pause = self.trouble_pause();
                        self.log_retry(&failure);
                        return self.pause(pause, Trouble::More).await;
                    }
                    self.fail(failure).await?;
                }
                // A token that was replaced meanwhile says nothing of the new one.
                Step::Fail(failure)
                    if failure.code.is_about_token() && self.has_new_credentials().await? =>
                {
                    return self.pause(Duration::ZERO, Trouble::Waiting).await;
                }
                Step::Fail(failure) | Step::Refused(failure, _) => self.fail(failure).await?,
            }
        }
        Ok(())
    }

    /// Logs that the job waits and why. A source's host and the cause have a line of their own.
    fn log_retry(&self, failure: &Failure) {
        let attempts = self.held.job.troubles.count.saturating_add(1);
        let (code, cause) = (failure.code.as_str(), &failure.message);
        if is_logged(attempts) {
            tracing::info!(code, cause, attempts, "an upload is waiting for its next attempt");
        } else {
            tracing::debug!(code, cause, attempts, "an upload is waiting for its next attempt");
        }
    }

    pub(super) async fn has_new_credentials(&self) -> Result<bool, Interrupt> {
        let job = &self.held.job;
        let found = self.app.store.find_connection(&job.account_id, &job.connection_id).await?;
        Ok(found.is_some_and(|found| found.sealed_version != self.opened.sealed_version))
    }

    async fn pause(&mut self, pause: Duration, trouble: Trouble) -> Result<(), Interrupt> {
        let change = Change { due: Some(Due::In(pause)), troubles: trouble, ..Change::default() };
        self.held.settle(self.held.job.state.clone(), change).await
    }

    /// A source is not waited for as long as Vimeo is: whoever gave its address wants to know.
    fn is_hopeless(&self, code: FailureCode) -> bool {
        let attempts = self.uploads.options.source_attempts;
        super::sources::is_exhausted(code, self.held.job.troubles.count, attempts)
    }

    pub(super) fn is_out_of_patience(&self) -> bool {
        let troubles = self.held.job.troubles;
        // Not the first trouble after a long quiet time.
        troubles.count >= PATIENT_TRIES
            && self.app.clock.now() > troubles.well_at.plus(self.uploads.options.patience)
    }

    /// Twice as long with each trouble, and not the same for all jobs that have it.
    fn trouble_pause(&self) -> Duration {
        let longest = TROUBLE_PAUSE
            .saturating_mul(1_u32.checked_shl(self.held.job.troubles.count.min(16)).unwrap_or(u32::MAX))
            .min(TROUBLE_PAUSE_MAX);
        let [random] = self.app.randomness.identifier_bytes::<1>();
        longest / 2 + longest / 2 * u32::from(random) / 255
    }

    /// Until `not_before`, at most so long.
    pub(super) fn pause_until(&self, not_before: Timestamp) -> Duration {
        let micros = not_before.as_micros() - self.app.clock.now().as_micros();
        let pause = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
        pause.clamp(Duration::from_millis(100), LIMIT_PAUSE_MAX)
    }

    /// Gives the job up. A video that may be whole is kept; what else it made at Vimeo is taken away next.
    async fn fail(&mut self, failure: Failure) -> Result<(), Interrupt> {
        tracing::debug!(job = %self.held.job.id, code = failure.code.as_str(), "a job fails");
        if let JobState::Abandoning(abandoning) = self.held.job.state.clone() {
            return self.leave(abandoning).await.map(drop);
        }
        match self.held.job.fail(failure) {
            Some(state) => self.enter(state).await,
            None => Ok(()),
        }
    }

    /// The next state; if it is the last one, with everything that belongs to the end.
    pub(super) async fn enter(&mut self, state: JobState) -> Result<(), Interrupt> {
        if state.is_over() {
            let change = self.app.last_change(&self.held, &state);
            return self.held.settle(state, change).await;
        }
        self.held.advance(state).await
    }

    /// What a failure at Vimeo leads to; `refused` is what a plain no means here.
    pub(super) fn step_of(&self, failed: vimeo::Failure, refused: FailureCode) -> Step {
        match failed {
            // A limit is waited for, also where its end is not known.
            vimeo::Failure::RetryLater { not_before, error: trouble }
                if not_before.is_some() || matches!(trouble, vimeo::TransportError::RateLimited { .. }) =>
            {
                tracing::info!(cause = %format_args!("Vimeo {trouble}"), "an upload is waiting for its next attempt");
                Step::Wait(not_before.map_or(LIMIT_PAUSE, |not_before| self.pause_until(not_before)))
            }
            vimeo::Failure::RetryLater { error: trouble, .. } | vimeo::Failure::Unknown(trouble) => {
                Step::Trouble(failure(FailureCode::VimeoUnavailable, format!("Vimeo {trouble}.")))
            }
            vimeo::Failure::Rejected(finding) => Step::Fail(failure(
                FailureCode::CredentialsRejected,
                format!("The connection's access token {finding}."),
            )),
            vimeo::Failure::LacksScope(scope) => Step::Fail(failure(
                FailureCode::ScopeMissing,
                format!(
                    "The connection's access token lacks the scope {scope}; generate a new one with it added."
                ),
            )),
            vimeo::Failure::Quota(said) => {
                Step::Fail(failure(FailureCode::QuotaExceeded, format!("Vimeo refused: {said}")))
            }
            vimeo::Failure::Refused(said) => Step::Fail(failure(refused, format!("Vimeo refused: {said}"))),
            vimeo::Failure::NotFound => {
                Step::Fail(failure(FailureCode::VideoDeleted, "The video was deleted at Vimeo."))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_logged;

    #[test]
    fn an_attempt_that_fails_is_logged_more_and_more_seldom() {
        let logged: Vec<_> = (1..=300).filter(|attempts| is_logged(*attempts)).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    }
}
