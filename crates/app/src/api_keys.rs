//! API keys: authenticating requests, finding and listing keys.

use std::net::IpAddr;
use std::sync::Arc;

use domain::account::Account;
use domain::api_key::{ApiKey, ApiKeyRow, KeyStatus, PlainKey};
use domain::audit::{Action, Actor};
use domain::id::ApiKeyId;
use domain::limits::AccountLimits;
use domain::page::PageLimit;
use domain::scope::Scope;
use domain::time::Timestamp;
use store::FoundApiKey;

use crate::audit::AuditContext;
use crate::cache::Cached;
use crate::limits::failed_keys::Attempt;
use crate::limits::share::AccountShare;
use crate::{App, Caller, CallerRates, Error};

/// An authenticated account and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: Account,
    /// The key.
    pub key: ApiKey,
}

/// The caller of a request, and how many requests it may send.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// The caller.
    pub caller: Caller,
    /// Its buckets; nothing was taken from them yet.
    pub rates: Arc<CallerRates>,
}

/// A key whose row was verified.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedKey {
    key: Arc<ApiKey>,
    /// The limits of its account.
    limits: AccountLimits,
    rates: Arc<CallerRates>,
    share: Arc<AccountShare>,
    /// When the row was read, by the clock of the database.
    read_at: Timestamp,
}

/// A page of an account's keys with their status, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyPage {
    /// The keys.
    pub items: Vec<(ApiKey, KeyStatus)>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
}

impl App {
    /// Authenticates a request. [`Error::Unauthorized`] for every reason to refuse it; [`Error::TooManyFailedKeys`] if there
    /// were too many such requests from this address, before the database is asked.
    pub async fn authenticate(
        &self,
        key: &PlainKey,
        remote: Option<IpAddr>,
    ) -> Result<Authentication, Error> {
        let hash = self.service_keys().hash_api_key(key);
        let cached = self.api_keys.cached(&hash);
        let is_known = cached.is_some() || self.failed_keys.was_valid(&hash);
        let attempt = if is_known { None } else { Some(self.count_failed_key(remote)?) };
        let found = match cached {
            Some(cached) => Some(cached),
            None => match self.api_keys.find(&hash, async || self.find_verified_key(key).await).await {
                Ok(found) => found,
                Err(error) => {
                    if let Some(attempt) = attempt {
                        attempt.take_back();
                    }
                    return Err(error);
                }
            },
        };
        // The database's clock, advanced by the age of the cached row: a key never remains valid past its expiry.
        let found = found
            .filter(|Cached { value, age }| value.key.status(value.read_at.plus(*age)) == KeyStatus::Active);
        let Some(Cached { value: VerifiedKey { key, limits, rates, share, .. }, .. }) = found else {
            if attempt.is_none() {
                self.failed_keys.forget(&hash);
                self.count_failed_key(remote)?;
            }
            return Err(Error::Unauthorized);
        };
        if let Some(attempt) = attempt {
            attempt.take_back();
            self.failed_keys.remember(hash);
        }
        let actor = Actor::ApiKey { key_id: key.id.clone(), name: key.name.clone(), remote };
        let caller = Caller {
            account_id: key.account_id.clone(),
            actor,
            scopes: key.scopes(),
            expires_at: key.expires_at,
            limits,
            share,
        };
        self.shares.note_request(&caller.share);
        Ok(Authentication { caller, rates })
    }

    /// Counts a request without a well-formed key. [`Error::TooManyFailedKeys`].
    pub fn refuse_key(&self, remote: Option<IpAddr>) -> Error {
        self.count_failed_key(remote).err().unwrap_or(Error::Unauthorized)
    }

    fn count_failed_key(&self, remote: Option<IpAddr>) -> Result<Attempt, Error> {
        self.failed_keys.attempt(remote).map_err(Error::TooManyFailedKeys)
    }

    /// Reads a key, if its row verifies.
    async fn find_verified_key(&self, plain: &PlainKey) -> Result<Option<VerifiedKey>, Error> {
        let found = self.find_by_plain_key(plain).await?;
        let verified = found.filter(|found| self.verify_row(&found.row));
        Ok(verified.map(|FoundApiKey { row, limits, read_at }| {
            if row.key.status(read_at) == KeyStatus::Active {
                self.api_key_uses.record(&row.key.id, read_at);
            }
            let limits = limits.over(&self.limits.load().account);
            let rates = Arc::new(self.rates.of(&row.key, &limits));
            let share = self.shares.of(&row.key.account_id);
            VerifiedKey { key: Arc::new(row.key), limits, rates, share, read_at }
        }))
    }

