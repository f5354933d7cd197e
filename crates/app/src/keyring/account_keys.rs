//! Replacing the key of an account, while the service runs.
//!
//! First the account gets its next key, which seals nothing yet, until every node has read it. Then the next key becomes the
//! current one, and the former key only decrypts. Then everything that the former key has sealed is wrapped with the current
//! one. The former key is deleted a day later: stored responses of idempotent requests are sealed with it for that long.

use std::num::NonZeroU32;
use std::time::Duration;

use domain::account::{Account, AccountKeys};
use domain::audit::{Action, Actor};
use domain::idempotency::RESPONSE_TTL_SECONDS;
use domain::time::Timestamp;
use store::{AccountKeysUpdate, Changed};
use tokio::time::sleep;

use super::rewrap::{Pace, RewrapError, WorkLease};
use super::sealing_keys::Pass;
use super::steps::{self, Settled, Step, Terms};
use crate::{App, Error};

/// The next key settles for longer than nodes cache accounts. The stored responses that the former key has sealed expire meanwhile,
/// and requests in flight end.
const TERMS: Terms = Terms {
    next_settles: Duration::from_secs(5),
    former_kept: Duration::from_secs(RESPONSE_TTL_SECONDS.unsigned_abs())
        .saturating_add(Duration::from_hours(1)),
};
/// The pace of what a service does without a command.
pub(super) const BACKGROUND_PACE: Pace = Pace::per_second(match NonZeroU32::new(200) {
    Some(rows) => rows,
    None => NonZeroU32::MIN,
});

/// How far the replacement of an account's key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKeyState {
    /// Nothing needs the former key but stored responses; a running service deletes it after this instant.
    Replaced {
        /// The instant.
        former_key_until: Timestamp,
    },
    /// Some sealed values cannot be decrypted with either key. The former key is kept.
    Damaged {
        /// Their number.
        values: u64,
    },
}

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKeyReport {
    /// Whether a replacement that had started earlier was continued, instead of another one.
    pub is_resumed: bool,
    /// The number of sealed values whose keys were wrapped with the new key.
    pub rewrapped: u64,
    /// How far it is.
    pub state: AccountKeyState,
}

/// The next step by the keys of the account.
fn next_step(keys: &AccountKeys, settled: Settled, now: Timestamp) -> Step {
    let second = keys.second.as_ref().map(|second| (second.role, second.since));
    steps::next_step(second, TERMS, settled, now)
}

