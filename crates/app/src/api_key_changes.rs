//! Changes of API keys: creating, importing, renaming, rotating and revoking them.

use std::time::Duration;

use domain::account::{Account, Label};
use domain::api_key::{ApiKey, ApiKeyRow, Creator, Grant, KEY_MIN_BITS, KeyStatus, PlainKey};
use domain::audit::{Action, Actor};
use domain::id::{AccountId, ApiKeyId};
use domain::scope::Scopes;
use domain::time::Timestamp;
use store::{ApiKeyUpdate, Changed, OtherManager};
use thiserror::Error;

use crate::api_key_rules::{creator, granted_expiry, other_manager, overlap_end};
use crate::{App, Caller, Error};

/// The settings of a new key.
#[derive(Debug, Clone)]
pub struct KeyOptions {
    /// Its name.
    pub name: Label,
    /// What it allows.
    pub scopes: Scopes,
    /// Counted from now; 0 creates an expired key. `None`: as long as the key that creates it.
    pub expires_in_days: Option<u32>,
}

/// How a key is rotated.
#[derive(Debug, Clone)]
pub struct RotateOptions {
    /// How long the old key remains valid, unless it expires earlier.
    pub overlap: Duration,
    /// When the new key expires, counted from now; `None`: when the old one would have.
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

/// Why a key was not imported.
#[derive(Debug, Error)]
pub enum ImportError {
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
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

/// What is decided of a new key.
struct Terms {
    name: Label,
    grant: Grant,
    expires_at: Option<Timestamp>,
}

impl App {
    /// Creates a key for the caller's account. It allows no more than the caller, and not for longer.
    pub async fn create_api_key(&self, caller: &Caller, options: KeyOptions) -> Result<NewApiKey, Error> {
        let plain = PlainKey::from_random(self.randomness.bytes());
        let created = self.try_create_api_key(caller, options, plain).await;
        let created = self.audited(caller, Action::CreateApiKey, None, created).await?;
        created.ok_or_else(|| Error::Internal("a random key exists already".into()))
    }

    /// The same for a form, which is identified by a random text. `None`: it was sent before, and its key exists.
    pub async fn create_api_key_once(
        &self,
        caller: &Caller,
        options: KeyOptions,
        form: &str,
    ) -> Result<Option<NewApiKey>, Error> {
        let Some(plain) = self.key_of_form(caller, form).await? else { return Ok(None) };
        let created = self.try_create_api_key(caller, options, plain).await;
        self.audited(caller, Action::CreateApiKey, None, created).await
    }

    /// The key that a form creates, the same each time that it is sent. `None`: another service secret has created it.
    async fn key_of_form(&self, caller: &Caller, form: &str) -> Result<Option<PlainKey>, Error> {
        let (keys, account) = (self.service_keys(), &caller.account_id);
        for bytes in keys.former_form_bytes("api-key", account, form) {
            if self.find_by_plain_key(&PlainKey::from_random(bytes)).await?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(PlainKey::from_random(keys.form_bytes("api-key", account, form))))
    }

