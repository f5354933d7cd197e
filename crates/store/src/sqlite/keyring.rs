//! What belongs to the whole service: the keyring's check values and the service secret.

use async_trait::async_trait;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::writer::Step;
use super::{Sqlite, rows};
use crate::{Error, Keyring};

#[async_trait]
impl Keyring for Sqlite {
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.readers.read(list_keyring_checks)
    }

    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error> {
        let (check, expected) = (check.clone(), expected.to_vec());
        self.writer.write(move |connection| insert_keyring_check(connection, &check, &expected)).await
    }

    async fn find_or_insert_service_secret(
        &self,
        proposed: &KeyringWrapped,
    ) -> Result<KeyringWrapped, Error> {
        if let Some(kept) = self.readers.read(find_secret)? {
            return Ok(kept);
        }
        let proposed = proposed.clone();
        self.writer.write(move |connection| find_or_insert_secret(connection, &proposed)).await
    }
}

/// The purpose of the one secret that there is.
const SERVICE_SECRET: &str = "service";

pub(super) fn insert_keyring_check(
    connection: &Connection,
    check: &KeyringCheck,
    expected: &[KeyringCheck],
) -> Step<Vec<KeyringCheck>> {
    if list_keyring_checks(connection)? == expected {
        connection
            .prepare_cached(
                "INSERT INTO keyring_checks (keyring_key_id, check_value) VALUES (?1, ?2)
                 ON CONFLICT (keyring_key_id) DO NOTHING",
            )?
            .execute((&check.keyring_key.0, check.value))?;
    }
    Ok(Ok(list_keyring_checks(connection)?))
}

/// All check values, in the order of their keys' identifiers.
pub(super) fn list_keyring_checks(connection: &Connection) -> rusqlite::Result<Vec<KeyringCheck>> {
    let mut statement = connection
        .prepare("SELECT keyring_key_id, check_value FROM keyring_checks ORDER BY keyring_key_id")?;
    let checks = statement.query_map([], |row| {
        Ok(KeyringCheck {
            keyring_key: KeyringKeyId(row.get("keyring_key_id")?),
            value: rows::bytes(row, "check_value")?,
        })
    })?;
    checks.collect()
}

pub(super) fn find_secret(connection: &Connection) -> rusqlite::Result<Option<KeyringWrapped>> {
    connection
        .prepare_cached("SELECT keyring_key_id, wrapped_key FROM service_secrets WHERE purpose = ?1")?
        .query_row([SERVICE_SECRET], keyring_wrapped)
        .optional()
}

pub(super) fn find_or_insert_secret(
    connection: &Connection,
    proposed: &KeyringWrapped,
) -> Step<KeyringWrapped> {
    connection
        .prepare_cached(
            "INSERT INTO service_secrets (purpose, keyring_key_id, wrapped_key) VALUES (?1, ?2, ?3)
             ON CONFLICT (purpose) DO NOTHING",
        )?
        .execute((SERVICE_SECRET, &proposed.keyring_key.0, proposed.wrapped.0))?;
    let kept = find_secret(connection)?;
    Ok(Ok(kept.unwrap_or_else(|| proposed.clone())))
}

/// The two columns of a key that the keyring wraps.
pub(super) fn keyring_wrapped(row: &Row<'_>) -> rusqlite::Result<KeyringWrapped> {
    Ok(KeyringWrapped {
        keyring_key: KeyringKeyId(row.get("keyring_key_id")?),
        wrapped: rows::wrapped_key(row, "wrapped_key")?,
    })
}
