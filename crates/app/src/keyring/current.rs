//! The keyring in use, which changes while the service runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use domain::account::Account;
use domain::id::AccountId;
use domain::secret::KeyringKeyId;
use seal::envelope::AccountKey;
use seal::keyring::Keyring;
use store::BoxError;
use tokio::time::Instant;

use crate::context::Context;
use crate::{App, Error, StartError};

/// The least time between two attempts to read the keyring again because it lacks a key.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);
/// The same after a failure that is not repeated soon. SIGHUP reads the keyring at once.
const RARE_INTERVAL: Duration = Duration::from_hours(1);

/// Why a keyring could not be read.
#[derive(Debug)]
pub struct KeyringReadError {
    /// The cause.
    pub error: BoxError,
    /// When another attempt is made.
    pub repeat: Repeat,
}

/// When reading the keyring is repeated after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// With the next request that needs it.
    Soon,
    /// Rarely: attempts with a wrong PIN lock a token.
    Rarely,
}

/// Where the keyring comes from.
#[async_trait]
pub trait KeyringSource: Send + Sync + fmt::Debug {
    /// Reads it.
    async fn read(&self) -> Result<Keyring, KeyringReadError>;
}

/// The keyring in use.
pub(crate) struct CurrentKeyring {
    keyring: RwLock<Arc<Keyring>>,
    source: RwLock<Option<Arc<dyn KeyringSource>>>,
    /// When it may be read again. Locked meanwhile, so that concurrent requests share the result.
    next_reread_at: tokio::sync::Mutex<Option<Instant>>,
}

impl CurrentKeyring {
    pub(crate) fn new(keyring: Keyring, source: Option<Arc<dyn KeyringSource>>) -> Self {
        Self {
            keyring: RwLock::new(Arc::new(keyring)),
            source: RwLock::new(source),
            next_reread_at: tokio::sync::Mutex::new(None),
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
        let keyring = self.keyring.get();
        // Not damage, if the database knows the keys: the same will succeed once this node has the keyring of the others.
        if !has_keys_of(&keyring, &account) {
            let checks = self.store.list_keyring_checks().await?;
            let is_known = |key: &KeyringKeyId| checks.iter().any(|check| check.keyring_key == *key);
            if account.keys.keyring_keys().all(is_known) {
                return Err(Error::KeyringLacksKey);
            }
        }
        Ok(keyring.open_account_key(&account.id, &account.keys)?)
    }

    /// Reads the keyring again if that was not done just now. If it cannot be used, the old one stays.
    pub(crate) async fn reread_keyring(&self) {
        let Some(source) = self.keyring.source() else { return };
        let mut next_at = self.keyring.next_reread_at.lock().await;
        if next_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let (replaced, pause) = match source.read().await {
            Ok(keyring) => (self.replace_keyring(keyring).await.map_err(BoxError::from), REREAD_INTERVAL),
            Err(KeyringReadError { error, repeat: Repeat::Soon }) => (Err(error), REREAD_INTERVAL),
            Err(KeyringReadError { error, repeat: Repeat::Rarely }) => (Err(error), RARE_INTERVAL),
        };
        *next_at = Some(Instant::now() + pause);
        match replaced {
            Ok(()) => tracing::info!("the keyring was read again, because it lacked a key of the database"),
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