    /// `None` if the key exists.
    async fn try_create_api_key(
        &self,
        caller: &Caller,
        options: KeyOptions,
        plain: PlainKey,
    ) -> Result<Option<NewApiKey>, Error> {
        let now = self.clock.now();
        let expires_at = options.expires_in_days.map(|days| now.plus_days(days));
        let expires_at = granted_expiry(caller, options.scopes, expires_at)?;
        let grant = Grant { scopes: options.scopes, creator: creator(caller), rotated_from: None };
        let terms = Terms { name: options.name, grant, expires_at };
        let row = self.new_key_row(&plain, &caller.account_id, terms);
        let event = self.audit_event(
            &caller.account_id,
            caller.actor.clone(),
            Action::CreateApiKey,
            Some(row.key.id.to_string()),
        );
        match self.store.insert_api_key(&caller.account_id, &row, &event).await {
            Ok(()) => Ok(Some(NewApiKey { key: row.key, plain })),
            Err(store::Error::NameTaken) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The row of a new key.
    fn new_key_row(&self, plain: &PlainKey, account_id: &AccountId, terms: Terms) -> ApiKeyRow {
        let key = ApiKey {
            id: ApiKeyId::from_random(self.randomness.bytes()),
            account_id: account_id.clone(),
            name: terms.name,
            last_four: plain.last_four(),
            created_at: self.clock.now(),
            expires_at: terms.expires_at,
            revoked_at: None,
            grant: Some(terms.grant),
            last_used_at: None,
        };
        let hash = self.service_keys().hash_api_key(plain);
        ApiKeyRow { mac: self.service_keys().mac_api_key(&key, &hash), key, hash }
    }

    /// Imports a key that was created elsewhere, so that a client can keep it. For operators.
    pub async fn import_api_key(
        &self,
        account: &Account,
        plain: &PlainKey,
        options: KeyOptions,
    ) -> Result<ApiKey, ImportError> {
        // Under another service secret the same key has another hash.
        if let Some(found) = self.find_by_plain_key(plain).await? {
            return Err(self.exists_error(found.row.key).await?);
        }
        let bits = plain.estimated_bits();
        if self.weak_keys == WeakKeys::Refuse && bits < KEY_MIN_BITS {
            return Err(ImportError::Weak { bits });
        }
        let expires_at = options.expires_in_days.map(|days| self.clock.now().plus_days(days));
        let grant = Grant { scopes: options.scopes, creator: Creator::Operator, rotated_from: None };
        let row = self.new_key_row(plain, &account.id, Terms { name: options.name, grant, expires_at });
        let subject = Some(row.key.id.to_string());
        let event = self.audit_event(&account.id, Actor::Operator, Action::ImportApiKey, subject);
        match self.store.insert_api_key(&account.id, &row, &event).await {
            Ok(()) => Ok(row.key),
            Err(store::Error::NameTaken) => {
                let existing = self.store.find_api_key_by_hash(&row.hash, self.clock.now()).await;
                let existing = existing.map_err(Error::from)?.ok_or(Error::OutcomeUnknown)?;
                Err(self.exists_error(existing.row.key).await?)
            }
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn exists_error(&self, existing: ApiKey) -> Result<ImportError, Error> {
        let account = self.store.find_account(&existing.account_id).await?;
        let account =
            account.map_or_else(|| existing.account_id.to_string(), |account| account.name.to_string());
        Ok(ImportError::Exists { id: existing.id, account })
    }

    /// Renames one of the caller's keys.
    pub async fn rename_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        name: Label,
    ) -> Result<(ApiKey, KeyStatus), Error> {
        let renamed = self.try_rename_api_key(caller, id, name).await;
        self.audited(caller, Action::RenameApiKey, Some(id.to_string()), renamed).await
    }

    async fn try_rename_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        name: Label,
    ) -> Result<(ApiKey, KeyStatus), Error> {
        loop {
            let row = self.own_row(caller, id).await?;
            let status = self.status(&row, self.clock.now());
            // A new MAC would make the row authentic.
            if status == KeyStatus::Tampered {
                return Err(Error::ApiKeyNotActive);
            }
            let changed = ApiKey { name: name.clone(), ..row.key.clone() };
            let update = self.update(&row, changed, None, OtherManager::NotRequired);
            let key = update.row.key.clone();
            if self.write(caller, update, Action::RenameApiKey).await? == Changed::Yes {
                return Ok((key, status));
            }
        }
    }

    /// Rotates one of the caller's keys: creates its successor, with the same name and scopes, and lets the old one expire.
    pub async fn rotate_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        options: RotateOptions,
    ) -> Result<NewApiKey, Error> {
        let plain = PlainKey::from_random(self.randomness.bytes());
        let rotated = self.try_rotate_api_key(caller, id, (&options, plain)).await;
        let rotated = self.audited(caller, Action::RotateApiKey, Some(id.to_string()), rotated).await?;
        rotated.ok_or_else(|| Error::Internal("a random key exists already".into()))
    }

    /// The same for a form, which is identified by a random text. `None`: it was sent before, and the successor exists.
    pub async fn rotate_api_key_once(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        (options, form): (RotateOptions, &str),
    ) -> Result<Option<NewApiKey>, Error> {
        let Some(plain) = self.key_of_form(caller, form).await? else { return Ok(None) };
        let rotated = self.try_rotate_api_key(caller, id, (&options, plain)).await;
        self.audited(caller, Action::RotateApiKey, Some(id.to_string()), rotated).await
    }

    /// `None` if the successor exists.
    async fn try_rotate_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        (options, plain): (&RotateOptions, PlainKey),
    ) -> Result<Option<NewApiKey>, Error> {
        loop {
            // A write that comes between finds another row.
            let row = self.own_row(caller, id).await?;
            let now = self.clock.now();
            if self.find_by_plain_key(&plain).await?.is_some() {
                return Ok(None);
            }
            if self.status(&row, now) != KeyStatus::Active {
                return Err(Error::ApiKeyNotActive);
            }
            let scopes = row.key.scopes();
            let expires_at = options.expires_in_days.map(|days| now.plus_days(days)).or(row.key.expires_at);
            let expires_at = granted_expiry(caller, scopes, expires_at)?;
            let grant = Grant { scopes, creator: creator(caller), rotated_from: Some(id.clone()) };
            let terms = Terms { name: row.key.name.clone(), grant, expires_at };
            let successor = self.new_key_row(&plain, &caller.account_id, terms);
            let old = ApiKey {
                expires_at: Some(overlap_end(row.key.expires_at, now, options.overlap)),
                ..row.key.clone()
            };
            let key = successor.key.clone();
            let update = self.update(&row, old, Some(successor), OtherManager::NotRequired);
            if self.write(caller, update, Action::RotateApiKey).await? == Changed::Yes {
                return Ok(Some(NewApiKey { key, plain }));
            }
        }
    }

