//! Deletes what was kept long enough, in small pieces and with pauses, by one node at a time.

use std::time::Duration;

use store::{Changed, Expired, SweepLease};
use tokio::time::sleep;

use crate::{App, Error};

/// Rows in one transaction. Other writes wait meanwhile.
const PIECE: u32 = 100;
/// The pause between two pieces, in which waiting requests are served.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a sweep is left to a node that does not continue it.
const LEASE: Duration = Duration::from_secs(15);

/// How long an authorization is kept after its end.
const AUTHORIZATIONS_KEPT: Duration = Duration::from_hours(30 * 24);

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionOptions {
    /// Jobs after their end; `None`: for ever.
    pub jobs: Option<Duration>,
    /// The request of a failed job after its end, for a retry.
    pub failed_requests: Duration,
    /// Deliveries of webhooks after their end.
    pub webhook_deliveries: Duration,
    /// How often expired records are deleted.
    pub interval: Duration,
}

/// A kind of record that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweep {
    IdempotencyRecords,
    FailedRequests { kept: Duration },
    Jobs { kept: Duration },
    WebhookDeliveries { kept: Duration },
    DashboardSessions,
    OverdueAuthorizations,
    Authorizations { kept: Duration },
    FormerAccountKeys,
    FormerServiceSecret,
}

impl Sweep {
    /// The name of its lease.
    fn name(self) -> &'static str {
        match self {
            Self::IdempotencyRecords => "idempotency_records",
            Self::FailedRequests { .. } => "failed_requests",
            Self::Jobs { .. } => "jobs",
            Self::WebhookDeliveries { .. } => "webhook_deliveries",
            Self::DashboardSessions => "dashboard_sessions",
            Self::OverdueAuthorizations => "overdue_authorizations",
            Self::Authorizations { .. } => "authorizations",
            Self::FormerAccountKeys => "former_account_keys",
            Self::FormerServiceSecret => "former_service_secret",
        }
    }
}

impl RetentionOptions {
    fn sweeps(&self) -> Vec<Sweep> {
        let always = [
            Sweep::IdempotencyRecords,
            Sweep::FailedRequests { kept: self.failed_requests },
            Sweep::WebhookDeliveries { kept: self.webhook_deliveries },
            Sweep::DashboardSessions,
            Sweep::OverdueAuthorizations,
            Sweep::Authorizations { kept: AUTHORIZATIONS_KEPT },
            Sweep::FormerAccountKeys,
            Sweep::FormerServiceSecret,
        ];
        always.into_iter().chain(self.jobs.map(|kept| Sweep::Jobs { kept })).collect()
    }
}

/// What a sweep does after a piece.
#[derive(Debug, PartialEq, Eq)]
enum AfterPiece {
    /// Another piece, after a pause.
    Continue,
    /// Nothing more: no node sweeps again for this long.
    Rest(Duration),
}

/// Fewer rows than were asked for: there are no more.
fn after_piece(deleted: usize, options: &RetentionOptions) -> AfterPiece {
    if deleted < PIECE as usize { AfterPiece::Rest(options.interval / 2) } else { AfterPiece::Continue }
}

impl App {
    /// Deletes expired records of every kind that no other node deletes at the time.
    pub async fn sweep(&self, options: &RetentionOptions) {
        for sweep in options.sweeps() {
            match self.run_sweep(sweep, options).await {
                Ok(0) => {}
                Ok(deleted) => tracing::debug!(deleted, kind = sweep.name(), "expired records were deleted"),
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(
                        error,
                        kind = sweep.name(),
                        "expired records could not be deleted; the next sweep retries"
                    );
                }
            }
        }
    }

    async fn run_sweep(&self, sweep: Sweep, options: &RetentionOptions) -> Result<usize, Error> {
        let lease = self.store.lease_sweep(sweep.name(), LEASE, self.clock.now()).await?;
        let Some(fence) = lease else { return Ok(0) };
        let mut total = 0;
        loop {
            let deleted = self.sweep_piece(sweep).await?;
            total += deleted;
            let next = after_piece(deleted, options);
            let lasts = if let AfterPiece::Rest(rest) = next { rest } else { LEASE };
            let renewal = SweepLease { fence, lasts, now: self.clock.now() };
            let renewed = self.store.renew_sweep_lease(sweep.name(), &renewal).await?;
            if next != AfterPiece::Continue || renewed == Changed::No {
                return Ok(total);
            }
            sleep(PAUSE).await;
        }
    }

    /// Deletes or ends the next piece; returns its number of rows.
    async fn sweep_piece(&self, sweep: Sweep) -> Result<usize, Error> {
        let now = self.clock.now();
        let expired = |kept| Expired { kept, limit: PIECE, now };
        Ok(match sweep {
            Sweep::IdempotencyRecords => self.store.delete_idempotency_records(now, PIECE).await?,
            Sweep::FailedRequests { kept } => self.store.wipe_kept_requests(&expired(kept)).await?,
            Sweep::Jobs { kept } => self.store.delete_ended_jobs(&expired(kept)).await?,
            Sweep::WebhookDeliveries { kept } => {
                self.store.delete_ended_webhook_deliveries(&expired(kept)).await?
            }
            Sweep::DashboardSessions => {
                self.store.delete_expired_dashboard_sessions(&expired(Duration::ZERO)).await?
            }
            Sweep::OverdueAuthorizations => self.end_overdue_authorizations(PIECE).await?,
            Sweep::Authorizations { kept } => self.store.delete_ended_authorizations(&expired(kept)).await?,
            Sweep::FormerAccountKeys => self.finish_account_keys().await?,
            Sweep::FormerServiceSecret => self.finish_service_secret().await.map(usize::from)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn options(jobs: Option<Duration>) -> RetentionOptions {
        RetentionOptions {
            jobs,
            failed_requests: 7 * DAY,
            webhook_deliveries: 30 * DAY,
            interval: Duration::from_mins(10),
        }
    }

    #[test]
    fn what_is_kept_for_ever_is_not_swept() {
        let always = [
            Sweep::IdempotencyRecords,
            Sweep::FailedRequests { kept: 7 * DAY },
            Sweep::WebhookDeliveries { kept: 30 * DAY },
            Sweep::DashboardSessions,
            Sweep::OverdueAuthorizations,
            Sweep::Authorizations { kept: 30 * DAY },
            Sweep::FormerAccountKeys,
            Sweep::FormerServiceSecret,
        ];
        assert_eq!(options(None).sweeps(), always);
        let jobs = Sweep::Jobs { kept: 90 * DAY };
        assert_eq!(options(Some(90 * DAY)).sweeps(), [&always[..], &[jobs]].concat());
    }

    #[test]
    fn a_piece_that_is_not_full_is_the_last_one() {
        let options = options(None);
        for (deleted, next) in [
            (0, AfterPiece::Rest(Duration::from_mins(5))),
            (99, AfterPiece::Rest(Duration::from_mins(5))),
            (100, AfterPiece::Continue),
        ] {
            assert_eq!(after_piece(deleted, &options), next, "{deleted}");
        }
    }
}
