//! The health of connections. Leases go by the database's clock.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::Connection;
use domain::health::HealthStatus;
use domain::id::{AccountId, ConnectionId};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::EventArrays;
use super::clock::{Clock, micros};
use super::connections::connection_from;
use super::parameters::{Parameters, distinct};
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{
    Changed, ConnectionHealth, DueHealthCheck, Error, HealthLease, HealthRow, HealthUpdate, NotHealthy,
};

const SQL: &str = include_str!("sql/connection_health.sql");
pub(super) const FIND: &str = statement(SQL, "find_connection_health");
pub(super) const LIST: &str = statement(SQL, "list_connection_health");
pub(super) const WRITE: &str = statement(SQL, "write_connection_health");
pub(super) const SCHEDULE: &str = statement(SQL, "schedule_health_check");
pub(super) const LIST_DUE: &str = statement(SQL, "list_due_health_checks");
pub(super) const LEASE: &str = statement(SQL, "lease_health_check");
pub(super) const LIST_NOT_HEALTHY: &str = statement(SQL, "list_not_healthy_connections");
pub(super) const LIST_HEALTHY: &str = statement(SQL, "list_healthy_connections");
const COUNT_NOT_HEALTHY: &str = statement(SQL, "count_not_healthy_connections");
pub(super) const INSERT_MISSING: &str = statement(SQL, "insert_missing_connection_health");
pub(super) const DELETE_ORPHANED: &str = statement(SQL, "delete_orphaned_health");
pub(super) const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_connection_health_of_account");
pub(super) const DELETE: &str = statement(SQL, "delete_connection_health");

#[async_trait]
impl ConnectionHealth for Postgres {
    async fn find_connection_health(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<HealthRow>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("connection_id", &id.as_str())];
        self.find(FIND, parameters, row_from).await
    }

    async fn list_connection_health(
        &self,
        account: &AccountId,
        ids: &[ConnectionId],
    ) -> Result<HashMap<ConnectionId, HealthRow>, Error> {
        let ids: Vec<_> = ids.iter().map(ConnectionId::as_str).collect();
        let parameters: Parameters<'_> = &[("account_id", &account.as_str()), ("connection_ids", &ids)];
        let listed = self.read(LIST, parameters, |row| {
            Ok((ConnectionId::from_stored(rows::get(row, "connection_id")?), row_from(row)?))
        });
        Ok(listed.await?.into_iter().collect())
    }

    async fn write_connection_health(
        &self,
        account: &AccountId,
        update: HealthUpdate,
    ) -> Result<Changed, Error> {
        self.writer.write(WriteHealth { account: account.clone(), update }).await
    }

    async fn schedule_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        delay: Duration,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.writer.write(Schedule { account, id, delay, now, clock: self.clock }).await
    }

    async fn list_due_health_checks(
        &self,
        now: Timestamp,
        per_account: u32,
    ) -> Result<Vec<DueHealthCheck>, Error> {
        let parameters: Parameters<'_> =
            &[("now", &self.clock.or_the_servers(now)), ("limit", &i64::from(per_account))];
        self.read(LIST_DUE, parameters, due_from).await
    }

    async fn lease_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        terms: &HealthLease,
    ) -> Result<Option<HealthRow>, Error> {
        let (account, id) = (account.clone(), id.clone());
        self.writer.write(Lease { account, id, terms: *terms, clock: self.clock }).await
    }

    async fn list_connections_by_health(
        &self,
        account: &AccountId,
        status: HealthStatus,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        let (account, after, limit) =
            (account.as_str(), after.map_or("", ConnectionId::as_str), i64::from(limit));
        if status == HealthStatus::Healthy {
            let parameters: Parameters<'_> =
                &[("account_id", &account), ("after", &after), ("limit", &limit)];
            return self.read(LIST_HEALTHY, parameters, connection_from).await;
        }
        let status = status.as_str();
        let parameters: Parameters<'_> =
            &[("account_id", &account), ("status", &status), ("after", &after), ("limit", &limit)];
        self.read(LIST_NOT_HEALTHY, parameters, connection_from).await
    }

    async fn count_not_healthy_connections(&self, most: u32) -> Result<NotHealthy, Error> {
        let counted = self.find(COUNT_NOT_HEALTHY, &[("most", &i64::from(most))], counts_from).await?;
        Ok(counted.unwrap_or_default())
    }

    async fn delete_orphaned_health(&self, account: &AccountId, id: &ConnectionId) -> Result<(), Error> {
        self.writer.write(DeleteOrphaned { account: account.clone(), id: id.clone() }).await
    }

    async fn insert_missing_connection_health(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<ConnectionId>, Error> {
        let (account, after) = (account.clone(), after.cloned());
        self.writer.write(InsertMissing { account, after, limit, now, clock: self.clock }).await
    }
}

fn row_from(row: &Row) -> Result<HealthRow, PgError> {
    let status = HealthStatus::parse(rows::get(row, "status")?).ok_or_else(|| rows::impossible("status"))?;
    let unanswered = u32::try_from(rows::count(row, "unanswered")?);
    Ok(HealthRow {
        status,
        since: rows::instant(row, "since")?,
        checked_at: rows::optional_instant(row, "checked_at")?,
        next_check_at: rows::optional_instant(row, "next_check_at")?,
        unanswered: unanswered.map_err(|_| rows::impossible("unanswered"))?,
        revision: rows::count(row, "revision")?,
        details: rows::get(row, "details")?,
    })
}

