//! The lists of an account's export.

use async_trait::async_trait;
use domain::id::AccountId;
use rusqlite::{Row, named_params};

use super::{Sqlite, rows, statements};
use crate::sql::statement;
use crate::{Error, Exports, IdempotencyRecord, IdempotencyRecordId, WebhookSecretDates};

const SQL: &str = include_str!("sql/exports.sql");
const LIST_RECORDS: &str = statement(SQL, "list_idempotency_records");
const LIST_SECRET_DATES: &str = statement(SQL, "list_webhook_secret_dates");

#[async_trait]
impl Exports for Sqlite {
    async fn list_idempotency_records(
        &self,
        account: &AccountId,
        after: &IdempotencyRecordId,
        limit: u32,
    ) -> Result<Vec<IdempotencyRecord>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":operation": after.operation,
                ":idempotency_key": after.key,
                ":limit": limit,
            };
            statements::list(database, LIST_RECORDS, parameters, record_from)
        })
    }

    async fn list_webhook_secret_dates(&self, account: &AccountId) -> Result<Vec<WebhookSecretDates>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str() };
            statements::list(database, LIST_SECRET_DATES, parameters, secret_dates_from)
        })
    }
}

fn record_from(row: &Row<'_>) -> rusqlite::Result<IdempotencyRecord> {
    Ok(IdempotencyRecord {
        id: IdempotencyRecordId { operation: row.get("operation")?, key: row.get("idempotency_key")? },
        reserved_until: rows::instant(row, "reserved_until")?,
        answered_at: rows::optional_instant(row, "answered_at")?,
    })
}

fn secret_dates_from(row: &Row<'_>) -> rusqlite::Result<WebhookSecretDates> {
    Ok(WebhookSecretDates {
        created_at: rows::instant(row, "created_at")?,
        retires_at: rows::optional_instant(row, "retires_at")?,
    })
}
