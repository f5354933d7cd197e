//! Connections and their sealed credentials: the trait, and reading them.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use domain::time::Timestamp;
use rusqlite::{Row, named_params};

use super::rows::Columns;
use super::{Sqlite, connection_writes, rows, statements};
use crate::sql::statement;
use crate::{Changed, ConnectionUpdate, Connections, Error, NewConnection};

pub(super) const SQL: &str = include_str!("sql/connections.sql");
const FIND: &str = statement(SQL, "find_connection");
const FIND_SEALED: &str = statement(SQL, "find_sealed_connection");
const FIND_ID_BY_NAME: &str = statement(SQL, "find_connection_id_by_name");
const FIND_LAST_TIME: &str = statement(SQL, "find_last_connection_time");
const LIST: &str = statement(SQL, "list_connections");
const LIST_IDS: &str = statement(SQL, "list_connection_ids");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_connections_of_account");

#[async_trait]
impl Connections for Sqlite {
    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |database| connection_writes::insert(database, &account, &new)).await
    }

    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |database| connection_writes::update(database, &account, &update)).await
    }

    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(move |database| connection_writes::delete(database, &account, &id, &event)).await
    }

    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error> {
        self.readers.read(|database| find(database, account, id))
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        self.readers.read(|database| find_id_by_name(database, account, unique_name))
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
            statements::find(database, FIND_SEALED, parameters, sealed_connection_from)
        })
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! {
                ":account_id": account.as_str(), ":after": keyset_start(after), ":limit": limit,
            };
            statements::list(database, LIST, parameters, connection_from)
        })
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! {
                ":account_id": account.as_str(), ":after": keyset_start(after), ":limit": limit,
            };
            statements::list(database, LIST_IDS, parameters, connection_id_from)
        })
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        self.readers.read(|database| {
            statements::find(database, FIND_LAST_TIME, &[], |row| rows::instant(row, "created_at"))
        })
    }
}

pub(super) fn find(
    database: &rusqlite::Connection,
    account: &AccountId,
    id: &ConnectionId,
) -> rusqlite::Result<Option<Connection>> {
    let parameters = named_params! { ":account_id": account.as_str(), ":connection_id": id.as_str() };
    statements::find(database, FIND, parameters, connection_from)
}

pub(super) fn find_id_by_name(
    database: &rusqlite::Connection,
    account: &AccountId,
    unique_name: &str,
) -> rusqlite::Result<Option<ConnectionId>> {
    let parameters = named_params! { ":account_id": account.as_str(), ":unique_name": unique_name };
    statements::find(database, FIND_ID_BY_NAME, parameters, connection_id_from)
}

/// Deletes an account's first connections, up to `limit`, whose keys are wiped already. Returns how many.
pub(super) fn delete_of_account(
    database: &rusqlite::Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}

/// The identifier after which a page starts. No identifier is empty, so the empty text sorts before the first.
pub(super) fn keyset_start(after: Option<&ConnectionId>) -> &str {
    after.map_or("", ConnectionId::as_str)
}

fn connection_id_from(row: &Row<'_>) -> rusqlite::Result<ConnectionId> {
    row.get("connection_id").map(ConnectionId::from_stored)
}

fn sealed_connection_from(row: &Row<'_>) -> rusqlite::Result<(Connection, SealedCredentials)> {
    let sealed = SealedCredentials {
        envelope: row.get("envelope")?,
        sealing_key: rows::wrapped_key(row, "wrapped_key")?,
    };
    Ok((connection_from(row)?, sealed))
}

pub(super) fn connection_from(row: &Row<'_>) -> rusqlite::Result<Connection> {
    let mut columns = Columns::of(row);
    Ok(Connection {
        account_id: AccountId::from_stored(columns.get("account_id")?),
        id: ConnectionId::from_stored(columns.get("connection_id")?),
        name: ConnectionName::from_stored(columns.get("name")?),
        description: columns.get::<Option<String>>("description")?.map(Description::from_stored),
        availability: Availability::from_enabled(columns.get("is_enabled")?),
        client_identifier: ClientIdentifier::from_stored(columns.get("client_identifier")?),
        created_at: columns.get_instant("created_at")?,
        updated_at: columns.get_instant("updated_at")?,
        version: columns.get("version")?,
        sealed_version: columns.get("sealed_version")?,
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::contract::{TestDatabase, samples};

    #[tokio::test]
    async fn a_page_is_a_search_in_the_index_of_the_primary_key() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        samples::insert_account(&*store, 1).await;
        let database = rusqlite::Connection::open(db.path()).unwrap();
        let plan: Vec<String> = database
            .prepare(&format!("EXPLAIN QUERY PLAN {LIST}"))
            .unwrap()
            .query_map(named_params! { ":account_id": "a", ":after": "b", ":limit": 51 }, |row| {
                row.get("detail")
            })
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let search = "SEARCH connections USING INDEX sqlite_autoindex_connections_1 (account_id=? AND connection_id>?)";
        assert_eq!(plan, [search], "no scan, and no sorting");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn page_200_is_as_much_work_as_page_1() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
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
        let database = rusqlite::Connection::open(db.path()).unwrap();
        let work = |after: Option<u32>| {
            let after = after.map(|number| samples::connection(&account, number, "any").0.id);
            let mut statement = database.prepare(LIST).unwrap();
            let parameters = named_params! {
                ":account_id": account.as_str(), ":after": keyset_start(after.as_ref()), ":limit": 50,
            };
            let page = statement.query_map(parameters, connection_from).unwrap();
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
