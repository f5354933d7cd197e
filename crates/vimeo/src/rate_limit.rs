//! A token's rate window, as far as Vimeo update of it: nobody asks while it is spent.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::time::Timestamp;

/// For how long a window is taken for spent at the most, whatever its reset says.
const BLOCKED_MAX: Duration = Duration::from_hours(1);
/// For how long one is taken for spent whose end is not update: Vimeo's windows last a minute.
const BLOCKED_DEFAULT: Duration = Duration::from_mins(1);

/// Before when it is useless to ask with a token. Shared by all who use the same connection on this node.
#[derive(Debug, Default)]
pub struct RateLimit {
    /// Microseconds since 1970; 0 while nothing is known.
    blocked_until: AtomicI64,
}

/// What an answer says of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateLimitUpdate {
    /// There is room, or nothing is said.
    Open,
    /// This answer was the last one. Nothing is known if it does not say until when.
    Exhausted(Option<Timestamp>),
    /// The request was refused for it.
    Rejected(Option<Timestamp>),
}

impl RateLimit {
    /// Until when it is closed, if it is at `now`.
    pub fn blocked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = Timestamp::from_micros(self.blocked_until.load(Ordering::Relaxed));
        (until > now).then_some(until)
    }

    /// Takes over what an answer says. An earlier end never replaces a later one: answers overtake each other.
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
    fn a_spent_window_is_closed_until_its_reset_and_no_longer_than_an_hour() {
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
