//! The limits of accounts, and how much of them is used.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation};
use domain::limits::{LimitChanges, LimitOverrides, PerLimit};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, audit_events, rows, statements};
use crate::limits::change_parameters;
use crate::sql::statement;
use crate::{Changed, Counted, Error, Limits};

const SQL: &str = include_str!("sql/account_limits.sql");
const FIND: &str = statement(SQL, "find_account_limits");
const UPDATE: &str = statement(SQL, "update_account_limits");
const COUNT_CONNECTIONS: &str = statement(SQL, "count_connections");
const COUNT_JOBS: &str = statement(SQL, "count_jobs_in_progress");
const COUNT_RECORDS: &str = statement(SQL, "count_idempotency_records");
const COUNT_ENDPOINTS: &str = statement(SQL, "count_webhook_endpoints");
const COUNT_AUTHORIZATIONS: &str = statement(SQL, "count_open_authorizations");
const RECORD_EXISTS: &str = statement(SQL, "record_exists");

#[async_trait]
impl Limits for Sqlite {
    async fn find_account_limits(&self, account: &AccountId) -> Result<Option<LimitOverrides>, Error> {
        let parameters = named_params! { ":account_id": account.as_str() };
        self.readers.read(|database| statements::find(database, FIND, parameters, overrides_from))
    }

    async fn update_account_limits(
        &self,
        account: &AccountId,
        changes: &LimitChanges,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, changes, event) = (account.clone(), *changes, event.clone());
        self.writer.write(move |database| update(database, &account, &changes, &event)).await
    }

    async fn count_of_account(&self, account: &AccountId, counted: Counted, most: u64) -> Result<u64, Error> {
        let sql = match counted {
            Counted::Connections => COUNT_CONNECTIONS,
            Counted::JobsInProgress => COUNT_JOBS,
            Counted::IdempotencyRecords => COUNT_RECORDS,
            Counted::WebhookEndpoints => COUNT_ENDPOINTS,
            Counted::OpenAuthorizations => COUNT_AUTHORIZATIONS,
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let parameters = named_params! { ":account_id": account.as_str(), ":most": most };
        self.readers.read(|database| statements::value(database, sql, parameters))
    }

    async fn has_idempotency_record(
        &self,
        account: &AccountId,
        operation: Operation,
        key: &IdempotencyKey,
    ) -> Result<bool, Error> {
        let parameters = named_params! {
            ":account_id": account.as_str(),
            ":operation": operation.as_str(),
            ":idempotency_key": key.as_str(),
        };
        self.readers.read(|database| statements::value(database, RECORD_EXISTS, parameters))
    }
}

fn update(
    database: &Connection,
    account: &AccountId,
    changes: &LimitChanges,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    let parameters = PerLimit::from_fn(|limit| change_parameters(*changes.get(limit)));
    let updated = statements::execute(
        database,
        UPDATE,
        named_params! {
            ":account_id": account.as_str(),
            ":set_requests_per_minute": parameters.requests_per_minute.0,
            ":requests_per_minute": parameters.requests_per_minute.1,
            ":set_key_requests_per_minute": parameters.key_requests_per_minute.0,
            ":key_requests_per_minute": parameters.key_requests_per_minute.1,
            ":set_connections": parameters.connections.0,
            ":connections": parameters.connections.1,
            ":set_jobs_in_progress": parameters.jobs_in_progress.0,
            ":jobs_in_progress": parameters.jobs_in_progress.1,
            ":set_idempotency_records": parameters.idempotency_records.0,
            ":idempotency_records": parameters.idempotency_records.1,
            ":set_event_streams": parameters.event_streams.0,
            ":event_streams": parameters.event_streams.1,
            ":set_webhook_endpoints": parameters.webhook_endpoints.0,
            ":webhook_endpoints": parameters.webhook_endpoints.1,
            ":set_open_authorizations": parameters.open_authorizations.0,
            ":open_authorizations": parameters.open_authorizations.1,
        },
    )?;
    if updated == 0 {
        return Ok(Ok(Changed::No));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// The overrides in a row of `accounts`.
pub(super) fn overrides_from(row: &Row<'_>) -> rusqlite::Result<LimitOverrides> {
    let limit = |column: &str| {
        let value = row.get::<_, Option<i64>>(column)?.map(u64::try_from).transpose();
        value.map_err(|_| rows::impossible(column, Type::Integer))
    };
    Ok(PerLimit {
        requests_per_minute: limit("max_requests_per_minute")?,
        key_requests_per_minute: limit("max_key_requests_per_minute")?,
        connections: limit("max_connections")?,
        jobs_in_progress: limit("max_jobs_in_progress")?,
        idempotency_records: limit("max_idempotency_records")?,
        event_streams: limit("max_event_streams")?,
        webhook_endpoints: limit("max_webhook_endpoints")?,
        open_authorizations: limit("max_open_authorizations")?,
    })
}
