//! Replacing keys. What is replaced is overwritten in place.

use async_trait::async_trait;
use domain::account::{Account, AccountKeys, SecondKey, SecondKeyRole};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::secret::{KeyringKeyId, KeyringWrapped};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, accounts, audit_events, keyring, rows, statements};
use crate::key_rotation::sealing_key_statements;
use crate::sql::statement;
use crate::{
    AccountKeysUpdate, Changed, Error, KeyRotation, KeyringUse, SealedKind, SealingKey, SealingKeyUpdate,
};

const SQL: &str = include_str!("sql/key_rotation.sql");
const LIST_USES: &str = statement(SQL, "list_keyring_uses");
const LIST_TO_REWRAP: &str = statement(SQL, "list_accounts_to_rewrap");
const LIST_WITH_SECOND: &str = statement(SQL, "list_accounts_with_second_key");
const WIPE_REPLACED: &str = statement(SQL, "wipe_replaced_account_keys");
const UPDATE_KEYS: &str = statement(SQL, "update_account_keys");
const DELETE_CHECK: &str = statement(SQL, "delete_keyring_check");

sealing_key_statements!(SQL);

#[async_trait]
impl KeyRotation for Sqlite {
    async fn list_keyring_uses(&self) -> Result<Vec<KeyringUse>, Error> {
        self.readers.read(|database| statements::list(database, LIST_USES, &[], keyring_use_from))
    }

    async fn list_accounts_to_rewrap(
        &self,
        keyring_key: &KeyringKeyId,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! {
                ":keyring_key_id": keyring_key.0,
                ":after": after.map_or("", AccountId::as_str),
                ":limit": limit,
            };
            statements::list(database, LIST_TO_REWRAP, parameters, accounts::account_from)
        })
    }

    async fn rewrap_account_keys(&self, updates: &[AccountKeysUpdate]) -> Result<usize, Error> {
        let updates = updates.to_vec();
        self.writer
            .write(move |database| {
                let mut changed = 0;
                for update in &updates {
                    changed += usize::from(update_keys(database, update)? == Changed::Yes);
                }
                Ok(Ok(changed))
            })
            .await
    }

    async fn update_account_keys(
        &self,
        update: &AccountKeysUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (update, event) = (update.clone(), event.clone());
        self.writer
            .write(move |database| {
                let changed = update_keys(database, &update)?;
                if changed == Changed::Yes {
                    audit_events::insert(database, &update.account, &event)?;
                }
                Ok(Ok(changed))
            })
            .await
    }

    async fn delete_keyring_check(&self, keyring_key: &KeyringKeyId) -> Result<Changed, Error> {
        let key = keyring_key.0.clone();
        self.writer
            .write(move |database| {
                let parameters = named_params! { ":keyring_key_id": key };
                Ok(Ok(Changed::of(statements::execute(database, DELETE_CHECK, parameters)?)))
            })
            .await
    }

    async fn list_accounts_with_second_key(&self) -> Result<Vec<Account>, Error> {
        self.readers
            .read(|database| statements::list(database, LIST_WITH_SECOND, &[], accounts::account_from))
    }

    async fn list_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<SealingKey>, Error> {
        self.readers.read(|database| {
            let (list, _) = statements_of(kind);
            let (account, part) = (account.as_str(), kind.part());
            let all = named_params! {
                ":account_id": account, ":after": after, ":limit": limit, ":part": part,
            };
            // Only a job has parts.
            let parameters = if part.is_some() { all } else { all.get(..3).unwrap_or(all) };
            statements::list(database, list, parameters, sealing_key_from)
        })
    }

    async fn replace_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        updates: &[SealingKeyUpdate],
    ) -> Result<usize, Error> {
        let (account, updates) = (account.clone(), updates.to_vec());
        self.writer.write(move |database| replace_keys(database, &account, kind, &updates)).await
    }
}

fn update_keys(database: &Connection, update: &AccountKeysUpdate) -> rusqlite::Result<Changed> {
    let AccountKeysUpdate { account, expected, keys } = update;
    let second = expected.second.as_ref().map(|second| second.key.wrapped.0);
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":expected": expected.current.wrapped.0,
        ":expected_second": second,
    };
    if statements::execute(database, WIPE_REPLACED, parameters)? == 0 {
        return Ok(Changed::No);
    }
    let second = keys.second.as_ref();
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":keyring_key_id": keys.current.keyring_key.0,
        ":wrapped_key": keys.current.wrapped.0,
        ":second_keyring_key_id": second.map(|second| second.key.keyring_key.0.as_str()),
        ":second_wrapped_key": second.map(|second| second.key.wrapped.0),
        ":second_key_role": second.map(|second| second.role.as_str()),
        ":second_key_since": second.map(|second| second.since.as_micros()),
    };
    statements::execute(database, UPDATE_KEYS, parameters)?;
    Ok(Changed::Yes)
}

fn replace_keys(
    database: &Connection,
    account: &AccountId,
    kind: SealedKind,
    updates: &[SealingKeyUpdate],
) -> WriteResult<usize> {
    let (_, replace) = statements_of(kind);
    let (account, part) = (account.as_str(), kind.part());
    let mut replaced = 0;
    for update in updates {
        let all = named_params! {
            ":account_id": account,
            ":record": update.record,
            ":wrapped_key": update.wrapped.0,
            ":expected": update.expected.0,
            ":part": part,
        };
        let parameters = if part.is_some() { all } else { all.get(..4).unwrap_or(all) };
        replaced += statements::execute(database, replace, parameters)?;
    }
    Ok(Ok(replaced))
}

fn keyring_use_from(row: &Row<'_>) -> rusqlite::Result<KeyringUse> {
    Ok(KeyringUse {
        keyring_key: KeyringKeyId(row.get("keyring_key_id")?),
        accounts: row.get("accounts")?,
        is_active: row.get("is_active")?,
    })
}

fn sealing_key_from(row: &Row<'_>) -> rusqlite::Result<SealingKey> {
    Ok(SealingKey {
        record: row.get("record")?,
        version: row.get("version")?,
        wrapped: rows::wrapped_key(row, "wrapped_key")?,
    })
}

/// The columns of an account's keys.
pub(super) fn account_keys_from(row: &Row<'_>) -> rusqlite::Result<AccountKeys> {
    let second = match row.get::<_, Option<String>>("second_key_role")? {
        None => None,
        Some(role) => Some(SecondKey {
            key: KeyringWrapped {
                keyring_key: KeyringKeyId(row.get("second_keyring_key_id")?),
                wrapped: rows::wrapped_key(row, "second_wrapped_key")?,
            },
            role: SecondKeyRole::from_stored(&role)
                .ok_or_else(|| rows::impossible("second_key_role", Type::Text))?,
            since: rows::instant(row, "second_key_since")?,
        }),
    };
    Ok(AccountKeys { current: keyring::keyring_wrapped(row)?, second })
}
