//! The shared state of a running sandbox, each part behind its own lock. No two locks are held at once.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ambient::Clock;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::limits::RateLimits;
use crate::snapshot::{self, Snapshot, StateFile};
use crate::state::{FirstCredentials, Orphan, StageTiming, VimeoState};
use crate::token_usage::TokenUsage;
use crate::uploads::{self, UploadDirLock};
use crate::{Options, PullFrom, UnlistedUris};

/// The locks on files and directories that only this sandbox may write.
pub(crate) struct DiskLocks {
    pub(crate) state_file: Option<StateFile>,
    pub(crate) upload_dir_lock: Option<UploadDirLock>,
}

/// The state that all handlers share.
pub(crate) struct AppState {
    /// The root of the API, without a trailing slash.
    pub(crate) base_url: String,
    pub(crate) stage_timing: StageTiming,
    pub(crate) unlisted_uris: UnlistedUris,
    pub(crate) pull_from: PullFrom,
    pub(crate) link_lifetime: Option<std::time::Duration>,
    /// The directory for the bytes of uploads. Without it only their hash is kept.
    pub(crate) bytes_directory: Option<PathBuf>,
    /// Tasks in progress: API requests, pulls, and work that a fault delayed. Stopped with the sandbox.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// The plan of users without a plan of their own.
    pub(crate) plan: Option<crate::Plan>,
    clock: Clock,
    initial: VimeoState,
    vimeo: Mutex<VimeoState>,
    /// Counts changes of the Vimeo state, so that it is written only after a change.
    changes: AtomicU64,
    state_file: Option<StateFile>,
    _upload_dir_lock: Option<UploadDirLock>,
    rate_limits: Mutex<RateLimits>,
    token_usage: Mutex<TokenUsage>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    /// Cancellation tokens of the uploads that are being written, by the secret part of their links. Numbers are reused
    /// after a reset.
    busy: Mutex<HashMap<String, CancellationToken>>,
}

/// Whether a change survives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SaveOutcome {
    Saved,
    /// The state file cannot be written.
    InMemoryOnly,
}

impl AppState {
    pub(crate) fn new(options: &Options, base_url: String, disk_locks: DiskLocks, kept: Snapshot) -> Self {
        let DiskLocks { state_file, upload_dir_lock } = disk_locks;
        let Snapshot { initial, vimeo } = kept;
        Self {
            base_url,
            stage_timing: StageTiming { lag: options.upload_lag, pace: options.pace, playable: None },
            unlisted_uris: options.unlisted_uris,
            pull_from: options.pull_from,
            link_lifetime: options.link_lifetime,
            bytes_directory: options.bytes_directory.clone(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            plan: options.plan,
            clock: Arc::clone(&options.clock),
            vimeo: Mutex::new(vimeo),
            initial,
            changes: AtomicU64::new(0),
            state_file,
            _upload_dir_lock: upload_dir_lock,
            rate_limits: Mutex::new(RateLimits::new(options.plan)),
            token_usage: Mutex::default(),
            faults: Mutex::default(),
            journal: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    /// Restores the initial state, with the same first credentials and the same next numbers.
    pub(crate) fn reset(&self) {
        // First, so that no delayed fault applies to the new state.
        *self.faults() = Faults::default();
        let orphans = {
            let mut vimeo = self.vimeo();
            let orphans = vimeo.orphans();
            // While the state is locked: a new upload could get the same number, and so the same file.
            uploads::delete_files(self, &orphans);
            *vimeo = self.initial.clone();
            orphans
        };
        self.cancel_uploads(&orphans);
        *self.rate_limits() = RateLimits::new(self.plan);
        *self.token_usage() = TokenUsage::default();
        self.journal().clear();
    }

    pub(crate) fn first_credentials(&self) -> FirstCredentials {
        self.vimeo().first.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The Vimeo state. Changes made through this are saved at the end of the request.
    pub(crate) fn vimeo(&self) -> VimeoGuard<'_> {
        VimeoGuard { vimeo: lock(&self.vimeo), changes: &self.changes }
    }

    /// The Vimeo state, with every upload advanced to the current time.
    pub(crate) fn vimeo_now(&self) -> VimeoGuard<'_> {
        let now = self.now();
        let mut vimeo = lock(&self.vimeo);
        if vimeo.advance(now, self.stage_timing) {
            // The stage is returned to clients, and a later process with other timing might compute another one.
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        VimeoGuard { vimeo, changes: &self.changes }
    }

    pub(crate) fn rate_limits(&self) -> MutexGuard<'_, RateLimits> {
        lock(&self.rate_limits)
    }

    pub(crate) fn token_usage(&self) -> MutexGuard<'_, TokenUsage> {
        lock(&self.token_usage)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Locks an upload for one writer until the result is dropped. `None` while another writer holds it.
    pub(crate) fn lock_upload(&self, key: &str) -> Option<UploadLock<'_>> {
        let mut busy = lock(&self.busy);
        if busy.contains_key(key) {
            return None;
        }
        let deleted = CancellationToken::new();
        busy.insert(key.to_owned(), deleted.clone());
        Some(UploadLock { busy: &self.busy, key: key.to_owned(), deleted })
    }

    /// Cancels the writers of deleted uploads.
    pub(crate) fn cancel_uploads(&self, orphans: &[Orphan]) {
        let mut busy = lock(&self.busy);
        for orphan in orphans {
            if let Some(deleted) = busy.remove(&orphan.key) {
                deleted.cancel();
            }
        }
    }

    /// Writes the state to its file, if it has one and has changed. Returns once everything that was there on entry is
    /// written; a failure is reported on standard error.
    pub(crate) async fn save(&self) -> SaveOutcome {
        match self.try_save().await {
            Ok(()) => SaveOutcome::Saved,
            Err(error) => {
                let _ = writeln!(io::stderr(), "vimeo-sandbox: {error}");
                SaveOutcome::InMemoryOnly
            }
        }
    }

    /// Writes the state to its file, changed or not.
    pub(crate) async fn save_now(&self) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.try_save().await
    }

    async fn try_save(&self) -> io::Result<()> {
        let Some(state_file) = &self.state_file else { return Ok(()) };
        let change = || self.changes.load(Ordering::SeqCst);
        let take = || {
            let vimeo = lock(&self.vimeo);
            (change(), snapshot::write(&self.initial, &vimeo))
        };
        state_file.save(change(), take).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The locked Vimeo state, which records whether it could have been changed.
pub(crate) struct VimeoGuard<'a> {
    vimeo: MutexGuard<'a, VimeoState>,
    changes: &'a AtomicU64,
}

impl Deref for VimeoGuard<'_> {
    type Target = VimeoState;

    fn deref(&self) -> &VimeoState {
        &self.vimeo
    }
}

impl DerefMut for VimeoGuard<'_> {
    fn deref_mut(&mut self) -> &mut VimeoState {
        self.changes.fetch_add(1, Ordering::SeqCst);
        &mut self.vimeo
    }
}

/// The lock on an upload that is being written.
pub(crate) struct UploadLock<'a> {
    busy: &'a Mutex<HashMap<String, CancellationToken>>,
    key: String,
    deleted: CancellationToken,
}

impl UploadLock<'_> {
    /// Cancelled when the upload is deleted.
    pub(crate) fn deleted(&self) -> CancellationToken {
        self.deleted.clone()
    }
}

impl Drop for UploadLock<'_> {
    fn drop(&mut self) {
        lock(self.busy).remove(&self.key);
    }
}
