//! API keys: making, importing, revoking them, and letting their holders in.

use std::net::IpAddr;
use std::sync::Arc;

use domain::account::{Account, Label};
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, KEY_MIN_BITS, KeyStatus, PlainKey};
use domain::audit::{Action, Actor};
use domain::id::ApiKeyId;
use domain::time::Timestamp;
use store::Changed;
use thiserror::Error;

use crate::recent::Aged;
use crate::{App, Caller, Error};

/// What the operator says of a new key.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// What it is called.
    pub name: Label,
    /// From now; 0 makes a key that has expired already.
    pub expires_in_days: Option<u32>,
}

/// What to do about a key, made elsewhere, that can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakKeys {
    /// It is not imported.
    Refuse,
    /// The configuration says that it may be.
    Accept,
}

/// A key that was just made, and the key itself: shown once.
#[derive(Debug)]
pub struct NewApiKey {
    /// What is kept of it.
    pub key: ApiKey,
    /// What its holder sends.
    pub plain: PlainKey,
}

/// An account, and the key that acts for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Account,
    /// The key.
    pub key: ApiKey,
}

/// A key as it was when the database was asked for it, proven.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    key: Arc<ApiKey>,
    /// When that was, by the clock that keys expire by.
    at: Timestamp,
}

/// Why an operator's wish about a key was not done.
#[derive(Debug, Error)]
pub enum ApiKeyError {
    /// The key was made or imported before.
    #[error("this key is known already, as {id} in the account {account}; nothing was changed")]
    Exists {
        /// Under which identifier.
        id: ApiKeyId,
        /// In whose account.
        account: String,
    },
    /// The key can be guessed.
    #[error(
        "this key has an estimated strength of {bits} bits, and at least {KEY_MIN_BITS} are required: make one with `keys create`, \
         or set api_keys.allow_weak = true to accept it"
    )]
    Weak {
        /// Estimated.
        bits: u32,
    },
    /// There is no key of this identifier.
    #[error("no key has the ID {0}; `vimeo-connections keys list` shows them")]
    Unknown(String),
    /// The service could not do it.
    #[error(transparent)]
    Other(#[from] Error),
}

impl App {
    /// Lets the holder of a key in. One answer for every reason not to.
    pub async fn authenticate(&self, key: &PlainKey, remote: Option<IpAddr>) -> Result<Caller, Error> {
        let hash = self.service_keys.hash_api_key(key);
        let known = self.api_keys.find(&hash, async || self.find_known_key(&hash).await).await?;
        let Aged { value: KnownKey { key, at }, age } = known.ok_or(Error::Unauthorized)?;
        // No later than this does the key expire, whatever the database's clock says by now.
        if key.status(at.plus(age)) != KeyStatus::Active {
            return Err(Error::Unauthorized);
        }
        let actor = Actor::ApiKey { key_id: key.id.clone(), remote };
        Ok(Caller { account_id: key.account_id.clone(), actor })
    }

    /// A key that this service wrote, as it is now.
    async fn find_known_key(&self, hash: &HashedKey) -> Result<Option<KnownKey>, Error> {
        let found = self.store.find_api_key_by_hash(hash, self.clock.now()).await?;
        let proven = found.filter(|(row, _)| self.is_proven(row));
        Ok(proven.map(|(row, at)| KnownKey { key: Arc::new(row.key), at }))
    }

    /// Who the holder of a key is to the service.
    pub async fn identify(&self, caller: &Caller) -> Result<Identity, Error> {
        let key_id = caller.key_id().ok_or(Error::Unauthorized)?;
        let account = self.store.find_account(&caller.account_id).await?;
        let row = self.store.find_api_key(key_id).await?;
        // Either can have been deleted since the caller was let in.
        let (account, row) = account.zip(row).ok_or(Error::Unauthorized)?;
        // Or the key revoked. Whether its time is over was judged a moment ago, by the clock that keys expire by.
        if row.key.revoked_at.is_some() || !self.is_proven(&row) {
            return Err(Error::Unauthorized);
        }
        Ok(Identity { account, key: row.key })
    }

    /// Whether whoever was let in a while ago would be let in now, asked of the database each time. The operator is.
    pub async fn is_still_welcome(&self, caller: &Caller) -> Result<bool, Error> {
        let Some(key_id) = caller.key_id() else { return Ok(true) };
        let row = self.store.find_api_key(key_id).await?;
        Ok(row.is_some_and(|row| self.status(&row, self.clock.now()) == KeyStatus::Active))
    }

