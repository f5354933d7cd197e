//! Accounts.

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::writer::Step;
use super::{
    Sqlite, api_keys, audit_events, connections, idempotency_records, jobs, keyring, rows, sealing_keys,
    webhook_secrets,
};
use crate::{AccountDeletion, Accounts, Error};

#[async_trait]
impl Accounts for Sqlite {
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| insert(connection, &account, &event)).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.readers.read(list)
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        self.readers.read(list_ids)
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.readers.read(|connection| find(connection, account))
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.readers.read(|connection| find_by_name(connection, name))
    }

    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| delete_part(connection, &account, limit, &event)).await
    }
}

/// A table whose every change is a wiping: of an account's key.
pub(super) const TABLE: &str = "accounts";

pub(super) fn insert(connection: &Connection, account: &Account, event: &AuditEvent) -> Step<()> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO accounts (account_id, name, created_at, keyring_key_id, wrapped_key)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) DO NOTHING",
        )?
        .execute((
            account.id.as_str(),
            account.name.as_str(),
            account.created_at.as_micros(),
            &account.key.keyring_key.0,
            account.key.wrapped.0,
        ))?;
    if inserted == 0 {
        return Ok(Err(Error::NameTaken));
    }
    audit_events::insert(connection, &account.id, event)?;
    Ok(Ok(()))
}

/// Deletes a part of an account; see [`crate::Store::delete_account_part`].
pub(super) fn delete_part(
    connection: &Connection,
    account: &AccountId,
    limit: u32,
    event: &AuditEvent,
) -> Step<AccountDeletion> {
    if find(connection, account)?.is_none() {
        return Ok(Ok(AccountDeletion::NoAccount));
    }
    // The keys first: from this commit on nobody adds to what is to go.
    api_keys::delete_of_account(connection, account)?;
    sealing_keys::wipe_of_account(connection, account, limit)?;
    let connections = connections::delete_of_account(connection, account, limit)?;
    let jobs = jobs::delete_of_account(connection, account, limit)?;
    let secrets = webhook_secrets::delete_of_account(connection, account, limit)?;
    let records = idempotency_records::delete_of_account(connection, account, limit)?;
    if connections.max(jobs).max(secrets).max(records) >= limit as usize {
        return Ok(Ok(AccountDeletion::More));
    }
    // Overwritten where it stands, then deleted.
    connection
        .prepare_cached("UPDATE accounts SET wrapped_key = zeroblob(60) WHERE account_id = ?1")?
        .execute([account.as_str()])?;
    connection.prepare_cached("DELETE FROM accounts WHERE account_id = ?1")?.execute([account.as_str()])?;
    audit_events::insert(connection, account, event)?;
    Ok(Ok(AccountDeletion::Done))
}

pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    let mut statement = connection.prepare_cached(
        "SELECT account_id, name, created_at, keyring_key_id, wrapped_key FROM accounts ORDER BY name",
    )?;
    statement.query_map([], account)?.collect()
}

pub(super) fn list_ids(connection: &Connection) -> rusqlite::Result<Vec<AccountId>> {
    let mut statement = connection.prepare_cached("SELECT account_id FROM accounts ORDER BY account_id")?;
    statement.query_map([], |row| Ok(AccountId::from_stored(row.get(0)?)))?.collect()
}

/// Whether there is such an account.
pub(super) fn exists(connection: &Connection, id: &AccountId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = ?1)")?
        .query_row([id.as_str()], |row| row.get(0))
}

pub(super) fn find(connection: &Connection, id: &AccountId) -> rusqlite::Result<Option<Account>> {
    connection
        .prepare_cached(
            "SELECT account_id, name, created_at, keyring_key_id, wrapped_key FROM accounts WHERE account_id = ?1",
        )?
        .query_row([id.as_str()], account)
        .optional()
}

pub(super) fn find_by_name(connection: &Connection, name: &Label) -> rusqlite::Result<Option<Account>> {
    connection
        .prepare_cached(
            "SELECT account_id, name, created_at, keyring_key_id, wrapped_key FROM accounts WHERE name = ?1",
        )?
        .query_row([name.as_str()], account)
        .optional()
}

fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId::from_stored(row.get("account_id")?),
        name: Label::from_stored(row.get("name")?),
        created_at: rows::instant(row, "created_at")?,
        key: keyring::keyring_wrapped(row)?,
    })
}
