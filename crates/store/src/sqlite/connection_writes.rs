//! Writing connections, each in the transaction that the writer has open.

use domain::audit::AuditEvent;
use domain::connection::{Connection, Description};
use domain::id::{AccountId, ConnectionId};
use rusqlite::named_params;

use super::connections::{SQL, find_id_by_name};
use super::writer::WriteResult;
use super::{api_keys, audit_events, connection_health, idempotency_records, jobs, sealing_keys, statements};
use crate::sql::statement;
use crate::{Changed, ConnectionUpdate, Error, NewConnection};

const FIND_STORED: &str = statement(SQL, "find_stored_connection");
const INSERT: &str = statement(SQL, "insert_connection");
const UPDATE: &str = statement(SQL, "update_connection");
const RENAME: &str = statement(SQL, "rename_connection");
const RESEAL: &str = statement(SQL, "reseal_connection");
const DELETE: &str = statement(SQL, "delete_connection");

pub(super) fn insert(
    database: &rusqlite::Connection,
    account: &AccountId,
    new: &NewConnection,
) -> WriteResult<()> {
    let NewConnection { connection, sealed, health, event, completion } = new;
    // Refusals come before the first row is written: other writes share the transaction.
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if let Some(completion) = completion
        && !idempotency_records::is_held(database, account, &completion.reservation)?
    {
        return Ok(Err(Error::ReservationLost));
    }
    if find_id_by_name(database, account, connection.name.unique_part())?.is_some() {
        return Ok(Err(Error::NameTaken));
    }
    let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":connection_id": connection.id.as_str(),
            ":name": connection.name.as_str(),
            ":unique_name": connection.name.unique_part(),
            ":description": connection.description.as_ref().map(Description::as_str),
            ":is_enabled": connection.availability.is_enabled(),
            ":client_identifier": connection.client_identifier.as_str(),
            ":created_at": connection.created_at.as_micros(),
            ":updated_at": connection.updated_at.as_micros(),
            ":version": connection.version,
            ":sealed_version": connection.sealed_version,
            ":sealing_key_id": sealing_key_id,
            ":envelope": sealed.envelope,
        },
    )?;
    connection_health::insert(database, connection, health)?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

pub(super) fn update(
    database: &rusqlite::Connection,
    account: &AccountId,
    update: &ConnectionUpdate,
) -> WriteResult<()> {
    let ConnectionUpdate { expected_version, connection, resealed, event } = update;
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let Some(stored) = find_stored(database, account, &connection.id)? else {
        return Ok(Err(Error::NotFound));
    };
    if stored.version != *expected_version {
        return Ok(Err(Error::VersionConflict { current: stored.version }));
    }
    if stored.name != connection.name.as_str()
        && let Err(refusal) = rename(database, account, connection)?
    {
        return Ok(Err(refusal));
    }
    statements::execute(
        database,
        UPDATE,
        named_params! {
            ":account_id": account.as_str(),
            ":connection_id": connection.id.as_str(),
            ":description": connection.description.as_ref().map(Description::as_str),
            ":is_enabled": connection.availability.is_enabled(),
            ":client_identifier": connection.client_identifier.as_str(),
            ":updated_at": connection.updated_at.as_micros(),
            ":version": connection.version,
        },
    )?;
    if let Some(sealed) = resealed {
        sealing_keys::wipe(database, stored.sealing_key_id)?;
        let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
        statements::execute(
            database,
            RESEAL,
            named_params! {
                ":account_id": account.as_str(),
                ":connection_id": connection.id.as_str(),
                ":sealed_version": connection.sealed_version,
                ":sealing_key_id": sealing_key_id,
                ":envelope": sealed.envelope,
            },
        )?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

pub(super) fn delete(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let Some(stored) = find_stored(database, account, id)? else {
        return Ok(Ok(Changed::No));
    };
    sealing_keys::wipe(database, stored.sealing_key_id)?;
    let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
    statements::execute(database, DELETE, parameters)?;
    connection_health::delete(database, account, id)?;
    jobs::mark_of_connection(database, account, id, event)?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// Gives a connection its new name, unless another one has it.
fn rename(database: &rusqlite::Connection, account: &AccountId, connection: &Connection) -> WriteResult<()> {
    let holder = find_id_by_name(database, account, connection.name.unique_part())?;
    if holder.is_some_and(|id| id != connection.id) {
        return Ok(Err(Error::NameTaken));
    }
    statements::execute(
        database,
        RENAME,
        named_params! {
            ":account_id": account.as_str(),
            ":connection_id": connection.id.as_str(),
            ":name": connection.name.as_str(),
            ":unique_name": connection.name.unique_part(),
        },
    )?;
    Ok(Ok(()))
}

/// What a write needs of the stored connection.
struct Stored {
    version: u64,
    sealing_key_id: i64,
    name: String,
}

fn find_stored(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<Option<Stored>> {
    let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
    statements::find(database, FIND_STORED, parameters, |row| {
        Ok(Stored {
            version: row.get("version")?,
            sealing_key_id: row.get("sealing_key_id")?,
            name: row.get("name")?,
        })
    })
}