fn due_from(row: &Row) -> Result<DueHealthCheck, PgError> {
    Ok(DueHealthCheck {
        account_id: AccountId::from_stored(rows::get(row, "account_id")?),
        connection_id: ConnectionId::from_stored(rows::get(row, "connection_id")?),
        revision: rows::count(row, "revision")?,
        due_at: rows::instant(row, "next_check_at")?,
    })
}

fn counts_from(row: &Row) -> Result<NotHealthy, PgError> {
    Ok(NotHealthy { unhealthy: rows::count(row, "unhealthy")?, unverified: rows::count(row, "unverified")? })
}

struct WriteHealth {
    account: AccountId,
    update: HealthUpdate,
}

#[async_trait]
impl SingleWrite for WriteHealth {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        self.update.events.first().map(|event| (event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let HealthUpdate {
            connection_id,
            sealed_version,
            client_identifier,
            row,
            read_next_check_at,
            events,
        } = &self.update;
        let own: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("connection_id", &connection_id.as_str()),
            ("sealed_version", &rows::stored_count(*sealed_version)),
            ("client_identifier", &client_identifier.as_str()),
            ("status", &row.status.as_str()),
            ("since", &row.since.as_micros()),
            ("checked_at", &row.checked_at.map(Timestamp::as_micros)),
            ("next_check_at", &row.next_check_at.map(Timestamp::as_micros)),
            ("read_next_check_at", &read_next_check_at.map(Timestamp::as_micros)),
            ("unanswered", &i64::from(row.unanswered)),
            ("expected_revision", &rows::stored_count(row.revision)),
            ("details", &row.details),
        ];
        let found =
            session.query_named(WRITE, &EventArrays::of(events.iter()).announcing_in_account(own)).await?;
        let written = found.first().map_or(Ok(0), |row| rows::count(row, "written"))?;
        Ok(Ok(if written == 0 { Changed::No } else { Changed::Yes }))
    }
}

struct Schedule {
    account: AccountId,
    id: ConnectionId,
    delay: Duration,
    now: Timestamp,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for Schedule {
    type Answer = ();

    // A repetition does the same.
    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("connection_id", &self.id.as_str()),
            ("in_micros", &micros(self.delay)),
            ("now", &self.clock.or_the_servers(self.now)),
        ];
        session.query_named(SCHEDULE, parameters).await?;
        Ok(Ok(()))
    }
}

struct Lease {
    account: AccountId,
    id: ConnectionId,
    terms: HealthLease,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for Lease {
    type Answer = Option<HealthRow>;

    // After a lost session it is unknown whether the lease was taken. If it was, no worker has it, and it expires.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("connection_id", &self.id.as_str()),
            ("expected_revision", &rows::stored_count(self.terms.expected_revision)),
            ("lease_micros", &micros(self.terms.lasts)),
            ("now", &self.clock.or_the_servers(self.terms.now)),
        ];
        let leased = session.query_named(LEASE, parameters).await?;
        Ok(Ok(leased.first().map(row_from).transpose()?))
    }
}

struct DeleteOrphaned {
    account: AccountId,
    id: ConnectionId,
}

#[async_trait]
impl SingleWrite for DeleteOrphaned {
    type Answer = ();

    // A repetition does the same.
    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let parameters: Parameters<'_> =
            &[("account_id", &self.account.as_str()), ("connection_id", &self.id.as_str())];
        session.query_named(DELETE_ORPHANED, parameters).await?;
        Ok(Ok(()))
    }
}

struct InsertMissing {
    account: AccountId,
    after: Option<ConnectionId>,
    limit: u32,
    now: Timestamp,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertMissing {
    type Answer = Option<ConnectionId>;

    // A repetition does the same.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("after", &self.after.as_ref().map_or("", ConnectionId::as_str)),
            ("limit", &i64::from(self.limit)),
            ("now", &self.clock.or_the_servers(self.now)),
        ];
        let found = session.query_named(INSERT_MISSING, parameters).await?;
        let last = found.first().map(|row| rows::get::<Option<String>>(row, "connection_id")).transpose()?;
        Ok(Ok(last.flatten().map(ConnectionId::from_stored)))
    }
}

/// Deletes the health of connections that the same transaction has deleted.
pub(super) async fn delete_of_connections(
    session: &Session,
    deleted: &[(&str, &str)],
) -> Result<(), PgError> {
    let account_ids: Vec<_> = deleted.iter().map(|(account, _)| *account).collect();
    let connection_ids: Vec<_> = deleted.iter().map(|(_, connection)| *connection).collect();
    let parameters: Parameters<'_> = &[
        ("accounts", &distinct(&account_ids)),
        ("account_id", &account_ids),
        ("connection_id", &connection_ids),
    ];
    session.query_named(DELETE, parameters).await?;
    Ok(())
}
