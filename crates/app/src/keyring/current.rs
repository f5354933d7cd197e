//! The keyring in use, which changes while the service runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::account::Account;
use domain::id::AccountId;
use seal::envelope::AccountKey;
use seal::keyring::Keyring;
use store::BoxError;
use tokio::time::Instant;

use crate::context::Context;
use crate::{App, Error, StartError};

/// The least time between two attempts to read the keyring again because it lacks a key.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// Where the keyring comes from.
#[async_trait]
pub trait KeyringSource: Send + Sync + fmt::Debug {
    /// Reads it.
    async fn read(&self) -> Result<Keyring, BoxError>;
}

/// The keyring in use.
pub(crate) struct CurrentKeyring {
    keyring: RwLock<Arc<Keyring>>,
    source: RwLock<Option<Arc<dyn KeyringSource>>>,
    /// When it was last read again. Locked meanwhile, so that concurrent requests share the result.
    reread_at: tokio::sync::Mutex<Option<Instant>>,
}

impl CurrentKeyring {
    pub(crate) fn new(keyring: Keyring, source: Option<Arc<dyn KeyringSource>>) -> Self {
        Self {
            keyring: RwLock::new(Arc::new(keyring)),
            source: RwLock::new(source),
            reread_at: tokio::sync::Mutex::new(None),
        }
    }

    pub(crate) fn get(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
    }

    fn source(&self) -> Option<Arc<dyn KeyringSource>> {
        self.source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether a keyring has all keys that wrap an account's.
fn has_keys_of(keyring: &Keyring, account: &Account) -> bool {
    account.keys.keyring_keys().all(|key| keyring.contains(key))
}

impl Context {
    /// The key that seals and decrypts the account's records.
    pub(crate) async fn account_key(&self, account: &AccountId) -> Result<AccountKey, Error> {
        let account = self.account(account).await?;
        let keyring = self.keyring.get();
        if has_keys_of(&keyring, &account) {
            return Ok(keyring.open_account_key(&account.id, &account.keys)?);
        }
        self.account_key_after_rotation(&account.id).await
    }

    /// The same if the keyring lacks a key. Either the account was read before it was rewrapped, or the keyring was read
    /// before it was rotated: both are read again.
    async fn account_key_after_rotation(&self, account: &AccountId) -> Result<AccountKey, Error> {
        let account = self.store.find_account(account).await?.ok_or(Error::Unauthorized)?;
        if !has_keys_of(&self.keyring.get(), &account) {
            self.reread_keyring().await;
        }
        Ok(self.keyring.get().open_account_key(&account.id, &account.keys)?)
    }

    /// Reads the keyring again if that was not done just now. If it cannot be used, the old one stays.
    async fn reread_keyring(&self) {
        let Some(source) = self.keyring.source() else { return };
        let mut reread_at = self.keyring.reread_at.lock().await;
        if reread_at.is_some_and(|at| at.elapsed() < REREAD_INTERVAL) {
            return;
        }
        let read = source.read().await;
        *reread_at = Some(Instant::now());
        let replaced = match read {
            Ok(keyring) => self.replace_keyring(keyring).await.map_err(BoxError::from),
            Err(error) => Err(error),
        };
        match replaced {
            Ok(()) => tracing::info!("the keyring was read again, because it lacked a key of an account"),
            Err(error) => tracing::error!(
                error = &*error,
                "the keyring lacks a key that an account needs, and it could not be read again"
            ),
        }
    }

    /// Uses another keyring from now on, if it has every key that the database needs.
    pub(crate) async fn replace_keyring(&self, keyring: Keyring) -> Result<(), StartError> {
        let checks = self.store.list_keyring_checks().await.map_err(StartError::Store)?;
        crate::start::compare(&keyring, &checks)?;
        self.keyring.replace(keyring);
        Ok(())
    }
}

impl App {
    /// Uses another keyring from now on, and reads it again from `source`, if it has every key that the database needs;
    /// otherwise the old one stays. Returns the number of its keys.
    pub async fn reload_keyring(
        &self,
        keyring: Keyring,
        source: Option<Arc<dyn KeyringSource>>,
    ) -> Result<usize, StartError> {
        let keys = keyring.key_ids().count();
        self.replace_keyring(keyring).await?;
        *self.keyring.source.write().unwrap_or_else(PoisonError::into_inner) = source;
        Ok(keys)
    }
}
