//! Limits of clients.

use app::LimitSettings;
use domain::limits::PerLimit;
use web::ConcurrencyLimits;

use super::Reader;

impl Reader<'_> {
    pub(super) fn limits(&self) -> Option<LimitSettings> {
        Some(LimitSettings {
            account: PerLimit {
                requests_per_minute: self.number("limits.requests_per_minute")?,
                key_requests_per_minute: self.number("limits.key_requests_per_minute")?,
                connections: self.number("limits.connections")?,
                jobs_in_progress: self.number("limits.jobs_in_progress")?,
                idempotency_records: self.number("limits.idempotency_records")?,
                event_streams: self.number("limits.event_streams")?,
                webhook_endpoints: self.number("limits.webhook_endpoints")?,
                open_authorizations: self.number("limits.open_authorizations")?,
            },
            failed_keys_per_minute: self.number("limits.failed_keys_per_minute")?,
            burst_seconds: self.number("limits.burst_seconds")?,
            concurrent_writes_per_account: self.count("limits.account_concurrent_writes")?,
        })
    }

    pub(super) fn concurrency(&self) -> Option<ConcurrencyLimits> {
        Some(ConcurrencyLimits {
            reads: self.count("limits.concurrent_reads")?,
            writes: self.count("limits.concurrent_writes")?,
        })
    }

    fn count(&self, key: &'static str) -> Option<usize> {
        self.number(key).and_then(|count| usize::try_from(count).ok())
    }
}
