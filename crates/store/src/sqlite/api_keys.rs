//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId};
use domain::scope::Scope;
use domain::time::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, account_limits, accounts, audit_events, rows, statements};
use crate::api_keys::{grant_columns, grant_from};
use crate::sql::statement;
use crate::{ApiKeyUpdate, ApiKeyUse, ApiKeys, Changed, Error, FoundApiKey, OtherManager};

const SQL: &str = include_str!("sql/api_keys.sql");
const FIND: &str = statement(SQL, "find_api_key");
const FIND_BY_HASH: &str = statement(SQL, "find_api_key_by_hash");
const FIND_WITHOUT_SCOPES: &str = statement(SQL, "inspect_api_key_without_scopes");
const INSPECT_BY_HASH: &str = statement(SQL, "inspect_api_key_by_hash");
const LIST: &str = statement(SQL, "list_api_keys");
const LIST_PAGE: &str = statement(SQL, "list_api_key_page");
const IS_ACTIVE: &str = statement(SQL, "api_key_is_active");
const INSERT: &str = statement(SQL, "insert_api_key");
const UPDATE: &str = statement(SQL, "update_api_key");
const UPDATE_USE: &str = statement(SQL, "update_api_key_use");
const ANOTHER_MAY_MANAGE: &str = statement(SQL, "another_api_key_may_manage");
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
    ) -> Result<Option<FoundApiKey>, Error> {
        let read = |row: &Row<'_>| {
            Ok(FoundApiKey {
                row: api_key_from(row)?,
                limits: account_limits::overrides_from(row)?,
                read_at: now,
            })
        };
        let parameters = named_params! { ":key_hash": hash.0 };
        self.readers.read(|database| statements::find(database, FIND_BY_HASH, parameters, read))
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

    async fn list_api_key_page(
        &self,
        account: &AccountId,
        after: Option<&(Timestamp, ApiKeyId)>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRow>, Error> {
        let after_created_at = after.map_or(i64::MIN, |(created_at, _)| created_at.as_micros());
        self.readers.read(|database| {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":after_created_at": after_created_at,
                ":after_api_key_id": after.map_or("", |(_, id)| id.as_str()),
                ":limit": limit,
            };
            statements::list(database, LIST_PAGE, parameters, api_key_from)
        })
    }

    async fn update_api_key(
        &self,
        account: &AccountId,
        update: ApiKeyUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| change(database, &account, &update, &event)).await
    }

    async fn update_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), Error> {
        let uses = uses.to_vec();
        self.writer
            .write(move |database| {
                for ApiKeyUse { key_id, hour } in &uses {
                    let parameters =
                        named_params! { ":api_key_id": key_id.as_str(), ":last_used_at": hour.as_micros() };
                    statements::execute(database, UPDATE_USE, parameters)?;
                }
                Ok(Ok(()))
            })
            .await
    }
}

/// Adds a key by an actor who may act.
fn insert(
    database: &Connection,
    account: &AccountId,
    row: &ApiKeyRow,
    event: &AuditEvent,
) -> WriteResult<()> {
    if !is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if insert_row(database, account, row)? == 0 {
        return Ok(Err(Error::NameTaken));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

fn insert_row(database: &Connection, account: &AccountId, row: &ApiKeyRow) -> rusqlite::Result<usize> {
    let key = &row.key;
    let (scopes, created_by, rotated_from) = grant_columns(key.grant.as_ref());
    statements::execute(
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
            ":scopes": scopes,
            ":created_by": created_by,
            ":rotated_from": rotated_from,
        },
    )
}

fn change(
    database: &Connection,
    account: &AccountId,
    update: &ApiKeyUpdate,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    if !is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let ApiKeyRow { key, mac, .. } = &update.row;
    let others = named_params! {
        ":account_id": account.as_str(),
        ":api_key_id": key.id.as_str(),
        ":expires_at": key.expires_at.map(Timestamp::as_micros),
        ":managing_scope": Scope::KeysManage.as_str(),
    };
    if update.other_manager == OtherManager::Required
        && !statements::value(database, ANOTHER_MAY_MANAGE, others)?
    {
        return Ok(Err(Error::LastManagingKey));
    }
    let updated = statements::execute(
        database,
        UPDATE,
        named_params! {
            ":account_id": account.as_str(),
            ":api_key_id": key.id.as_str(),
            ":expected_row_mac": update.expected.0,
            ":name": key.name.as_str(),
            ":expires_at": key.expires_at.map(Timestamp::as_micros),
            ":revoked_at": key.revoked_at.map(Timestamp::as_micros),
            ":row_mac": mac.0,
            ":new_key_hash": update.successor.as_ref().map(|successor| successor.hash.0),
        },
    )?;
    if updated == 0 {
        return Ok(Ok(Changed::No));
    }
    if let Some(successor) = &update.successor {
        insert_row(database, account, successor)?;
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
    statements::find(database, INSPECT_BY_HASH, named_params! { ":key_hash": hash.0 }, api_key_from)
}

/// The same in a file whose schema is older than scopes.
pub(super) fn find_without_scopes(
    database: &Connection,
    hash: &HashedKey,
) -> rusqlite::Result<Option<ApiKeyRow>> {
    statements::find(database, FIND_WITHOUT_SCOPES, named_params! { ":key_hash": hash.0 }, api_key_from)
}

/// Whether the actor of an event may act at the instant of the event: an API key, or who signed in with it, while it is
/// active, others while the account exists.
pub(super) fn is_actor_active(database: &Connection, event: &AuditEvent) -> rusqlite::Result<bool> {
    let Some(key_id) = event.actor.key_id() else {
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
            grant: grant_from(
                row.get::<_, Option<String>>("scopes")?.as_deref(),
                row.get("created_by")?,
                row.get("rotated_from")?,
            ),
            last_used_at: rows::optional_instant(row, "last_used_at")?,
        },
        hash: HashedKey(rows::bytes(row, "key_hash")?),
        mac: RowMac(rows::bytes(row, "row_mac")?),
    })
}
