//! Jobs that cannot run: their connection is disabled or deleted, their row does not verify, or their secrets do not decrypt.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::Availability;
use domain::job::{Ending, FailureCode, Job, WaitingFor, Webhook};
use store::{Deferral, Deferred, SealedPart};

use super::diagnosis::pause_for_health;
use super::executor::end_commit;
use super::failures::failure;
use super::lease::{AbortReason, Commit, JobLease, NextRun};
use super::prepare::PrepareError;
use super::steps::placeholder_name;
use crate::context::Context;

/// A job of a disabled connection runs again after this, unless the connection is enabled before. It only matters if that
/// wake-up is lost.
const DISABLED_DELAY: Duration = Duration::from_hours(6);
/// Jobs of a connection that are put off together with one that found it disabled or its rate limit exhausted.
const DEFERRED_TOGETHER: u32 = 500;

/// What happens to a job that cannot run.
pub(super) async fn refuse(
    context: &Arc<Context>,
    lease: &mut JobLease,
    error: PrepareError,
) -> Result<(), AbortReason> {
    let id = lease.job.id.clone();
    match error {
        PrepareError::Tampered => {
            tracing::error!(
                job = %id, account = %lease.job.account_id,
                "the row of a job does not verify: it was changed in the database by something else, and is left alone"
            );
            lease.leave_alone().await
        }
        PrepareError::NewerFormat => {
            tracing::error!(
                job = %id, account = %lease.job.account_id, format = lease.job.request_format,
                "a later version of the service wrote a job; this version leaves it alone"
            );
            lease.leave_alone().await
        }
        PrepareError::ConnectionDisabled => pause_for_connection(context, lease).await,
        PrepareError::ConnectionUnhealthy => pause_for_health(context, lease).await,
        PrepareError::ConnectionDeleted => end_offline(context, lease, Ending::Cancelled).await,
        PrepareError::Undecryptable if lease.job.state.has_ended() => {
            let job = Job { webhook: Webhook::Exhausted, ..lease.job.clone() };
            lease.commit(Commit { request: SealedPart::Wiped, ..Commit::new(job, NextRun::Never) }).await
        }
        PrepareError::Undecryptable => {
            tracing::error!(job = %id, "the stored secrets of a job cannot be decrypted: they were damaged");
            let message = "The job's stored secrets can no longer be decrypted.";
            let failure = failure(FailureCode::Unreadable, message);
            end_offline(context, lease, Ending::Failed(failure)).await
        }
        PrepareError::Temporary(error) => {
            tracing::warn!(%error, job = %id, "a job could not run; it will be retried");
            Ok(())
        }
    }
}

/// The connection is disabled: its jobs wait until it is enabled.
pub(super) async fn pause_for_connection(
    context: &Arc<Context>,
    lease: &mut JobLease,
) -> Result<(), AbortReason> {
    lease.release(DISABLED_DELAY, Some(WaitingFor::Connection)).await?;
    let (account, connection) = (&lease.job.account_id, &lease.job.connection_id);
    defer(context, &lease.job, WaitingFor::Connection, DISABLED_DELAY).await;
    // It may have been enabled since it was read: then nothing else wakes these jobs.
    let found = context.store.find_connection(account, connection).await?;
    if found.is_some_and(|found| found.availability == Availability::Enabled) {
        let now = context.clock.now();
        context.store.wake_jobs(account, connection, WaitingFor::Connection, now).await?;
    }
    Ok(())
}

/// Puts off the due jobs of the same connection, which would find the same.
pub(super) async fn defer(context: &Context, job: &Job, waiting_for: WaitingFor, due_in: Duration) {
    // An upload that has started may need no credentials for a while.
    let deferred = if waiting_for == WaitingFor::Health { Deferred::Queued } else { Deferred::Unfinished };
    let deferral =
        Deferral { deferred, waiting_for, due_in, limit: DEFERRED_TOGETHER, now: context.clock.now() };
    if let Err(error) = context.store.defer_jobs(&job.account_id, &job.connection_id, &deferral).await {
        tracing::debug!(%error, "the waiting jobs of a connection could not be put off");
    }
}

/// Vimeo can no longer be asked: the job ends at once, and what may be left there is named.
async fn end_offline(
    context: &Arc<Context>,
    lease: &mut JobLease,
    ending: Ending,
) -> Result<(), AbortReason> {
    let is_failure = matches!(ending, Ending::Failed(_));
    let Some(ended) = lease.job.end_offline(&ending) else { return Ok(()) };
    let mut job = Job { state: ended.state, ..lease.job.clone() };
    if ended.is_unconfirmed {
        let name = placeholder_name(&job.id);
        job.warnings.push(format!("A video named “{name}” may still be at Vimeo."));
    }
    // The receiver is part of what does not decrypt.
    if is_failure {
        job.webhook = Webhook::None;
    }
    lease.commit(end_commit(context, job)).await
}
