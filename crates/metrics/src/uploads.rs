//! Jobs and webhooks, as far as this process works on them.

use std::sync::LazyLock;

use prometheus::{IntCounter, IntCounterVec};

use crate::definitions::{JOBS_ENDED, RELAYED_BYTES, WEBHOOK_DELIVERIES, WEBHOOKS_DISABLED};

/// The outcome of an attempt to deliver a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// The receiver accepted it.
    Delivered,
    /// It is sent again later.
    Retried,
    /// It is not sent again.
    Exhausted,
}

impl WebhookOutcome {
    const ALL: [Self; 3] = [Self::Delivered, Self::Retried, Self::Exhausted];

    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::Exhausted => "exhausted",
        }
    }
}

static RELAYED: LazyLock<IntCounter> = LazyLock::new(|| RELAYED_BYTES.counter());
static ENDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let counters = JOBS_ENDED.counters(&["state", "failure_code"]);
    // So that the first one is an increase. The codes of failures appear with the first failure.
    for state in ["completed", "cancelled"] {
        counters.with_label_values(&[state, ""]);
    }
    counters
});
static DELIVERIES: LazyLock<[IntCounter; 3]> = LazyLock::new(|| {
    let counters = WEBHOOK_DELIVERIES.counters(&["outcome"]);
    WebhookOutcome::ALL.map(|outcome| counters.with_label_values(&[outcome.as_str()]))
});

static DISABLED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let counters = WEBHOOKS_DISABLED.counters(&["reason"]);
    for reason in ["gone", "failing"] {
        counters.with_label_values(&[reason]);
    }
    counters
});

pub(crate) fn start() {
    LazyLock::force(&RELAYED);
    LazyLock::force(&ENDED);
    LazyLock::force(&DELIVERIES);
    LazyLock::force(&DISABLED);
}

/// This many bytes of a source were passed on to Vimeo.
pub fn record_relayed_bytes(bytes: u64) {
    RELAYED.inc_by(bytes);
}

/// A job ended in this state; `failure_code` is the code of a failure.
pub fn record_ended_job(state: &'static str, failure_code: Option<&'static str>) {
    ENDED.with_label_values(&[state, failure_code.unwrap_or_default()]).inc();
}

/// An attempt to deliver a webhook ended.
pub fn record_webhook_delivery(outcome: WebhookOutcome) {
    if let Some(counter) = DELIVERIES.get(outcome as usize) {
        counter.inc();
    }
}

/// A webhook endpoint was disabled.
pub fn record_disabled_endpoint(reason: &'static str) {
    DISABLED.with_label_values(&[reason]).inc();
}
