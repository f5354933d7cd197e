//! The metrics of the service, in Prometheus' text format. The only crate that uses the `prometheus` library.
//! Knows which metrics there are, with their labels and buckets. Knows nothing of the code that records them.
//! Invariant: every label has a fixed set of values. No identifier, host, URL or text of a user becomes a label.

mod definitions;
mod exposition;
mod health;
mod http;
mod store;
mod uploads;
mod vimeo;

pub use definitions::{DEFINITIONS, Definition, Kind};
pub use exposition::{BuildInfo, CONTENT_TYPE, JobGroup, NotHealthy, PointInTime, WriteQueue, render};
pub use health::{CheckOutcome, ConnectionStatus, record_health_change, record_health_check};
pub use http::{RequestInFlight, RequestLabels, record_request};
pub use store::{record_rejected_write, record_write_batch};
pub use uploads::{
    WebhookOutcome, record_disabled_endpoint, record_ended_job, record_relayed_bytes, record_webhook_delivery,
};
pub use vimeo::{
    VimeoEndpoint, VimeoOutcome, record_rate_limit, record_vimeo_duration, record_vimeo_request,
};

/// Creates every metric, so that those without a value yet are exported as zero.
pub fn start() {
    http::start();
    store::start();
    vimeo::start();
    uploads::start();
    health::start();
}
