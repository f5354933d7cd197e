//! The configuration of retention.

use std::time::Duration;

use app::RetentionOptions;

use super::Reader;

const DAY: Duration = Duration::from_hours(24);

impl Reader<'_> {
    pub(super) fn retention(&self) -> Option<RetentionOptions> {
        let days = |key| self.number(key).and_then(|days| u32::try_from(days).ok()).map(|days| DAY * days);
        Some(RetentionOptions {
            jobs: Some(days("retention.jobs_days")?).filter(|kept| !kept.is_zero()),
            failed_requests: days("retention.failed_request_days")?,
            interval: Duration::from_secs(self.number("retention.sweep_seconds")?),
        })
    }
}
