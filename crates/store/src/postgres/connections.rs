//! Connections and their sealed secrets: reading them.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::Postgres;
use super::connection_writes::{DeleteConnection, InsertConnection, UpdateConnection};
use super::rows::{self, Columns};
use super::sessions::Parameters;
use super::trouble::Trouble;
use crate::{Changed, ConnectionUpdate, Connections, Error, NewConnection};

#[async_trait]
impl Connections for Postgres {
    async fn insert_connection(&self, account: &AccountId, new: NewConnection) -> Result<(), Error> {
        self.inserts.write(InsertConnection { account: account.clone(), new, clock: self.clock }).await
    }

    async fn update_connection(&self, account: &AccountId, update: ConnectionUpdate) -> Result<(), Error> {
        self.updates.write(UpdateConnection { account: account.clone(), update, clock: self.clock }).await
    }

    async fn delete_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.deletions.write(DeleteConnection { account, id, event, clock: self.clock }).await
    }

    async fn find_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, Error> {
        self.find(FIND, &[&account.as_str(), &id.as_str()], connection).await
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &unique_name];
        self.find(FIND_ID_BY_NAME, parameters, connection_id).await
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &id.as_str()];
        self.find(FIND_SEALED, parameters, sealed_connection).await
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        let (after, limit) = (text_of(after), i64::from(limit));
        let parameters: Parameters<'_> = &[&account.as_str(), &after, &limit];
        self.read(LIST, parameters, connection).await
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        let (after, limit) = (text_of(after), i64::from(limit));
        let parameters: Parameters<'_> = &[&account.as_str(), &after, &limit];
        self.read(LIST_IDS, parameters, connection_id).await
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        let last = |row: &Row| rows::optional_instant(row, "created_at");
        match self.find(LAST_CONNECTION_TIME, &[], last).await {
            Ok(last) => Ok(last.flatten()),
            // It looks at every account; of very many, the server may give up. Then the clock alone must do.
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "the last identifier is not known: new ones go by this node's clock alone");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT account_id, connection_id, name, description, is_enabled, client_identifier,
                    created_at, updated_at, version, sealed_version",
            $rest
        )
    };
}

pub(super) const FIND: &str = select!(" FROM connections WHERE account_id = $1 AND connection_id = $2");
pub(super) const FIND_SEALED: &str =
    select!(", envelope, wrapped_key FROM connections WHERE account_id = $1 AND connection_id = $2");
pub(super) const FIND_ID_BY_NAME: &str =
    "SELECT connection_id FROM connections WHERE account_id = $1 AND unique_name = $2";
/// By keyset: the server goes to the place in the index and reads on from there, however deep that is.
pub(super) const LIST: &str =
    select!(" FROM connections WHERE account_id = $1 AND connection_id > $2 ORDER BY connection_id LIMIT $3");
pub(super) const LIST_IDS: &str = "SELECT connection_id FROM connections
    WHERE account_id = $1 AND connection_id > $2 ORDER BY connection_id LIMIT $3";

/// By the last row of each account, which the index of the primary key has at hand.
const LAST_CONNECTION_TIME: &str = "SELECT max(l.created_at) AS created_at FROM accounts a
    CROSS JOIN LATERAL (SELECT created_at FROM connections c WHERE c.account_id = a.account_id
        ORDER BY connection_id DESC LIMIT 1) l";

/// No identifier is empty, so that the empty text stands before the first.
pub(super) fn text_of(after: Option<&ConnectionId>) -> &str {
    after.map_or("", ConnectionId::as_str)
}

pub(super) fn connection_id(row: &Row) -> Result<ConnectionId, Trouble> {
    rows::get(row, "connection_id").map(ConnectionId::from_stored)
}

/// From the columns that `select!` names first.
pub(super) fn connection(row: &Row) -> Result<Connection, Trouble> {
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
        version: columns.take_count()?,
        sealed_version: columns.take_count()?,
    })
}

pub(super) fn sealed_connection(row: &Row) -> Result<(Connection, SealedCredentials), Trouble> {
    let sealed = SealedCredentials {
        envelope: rows::get(row, "envelope")?,
        sealing_key: rows::wrapped_key(row, "wrapped_key")?,
    };
    Ok((connection(row)?, sealed))
}
