//! The rate limit of a token as Vimeo last reported it. No request is sent while it is exhausted.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::time::Timestamp;

/// Longest time for which requests are blocked, whatever the reset time says.
const BLOCKED_MAX: Duration = Duration::from_hours(1);
/// How long requests are blocked if the reset time is unknown: Vimeo's windows last one minute.
const BLOCKED_DEFAULT: Duration = Duration::from_mins(1);

/// Until when requests with a token are blocked. Shared by all users of a connection on this node.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// Microseconds since 1970; 0 if unknown.
    blocked_until: AtomicI64,
}

/// The rate limit according to one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateLimitUpdate {
    /// Requests remain, or the response says nothing.
    Open,
    /// No requests remain until this time. Without a time it changes nothing.
    Exhausted(Option<Timestamp>),
    /// 429; blocked until this time.
    Rejected(Option<Timestamp>),
}

impl RateLimit {
    /// Until when requests are blocked, if they are at `now`.
    pub fn blocked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = Timestamp::from_micros(self.blocked_until.load(Ordering::Relaxed));
        (until > now).then_some(until)
    }

    /// Applies a response. An earlier reset never replaces a later one, because responses can overtake each other.
    pub(crate) fn update(&self, update: RateLimitUpdate, now: Timestamp) {
        let until = match update {
            RateLimitUpdate::Open | RateLimitUpdate::Exhausted(None) => return,
            RateLimitUpdate::Exhausted(Some(reset)) => reset,
            RateLimitUpdate::Rejected(reset) => reset.unwrap_or(now.plus(BLOCKED_DEFAULT)),
        };
        let until = until.min(now.plus(BLOCKED_MAX));
        self.blocked_until.fetch_max(until.as_micros(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_rate_limit_blocks_until_its_reset_and_at_most_an_hour() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let now = at(1_000);
        for (update, until) in [
            (RateLimitUpdate::Open, None),
            (RateLimitUpdate::Exhausted(None), None),
            (RateLimitUpdate::Exhausted(Some(at(1_030))), Some(at(1_030))),
            (RateLimitUpdate::Exhausted(Some(at(990))), None),
            (RateLimitUpdate::Exhausted(Some(at(1_000_000))), Some(at(4_600))),
            (RateLimitUpdate::Rejected(Some(at(1_030))), Some(at(1_030))),
            (RateLimitUpdate::Rejected(Some(at(990))), None),
            (RateLimitUpdate::Rejected(None), Some(at(1_060))),
        ] {
            let rate_limit = RateLimit::default();
            rate_limit.update(update, now);
            assert_eq!(rate_limit.blocked_until(now), until, "{update:?}");
            assert_eq!(rate_limit.blocked_until(until.unwrap_or(now)), None, "{update:?}");
        }
        let rate_limit = RateLimit::default();
        rate_limit.update(RateLimitUpdate::Exhausted(Some(at(1_030))), now);
        rate_limit.update(RateLimitUpdate::Exhausted(Some(at(1_020))), now);
        rate_limit.update(RateLimitUpdate::Open, now);
        assert_eq!(rate_limit.blocked_until(now), Some(at(1_030)));
    }
}
