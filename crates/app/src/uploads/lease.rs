//! The lease of a job: its heartbeat, and the only place that writes a job.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::audit::AuditEvent;
use domain::connection::Availability;
use domain::id::AccountId;
use domain::job::{Job, JobState, Uploading, WaitingFor};
use domain::secret::Sealed;
use domain::time::Timestamp;
use store::{
    Changed, Completion, JobGuard, JobUpdate, LeaseAfter, LeaseRelease, LeaseRenewal, LeasedJob,
    NewJobDelivery, SealedPart, SentBytes,
};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::job_metrics::report_end;
use super::transfer_counter::{Rate, TransferCounter};
use crate::context::Context;

/// How long a lease lasts unless it is renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// The same for a command that sends a local file: it is killed more often than a service, and its next run waits this long.
pub(super) const COMMAND_LEASE: Duration = Duration::from_secs(12);
/// How often it is renewed, and how often the progress is written.
const RENEWAL: Duration = Duration::from_secs(2);
/// A lease that could not be renewed counts as lost this long before it expires.
const MARGIN: Duration = Duration::from_secs(5);
/// Three renewals may fail before a lease is lost.
const _: () = assert!(RENEWAL.as_secs() * 3 + MARGIN.as_secs() < COMMAND_LEASE.as_secs());
/// How long the lease of a video that is opened at its time lasts: if the node is killed, another one opens it in time. Opening
/// it twice changes nothing, so that a lease may be lost easily.
pub(super) const PUBLICATION_LEASE: Duration = Duration::from_millis(1_200);
/// How often that is renewed.
const PUBLICATION_RENEWAL: Duration = Duration::from_millis(300);
/// How long before it expires it counts as lost.
const PUBLICATION_MARGIN: Duration = Duration::from_millis(200);
const _: () = assert!(
    PUBLICATION_RENEWAL.as_millis() * 3 + PUBLICATION_MARGIN.as_millis() < PUBLICATION_LEASE.as_millis()
);
const _: () = assert!(COMMAND_LEASE.as_secs() < LEASE.as_secs());
/// How long a job is left alone whose row does not verify.
const TAMPERED_DELAY: Duration = Duration::from_hours(1);

/// The lease of a job that this node runs.
pub(super) struct JobLease {
    pub(super) job: Job,
    /// The sealed upload link, if there is one.
    pub(super) link: Option<Sealed>,
    pub(super) counter: Arc<TransferCounter>,
    context: Arc<Context>,
    fence: u64,
    timing: LeaseTiming,
    /// When the lease was taken, or slightly later.
    leased_at: Instant,
    /// The same by the database's clock, or slightly earlier.
    database_leased_at: Timestamp,
    /// The job as it was written last, for the heartbeat.
    written: Arc<Mutex<Job>>,
    /// A write is in progress: if it is dropped, the stored state is unknown.
    is_writing: bool,
}

/// How long a lease lasts, and how it is renewed.
#[derive(Debug, Clone, Copy)]
struct LeaseTiming {
    duration: Duration,
    renewal: Duration,
    margin: Duration,
}

impl LeaseTiming {
    const UPLOAD: Self = Self { duration: LEASE, renewal: RENEWAL, margin: MARGIN };
    const COMMAND: Self = Self { duration: COMMAND_LEASE, ..Self::UPLOAD };
    const PUBLICATION: Self =
        Self { duration: PUBLICATION_LEASE, renewal: PUBLICATION_RENEWAL, margin: PUBLICATION_MARGIN };
}

/// Why work on a job stops before its step is done.
#[derive(Debug)]
pub(super) enum AbortReason {
    /// Another worker has the job now, or it was cancelled: nothing may be written any more.
    LeaseLost,
    /// The connection was disabled.
    ConnectionDisabled,
    /// The service shuts down.
    Shutdown,
    /// The database could not be used: the lease expires, and a worker finds the job then.
    Store(store::Error),
}

impl From<store::Error> for AbortReason {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// A write of a leased job.
#[derive(Debug)]
pub(super) struct Commit {
    /// The job as it is to be stored; its version is set by the lease.
    pub(super) job: Job,
    pub(super) next_run: NextRun,
    pub(super) request: SealedPart,
    pub(super) link: SealedPart,
    /// The stored response with the link, if there is one now.
    pub(super) answer: Option<Sealed>,
    pub(super) delivery: Option<NewJobDelivery>,
    pub(super) event: Option<AuditEvent>,
    pub(super) completion: Option<Completion>,
}

/// When a job runs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRun {
    /// It keeps running on this lease.
    Continue,
    /// At this instant by the database's clock: the lease is released.
    At(Timestamp),
    /// Later: the lease is released.
    In(Duration),
    /// Never again: the lease is released.
    Never,
}

