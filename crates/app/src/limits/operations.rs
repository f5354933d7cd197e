//! Showing and changing the limits of an account.

use domain::account::Account;
use domain::audit::{Action, Actor};
use domain::limits::{AccountLimits, LimitChanges, LimitOverrides};
use store::Changed;

use crate::{AccountError, App, Error};

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
        Ok(ShownLimits { effective: overrides.over(&self.limits.account), overrides })
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
