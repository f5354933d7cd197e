//! The keyring of a running service: which key wraps, reloading, and the replacement of keys.
//!
//! The active key, which wraps the keys of new accounts, is the one that wraps the service secret. So the database decides,
//! and nodes whose keyring has a new primary key keep the old one in use until `keyring rewrap` makes the new one active.

mod account_keys;
mod current;
mod rewrap;
mod sealing_keys;
mod service_keys;
mod service_secret;
mod signed_rows;
mod steps;

use domain::secret::KeyringKeyId;
use seal::keyring::Keyring;
use store::{Changed, KeyringUse};
use thiserror::Error;

use crate::{App, Error};

pub use account_keys::{AccountKeyReport, AccountKeyState};
pub(crate) use current::CurrentKeyring;
pub use current::{KeyringReadError, KeyringSource, Repeat};
use rewrap::WorkLease;
pub use rewrap::{Pace, RewrapError, RewrapReport};
pub(crate) use service_keys::CurrentServiceKeys;
pub use service_secret::{SecretState, ServiceSecretReport, ServiceSecretStatus};

/// A keyring key, as the keyring and the database have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringKeyStatus {
    /// The key.
    pub id: KeyringKeyId,
    /// What it is in this process's keyring; `None` if that lacks it.
    pub in_keyring: Option<InKeyring>,
    /// What it is in the database; `None` if that was not sealed with it. Otherwise every node needs it.
    pub in_database: Option<InDatabase>,
    /// The number of accounts that have a key wrapped with it.
    pub accounts: u64,
}

/// What a key is in a keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InKeyring {
    /// The primary key, which `keyring rewrap` makes the active one.
    Primary,
    /// Another key.
    Other,
}

/// What a keyring key is in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InDatabase {
    /// It wraps the service secret, and the keys of new accounts.
    Active,
    /// It was active.
    Other,
}

impl KeyringKeyStatus {
    /// Whether it is the keyring's primary key.
    pub fn is_primary(&self) -> bool {
        self.in_keyring == Some(InKeyring::Primary)
    }

    /// Whether it wraps the keys of new accounts.
    pub fn is_active(&self) -> bool {
        self.in_database == Some(InDatabase::Active)
    }
}

/// Why a keyring key was not retired. The messages are for operators.
#[derive(Debug, Error)]
pub enum RetireError {
    /// Neither the keyring nor the database has it.
    #[error(
        "neither the keyring nor the database has the key {0}; `vimeo-connections keyring status` lists the keys"
    )]
    Unknown(KeyringKeyId),
    /// It is in use for new accounts.
    #[error(
        "the key {0} cannot be retired: it is the keyring's primary key, or the one that is in use. Create another with \
         `vimeo-connections keyring rotate`, and make it active with `vimeo-connections keyring rewrap`"
    )]
    InUse(KeyringKeyId),
    /// Something is still wrapped with it.
    #[error(
        "the key {key} cannot be retired: {accounts} accounts need it. Run `vimeo-connections keyring rewrap` first"
    )]
    Needed {
        /// The key.
        key: KeyringKeyId,
        /// The number of accounts.
        accounts: u64,
    },
    /// An account needed it for a moment.
    #[error("an account needed the key meanwhile: run the command again")]
    Changed,
    /// Another process is at work.
    #[error(transparent)]
    Rewrap(#[from] RewrapError),
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

/// The keys of a keyring and of the database, by identifier.
fn combine(keyring: &Keyring, uses: &[KeyringUse]) -> Vec<KeyringKeyStatus> {
    let in_database = uses.iter().map(|found| &found.keyring_key);
    let ids: std::collections::BTreeSet<_> = keyring.key_ids().chain(in_database).collect();
    let status = |id: &KeyringKeyId| {
        let found = uses.iter().find(|found| found.keyring_key == *id);
        KeyringKeyStatus {
            id: id.clone(),
            in_keyring: keyring
                .contains(id)
                .then(|| if keyring.primary_id() == id { InKeyring::Primary } else { InKeyring::Other }),
            in_database: found
                .map(|found| if found.is_active { InDatabase::Active } else { InDatabase::Other }),
            accounts: found.map_or(0, |found| found.accounts),
        }
    };
    ids.into_iter().map(status).collect()
}

/// Whether a key may be retired.
fn check_retirable<'a>(
    key: &KeyringKeyId,
    keys: &'a [KeyringKeyStatus],
) -> Result<&'a KeyringKeyStatus, RetireError> {
    let Some(status) = keys.iter().find(|status| status.id == *key) else {
        return Err(RetireError::Unknown(key.clone()));
    };
    if status.is_primary() || status.is_active() {
        return Err(RetireError::InUse(key.clone()));
    }
    if status.accounts > 0 {
        return Err(RetireError::Needed { key: key.clone(), accounts: status.accounts });
    }
    Ok(status)
}

