//! The secrets that webhooks are signed with.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::secret::Sealed;
use domain::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, api_keys, audit_events, rows, sealing_keys, statements};
use crate::sql::statement;
use crate::{Error, WebhookSecretRow, WebhookSecrets};

const SQL: &str = include_str!("sql/webhook_secrets.sql");
const INSERT: &str = statement(SQL, "insert_webhook_secret");
const RETIRE: &str = statement(SQL, "retire_webhook_secret");
const WIPE_RETIRED: &str = statement(SQL, "wipe_retired_webhook_secrets");
const DELETE_RETIRED: &str = statement(SQL, "delete_retired_webhook_secrets");
const LIST: &str = statement(SQL, "list_webhook_secrets");
const WIPE_OF_ACCOUNT: &str = statement(SQL, "wipe_webhook_secrets_of_account");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_webhook_secrets_of_account");

#[async_trait]
impl WebhookSecrets for Sqlite {
    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, secret, event) = (account.clone(), secret.clone(), event.clone());
        self.writer.write(move |database| insert(database, &account, &secret, overlap, &event)).await
    }

    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str(), ":now": now.as_micros() };
            statements::list(database, LIST, parameters, webhook_secret_from)
        })
    }
}

/// Adds a secret at the instant of the event, from which the overlap counts.
fn insert(
    database: &Connection,
    account: &AccountId,
    secret: &WebhookSecretRow,
    overlap: Duration,
    event: &AuditEvent,
) -> WriteResult<()> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    delete_retired(database, account)?;
    let retires_at = event.at.plus(overlap).as_micros();
    let parameters = named_params! { ":account_id": account.as_str(), ":retires_at": retires_at };
    statements::execute(database, RETIRE, parameters)?;
    if overlap.is_zero() {
        delete_retired(database, account)?;
    }
    let sealing_key_id = sealing_keys::insert(database, &secret.sealed.sealing_key)?;
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":secret_id": secret.id,
            ":created_at": secret.created_at.as_micros(),
            ":sealing_key_id": sealing_key_id,
            ":envelope": secret.sealed.envelope,
        },
    )?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

/// Wipes and deletes every secret that has a successor.
fn delete_retired(database: &Connection, account: &AccountId) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str() };
    statements::execute(database, WIPE_RETIRED, parameters)?;
    statements::execute(database, DELETE_RETIRED, parameters).map(drop)
}

fn webhook_secret_from(row: &Row<'_>) -> rusqlite::Result<WebhookSecretRow> {
    Ok(WebhookSecretRow {
        id: row.get("secret_id")?,
        created_at: rows::instant(row, "created_at")?,
        sealed: Sealed {
            envelope: row.get("envelope")?,
            sealing_key: rows::wrapped_key(row, "wrapped_key")?,
        },
    })
}

/// Wipes and deletes an account's first secrets, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_OF_ACCOUNT, parameters)?;
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}
