//! A job that this node holds a lease of: every change of it goes through here, and is compared with the fence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::audit::AuditEvent;
use domain::connection::Availability;
use domain::job::{Job, JobState, Troubles};
use domain::secret::Sealed;
use domain::video::VideoNumber;
use store::{
    Changed, Completion, JobGuard, JobSettlement, LeaseAfter, LeaseRenewal, LeasedJob, SealedPart, Store,
};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::Clock;

/// How long a lease lasts unless it is renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// How often it is renewed; also how often progress is written.
const RENEWAL: Duration = Duration::from_secs(2);
/// So long before its end a lease that could not be renewed counts as lost.
const MARGIN: Duration = Duration::from_secs(5);
/// Three renewals may fail before the lease is given up.
const _: () = assert!(RENEWAL.as_secs() * 3 + MARGIN.as_secs() < LEASE.as_secs());
/// Of the rate, how much the last interval counts, in hundredths.
const RATE_WEIGHT: u64 = 30;

/// A leased job.
pub(super) struct Held {
    pub(super) job: Job,
    /// The sealed upload link, if there is one.
    pub(super) link: Option<Sealed>,
    pub(super) meter: Arc<Meter>,
    store: Arc<dyn Store>,
    clock: Clock,
    fence: u64,
    /// When the lease was taken, or a moment later.
    leased_at: Instant,
    /// A settlement is on its way: dropped in the middle, nobody knows which state is stored.
    is_settling: bool,
}

/// How many bytes were sent, counted while they go.
#[derive(Debug, Default)]
pub(super) struct Meter {
    sent: AtomicU64,
    /// Bytes per second lately.
    rate: AtomicU64,
    /// Whether anything is being sent that is worth writing down.
    is_running: AtomicBool,
}

impl Meter {
    /// Bytes are sent from this offset on.
    pub(super) fn start(&self, offset: u64) {
        self.sent.store(offset, Ordering::Relaxed);
        self.is_running.store(true, Ordering::Relaxed);
    }

    /// So many more.
    pub(super) fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Nothing is being sent any more.
    pub(super) fn stop(&self) {
        self.is_running.store(false, Ordering::Relaxed);
    }

    /// The offset, while something is being sent.
    pub(super) fn running(&self) -> Option<u64> {
        self.is_running.load(Ordering::Relaxed).then(|| self.sent.load(Ordering::Relaxed))
    }
}

/// Why work on a job stops before it is done.
#[derive(Debug)]
pub(super) enum Interrupt {
    /// Somebody else has the job now, or it was cancelled: nothing may be written any more.
    Lost,
    /// The connection was disabled.
    Disabled,
    /// It was given back: this attendance is over.
    Done,
    /// The service stops.
    Stopping,
    /// The database could not be used; the lease runs out, and somebody finds the job then.
    Store(store::Error),
}

impl From<store::Error> for Interrupt {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// What is written together with a job's new state.
#[derive(Debug)]
pub(super) struct Change {
    /// `None`: the holder goes on.
    pub(super) due: Option<Due>,
    pub(super) request: SealedPart,
    pub(super) link: SealedPart,
    /// The answer with the link that a repeated request gets, if there is one now.
    pub(super) answer: Option<Sealed>,
    pub(super) event: Option<AuditEvent>,
    pub(super) completion: Option<Completion>,
    pub(super) troubles: Trouble,
}

/// When something is to be done next by whoever finds the job.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    In(Duration),
    Never,
}

/// Whether what happened is a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No: patience begins anew.
    None,
    /// Neither: one waits for somebody else.
    Waiting,
    /// Yes, one more.
    More,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            due: None,
            request: SealedPart::Kept,
            link: SealedPart::Kept,
            answer: None,
            event: None,
            completion: None,
            troubles: Trouble::None,
        }
    }
}

impl Held {
    pub(super) fn new(leased: LeasedJob, store: Arc<dyn Store>, clock: Clock) -> Self {
        let LeasedJob { job, fence, link, .. } = leased;
        Self {
            job,
            link,
            meter: Arc::default(),
            store,
            clock,
            fence,
            leased_at: Instant::now(),
            is_settling: false,
        }
    }

