//! The sealed credentials of a connection.

use domain::connection::{Availability, Connection, SecretCredentials};
use domain::secret::SealedCredentials;
use seal::CryptoError;
use seal::envelope::{AccountKey, AssociatedData};

pub(super) fn associated_data(connection: &Connection) -> AssociatedData<'_> {
    AssociatedData::of_credentials(&connection.id, connection.sealed_version, connection.availability)
}

/// Whether an enabled connection was disabled when its secrets were sealed: something other than the service enabled it,
/// directly in the database.
pub(crate) fn was_enabled_in_database(
    key: &AccountKey,
    connection: &Connection,
    sealed: &SealedCredentials,
) -> bool {
    let (id, version) = (&connection.id, connection.sealed_version);
    let as_disabled = AssociatedData::of_credentials(id, version, Availability::Disabled);
    connection.availability == Availability::Enabled && key.open_credentials(as_disabled, sealed).is_ok()
}

/// Decrypts the secrets of a connection. Those of an enabled connection decrypt only if the service enabled it. Those of a
/// disabled one may have been sealed by an earlier version, whose associated data did not include the availability.
pub(crate) fn open_credentials(
    key: &AccountKey,
    connection: &Connection,
    sealed: &SealedCredentials,
) -> Result<SecretCredentials, CryptoError> {
    let opened = key.open_credentials(associated_data(connection), sealed);
    match connection.availability {
        Availability::Enabled => opened,
        Availability::Disabled => opened.or_else(|_| {
            let (id, version) = (&connection.id, connection.sealed_version);
            key.open_credentials(AssociatedData::of_credentials(id, version, Availability::Enabled), sealed)
        }),
    }
}
