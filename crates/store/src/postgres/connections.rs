//! Connections and their sealed secrets: reading them.

use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
use tokio_postgres::Row;

use super::rows::{self, Columns};
use super::trouble::Trouble;

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