impl App {
    /// Replaces the key of an account, or continues a replacement that was interrupted. Requests are served meanwhile.
    pub async fn replace_account_key(
        &self,
        account: &Account,
        pace: Pace,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<AccountKeyReport, RewrapError> {
        let lease = WorkLease::take(self).await?;
        let is_resumed = account.keys.second.is_some();
        let replaced = self.replace_under(&lease, account, pace, &mut progress).await;
        lease.release().await;
        let (rewrapped, pass) = replaced?;
        let account = self.reread(account).await?;
        let since = account.keys.second.map_or_else(|| self.clock.now(), |second| second.since);
        let state = if pass.damaged > 0 {
            AccountKeyState::Damaged { values: pass.damaged }
        } else {
            AccountKeyState::Replaced { former_key_until: since.plus(TERMS.former_kept) }
        };
        Ok(AccountKeyReport { is_resumed, rewrapped, state })
    }

    async fn replace_under(
        &self,
        lease: &WorkLease<'_>,
        account: &Account,
        pace: Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(u64, Pass), RewrapError> {
        let mut settled = Settled::Unknown;
        loop {
            let account = self.reread(account).await?;
            match next_step(&account.keys, settled, self.clock.now()) {
                Step::Rewrite { .. } => return self.rewrap_all(&account, (lease, pace), progress).await,
                Step::Wait(left) => {
                    sleep(left).await;
                    settled = Settled::Waited;
                }
                step => self.take_key_step(&account, step, Actor::Operator).await?,
            }
            lease.renew_after(Duration::ZERO).await?;
        }
    }

    /// Continues replacements that were interrupted, and deletes former keys that nothing needs any more. Returns their number.
    pub(crate) async fn finish_account_keys(&self) -> Result<usize, Error> {
        let accounts = self.store.list_accounts_with_second_key().await?;
        if accounts.is_empty() {
            return Ok(0);
        }
        let lease = match WorkLease::take(self).await {
            Ok(lease) => lease,
            Err(RewrapError::Other(error)) => return Err(error),
            // A command is doing it.
            Err(_) => return Ok(0),
        };
        let mut deleted = Ok(0);
        for account in accounts {
            match self.finish_account_key(&account, &lease).await {
                Ok(Changed::Yes) => deleted = deleted.map(|count| count + 1),
                Ok(Changed::No) => {}
                Err(error @ (RewrapError::Damaged(_) | RewrapError::AccountDeleted)) => {
                    tracing::warn!(%error, account = %account.id, "the former key of an account is kept");
                }
                Err(RewrapError::Other(error)) => deleted = Err(error),
                Err(RewrapError::Leased | RewrapError::LeaseLost) => return deleted,
            }
        }
        lease.release().await;
        deleted
    }

    async fn finish_account_key(
        &self,
        account: &Account,
        lease: &WorkLease<'_>,
    ) -> Result<Changed, RewrapError> {
        match next_step(&account.keys, Settled::Unknown, self.clock.now()) {
            Step::Rewrite { may_end: true } => {}
            // Until then nothing is to be done here: visiting everything that is sealed has its cost.
            Step::Rewrite { may_end: false } | Step::AddNext | Step::Wait(_) => return Ok(Changed::No),
            Step::Switch => {
                self.take_key_step(account, Step::Switch, Actor::Service).await?;
                return Ok(Changed::No);
            }
        }
        let (_, pass) = self.rewrap_all(account, (lease, BACKGROUND_PACE), &mut |_| {}).await?;
        if pass.damaged > 0 {
            tracing::warn!(
                account = %account.id,
                values = pass.damaged,
                "sealed values cannot be decrypted: the former key of the account is kept"
            );
            return Ok(Changed::No);
        }
        let keys = AccountKeys::of(account.keys.current.clone());
        self.change_keys(account, keys, Action::DeleteFormerAccountKey, Actor::Service).await
    }

    /// Wraps everything with the current key, until nothing is left; returns the number of values, and the last pass.
    async fn rewrap_all(
        &self,
        account: &Account,
        terms: (&WorkLease<'_>, Pace),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(u64, Pass), RewrapError> {
        let keyring = self.keyring.get();
        let key = keyring.open_account_key(&account.id, &account.keys);
        let key = key.map_err(|_| RewrapError::Damaged(vec![account.name.to_string()]))?;
        let mut total = 0;
        loop {
            let before = total;
            let pass = self
                .rewrap_sealing_keys(&account.id, &key, terms, &mut |done| progress(before + done))
                .await?;
            total += pass.rewrapped;
            if pass.rewrapped + pass.changed == 0 {
                return Ok((total, pass));
            }
        }
    }

    async fn take_key_step(&self, account: &Account, step: Step, actor: Actor) -> Result<(), RewrapError> {
        let (keys, action) = match step {
            Step::AddNext => {
                let active = self.active_keyring_key().await?;
                let next = self.keyring.get().new_account_key(&account.id, &active, &self.randomness);
                let keys = account.keys.with_next(next.map_err(Error::from)?, self.clock.now());
                (keys, Action::StartAccountKeyReplacement)
            }
            Step::Switch => match account.keys.switched(self.clock.now()) {
                Some(keys) => (keys, Action::ReplaceAccountKey),
                None => return Ok(()),
            },
            Step::Wait(_) | Step::Rewrite { .. } => return Ok(()),
        };
        // If the keys have changed meanwhile, they are read again, and the step is taken again.
        self.change_keys(account, keys, action, actor).await.map(drop)
    }

    async fn change_keys(
        &self,
        account: &Account,
        keys: AccountKeys,
        action: Action,
        actor: Actor,
    ) -> Result<Changed, RewrapError> {
        let event = self.audit_event(&account.id, actor, action, Some(account.id.to_string()));
        let update = AccountKeysUpdate { account: account.id.clone(), expected: account.keys.clone(), keys };
        Ok(self.store.update_account_keys(&update, &event).await.map_err(Error::from)?)
    }

    async fn reread(&self, account: &Account) -> Result<Account, RewrapError> {
        let found = self.store.find_account(&account.id).await.map_err(Error::from)?;
        found.ok_or(RewrapError::AccountDeleted)
    }
}

#[cfg(test)]
mod tests {
    use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};

    use super::*;

    #[test]
    fn the_keys_of_an_account_decide_the_step() {
        let wrapped = |fill| KeyringWrapped {
            keyring_key: KeyringKeyId("k_0000000000000000".into()),
            wrapped: WrappedKey([fill; 60]),
        };
        let next_step = |keys: &AccountKeys, now| super::next_step(keys, Settled::Unknown, now);
        let at = |second| Timestamp::from_millis(1_000_000).plus_seconds(second);
        let keys = AccountKeys::of(wrapped(1));
        assert_eq!(next_step(&keys, at(0)), Step::AddNext);
        let keys = keys.with_next(wrapped(2), at(0));
        assert_eq!((&keys.current, &keys.second.as_ref().unwrap().key), (&wrapped(1), &wrapped(2)));
        assert_eq!(next_step(&keys, at(5)), Step::Switch);
        let keys = keys.switched(at(5)).unwrap();
        assert_eq!((&keys.current, &keys.second.as_ref().unwrap().key), (&wrapped(2), &wrapped(1)));
        assert_eq!(keys.switched(at(6)), None, "once");
        assert_eq!(next_step(&keys, at(5 + 25 * 3_600 - 1)), Step::Rewrite { may_end: false });
        assert_eq!(next_step(&keys, at(5 + 25 * 3_600)), Step::Rewrite { may_end: true });
    }
}
