//! The queue's side that works: jobs that are due are leased and attended to, as many at once as is allowed.

mod abandoning;
mod attendance;
mod creating;
mod finishing;
pub(crate) mod held;
mod linking;
mod notifying;
mod receivers;
mod refusals;
mod relay;
pub(crate) mod request;
mod sending;
mod slots;
mod source_stream;
mod sources;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::ConnectionId;
use domain::job::{Job, JobId};
use domain::secret::Secret;
use store::{LeaseTerms, Work};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{App, Error};
use attendance::attend;
use egress::{Egress, SpoolOptions, SpoolSpace};
use held::{Interrupt, LEASE};
pub(crate) use linking::{KeptWithLink, LinkMade, make_link};
use receivers::Receivers;
use slots::Slots;

/// How long one call of Vimeo's API may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the database is asked for what is due.
const TICK: Duration = Duration::from_millis(500);
/// How many due jobs are read beyond those that can be begun, because others may take them first.
const CANDIDATES_MORE: u32 = 32;
/// So many connections are remembered, whoever uses them.
const SHARED_MAX: usize = 1_024;
/// How many due jobs are looked through for a certain one.
const DUE_MAX: u32 = 10_000;
/// No creation may go on behind its lease.
const _: () = assert!(CREATE_TIMEOUT_MAX.as_secs() < LEASE.as_secs());
/// The longest that a creation may be given.
pub const CREATE_TIMEOUT_MAX: Duration = Duration::from_secs(25);

/// How a job looks to those who are told of its end: the job, and what they want to be told along with it.
pub type Presenter = Arc<dyn Fn(&Job, Option<&Secret>) -> Vec<u8> + Send + Sync>;

/// How uploads are done.
#[derive(Clone)]
pub struct UploadOptions {
    /// Uploads that this node works on at once.
    pub concurrency: usize,
    /// Webhooks that this node sends at once.
    pub webhook_concurrency: usize,
    /// Jobs of one account that are worked on at once, on all nodes.
    pub per_account: u32,
    /// Jobs of one connection that are worked on at once, on all nodes.
    pub per_connection: u32,
    /// The most bytes that are sent in one request.
    pub chunk_bytes: u64,
    /// The largest file that is fetched from a source.
    pub source_max_bytes: u64,
    /// How many times in a row a source is asked that does not give its bytes.
    pub source_attempts: u32,
    /// Where sources of unknown length are kept for a while.
    pub spool: SpoolOptions,
    /// How long Vimeo may take to make a placeholder; at most [`CREATE_TIMEOUT_MAX`].
    pub create_timeout: Duration,
    /// How long is waited behind that, before the newest videos are looked at.
    pub look_grace: Duration,
    /// From the first to the last of the looks.
    pub look_span: Duration,
    /// How long a job may be held up before it fails.
    pub patience: Duration,
    /// How long Vimeo must refuse, or not find, a video whose bytes it has before that is believed.
    pub confirm: Duration,
    /// How long a client may send nothing to its link.
    pub link_patience: Duration,
    /// How a job looks to those who are told of its end.
    pub present: Presenter,
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOptions").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

/// What uploads are done with.
#[derive(Debug, Clone)]
pub struct UploadSetup {
    /// The way to Vimeo.
    pub client: vimeo::Client,
    /// The way to addresses that users give.
    pub outbound: Egress,
    /// How.
    pub options: UploadOptions,
}

/// Everything that uploads need, and what this node remembers of them.
pub(crate) struct Uploads {
    pub(crate) client: vimeo::Client,
    pub(crate) outbound: Egress,
    pub(crate) options: UploadOptions,
    pub(crate) spool: SpoolSpace,
    shared: Mutex<HashMap<ConnectionId, Arc<Shared>>>,
    /// What was read of the sources of jobs that wait.
    readings: sources::Readings,
    /// Something may be due: nobody needs to wait for the next tick.
    pub(crate) news: Notify,
    /// Slots for uploads, and for webhooks: neither kind of work waits for the other.
    slots: Arc<Slots>,
    webhook_slots: Arc<Slots>,
    /// The receivers that webhooks are being sent to.
    receivers: Arc<Receivers>,
}

impl Uploads {
    pub(crate) fn new(setup: UploadSetup) -> Self {
        let UploadSetup { client, outbound, options } = setup;
        Self {
            spool: SpoolSpace::new(options.spool.clone()),
            slots: Slots::new(options.concurrency),
            webhook_slots: Slots::new(options.webhook_concurrency),
            receivers: Arc::default(),
            client,
            outbound,
            options,
            shared: Mutex::default(),
            readings: sources::Readings::default(),
            news: Notify::new(),
        }
    }

