//! API keys: creating, importing, revoking them, and authenticating requests.

use std::net::IpAddr;
use std::sync::Arc;

use domain::account::{Account, Label};
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, KEY_MIN_BITS, KeyStatus, PlainKey};
use domain::audit::{Action, Actor};
use domain::id::ApiKeyId;
use domain::time::Timestamp;
use store::Changed;
use thiserror::Error;

use crate::cache::Cached;
use crate::{App, Caller, Error};

/// The settings of a new key.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// Its name.
    pub name: Label,
    /// Counted from now; 0 creates an expired key.
    pub expires_in_days: Option<u32>,
}

/// Whether imported keys may be weak: `api_keys.allow_weak`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakKeys {
    /// A key with less than [`KEY_MIN_BITS`] is not imported.
    Refuse,
    /// Any key is imported.
    Accept,
}

/// A created key.
#[derive(Debug)]
pub struct NewApiKey {
    /// The stored part.
    pub key: ApiKey,
    /// The key itself, which is shown once and not stored.
    pub plain: PlainKey,
}

/// An authenticated account and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Account,
    /// The key.
    pub key: ApiKey,
}

/// A key whose row was verified.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedKey {
    key: Arc<ApiKey>,
    /// When the row was read, by the clock of the database.
    read_at: Timestamp,
}

/// Why an operation on a key failed.
#[derive(Debug, Error)]
pub enum ApiKeyError {
    /// The key exists, in this or another account.
    #[error("this key is known already, as {id} in the account {account}; nothing was changed")]
    Exists {
        /// The existing key.
        id: ApiKeyId,
        /// The name of its account.
        account: String,
    },
    /// The key is too weak.
    #[error(
        "this key has an estimated strength of {bits} bits, and at least {KEY_MIN_BITS} are required: make one with `keys create`, \
         or set api_keys.allow_weak = true to accept it"
    )]
    Weak {
        /// Its estimated strength.
        bits: u32,
    },
    /// No key has this ID.
    #[error("no key has the ID {0}; `vimeo-connections keys list` shows them")]
    Unknown(String),
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

impl App {
    /// Authenticates a request. [`Error::Unauthorized`] for every reason to refuse it.
    pub async fn authenticate(&self, key: &PlainKey, remote: Option<IpAddr>) -> Result<Caller, Error> {
        let hash = self.service_keys.hash_api_key(key);
        let verified = self.api_keys.find(&hash, async || self.find_verified_key(&hash).await).await?;
        let Cached { value: VerifiedKey { key, read_at }, age } = verified.ok_or(Error::Unauthorized)?;
        // The database's clock, advanced by the age of the cached row: a key never remains valid past its expiry.
        if key.status(read_at.plus(age)) != KeyStatus::Active {
            return Err(Error::Unauthorized);
        }
        let actor = Actor::ApiKey { key_id: key.id.clone(), remote };
        Ok(Caller { account_id: key.account_id.clone(), actor })
    }

    /// Reads a key, if its row verifies.
    async fn find_verified_key(&self, hash: &HashedKey) -> Result<Option<VerifiedKey>, Error> {
        let found = self.store.find_api_key_by_hash(hash, self.clock.now()).await?;
        let verified = found.filter(|(row, _)| self.verify_row(row));
        Ok(verified.map(|(row, read_at)| VerifiedKey { key: Arc::new(row.key), read_at }))
    }

    /// The caller's account and key.
    pub async fn identify(&self, caller: &Caller) -> Result<Identity, Error> {
        let key_id = caller.key_id().ok_or(Error::Unauthorized)?;
        let account = self.store.find_account(&caller.account_id).await?;
        let row = self.store.find_api_key(key_id).await?;
        // Either may have been deleted, or the key revoked, since the caller was authenticated. Its expiry was checked then.
        let (account, row) = account.zip(row).ok_or(Error::Unauthorized)?;
        if row.key.revoked_at.is_some() || !self.verify_row(&row) {
            return Err(Error::Unauthorized);
        }
        Ok(Identity { account, key: row.key })
    }

    /// Whether the caller's key is still active, read from the database each time. The operator is always authorized.
    pub async fn is_authorized(&self, caller: &Caller) -> Result<bool, Error> {
        let Some(key_id) = caller.key_id() else { return Ok(true) };
        let row = self.store.find_api_key(key_id).await?;
        Ok(row.is_some_and(|row| self.status(&row, self.clock.now()) == KeyStatus::Active))
    }

    /// Creates a key for an account.
    pub async fn create_api_key(
        &self,
        account: &Account,
        options: KeyOptions,
    ) -> Result<NewApiKey, ApiKeyError> {
        let plain = PlainKey::from_random(self.randomness.bytes());
        let key = self.insert_api_key(account, &plain, options, Action::CreateApiKey).await?;
        Ok(NewApiKey { key, plain })
    }

    /// Imports a key that was created elsewhere, so that a client can keep it.
    pub async fn import_api_key(
        &self,
        account: &Account,
        plain: &PlainKey,
        options: KeyOptions,
    ) -> Result<ApiKey, ApiKeyError> {
        let bits = plain.estimated_bits();
        if self.weak_keys == WeakKeys::Refuse && bits < KEY_MIN_BITS {
            return Err(ApiKeyError::Weak { bits });
        }
        self.insert_api_key(account, plain, options, Action::ImportApiKey).await
    }

