//! Webhooks of accounts in the store: the endpoints, and the deliveries that workers make under leases.
//!
//! An event is announced with its audit event: whatever writes an audit event that has an announcement adds, in the same
//! transaction, a delivery for each enabled endpoint that receives the type of event. A delivery is leased like a job, by a
//! compare-and-set of its fence.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, DeliveryId, EndpointId};
use domain::job::JobId;
use domain::secret::Sealed;
use domain::time::Timestamp;
use domain::webhook::{
    AnnouncedMessage, Announcement, Attempt, Audience, Delivery, DeliveryStatus, Endpoint,
};

use crate::{Changed, Completion, Error};

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// What is not sealed.
    pub endpoint: Endpoint,
    /// The rest.
    pub sealed: Sealed,
}

/// An endpoint to add, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// The endpoint.
    pub row: EndpointRow,
    /// The audit event.
    pub event: AuditEvent,
    /// For a request with an idempotency key: its completion.
    pub completion: Option<Completion>,
}

/// An endpoint's new state, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUpdate {
    /// The version that the stored endpoint must have.
    pub expected_version: u64,
    /// The new state.
    pub row: EndpointRow,
    /// What becomes of [`Endpoint::failing_since`]. That of `row` is not written: attempts change it without a new version.
    pub failing_since: FailingSince,
    /// The audit event.
    pub event: AuditEvent,
}

/// What an update of an endpoint does with the instant since when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailingSince {
    /// It stays as it is.
    Kept,
    /// The endpoint is taken as one that works.
    Cleared,
    /// It must still be this one, and stays. Otherwise nothing is updated.
    Still(Timestamp),
}

impl FailingSince {
    /// The value that the stored endpoint must have, if it must have one.
    pub(crate) fn expected(self) -> Option<Timestamp> {
        match self {
            Self::Still(since) => Some(since),
            Self::Kept | Self::Cleared => None,
        }
    }
}

/// A delivery that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDelivery {
    /// The account that owns it.
    pub account_id: AccountId,
    /// Its identifier.
    pub id: DeliveryId,
    /// What the order is fair to: an endpoint, the hash of an origin, or the operator.
    pub receiver: String,
    /// Its current fence.
    pub fence: u64,
    /// Attempts so far; all of them failed.
    pub attempts: u32,
    /// Since when.
    pub due_at: Timestamp,
}

/// The deliveries that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueDeliveries {
    /// First one of each receiver.
    pub due: Vec<DueDelivery>,
    /// In how long the next one is due; `None` if none waits for its time.
    pub next_due_in: Option<Duration>,
}

/// The terms on which the lease of a delivery is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryTerms {
    /// The fence that the delivery must still have.
    pub expected_fence: u64,
    /// How long the lease lasts.
    pub lease: Duration,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// A delivery that the caller may make until its lease expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedDelivery {
    /// The delivery.
    pub delivery: Delivery,
    /// See [`DueDelivery::receiver`].
    pub receiver: String,
    /// The fence of the lease.
    pub fence: u64,
    /// The body and its MAC as they are stored; `None` for the webhook of a job.
    pub message: Option<StoredMessage>,
    /// The URL and the body of the webhook of a job; `None` once they were wiped.
    pub sealed: Option<Sealed>,
    /// The endpoint; `None` if it was deleted, or the delivery has none.
    pub endpoint: Option<EndpointRow>,
}

/// The body of a message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The body.
    pub body: String,
    /// What should be its MAC.
    pub mac: Vec<u8>,
}

/// The webhook of a job as a delivery to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJobDelivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// The `webhook-id`.
    pub event_id: String,
    /// The name of the event that ended the job.
    pub event_type: &'static str,
    /// See [`DueDelivery::receiver`].
    pub receiver: String,
    /// The URL and the body, sealed.
    pub sealed: Sealed,
}

/// What a worker writes of a delivery when it releases its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryResult {
    /// The fence of the lease.
    pub fence: u64,
    /// Attempts with this one, if it was one.
    pub attempts: u32,
    /// The attempt, or why none was made.
    pub attempt: Attempt,
    /// What follows.
    pub next: AfterAttempt,
    /// What it says about the endpoint.
    pub health: EndpointHealth,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAttempt {
    /// Another one, from now.
    RetryIn(Duration),
    /// None: the delivery ends, and what it keeps sealed is wiped.
    Ended(DeliveryStatus),
}

/// What an attempt says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointHealth {
    /// Nothing.
    Unknown,
    /// It accepted the message.
    Working,
    /// It did not.
    Failing,
}

/// Deliveries that wait for an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitingDeliveries {
    /// How many they are.
    pub count: u64,
    /// When the first is due.
    pub earliest_due_at: Option<Timestamp>,
}

/// Which deliveries are listed, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only those to this endpoint.
    pub endpoint_id: Option<EndpointId>,
    /// Only those about this job.
    pub job_id: Option<JobId>,
    /// Only those with this status.
    pub status: Option<DeliveryStatus>,
    /// Only those older than this one.
    pub before: Option<DeliveryId>,
}

/// Endpoints of webhooks.
#[async_trait]
pub trait WebhookEndpoints: Send + Sync {
    /// Adds an endpoint. [`Error::KeyNotActive`], [`Error::ReservationLost`].
    async fn insert_webhook_endpoint(&self, account: &AccountId, new: NewEndpoint) -> Result<(), Error>;
    /// Replaces an endpoint that still has the expected version, and wipes the sealing key that is replaced;
    /// [`Changed::No`] if it has another version, does not fail as expected, or is gone. [`Error::KeyNotActive`].
    async fn update_webhook_endpoint(
        &self,
        account: &AccountId,
        update: EndpointUpdate,
    ) -> Result<Changed, Error>;
    /// Deletes an endpoint and wipes its sealing key; [`Changed::No`] if there is none. Its deliveries stay.
    /// [`Error::KeyNotActive`].
    async fn delete_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// An endpoint.
    async fn find_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
    ) -> Result<Option<EndpointRow>, Error>;
    /// The account's endpoints, oldest first: those after `after`, at most `limit`.
    async fn list_webhook_endpoints(
        &self,
        account: &AccountId,
        after: Option<&EndpointId>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, Error>;
}

