//! Creates an upload link while a client waits for it.

use std::sync::Arc;
use std::time::Duration;

use domain::job::{Ending, Failure, Job, JobState, WaitingFor};
use domain::secret::Sealed;
use store::{Completion, LeasedJob};

use super::ClientUpload;
use super::diagnosis::Diagnosis;
use super::executor::Executor;
use super::lease::{AbortReason, Commit, JobLease, NextRun};
use super::outcome::{StepOutcome, Then, apply};
use super::prepare::{self, PrepareError};
use super::setup::Uploads;
use super::steps::Memory;
use crate::Error;
use crate::context::Context;

/// When to retry if Vimeo did not say.
const RETRY_SECONDS: u64 = 10;
/// When the client's progress is polled first.
const FIRST_POLL: Duration = Duration::from_secs(2);

/// What became of the request for a link.
pub(super) enum LinkResult {
    /// The link.
    Created(ClientUpload),
    /// Vimeo does not accept such an upload; the job has failed.
    Refused(Failure),
    /// Vimeo could not be asked; the job was cancelled, and what it may have created is cleaned up.
    Unavailable { retry_after_seconds: u64 },
}

/// The stored response of an idempotent request for a link.
pub(super) struct LinkCompletion {
    /// That the request was done, and by which job.
    pub(super) completion: Completion,
    /// The response with the link, sealed: the job keeps it, so that it is wiped with the link.
    pub(super) answer: Sealed,
}

/// Creates the placeholder of a job that the caller has just added, and returns its link. `complete` makes what is written
/// together with it, so that a repeated request gets the same response.
pub(super) async fn create_link<F>(
    context: &Arc<Context>,
    uploads: &Uploads,
    leased: LeasedJob,
    complete: impl FnOnce(ClientUpload) -> F,
) -> Result<LinkResult, Error>
where
    F: Future<Output = Result<Option<LinkCompletion>, Error>>,
{
    let (row_mac, sealed) = (leased.row_mac.clone(), leased.request.clone());
    let lease = JobLease::new(leased, context.clone());
    let request = prepare::verify(context, &lease.job, row_mac.as_deref(), sealed.as_ref()).await;
    let prepared = match request {
        Ok(request) => prepare::prepare(context, uploads, &lease.job, request).await,
        Err(error) => Err(error),
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(PrepareError::ConnectionDisabled | PrepareError::ConnectionUnhealthy) => {
            return Err(Error::ConnectionDisabled);
        }
        Err(PrepareError::ConnectionDeleted) => return Err(Error::ConnectionNotFound),
        Err(PrepareError::Undecryptable | PrepareError::Tampered | PrepareError::NewerFormat) => {
            return Err(seal::CryptoError::Decrypt.into());
        }
        Err(PrepareError::Temporary(error)) => return Err(error),
    };
    let mut executor = Executor { context, uploads, lease, prepared, memory: Memory::default() };
    match executor.create_link(complete).await {
        Ok(created) => Ok(created),
        // Cancelled, or the connection was deleted, at the same moment.
        Err(AbortReason::LeaseLost) => Err(Error::ConnectionNotFound),
        Err(AbortReason::Store(error)) => Err(error.into()),
        Err(AbortReason::ConnectionDisabled | AbortReason::Shutdown) => {
            Ok(LinkResult::Unavailable { retry_after_seconds: RETRY_SECONDS })
        }
    }
}

impl Executor<'_> {
    async fn create_link<F>(
        &mut self,
        complete: impl FnOnce(ClientUpload) -> F,
    ) -> Result<LinkResult, AbortReason>
    where
        F: Future<Output = Result<Option<LinkCompletion>, Error>>,
    {
        loop {
            let Some(StepOutcome { next, patch, then }) = self.step(None).await else {
                return Err(AbortReason::LeaseLost);
            };
            let job = apply(&self.lease.job, next, &patch);
            match (then, &patch.link) {
                (Then::Continue(_), Some(link)) => {
                    let Some(video) = job.video() else { return Err(AbortReason::LeaseLost) };
                    let upload = ClientUpload { job_id: job.id.clone(), video, link: link.clone() };
                    let completed = complete(upload.clone()).await.map_err(super::executor::abort)?;
                    let (completion, answer) =
                        completed.map(|completed| (completed.completion, completed.answer)).unzip();
                    let link = self.seal_link(&job, link).await?;
                    let job = Job { waiting_for: Some(WaitingFor::Client), ..job };
                    let commit = Commit::new(job, NextRun::In(FIRST_POLL));
                    self.lease.commit(Commit { link, answer, completion, ..commit }).await?;
                    return Ok(LinkResult::Created(upload));
                }
                (Then::Continue(_), None) => {
                    self.lease.commit(Commit::new(job, NextRun::Continue)).await?;
                }
                (Then::Fail(failure), _) => {
                    // The client waits: a connection that is found to be unhealthy refuses its next request.
                    let failure = match self.diagnose(&job, failure.clone()).await? {
                        Diagnosis::Fail(failure) => failure,
                        Diagnosis::Wait | Diagnosis::TryAgain | Diagnosis::Retry(_) => failure,
                    };
                    self.end(job, Ending::Failed(failure.clone())).await?;
                    return Ok(LinkResult::Refused(failure));
                }
                (then, _) => {
                    let is_unasked = matches!(job.state, JobState::Queued(_));
                    self.end(job, Ending::Cancelled).await?;
                    let retry_after_seconds = match then {
                        Then::Snooze(delay, _) if is_unasked => delay.as_secs().max(1),
                        _ => RETRY_SECONDS,
                    };
                    return Ok(LinkResult::Unavailable { retry_after_seconds });
                }
            }
        }
    }
}