    /// Writes the job's new state, and goes on holding it, or not.
    pub(super) async fn settle(&mut self, state: JobState, change: Change) -> Result<(), Interrupt> {
        let now = self.clock.now();
        let mut job = self.job.clone();
        job.version += 1;
        if is_change(&job.state, &state) {
            job.updated_at = now;
        }
        job.state = state;
        job.troubles = match change.troubles {
            Trouble::None => Troubles::none(now),
            Trouble::Waiting => job.troubles,
            Trouble::More => job.troubles.one_more(),
        };
        job.bytes_per_second = match (&job.state, self.meter.running()) {
            (JobState::Sending(_), Some(_)) => Some(self.meter.rate.load(Ordering::Relaxed)),
            // A client's own sending is measured by whoever watches it.
            (JobState::Sending(_), None) => job.bytes_per_second,
            _ => None,
        };
        let (due_in, lease) = match change.due {
            None => (Some(Duration::ZERO), LeaseAfter::Kept(LEASE)),
            Some(Due::In(pause)) => (Some(pause), LeaseAfter::Released),
            Some(Due::Never) => (None, LeaseAfter::Released),
        };
        let link_after = match &change.link {
            SealedPart::Kept => self.link.clone(),
            SealedPart::Replaced(sealed) => Some(sealed.clone()),
            SealedPart::Wiped => None,
        };
        let settlement = JobSettlement {
            guard: JobGuard::Fence(self.fence),
            job: job.clone(),
            due_in,
            lease,
            request: change.request,
            link: change.link,
            answer: change.answer,
            event: change.event,
            completion: change.completion,
            now,
        };
        self.is_settling = true;
        let settled = self.store.settle_job(&self.job.account_id, settlement).await?;
        self.is_settling = false;
        match settled {
            Changed::Yes => {
                tracing::debug!(job = %job.id, state = job.state.as_str(), "a job changed its state");
                if !self.job.state.is_over() {
                    log_end(&job);
                }
                self.job = job;
                self.link = link_after;
                Ok(())
            }
            Changed::No => Err(Interrupt::Lost),
        }
    }

    /// Gives the lease back in the middle of the work, for somebody to go on after a pause. Where it is not known what is
    /// stored, the lease just runs out.
    pub(super) async fn let_go(&mut self, pause: Duration) -> Result<(), Interrupt> {
        if self.is_settling {
            return Ok(());
        }
        let mut state = self.job.state.clone();
        if let (JobState::Sending(sending), Some(sent)) = (&mut state, self.meter.running()) {
            sending.sent = sent.min(sending.size);
        }
        // Nothing of this is the job's trouble: patience begins anew.
        let change = Change { due: Some(Due::In(pause)), ..Change::default() };
        self.settle(state, change).await
    }

