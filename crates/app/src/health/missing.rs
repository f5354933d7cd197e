//! Adds the health of connections that an older version of the service has added, so that they are checked too.

use std::time::Duration;

use store::SweepLease;
use tokio::time::sleep;

use crate::{App, Error};

/// The name of the lease: one node looks at a time.
const LEASE_NAME: &str = "connection_health";
/// How long it is left to a node that does not continue.
const LEASE: Duration = Duration::from_mins(1);
/// How long after a look no node looks again.
const REST: Duration = Duration::from_hours(1);
/// How often a node tries.
const TRY: Duration = Duration::from_mins(10);
/// Connections in one transaction, and the pause between two.
const PAGE: u32 = 500;
const PAUSE: Duration = Duration::from_millis(50);

impl App {
    /// Looks through all connections every hour, as long as it is not cancelled.
    pub(super) async fn keep_adding_missing_health(&self) {
        loop {
            if let Err(error) = self.add_missing_health().await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "connections of an older version could not be prepared for their checks"
                );
            }
            sleep(TRY).await;
        }
    }

    /// Looks through all connections, unless a node did that within an hour.
    async fn add_missing_health(&self) -> Result<(), Error> {
        let lease = self.store.lease_sweep(LEASE_NAME, LEASE, self.clock.now()).await?;
        let Some(fence) = lease else { return Ok(()) };
        for account in self.store.list_account_ids().await? {
            let mut after = None;
            loop {
                let now = self.clock.now();
                let last =
                    self.store.insert_missing_connection_health(&account, after.as_ref(), PAGE, now).await?;
                if last.is_none() {
                    break;
                }
                after = last;
                let renewal = SweepLease { fence, lasts: LEASE, now: self.clock.now() };
                self.store.renew_sweep_lease(LEASE_NAME, &renewal).await?;
                sleep(PAUSE).await;
            }
        }
        let rest = SweepLease { fence, lasts: REST, now: self.clock.now() };
        self.store.renew_sweep_lease(LEASE_NAME, &rest).await?;
        Ok(())
    }
}
