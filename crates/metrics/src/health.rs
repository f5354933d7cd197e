//! Checks of connections.

use std::sync::LazyLock;

use prometheus::IntCounter;

use crate::definitions::{HEALTH_CHANGES, HEALTH_CHECKS};

/// The status of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionStatus {
    /// Vimeo accepts its credentials.
    Healthy,
    /// Vimeo rejects them, or the app may not upload.
    Unhealthy,
    /// Vimeo was not asked successfully.
    Unverified,
}

/// Whether Vimeo answered a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckOutcome {
    /// It did, and this is the status now.
    Answered(ConnectionStatus),
    /// It did not.
    Unanswered,
}

impl ConnectionStatus {
    const ALL: [Self; 3] = [Self::Healthy, Self::Unhealthy, Self::Unverified];

    fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unverified => "unverified",
        }
    }
}

static CHECKS: LazyLock<[IntCounter; 4]> = LazyLock::new(|| {
    let counters = HEALTH_CHECKS.counters(&["outcome"]);
    ["healthy", "unhealthy", "unverified", "unanswered"].map(|outcome| counters.with_label_values(&[outcome]))
});
static CHANGES: LazyLock<[IntCounter; 3]> = LazyLock::new(|| {
    let counters = HEALTH_CHANGES.counters(&["status"]);
    ConnectionStatus::ALL.map(|status| counters.with_label_values(&[status.as_str()]))
});

pub(crate) fn start() {
    LazyLock::force(&CHECKS);
    LazyLock::force(&CHANGES);
}

/// A check has ended.
pub fn record_health_check(outcome: CheckOutcome) {
    let index = match outcome {
        CheckOutcome::Answered(status) => status as usize,
        CheckOutcome::Unanswered => ConnectionStatus::ALL.len(),
    };
    if let Some(counter) = CHECKS.get(index) {
        counter.inc();
    }
}

/// A connection has this status now, and had another one before.
pub fn record_health_change(status: ConnectionStatus) {
    if let Some(counter) = CHANGES.get(status as usize) {
        counter.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_own_counter() {
        let outcomes = ConnectionStatus::ALL.map(CheckOutcome::Answered);
        for (index, outcome) in outcomes.into_iter().chain([CheckOutcome::Unanswered]).enumerate() {
            let before = CHECKS[index].get();
            record_health_check(outcome);
            assert_eq!(CHECKS[index].get(), before + 1, "{outcome:?}");
        }
        for (index, status) in ConnectionStatus::ALL.into_iter().enumerate() {
            let before = CHANGES[index].get();
            record_health_change(status);
            assert_eq!(CHANGES[index].get(), before + 1, "{status:?}");
        }
    }
}
