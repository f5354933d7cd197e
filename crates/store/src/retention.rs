//! What the service deletes by age, in small pieces, and the leases by which one node at a time does this and other work that
//! visits all accounts.
//!
//! A piece chooses its rows by their age alone, so that two nodes that sweep at once delete each row once. The lease only
//! saves work.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;

use crate::{Changed, Error};

/// The lease of a sweep, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepLease {
    /// Increases each time the lease is taken.
    pub fence: u64,
    /// How long it lasts from now on.
    pub lasts: Duration,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// Some of the rows that have been kept long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// How long such rows are kept.
    pub kept: Duration,
    /// Rows in one call.
    pub limit: u32,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// Deletion by age, and the leases of all work that visits all accounts.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Takes the lease of the sweep of this name; `None` if it has not expired. Returns its fence.
    async fn lease_sweep(&self, name: &str, lasts: Duration, now: Timestamp) -> Result<Option<u64>, Error>;
    /// Renews a lease; [`Changed::No`] if it has expired or was taken.
    async fn renew_sweep_lease(&self, name: &str, lease: &SweepLease) -> Result<Changed, Error>;
    /// Deletes jobs that have ended, have no webhook left to deliver and last changed that long ago, and wipes what they kept
    /// sealed. Returns how many.
    async fn delete_ended_jobs(&self, expired: &Expired) -> Result<usize, Error>;
    /// Wipes the requests of failed jobs that ended that long ago. Returns how many.
    async fn wipe_kept_requests(&self, expired: &Expired) -> Result<usize, Error>;
    /// Deletes deliveries of webhooks that ended that long ago. Returns how many.
    async fn delete_ended_webhook_deliveries(&self, expired: &Expired) -> Result<usize, Error>;
    /// Deletes authorizations that ended that long ago. Returns how many.
    async fn delete_ended_authorizations(&self, expired: &Expired) -> Result<usize, Error>;
}

impl Expired {
    /// The rows of this instant and earlier ones have been kept long enough, by the caller's clock.
    pub(crate) fn until(&self) -> Timestamp {
        self.now.minus(self.kept)
    }
}
