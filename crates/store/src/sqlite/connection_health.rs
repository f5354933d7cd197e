//! The health of connections. All instants are the caller's.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::connection::Connection;
use domain::health::HealthStatus;
use domain::id::{AccountId, ConnectionId};
use domain::time::Timestamp;
use rusqlite::{Row, named_params};

use super::connections::{connection_from, keyset_start};
use super::writer::WriteResult;
use super::{Sqlite, audit_events, rows, statements};
use crate::sql::statement;
use crate::{
    Changed, ConnectionHealth, DueHealthCheck, Error, HealthLease, HealthRow, HealthUpdate, NewHealth,
    NotHealthy,
};

const SQL: &str = include_str!("sql/connection_health.sql");
const INSERT: &str = statement(SQL, "insert_connection_health");
const FIND: &str = statement(SQL, "find_connection_health");
const WRITE: &str = statement(SQL, "write_connection_health");
const SCHEDULE: &str = statement(SQL, "schedule_health_check");
const FIND_NEXT_ACCOUNT: &str = statement(SQL, "find_next_account");
const LIST_DUE: &str = statement(SQL, "list_due_health_checks_of_account");
const LEASE: &str = statement(SQL, "lease_health_check");
const LIST_NOT_HEALTHY: &str = statement(SQL, "list_not_healthy_connections");
const LIST_HEALTHY: &str = statement(SQL, "list_healthy_connections");
const COUNT_NOT_HEALTHY: &str = statement(SQL, "count_not_healthy_connections");
const INSERT_MISSING: &str = statement(SQL, "insert_missing_connection_health");
const FIND_LAST_EXAMINED: &str = statement(SQL, "find_last_examined");
const DELETE: &str = statement(SQL, "delete_connection_health");
const DELETE_ORPHANED: &str = statement(SQL, "delete_orphaned_health");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_connection_health_of_account");

#[async_trait]
impl ConnectionHealth for Sqlite {
    async fn find_connection_health(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<HealthRow>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
            statements::find(database, FIND, parameters, row_from)
        })
    }

    async fn list_connection_health(
        &self,
        account: &AccountId,
        ids: &[ConnectionId],
    ) -> Result<HashMap<ConnectionId, HealthRow>, Error> {
        self.readers.read(|database| {
            // One transaction: each has its own locks, which cost more than the search.
            let database = database.unchecked_transaction()?;
            let mut found = HashMap::with_capacity(ids.len());
            for id in ids {
                let parameters =
                    named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
                if let Some(row) = statements::find(&database, FIND, parameters, row_from)? {
                    found.insert(id.clone(), row);
                }
            }
            Ok(found)
        })
    }

    async fn write_connection_health(
        &self,
        account: &AccountId,
        update: HealthUpdate,
    ) -> Result<Changed, Error> {
        let account = account.clone();
        self.writer.write(move |database| write(database, &account, &update)).await
    }

    async fn schedule_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        delay: Duration,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        let schedule = move |database: &rusqlite::Connection| -> WriteResult<()> {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":connection_id": id.as_str(),
                ":at": now.plus(delay).as_micros(),
            };
            statements::execute(database, SCHEDULE, parameters)?;
            Ok(Ok(()))
        };
        self.writer.write(schedule).await
    }

    async fn list_due_health_checks(
        &self,
        now: Timestamp,
        per_account: u32,
    ) -> Result<Vec<DueHealthCheck>, Error> {
        self.readers.read(|database| list_due(database, now, per_account))
    }

    async fn lease_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        terms: &HealthLease,
    ) -> Result<Option<HealthRow>, Error> {
        let (account, id, terms) = (account.clone(), id.clone(), *terms);
        let lease = move |database: &rusqlite::Connection| -> WriteResult<Option<HealthRow>> {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":connection_id": id.as_str(),
                ":expected_revision": terms.expected_revision,
                ":now": terms.now.as_micros(),
                ":lease_until": terms.now.plus(terms.lasts).as_micros(),
            };
            statements::find(database, LEASE, parameters, row_from).map(Ok)
        };
        self.writer.write(lease).await
    }

    async fn list_connections_by_health(
        &self,
        account: &AccountId,
        status: HealthStatus,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        self.readers.read(|database| {
            let (account, after, status) = (account.as_str(), keyset_start(after), status.as_str());
            if status == HealthStatus::Healthy.as_str() {
                let parameters = named_params! { ":account_id": account, ":after": after, ":limit": limit };
                return statements::list(database, LIST_HEALTHY, parameters, connection_from);
            }
            let parameters = named_params! {
                ":account_id": account, ":status": status, ":after": after, ":limit": limit,
            };
            statements::list(database, LIST_NOT_HEALTHY, parameters, connection_from)
        })
    }

    async fn count_not_healthy_connections(&self, most: u32) -> Result<NotHealthy, Error> {
        self.readers.read(|database| {
            let counted =
                statements::find(database, COUNT_NOT_HEALTHY, named_params! { ":most": most }, |row| {
                    Ok(NotHealthy { unhealthy: row.get("unhealthy")?, unverified: row.get("unverified")? })
                })?;
            Ok(counted.unwrap_or_default())
        })
    }

    async fn delete_orphaned_health(&self, account: &AccountId, id: &ConnectionId) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        let delete = move |database: &rusqlite::Connection| -> WriteResult<()> {
            let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
            statements::execute(database, DELETE_ORPHANED, parameters)?;
            Ok(Ok(()))
        };
        self.writer.write(delete).await
    }

    async fn insert_missing_connection_health(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<ConnectionId>, Error> {
        let (account, after) = (account.clone(), keyset_start(after).to_owned());
        let insert = move |database: &rusqlite::Connection| -> WriteResult<Option<ConnectionId>> {
            let (account, after) = (account.as_str(), after.as_str());
            let page = named_params! { ":account_id": account, ":after": after, ":limit": limit };
            let last: Option<String> = statements::value(database, FIND_LAST_EXAMINED, page)?;
            let parameters = named_params! {
                ":account_id": account, ":after": after, ":limit": limit, ":now": now.as_micros(),
            };
            statements::execute(database, INSERT_MISSING, parameters)?;
            Ok(Ok(last.map(ConnectionId::from_stored)))
        };
        self.writer.write(insert).await
    }
}

