//! Wrapping the accounts' keys with the keyring's primary key, while the service runs.

use std::time::Duration;

use domain::account::{Account, AccountKeys, SecondKey};
use domain::id::AccountId;
use domain::secret::KeyringKeyId;
use domain::service_secrets::ServiceSecrets;
use seal::keyring::Keyring;
use store::{AccountKeysUpdate, Changed, SweepLease};
use thiserror::Error;
use tokio::time::sleep;

use crate::context::Context;
use crate::{App, Error};

/// Rows in one transaction. Other writes wait meanwhile.
pub(super) const PIECE: u32 = 100;
/// How long the work is left to a process that does not continue it.
const LEASE: Duration = Duration::from_secs(15);
const LEASE_NAME: &str = "rewrap";

/// How fast rows are rewritten: a number a second.
#[derive(Debug, Clone, Copy)]
pub struct Pace(std::num::NonZeroU32);

impl Pace {
    /// This many rows a second.
    pub const fn per_second(rows: std::num::NonZeroU32) -> Self {
        Self(rows)
    }

    /// Rows in one transaction: not more than a second's.
    pub(super) fn piece(self) -> u32 {
        self.0.get().min(PIECE)
    }

    /// The pause after rows.
    pub(super) fn pause(self, rows: usize) -> Duration {
        Duration::from_secs(1) * u32::try_from(rows).unwrap_or(u32::MAX) / self.0.get()
    }
}

/// What was rewrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrapReport {
    /// The keyring key that wraps everything now.
    pub keyring_key: KeyringKeyId,
    /// The number of accounts whose keys were wrapped with another one.
    pub accounts: u64,
}

/// Why keys could not be rewrapped. The messages are for operators.
#[derive(Debug, Error)]
pub enum RewrapError {
    /// Another process does it.
    #[error(
        "another process is rewriting keys, a command or a running service: wait until it has finished. If it was killed, try \
         again in {} s",
        LEASE.as_secs()
    )]
    Leased,
    /// It took too long between two steps, and another process continued.
    #[error("another process continued the work, because this one was too slow. Run the command again")]
    LeaseLost,
    /// Keys that cannot be decrypted stay as they are.
    #[error(
        "the keys of these accounts cannot be decrypted and were left as they are: {}. The database was damaged: restore \
         them from a backup, or delete them. All other accounts are done",
        names(.0)
    )]
    Damaged(Vec<String>),
    /// There is nothing left to do.
    #[error("the account was deleted meanwhile")]
    AccountDeleted,
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

fn names(names: &[String]) -> String {
    names.join(", ")
}

/// A lease on work that one process does at a time.
pub(super) struct WorkLease<'a> {
    context: &'a Context,
    fence: u64,
}

impl<'a> WorkLease<'a> {
    pub(super) async fn take(context: &'a Context) -> Result<Self, RewrapError> {
        let leased = context.store.lease_sweep(LEASE_NAME, LEASE, context.clock.now()).await;
        let fence = leased.map_err(Error::from)?.ok_or(RewrapError::Leased)?;
        Ok(Self { context, fence })
    }

    /// Keeps it for as long again, after a pause.
    pub(super) async fn renew_after(&self, pause: Duration) -> Result<(), RewrapError> {
        sleep(pause).await;
        self.renew(LEASE).await
    }

    /// Gives it back. Failing does no harm: it expires.
    pub(super) async fn release(self) {
        let _ = self.renew(Duration::ZERO).await;
    }

    async fn renew(&self, lasts: Duration) -> Result<(), RewrapError> {
        let lease = SweepLease { fence: self.fence, lasts, now: self.context.clock.now() };
        let renewed = self.context.store.renew_sweep_lease(LEASE_NAME, &lease).await.map_err(Error::from)?;
        if renewed == Changed::No { Err(RewrapError::LeaseLost) } else { Ok(()) }
    }
}

