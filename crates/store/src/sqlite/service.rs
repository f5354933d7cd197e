//! What belongs to the whole service: the keyring's check values and the service secret.

use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::rows;
use super::writer::Step;

/// The purpose of the one secret that there is.
const SERVICE_SECRET: &str = "service";

/// A changed row: SQLite writes no page for one that stays the same.
pub(super) fn probe_write(connection: &Connection) -> Step<()> {
    connection
        .prepare_cached(
            "INSERT INTO write_probes (probe_id, writes) VALUES (1, 1)
             ON CONFLICT (probe_id) DO UPDATE SET writes = writes + 1",
        )?
        .execute([])?;
    Ok(Ok(()))
}

/// The row that was added last is the one with the highest rowid, whatever its identifier says.
pub(super) fn find_last_connection_time(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .query_row("SELECT created_at FROM connections ORDER BY rowid DESC LIMIT 1", [], |row| {
            rows::instant(row, "created_at")
        })
        .optional()
}

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
