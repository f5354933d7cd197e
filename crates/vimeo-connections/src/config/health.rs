//! The configuration of health checks and of verification: keys, and reading them.

use std::time::Duration;

use app::HealthOptions;

use super::Reader;
use super::keys::{Key, key};
use super::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    key(
        "health.check_interval_seconds",
        Kind::Number { least: 0, most: 30 * 86_400 },
        "86400",
        "The longest time between two checks of a connection with Vimeo. Checks are spread over it; a connection in use is checked four times as often, an unhealthy one more often at first. 0: connections are checked only on request. Without effect if `vimeo.verification` is `off`.",
    ),
    key(
        "health.concurrency",
        Kind::Number { least: 1, most: 256 },
        "8",
        "Checks that this node runs at once.",
    ),
];

/// Whether credentials are verified before they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VerificationMode {
    Required,
    WhenReachable,
    Off,
}

impl VerificationMode {
    /// Parses `vimeo.verification`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "required" => Ok(Self::Required),
            "when-reachable" => Ok(Self::WhenReachable),
            "off" => Ok(Self::Off),
            _ => Err("must be \"required\", \"when-reachable\" or \"off\"".to_owned()),
        }
    }
}

impl Reader<'_> {
    pub(super) fn health(&self) -> Option<HealthOptions> {
        let interval = Duration::from_secs(self.number("health.check_interval_seconds")?);
        Some(HealthOptions {
            interval: (!interval.is_zero()).then_some(interval),
            concurrency: usize::try_from(self.number("health.concurrency")?).ok()?,
        })
    }
}
