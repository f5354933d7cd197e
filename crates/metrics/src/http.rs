//! HTTP requests.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge};
use rustc_hash::FxHashMap;

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

thread_local! {
    /// What this thread has recorded before, by route. A lookup by labels hashes all of them, and takes a lock that all
    /// threads share.
    static RECORDED: RefCell<FxHashMap<String, Vec<Recorded>>> = RefCell::default();
}

/// The values of one route and method.
struct Recorded {
    method: String,
    durations: Histogram,
    by_status: Vec<(String, IntCounter)>,
}

/// Records how a request ended, after this time.
pub fn record_request(labels: RequestLabels<'_>, duration: Duration) {
    let seconds = duration.as_secs_f64();
    let recorded = RECORDED.try_with(|recorded| record(&mut recorded.borrow_mut(), labels, seconds));
    // The thread ends, and its own variables are gone.
    if recorded.is_err() {
        let RequestLabels { method, route, status } = labels;
        REQUEST_DURATIONS.with_label_values(&[method, route]).observe(seconds);
        REQUESTS.with_label_values(&[method, route, status]).inc();
    }
}

fn record(routes: &mut FxHashMap<String, Vec<Recorded>>, labels: RequestLabels<'_>, seconds: f64) {
    let RequestLabels { method, route, status } = labels;
    let methods = match routes.get_mut(route) {
        Some(methods) => methods,
        None => routes.entry(route.to_owned()).or_default(),
    };
    let known = methods.iter().position(|recorded| recorded.method == method);
    let recorded = if let Some(at) = known {
        methods.get_mut(at)
    } else {
        let durations = REQUEST_DURATIONS.with_label_values(&[method, route]);
        methods.push(Recorded { method: method.to_owned(), durations, by_status: Vec::new() });
        methods.last_mut()
    };
    let Some(recorded) = recorded else { return };
    recorded.durations.observe(seconds);
    if let Some((_, requests)) = recorded.by_status.iter().find(|(known, _)| known == status) {
        return requests.inc();
    }
    let requests = REQUESTS.with_label_values(&[method, route, status]);
    requests.inc();
    recorded.by_status.push((status.to_owned(), requests));
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        IN_FLIGHT.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_their_labels_on_every_thread() {
        let labels = |method, status| RequestLabels { method, route: "/counted", status };
        let record_all = move || {
            for _ in 0..3 {
                record_request(labels("GET", "200"), Duration::from_millis(2));
            }
            record_request(labels("GET", "404"), Duration::from_millis(2));
            record_request(labels("PUT", "200"), Duration::from_millis(2));
        };
        let threads = [std::thread::spawn(record_all), std::thread::spawn(record_all)];
        for thread in threads {
            thread.join().unwrap();
        }
        let count = |method, status| REQUESTS.with_label_values(&[method, "/counted", status]).get();
        assert_eq!([count("GET", "200"), count("GET", "404"), count("PUT", "200")], [6, 2, 2]);
        let timed = |method| REQUEST_DURATIONS.with_label_values(&[method, "/counted"]).get_sample_count();
        assert_eq!([timed("GET"), timed("PUT")], [8, 2]);
    }
}