impl App {
    /// Makes the keyring's primary key the active one, and wraps all accounts' keys with it. May be interrupted and repeated;
    /// requests are served meanwhile. `progress` receives the number of accounts done.
    pub async fn rewrap_account_keys(
        &self,
        pace: Pace,
        progress: impl FnMut(u64),
    ) -> Result<RewrapReport, RewrapError> {
        let lease = WorkLease::take(self).await?;
        let result = self.rewrap_under(&lease, pace, progress).await;
        lease.release().await;
        result
    }

    async fn rewrap_under(
        &self,
        lease: &WorkLease<'_>,
        pace: Pace,
        mut progress: impl FnMut(u64),
    ) -> Result<RewrapReport, RewrapError> {
        let keyring = self.keyring.get();
        self.activate(&keyring).await?;
        let primary = keyring.primary_id();
        let mut report = RewrapReport { keyring_key: primary.clone(), accounts: 0 };
        let mut damaged = Vec::new();
        let mut after: Option<AccountId> = None;
        loop {
            let found = self.store.list_accounts_to_rewrap(primary, after.as_ref(), pace.piece()).await;
            let found = found.map_err(Error::from)?;
            let Some(last) = found.last() else { break };
            after = Some(last.id.clone());
            let mut updates = Vec::new();
            for account in &found {
                match self.rewrapped(&keyring, account) {
                    Ok(keys) => updates.push(AccountKeysUpdate {
                        account: account.id.clone(),
                        expected: account.keys.clone(),
                        keys,
                    }),
                    Err(_) => damaged.push(account.name.to_string()),
                }
            }
            let rewrapped = self.store.rewrap_account_keys(&updates).await.map_err(Error::from)?;
            if rewrapped < updates.len() {
                // Some have changed meanwhile: they are found again.
                after = None;
                damaged.clear();
            }
            report.accounts += rewrapped as u64;
            progress(report.accounts);
            lease.renew_after(pace.pause(found.len())).await?;
        }
        if damaged.is_empty() { Ok(report) } else { Err(RewrapError::Damaged(damaged)) }
    }

    /// Wraps the service secrets with the primary key, unless they are.
    async fn activate(&self, keyring: &Keyring) -> Result<(), RewrapError> {
        loop {
            let secrets = self.store.find_service_secrets().await.map_err(Error::from)?;
            // Opening the database has created the first.
            let is_wrapped =
                |secrets: &ServiceSecrets| secrets.keyring_keys().all(|key| key == keyring.primary_id());
            let Some(secrets) = secrets.filter(|secrets| !is_wrapped(secrets)) else { return Ok(()) };
            let check = keyring.primary_check().map_err(Error::from)?;
            let rewrapped =
                keyring.rewrap_service_secrets(&secrets, &self.randomness).map_err(Error::from)?;
            let changed = self.store.change_service_secrets(&secrets, &rewrapped, Some(&check)).await;
            if changed.map_err(Error::from)? == Changed::Yes {
                return Ok(());
            }
        }
    }

    /// The keys of an account, wrapped with the primary key.
    fn rewrapped(&self, keyring: &Keyring, account: &Account) -> Result<AccountKeys, seal::CryptoError> {
        let rewrap = |wrapped| {
            keyring.rewrap_account_key(&account.id, wrapped, keyring.primary_id(), &self.randomness)
        };
        let second = account
            .keys
            .second
            .as_ref()
            .map(|second| Ok(SecondKey { key: rewrap(&second.key)?, ..second.clone() }));
        Ok(AccountKeys { current: rewrap(&account.keys.current)?, second: second.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_spreads_its_rows_over_a_second() {
        let pace = |rows: u32| Pace::per_second(rows.try_into().unwrap());
        assert_eq!((pace(1_000).piece(), pace(1_000).pause(100)), (100, Duration::from_millis(100)));
        assert_eq!((pace(7).piece(), pace(7).pause(7)), (7, Duration::from_secs(1)));
        assert_eq!(pace(100).pause(0), Duration::ZERO);
    }
}
