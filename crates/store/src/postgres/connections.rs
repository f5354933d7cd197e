//! Connections and their sealed credentials: the trait, and reading them.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::connection_writes::{DeleteConnection, InsertConnection, UpdateConnection};
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::rows::Columns;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{Changed, ConnectionUpdate, Connections, Error, NewConnection};

pub(super) const SQL: &str = include_str!("sql/connections.sql");
pub(super) const FIND: &str = statement(SQL, "find_connection");
pub(super) const FIND_SEALED: &str = statement(SQL, "find_sealed_connection");
pub(super) const FIND_ID_BY_NAME: &str = statement(SQL, "find_connection_id_by_name");
pub(super) const LIST: &str = statement(SQL, "list_connections");
pub(super) const LIST_IDS: &str = statement(SQL, "list_connection_ids");
const FIND_LAST_TIME: &str = statement(SQL, "find_last_connection_time");

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
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("connection_id", &id.as_str())];
        self.find(FIND, parameters, connection_from).await
    }

    async fn find_connection_id_by_name(
        &self,
        account: &AccountId,
        unique_name: &str,
    ) -> Result<Option<ConnectionId>, Error> {
        let parameters: Parameters<'_> = &[("account_id", &account.as_str()), ("unique_name", &unique_name)];
        self.find(FIND_ID_BY_NAME, parameters, connection_id_from).await
    }

    async fn find_sealed_connection(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<(Connection, SealedCredentials)>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("connection_id", &id.as_str())];
        self.find(FIND_SEALED, parameters, sealed_connection_from).await
    }

    async fn list_connections(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("after", &keyset_start(after)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST, parameters, connection_from).await
    }

    async fn list_connection_ids(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<ConnectionId>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("after", &keyset_start(after)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_IDS, parameters, connection_id_from).await
    }

    async fn find_last_connection_time(&self) -> Result<Option<Timestamp>, Error> {
        let created_at = |row: &Row| rows::optional_instant(row, "created_at");
        match self.find(FIND_LAST_TIME, &[], created_at).await {
            Ok(last) => Ok(last.flatten()),
            // The statement reads every account. With very many, the server may cancel it.
            Err(Error::Unavailable(cause)) => {
                tracing::warn!(%cause, "the last identifier is not known: new ones go by this node's clock alone");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The identifier after which a page starts. No identifier is empty, so the empty text sorts before the first.
fn keyset_start(after: Option<&ConnectionId>) -> &str {
    after.map_or("", ConnectionId::as_str)
}

fn connection_id_from(row: &Row) -> Result<ConnectionId, PgError> {
    rows::get(row, "connection_id").map(ConnectionId::from_stored)
}

pub(super) fn connection_from(row: &Row) -> Result<Connection, PgError> {
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
        version: columns.get_count("version")?,
        sealed_version: columns.get_count("sealed_version")?,
    })
}

fn sealed_connection_from(row: &Row) -> Result<(Connection, SealedCredentials), PgError> {
    let sealed = SealedCredentials {
        envelope: rows::get(row, "envelope")?,
        sealing_key: rows::wrapped_key(row, "wrapped_key")?,
    };
    Ok((connection_from(row)?, sealed))
}
