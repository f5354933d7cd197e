//! Deletion by age, by the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;

use super::clock::{Clock, micros};
use super::parameters::{Parameters, distinct};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{Changed, Error, Expired, Retention, SweepLease};

const SQL: &str = include_str!("sql/retention.sql");
const LEASE: &str = statement(SQL, "lease_sweep");
const RENEW: &str = statement(SQL, "renew_sweep_lease");
pub(super) const DELETE_ENDED: &str = statement(SQL, "delete_ended_jobs");
pub(super) const DELETE_SECRETS: &str = statement(SQL, "delete_secrets_of_ended_jobs");
pub(super) const DELETE_DELIVERIES: &str = statement(SQL, "delete_ended_deliveries");
pub(super) const DELETE_AUTHORIZATIONS: &str = statement(SQL, "delete_ended_authorizations");
pub(super) const DELETE_KEPT: &str = statement(SQL, "delete_kept_secrets");

#[async_trait]
impl Retention for Postgres {
    async fn lease_sweep(&self, name: &str, lasts: Duration, now: Timestamp) -> Result<Option<u64>, Error> {
        self.writer.write(LeaseSweep { name: name.to_owned(), lasts, now, clock: self.clock }).await
    }

    async fn renew_sweep_lease(&self, name: &str, lease: &SweepLease) -> Result<Changed, Error> {
        self.writer.write(RenewSweepLease { name: name.to_owned(), lease: *lease, clock: self.clock }).await
    }

    async fn delete_ended_jobs(&self, expired: &Expired) -> Result<usize, Error> {
        self.writer.write(DeleteEndedJobs { expired: *expired, clock: self.clock }).await
    }

    async fn wipe_kept_requests(&self, expired: &Expired) -> Result<usize, Error> {
        let write = DeleteExpired { statement: DELETE_KEPT, expired: *expired, clock: self.clock };
        self.writer.write(write).await
    }

    async fn delete_ended_webhook_deliveries(&self, expired: &Expired) -> Result<usize, Error> {
        let write = DeleteExpired { statement: DELETE_DELIVERIES, expired: *expired, clock: self.clock };
        self.writer.write(write).await
    }

    async fn delete_ended_authorizations(&self, expired: &Expired) -> Result<usize, Error> {
        let write = DeleteExpired { statement: DELETE_AUTHORIZATIONS, expired: *expired, clock: self.clock };
        self.writer.write(write).await
    }
}

struct LeaseSweep {
    name: String,
    lasts: Duration,
    now: Timestamp,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for LeaseSweep {
    type Answer = Option<u64>;

    // After a lost session it is unknown whether the lease was taken. If it was, it expires.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("name", &self.name),
            ("now", &self.clock.or_the_servers(self.now)),
            ("lease_micros", &micros(self.lasts)),
        ];
        let taken = session.query_named(LEASE, parameters).await?;
        Ok(Ok(taken.first().map(|row| rows::count(row, "fence")).transpose()?))
    }
}

struct RenewSweepLease {
    name: String,
    lease: SweepLease,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for RenewSweepLease {
    type Answer = Changed;

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("name", &self.name),
            ("fence", &rows::stored_count(self.lease.fence)),
            ("now", &self.clock.or_the_servers(self.lease.now)),
            ("lease_micros", &micros(self.lease.lasts)),
        ];
        let renewed = session.query_named(RENEW, parameters).await?;
        Ok(Ok(Changed::of(renewed.len())))
    }
}

struct DeleteEndedJobs {
    expired: Expired,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for DeleteEndedJobs {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.delete(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl DeleteEndedJobs {
    async fn delete(&self, session: &Session) -> Result<usize, PgError> {
        let Self { expired, clock } = self;
        let parameters: Parameters<'_> = &[
            ("now", &clock.or_the_servers(expired.now)),
            ("kept_micros", &micros(expired.kept)),
            ("limit", &i64::from(expired.limit)),
        ];
        let deleted = session.query_named(DELETE_ENDED, parameters).await?;
        if deleted.is_empty() {
            return Ok(0);
        }
        let column = |name| deleted.iter().map(|row| rows::get(row, name)).collect::<Result<Vec<&str>, _>>();
        let (account_ids, job_ids) = (column("account_id")?, column("job_id")?);
        let parameters: Parameters<'_> =
            &[("accounts", &distinct(&account_ids)), ("account_id", &account_ids), ("job_id", &job_ids)];
        session.query_named(DELETE_SECRETS, parameters).await?;
        Ok(deleted.len())
    }
}

/// Runs a statement that deletes some expired rows and returns each.
pub(super) struct DeleteExpired {
    pub(super) statement: &'static str,
    pub(super) expired: Expired,
    pub(super) clock: Clock,
}

#[async_trait]
impl SingleWrite for DeleteExpired {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        let Self { statement, expired, clock } = self;
        let parameters: Parameters<'_> = &[
            ("now", &clock.or_the_servers(expired.now)),
            ("kept_micros", &micros(expired.kept)),
            ("limit", &i64::from(expired.limit)),
        ];
        Ok(Ok(session.query_named(statement, parameters).await?.len()))
    }
}