/// Deliveries of webhooks.
#[async_trait]
pub trait WebhookDeliveries: Send + Sync {
    /// Adds an audit event whose announcement has one endpoint as its audience, and the delivery to it; [`Changed::No`] if
    /// the endpoint is gone or disabled. [`Error::KeyNotActive`].
    async fn insert_webhook_test(&self, account: &AccountId, event: &AuditEvent) -> Result<Changed, Error>;
    /// Of each receiver the first deliveries that are due and that no worker holds, at most `per_receiver`: first one of
    /// each. The cost grows with the number of receivers, not with the deliveries that wait for one.
    async fn list_due_webhook_deliveries(
        &self,
        now: Timestamp,
        per_receiver: u32,
    ) -> Result<DueDeliveries, Error>;
    /// Takes a delivery's lease; `None` if its fence has changed, it is not due, or another worker holds it.
    async fn lease_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        terms: &DeliveryTerms,
    ) -> Result<Option<LeasedDelivery>, Error>;
    /// Writes the result of an attempt and releases the lease; [`Changed::No`] if the fence has changed.
    async fn finish_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        result: &DeliveryResult,
    ) -> Result<Changed, Error>;
    /// A delivery; also one for the operator.
    async fn find_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, Error>;
    /// The account's deliveries, the newest first, at most `limit`. Without those for the operator.
    async fn list_webhook_deliveries(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error>;
    /// Makes a delivery due at the instant of the event, with its attempts counted from zero. [`Changed::No`] if its
    /// endpoint is gone or disabled, or its content was wiped. [`Error::KeyNotActive`].
    async fn redeliver_webhook(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// The deliveries of all accounts that wait, for metrics. The cost grows with them.
    async fn count_waiting_webhook_deliveries(&self) -> Result<WaitingDeliveries, Error>;
}

/// A message of an announcement as its statements take it: one for endpoints, and one for the operator if it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnnouncedRow<'a> {
    pub(crate) announcement: &'a Announcement,
    pub(crate) message: &'a AnnouncedMessage,
    pub(crate) is_for_operator: bool,
}

/// The messages of an event.
pub(crate) fn announced_rows(event: &AuditEvent) -> impl Iterator<Item = AnnouncedRow<'_>> {
    event.announcement.iter().flat_map(|announcement| {
        let endpoints = AnnouncedRow { announcement, message: &announcement.message, is_for_operator: false };
        let operator = announcement.operator_message.as_ref();
        let operator = operator.map(|message| AnnouncedRow { announcement, message, is_for_operator: true });
        std::iter::once(endpoints).chain(operator)
    })
}

impl<'a> AnnouncedRow<'a> {
    /// The endpoint that alone receives it, and the one that does not.
    pub(crate) fn audience(&self) -> (Option<&'a str>, Option<&'a str>) {
        match &self.announcement.audience {
            Audience::Subscribers => (None, None),
            Audience::SubscribersExcept(id) => (None, Some(id.as_str())),
            Audience::Only(id) => (Some(id.as_str()), None),
        }
    }
}

/// A filter as parameters of the statements, where every filter has a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeliveryParameters<'a> {
    /// Empty: any.
    pub(crate) endpoint_id: &'a str,
    /// Empty: any.
    pub(crate) status: &'static str,
    pub(crate) before: &'a str,
}

impl DeliveryFilter {
    pub(crate) fn parameters(&self) -> DeliveryParameters<'_> {
        DeliveryParameters {
            endpoint_id: self.endpoint_id.as_ref().map_or("", EndpointId::as_str),
            status: self.status.map_or("", DeliveryStatus::as_str),
            // Every identifier sorts before `~`.
            before: self.before.as_ref().map_or("~", DeliveryId::as_str),
        }
    }
}

/// First one delivery of each receiver, those that are due first, then the second of each.
pub(crate) fn order_due_deliveries(found: Vec<DueDelivery>) -> Vec<DueDelivery> {
    let mut ranked = Vec::with_capacity(found.len());
    let mut rank = 0_usize;
    for delivery in found {
        let is_same = ranked.last().is_some_and(|(_, last): &(usize, DueDelivery)| {
            (&last.account_id, &last.receiver) == (&delivery.account_id, &delivery.receiver)
        });
        rank = if is_same { rank + 1 } else { 0 };
        ranked.push((rank, delivery));
    }
    ranked.sort_by_key(|(rank, delivery)| (*rank, delivery.due_at));
    ranked.into_iter().map(|(_, delivery)| delivery).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_receiver_is_served_once_before_one_is_served_twice() {
        let due = |receiver: &str, second: i64| DueDelivery {
            account_id: AccountId::from_random([1; 16]),
            id: DeliveryId::from_stored(format!("{receiver}{second}")),
            receiver: receiver.to_owned(),
            fence: 0,
            attempts: 0,
            due_at: Timestamp::from_millis(second),
        };
        let found = vec![due("a", 1), due("a", 2), due("a", 3), due("b", 9), due("c", 5), due("c", 6)];
        let order: Vec<_> =
            order_due_deliveries(found).into_iter().map(|due| due.id.as_str().to_owned()).collect();
        assert_eq!(order, ["a1", "c5", "b9", "a2", "c6", "a3"]);
    }
}
