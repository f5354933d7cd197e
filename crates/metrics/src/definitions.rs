//! All metrics: names, kinds and help texts. `docs/operations.md` lists the same ones, and a test compares them.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result,
};
use std::sync::LazyLock;

/// What a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its help text.
    pub help: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only increases, until the process restarts.
    Counter,
    /// The current value.
    Gauge,
    /// A distribution, in fixed buckets.
    Histogram,
}

macro_rules! definitions {
    ($($constant:ident: $kind:ident $name:literal $help:literal)+) => {
        $(pub(crate) const $constant: Definition =
            Definition { name: concat!("vimeo_connections_", $name), kind: Kind::$kind, help: $help };)+
        /// Every metric that the service can export.
        pub const DEFINITIONS: &[Definition] = &[$($constant),+];
    };
}

definitions! {
    HTTP_REQUESTS: Counter "http_requests_total"
        "HTTP requests that ended, by method, route and status; status \"aborted\" is a disconnect or a shutdown."
    HTTP_DURATION: Histogram "http_request_duration_seconds"
        "Time from the header of an HTTP request to its response, by method and route."
    HTTP_IN_FLIGHT: Gauge "http_requests_in_flight"
        "HTTP requests that are being handled, including open event streams up to their first byte."
    STORE_QUEUED: Gauge "store_queued_writes"
        "Writes in the queue; on PostgreSQL, including those that are being committed."
    STORE_CAPACITY: Gauge "store_write_queue_capacity"
        "Queued writes from which on further ones are rejected (store.queue)."
    STORE_REJECTED: Counter "store_rejected_writes_total"
        "Writes that were rejected because the queue was full."
    STORE_BATCH_SIZE: Histogram "store_write_batch_size"
        "Writes that share a transaction."
    STORE_COMMIT: Histogram "store_commit_duration_seconds"
        "Time to commit a batch: SQLite's commit with its sync, or the statement on the PostgreSQL server."
    STORE_UP: Gauge "store_up"
        "1 if the database could be read for the metrics of jobs, else 0, and those metrics are absent."
    VIMEO_REQUESTS: Counter "vimeo_requests_total"
        "Requests to Vimeo, by endpoint (API or upload link) and outcome."
    VIMEO_DURATION: Histogram "vimeo_request_duration_seconds"
        "Time of a request to Vimeo's API, including failed ones."
    VIMEO_RATE_LIMIT: Histogram "vimeo_rate_limit_remaining_ratio"
        "Part of the token's rate limit that was left, as each response of Vimeo's API reports it."
    JOBS: Gauge "jobs"
        "Unfinished jobs in the database, by state and by what they wait for (\"nothing\": a worker runs them)."
    JOBS_OLDEST: Gauge "jobs_oldest_created_timestamp_seconds"
        "When the oldest unfinished job was created, by what it waits for."
    JOBS_DUE: Gauge "jobs_due_since_timestamp_seconds"
        "Since when the job has been due that has waited longest for a worker."
    JOBS_ENDED: Counter "jobs_ended_total"
        "Jobs that this process ended, by state and failure code."
    RELAYED_BYTES: Counter "upload_relayed_bytes_total"
        "Bytes that were read from sources and passed on to Vimeo."
    WEBHOOKS_PENDING: Gauge "webhooks_pending"
        "Webhooks in the database that are not delivered yet."
    WEBHOOKS_DUE: Gauge "webhooks_due_since_timestamp_seconds"
        "Since when the webhook has been due that has waited longest for its next attempt."
    WEBHOOK_DELIVERIES: Counter "webhook_deliveries_total"
        "Attempts to deliver a webhook, by outcome."
    HEALTH_CHECKS: Counter "connection_checks_total"
        "Checks of connections, by the status that they found, or \"unanswered\" if Vimeo did not answer."
    HEALTH_CHANGES: Counter "connection_health_changes_total"
        "Connections whose status changed, by the new status."
    NOT_HEALTHY: Gauge "connections_not_healthy"
        "Connections in the database that are unhealthy or unverified, by status; at most 100000 of each are counted."
    WEBHOOKS_DISABLED: Counter "webhook_endpoints_disabled_total"
        "Webhook endpoints that this process disabled, by reason: gone (the receiver answered 410) or failing."
    CERTIFICATE: Gauge "certificate_not_after_timestamp_seconds"
        "When the certificate of the listener expires. Absent without TLS."
    BUILD_INFO: Gauge "build_info"
        "1, with the version and the commit of the program."
}

/// The registry of the process, as there is one log per process.
pub(crate) static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

impl Definition {
    pub(crate) fn options(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    pub(crate) fn counter(&self) -> IntCounter {
        registered(IntCounter::with_opts(self.options()))
    }

    pub(crate) fn counters(&self, labels: &[&str]) -> IntCounterVec {
        registered(IntCounterVec::new(self.options(), labels))
    }

    pub(crate) fn gauge(&self) -> IntGauge {
        registered(IntGauge::with_opts(self.options()))
    }

    pub(crate) fn histogram(&self, buckets: &[f64]) -> Histogram {
        registered(Histogram::with_opts(self.buckets(buckets)))
    }

    pub(crate) fn histograms(&self, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        registered(HistogramVec::new(self.buckets(buckets), labels))
    }

    fn buckets(&self, buckets: &[f64]) -> HistogramOpts {
        HistogramOpts::new(self.name, self.help).buckets(buckets.to_vec())
    }
}

#[expect(clippy::expect_used, reason = "all definitions are constants, and a test creates every metric")]
fn registered<C: Collector + Clone + 'static>(made: Result<C>) -> C {
    let metric = made.expect("a metric is well-formed");
    REGISTRY.register(Box::new(metric.clone())).expect("a metric is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for Definition { name, kind, help } in DEFINITIONS {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.') && !name.ends_with("_count") && !name.ends_with("_sum"), "{name}");
        }
    }

    #[test]
    fn every_recorded_metric_is_well_formed_and_defined() {
        crate::start();
        crate::start();
        for family in REGISTRY.gather() {
            assert!(DEFINITIONS.iter().any(|known| known.name == family.name()), "{}", family.name());
        }
    }
}
