//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::{Actor, AuditEvent};
use domain::id::{AccountId, ApiKeyId};
use domain::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, accounts, audit_events, rows, statements};
use crate::sql::statement;
use crate::{ApiKeys, Changed, Error};

const SQL: &str = include_str!("sql/api_keys.sql");
const FIND: &str = statement(SQL, "find_api_key");
const FIND_BY_HASH: &str = statement(SQL, "find_api_key_by_hash");
const LIST: &str = statement(SQL, "list_api_keys");
const IS_ACTIVE: &str = statement(SQL, "api_key_is_active");
const INSERT: &str = statement(SQL, "insert_api_key");
const REVOKE: &str = statement(SQL, "revoke_api_key");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_api_keys");

#[async_trait]
impl ApiKeys for Sqlite {
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(move |database| insert(database, &account, &row, &event)).await
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error> {
        let found = self.readers.read(|database| find_by_hash(database, hash))?;
        Ok(found.map(|row| (row, now)))
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.readers.read(|database| {
            statements::find(database, FIND, named_params! { ":api_key_id": id.as_str() }, api_key_from)
        })
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.readers.read(|database| {
            statements::list(database, LIST, named_params! { ":account_id": account.as_str() }, api_key_from)
        })
    }

    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, expected) = (account.clone(), expected.clone());
        let (revoked, event) = (revoked.clone(), event.clone());
        self.writer.write(move |database| revoke(database, &account, &expected, &revoked, &event)).await
    }
}

fn insert(
    database: &Connection,
    account: &AccountId,
    row: &ApiKeyRow,
    event: &AuditEvent,
) -> WriteResult<()> {
    let key = &row.key;
    let inserted = statements::execute(
        database,
        INSERT,
        named_params! {
            ":api_key_id": key.id.as_str(),
            ":account_id": account.as_str(),
            ":name": key.name.as_str(),
            ":key_hash": row.hash.0,
            ":last_four": key.last_four,
            ":created_at": key.created_at.as_micros(),
            ":expires_at": key.expires_at.map(Timestamp::as_micros),
            ":revoked_at": key.revoked_at.map(Timestamp::as_micros),
            ":row_mac": row.mac.0,
        },
    )?;
    if inserted == 0 {
        return Ok(Err(Error::NameTaken));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

fn revoke(
    database: &Connection,
    account: &AccountId,
    expected: &RowMac,
    revoked: &ApiKeyRow,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    let updated = statements::execute(
        database,
        REVOKE,
        named_params! {
            ":account_id": account.as_str(),
            ":api_key_id": revoked.key.id.as_str(),
            ":expected_row_mac": expected.0,
            ":revoked_at": revoked.key.revoked_at.map(Timestamp::as_micros),
            ":row_mac": revoked.mac.0,
        },
    )?;
    if updated == 0 {
        return Ok(Ok(Changed::No));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// Deletes all keys of an account.
pub(super) fn delete_of_account(database: &Connection, account: &AccountId) -> rusqlite::Result<()> {
    statements::execute(database, DELETE_OF_ACCOUNT, named_params! { ":account_id": account.as_str() })
        .map(drop)
}

pub(super) fn find_by_hash(database: &Connection, hash: &HashedKey) -> rusqlite::Result<Option<ApiKeyRow>> {
    statements::find(database, FIND_BY_HASH, named_params! { ":key_hash": hash.0 }, api_key_from)
}

/// Whether the actor of an event may act at the instant of the event: an API key while it is active, the operator while
/// the account exists.
pub(super) fn is_actor_active(database: &Connection, event: &AuditEvent) -> rusqlite::Result<bool> {
    let Actor::ApiKey { key_id, .. } = &event.actor else {
        return accounts::exists(database, &event.account_id);
    };
    statements::value(
        database,
        IS_ACTIVE,
        named_params! {
            ":account_id": event.account_id.as_str(),
            ":api_key_id": key_id.as_str(),
            ":now": event.at.as_micros(),
        },
    )
}

fn api_key_from(row: &Row<'_>) -> rusqlite::Result<ApiKeyRow> {
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
