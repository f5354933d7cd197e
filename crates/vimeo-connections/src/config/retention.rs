//! The configuration of retention.

use std::time::Duration;

use app::{AuditOptions, RetentionOptions};

use super::Reader;

const DAY: Duration = Duration::from_hours(24);

/// How long data is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetentionConfig {
    pub(crate) data: RetentionOptions,
    pub(crate) audit: AuditOptions,
}

impl Reader<'_> {
    pub(super) fn retention(&mut self) -> Option<RetentionConfig> {
        Some(RetentionConfig { data: self.data()?, audit: self.audit()? })
    }

    fn audit(&self) -> Option<AuditOptions> {
        let days = self.number("audit.retention_days").and_then(|days| u32::try_from(days).ok())?;
        Some(AuditOptions { retention_days: (days > 0).then_some(days) })
    }

    fn data(&self) -> Option<RetentionOptions> {
        let days = |key| self.number(key).and_then(|days| u32::try_from(days).ok()).map(|days| DAY * days);
        Some(RetentionOptions {
            jobs: Some(days("retention.jobs_days")?).filter(|kept| !kept.is_zero()),
            failed_requests: days("retention.failed_request_days")?,
            webhook_deliveries: days("retention.webhook_delivery_days")?,
            interval: Duration::from_secs(self.number("retention.sweep_seconds")?),
        })
    }
}