    async fn insert_api_key(
        &self,
        account: &Account,
        plain: &PlainKey,
        options: KeyOptions,
        action: Action,
    ) -> Result<ApiKey, ApiKeyError> {
        let now = self.clock.now();
        let key = ApiKey {
            id: ApiKeyId::from_random(self.randomness.bytes()),
            account_id: account.id.clone(),
            name: options.name,
            last_four: plain.last_four(),
            created_at: now,
            expires_at: options.expires_in_days.map(|days| now.plus_days(days)),
            revoked_at: None,
        };
        let hash = self.service_keys.hash_api_key(plain);
        let row = ApiKeyRow { mac: self.service_keys.mac_api_key(&key, &hash), key, hash };
        let event = self.audit_event(&account.id, Actor::Operator, action, Some(row.key.id.to_string()));
        match self.store.insert_api_key(&account.id, &row, &event).await {
            Ok(()) => Ok(row.key),
            Err(store::Error::NameTaken) => Err(self.exists_error(&row).await?),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn exists_error(&self, row: &ApiKeyRow) -> Result<ApiKeyError, Error> {
        let existing = self.store.find_api_key_by_hash(&row.hash, self.clock.now()).await?;
        let (existing, _) = existing.ok_or(Error::OutcomeUnknown)?;
        let account = self.store.find_account(&existing.key.account_id).await?;
        let account =
            account.map_or_else(|| existing.key.account_id.to_string(), |account| account.name.to_string());
        Ok(ApiKeyError::Exists { id: existing.key.id, account })
    }

    /// Finds a stored key of any account, also an expired or revoked one.
    pub async fn find_api_key(&self, plain: &PlainKey) -> Result<Option<ApiKey>, Error> {
        let hash = self.service_keys.hash_api_key(plain);
        let found = self.store.find_api_key_by_hash(&hash, self.clock.now()).await?;
        Ok(found.map(|(row, _)| row).filter(|row| self.verify_row(row)).map(|row| row.key))
    }

    /// An account's keys with their status, oldest first.
    pub async fn list_api_keys(&self, account: &Account) -> Result<Vec<(ApiKey, KeyStatus)>, Error> {
        let rows = self.store.list_api_keys(&account.id).await?;
        let now = self.clock.now();
        let with_status = |row: ApiKeyRow| {
            let status = self.status(&row, now);
            (row.key, status)
        };
        Ok(rows.into_iter().map(with_status).collect())
    }

    /// Revokes a key. Revoking it again has no effect.
    pub async fn revoke_api_key(&self, id: &ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        loop {
            let row = self.store.find_api_key(id).await.map_err(Error::from)?;
            let row = row.ok_or_else(|| ApiKeyError::Unknown(id.to_string()))?;
            // A revocation that does not verify was not written by the service and could be undone the same way: it is
            // written again.
            if self.status(&row, self.clock.now()) == KeyStatus::Revoked {
                return Ok(row.key);
            }
            let expected = row.mac.clone();
            let key = ApiKey { revoked_at: Some(self.clock.now()), ..row.key };
            let mac = self.service_keys.mac_api_key(&key, &row.hash);
            let event = self.audit_event(
                &key.account_id,
                Actor::Operator,
                Action::RevokeApiKey,
                Some(key.id.to_string()),
            );
            let revoked = ApiKeyRow { key, hash: row.hash, mac };
            let account = revoked.key.account_id.clone();
            let changed = self.store.update_api_key_revoked(&account, &expected, &revoked, &event).await;
            // A concurrent revocation changed the row: read it again.
            if changed.map_err(Error::from)? == Changed::Yes {
                return Ok(revoked.key);
            }
        }
    }

    /// Revokes all keys of all accounts; returns how many were not revoked before.
    pub(crate) async fn revoke_all_api_keys(&self) -> Result<usize, Error> {
        let mut count = 0;
        let now = self.clock.now();
        for account in self.store.list_account_ids().await? {
            for row in self.store.list_api_keys(&account).await? {
                if self.status(&row, now) == KeyStatus::Revoked {
                    continue;
                }
                match self.revoke_api_key(&row.key.id).await {
                    Ok(_) => count += 1,
                    // Deleted since the list was read.
                    Err(ApiKeyError::Unknown(_)) => {}
                    Err(ApiKeyError::Other(error)) => return Err(error),
                    Err(error) => return Err(Error::Internal(Box::new(error))),
                }
            }
        }
        Ok(count)
    }

    fn status(&self, row: &ApiKeyRow, at: Timestamp) -> KeyStatus {
        if self.verify_row(row) { row.key.status(at) } else { KeyStatus::Tampered }
    }

    /// Verifies the MAC of a key's row. A key whose row does not verify is not accepted, which is logged as an error.
    fn verify_row(&self, row: &ApiKeyRow) -> bool {
        let is_authentic = self.service_keys.verify_api_key(&row.key, &row.hash, &row.mac);
        if !is_authentic {
            tracing::error!(
                api_key = %row.key.id,
                "the row of an API key was not written by this service, or was changed since: the key is not accepted"
            );
        }
        is_authentic
    }
}