impl Commit {
    /// The job, and nothing else.
    pub(super) fn new(job: Job, next_run: NextRun) -> Self {
        Self {
            job,
            next_run,
            request: SealedPart::Kept,
            link: SealedPart::Kept,
            answer: None,
            delivery: None,
            event: None,
            completion: None,
        }
    }
}

/// Writes a job, with its MAC: the only call of `update_job`. The version of the job must be one more than the stored one.
pub(super) async fn write(
    context: &Context,
    account: &AccountId,
    mut update: JobUpdate,
) -> Result<Changed, store::Error> {
    update.row_mac = context.mac_job(&update.job);
    let is_announced = update.event.as_ref().is_some_and(|event| event.announcement.is_some());
    let written = context.store.update_job(account, update).await;
    if is_announced { context.announced(written) } else { written }
}

impl JobLease {
    pub(super) fn new(leased: LeasedJob, context: Arc<Context>) -> Self {
        let LeasedJob { job, fence, link, leased_at: database_leased_at, .. } = leased;
        let written = Arc::new(Mutex::new(job.clone()));
        Self {
            job,
            link,
            counter: Arc::default(),
            context,
            fence,
            timing: LeaseTiming::UPLOAD,
            leased_at: Instant::now(),
            database_leased_at,
            written,
            is_writing: false,
        }
    }

    /// Renews it from now on for the time of a command.
    pub(super) fn shorten(&mut self) {
        self.timing = LeaseTiming::COMMAND;
    }

    /// Renews it from now on as that of a video that is opened at its time.
    pub(super) fn shorten_for_publication(&mut self) {
        self.timing = LeaseTiming::PUBLICATION;
    }

    /// The time by the database's clock, or slightly earlier.
    pub(super) fn database_now(&self) -> Timestamp {
        self.database_leased_at.plus(self.leased_at.elapsed())
    }

