//! Requests to Vimeo.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use crate::definitions::{VIMEO_DURATION, VIMEO_RATE_LIMIT, VIMEO_REQUESTS};

/// In seconds: up to the longest timeout of a request.
const DURATIONS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Parts of a rate limit.
const RATIOS: [f64; 7] = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0];

/// What a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VimeoEndpoint {
    /// The API.
    Api,
    /// An upload link.
    UploadLink,
}

/// The outcome of a request to Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VimeoOutcome {
    /// 2xx.
    Success,
    /// 429.
    RateLimited,
    /// Another status below 500: Vimeo refused the request.
    Refused,
    /// 5xx.
    ServerError,
    /// No response in time.
    Timeout,
    /// No connection, a broken connection, or a response that is not HTTP or too long.
    Unreachable,
}

impl VimeoEndpoint {
    const ALL: [Self; 2] = [Self::Api, Self::UploadLink];

    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::UploadLink => "upload_link",
        }
    }
}

impl VimeoOutcome {
    const ALL: [Self; 6] = [
        Self::Success,
        Self::RateLimited,
        Self::Refused,
        Self::ServerError,
        Self::Timeout,
        Self::Unreachable,
    ];

    /// The outcome of a response with this status.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            429 => Self::RateLimited,
            500.. => Self::ServerError,
            _ => Self::Refused,
        }
    }

    /// Its name, as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
        }
    }
}

static REQUESTS: LazyLock<[[IntCounter; 6]; 2]> = LazyLock::new(|| {
    let counters = VIMEO_REQUESTS.counters(&["endpoint", "outcome"]);
    VimeoEndpoint::ALL.map(|endpoint| {
        VimeoOutcome::ALL.map(|outcome| counters.with_label_values(&[endpoint.as_str(), outcome.as_str()]))
    })
});
static REQUEST_DURATIONS: LazyLock<Histogram> = LazyLock::new(|| VIMEO_DURATION.histogram(&DURATIONS));
static RATE_LIMITS: LazyLock<Histogram> = LazyLock::new(|| VIMEO_RATE_LIMIT.histogram(&RATIOS));

pub(crate) fn start() {
    LazyLock::force(&REQUESTS);
    LazyLock::force(&REQUEST_DURATIONS);
    LazyLock::force(&RATE_LIMITS);
}

/// A request to this endpoint ended.
pub fn record_vimeo_request(endpoint: VimeoEndpoint, outcome: VimeoOutcome) {
    if let Some(counter) = REQUESTS.get(endpoint as usize).and_then(|counters| counters.get(outcome as usize))
    {
        counter.inc();
    }
}

/// A request to the API took this time.
pub fn record_vimeo_duration(duration: Duration) {
    REQUEST_DURATIONS.observe(duration.as_secs_f64());
}

/// A response of the API reports the rate limit of its token: requests that are left, of this many. Without a limit there
/// is nothing to record.
pub fn record_rate_limit(remaining: u32, limit: u32) {
    if limit > 0 {
        RATE_LIMITS.observe(f64::from(remaining.min(limit)) / f64::from(limit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_the_outcome_that_an_operator_would_act_on() {
        for (status, outcome) in [
            (200, VimeoOutcome::Success),
            (204, VimeoOutcome::Success),
            (302, VimeoOutcome::Refused),
            (404, VimeoOutcome::Refused),
            (429, VimeoOutcome::RateLimited),
            (500, VimeoOutcome::ServerError),
            (599, VimeoOutcome::ServerError),
        ] {
            assert_eq!(VimeoOutcome::of_status(status), outcome, "{status}");
        }
    }

    #[test]
    fn each_outcome_has_its_own_counter() {
        for (row, endpoint) in VimeoEndpoint::ALL.into_iter().enumerate() {
            for (column, outcome) in VimeoOutcome::ALL.into_iter().enumerate() {
                let before = REQUESTS[row][column].get();
                record_vimeo_request(endpoint, outcome);
                assert_eq!(REQUESTS[row][column].get(), before + 1, "{endpoint:?} {outcome:?}");
            }
        }
    }

    #[test]
    fn the_rate_limit_is_recorded_as_a_ratio_if_there_is_one() {
        let (count, sum) = (RATE_LIMITS.get_sample_count(), RATE_LIMITS.get_sample_sum());
        record_rate_limit(25, 100);
        record_rate_limit(7, 0);
        record_rate_limit(300, 100);
        assert_eq!(RATE_LIMITS.get_sample_count(), count + 2);
        assert!((RATE_LIMITS.get_sample_sum() - sum - 1.25).abs() < 1e-9);
    }
}
