//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::{Actor, AuditEvent};
use domain::id::{AccountId, ApiKeyId};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::writer::Step;
use super::{Sqlite, accounts, audit_events, rows};
use crate::{ApiKeys, Changed, Error};

#[async_trait]
impl ApiKeys for Sqlite {
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(move |connection| insert(connection, &account, &row, &event)).await
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error> {
        let found = self.readers.read(|connection| find_by_hash(connection, hash))?;
        Ok(found.map(|row| (row, now)))
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.readers.read(|connection| find(connection, id))
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.readers.read(|connection| list(connection, account))
    }

    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, expected, revoked, event) =
            (account.clone(), expected.clone(), revoked.clone(), event.clone());
        self.writer
            .write(move |connection| update_revoked(connection, &account, &expected, &revoked, &event))
            .await
    }
}

pub(super) fn insert(
    connection: &Connection,
    account: &AccountId,
    row: &ApiKeyRow,
    event: &AuditEvent,
) -> Step<()> {
    let key = &row.key;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO api_keys
                (api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (key_hash) DO NOTHING",
        )?
        .execute((
            key.id.as_str(),
            account.as_str(),
            key.name.as_str(),
            row.hash.0,
            &key.last_four,
            key.created_at.as_micros(),
            key.expires_at.map(Timestamp::as_micros),
            key.revoked_at.map(Timestamp::as_micros),
            row.mac.0,
        ))?;
    if inserted == 0 {
        return Ok(Err(Error::NameTaken));
    }
    audit_events::insert(connection, account, event)?;
    Ok(Ok(()))
}

pub(super) fn update_revoked(
    connection: &Connection,
    account: &AccountId,
    expected: &RowMac,
    revoked: &ApiKeyRow,
    event: &AuditEvent,
) -> Step<Changed> {
    let updated = connection
        .prepare_cached(
            "UPDATE api_keys SET revoked_at = ?1, row_mac = ?2
             WHERE account_id = ?3 AND api_key_id = ?4 AND row_mac = ?5",
        )?
        .execute((
            revoked.key.revoked_at.map(Timestamp::as_micros),
            revoked.mac.0,
            account.as_str(),
            revoked.key.id.as_str(),
            expected.0,
        ))?;
    if updated == 0 {
        return Ok(Ok(Changed::No));
    }
    audit_events::insert(connection, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// Deletes all keys of an account.
pub(super) fn delete_of_account(connection: &Connection, account: &AccountId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM api_keys WHERE account_id = ?1")?
        .execute([account.as_str()])
        .map(drop)
}

pub(super) fn find(connection: &Connection, id: &ApiKeyId) -> rusqlite::Result<Option<ApiKeyRow>> {
    connection
        .prepare_cached(
            "SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
             FROM api_keys WHERE api_key_id = ?1",
        )?
        .query_row([id.as_str()], api_key)
        .optional()
}

pub(super) fn find_by_hash(connection: &Connection, hash: &HashedKey) -> rusqlite::Result<Option<ApiKeyRow>> {
    connection
        .prepare_cached(
            "SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
             FROM api_keys WHERE key_hash = ?1",
        )?
        .query_row([hash.0], api_key)
        .optional()
}

pub(super) fn list(connection: &Connection, account: &AccountId) -> rusqlite::Result<Vec<ApiKeyRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac
         FROM api_keys WHERE account_id = ?1 ORDER BY created_at, api_key_id",
    )?;
    statement.query_map([account.as_str()], api_key)?.collect()
}

/// Whether whoever acts may still act, at the instant of the event. An operator may while there is the account.
pub(super) fn is_actor_active(connection: &Connection, event: &AuditEvent) -> rusqlite::Result<bool> {
    let Actor::ApiKey { key_id, .. } = &event.actor else {
        return accounts::exists(connection, &event.account_id);
    };
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM api_keys
             WHERE account_id = ?1 AND api_key_id = ?2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?3))",
        )?
        .query_row((event.account_id.as_str(), key_id.as_str(), event.at.as_micros()), |row| row.get(0))
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKeyRow> {
    Ok(ApiKeyRow {
        key: ApiKey {
            id: ApiKeyId::from_stored(row.get("api_key_id")?),
            account_id: AccountId::from_stored(row.get("account_id")?),
            name: Label::from_stored(row.get("name")?),
            last_four: row.get("last_four")?,
            created_at: rows::instant(row, "created_at")?,
            expires_at: rows::optional_instant(row, "expires_at")?,
            revoked_at: rows::optional_instant(row, "revoked_at")?,
        },
        hash: HashedKey(rows::bytes(row, "key_hash")?),
        mac: RowMac(rows::bytes(row, "row_mac")?),
    })
}
