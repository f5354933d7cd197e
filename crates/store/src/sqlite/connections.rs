//! Connections and their sealed secrets.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use domain::time::Timestamp;
use rusqlite::{OptionalExtension as _, Row};

use super::rows::Columns;
use super::writer::Step;
use super::{Sqlite, api_keys, audit_events, idempotency_records, jobs, rows, sealing_keys};
use crate::{Changed, ConnectionUpdate, Connections, Error, NewConnection};

#[async_trait]
impl Connections for Sqlite {
    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| insert(connection, &account, &new)).await
    }

    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |connection| self::update(connection, &account, &update)).await
    }

    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(move |connection| delete(connection, &account, &id, &event)).await
    }

    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error> {
        self.readers.read(|connection| find(connection, account, id))
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        self.readers.read(|connection| find_id_by_name(connection, account, unique_name))
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        self.readers.read(|connection| find_sealed(connection, account, id))
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        self.readers.read(|connection| list(connection, account, after, limit))
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        self.readers.read(|connection| list_ids(connection, account, after, limit))
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        self.readers.read(find_last_connection_time)
    }
}

/// What is read of a connection, everywhere.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT account_id, connection_id, name, description, is_enabled, client_identifier,
                    created_at, updated_at, version, sealed_version",
            $rest
        )
    };
}

