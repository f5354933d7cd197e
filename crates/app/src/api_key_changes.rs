//! Changes of API keys: creating, importing, renaming, rotating and revoking them.

use std::time::Duration;

use domain::account::{Account, Label};
use domain::api_key::{
    ApiKey, ApiKeyRow, Creator, Grant, GrantError, KEY_MIN_BITS, KeyStatus, PlainKey, check_grant,
};
use domain::audit::{Action, Actor};
use domain::id::{AccountId, ApiKeyId};
use domain::scope::{Scope, Scopes};
use domain::time::Timestamp;
use store::{ApiKeyUpdate, Changed, OtherManager};
use thiserror::Error;

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
        let created = self.try_create_api_key(caller, options).await;
        self.audited(caller, Action::CreateApiKey, None, created).await
    }

    async fn try_create_api_key(&self, caller: &Caller, options: KeyOptions) -> Result<NewApiKey, Error> {
        let now = self.clock.now();
        let expires_at = options.expires_in_days.map(|days| now.plus_days(days));
        let expires_at = granted_expiry(caller, options.scopes, expires_at)?;
        let grant = Grant { scopes: options.scopes, creator: creator(caller), rotated_from: None };
        let plain = PlainKey::from_random(self.randomness.bytes());
        let terms = Terms { name: options.name, grant, expires_at };
        let row = self.new_key_row(&plain, &caller.account_id, terms);
        let event = self.audit_event(
            &caller.account_id,
            caller.actor.clone(),
            Action::CreateApiKey,
            Some(row.key.id.to_string()),
        );
        self.store.insert_api_key(&caller.account_id, &row, &event).await?;
        Ok(NewApiKey { key: row.key, plain })
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
        let hash = self.service_keys.hash_api_key(plain);
        ApiKeyRow { mac: self.service_keys.mac_api_key(&key, &hash), key, hash }
    }

    /// Imports a key that was created elsewhere, so that a client can keep it. For operators.
    pub async fn import_api_key(
        &self,
        account: &Account,
        plain: &PlainKey,
        options: KeyOptions,
    ) -> Result<ApiKey, ImportError> {
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
            Err(store::Error::NameTaken) => Err(self.exists_error(&row).await?),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    async fn exists_error(&self, row: &ApiKeyRow) -> Result<ImportError, Error> {
        let existing = self.store.find_api_key_by_hash(&row.hash, self.clock.now()).await?;
        let existing = existing.ok_or(Error::OutcomeUnknown)?.row;
        let account = self.store.find_account(&existing.key.account_id).await?;
        let account =
            account.map_or_else(|| existing.key.account_id.to_string(), |account| account.name.to_string());
        Ok(ImportError::Exists { id: existing.key.id, account })
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
        let rotated = self.try_rotate_api_key(caller, id, &options).await;
        self.audited(caller, Action::RotateApiKey, Some(id.to_string()), rotated).await
    }

    async fn try_rotate_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
        options: &RotateOptions,
    ) -> Result<NewApiKey, Error> {
        loop {
            let row = self.own_row(caller, id).await?;
            let now = self.clock.now();
            if self.status(&row, now) != KeyStatus::Active {
                return Err(Error::ApiKeyNotActive);
            }
            let scopes = row.key.scopes();
            let expires_at = options.expires_in_days.map(|days| now.plus_days(days)).or(row.key.expires_at);
            let expires_at = granted_expiry(caller, scopes, expires_at)?;
            let grant = Grant { scopes, creator: creator(caller), rotated_from: Some(id.clone()) };
            let plain = PlainKey::from_random(self.randomness.bytes());
            let terms = Terms { name: row.key.name.clone(), grant, expires_at };
            let successor = self.new_key_row(&plain, &caller.account_id, terms);
            let old = ApiKey {
                expires_at: Some(overlap_end(row.key.expires_at, now, options.overlap)),
                ..row.key.clone()
            };
            let key = successor.key.clone();
            let update = self.update(&row, old, Some(successor), OtherManager::NotRequired);
            if self.write(caller, update, Action::RotateApiKey).await? == Changed::Yes {
                return Ok(NewApiKey { key, plain });
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
        let mac = self.service_keys.mac_api_key(&key, &row.hash);
        let changed = ApiKeyRow { key, hash: row.hash.clone(), mac };
        ApiKeyUpdate { expected: row.mac.clone(), row: changed, successor, other_manager }
    }

    async fn write(&self, caller: &Caller, update: ApiKeyUpdate, action: Action) -> Result<Changed, Error> {
        let subject = Some(update.row.key.id.to_string());
        let event = self.audit_event(&caller.account_id, caller.actor.clone(), action, subject);
        Ok(self.store.update_api_key(&caller.account_id, update, &event).await?)
    }
}

/// The expiry of a key that the caller may create.
fn granted_expiry(
    caller: &Caller,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    check_grant((caller.scopes, caller.expires_at), scopes, expires_at).map_err(|error| match error {
        GrantError::Scope(missing) => Error::Forbidden { missing },
        GrantError::Expiry => Error::ExpiryBeyondCreator,
    })
}

fn creator(caller: &Caller) -> Creator {
    match &caller.actor {
        Actor::ApiKey { key_id, .. } | Actor::Session { key_id: Some(key_id), .. } => {
            Creator::ApiKey(key_id.clone())
        }
        Actor::Session { key_id: None, name, .. } => Creator::Person(name.clone()),
        Actor::Operator | Actor::Service => Creator::Operator,
    }
}

/// When a rotated key expires: after the overlap, or earlier if it would have.
fn overlap_end(expires_at: Option<Timestamp>, now: Timestamp, overlap: Duration) -> Timestamp {
    let end = now.plus(overlap);
    expires_at.map_or(end, |at| at.min(end))
}

/// Whether a key may be revoked only if another one can manage keys: a client must not lock its account out.
fn other_manager(actor: &Actor, scopes: Scopes, status: KeyStatus) -> OtherManager {
    match actor {
        Actor::ApiKey { .. } | Actor::Session { .. }
            if scopes.has(Scope::KeysManage) && status == KeyStatus::Active =>
        {
            OtherManager::Required
        }
        _ => OtherManager::NotRequired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_key_expires_after_the_overlap_or_earlier() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        for (expires_at, overlap, expected) in [
            (None, 60, 70),
            (Some(at(500)), 60, 70),
            (Some(at(30)), 60, 30),
            (Some(at(30)), 0, 10),
            (None, 0, 10),
        ] {
            let end = overlap_end(expires_at, at(10), Duration::from_secs(overlap));
            assert_eq!(end, at(expected), "{expires_at:?} {overlap}");
        }
    }

    #[test]
    fn only_a_client_that_revokes_an_active_managing_key_needs_another() {
        let (key_id, name) = (ApiKeyId::from_random([1; 16]), Label::from_stored("client".to_owned()));
        let client = Actor::ApiKey { key_id, name, remote: None };
        let reads: Scopes = [Scope::ConnectionsRead].into_iter().collect();
        for (actor, scopes, status, expected) in [
            (&client, Scopes::ALL, KeyStatus::Active, OtherManager::Required),
            (&client, Scopes::ALL, KeyStatus::Expired, OtherManager::NotRequired),
            (&client, Scopes::ALL, KeyStatus::Tampered, OtherManager::NotRequired),
            (&client, reads, KeyStatus::Active, OtherManager::NotRequired),
            (&Actor::Operator, Scopes::ALL, KeyStatus::Active, OtherManager::NotRequired),
        ] {
            assert_eq!(other_manager(actor, scopes, status), expected, "{actor:?} {scopes:?} {status:?}");
        }
    }
}