/// Adds the health of a new connection, in its transaction.
pub(super) fn insert(
    database: &rusqlite::Connection,
    connection: &Connection,
    health: &NewHealth,
) -> rusqlite::Result<()> {
    let parameters = named_params! {
        ":account_id": connection.account_id.as_str(),
        ":connection_id": connection.id.as_str(),
        ":status": health.status.as_str(),
        ":since": connection.created_at.as_micros(),
        ":checked_at": health.checked_at.map(Timestamp::as_micros),
        ":next_check_at": health.next_check_at.map(Timestamp::as_micros),
    };
    statements::execute(database, INSERT, parameters).map(drop)
}

/// Deletes the health of a connection, in the transaction that deletes it.
pub(super) fn delete(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
    statements::execute(database, DELETE, parameters).map(drop)
}

/// Deletes the health of an account's first connections, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &rusqlite::Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}

fn write(
    database: &rusqlite::Connection,
    account: &AccountId,
    update: &HealthUpdate,
) -> WriteResult<Changed> {
    let HealthUpdate { connection_id, sealed_version, client_identifier, row, read_next_check_at, events } =
        update;
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":connection_id": connection_id.as_str(),
        ":sealed_version": sealed_version,
        ":client_identifier": client_identifier.as_str(),
        ":status": row.status.as_str(),
        ":since": row.since.as_micros(),
        ":checked_at": row.checked_at.map(Timestamp::as_micros),
        ":next_check_at": row.next_check_at.map(Timestamp::as_micros),
        ":read_next_check_at": read_next_check_at.map(Timestamp::as_micros),
        ":unanswered": row.unanswered,
        ":expected_revision": row.revision,
        ":details": row.details,
    };
    if statements::execute(database, WRITE, parameters)? == 0 {
        return Ok(Ok(Changed::No));
    }
    for event in events {
        audit_events::insert(database, account, event)?;
    }
    Ok(Ok(Changed::Yes))
}

fn list_due(
    database: &rusqlite::Connection,
    now: Timestamp,
    per_account: u32,
) -> rusqlite::Result<Vec<DueHealthCheck>> {
    let next = |after: &str| {
        let parameters = named_params! { ":account_id": after };
        statements::find(database, FIND_NEXT_ACCOUNT, parameters, |row| row.get::<_, String>("account_id"))
    };
    let mut due = Vec::new();
    let mut found = next("")?;
    while let Some(account) = found {
        let parameters =
            named_params! { ":account_id": account, ":now": now.as_micros(), ":limit": per_account };
        due.extend(statements::list(database, LIST_DUE, parameters, |row| {
            Ok(DueHealthCheck {
                account_id: AccountId::from_stored(account.clone()),
                connection_id: ConnectionId::from_stored(row.get("connection_id")?),
                revision: row.get("revision")?,
                due_at: rows::instant(row, "next_check_at")?,
            })
        })?);
        found = next(&account)?;
    }
    Ok(due)
}

fn row_from(row: &Row<'_>) -> rusqlite::Result<HealthRow> {
    Ok(HealthRow {
        status: rows::parsed(row, "status", HealthStatus::parse)?,
        since: rows::instant(row, "since")?,
        checked_at: rows::optional_instant(row, "checked_at")?,
        next_check_at: rows::optional_instant(row, "next_check_at")?,
        unanswered: row.get("unanswered")?,
        revision: row.get("revision")?,
        details: row.get("details")?,
    })
}
