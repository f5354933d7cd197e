//! Checks, without changing anything, that the account and the API key in the configuration can be bootstrapped.

use domain::account::Label;
use domain::api_key::{KEY_MIN_BITS, PlainKey};
use seal::service::ServiceKeys;
use store::{DatabaseUrl, KeyInspection, OpenError};
use thiserror::Error;

use crate::WeakKeys;

/// Why the key in the bootstrap file cannot be used for the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BootstrapKeyError {
    /// It is too weak.
    #[error(
        "the key in it has an estimated strength of {bits} bits, and at least {KEY_MIN_BITS} are required: remove the file, and \
         `serve` makes a new key, or set api_keys.allow_weak = true to accept this one"
    )]
    Weak {
        /// Its estimated strength.
        bits: u32,
    },
    /// It belongs to another account.
    #[error("the key in it belongs to another account than bootstrap.account")]
    OtherAccount,
    /// Its row does not verify.
    #[error(
        "the key in it is in the database, but its row was not written by this service or was changed since: restore the \
         database from a backup, or remove the file, and `serve` makes a new key"
    )]
    Tampered,
}

/// Why the bootstrap would fail.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] BootstrapKeyError),
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The configured bootstrap key.
#[derive(Debug, Clone, Copy)]
pub enum BootstrapKey<'a> {
    /// No file is configured.
    NotConfigured,
    /// The file does not exist: it will be created with a new key.
    ToBeCreated,
    /// The key in the file.
    InFile(&'a PlainKey),
}

impl<'a> BootstrapKey<'a> {
    fn plain(self) -> Option<&'a PlainKey> {
        match self {
            Self::InFile(key) => Some(key),
            Self::NotConfigured | Self::ToBeCreated => None,
        }
    }
}

/// Whether the database has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    No,
    /// Its row does not verify.
    Tampered,
    InAccount,
    InOtherAccount,
}

/// Checks the bootstrap of an account and its key before the database is opened. `keys` is the result of
/// [`crate::check_database`].
pub async fn check_bootstrap(
    database_url: &DatabaseUrl,
    keys: Option<&ServiceKeys>,
    account: &Label,
    key: BootstrapKey<'_>,
    weak_keys: WeakKeys,
) -> Result<(), BootstrapError> {
    let Some(keys) = keys else {
        // A new database has neither.
        key.plain().map_or(Ok(()), |key| check_key(key.estimated_bits(), weak_keys, Stored::No))?;
        return Ok(());
    };
    let stored = inspect_key(database_url, keys, account, key.plain()).await?;
    let stored_key = match (&stored.key, &stored.account) {
        (None, _) => Stored::No,
        (Some(row), _) if !keys.verify_api_key(&row.key, &row.hash, &row.mac) => Stored::Tampered,
        (Some(row), Some(account)) if row.key.account_id == account.id => Stored::InAccount,
        (Some(_), _) => Stored::InOtherAccount,
    };
    if let Some(key) = key.plain() {
        check_key(key.estimated_bits(), weak_keys, stored_key)?;
    }
    let is_key_missing = !matches!(key, BootstrapKey::NotConfigured) && stored_key == Stored::No;
    if stored.account.is_none() || is_key_missing {
        store::check_lock(database_url).await?;
    }
    Ok(())
}

/// Looks for the account, and for the key, of which each service secret has made another hash.
async fn inspect_key(
    database_url: &DatabaseUrl,
    keys: &ServiceKeys,
    account: &Label,
    key: Option<&PlainKey>,
) -> Result<KeyInspection, OpenError> {
    let Some(key) = key else { return store::inspect_key(database_url, account, None).await };
    let mut found = KeyInspection::default();
    for hash in keys.hashes_of_api_key(key) {
        found = store::inspect_key(database_url, account, Some(&hash)).await?;
        if found.key.is_some() {
            break;
        }
    }
    Ok(found)
}

/// The strength of a stored key is not checked.
fn check_key(bits: u32, weak_keys: WeakKeys, stored: Stored) -> Result<(), BootstrapKeyError> {
    match stored {
        Stored::InOtherAccount => Err(BootstrapKeyError::OtherAccount),
        Stored::Tampered => Err(BootstrapKeyError::Tampered),
        Stored::No if weak_keys == WeakKeys::Refuse && bits < KEY_MIN_BITS => {
            Err(BootstrapKeyError::Weak { bits })
        }
        Stored::No | Stored::InAccount => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_must_be_strong_and_a_stored_key_must_belong_to_the_account() {
        use BootstrapKeyError::{OtherAccount, Tampered, Weak};
        let (weak, strong) = (KEY_MIN_BITS - 1, KEY_MIN_BITS);
        for (bits, weak_keys, stored, expected) in [
            (strong, WeakKeys::Refuse, Stored::No, Ok(())),
            (weak, WeakKeys::Refuse, Stored::No, Err(Weak { bits: weak })),
            (weak, WeakKeys::Accept, Stored::No, Ok(())),
            (weak, WeakKeys::Refuse, Stored::InAccount, Ok(())),
            (strong, WeakKeys::Accept, Stored::InOtherAccount, Err(OtherAccount)),
            (strong, WeakKeys::Accept, Stored::Tampered, Err(Tampered)),
        ] {
            assert_eq!(check_key(bits, weak_keys, stored), expected, "{bits} {weak_keys:?} {stored:?}");
        }
    }
}
