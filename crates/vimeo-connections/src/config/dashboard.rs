//! The configuration of the dashboard: keys, and reading them.

use std::time::Duration;

use app::SessionOptions;

use super::Reader;
use super::keys::{Key, key};
use super::kind::Kind;

pub(super) const KEYS: &[Key] = &[
    key(
        "dashboard.enabled",
        Kind::Flag,
        "true",
        "Serve the dashboard for people at `/dashboard`. `false`: the service has only its API.",
    ),
    key(
        "dashboard.idle_minutes",
        Kind::Number { least: 1, most: 1_440 },
        "30",
        "A session of the dashboard ends after this time without a request.",
    ),
    key(
        "dashboard.session_hours",
        Kind::Number { least: 1, most: 168 },
        "12",
        "A session of the dashboard ends this long after the sign-in, whatever happens.",
    ),
];

/// The settings of the dashboard.
#[derive(Debug, Clone)]
pub(crate) struct DashboardConfig {
    /// Whether it is served.
    pub(crate) is_enabled: bool,
    /// How long its sessions last.
    pub(crate) sessions: SessionOptions,
}

impl Reader<'_> {
    pub(super) fn dashboard(&self) -> Option<DashboardConfig> {
        Some(DashboardConfig {
            is_enabled: self.flag("dashboard.enabled"),
            sessions: SessionOptions {
                idle: Duration::from_mins(self.number("dashboard.idle_minutes")?),
                lifetime: Duration::from_hours(self.number("dashboard.session_hours")?),
            },
        })
    }
}
