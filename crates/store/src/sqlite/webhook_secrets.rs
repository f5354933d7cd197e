//! The secrets that webhooks are signed with.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::secret::Sealed;
use domain::time::Timestamp;
use rusqlite::{Connection, Row};

use super::writer::Step;
use super::{Sqlite, api_keys, audit_events, rows, sealing_keys};
use crate::{Error, WebhookSecretRow, WebhookSecrets};

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
        self.writer.write(move |connection| insert(connection, &account, &secret, overlap, &event)).await
    }

    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error> {
        self.readers.read(|connection| list(connection, account, now))
    }
}

/// Adds a secret at the instant of the event. The last one stays valid for `overlap` more; older ones are deleted.
pub(super) fn insert(
    database: &Connection,
    account: &AccountId,
    secret: &WebhookSecretRow,
    overlap: Duration,
    event: &AuditEvent,
) -> Step<()> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    delete_retired(database, account)?;
    database
        .prepare_cached(
            "UPDATE webhook_secrets SET retires_at = ?2 WHERE account_id = ?1 AND retires_at IS NULL",
        )?
        .execute((account.as_str(), event.at.plus(overlap).as_micros()))?;
    if overlap.is_zero() {
        delete_retired(database, account)?;
    }
    let sealing_key_id = sealing_keys::insert(database, &secret.sealed.sealing_key)?;
    database
        .prepare_cached(
            "INSERT INTO webhook_secrets (account_id, secret_id, created_at, sealing_key_id, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            account.as_str(),
            &secret.id,
            secret.created_at.as_micros(),
            sealing_key_id,
            &secret.sealed.envelope,
        ))?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

/// Wipes and deletes every secret that has a successor.
fn delete_retired(database: &Connection, account: &AccountId) -> rusqlite::Result<()> {
    let key = (account.as_str(),);
    database
        .prepare_cached(
            "UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id IN
                (SELECT sealing_key_id FROM webhook_secrets WHERE account_id = ?1 AND retires_at IS NOT NULL)",
        )?
        .execute(key)?;
    database
        .prepare_cached("DELETE FROM webhook_secrets WHERE account_id = ?1 AND retires_at IS NOT NULL")?
        .execute(key)
        .map(drop)
}

/// The newest and its predecessor. An earlier version may have left more, which sign nothing any more.
pub(super) fn list(
    database: &Connection,
    account: &AccountId,
    now: Timestamp,
) -> rusqlite::Result<Vec<WebhookSecretRow>> {
    let mut statement = database.prepare_cached(
        "SELECT secret_id, created_at, envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
         FROM webhook_secrets LEFT JOIN sealing_keys USING (sealing_key_id)
         WHERE account_id = ?1 AND (retires_at IS NULL OR retires_at > ?2)
         ORDER BY retires_at IS NULL DESC, created_at DESC, secret_id DESC
         LIMIT 2",
    )?;
    statement.query_map((account.as_str(), now.as_micros()), webhook_secret)?.collect()
}

fn webhook_secret(row: &Row<'_>) -> rusqlite::Result<WebhookSecretRow> {
    Ok(WebhookSecretRow {
        id: row.get("secret_id")?,
        created_at: rows::instant(row, "created_at")?,
        sealed: Sealed {
            envelope: row.get("envelope")?,
            sealing_key: rows::wrapped_key(row, "wrapped_key")?,
        },
    })
}

/// Wipes and deletes an account's first secrets, at most so many; how many there were.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    database
        .prepare_cached(
            "UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id IN
                (SELECT sealing_key_id FROM webhook_secrets WHERE account_id = ?1 ORDER BY secret_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))?;
    database
        .prepare_cached(
            "DELETE FROM webhook_secrets WHERE rowid IN
                (SELECT rowid FROM webhook_secrets WHERE account_id = ?1 ORDER BY secret_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
}