    /// Revokes one of the caller's keys. Revoking it again has no effect. A client cannot revoke the last key that manages
    /// keys; an operator can.
    pub async fn revoke_api_key(&self, caller: &Caller, id: &ApiKeyId) -> Result<ApiKey, Error> {
        let revoked = self.try_revoke_api_key(caller, id).await;
        self.audited(caller, Action::RevokeApiKey, Some(id.to_string()), revoked).await
    }

    async fn try_revoke_api_key(&self, caller: &Caller, id: &ApiKeyId) -> Result<ApiKey, Error> {
        loop {
            let row = self.own_row(caller, id).await?;
            let now = self.clock.now();
            // A revocation that does not verify was not written by the service and could be undone the same way: it is
            // written again.
            let status = self.status(&row, now);
            if status == KeyStatus::Revoked {
                return Ok(row.key);
            }
            let needed = other_manager(&caller.actor, row.key.scopes(), status);
            let update = self.update(&row, ApiKey { revoked_at: Some(now), ..row.key.clone() }, None, needed);
            let key = update.row.key.clone();
            // After a concurrent change, read it again.
            if self.write(caller, update, Action::RevokeApiKey).await? == Changed::Yes {
                return Ok(key);
            }
        }
    }

    /// Revokes all keys of all accounts; returns how many were not revoked before.
    pub(crate) async fn revoke_all_api_keys(&self) -> Result<usize, Error> {
        let mut count = 0;
        for account_id in self.store.list_account_ids().await? {
            let caller = Caller::operator(account_id);
            for row in self.store.list_api_keys(&caller.account_id).await? {
                if self.status(&row, self.clock.now()) == KeyStatus::Revoked {
                    continue;
                }
                match self.revoke_api_key(&caller, &row.key.id).await {
                    Ok(_) => count += 1,
                    // Deleted since the list was read.
                    Err(Error::ApiKeyNotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(count)
    }

    /// The change of a row to this key.
    fn update(
        &self,
        row: &ApiKeyRow,
        key: ApiKey,
        successor: Option<ApiKeyRow>,
        other_manager: OtherManager,
    ) -> ApiKeyUpdate {
        let mac = self.service_keys().mac_api_key(&key, &row.hash);
        let changed = ApiKeyRow { key, hash: row.hash.clone(), mac };
        ApiKeyUpdate { expected: row.mac.clone(), row: changed, successor, other_manager }
    }

    async fn write(&self, caller: &Caller, update: ApiKeyUpdate, action: Action) -> Result<Changed, Error> {
        let subject = Some(update.row.key.id.to_string());
        let event = self.audit_event(&caller.account_id, caller.actor.clone(), action, subject);
        Ok(self.store.update_api_key(&caller.account_id, update, &event).await?)
    }
}