    /// What all jobs of a connection share on this node.
    pub(crate) fn shared(&self, connection: &ConnectionId) -> Arc<Shared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody holds are forgotten, so that they do not become ever more.
        if shared.len() > SHARED_MAX {
            shared.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        shared.entry(connection.clone()).or_default().clone()
    }
}

/// What all jobs of a connection share on this node.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// What is known of the token's rate limit.
    window: Arc<vimeo::RateLimit>,
    /// Held by whoever looks for a folder by its name and makes it if it is missing: else each would make one.
    folders: tokio::sync::Mutex<()>,
}

/// Every line that the work on a job writes to the log says whose job it is.
fn job_span(job: &Job) -> tracing::Span {
    tracing::info_span!("job", job = %job.id, account = %job.account_id, connection = %job.connection_id)
}

/// What an error of another verb means for the work on a job.
fn interrupt(error: Error) -> Interrupt {
    Interrupt::Store(store::Error::Unavailable(Box::new(error)))
}

impl App {
    /// Works on what is due until `stopping`, and then gives back what it works on.
    pub async fn work(self: Arc<Self>, stopping: CancellationToken) {
        let Some(uploads) = self.uploads.clone() else { return };
        loop {
            let begun = self.clone().tick(&stopping).await;
            if let Err(error) = &begun {
                tracing::warn!(%error, "the due jobs could not be read");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = uploads.news.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Works on one job, if something is due for it and nobody else does: for a command that wants to see its job's end also
    /// where no service runs. Whether it did.
    pub async fn work_on(&self, id: &JobId, stopping: &CancellationToken) -> Result<bool, Error> {
        let Some(uploads) = &self.uploads else { return Ok(false) };
        for work in [Work::Upload, Work::Webhook] {
            let due = self.store.list_due_jobs(self.clock.now(), work, DUE_MAX).await?;
            let Some(due) = due.into_iter().find(|due| due.id == *id) else { continue };
            let terms = self.terms(uploads, work, due.fence);
            let Some(leased) = self.store.lease_job(&due.account_id, id, &terms).await? else { continue };
            let span = job_span(&leased.job);
            attend(self, uploads, leased, stopping.clone()).instrument(span).await;
            return Ok(true);
        }
        Ok(false)
    }

    fn terms(&self, uploads: &Uploads, work: Work, expected_fence: u64) -> LeaseTerms {
        // How many webhooks are sent at once is up to each node: a lease of one is short.
        let (per_account, per_connection) = match work {
            Work::Upload => (uploads.options.per_account, uploads.options.per_connection),
            Work::Webhook => (u32::MAX, u32::MAX),
        };
        LeaseTerms { expected_fence, lease: LEASE, per_account, per_connection, now: self.clock.now() }
    }

    /// Leases due jobs while there are slots, and starts to work on them; how many were started.
    pub async fn tick(self: Arc<Self>, stopping: &CancellationToken) -> Result<usize, Error> {
        let Some(uploads) = self.uploads.clone() else { return Ok(0) };
        let sent = self.start_due(&uploads, Work::Webhook, stopping).await?;
        Ok(sent + self.start_due(&uploads, Work::Upload, stopping).await?)
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
        };
        let free = slots.free();
        if free == 0 {
            return Ok(0);
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX).saturating_add(CANDIDATES_MORE);
        let mut started = 0;
        for due in self.store.list_due_jobs(self.clock.now(), work, limit).await? {
            if stopping.is_cancelled() || slots.free() == 0 {
                break;
            }
            // Another account may still have one.
            let Some(slot) = slots.take(&due.account_id) else { continue };
            let terms = self.terms(uploads, work, due.fence);
            let leased = match self.store.lease_job(&due.account_id, &due.id, &terms).await {
                Ok(Some(leased)) => leased,
                Ok(None) => continue,
                // One that cannot be read must not stand before all the others.
                Err(error) => {
                    tracing::warn!(%error, job = %due.id, account = %due.account_id, "a job could not be leased");
                    continue;
                }
            };
            started += 1;
            let (app, uploads, stopping) = (self.clone(), uploads.clone(), stopping.clone());
            self.tasks.spawn(async move {
                let span = job_span(&leased.job);
                attend(&app, &uploads, leased, stopping).instrument(span).await;
                drop(slot);
                // There is room again, and this job may have something to do at once.
                uploads.news.notify_one();
            });
        }
        Ok(started)
    }
}
