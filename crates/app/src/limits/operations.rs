//! Showing and changing the limits of an account.

use domain::account::Account;
use domain::audit::{Action, Actor};
use domain::limits::{AccountLimits, Limit, LimitChanges, LimitOverrides};
use store::{Changed, Counted};

use crate::{AccountError, App, Caller, Error};

/// The most things without a limit that are counted.
const COUNT_MAX: u64 = 100_000;

/// The limits of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownLimits {
    /// Those that apply.
    pub effective: AccountLimits,
    /// Those that are set for this account.
    pub overrides: LimitOverrides,
}

impl App {
    /// The limits of an account.
    pub async fn find_account_limits(&self, account: &Account) -> Result<ShownLimits, AccountError> {
        let found = self.store.find_account_limits(&account.id).await.map_err(Error::from)?;
        let overrides = found.ok_or_else(|| AccountError::Unknown(account.name.clone()))?;
        Ok(ShownLimits { effective: overrides.over(&self.limits.load().account), overrides })
    }

    /// The limits of the caller's account, and how much of each is used where that is counted: at most up to the limit, or
    /// to 100,000 where there is none.
    pub async fn limits_in_use(&self, caller: &Caller) -> Result<Vec<(Limit, u64, Option<u64>)>, Error> {
        let mut shown = Vec::with_capacity(Limit::ALL.len());
        for limit in Limit::ALL {
            let value = *caller.limits.get(limit);
            let counted = match limit {
                Limit::Connections => Some(Counted::Connections),
                Limit::JobsInProgress => Some(Counted::JobsInProgress),
                Limit::WebhookEndpoints => Some(Counted::WebhookEndpoints),
                Limit::OpenAuthorizations => Some(Counted::OpenAuthorizations),
                Limit::RequestsPerMinute
                | Limit::KeyRequestsPerMinute
                | Limit::IdempotencyRecords
                | Limit::EventStreams => None,
            };
            let most = if value == 0 { COUNT_MAX } else { value };
            let used = match counted {
                Some(counted) => Some(self.store.count_of_account(&caller.account_id, counted, most).await?),
                None => None,
            };
            shown.push((limit, value, used));
        }
        Ok(shown)
    }

    /// Changes the limits of an account; every node applies them within a second. Returns all limits.
    pub async fn update_account_limits(
        &self,
        account: &Account,
        changes: &LimitChanges,
    ) -> Result<ShownLimits, AccountError> {
        let subject = Some(account.id.to_string());
        let event = self.audit_event(&account.id, Actor::Operator, Action::UpdateAccountLimits, subject);
        let updated = self.store.update_account_limits(&account.id, changes, &event).await;
        match updated.map_err(Error::from)? {
            Changed::Yes => self.find_account_limits(account).await,
            Changed::No => Err(AccountError::Unknown(account.name.clone())),
        }
    }
}
