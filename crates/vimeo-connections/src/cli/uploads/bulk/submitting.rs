//! Submits the lines. A request that the service does not take now is repeated; meanwhile the other lines wait too.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::super::Stopped;
use super::super::once::{HELD_FOR, TIMES, started_too_often};
use super::super::submission::{Accepted, Submission};
use super::Bulk;
use super::board::{Stage, State, ended};
use super::decision::{Fault, Next, WaitReason, next};
use super::entries::Entry;
use super::report_file::{Record, Status};
use super::service::Failed;
use crate::cli::BoxError;
use crate::cli::jobs::JobView;

/// When requests may be sent.
pub(super) struct Gate {
    opens_at: Mutex<Instant>,
    /// When the service last answered.
    answered_at: Mutex<Instant>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { opens_at: Mutex::new(Instant::now()), answered_at: Mutex::new(Instant::now()) }
    }

    fn close_for(&self, pause: Duration) {
        let mut opens_at = self.opens_at.lock().unwrap_or_else(PoisonError::into_inner);
        *opens_at = (*opens_at).max(Instant::now() + pause);
    }

    async fn pass(&self) {
        let opens_at = *self.opens_at.lock().unwrap_or_else(PoisonError::into_inner);
        sleep_until(opens_at).await;
    }

    fn answered(&self) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn unreachable_for(&self) -> Duration {
        self.answered_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// What a line has become.
pub(super) enum Submitted {
    /// Its job is in progress.
    InProgress(Accepted),
    /// It needs nothing more in this run.
    Settled,
}

impl Bulk<'_> {
    /// Submits a line, or finds its upload of an earlier run.
    pub(super) async fn submit(&self, place: usize, entry: &Entry) -> Result<Submitted, BoxError> {
        for time in 1..=TIMES {
            let key = entry.key(time)?;
            let submission = match self.repeat(|| self.service.submit(entry, key.clone())).await? {
                Ok(submission) => submission,
                Err(failed) => return self.refuse(place, entry, &failed).await,
            };
            self.board.set_reason(None);
            let (id, accepted) = match submission {
                Submission::Fresh(accepted) => return self.accept(entry, accepted).await,
                Submission::Known(accepted) => (accepted.id.clone(), Some(accepted)),
                Submission::Ended(Some(id)) => (id, None),
                Submission::Ended(None) => continue,
                Submission::Reused if self.options.repeats_failed() => continue,
                Submission::Reused => {
                    let error = "the same line was submitted before with another password or header; \
                                 --retry-failed submits it again";
                    let failed = Failed {
                        fault: Fault::Code {
                            code: "IDEMPOTENCY_KEY_REUSED".to_owned(),
                            status: 409,
                            retry_after: None,
                        },
                        error: error.into(),
                    };
                    return self.refuse(place, entry, &failed).await;
                }
            };
            let job = match self.repeat(|| self.service.find(&id)).await? {
                Ok(Some(job)) => job,
                Ok(None) => continue,
                Err(failed) => return self.refuse(place, entry, &failed).await,
            };
            match (ended(&job), accepted) {
                (Some(Status::Completed), _) if self.options.uploads_again() => {}
                (Some(status), _) if status != Status::Completed && self.options.repeats_failed() => {}
                (Some(_), _) => {
                    self.settle(place, entry, &job).await?;
                    return Ok(Submitted::Settled);
                }
                (None, accepted) => {
                    let accepted = accepted.unwrap_or(Accepted { id, link: None });
                    return self.accept(entry, accepted).await;
                }
            }
        }
        self.leave(place, entry, &started_too_often());
        Ok(Submitted::Settled)
    }

    async fn accept(&self, entry: &Entry, accepted: Accepted) -> Result<Submitted, BoxError> {
        let job_id = Some(accepted.id.as_str().to_owned());
        self.record(&Record { job_id, ..record_of(entry, Status::Accepted) }).await?;
        Ok(Submitted::InProgress(accepted))
    }

    /// Records the end of a job.
    pub(super) async fn settle(&self, place: usize, entry: &Entry, job: &JobView) -> Result<(), BoxError> {
        let Some(status) = ended(job) else { return Ok(()) };
        let text =
            |field: &str| job.json.get("data").and_then(|data| data.get(field)?.as_str()).map(str::to_owned);
        let record = Record {
            job_id: Some(job.id().to_owned()),
            vimeo_uri: text("vimeoUri"),
            link: text("vimeoUrl"),
            error_code: text("error_code"),
            error_message: text("error_message"),
            ..record_of(entry, status)
        };
        self.board.set(place, State::Ended(status));
        self.record(&record).await?;
        self.say_failure(&record);
        for warning in job.warnings() {
            self.board.say(&format!("line {}: warning: {warning}", entry.line));
        }
        Ok(())
    }

    /// Records that a line failed without a job.
    pub(super) async fn refuse(
        &self,
        place: usize,
        entry: &Entry,
        failed: &Failed,
    ) -> Result<Submitted, BoxError> {
        let (error_code, error_message) = (Some(failed.code()), Some(failed.error.to_string()));
        let record = Record { error_code, error_message, ..record_of(entry, Status::Failed) };
        self.board.set(place, State::Ended(Status::Failed));
        self.record(&record).await?;
        self.say_failure(&record);
        Ok(Submitted::Settled)
    }

    /// This run cannot complete the line; the report says that it is in progress.
    pub(super) fn leave(&self, place: usize, entry: &Entry, error: &BoxError) {
        self.board.set(place, State::Unfinished);
        self.board.say(&format!("line {}: {error}", entry.line));
    }

    /// Sends a request until the service takes it. The inner error is that of the line, the outer one ends the command.
    pub(super) async fn repeat<T>(
        &self,
        request: impl AsyncFn() -> Result<T, Failed>,
    ) -> Result<Result<T, Failed>, BoxError> {
        let started_at = Instant::now();
        loop {
            if self.ending.run_until_cancelled(self.gate.pass()).await.is_none() {
                return Err(Stopped.into());
            }
            // Not cancelled midway, which would leave a placeholder behind.
            let failed = match request().await {
                Ok(answer) => {
                    self.gate.answered();
                    return Ok(Ok(answer));
                }
                Err(failed) => failed,
            };
            if failed.fault != Fault::Unreachable {
                self.gate.answered();
            }
            let pause = match next(&failed.fault, self.gate.unreachable_for()) {
                Next::WaitAll(pause, reason) => {
                    self.board.set_reason(Some(reason));
                    self.gate.close_for(pause);
                    continue;
                }
                Next::WaitLine(pause) if started_at.elapsed() < HELD_FOR => pause,
                Next::WaitLine(_) | Next::FailLine => return Ok(Err(failed)),
                Next::Stop => return Err(failed.error),
            };
            self.board.set_reason(Some(WaitReason::EarlierRequest));
            if self.ending.run_until_cancelled(sleep(pause)).await.is_none() {
                return Err(Stopped.into());
            }
        }
    }
}

/// A record without a job.
pub(super) fn record_of(entry: &Entry, status: Status) -> Record {
    Record {
        digest: entry.digest.clone(),
        line: entry.line,
        status,
        job_id: None,
        vimeo_uri: None,
        link: None,
        error_code: None,
        error_message: None,
    }
}

/// The state of an accepted job whose phase is not known yet.
pub(super) fn accepted_state(accepted: &Accepted) -> State {
    State::InProgress(accepted.id.clone(), Stage::Queued)
}
