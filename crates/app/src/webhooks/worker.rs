//! The worker: it reads the due deliveries (`pace.rs` says when), and makes as many at once as its slots and
//! the receivers allow.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::id::AccountId;
use domain::job::JobId;
use domain::webhook::DeliveryStatus;
use store::{DeliveryFilter, DeliveryTerms, DueDelivery};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Webhooks;
use super::attempt::{Attempted, Held, deliver};
use crate::{App, Error};

/// How long a lease lasts: longer than an attempt and the writes around it.
const LEASE: Duration = Duration::from_secs(30);
/// Due deliveries that are read of each receiver: as many as it gets at once, because other workers may take the first ones.
const PER_RECEIVER: u32 = 8;

/// An account and its receiver.
type Receiver = (AccountId, String);

/// What was read of the due deliveries.
#[derive(Debug, Default)]
struct Listed {
    /// Those that were not started yet.
    due: Vec<DueDelivery>,
    /// The receivers that may have more.
    with_more: HashSet<Receiver>,
}

impl App {
    /// Makes due deliveries until `stopping`. Those in progress end afterwards.
    pub async fn run_webhook_worker(self: Arc<Self>, stopping: CancellationToken) {
        let Some(webhooks) = self.webhooks.clone() else { return };
        let mut listed = Listed::default();
        while !stopping.is_cancelled() {
            if webhooks.slots.free() > 0 && webhooks.pace().next() <= Instant::now() {
                match self.list_due(&webhooks).await {
                    Ok(found) => listed = found,
                    Err(error) => tracing::warn!(%error, "the due webhooks could not be read"),
                }
            }
            listed.due = self.start_due_deliveries(&webhooks, &mut listed, &stopping).await;
            self.wait(&webhooks, &stopping).await;
        }
    }

    /// Waits until the database is read again, or a slot is free for a delivery that was read.
    async fn wait(&self, webhooks: &Webhooks, stopping: &CancellationToken) {
        loop {
            let next = webhooks.pace().next();
            tokio::select! {
                () = stopping.cancelled() => return,
                () = self.announcer.wakeup.notified() => webhooks.pace().wake(Instant::now()),
                () = webhooks.ended.notified() => return,
                // Without a free slot nothing is read: the next attempt that ends frees one.
                () = tokio::time::sleep_until(next), if webhooks.slots.free() > 0 => return,
            }
        }
    }

    /// Reads the due deliveries.
    async fn list_due(self: &Arc<Self>, webhooks: &Arc<Webhooks>) -> Result<Listed, Error> {
        let (app, runtime, started) = (self.clone(), Handle::current(), Instant::now());
        webhooks.pace().start(started);
        // Not on a thread that serves requests: with many receivers, SQLite computes for a while.
        let list =
            move || runtime.block_on(app.store.list_due_webhook_deliveries(app.clock.now(), PER_RECEIVER));
        let listed = tokio::task::spawn_blocking(list).await;
        let now = Instant::now();
        let mut pace = webhooks.pace();
        pace.end(started, now);
        let listed = listed.map_err(|panicked| Error::Internal(Box::new(panicked)))??;
        if let Some(next_due_in) = listed.next_due_in {
            pace.expect(now + next_due_in);
        }
        Ok(Listed { with_more: receivers_with_more(&listed.due, PER_RECEIVER), due: listed.due })
    }

    /// Leases due deliveries while there are free slots, and starts them. One that cannot be started now because its receiver
    /// is busy, or its account has enough slots, does not keep others from being started; those are returned.
    async fn start_due_deliveries(
        self: &Arc<Self>,
        webhooks: &Arc<Webhooks>,
        listed: &mut Listed,
        stopping: &CancellationToken,
    ) -> Vec<DueDelivery> {
        let mut left = Vec::new();
        let mut found = std::mem::take(&mut listed.due).into_iter();
        for due in found.by_ref() {
            if stopping.is_cancelled() || webhooks.slots.free() == 0 {
                left.push(due);
                break;
            }
            let started = webhooks.receivers.start(&due.account_id, &due.receiver, due.attempts);
            let Some((sending, slot)) =
                started.and_then(|it| Some((it, webhooks.slots.take(&due.account_id)?)))
            else {
                left.push(due);
                continue;
            };
            let held = match self.lease_delivery(&due).await {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                // A delivery that cannot be read must not block the others.
                Err(error) => {
                    tracing::warn!(%error, delivery = %due.id, account = %due.account_id, "a webhook could not be leased");
                    continue;
                }
            };
            let has_more = listed.with_more.contains(&(due.account_id, due.receiver));
            let (app, webhooks) = (self.clone(), webhooks.clone());
            self.tasks.spawn(async move {
                let attempted = app.attempt(&webhooks, &held).await;
                if let Some(answered) = attempted.answered {
                    sending.record(answered);
                }
                drop((sending, slot));
                if has_more {
                    webhooks.pace().wake(Instant::now());
                }
                if let Some(delay) = attempted.retry_in {
                    webhooks.pace().expect(Instant::now() + delay);
                }
                webhooks.ended.notify_one();
            });
        }
        left.extend(found);
        left
    }

