//! Hands the webhook of a job that has ended over to the deliveries, and records in the job how that ended.

use std::sync::Arc;

use domain::id::AccountId;
use domain::job::{Job, JobId, Webhook};
use store::{Changed, JobGuard, JobUpdate, LeaseAfter, SealedPart};

use super::executor::{abort, request_after};
use super::lease::{self, AbortReason, Commit, JobLease, NextRun};
use super::prepare::{self, PrepareError};
use super::request::UploadRequest;
use crate::Error;
use crate::context::Context;
use crate::webhooks::new_delivery;

/// Attempts of a write that meets another write of the job each time.
const WRITE_ATTEMPTS: u32 = 20;

/// Adds the delivery of a job's webhook, in the transaction that wipes the sealed request, unless a retry may need it. The job
/// stays without work; it shows a waiting webhook until the delivery has ended.
pub(super) async fn hand_over(
    context: &Arc<Context>,
    lease: &mut JobLease,
    request: Option<UploadRequest>,
) -> Result<(), AbortReason> {
    let Webhook::Waiting { .. } = lease.job.webhook else {
        // Nothing is due.
        return end(lease, lease.job.webhook).await;
    };
    let Some(target) = request.and_then(|request| request.webhook) else {
        return end(lease, Webhook::Exhausted).await;
    };
    let Some(delivery) = new_delivery(context, &lease.job, &target).await.map_err(abort)? else {
        return end(lease, Webhook::Exhausted).await;
    };
    let job = Job { webhook: Webhook::Waiting { attempts: 0 }, ..lease.job.clone() };
    lease.commit(Commit { delivery: Some(delivery), ..without_work(job) }).await?;
    context.announcer.wakeup.notify_one();
    Ok(())
}

/// Nothing more is due, and nothing is handed over.
async fn end(lease: &mut JobLease, webhook: Webhook) -> Result<(), AbortReason> {
    let job = Job { webhook, ..lease.job.clone() };
    lease.commit(without_work(job)).await
}

fn without_work(job: Job) -> Commit {
    let request = request_after(&job);
    Commit { request, link: SealedPart::Wiped, ..Commit::new(job, NextRun::Never) }
}

/// Records how the delivery of a job's webhook ended. A job that is gone, or that something else changed, stays as it is.
pub(crate) async fn record(
    context: &Context,
    (account, id): (&AccountId, &JobId),
    webhook: Webhook,
) -> Result<(), Error> {
    for _ in 0..WRITE_ATTEMPTS {
        let Some(found) = context.store.find_stored_job(account, id).await? else { return Ok(()) };
        let Webhook::Waiting { .. } = found.job.webhook else { return Ok(()) };
        match prepare::verify(context, &found.job, found.row_mac.as_deref(), found.request.as_ref()).await {
            // What is sealed is not needed.
            Ok(_) | Err(PrepareError::Undecryptable) => {}
            Err(PrepareError::Temporary(error)) => return Err(error),
            Err(_) => {
                tracing::error!(job = %id, %account, "the row of a job does not verify: how its webhook ended is not recorded");
                return Ok(());
            }
        }
        let update = JobUpdate {
            guard: JobGuard::Version(found.job.version),
            due_in: None,
            due_not_before: None,
            lease: LeaseAfter::Released,
            request: SealedPart::Kept,
            link: SealedPart::Kept,
            answer: None,
            delivery: None,
            event: None,
            completion: None,
            row_mac: Vec::new(),
            now: context.clock.now(),
            job: Job { version: found.job.version + 1, webhook, ..found.job },
        };
        if lease::write(context, account, update).await? == Changed::Yes {
            return Ok(());
        }
    }
    Err(Error::Overloaded)
}
