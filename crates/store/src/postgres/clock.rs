//! Whose clock instants go by.

use std::time::Duration;

use domain::time::Timestamp;

/// Whose clock leases, reservations and expiry go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The database's: one for all nodes.
    OfTheServer,
    /// The instants that come with each call.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests choose their instants"))]
    OfTheCaller,
}

impl Clock {
    /// The instant to go by, if it is not the server's.
    pub(super) fn or_the_servers(self, at: Timestamp) -> Option<i64> {
        match self {
            Self::OfTheServer => None,
            Self::OfTheCaller => Some(at.as_micros()),
        }
    }
}

/// Now: the given instant, or the server's clock.
macro_rules! clock {
    ($given:literal) => {
        concat!("coalesce(", $given, "::bigint, (extract(epoch FROM now()) * 1000000)::bigint)")
    };
}
pub(super) use clock;

/// How much is added to that, for a parameter.
pub(super) fn micros(duration: Duration) -> i64 {
    /// So much later than any instant that it is beyond the last one, and no sum of both is beyond a column.
    const LONGEST: i64 = i64::MAX / 4;
    i64::try_from(duration.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