    async fn lease_delivery(&self, due: &DueDelivery) -> Result<Option<Held>, Error> {
        // Before the lease begins: a slow write of it takes some of its time.
        let since = Instant::now();
        let terms = DeliveryTerms { expected_fence: due.fence, lease: LEASE, now: self.clock.now() };
        let leased = self.store.lease_webhook_delivery(&due.account_id, &due.id, &terms).await?;
        Ok(leased.map(|leased| Held { leased, lease: (since, LEASE) }))
    }

    async fn attempt(&self, webhooks: &Webhooks, held: &Held) -> Attempted {
        let delivery = &held.leased.delivery;
        let span = tracing::info_span!("webhook", delivery = %delivery.id, account = %delivery.account_id);
        let attempted = deliver(&self.context, webhooks, held).instrument(span).await;
        attempted.unwrap_or_else(|error| {
            tracing::warn!(
                %error, delivery = %delivery.id, account = %delivery.account_id,
                "a webhook could not be sent, or its result not stored; it will be retried when its lease expires"
            );
            Attempted::default()
        })
    }

    /// Makes the due deliveries about one job: for a command that follows its job where no service runs.
    pub(crate) async fn deliver_of_job(&self, account: &AccountId, job: &JobId) -> Result<(), Error> {
        let Some(webhooks) = &self.webhooks else { return Ok(()) };
        let status = Some(DeliveryStatus::Waiting);
        let filter = DeliveryFilter { job_id: Some(job.clone()), status, ..DeliveryFilter::default() };
        let of_job = self.store.list_webhook_deliveries(account, &filter, PER_RECEIVER).await?;
        let due = self.store.list_due_webhook_deliveries(self.clock.now(), PER_RECEIVER).await?;
        for due in due.due.iter().filter(|due| of_job.iter().any(|delivery| delivery.id == due.id)) {
            if let Some(held) = self.lease_delivery(due).await? {
                self.attempt(webhooks, &held).await;
            }
        }
        Ok(())
    }
}

/// The receivers of which as many deliveries are listed as there can be: they may have more.
fn receivers_with_more(due: &[DueDelivery], per_receiver: u32) -> HashSet<Receiver> {
    let mut counts = HashMap::<(&AccountId, &str), u32>::new();
    for due in due {
        *counts.entry((&due.account_id, &due.receiver)).or_default() += 1;
    }
    let full = counts.into_iter().filter(|(_, count)| *count >= per_receiver);
    full.map(|((account, receiver), _)| (account.clone(), receiver.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use domain::id::DeliveryId;
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn a_receiver_may_have_more_deliveries_if_the_list_has_as_many_as_it_can() {
        let due = |account: u8, receiver: &str| DueDelivery {
            account_id: AccountId::from_random([account; 16]),
            id: DeliveryId::from_stored("d".to_owned()),
            receiver: receiver.to_owned(),
            fence: 0,
            attempts: 0,
            due_at: Timestamp::from_millis(0),
        };
        let listed = [due(1, "a"), due(2, "a"), due(1, "b"), due(1, "a"), due(2, "b"), due(2, "c")];
        assert_eq!(
            receivers_with_more(&listed, 2),
            HashSet::from([(due(1, "a").account_id, "a".to_owned())])
        );
        assert_eq!(receivers_with_more(&listed, 1).len(), 5);
        assert_eq!(receivers_with_more(&[], 1), HashSet::new());
    }
}
