//! The time of day, which all servers on this machine share.

use std::time::{Duration, SystemTime};

const NANOS_A_DAY: u128 = 24 * 60 * 60 * 1_000_000_000;
/// In seconds.
const HALF_A_DAY: f64 = 12.0 * 60.0 * 60.0;

/// A time of day, in nanoseconds since midnight. Measurements take less than a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TimeOfDay(u128);

/// The current time of the clock that the sandbox uses too.
#[expect(clippy::disallowed_methods, reason = "it is compared with times that another process recorded")]
pub(crate) fn now() -> TimeOfDay {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    TimeOfDay(since.as_nanos() % NANOS_A_DAY)
}

impl TimeOfDay {
    /// Reads an instant in UTC, such as `2026-01-31T09:05:00.042Z`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut parts = time.split(':');
        let hours: u64 = parts.next()?.parse().ok()?;
        let minutes: u64 = parts.next()?.parse().ok()?;
        let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
        Some(Self((Duration::from_secs(hours * 3600 + minutes * 60) + seconds).as_nanos()))
    }

    /// Negative if this time is up to twelve hours before the other.
    pub(crate) fn signed_seconds_since(self, other: Self) -> f64 {
        let seconds = self.seconds_since(other);
        if seconds > HALF_A_DAY { seconds - 2.0 * HALF_A_DAY } else { seconds }
    }

    pub(crate) fn seconds_since(self, earlier: Self) -> f64 {
        // The later time may be past midnight.
        let nanos = (self.0 + NANOS_A_DAY).saturating_sub(earlier.0) % NANOS_A_DAY;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_after_midnight_is_later() {
        let at = |text| TimeOfDay::read(text).unwrap();
        let earlier = at("2026-01-31T23:59:59.500000000Z");
        assert!((at("2026-02-01T00:00:01.25Z").seconds_since(earlier) - 1.75).abs() < 1e-9);
        assert!((earlier.seconds_since(at("2026-01-31T23:59:58.5Z")) - 1.0).abs() < 1e-9);
        let later = at("2026-02-01T00:00:01Z");
        assert!((later.signed_seconds_since(earlier) - 1.5).abs() < 1e-9);
        assert!((earlier.signed_seconds_since(later) + 1.5).abs() < 1e-9);
        assert_eq!(TimeOfDay::read("yesterday"), None);
    }
}
