//! The worker: it polls for due jobs, and runs as many at once as its slots allow.

use std::sync::Arc;
use std::time::Duration;

use domain::id::AccountId;
use domain::job::{Job, JobId};
use futures_util::stream::{self, StreamExt as _};
use store::{DueJob, DueLimits, LeaseTerms, LeasedJob, Work};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::executor::execute;
use super::lease::{LEASE, PUBLICATION_LEASE};
use super::setup::Uploads;
use super::slots::Slot;
use crate::{App, Caller, Error};

/// How often the database is polled for due jobs.
const POLL: Duration = Duration::from_millis(500);
/// The same for videos whose time has come. Those that wait cost nothing.
const PUBLICATION_POLL: Duration = Duration::from_millis(200);
/// How many of these are leased at once: their number must not depend on how long one commit takes.
const PUBLICATION_LEASES_AT_ONCE: usize = 16;
/// Jobs that end within this time are replaced by one poll.
const POLL_TOGETHER: Duration = Duration::from_millis(3);
/// Due jobs that are read beyond the free slots, because other workers may take the first ones.
const CANDIDATES_MORE: u32 = 32;

/// The span of everything that is logged while a job runs.
pub(super) fn job_span(job: &Job) -> tracing::Span {
    tracing::info_span!("job", job = %job.id, account = %job.account_id, connection = %job.connection_id)
}

/// The result of a request for the lease of one job.
pub(super) enum LeaseResult {
    Leased(Box<LeasedJob>),
    /// It is not due, or another worker has the lease.
    NotDue,
    /// The limits of its account or connection do not allow one more, or another worker was faster.
    Refused,
}

impl App {
    /// Runs due jobs until `stopping`, and then releases them.
    pub async fn run_worker(self: Arc<Self>, stopping: CancellationToken) {
        tokio::join!(self.clone().run_uploads(stopping.clone()), self.run_publications(stopping));
    }

    /// Opens videos whose time has come. An upload never delays this: it has its own slots.
    async fn run_publications(self: Arc<Self>, stopping: CancellationToken) {
        let Some(uploads) = self.uploads.clone() else { return };
        loop {
            if let Err(error) = self.start_due(&uploads, Work::Publication, &stopping).await {
                tracing::warn!(%error, "the videos to open could not be read");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = uploads.publication_wakeup.notified() => {}
                () = tokio::time::sleep(PUBLICATION_POLL) => {}
            }
            tokio::time::sleep(POLL_TOGETHER).await;
        }
    }

