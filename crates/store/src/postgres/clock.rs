//! Which clock instants come from.

use std::time::Duration;

use domain::time::Timestamp;

/// The clock that leases, reservations and expiry go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The database's: one for all nodes.
    OfTheServer,
    /// The instants that are passed with each call.
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests choose their instants"))]
    OfTheCaller,
}

impl Clock {
    /// The instant in microseconds, if it is not the server's to choose.
    pub(super) fn or_the_servers(self, at: Timestamp) -> Option<i64> {
        match self {
            Self::OfTheServer => None,
            Self::OfTheCaller => Some(at.as_micros()),
        }
    }
}

/// A duration in microseconds, for a statement that adds it to an instant.
pub(super) fn micros(duration: Duration) -> i64 {
    /// Later than any instant when it is added to one, and the sum still fits its column.
    const LONGEST: i64 = i64::MAX / 4;
    i64::try_from(duration.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