    /// Finds the row of a key, of which each service secret has made another hash.
    pub(crate) async fn find_by_plain_key(&self, plain: &PlainKey) -> Result<Option<FoundApiKey>, Error> {
        for hash in self.fresh_service_keys().await?.hashes_of_api_key(plain) {
            if let Some(found) = self.store.find_api_key_by_hash(&hash, self.clock.now()).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The caller's account and key.
    pub async fn identify(&self, caller: &Caller) -> Result<Identity, Error> {
        let key_id = caller.key_id().ok_or(Error::Unauthorized)?;
        self.fresh_service_keys().await?;
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
        self.fresh_service_keys().await?;
        Ok(row.is_some_and(|row| self.status(&row, self.clock.now()) == KeyStatus::Active))
    }

    /// Finds a stored key of any account, also an expired or revoked one.
    pub async fn find_api_key(&self, plain: &PlainKey) -> Result<Option<ApiKey>, Error> {
        let found = self.find_by_plain_key(plain).await?;
        Ok(found.map(|found| found.row).filter(|row| self.verify_row(row)).map(|row| row.key))
    }

    /// An account's keys with their status, oldest first.
    pub async fn list_api_keys(&self, account: &Account) -> Result<Vec<(ApiKey, KeyStatus)>, Error> {
        let rows = self.store.list_api_keys(&account.id).await?;
        let now = self.clock.now();
        Ok(rows.into_iter().map(|row| self.with_status(row, now)).collect())
    }

    /// A page of the caller's keys: those after `after`, at most `limit`.
    pub async fn list_api_key_page(
        &self,
        caller: &Caller,
        after: Option<&(Timestamp, ApiKeyId)>,
        limit: PageLimit,
    ) -> Result<ApiKeyPage, Error> {
        let (account, limit) = (&caller.account_id, limit.as_u32());
        // One more than the page, to see whether there is a next one.
        let mut rows = self.store.list_api_key_page(account, after, limit + 1).await?;
        let is_last = rows.len() <= limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| !is_last).map(|row| (row.key.created_at, &row.key.id));
        let next = last.map(|(at, id)| self.service_keys().encode_api_key_page_key(account, at, id));
        let now = self.clock.now();
        Ok(ApiKeyPage { items: rows.into_iter().map(|row| self.with_status(row, now)).collect(), next })
    }

    /// Decodes a page key of a list of keys; `None` if it was not issued to this account.
    pub fn read_api_key_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<(Timestamp, ApiKeyId)> {
        self.service_keys().decode_api_key_page_key(&caller.account_id, bytes)
    }

    /// One of the caller's keys with its status.
    pub async fn find_own_api_key(
        &self,
        caller: &Caller,
        id: &ApiKeyId,
    ) -> Result<(ApiKey, KeyStatus), Error> {
        Ok(self.with_status(self.own_row(caller, id).await?, self.clock.now()))
    }

    /// The row of one of the caller's keys.
    pub(crate) async fn own_row(&self, caller: &Caller, id: &ApiKeyId) -> Result<ApiKeyRow, Error> {
        let row = self.store.find_api_key(id).await?;
        row.filter(|row| row.key.account_id == caller.account_id).ok_or(Error::ApiKeyNotFound)
    }

    /// The key with this ID, of any account and in any state.
    pub async fn find_api_key_by_id(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, Error> {
        Ok(self.store.find_api_key(id).await?.map(|row| row.key))
    }

    /// The refusal of a request whose key lacks a scope. That of a mutation is audited.
    pub async fn forbid(
        &self,
        caller: &Caller,
        missing: Scope,
        mutation: Option<(Action, Option<String>)>,
    ) -> Error {
        let error = Error::Forbidden { missing };
        let Some((action, subject)) = mutation else { return error };
        self.audit_refusal(caller, AuditContext { action, subject, guard: None }, error).await
    }

    fn with_status(&self, row: ApiKeyRow, at: Timestamp) -> (ApiKey, KeyStatus) {
        let status = self.status(&row, at);
        (row.key, status)
    }

    pub(crate) fn status(&self, row: &ApiKeyRow, at: Timestamp) -> KeyStatus {
        if self.verify_row(row) { row.key.status(at) } else { KeyStatus::Tampered }
    }

    /// Verifies the MAC of a key's row. A key whose row does not verify is not accepted, which is logged as an error.
    fn verify_row(&self, row: &ApiKeyRow) -> bool {
        let is_authentic = self.service_keys().verify_api_key(&row.key, &row.hash, &row.mac);
        if !is_authentic {
            tracing::error!(
                api_key = %row.key.id,
                "the row of an API key was not written by this service, or was changed since: the key is not accepted"
            );
        }
        is_authentic
    }
}