pub(super) fn insert(database: &rusqlite::Connection, account: &AccountId, new: &NewConnection) -> Step<()> {
    let NewConnection { connection, sealed, event, completion } = new;
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
) -> Step<()> {
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
    // Without the names, so that their index is left alone: SQLite takes an entry out and puts it in again even where it
    // stays the same.
    database
        .prepare_cached(
            "UPDATE connections SET description = ?3, is_enabled = ?4, client_identifier = ?5, updated_at = ?6,
                version = ?7
             WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .execute((
            account.as_str(),
            connection.id.as_str(),
            connection.description.as_ref().map(Description::as_str),
            connection.availability.is_enabled(),
            connection.client_identifier.as_str(),
            connection.updated_at.as_micros(),
            connection.version,
        ))?;
    if let Some(sealed) = resealed {
        sealing_keys::wipe(database, stored.sealing_key_id)?;
        let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
        database
            .prepare_cached(
                "UPDATE connections SET sealed_version = ?3, sealing_key_id = ?4, envelope = ?5
                 WHERE account_id = ?1 AND connection_id = ?2",
            )?
            .execute((
                account.as_str(),
                connection.id.as_str(),
                connection.sealed_version,
                sealing_key_id,
                &sealed.envelope,
            ))?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

pub(super) fn delete(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
    event: &AuditEvent,
) -> Step<Changed> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let sealing_key_id = database
        .prepare_cached(
            "SELECT sealing_key_id FROM connections WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .query_row((account.as_str(), id.as_str()), |row| row.get(0))
        .optional()?;
    let Some(sealing_key_id) = sealing_key_id else {
        return Ok(Ok(Changed::No));
    };
    sealing_keys::wipe(database, sealing_key_id)?;
    database
        .prepare_cached("DELETE FROM connections WHERE account_id = ?1 AND connection_id = ?2")?
        .execute((account.as_str(), id.as_str()))?;
    jobs::mark_of_connection(database, account, id, event)?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// Deletes an account's first connections, at most so many, whose keys were wiped before; how many there were.
pub(super) fn delete_of_account(
    database: &rusqlite::Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    database
        .prepare_cached(
            "DELETE FROM connections WHERE rowid IN
                (SELECT rowid FROM connections WHERE account_id = ?1 ORDER BY connection_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
}

/// Gives a connection the name that it is to have, if no other one has it.
fn rename(database: &rusqlite::Connection, account: &AccountId, connection: &Connection) -> Step<()> {
    let named_so = find_id_by_name(database, account, connection.name.unique_part())?;
    if named_so.is_some_and(|id| id != connection.id) {
        return Ok(Err(Error::NameTaken));
    }
    database
        .prepare_cached(
            "UPDATE connections SET name = ?3, unique_name = ?4 WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .execute((
            account.as_str(),
            connection.id.as_str(),
            connection.name.as_str(),
            connection.name.unique_part(),
        ))?;
    Ok(Ok(()))
}

/// What a write must know of the connection as it is.
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
    database
        .prepare_cached(
            "SELECT version, sealing_key_id, name FROM connections WHERE account_id = ?1 AND connection_id = ?2",
        )?
        .query_row((account.as_str(), id.as_str()), |row| {
            let mut columns = Columns::of(row);
            Ok(Stored {
                version: columns.take()?,
                sealing_key_id: columns.take()?,
                name: columns.take()?,
            })
        })
        .optional()
}

pub(super) fn find(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<Option<Connection>> {
    database
        .prepare_cached(select!(" FROM connections WHERE account_id = ?1 AND connection_id = ?2"))?
        .query_row((account.as_str(), id.as_str()), connection)
        .optional()
}

/// The row that was added last is the one with the highest rowid, whatever its identifier says.
fn find_last_connection_time(database: &rusqlite::Connection) -> rusqlite::Result<Option<Timestamp>> {
    database
        .query_row("SELECT created_at FROM connections ORDER BY rowid DESC LIMIT 1", [], |row| {
            rows::instant(row, "created_at")
        })
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
        .prepare_cached(select!(
            ", envelope, coalesce(wrapped_key, zeroblob(60)) AS wrapped_key
                 FROM connections LEFT JOIN sealing_keys USING (sealing_key_id)
                 WHERE account_id = ?1 AND connection_id = ?2"
        ))?
        .query_row((account.as_str(), id.as_str()), sealed_connection)
        .optional()
}

pub(super) fn list(
    database: &rusqlite::Connection,
    account: &AccountId,
    after: Option<&ConnectionId>,
    limit: u32,
) -> rusqlite::Result<Vec<Connection>> {
    let mut statement = database.prepare_cached(LIST)?;
    statement.query_map((account.as_str(), text_of(after), limit), connection)?.collect()
}

/// By keyset: SQLite goes to the place in the index and reads on from there, however deep that is.
const LIST: &str =
    select!(" FROM connections WHERE account_id = ?1 AND connection_id > ?2 ORDER BY connection_id LIMIT ?3");

/// No identifier is empty, so that the empty text stands before the first.
fn text_of(after: Option<&ConnectionId>) -> &str {
    after.map_or("", ConnectionId::as_str)
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
    statement
        .query_map((account.as_str(), text_of(after), limit), |row| {
            Ok(ConnectionId::from_stored(row.get(0)?))
        })?
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

/// From the columns that `select!` names first.
fn connection(row: &Row<'_>) -> rusqlite::Result<Connection> {
    let mut columns = Columns::of(row);
    Ok(Connection {
        account_id: AccountId::from_stored(columns.take()?),
        id: ConnectionId::from_stored(columns.take()?),
        name: ConnectionName::from_stored(columns.take()?),
        description: columns.take::<Option<String>>()?.map(Description::from_stored),
        availability: Availability::from_enabled(columns.take()?),
        client_identifier: ClientIdentifier::from_stored(columns.take()?),
        created_at: columns.take_instant()?,
        updated_at: columns.take_instant()?,
        version: columns.take()?,
        sealed_version: columns.take()?,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::contract::{Place, samples};

    #[tokio::test]
    async fn a_page_is_a_search_in_the_index_of_the_primary_key() {
        let place = Place::sqlite();
        let store = place.open().await;
        samples::insert_account(&*store, 1).await;
        let database = rusqlite::Connection::open(place.path()).unwrap();
        let plan: Vec<String> = database
            .prepare(&format!("EXPLAIN QUERY PLAN {LIST}"))
            .unwrap()
            .query_map(("a", "b", 51), |row| row.get("detail"))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let search = "SEARCH connections USING INDEX sqlite_autoindex_connections_1 (account_id=? AND connection_id>?)";
        assert_eq!(plan, [search], "no scan, and no sorting");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn page_200_is_as_much_work_as_page_1() {
        let place = Place::sqlite();
        let store = place.open().await;
        let account = samples::insert_account(&*store, 1).await;
        let numbers: Vec<_> = (0..10_000_u32).collect();
        let names: Vec<_> = numbers.iter().map(|number| format!("c {number:0>4}")).collect();
        // No more at once than the queue of writes takes.
        for part in numbers.chunks(1_000) {
            let insert = |number: &u32| {
                samples::insert_connection(&*store, &account, *number, &names[*number as usize])
            };
            samples::all(part.iter().map(insert)).await;
        }
        let database = rusqlite::Connection::open(place.path()).unwrap();
        let work = |after: Option<u32>| {
            let after = after.map(|number| samples::connection(&account, number, "any").0.id);
            let mut statement = database.prepare(LIST).unwrap();
            let page =
                statement.query_map((account.as_str(), text_of(after.as_ref()), 50), connection).unwrap();
            let page: Vec<_> = page.collect::<rusqlite::Result<_>>().unwrap();
            let work = [StatementStatus::VmStep, StatementStatus::FullscanStep, StatementStatus::Sort]
                .map(|kind| statement.get_status(kind));
            (page, work)
        };
        let (first, first_work) = work(None);
        let (last, last_work) = work(Some(9_949));
        assert_eq!((first[0].name.as_str(), last[0].name.as_str()), ("c 0000", "c 9950"));
        assert_eq!((first.len(), last.len()), (50, 50));
        assert_eq!(first_work, last_work);
        assert!(first_work[0] > 0 && first_work[1..] == [0, 0], "{first_work:?}");
    }
}
