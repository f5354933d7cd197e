//! HTTP requests.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{HistogramVec, IntCounterVec, IntGauge};

use crate::definitions::{HTTP_DURATION, HTTP_IN_FLIGHT, HTTP_REQUESTS};

/// In seconds: from a cached read to a create that waits for Vimeo.
const DURATIONS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

static REQUESTS: LazyLock<IntCounterVec> =
    LazyLock::new(|| HTTP_REQUESTS.counters(&["method", "route", "status"]));
static REQUEST_DURATIONS: LazyLock<HistogramVec> =
    LazyLock::new(|| HTTP_DURATION.histograms(&["method", "route"], &DURATIONS));
static IN_FLIGHT: LazyLock<IntGauge> = LazyLock::new(|| HTTP_IN_FLIGHT.gauge());

pub(crate) fn start() {
    LazyLock::force(&REQUESTS);
    LazyLock::force(&REQUEST_DURATIONS);
    LazyLock::force(&IN_FLIGHT);
}

/// The labels of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLabels<'a> {
    /// A standard method, or a fixed text for all others: a client may send any.
    pub method: &'a str,
    /// The template of the matched route, or a fixed text if there is none.
    pub route: &'a str,
    /// The status code, or a fixed text if there was no response.
    pub status: &'a str,
}

/// A request that is being handled. Counted until it is dropped.
#[derive(Debug)]
pub struct RequestInFlight(());

impl RequestInFlight {
    /// Counts one more.
    pub fn start() -> Self {
        IN_FLIGHT.inc();
        Self(())
    }
}

/// Records how a request ended, after this time.
pub fn record_request(labels: RequestLabels<'_>, duration: Duration) {
    let RequestLabels { method, route, status } = labels;
    // These look the values up by a hash, without an allocation.
    REQUESTS.with_label_values(&[method, route, status]).inc();
    REQUEST_DURATIONS.with_label_values(&[method, route]).observe(duration.as_secs_f64());
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        IN_FLIGHT.dec();
    }
}
