//! The wrapped keys of the sealings. Rows of one size under a key that only grows, never deleted: overwritten in
//! place with zeros, a key leaves no copy in the database file, and the checkpoint that follows cuts off the log.

use domain::id::AccountId;
use domain::secret::WrappedKey;
use rusqlite::Connection;

/// The table whose every change is a wiping.
pub(super) const TABLE: &str = "sealing_keys";

/// Adds a key; its number.
pub(super) fn insert(connection: &Connection, key: &WrappedKey) -> rusqlite::Result<i64> {
    connection.prepare_cached("INSERT INTO sealing_keys (wrapped_key) VALUES (?1)")?.execute([key.0])?;
    Ok(connection.last_insert_rowid())
}

/// Overwrites a key with zeros. What it sealed is noise from the commit on.
pub(super) fn wipe(connection: &Connection, sealing_key_id: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id = ?1")?
        .execute([sealing_key_id])
        .map(drop)
}

/// Overwrites the keys of an account's first connections, at most so many.
pub(super) fn wipe_of_account(
    connection: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id IN
                (SELECT sealing_key_id FROM connections WHERE account_id = ?1 ORDER BY connection_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
        .map(drop)
}