impl App {
    /// The keys of the keyring and of the database, by identifier.
    pub async fn list_keyring_keys(&self) -> Result<Vec<KeyringKeyStatus>, Error> {
        Ok(combine(&self.keyring.get(), &self.store.list_keyring_uses().await?))
    }

    /// Checks that a keyring key may be retired.
    pub async fn check_retirable(&self, key: &KeyringKeyId) -> Result<KeyringKeyStatus, RetireError> {
        check_retirable(key, &self.list_keyring_keys().await?).cloned()
    }

    /// Makes the database forget a keyring key that it no longer needs, and then `remove`s it from the keyring. No key becomes
    /// active meanwhile.
    pub async fn retire_keyring_key<T>(
        &self,
        key: &KeyringKeyId,
        remove: impl AsyncFnOnce() -> T,
    ) -> Result<T, RetireError> {
        let lease = WorkLease::take(self).await?;
        let forgotten = self.forget_keyring_key(key).await;
        let removed = match forgotten {
            Ok(()) => Ok(remove().await),
            Err(error) => Err(error),
        };
        lease.release().await;
        removed
    }

    async fn forget_keyring_key(&self, key: &KeyringKeyId) -> Result<(), RetireError> {
        let keys = self.list_keyring_keys().await?;
        if check_retirable(key, &keys)?.in_database.is_none() {
            return Ok(());
        }
        let deleted = self.store.delete_keyring_check(key).await.map_err(Error::from)?;
        if deleted == Changed::Yes {
            return Ok(());
        }
        // An account was added meanwhile, or another process has retired it.
        let keys = self.list_keyring_keys().await?;
        match check_retirable(key, &keys) {
            Ok(status) if status.in_database.is_some() => Err(RetireError::Changed),
            Ok(_) | Err(RetireError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use seal::Randomness;

    use super::*;

    fn used(id: &KeyringKeyId, accounts: u64, is_active: bool) -> KeyringUse {
        KeyringUse { keyring_key: id.clone(), accounts, is_active }
    }

    #[test]
    fn a_key_is_retirable_once_it_is_not_in_use_and_no_account_needs_it() {
        let randomness = Randomness::system();
        let old = Keyring::generate(&randomness);
        let keyring = old.rotated(&randomness);
        let (first, second) = (old.primary_id(), keyring.primary_id());
        let verdict = |key: &KeyringKeyId, uses: &[KeyringUse]| {
            check_retirable(key, &combine(&keyring, uses)).map(drop).map_err(|error| error.to_string())
        };
        let stranger = KeyringKeyId("k_0000000000000000".into());
        let before = [used(first, 2, true)];
        let during = [used(first, 1, false), used(second, 1, true)];
        let after = [used(first, 0, false), used(second, 2, true)];
        let gone = [used(second, 2, true)];
        assert!(verdict(first, &before).unwrap_err().contains("in use"));
        assert!(verdict(first, &during).unwrap_err().contains("1 accounts need it"));
        assert_eq!(verdict(first, &after), Ok(()));
        assert_eq!(verdict(first, &gone), Ok(()), "only the keyring has it");
        for uses in [&before[..], &during, &after, &gone] {
            assert!(verdict(second, uses).unwrap_err().contains("primary"));
            assert!(verdict(&stranger, uses).unwrap_err().contains("neither"));
        }
    }
}