    /// Something that went less well than asked for; written with the next state.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if !self.job.warnings.contains(&warning) {
            self.job.warnings.push(warning);
        }
    }

    /// Names a video that is left at Vimeo and may not be deleted: from now on it is not looked at any more.
    pub(super) fn warn_of(&mut self, video: VideoNumber) {
        self.warn(format!("{video} could not be deleted at Vimeo; delete it there."));
    }

    /// Whether that was done.
    pub(super) fn is_warned_of(&self, video: VideoNumber) -> bool {
        let beginning = format!("{video} ");
        self.job.warnings.iter().any(|warning| warning.starts_with(&beginning))
    }

    /// The same state once more: a last look, before something that cannot be undone, whether the lease is still ours.
    pub(super) async fn assure(&mut self) -> Result<(), Interrupt> {
        self.advance_without_progress(self.job.state.clone()).await
    }

    /// Another state that is no progress by itself; the holder goes on, and patience is not begun anew.
    pub(super) async fn advance_without_progress(&mut self, state: JobState) -> Result<(), Interrupt> {
        self.settle(state, Change { troubles: Trouble::Waiting, ..Change::default() }).await
    }

    /// The next state; the holder goes on.
    pub(super) async fn advance(&mut self, state: JobState) -> Result<(), Interrupt> {
        self.settle(state, Change::default()).await
    }

    /// Keeps the lease alive, and writes what was sent, until it is lost or the work must stop; gives the reason.
    pub(super) fn keep(&self, stopping: CancellationToken) -> impl Future<Output = Interrupt> + Send + use<> {
        let (store, clock, meter) = (self.store.clone(), self.clock.clone(), self.meter.clone());
        let (account, id) = (self.job.account_id.clone(), self.job.id.clone());
        let (connection, fence) = (self.job.connection_id.clone(), self.fence);
        let leased_at = self.leased_at;
        async move {
            let (mut kept_at, mut rate) = (leased_at, Rate::default());
            loop {
                tokio::select! {
                    () = sleep(RENEWAL) => {}
                    () = stopping.cancelled() => return Interrupt::Stopping,
                }
                let asked_at = Instant::now();
                let sent = meter.running().map(|sent| (sent, rate.measure(sent, asked_at)));
                if let Some((_, rate)) = sent {
                    meter.rate.store(rate, Ordering::Relaxed);
                }
                let renewal = LeaseRenewal { fence, lease: LEASE, sent, now: clock.now() };
                let renewing = store.renew_job_lease(&account, &id, &renewal);
                match timeout_at(kept_at + LEASE - MARGIN, renewing).await {
                    Ok(Ok(Changed::Yes)) => kept_at = asked_at,
                    Ok(Ok(Changed::No)) | Err(_) => return Interrupt::Lost,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, job = %id, "a lease could not be renewed; it will be retried");
                    }
                }
                // What cannot be read now is looked at again the next time.
                if let Ok(Some(found)) = store.find_connection(&account, &connection).await
                    && found.availability == Availability::Disabled
                {
                    return Interrupt::Disabled;
                }
            }
        }
    }
}

/// One line when an upload has ended. The span of the work says whose it is.
fn log_end(job: &Job) {
    match &job.state {
        JobState::Completed(completed) => {
            tracing::info!(video = %completed.video, bytes = completed.size, "an upload has completed");
        }
        JobState::Failed(failed) => {
            tracing::info!(code = failed.failure.code.as_str(), "an upload has failed");
        }
        JobState::Cancelled(_) => tracing::info!("an upload has been cancelled"),
        _ => {}
    }
}

/// Whether somebody who watches the job sees a difference.
fn is_change(before: &JobState, after: &JobState) -> bool {
    match (before, after) {
        (JobState::Sending(before), JobState::Sending(after)) => before.sent != after.sent,
        (before, after) => before.as_str() != after.as_str(),
    }
}

/// Bytes per second, smoothed.
#[derive(Default)]
struct Rate {
    last: Option<(u64, Instant)>,
    rate: Option<u64>,
}

impl Rate {
    fn measure(&mut self, sent: u64, at: Instant) -> u64 {
        if let Some((before, then)) = self.last {
            let millis = u64::try_from(at.duration_since(then).as_millis()).unwrap_or(u64::MAX).max(1);
            let bytes = u128::from(sent.saturating_sub(before)) * 1_000 / u128::from(millis);
            let latest = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.rate = Some(match self.rate {
                None => latest,
                Some(rate) => {
                    let mixed = u128::from(rate) * u128::from(100 - RATE_WEIGHT)
                        + u128::from(latest) * u128::from(RATE_WEIGHT);
                    u64::try_from(mixed / 100).unwrap_or(u64::MAX)
                }
            });
        }
        self.last = Some((sent, at));
        self.rate.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_follows_what_is_sent() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.measure(1_000, at(0)), 0);
        assert_eq!(rate.measure(3_000, at(2)), 1_000);
        assert_eq!(rate.measure(7_000, at(4)), 1_300);
        assert_eq!(rate.measure(7_000, at(6)), 910);
        assert_eq!(rate.measure(0, at(8)), 637, "an offset that goes back counts as nothing sent");
    }
}
