//! The lists of an account's export.

use async_trait::async_trait;
use domain::id::AccountId;
use tokio_postgres::Row;

use super::parameters::Parameters;
use super::pg_error::PgError;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{Error, Exports, IdempotencyRecord, IdempotencyRecordId, WebhookSecretDates};

const SQL: &str = include_str!("sql/exports.sql");
pub(super) const LIST_RECORDS: &str = statement(SQL, "list_idempotency_records");
pub(super) const LIST_SECRET_DATES: &str = statement(SQL, "list_webhook_secret_dates");

#[async_trait]
impl Exports for Postgres {
    async fn list_idempotency_records(
        &self,
        account: &AccountId,
        after: &IdempotencyRecordId,
        limit: u32,
    ) -> Result<Vec<IdempotencyRecord>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("operation", &after.operation),
            ("idempotency_key", &after.key),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_RECORDS, parameters, record_from).await
    }

    async fn list_webhook_secret_dates(&self, account: &AccountId) -> Result<Vec<WebhookSecretDates>, Error> {
        self.read(LIST_SECRET_DATES, &[("account_id", &account.as_str())], secret_dates_from).await
    }
}

fn record_from(row: &Row) -> Result<IdempotencyRecord, PgError> {
    Ok(IdempotencyRecord {
        id: IdempotencyRecordId {
            operation: rows::get(row, "operation")?,
            key: rows::get(row, "idempotency_key")?,
        },
        reserved_until: rows::instant(row, "reserved_until")?,
        answered_at: rows::optional_instant(row, "answered_at")?,
    })
}

fn secret_dates_from(row: &Row) -> Result<WebhookSecretDates, PgError> {
    Ok(WebhookSecretDates {
        created_at: rows::instant(row, "created_at")?,
        retires_at: rows::optional_instant(row, "retires_at")?,
    })
}
