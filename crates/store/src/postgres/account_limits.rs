//! The limits of accounts, and how much of them is used.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation};
use domain::limits::{LimitChanges, LimitOverrides, PerLimit};
use tokio_postgres::Row;

use super::audit_events::run_logged;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::SingleWrite;
use super::{Postgres, rows};
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
impl Limits for Postgres {
    async fn find_account_limits(&self, account: &AccountId) -> Result<Option<LimitOverrides>, Error> {
        self.find(FIND, &[("account_id", &account.as_str())], overrides_from).await
    }

    async fn update_account_limits(
        &self,
        account: &AccountId,
        changes: &LimitChanges,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, changes, event) = (account.clone(), *changes, event.clone());
        self.writer.write(UpdateAccountLimits { account, changes, event }).await
    }

    async fn count_of_account(&self, account: &AccountId, counted: Counted, most: u64) -> Result<u64, Error> {
        let sql = match counted {
            Counted::Connections => COUNT_CONNECTIONS,
            Counted::JobsInProgress => COUNT_JOBS,
            Counted::IdempotencyRecords => COUNT_RECORDS,
            Counted::WebhookEndpoints => COUNT_ENDPOINTS,
            Counted::OpenAuthorizations => COUNT_AUTHORIZATIONS,
        };
        let most = rows::stored_count(most);
        let parameters: Parameters<'_> = &[("account_id", &account.as_str()), ("most", &most)];
        let counted = self.find(sql, parameters, |row| rows::count(row, "count")).await?;
        Ok(counted.unwrap_or_default())
    }

    async fn has_idempotency_record(
        &self,
        account: &AccountId,
        operation: Operation,
        key: &IdempotencyKey,
    ) -> Result<bool, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("operation", &operation.as_str()),
            ("idempotency_key", &key.as_str()),
        ];
        let found = self.find(RECORD_EXISTS, parameters, |row| rows::get(row, "is_there")).await?;
        Ok(found.unwrap_or_default())
    }
}

struct UpdateAccountLimits {
    account: AccountId,
    changes: LimitChanges,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for UpdateAccountLimits {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let set = PerLimit::from_fn(|limit| change_parameters(*self.changes.get(limit)));
        let own: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("set_requests_per_minute", &set.requests_per_minute.0),
            ("requests_per_minute", &set.requests_per_minute.1),
            ("set_key_requests_per_minute", &set.key_requests_per_minute.0),
            ("key_requests_per_minute", &set.key_requests_per_minute.1),
            ("set_connections", &set.connections.0),
            ("connections", &set.connections.1),
            ("set_jobs_in_progress", &set.jobs_in_progress.0),
            ("jobs_in_progress", &set.jobs_in_progress.1),
            ("set_idempotency_records", &set.idempotency_records.0),
            ("idempotency_records", &set.idempotency_records.1),
            ("set_event_streams", &set.event_streams.0),
            ("event_streams", &set.event_streams.1),
            ("set_webhook_endpoints", &set.webhook_endpoints.0),
            ("webhook_endpoints", &set.webhook_endpoints.1),
            ("set_open_authorizations", &set.open_authorizations.0),
            ("open_authorizations", &set.open_authorizations.1),
        ];
        let is_written = run_logged(session, UPDATE, &self.event, own).await?;
        Ok(Ok(if is_written { Changed::Yes } else { Changed::No }))
    }
}

/// The overrides in a row of `accounts`.
pub(super) fn overrides_from(row: &Row) -> Result<LimitOverrides, PgError> {
    let limit = |column: &str| {
        let value = rows::get::<Option<i64>>(row, column)?.map(u64::try_from).transpose();
        value.map_err(|_| rows::impossible(column))
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
