//! The sessions that write, each for one batch at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connector::{Connector, Purpose};
use super::servers;
use super::session_slots::SessionSlot;
use super::sessions::Session;
use crate::Error;

/// All sessions that write.
pub(super) struct WriterPool {
    idle: Mutex<Vec<SessionSlot>>,
    free: Arc<Semaphore>,
    /// How long one statement may take.
    pub(super) timeout: Duration,
}

/// One of them, which returns to the pool when it is dropped.
pub(super) struct Writer {
    pub(super) pool: Arc<WriterPool>,
    slot: Option<SessionSlot>,
    _permit: OwnedSemaphorePermit,
}

impl WriterPool {
    pub(super) fn new(connector: &Arc<Connector>, count: usize) -> Arc<Self> {
        connector.tasks.spawn(servers::replace_doubtful(connector.clone()));
        let slots = (0..count).map(|_| SessionSlot::new(connector, Purpose::Write)).collect();
        Arc::new(Self {
            idle: Mutex::new(slots),
            free: Arc::new(Semaphore::new(count)),
            timeout: connector.timeout(),
        })
    }

    /// Opens the sessions before they are needed.
    pub(super) fn demand(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(SessionSlot::demand);
    }

    /// Waits for a free writer. `None` once the pool is closed.
    pub(super) async fn acquire(self: &Arc<Self>) -> Option<Writer> {
        let permit = self.free.clone().acquire_owned().await.ok()?;
        // The one that was returned last: its session is open, unless none is.
        let slot = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Some(Writer { pool: self.clone(), slot, _permit: permit })
    }
}

impl Writer {
    pub(super) async fn session(&self) -> Result<Arc<Session>, Error> {
        match &self.slot {
            Some(slot) => slot.session().await,
            None => Err(Error::Unavailable("no connection is free".into())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.slot.take());
    }
}
