//! Webhooks: announcing events to the endpoints of an account, and delivering them.
//!
//! An event becomes a delivery for each endpoint in the transaction of what it reports (`store`). The worker (`worker.rs`)
//! leases due deliveries, makes one attempt each (`attempt.rs`) and stores the result. `retry.rs` decides what follows.

mod attempt;
mod content;
mod deliveries;
mod endpoints;
mod job_webhooks;
mod message;
mod pace;
mod presenter;
mod receivers;
mod retry;
mod worker;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::secret::Secret;
use egress::Egress;
use seal::webhook::WebhookSecret;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::uploads::Slots;
use pace::Pace;
use receivers::Receivers;

pub use deliveries::DeliveryPage;
pub use endpoints::SECRET_OVERLAP as WEBHOOK_SECRET_OVERLAP;
pub use endpoints::{
    CreatedEndpoint, EndpointChange, EndpointDescription, EndpointDescriptionError, EndpointDraft,
    EndpointPage, ShownEndpoint,
};
pub(crate) use job_webhooks::new_delivery;
pub use presenter::{EventData, PresentedEvent, Presenter};

/// The delays between attempts unless configured otherwise: three days in all.
pub const DEFAULT_RETRY_DELAYS: [u64; 12] =
    [5, 60, 300, 1_800, 3_600, 7_200, 14_400, 28_800, 36_000, 43_200, 57_600, 66_000];

/// The options of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// Webhooks that this node sends at once.
    pub concurrency: usize,
    /// The delays between attempts. After the last one a delivery is exhausted.
    pub retry_delays: Vec<Duration>,
    /// An endpoint that has failed for this long is disabled when a delivery to it is exhausted.
    pub disable_after: Duration,
}

/// The operator's endpoint, which hears of the connections of all accounts.
#[derive(Clone)]
pub struct OperatorEndpoint {
    /// Its URL.
    pub url: Secret,
    /// What its messages are signed with.
    pub secret: WebhookSecret,
}

impl fmt::Debug for OperatorEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorEndpoint")
    }
}

/// What deliveries need on this node.
#[derive(Debug, Clone)]
pub struct WebhookSetup {
    /// The client of addresses that users give.
    pub egress: Egress,
    /// The options.
    pub options: WebhookOptions,
}

/// Everything that deliveries need on this node.
pub(crate) struct Webhooks {
    egress: Egress,
    options: WebhookOptions,
    slots: Arc<Slots>,
    receivers: Arc<Receivers>,
    pace: Mutex<Pace>,
    /// An attempt has ended, and the pace may have changed.
    ended: Notify,
}

impl Webhooks {
    pub(crate) fn new(setup: WebhookSetup) -> Self {
        let WebhookSetup { egress, options } = setup;
        Self {
            slots: Slots::new(options.concurrency),
            receivers: Receivers::new(options.concurrency),
            pace: Mutex::new(Pace::new(Instant::now())),
            ended: Notify::new(),
            egress,
            options,
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every process knows of webhooks, also one that delivers none.
pub(crate) struct Announcer {
    pub(crate) presenter: Presenter,
    /// `None`: events for the operator are not announced.
    pub(crate) operator: Option<OperatorEndpoint>,
    /// Wakes the worker: a delivery may be due.
    pub(crate) wakeup: Notify,
}

impl Announcer {
    pub(crate) fn new(presenter: Presenter, operator: Option<OperatorEndpoint>) -> Self {
        Self { presenter, operator, wakeup: Notify::new() }
    }
}
