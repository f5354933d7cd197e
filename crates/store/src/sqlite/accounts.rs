//! Accounts.

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{
    Sqlite, api_keys, audit_events, authorizations, connection_health, connections, dashboard_sessions,
    idempotency_records, jobs, key_rotation, rows, sealing_keys, statements, webhook_deliveries,
    webhook_endpoints, webhook_secrets,
};
use crate::sql::statement;
use crate::{AccountDeletion, Accounts, Error};

/// Every update and deletion in this table wipes a key: the account's.
pub(super) const TABLE: &str = "accounts";

const SQL: &str = include_str!("sql/accounts.sql");
const LIST: &str = statement(SQL, "list_accounts");
const LIST_IDS: &str = statement(SQL, "list_account_ids");
const FIND: &str = statement(SQL, "find_account");
const FIND_BY_NAME: &str = statement(SQL, "find_account_by_name");
const EXISTS: &str = statement(SQL, "account_exists");
const INSERT: &str = statement(SQL, "insert_account");
const WIPE_KEY: &str = statement(SQL, "wipe_account_key");
const DELETE: &str = statement(SQL, "delete_account");

#[async_trait]
impl Accounts for Sqlite {
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| insert(database, &account, &event)).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.readers.read(|database| statements::list(database, LIST, &[], account_from))
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        let id = |row: &Row<'_>| row.get("account_id").map(AccountId::from_stored);
        self.readers.read(|database| statements::list(database, LIST_IDS, &[], id))
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str() };
            statements::find(database, FIND, parameters, account_from)
        })
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.readers.read(|database| find_by_name(database, name))
    }

    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| delete_part(database, &account, limit, &event)).await
    }
}

fn insert(database: &Connection, account: &Account, event: &AuditEvent) -> WriteResult<()> {
    let inserted = statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.id.as_str(),
            ":name": account.name.as_str(),
            ":created_at": account.created_at.as_micros(),
            ":keyring_key_id": account.keys.current.keyring_key.0,
            ":wrapped_key": account.keys.current.wrapped.0,
        },
    )?;
    if inserted == 0 {
        return Ok(Err(Error::NameTaken));
    }
    audit_events::insert(database, &account.id, event)?;
    Ok(Ok(()))
}

fn delete_part(
    database: &Connection,
    account: &AccountId,
    limit: u32,
    event: &AuditEvent,
) -> WriteResult<AccountDeletion> {
    if !exists(database, account)? {
        return Ok(Ok(AccountDeletion::NoAccount));
    }
    // The API keys and sessions first: from this commit on, no request adds to the account.
    api_keys::delete_of_account(database, account)?;
    dashboard_sessions::delete_of_account(database, account)?;
    sealing_keys::wipe_connections_of_account(database, account, limit)?;
    let health = connection_health::delete_of_account(database, account, limit)?;
    let connections = connections::delete_of_account(database, account, limit)?;
    let jobs = jobs::delete_of_account(database, account, limit)?;
    let secrets = webhook_secrets::delete_of_account(database, account, limit)?;
    let endpoints = webhook_endpoints::delete_of_account(database, account, limit)?;
    let deliveries = webhook_deliveries::delete_of_account(database, account, limit)?;
    let authorizations = authorizations::delete_of_account(database, account, limit)?;
    let records = idempotency_records::delete_of_account(database, account, limit)?;
    if [health, connections, jobs, secrets, endpoints, deliveries, authorizations, records]
        .iter()
        .any(|count| *count >= limit as usize)
    {
        return Ok(Ok(AccountDeletion::More));
    }
    // The key is overwritten in place before its row is deleted.
    let parameters = named_params! { ":account_id": account.as_str() };
    statements::execute(database, WIPE_KEY, parameters)?;
    statements::execute(database, DELETE, parameters)?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(AccountDeletion::Done))
}

/// Whether the account exists.
pub(super) fn exists(database: &Connection, account: &AccountId) -> rusqlite::Result<bool> {
    statements::value(database, EXISTS, named_params! { ":account_id": account.as_str() })
}

pub(super) fn find_by_name(database: &Connection, name: &Label) -> rusqlite::Result<Option<Account>> {
    statements::find(database, FIND_BY_NAME, named_params! { ":name": name.as_str() }, account_from)
}

pub(super) fn account_from(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId::from_stored(row.get("account_id")?),
        name: Label::from_stored(row.get("name")?),
        created_at: rows::instant(row, "created_at")?,
        keys: key_rotation::account_keys_from(row)?,
    })
}
