//! The queue's side that works: jobs that are due are leased and attended to, as many at once as is allowed.

mod abandoning;
mod attendance;
mod creating;
mod finishing;
pub(crate) mod held;
mod linking;
mod notifying;
mod refusals;
mod relay;
pub(crate) mod request;
mod sending;
mod source_stream;
mod sources;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::ConnectionId;
use domain::job::{Job, JobId};
use domain::secret::Secret;
use store::LeaseTerms;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::outbound::{Outbound, SpoolOptions, SpoolSpace};
use crate::{App, Error};
use attendance::attend;
use held::{Interrupt, LEASE};
pub(crate) use linking::{KeptWithLink, LinkMade, make_link};

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
    /// Jobs that this node works on at once.
    pub concurrency: usize,
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
    pub outbound: Outbound,
    /// How.
    pub options: UploadOptions,
}

/// Everything that uploads need, and what this node remembers of them.
pub(crate) struct Uploads {
    pub(crate) client: vimeo::Client,
    pub(crate) outbound: Outbound,
    pub(crate) options: UploadOptions,
    pub(crate) spool: SpoolSpace,
    shared: Mutex<HashMap<ConnectionId, Arc<Shared>>>,
    /// What was read of the sources of jobs that wait.
    readings: sources::Readings,
    /// Something may be due: nobody needs to wait for the next tick.
    pub(crate) news: Notify,
    places: Arc<Semaphore>,
}

impl Uploads {
    pub(crate) fn new(setup: UploadSetup) -> Self {
        let places = Arc::new(Semaphore::new(setup.options.concurrency));
        let UploadSetup { client, outbound, options } = setup;
        let spool = SpoolSpace::new(options.spool.clone());
        Self {
            client,
            outbound,
            options,
            spool,
            shared: Mutex::default(),
            readings: sources::Readings::default(),
            news: Notify::new(),
            places,
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
    window: Arc<vimeo::Window>,
    /// Held by whoever looks for a folder by its name and makes it if it is missing: else each would make one.
    folders: tokio::sync::Mutex<()>,
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
                tracing::warn!(%error, "what is due could not be read");
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
        let due = self.store.list_due_jobs(self.clock.now(), DUE_MAX).await?;
        let Some(due) = due.into_iter().find(|due| due.id == *id) else { return Ok(false) };
        let Some(leased) = self.store.lease_job(&due.account_id, id, &self.terms(uploads, due.fence)).await?
        else {
            return Ok(false);
        };
        attend(self, uploads, leased, stopping.clone()).await;
        Ok(true)
    }

    fn terms(&self, uploads: &Uploads, expected_fence: u64) -> LeaseTerms {
        LeaseTerms {
            expected_fence,
            lease: LEASE,
            per_account: uploads.options.per_account,
            per_connection: uploads.options.per_connection,
            now: self.clock.now(),
        }
    }

    /// Leases what is due, as far as there is room, and begins to work on it; how many jobs were begun.
    pub async fn tick(self: Arc<Self>, stopping: &CancellationToken) -> Result<usize, Error> {
        let Some(uploads) = self.uploads.clone() else { return Ok(0) };
        let free = uploads.places.available_permits();
        if free == 0 {
            return Ok(0);
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX).saturating_add(CANDIDATES_MORE);
        let mut begun = 0;
        for due in self.store.list_due_jobs(self.clock.now(), limit).await? {
            if stopping.is_cancelled() {
                break;
            }
            let Ok(place) = uploads.places.clone().try_acquire_owned() else { break };
            let terms = self.terms(&uploads, due.fence);
            let leased = match self.store.lease_job(&due.account_id, &due.id, &terms).await {
                Ok(Some(leased)) => leased,
                Ok(None) => continue,
                // One that cannot be read must not stand before all the others.
                Err(error) => {
                    tracing::warn!(%error, job = %due.id, "a job could not be leased");
                    continue;
                }
            };
            begun += 1;
            let (app, uploads, stopping) = (self.clone(), uploads.clone(), stopping.clone());
            self.tasks.spawn(async move {
                attend(&app, &uploads, leased, stopping).await;
                drop(place);
                // There is room again, and this job may have something to do at once.
                uploads.news.notify_one();
            });
        }
        Ok(begun)
    }
}
