//! Connections and their sealed secrets.

use domain::audit::AuditEvent;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use rusqlite::{OptionalExtension as _, Row};

use super::writer::Step;
use super::{api_keys, audit_events, rows};
use crate::Error;

pub(super) fn insert(
    database: &rusqlite::Connection,
    account: &AccountId,
    connection: &Connection,
    sealed: &SealedCredentials,
    event: &AuditEvent,
) -> Step<()> {
    // Refusals come before the first row is written: other writes share the transaction.
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if find_id_by_name(database, account, connection.name.unique_part())?.is_some() {
        return Ok(Err(Error::NameTaken));
    }
    database
        .prepare_cached("INSERT INTO sealing_keys (wrapped_key) VALUES (?1)")?
        .execute([sealed.sealing_key.0])?;
    let sealing_key_id = database.last_insert_rowid();
    database
        .prepare_cached(
            "INSERT INTO connections
                (account_id, connection_id, name, unique_name, description, is_enabled, client_identifier,
                 created_at, updated_at, version, sealed_version, sealing_key_id, envelope)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?
        .execute((
            account.as_str(),
            connection.id.as_str(),
            connection.name.as_str(),
            connection.name.unique_part(),
            connection.description.as_ref().map(Description::as_str),
            connection.availability.is_enabled(),
            connection.client_identifier.as_str(),
            connection.created_at.as_micros(),
            connection.updated_at.as_micros(),
            connection.version,
            connection.sealed_version,
            sealing_key_id,
            &sealed.envelope,
        ))?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

pub(super) fn find(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<Option<Connection>> {
    database
        .prepare_cached(
            "SELECT account_id, connection_id, name, description, is_enabled, client_identifier,
                    created_at, updated_at, version, sealed_version
             FROM connections WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .query_row((account.as_str(), id.as_str()), connection)
        .optional()
}

pub(super) fn find_id_by_name(
    database: &rusqlite::Connection,
    account: &AccountId,
    unique_name: &str,
) -> rusqlite::Result<Option<ConnectionId>> {
    database
        .prepare_cached("SELECT connection_id FROM connections WHERE account_id = ?1 AND unique_name = ?2")?
        .query_row((account.as_str(), unique_name), |row| Ok(ConnectionId::from_stored(row.get(0)?)))
        .optional()
}

pub(super) fn find_sealed(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<Option<(Connection, SealedCredentials)>> {
    database
        .prepare_cached(
            "SELECT account_id, connection_id, name, description, is_enabled, client_identifier,
                    created_at, updated_at, version, sealed_version, envelope,
                    coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
             FROM connections LEFT JOIN sealing_keys USING (sealing_key_id)
             WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .query_row((account.as_str(), id.as_str()), sealed_connection)
        .optional()
}

pub(super) fn list_ids(
    database: &rusqlite::Connection,
    account: &AccountId,
    after: Option<&ConnectionId>,
    limit: u32,
) -> rusqlite::Result<Vec<ConnectionId>> {
    let mut statement = database.prepare_cached(
        "SELECT connection_id FROM connections
         WHERE account_id = ?1 AND connection_id > ?2 ORDER BY connection_id LIMIT ?3",
    )?;
    // No identifier is empty, so that the empty text stands before the first.
    let after = after.map_or("", ConnectionId::as_str);
    statement
        .query_map((account.as_str(), after, limit), |row| Ok(ConnectionId::from_stored(row.get(0)?)))?
        .collect()
}

/// A connection whose sealing key is missing is read as one whose key was wiped: it is there, and does not open.
fn sealed_connection(row: &Row<'_>) -> rusqlite::Result<(Connection, SealedCredentials)> {
    let sealed = SealedCredentials {
        envelope: row.get("envelope")?,
        sealing_key: rows::wrapped_key(row, "wrapped_key")?,
    };
    Ok((connection(row)?, sealed))
}

fn connection(row: &Row<'_>) -> rusqlite::Result<Connection> {
    Ok(Connection {
        id: ConnectionId::from_stored(row.get("connection_id")?),
        account_id: AccountId::from_stored(row.get("account_id")?),
        name: ConnectionName::from_stored(row.get("name")?),
        description: row.get::<_, Option<String>>("description")?.map(Description::from_stored),
        availability: Availability::from_enabled(row.get("is_enabled")?),
        client_identifier: ClientIdentifier::from_stored(row.get("client_identifier")?),
        created_at: rows::instant(row, "created_at")?,
        updated_at: rows::instant(row, "updated_at")?,
        version: row.get("version")?,
        sealed_version: row.get("sealed_version")?,
    })
}
