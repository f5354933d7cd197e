//! Inspecting a database before it is opened, without creating or changing anything.

use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, HashedKey};
use domain::secret::KeyringCheck;
use domain::service_secrets::ServiceSecrets;

use crate::url::Location;
use crate::{DatabaseUrl, OpenError, blocking, postgres, sqlite};

/// What a database contains, read before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The number of the last applied migration.
    pub schema: u32,
    /// The check values of the keyring keys in use.
    pub keyring_checks: Vec<KeyringCheck>,
    /// The service secrets, if there are any.
    pub service_secrets: Option<ServiceSecrets>,
}

/// An account and an API key, as far as the database has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyInspection {
    /// The account of that name.
    pub account: Option<Account>,
    /// The key, of any account and in any state.
    pub key: Option<ApiKeyRow>,
}

/// Inspects a database without changing it; `None` if there is none, or an empty one.
pub async fn inspect(database_url: &DatabaseUrl) -> Result<Option<Inspection>, OpenError> {
    match database_url.location.clone() {
        Location::Sqlite(path) => blocking(move || sqlite::inspect(&path)).await,
        Location::Postgres(server) => postgres::inspect(&server).await,
    }
}

/// Looks up an account and a key in a database that [`inspect`] found, without changing it.
pub async fn inspect_key(
    database_url: &DatabaseUrl,
    account: &Label,
    key: Option<&HashedKey>,
) -> Result<KeyInspection, OpenError> {
    let (account, key) = (account.clone(), key.cloned());
    match database_url.location.clone() {
        Location::Sqlite(path) => blocking(move || sqlite::inspect_key(&path, &account, key.as_ref())).await,
        Location::Postgres(server) => postgres::inspect_key(&server, &account, key.as_ref()).await,
    }
}

/// Checks what migrations need, without running them: that no other process keeps a file locked for as long as a write would
/// wait; that the role of a server may create tables.
pub async fn check_migratable(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.location.clone() {
        Location::Sqlite(path) => blocking(move || sqlite::check_lock(&path)).await,
        Location::Postgres(server) => postgres::check_rights(&server).await,
    }
}

/// Checks that no other process keeps a file locked for as long as a write would wait. The locks of a server are not checked:
/// they may change at any time.
pub async fn check_lock(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.location.clone() {
        Location::Sqlite(path) => blocking(move || sqlite::check_lock(&path)).await,
        Location::Postgres(_) => Ok(()),
    }
}

/// Checks that the role of a server may write the table that the last migration created: a role that does not own the tables
/// needs a grant for it.
pub async fn check_grants(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    match database_url.location.clone() {
        Location::Sqlite(_) => Ok(()),
        Location::Postgres(server) => postgres::check_grants(&server).await,
    }
}

/// Checks that the file of a database can be written, without creating or changing anything. [`inspect`] checks a server.
pub fn check_place(database_url: &DatabaseUrl) -> Result<(), OpenError> {
    database_url.file().map_or(Ok(()), sqlite::check_place)
}