    async fn run_uploads(self: Arc<Self>, stopping: CancellationToken) {
        let Some(uploads) = self.uploads.clone() else { return };
        loop {
            if let Err(error) = self.clone().poll(&stopping).await {
                tracing::warn!(%error, "the due jobs could not be read");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = uploads.wakeup.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            tokio::time::sleep(POLL_TOGETHER).await;
        }
    }

    /// Runs one job of the caller if it is due and no worker runs it: for a command that follows its job where no service runs.
    /// Returns whether it ran.
    pub async fn run_one(
        &self,
        caller: &Caller,
        id: &JobId,
        stopping: &CancellationToken,
    ) -> Result<bool, Error> {
        let Some(uploads) = &self.uploads else { return Ok(false) };
        for work in [Work::Upload, Work::Publication, Work::Webhook] {
            let LeaseResult::Leased(leased) =
                self.lease_due(uploads, (&caller.account_id, id), work, LEASE).await?
            else {
                continue;
            };
            let span = job_span(&leased.job);
            execute(&self.context, uploads, *leased, (None, stopping.clone())).instrument(span).await;
            Box::pin(self.deliver_of_job(&caller.account_id, id)).await?;
            return Ok(true);
        }
        Box::pin(self.deliver_of_job(&caller.account_id, id)).await?;
        Ok(false)
    }

    /// Leases one job if it is due.
    pub(super) async fn lease_due(
        &self,
        uploads: &Uploads,
        (account, id): (&AccountId, &JobId),
        work: Work,
        lease: Duration,
    ) -> Result<LeaseResult, Error> {
        let now = self.clock.now();
        let Some(fence) = self.store.find_fence_of_due_job(account, id, work, now).await? else {
            return Ok(LeaseResult::NotDue);
        };
        let terms = LeaseTerms { lease, ..self.terms(uploads, work, fence) };
        let leased = self.store.lease_job(account, id, &terms).await?;
        Ok(leased.map_or(LeaseResult::Refused, |leased| LeaseResult::Leased(Box::new(leased))))
    }

    fn terms(&self, uploads: &Uploads, work: Work, expected_fence: u64) -> LeaseTerms {
        let (per_account, per_connection) = caps(uploads, work);
        let lease = match work {
            Work::Publication => PUBLICATION_LEASE,
            Work::Upload | Work::Webhook => LEASE,
        };
        LeaseTerms { expected_fence, lease, per_account, per_connection, now: self.clock.now() }
    }

    /// Leases due jobs while there are free slots, and starts them; returns how many.
    pub async fn poll(self: Arc<Self>, stopping: &CancellationToken) -> Result<usize, Error> {
        let Some(uploads) = self.uploads.clone() else { return Ok(0) };
        let webhooks = self.start_due(&uploads, Work::Webhook, stopping).await?;
        Ok(webhooks + self.start_due(&uploads, Work::Upload, stopping).await?)
    }

    async fn start_due(
        self: &Arc<Self>,
        uploads: &Arc<Uploads>,
        work: Work,
        stopping: &CancellationToken,
    ) -> Result<usize, Error> {
        let slots = match work {
            Work::Upload => &uploads.slots,
            Work::Webhook => &uploads.webhook_slots,
            Work::Publication => &uploads.publication_slots,
        };
        let free = slots.free();
        if free == 0 {
            return Ok(0);
        }
        let total = u32::try_from(free).unwrap_or(u32::MAX).saturating_add(CANDIDATES_MORE);
        let (per_account, per_connection) = caps(uploads, work);
        let limits = DueLimits { total, per_account, per_connection };
        let due = self.store.list_due_jobs(self.clock.now(), work, &limits).await?;
        // All are awaited, so that the next poll tries none of them twice.
        let started = stream::iter(due)
            .map(|due| async move {
                if stopping.is_cancelled() {
                    return 0;
                }
                // Another account may still get one.
                let Some(slot) = slots.take(&due.account_id) else { return 0 };
                usize::from(self.start_one(uploads, work, (due, slot), stopping).await)
            })
            .buffer_unordered(leases_at_once(work));
        Ok(started.fold(0, async |all, one| all + one).await)
    }

    /// Leases a due job and starts it; returns whether it was leased.
    async fn start_one(
        self: &Arc<Self>,
        uploads: &Arc<Uploads>,
        work: Work,
        (due, slot): (DueJob, Slot),
        stopping: &CancellationToken,
    ) -> bool {
        let terms = self.terms(uploads, work, due.fence);
        let leased = match self.store.lease_job(&due.account_id, &due.id, &terms).await {
            Ok(Some(leased)) => leased,
            Ok(None) => return false,
            // A job that cannot be read must not block the others.
            Err(error) => {
                tracing::warn!(%error, job = %due.id, account = %due.account_id, "a job could not be leased");
                return false;
            }
        };
        let (app, uploads, stopping) = (self.clone(), uploads.clone(), stopping.clone());
        self.tasks.spawn(async move {
            let span = job_span(&leased.job);
            execute(&app.context, &uploads, leased, (None, stopping)).instrument(span).await;
            drop(slot);
            // There is a free slot, and this job may be due at once.
            uploads.wakeup.notify_one();
            if work == Work::Publication {
                uploads.publication_wakeup.notify_one();
            }
        });
        true
    }
}

/// How many leases are taken at once. Those of uploads are counted per account, so that one waits for the other anyway.
fn leases_at_once(work: Work) -> usize {
    match work {
        Work::Upload | Work::Webhook => 1,
        Work::Publication => PUBLICATION_LEASES_AT_ONCE,
    }
}

/// The most running jobs of an account and of a connection. How many webhooks a node sends at once is up to the node; so is how
/// many videos it opens whose time has come.
fn caps(uploads: &Uploads, work: Work) -> (u32, u32) {
    match work {
        Work::Upload => (uploads.options.per_account, uploads.options.per_connection),
        Work::Webhook | Work::Publication => (u32::MAX, u32::MAX),
    }
}
