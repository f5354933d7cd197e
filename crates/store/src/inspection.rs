//! Looking at a database before it is opened, without creating or changing anything.

use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey};
use domain::secret::{KeyringCheck, KeyringWrapped};

use crate::url::Place;
use crate::{DatabaseUrl, OpenError, blocking, postgres, sqlite};

/// What a database says of itself before anything is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The number of the last migration that was run.
    pub schema: u32,
    /// The check values of the keyring keys that are in use.
    pub keyring_checks: Vec<KeyringCheck>,
    /// The service secret, if there is one yet.
    pub service_secret: Option<KeyringWrapped>,
}

/// What a database has of an account's name and of an API key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyInspection {
    /// The account of that name.
    pub account: Option<Account>,
    /// The key, whosever it is and whatever its state.
    pub key: Option<ApiKeyRow>,
}

/// Looks at a database without changing it; `None` if there is none yet, or an empty one.
pub async fn inspect(database_url: &DatabaseUrl) -> Result<Option<Inspection>, OpenError> {
    match database_url.place.clone() {
        Place::Sqlite(path) => blocking(move || sqlite::inspect(&path)).await,
        Place::Postgres(server) => postgres::inspect(&server).await,
    }
}

/// Looks for an account and a key in a database that [`inspect`] found, without changing it.
pub async fn inspect_key(
    database_url: &DatabaseUrl,
    account: &Label,
    key: Option<&HashedKey>,
) -> Result<KeyInspection, OpenError> {
    let (account, key) = (account.clone(), key.cloned());
    match database_url.place.clone() {
        Place::Sqlite(path) => blocking(move || sqlite::inspect_key(&path, &account, key.as_ref())).await,
        Place::Postgres(server) => postgres::inspect_key(&server, &account, key.as_ref()).await,
    }
}

/// Checks what migrations need, without running them: of a file, that no other process keeps it locked, for as long as a
/// write would wait; of a server, that the role may make tables.
pub async fn check_migratable(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.place.clone() {
        Place::Sqlite(path) => blocking(move || sqlite::check_lock(&path)).await,
        Place::Postgres(server) => postgres::check_rights(&server).await,
    }
}

/// Checks that no other process keeps a file locked, for as long as a write would wait. A lock on a server says nothing about
/// later.
pub async fn check_lock(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.place.clone() {
        Place::Sqlite(path) => blocking(move || sqlite::check_lock(&path)).await,
        Place::Postgres(_) => Ok(()),
    }
}

/// Checks that the role of a server may write the table that the last migration made, which a role that does not own the
/// tables needs a grant for.
pub async fn check_grants(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.place.clone() {
        Place::Sqlite(_) => Ok(()),
        Place::Postgres(server) => postgres::check_grants(&server).await,
    }
}

/// Checks that a database can be written where its URL says, without creating or changing anything. A server is asked by
/// [`inspect`].
pub fn check_place(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    database_url.file().map_or(Ok(()), sqlite::check_place)
}