    /// Writes the job, and keeps or releases the lease.
    pub(super) async fn commit(&mut self, commit: Commit) -> Result<(), AbortReason> {
        let now = self.context.clock.now();
        let Commit { mut job, next_run, request, link, answer, delivery, mut event, completion } = commit;
        if job.is_playable && !self.job.is_playable && event.is_none() {
            event = Some(self.context.playable_event(&job));
        }
        job.version = self.job.version + 1;
        if is_visible_change(&self.job.state, &job.state) {
            job.updated_at = now;
        }
        job.bytes_per_second = match (&job.state, self.counter.running()) {
            (JobState::Uploading(_), Some(_)) => Some(self.counter.rate()),
            // The rate of a client is measured by the step that polls it.
            (JobState::Uploading(_), None) => job.bytes_per_second,
            _ => None,
        };
        let due_not_before = match next_run {
            NextRun::At(at) => Some(at),
            NextRun::Continue | NextRun::In(_) | NextRun::Never => None,
        };
        let (due_in, lease) = match next_run {
            NextRun::Continue => {
                job.waiting_for = None;
                (Some(Duration::ZERO), LeaseAfter::Kept(self.timing.duration))
            }
            NextRun::At(_) => (Some(Duration::ZERO), LeaseAfter::Released),
            NextRun::In(delay) => (Some(delay), LeaseAfter::Released),
            NextRun::Never => (None, LeaseAfter::Released),
        };
        let link_after = match &link {
            SealedPart::Kept | SealedPart::Retained => self.link.clone(),
            SealedPart::Replaced(sealed) => Some(sealed.clone()),
            SealedPart::Wiped => None,
        };
        let update = JobUpdate {
            guard: JobGuard::Fence(self.fence),
            job: job.clone(),
            row_mac: Vec::new(),
            due_in,
            due_not_before,
            lease,
            request,
            link,
            answer,
            delivery,
            event,
            completion,
            now,
        };
        self.is_writing = true;
        let written = write(&self.context, &self.job.account_id, update).await?;
        self.is_writing = false;
        match written {
            Changed::Yes => {
                tracing::debug!(job = %job.id, state = job.state.as_str(), "a job was written");
                if !self.job.state.has_ended() {
                    report_end(&job);
                }
                self.written.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&job);
                self.job = job;
                self.link = link_after;
                Ok(())
            }
            Changed::No => Err(AbortReason::LeaseLost),
        }
    }

    /// Releases the lease in the middle of the work; the job runs again after a delay. If the stored state is unknown, the
    /// lease expires instead.
    pub(super) async fn release(
        &mut self,
        delay: Duration,
        waiting_for: Option<WaitingFor>,
    ) -> Result<(), AbortReason> {
        if self.is_writing {
            return Ok(());
        }
        let mut job = Job { waiting_for, ..self.job.clone() };
        if let (JobState::Uploading(uploading), Some(sent)) = (&mut job.state, self.counter.running()) {
            uploading.sent = sent.min(uploading.size);
        }
        // The job did not cause this: its retries start from zero.
        job.retry = domain::job::RetryState::progressed(self.context.clock.now());
        self.commit(Commit::new(job, NextRun::In(delay))).await
    }

    /// Releases the lease of a job whose row does not verify, without writing anything of it.
    pub(super) async fn leave_alone(&self) -> Result<(), AbortReason> {
        let Job { account_id, id, .. } = &self.job;
        let release =
            LeaseRelease { fence: self.fence, due_in: TAMPERED_DELAY, now: self.context.clock.now() };
        self.context.store.release_job_lease(account_id, id, &release).await?;
        Ok(())
    }

    /// Renews the lease and writes the progress, until the lease is lost or the work must stop; returns the reason.
    pub(super) fn heartbeat(
        &self,
        stopping: CancellationToken,
    ) -> impl Future<Output = AbortReason> + Send + use<> {
        let (context, counter, written) = (self.context.clone(), self.counter.clone(), self.written.clone());
        let (account, id) = (self.job.account_id.clone(), self.job.id.clone());
        let (connection, fence) = (self.job.connection_id.clone(), self.fence);
        let (leased_at, LeaseTiming { duration, renewal, margin }) = (self.leased_at, self.timing);
        async move {
            let (mut renewed_at, mut rate) = (leased_at, Rate::default());
            loop {
                tokio::select! {
                    () = sleep(renewal) => {}
                    () = stopping.cancelled() => return AbortReason::Shutdown,
                }
                let asked_at = Instant::now();
                let sent = counter.running().and_then(|sent| {
                    let rate = rate.measure(sent, asked_at);
                    counter.set_rate(rate);
                    let job = written.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    progress(&context, job, sent, rate)
                });
                let renewal = LeaseRenewal { fence, lease: duration, sent, now: context.clock.now() };
                let renewing = context.store.renew_job_lease(&account, &id, &renewal);
                match timeout_at(renewed_at + duration - margin, renewing).await {
                    Ok(Ok(Changed::Yes)) => renewed_at = asked_at,
                    Ok(Ok(Changed::No)) | Err(_) => return AbortReason::LeaseLost,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, job = %id, "a lease could not be renewed; it will be retried");
                    }
                }
                // If it cannot be read now, it is read at the next heartbeat.
                if let Ok(Some(found)) = context.store.find_connection(&account, &connection).await
                    && found.availability == Availability::Disabled
                {
                    return AbortReason::ConnectionDisabled;
                }
            }
        }
    }
}

/// The progress of a job that was written like this, with the MAC that its row then has.
fn progress(context: &Context, mut job: Job, sent: u64, bytes_per_second: u64) -> Option<SentBytes> {
    let JobState::Uploading(uploading) = &mut job.state else { return None };
    uploading.sent = sent.min(uploading.size);
    let bytes = uploading.sent;
    Some(SentBytes { version: job.version, bytes, row_mac: context.mac_job(&job), bytes_per_second })
}

/// Whether a client that polls the job sees a difference.
fn is_visible_change(before: &JobState, after: &JobState) -> bool {
    match (before, after) {
        (JobState::Uploading(Uploading { sent: before, .. }), JobState::Uploading(after)) => {
            *before != after.sent
        }
        (before, after) => before.as_str() != after.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use domain::job::Queued;
    use domain::video::VideoNumber;

    use super::*;

    #[test]
    fn a_change_is_visible_if_the_state_or_the_bytes_changed() {
        let uploading = |sent| {
            JobState::Uploading(Uploading {
                target: VideoNumber::from_stored(1).into(),
                size: 9,
                sent,
                restarts: 0,
            })
        };
        assert!(is_visible_change(&uploading(1), &uploading(2)));
        assert!(!is_visible_change(&uploading(2), &uploading(2)));
        assert!(is_visible_change(&JobState::Queued(Queued::default()), &uploading(0)));
        let orphaned = JobState::Queued(Queued { restarts: 1, orphan: None });
        assert!(!is_visible_change(&JobState::Queued(Queued::default()), &orphaned));
    }
}
