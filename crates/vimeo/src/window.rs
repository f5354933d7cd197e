//! A token's rate window, as far as Vimeo told of it: nobody asks while it is spent.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::time::Timestamp;

/// For how long a window is taken for spent at the most, whatever its reset says.
const CLOSED_MAX: Duration = Duration::from_hours(1);
/// For how long one is taken for spent whose end is not told: Vimeo's windows last a minute.
const CLOSED_UNTOLD: Duration = Duration::from_mins(1);

/// Before when it is useless to ask with a token. Shared by all who use the same connection on this node.
#[derive(Debug, Default)]
pub struct Window {
    /// Microseconds since 1970; 0 while nothing is known.
    closed_until: AtomicI64,
}

/// What an answer says of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// There is room, or nothing is said.
    Open,
    /// This answer was the last one. Nothing is known if it does not say until when.
    Spent(Option<Timestamp>),
    /// The request was refused for it.
    Refused(Option<Timestamp>),
}

impl Window {
    /// Until when it is closed, if it is at `now`.
    pub fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = Timestamp::from_micros(self.closed_until.load(Ordering::Relaxed));
        (until > now).then_some(until)
    }

    /// Takes over what an answer says. An earlier end never replaces a later one: answers overtake each other.
    pub(crate) fn take(&self, told: Told, now: Timestamp) {
        let until = match told {
            Told::Open | Told::Spent(None) => return,
            Told::Spent(Some(reset)) => reset,
            Told::Refused(reset) => reset.unwrap_or(now.plus(CLOSED_UNTOLD)),
        };
        let until = until.min(now.plus(CLOSED_MAX));
        self.closed_until.fetch_max(until.as_micros(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_window_is_closed_until_its_reset_and_no_longer_than_an_hour() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let now = at(1_000);
        for (told, until) in [
            (Told::Open, None),
            (Told::Spent(None), None),
            (Told::Spent(Some(at(1_030))), Some(at(1_030))),
            (Told::Spent(Some(at(990))), None),
            (Told::Spent(Some(at(1_000_000))), Some(at(4_600))),
            (Told::Refused(Some(at(1_030))), Some(at(1_030))),
            (Told::Refused(Some(at(990))), None),
            (Told::Refused(None), Some(at(1_060))),
        ] {
            let window = Window::default();
            window.take(told, now);
            assert_eq!(window.closed_until(now), until, "{told:?}");
            assert_eq!(window.closed_until(until.unwrap_or(now)), None, "{told:?}");
        }
        let window = Window::default();
        window.take(Told::Spent(Some(at(1_030))), now);
        window.take(Told::Spent(Some(at(1_020))), now);
        window.take(Told::Open, now);
        assert_eq!(window.closed_until(now), Some(at(1_030)));
    }
}
