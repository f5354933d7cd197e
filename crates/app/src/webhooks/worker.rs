//! The worker: it polls for due deliveries, and makes as many at once as its slots and the receivers allow.

use std::sync::Arc;
use std::time::Duration;

use domain::id::AccountId;
use domain::job::JobId;
use domain::webhook::DeliveryStatus;
use store::{DeliveryFilter, DeliveryTerms, DueDelivery, LeasedDelivery};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Webhooks;
use super::attempt::deliver;
use crate::{App, Error};

/// How often the database is polled for due deliveries.
const POLL: Duration = Duration::from_millis(500);
/// Deliveries that end within this time are replaced by one poll.
const POLL_TOGETHER: Duration = Duration::from_millis(3);
/// How long a lease lasts: longer than an attempt and the writes around it.
const LEASE: Duration = Duration::from_secs(30);
/// Due deliveries that are read of each receiver: as many as it gets at once, because other workers may take the first ones.
const PER_RECEIVER: u32 = 8;

impl App {
    /// Makes due deliveries until `stopping`. Those in progress end afterwards.
    pub async fn run_webhook_worker(self: Arc<Self>, stopping: CancellationToken) {
        let Some(webhooks) = self.webhooks.clone() else { return };
        loop {
            if let Err(error) = self.start_due_deliveries(&webhooks, &stopping).await {
                tracing::warn!(%error, "the due webhooks could not be read");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.announcer.wakeup.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            tokio::time::sleep(POLL_TOGETHER).await;
        }
    }

    /// Leases due deliveries while there are free slots, and starts them. One that cannot be started now because its receiver
    /// is busy, or its account has enough slots, does not keep others from being started.
    async fn start_due_deliveries(
        self: &Arc<Self>,
        webhooks: &Arc<Webhooks>,
        stopping: &CancellationToken,
    ) -> Result<(), Error> {
        if webhooks.slots.free() == 0 {
            return Ok(());
        }
        for due in self.store.list_due_webhook_deliveries(self.clock.now(), PER_RECEIVER).await? {
            if stopping.is_cancelled() || webhooks.slots.free() == 0 {
                break;
            }
            let Some(sending) = webhooks.receivers.start(&due.account_id, &due.receiver) else { continue };
            let Some(slot) = webhooks.slots.take(&due.account_id) else { continue };
            let leased = match self.lease_delivery(&due).await {
                Ok(Some(leased)) => leased,
                Ok(None) => continue,
                // A delivery that cannot be read must not block the others.
                Err(error) => {
                    tracing::warn!(%error, delivery = %due.id, account = %due.account_id, "a webhook could not be leased");
                    continue;
                }
            };
            let (app, webhooks) = (self.clone(), webhooks.clone());
            self.tasks.spawn(async move {
                if let Some(answered) = app.attempt(&webhooks, &leased).await {
                    sending.record(answered);
                }
                drop((sending, slot));
                // There is a free slot, and the receiver may have more.
                app.announcer.wakeup.notify_one();
            });
        }
        Ok(())
    }

    async fn lease_delivery(&self, due: &DueDelivery) -> Result<Option<LeasedDelivery>, Error> {
        let terms = DeliveryTerms { expected_fence: due.fence, lease: LEASE, now: self.clock.now() };
        Ok(self.store.lease_webhook_delivery(&due.account_id, &due.id, &terms).await?)
    }

    async fn attempt(
        &self,
        webhooks: &Webhooks,
        leased: &LeasedDelivery,
    ) -> Option<super::receivers::Answered> {
        let delivery = &leased.delivery;
        let span = tracing::info_span!("webhook", delivery = %delivery.id, account = %delivery.account_id);
        let attempted = deliver(&self.context, webhooks, leased).instrument(span).await;
        attempted.unwrap_or_else(|error| {
            tracing::warn!(
                %error, delivery = %delivery.id, account = %delivery.account_id,
                "a webhook could not be sent, or its result not stored; it will be retried when its lease expires"
            );
            None
        })
    }

    /// Makes the due deliveries about one job: for a command that follows its job where no service runs.
    pub(crate) async fn deliver_of_job(&self, account: &AccountId, job: &JobId) -> Result<(), Error> {
        let Some(webhooks) = &self.webhooks else { return Ok(()) };
        let status = Some(DeliveryStatus::Waiting);
        let filter = DeliveryFilter { job_id: Some(job.clone()), status, ..DeliveryFilter::default() };
        let of_job = self.store.list_webhook_deliveries(account, &filter, PER_RECEIVER).await?;
        let due = self.store.list_due_webhook_deliveries(self.clock.now(), PER_RECEIVER).await?;
        for due in due.iter().filter(|due| of_job.iter().any(|delivery| delivery.id == due.id)) {
            if let Some(leased) = self.lease_delivery(due).await? {
                self.attempt(webhooks, &leased).await;
            }
        }
        Ok(())
    }
}
