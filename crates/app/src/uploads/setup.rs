//! What uploads need on this node: the clients, the options, the slots and what the jobs of a connection share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::ConnectionId;
use domain::job::JobState;
use egress::{Egress, SpoolOptions, SpoolSpace};
use tokio::sync::Notify;

use super::lease::LEASE;
use super::listings::Listings;
use super::retry::RetryPolicy;
use super::slots::Slots;
use super::sources::SourceProgresses;
use crate::context::Context;
use crate::rate_limits::RateLimits;

/// How many connections are remembered that no job uses.
const SHARED_MAX: usize = 1_024;
/// The longest timeout of a create.
pub const CREATE_TIMEOUT_MAX: Duration = Duration::from_secs(25);
/// No create may outlast its lease.
const _: () = assert!(CREATE_TIMEOUT_MAX.as_secs() < LEASE.as_secs());

/// Webhooks of ended jobs that are handed over at once. None of them waits for a receiver.
const HAND_OVER_SLOTS: usize = 4;

/// The options of uploads.
#[derive(Clone)]
pub struct UploadOptions {
    /// Uploads that this node runs at once.
    pub concurrency: usize,
    /// Uploads of one account that run at once, on all nodes.
    pub per_account: u32,
    /// Uploads of one connection that run at once, on all nodes.
    pub per_connection: u32,
    /// The most bytes that are sent in one request.
    pub chunk_bytes: u64,
    /// The largest file that is fetched from a source.
    pub source_max_bytes: u64,
    /// Attempts in a row at a source that does not deliver its bytes.
    pub source_attempts: u32,
    /// Where sources of unknown length are buffered.
    pub spool: SpoolOptions,
    /// The timeout of a create; at most [`CREATE_TIMEOUT_MAX`].
    pub create_timeout: Duration,
    /// The delay after that before the newest videos are searched.
    pub probe_delay: Duration,
    /// The time from the first search to the last.
    pub probe_span: Duration,
    /// How long a job may make no progress before it fails.
    pub retry_deadline: Duration,
    /// How long Vimeo must refuse requests for a video whose bytes it has before that is final.
    pub confirm: Duration,
    /// How long a client may send nothing to its link.
    pub client_deadline: Duration,
}

impl fmt::Debug for UploadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadOptions").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl UploadOptions {
    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            source_attempts: self.source_attempts,
            deadline: self.retry_deadline,
            confirm: self.confirm,
        }
    }
}

/// What uploads are set up with.
#[derive(Debug, Clone)]
pub struct UploadSetup {
    /// The client of Vimeo.
    pub client: vimeo::Client,
    /// The client of addresses that users give.
    pub egress: Egress,
    /// The options.
    pub options: UploadOptions,
}

/// Everything that uploads need on this node.
pub(crate) struct Uploads {
    pub(super) client: vimeo::Client,
    pub(crate) egress: Egress,
    pub(super) options: UploadOptions,
    pub(super) spool: SpoolSpace,
    shared: Mutex<HashMap<ConnectionId, Arc<ConnectionShared>>>,
    /// What was read of the sources of jobs that wait.
    pub(super) progresses: SourceProgresses,
    /// Wakes the worker: a job may be due.
    pub(crate) wakeup: Arc<Notify>,
    rate_limits: Arc<RateLimits>,
    /// Wakes the worker that opens videos at their time.
    pub(super) publication_wakeup: Notify,
    /// Slots for uploads, and for handing over webhooks: none waits for another.
    pub(super) slots: Arc<Slots>,
    pub(super) webhook_slots: Arc<Slots>,
    /// The same for videos that are opened at their time.
    pub(super) publication_slots: Arc<Slots>,
}

/// Videos that are opened at once because their time has come. Each waits for Vimeo, and does little itself.
const PUBLICATION_SLOTS: usize = 128;

impl Uploads {
    /// After what time a job may run again whose work was aborted in the middle. A request that was creating a folder or
    /// showcase must have ended, so that the next search by its name finds it.
    pub(super) fn delay_after_abort(&self, state: &JobState) -> Duration {
        match state {
            JobState::Configuring(configuring) if configuring.parts_done == 0 => self.options.probe_delay,
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn new(setup: UploadSetup, context: &Context) -> Self {
        let UploadSetup { client, egress, options } = setup;
        Self {
            spool: SpoolSpace::new(options.spool.clone()),
            slots: Slots::new(options.concurrency),
            webhook_slots: Slots::new(HAND_OVER_SLOTS),
            publication_slots: Slots::new(PUBLICATION_SLOTS),
            client,
            egress,
            options,
            shared: Mutex::default(),
            progresses: SourceProgresses::default(),
            wakeup: context.upload_wakeup.clone(),
            publication_wakeup: Notify::new(),
            rate_limits: context.rate_limits.clone(),
        }
    }

    /// What the jobs of a connection share on this node.
    pub(super) fn shared(&self, connection: &ConnectionId) -> Arc<ConnectionShared> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Entries that no job uses are removed, so that their number is bounded.
        if shared.len() > SHARED_MAX {
            shared.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        let new = || Arc::new(ConnectionShared::new(self.rate_limits.of(connection)));
        shared.entry(connection.clone()).or_insert_with(new).clone()
    }
}

/// What the jobs of a connection share on this node.
#[derive(Debug)]
pub(super) struct ConnectionShared {
    /// The rate limit of the token.
    pub(super) rate_limit: Arc<vimeo::RateLimit>,
    /// Locked while a folder is searched by its name and created if it is missing: otherwise each job would create one.
    pub(super) folders: tokio::sync::Mutex<()>,
    /// The same for showcases.
    pub(super) showcases: tokio::sync::Mutex<()>,
    /// The newest videos.
    pub(super) listings: Listings,
}

impl ConnectionShared {
    fn new(rate_limit: Arc<vimeo::RateLimit>) -> Self {
        Self {
            rate_limit,
            folders: tokio::sync::Mutex::default(),
            showcases: tokio::sync::Mutex::default(),
            listings: Listings::default(),
        }
    }
}
