//! Replacing the service secret.

use async_trait::async_trait;
use domain::id::{AccountId, DeliveryId};
use domain::secret::KeyringCheck;
use domain::service_secrets::{ServiceSecret, ServiceSecrets};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, keyring, rows, statements};
use crate::service_secrets::{SecretRow, assemble, others, signed_row_statements};
use crate::sql::statement;
use crate::{Changed, Error, RowMacUpdate, ServiceSecretRotation, SignedKind, SignedMessage};

const SQL: &str = include_str!("sql/service_secrets.sql");
const LIST: &str = statement(SQL, "list_service_secrets");
const UPDATE_CURRENT: &str = statement(SQL, "update_service_secret");
const DELETE_OTHERS: &str = statement(SQL, "delete_other_service_secrets");
const INSERT_OTHER: &str = statement(SQL, "insert_other_service_secret");
const FIND_MESSAGE: &str = statement(SQL, "find_signed_message");

signed_row_statements!(SQL);

#[async_trait]
impl ServiceSecretRotation for Sqlite {
    async fn find_service_secrets(&self) -> Result<Option<ServiceSecrets>, Error> {
        self.readers.read(find)
    }

    async fn change_service_secrets(
        &self,
        expected: &ServiceSecrets,
        secrets: &ServiceSecrets,
        check: Option<&KeyringCheck>,
    ) -> Result<Changed, Error> {
        let (expected, secrets, check) = (expected.clone(), secrets.clone(), check.cloned());
        self.writer.write(move |database| change(database, &expected, &secrets, check.as_ref())).await
    }

    async fn list_signed_records(
        &self,
        account: &AccountId,
        kind: SignedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        self.readers.read(|database| {
            let (list, _) = statements_of(kind);
            let page = named_params! { ":account_id": account.as_str(), ":after": after, ":limit": limit };
            statements::list(database, list, page, |row| row.get("record"))
        })
    }

    async fn find_signed_message(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<SignedMessage>, Error> {
        self.readers.read(|database| {
            let key = named_params! { ":account_id": account.as_str(), ":delivery_id": id.as_str() };
            statements::find(database, FIND_MESSAGE, key, |row| {
                Ok(SignedMessage {
                    event_id: row.get("event_id")?,
                    event_type: row.get("event_type")?,
                    body: row.get("body")?,
                    mac: row.get("body_mac")?,
                })
            })
        })
    }

    async fn replace_row_macs(
        &self,
        account: &AccountId,
        kind: SignedKind,
        updates: &[RowMacUpdate],
    ) -> Result<usize, Error> {
        let (account, updates) = (account.clone(), updates.to_vec());
        let replace = move |database: &Connection| -> WriteResult<usize> {
            let (_, replace) = statements_of(kind);
            let mut replaced = 0;
            for RowMacUpdate { record, expected, mac } in &updates {
                let parameters = named_params! {
                    ":account_id": account.as_str(), ":record": record, ":expected": expected, ":mac": mac,
                };
                replaced += statements::execute(database, replace, parameters)?;
            }
            Ok(Ok(replaced))
        };
        self.writer.write(replace).await
    }
}

/// All secrets.
pub(super) fn find(database: &Connection) -> rusqlite::Result<Option<ServiceSecrets>> {
    let found = statements::list(database, LIST, &[], secret_from)?;
    assemble(found).map_err(|column| rows::impossible(column, Type::Null))
}

fn change(
    database: &Connection,
    expected: &ServiceSecrets,
    secrets: &ServiceSecrets,
    check: Option<&KeyringCheck>,
) -> WriteResult<Changed> {
    if find(database)?.as_ref() != Some(expected) {
        return Ok(Ok(Changed::No));
    }
    if let Some(check) = check {
        keyring::insert_check_of(database, check)?;
    }
    let current = named_params! {
        ":number": secrets.current.number,
        ":keyring_key_id": secrets.current.wrapped.keyring_key.0,
        ":wrapped_key": secrets.current.wrapped.wrapped.0,
    };
    statements::execute(database, UPDATE_CURRENT, current)?;
    statements::execute(database, DELETE_OTHERS, &[])?;
    for (secret, role, since) in others(secrets) {
        let other = named_params! {
            ":number": secret.number,
            ":role": role,
            ":since": since.as_micros(),
            ":keyring_key_id": secret.wrapped.keyring_key.0,
            ":wrapped_key": secret.wrapped.wrapped.0,
        };
        statements::execute(database, INSERT_OTHER, other)?;
    }
    Ok(Ok(Changed::Yes))
}

fn secret_from(row: &Row<'_>) -> rusqlite::Result<SecretRow> {
    Ok(SecretRow {
        secret: ServiceSecret { number: row.get("number")?, wrapped: keyring::keyring_wrapped(row)? },
        role: row.get("role")?,
        since: rows::optional_instant(row, "since")?,
    })
}