    /// Makes a key for an account.
    pub async fn create_api_key(
        &self,
        account: &Account,
        options: KeyOptions,
    ) -> Result<NewApiKey, ApiKeyError> {
        let plain = PlainKey::from_random(self.randomness.bytes());
        let key = self.insert_api_key(account, &plain, options, Action::CreateApiKey).await?;
        Ok(NewApiKey { key, plain })
    }

    /// Takes in a key that was made elsewhere, so that a client keeps its own.
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
        let event = self.done(&account.id, Actor::Operator, action, Some(row.key.id.to_string()));
        match self.store.insert_api_key(&account.id, &row, &event).await {
            Ok(()) => Ok(row.key),
            Err(store::Error::NameTaken) => Err(self.known_as(&row).await?),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn known_as(&self, row: &ApiKeyRow) -> Result<ApiKeyError, Error> {
        let known = self.store.find_api_key_by_hash(&row.hash, self.clock.now()).await?;
        let (known, _) = known.ok_or(Error::OutcomeUnknown)?;
        let account = self.store.find_account(&known.key.account_id).await?;
        let account =
            account.map_or_else(|| known.key.account_id.to_string(), |account| account.name.to_string());
        Ok(ApiKeyError::Exists { id: known.key.id, account })
    }

    /// What is kept of a key, whatever its state and whosever it is; `None` if it is not known.
    pub async fn find_api_key(&self, plain: &PlainKey) -> Result<Option<ApiKey>, Error> {
        let hash = self.service_keys.hash_api_key(plain);
        let found = self.store.find_api_key_by_hash(&hash, self.clock.now()).await?;
        Ok(found.map(|(row, _)| row).filter(|row| self.is_proven(row)).map(|row| row.key))
    }

    /// An account's keys, oldest first, each with what it is good for now.
    pub async fn list_api_keys(&self, account: &Account) -> Result<Vec<(ApiKey, KeyStatus)>, Error> {
        let rows = self.store.list_api_keys(&account.id).await?;
        let now = self.clock.now();
        let with_status = |row: ApiKeyRow| {
            let status = self.status(&row, now);
            (row.key, status)
        };
        Ok(rows.into_iter().map(with_status).collect())
    }

    /// Revokes a key; one that is revoked already stays so.
    pub async fn revoke_api_key(&self, id: &ApiKeyId) -> Result<ApiKey, ApiKeyError> {
        loop {
            let row = self.store.find_api_key(id).await.map_err(Error::from)?;
            let row = row.ok_or_else(|| ApiKeyError::Unknown(id.to_string()))?;
            // A revocation that the service did not write could be undone by whoever did: it is written again.
            if self.status(&row, self.clock.now()) == KeyStatus::Revoked {
                return Ok(row.key);
            }
            let expected = row.mac.clone();
            let key = ApiKey { revoked_at: Some(self.clock.now()), ..row.key };
            let mac = self.service_keys.mac_api_key(&key, &row.hash);
            let event =
                self.done(&key.account_id, Actor::Operator, Action::RevokeApiKey, Some(key.id.to_string()));
            let revoked = ApiKeyRow { key, hash: row.hash, mac };
            let account = revoked.key.account_id.clone();
            let changed = self.store.update_api_key_revoked(&account, &expected, &revoked, &event).await;
            // Changed meanwhile: by another revocation, which the next round finds.
            if changed.map_err(Error::from)? == Changed::Yes {
                return Ok(revoked.key);
            }
        }
    }

    /// Revokes every key of every account that is not revoked; how many.
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
                    // Deleted since it was listed.
                    Err(ApiKeyError::Unknown(_)) => {}
                    Err(ApiKeyError::Other(error)) => return Err(error),
                    Err(error) => return Err(Error::Internal(Box::new(error))),
                }
            }
        }
        Ok(count)
    }

    fn status(&self, row: &ApiKeyRow, at: Timestamp) -> KeyStatus {
        if self.is_proven(row) { row.key.status(at) } else { KeyStatus::Tampered }
    }

    /// Whether this service wrote the row. One that it did not write lets nobody in, and the operator hears of it.
    fn is_proven(&self, row: &ApiKeyRow) -> bool {
        let is_proven = self.service_keys.verify_api_key(&row.key, &row.hash, &row.mac);
        if !is_proven {
            tracing::error!(
                api_key = %row.key.id,
                "the row of an API key was not written by this service, or was changed since: the key is not accepted"
            );
        }
        is_proven
    }
}
