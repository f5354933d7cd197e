//! The check values of the keyring, and the service secret.

use async_trait::async_trait;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, rows, statements};
use crate::sql::statement;
use crate::{Error, Keyring};

const SQL: &str = include_str!("sql/keyring.sql");
const LIST_CHECKS: &str = statement(SQL, "list_keyring_checks");
const INSERT_CHECK: &str = statement(SQL, "insert_keyring_check");
const FIND_SECRET: &str = statement(SQL, "find_service_secret");
const INSERT_SECRET: &str = statement(SQL, "insert_service_secret");

#[async_trait]
impl Keyring for Sqlite {
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.readers.read(list_checks)
    }

    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error> {
        let (check, expected) = (check.clone(), expected.to_vec());
        self.writer.write(move |database| insert_check(database, &check, &expected)).await
    }

    async fn find_or_insert_service_secret(
        &self,
        proposed: &KeyringWrapped,
    ) -> Result<KeyringWrapped, Error> {
        if let Some(stored) = self.readers.read(find_secret)? {
            return Ok(stored);
        }
        let proposed = proposed.clone();
        self.writer.write(move |database| find_or_insert_secret(database, &proposed)).await
    }
}

fn insert_check(
    database: &Connection,
    check: &KeyringCheck,
    expected: &[KeyringCheck],
) -> WriteResult<Vec<KeyringCheck>> {
    if list_checks(database)? == expected {
        insert_check_of(database, check)?;
    }
    Ok(Ok(list_checks(database)?))
}

/// Adds a check value, unless it is there.
pub(super) fn insert_check_of(database: &Connection, check: &KeyringCheck) -> rusqlite::Result<()> {
    let parameters = named_params! { ":keyring_key_id": check.keyring_key.0, ":check_value": check.value };
    statements::execute(database, INSERT_CHECK, parameters).map(drop)
}

/// All check values, ordered by key identifier.
pub(super) fn list_checks(database: &Connection) -> rusqlite::Result<Vec<KeyringCheck>> {
    statements::list(database, LIST_CHECKS, &[], |row| {
        Ok(KeyringCheck {
            keyring_key: KeyringKeyId(row.get("keyring_key_id")?),
            value: rows::bytes(row, "check_value")?,
        })
    })
}

pub(super) fn find_secret(database: &Connection) -> rusqlite::Result<Option<KeyringWrapped>> {
    statements::find(database, FIND_SECRET, &[], keyring_wrapped)
}

fn find_or_insert_secret(database: &Connection, proposed: &KeyringWrapped) -> WriteResult<KeyringWrapped> {
    let parameters =
        named_params! { ":keyring_key_id": proposed.keyring_key.0, ":wrapped_key": proposed.wrapped.0 };
    statements::execute(database, INSERT_SECRET, parameters)?;
    let stored = find_secret(database)?;
    Ok(Ok(stored.unwrap_or_else(|| proposed.clone())))
}

/// The two columns of a key that is wrapped by the keyring.
pub(super) fn keyring_wrapped(row: &Row<'_>) -> rusqlite::Result<KeyringWrapped> {
    Ok(KeyringWrapped {
        keyring_key: KeyringKeyId(row.get("keyring_key_id")?),
        wrapped: rows::wrapped_key(row, "wrapped_key")?,
    })
}
