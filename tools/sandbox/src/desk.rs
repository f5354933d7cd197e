//! Everything the sandbox keeps while it runs, each part behind a lock of its own. No two are ever locked at once.

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
use crate::limits::Windows;
use crate::saved::{self, Saved, Saver};
use crate::state::{FirstCredentials, Orphan, Tempo, World};
use crate::uploads::{self, Keeper};
use crate::{Options, PullFrom, UnlistedUris};

/// What on the disk is this sandbox's alone.
pub(crate) struct Custody {
    pub(crate) saver: Option<Saver>,
    pub(crate) keeper: Option<Keeper>,
}

/// The sandbox, as its handlers see it.
pub(crate) struct Desk {
    /// The root of the API, without a trailing slash.
    pub(crate) base_url: String,
    pub(crate) tempo: Tempo,
    pub(crate) unlisted_uris: UnlistedUris,
    pub(crate) pull_from: PullFrom,
    pub(crate) link_lifetime: Option<std::time::Duration>,
    /// Where the bytes of uploads are kept. Without it only their hash is.
    pub(crate) bytes_directory: Option<PathBuf>,
    /// What is under way: requests to the API, pulls, and what a fault put off. Stopped with the sandbox.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// The plan of everybody who has none of their own.
    pub(crate) plan: Option<crate::Plan>,
    clock: Clock,
    first_world: World,
    world: Mutex<World>,
    /// Counts the changes of the world, so that it is written only when there was one.
    changes: AtomicU64,
    saver: Option<Saver>,
    _keeper: Option<Keeper>,
    windows: Mutex<Windows>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    /// The uploads that are being written to, by the secret parts of their links: numbers come again after a reset.
    busy: Mutex<HashMap<String, CancellationToken>>,
}

/// Whether what was changed outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Safely,
    /// The state file cannot be written.
    InMemoryOnly,
}

impl Desk {
    pub(crate) fn new(options: &Options, base_url: String, custody: Custody, kept: Saved) -> Self {
        let Custody { saver, keeper } = custody;
        let Saved { first_world, world } = kept;
        Self {
            base_url,
            tempo: Tempo { lag: options.upload_lag, pace: options.pace },
            unlisted_uris: options.unlisted_uris,
            pull_from: options.pull_from,
            link_lifetime: options.link_lifetime,
            bytes_directory: options.bytes_directory.clone(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            plan: options.plan,
            clock: Arc::clone(&options.clock),
            world: Mutex::new(world),
            first_world,
            changes: AtomicU64::new(0),
            saver,
            _keeper: keeper,
            windows: Mutex::new(Windows::new(options.plan)),
            faults: Mutex::default(),
            journal: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    /// Puts everything back as it was at the start, with the same first credentials and the same numbers to come.
    pub(crate) fn reset(&self) {
        // First, so that nothing which was put off befalls the new world.
        *self.faults() = Faults::default();
        let orphans = {
            let mut world = self.world();
            let orphans = world.orphans();
            // While nobody can make an upload that has the number, and so the file, of one that is no more.
            uploads::discard(self, &orphans);
            *world = self.first_world.clone();
            orphans
        };
        self.break_off(&orphans);
        *self.windows() = Windows::new(self.plan);
        self.journal().clear();
    }

    pub(crate) fn first_credentials(&self) -> FirstCredentials {
        self.world().first.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The world. Whoever writes to it through this has it saved at the end of the request.
    pub(crate) fn world(&self) -> WorldGuard<'_> {
        WorldGuard { world: lock(&self.world), changes: &self.changes }
    }

    /// The world, with every video as far as it has come by now.
    pub(crate) fn world_by_now(&self) -> WorldGuard<'_> {
        let now = self.now();
        let mut world = lock(&self.world);
        if world.advance(now, self.tempo) {
            // It is told now, and might not be worked out again: the next sandbox of this file may have another pace.
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        WorldGuard { world, changes: &self.changes }
    }

    pub(crate) fn windows(&self) -> MutexGuard<'_, Windows> {
        lock(&self.windows)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Takes an upload for one writer alone, until the answer is dropped. `None` while another has it.
    pub(crate) fn take_upload(&self, key: &str) -> Option<Taken<'_>> {
        let mut busy = lock(&self.busy);
        if busy.contains_key(key) {
            return None;
        }
        let gone = CancellationToken::new();
        busy.insert(key.to_owned(), gone.clone());
        Some(Taken { busy: &self.busy, key: key.to_owned(), gone })
    }

    /// Tells whoever writes to these uploads that they are no more.
    pub(crate) fn break_off(&self, orphans: &[Orphan]) {
        let mut busy = lock(&self.busy);
        for orphan in orphans {
            if let Some(gone) = busy.remove(&orphan.key) {
                gone.cancel();
            }
        }
    }

    /// Writes the world to its file, if it has one and has changed since. Returns when what was there on entry is
    /// written, or cannot be, which is said on standard error.
    pub(crate) async fn save(&self) -> Kept {
        match self.try_save().await {
            Ok(()) => Kept::Safely,
            Err(error) => {
                let _ = writeln!(io::stderr(), "vimeo-sandbox: {error}");
                Kept::InMemoryOnly
            }
        }
    }

    /// Writes the world to its file, changed or not.
    pub(crate) async fn save_anew(&self) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.try_save().await
    }

    async fn try_save(&self) -> io::Result<()> {
        let Some(saver) = &self.saver else { return Ok(()) };
        let change = || self.changes.load(Ordering::SeqCst);
        let take = || {
            let world = lock(&self.world);
            (change(), saved::write(&self.first_world, &world))
        };
        saver.save(change(), take).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The locked world, which notes whether anybody could have written to it.
pub(crate) struct WorldGuard<'a> {
    world: MutexGuard<'a, World>,
    changes: &'a AtomicU64,
}

impl Deref for WorldGuard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl DerefMut for WorldGuard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        self.changes.fetch_add(1, Ordering::SeqCst);
        &mut self.world
    }
}

/// An upload that is being written to.
pub(crate) struct Taken<'a> {
    busy: &'a Mutex<HashMap<String, CancellationToken>>,
    key: String,
    gone: CancellationToken,
}

impl Taken<'_> {
    /// Ends when the upload is no more.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        lock(self.busy).remove(&self.key);
    }
}
