//! Whether the account and the API key that the configuration names can be bootstrapped; found out without changing
//! anything.

use domain::account::Label;
use domain::api_key::{KEY_MIN_BITS, PlainKey};
use seal::service::ServiceKeys;
use store::{DatabaseUrl, OpenError};
use thiserror::Error;

use crate::WeakKeys;

/// Why the key in the bootstrap file cannot be the account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BootstrapKeyError {
    /// It can be guessed.
    #[error(
        "the key in it has an estimated strength of {bits} bits, and at least {KEY_MIN_BITS} are required: remove the file, and \
         `serve` makes a new key, or set api_keys.allow_weak = true to accept this one"
    )]
    Weak {
        /// Estimated.
        bits: u32,
    },
    /// Another account has it.
    #[error("the key in it belongs to another account than bootstrap.account")]
    OtherAccount,
    /// Its row was changed.
    #[error(
        "the key in it is in the database, but its row was not written by this service or was changed since: restore the \
         database from a backup, or remove the file, and `serve` makes a new key"
    )]
    Unproven,
}

/// Why the bootstrap would fail.
#[derive(Debug, Error)]
pub enum BootstrapError {
    /// Because of the key.
    #[error(transparent)]
    Key(#[from] BootstrapKeyError),
    /// Because of the database.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The key that the configuration names.
#[derive(Debug, Clone, Copy)]
pub enum BootstrapKey<'a> {
    /// It names no file.
    NotConfigured,
    /// The file is to be made, with a new key.
    ToBeMade,
    /// The key in the file.
    InFile(&'a PlainKey),
}

impl<'a> BootstrapKey<'a> {
    fn plain(self) -> Option<&'a PlainKey> {
        match self {
            Self::InFile(key) => Some(key),
            Self::NotConfigured | Self::ToBeMade => None,
        }
    }
}

/// What the database has of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    No,
    /// A row that the service did not write.
    Unproven,
    OfTheAccount,
    OfAnotherAccount,
}

/// Checks what [`crate::App`] will be asked to bootstrap, before its database is opened. `keys`: what
/// [`crate::check_database`] found.
pub async fn check_bootstrap(
    database_url: &DatabaseUrl,
    keys: Option<&ServiceKeys>,
    account: &Label,
    key: BootstrapKey<'_>,
    weak_keys: WeakKeys,
) -> Result<(), BootstrapError> {
    let Some(keys) = keys else {
        // A new database: all of it is to be written.
        key.plain().map_or(Ok(()), |key| judge(key.estimated_bits(), weak_keys, Stored::No))?;
        return Ok(());
    };
    let hash = key.plain().map(|key| keys.hash_api_key(key));
    let stored = store::inspect_key(database_url, account, hash.as_ref()).await?;
    let of_key = match (&stored.key, &stored.account) {
        (None, _) => Stored::No,
        (Some(row), _) if !keys.verify_api_key(&row.key, &row.hash, &row.mac) => Stored::Unproven,
        (Some(row), Some(account)) if row.key.account_id == account.id => Stored::OfTheAccount,
        (Some(_), _) => Stored::OfAnotherAccount,
    };
    if let Some(key) = key.plain() {
        judge(key.estimated_bits(), weak_keys, of_key)?;
    }
    let is_key_to_be_written = !matches!(key, BootstrapKey::NotConfigured) && of_key == Stored::No;
    if stored.account.is_none() || is_key_to_be_written {
        store::check_lock(database_url).await?;
    }
    Ok(())
}

/// A key that is stored stays valid, however weak.
fn judge(bits: u32, weak_keys: WeakKeys, stored: Stored) -> Result<(), BootstrapKeyError> {
    match stored {
        Stored::OfAnotherAccount => Err(BootstrapKeyError::OtherAccount),
        Stored::Unproven => Err(BootstrapKeyError::Unproven),
        Stored::No if weak_keys == WeakKeys::Refuse && bits < KEY_MIN_BITS => {
            Err(BootstrapKeyError::Weak { bits })
        }
        Stored::No | Stored::OfTheAccount => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_must_be_strong_and_a_stored_one_of_the_account() {
        use BootstrapKeyError::{OtherAccount, Unproven, Weak};
        let (weak, strong) = (KEY_MIN_BITS - 1, KEY_MIN_BITS);
        for (bits, weak_keys, stored, expected) in [
            (strong, WeakKeys::Refuse, Stored::No, Ok(())),
            (weak, WeakKeys::Refuse, Stored::No, Err(Weak { bits: weak })),
            (weak, WeakKeys::Accept, Stored::No, Ok(())),
            (weak, WeakKeys::Refuse, Stored::OfTheAccount, Ok(())),
            (strong, WeakKeys::Accept, Stored::OfAnotherAccount, Err(OtherAccount)),
            (strong, WeakKeys::Accept, Stored::Unproven, Err(Unproven)),
        ] {
            assert_eq!(judge(bits, weak_keys, stored), expected, "{bits} {weak_keys:?} {stored:?}");
        }
    }
}
