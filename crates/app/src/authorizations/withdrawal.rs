//! Withdrawing authorizations.

use domain::audit::Action;
use domain::authorization::{AuthorizationState, FailureReason};
use domain::id::AuthorizationId;
use store::AuthorizationKey;

use super::steps::{STEP_ATTEMPTS, Step};
use crate::{App, Caller, Error};

impl App {
    /// Withdraws one of the caller's authorizations: its link and its code lead nowhere from then on. One that has ended, or whose
    /// decision is being processed, does not change. [`Error::AuthorizationNotFound`].
    pub async fn withdraw_authorization(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let (action, parsed) = (Action::WithdrawAuthorization, AuthorizationId::parse(id));
        let id = self.well_formed(caller, action, parsed, Error::AuthorizationNotFound).await?;
        let withdrawn = self.try_withdraw(caller, &id).await;
        self.audited(caller, action, Some(id.to_string()), withdrawn).await
    }

    async fn try_withdraw(&self, caller: &Caller, id: &AuthorizationId) -> Result<(), Error> {
        let key = AuthorizationKey::Id(id.clone());
        for _ in 0..STEP_ATTEMPTS {
            let found = self.store.find_authorization(&caller.account_id, &key).await?;
            let row = self.end_overdue(found.ok_or(Error::AuthorizationNotFound)?).await?;
            let now = self.clock.now();
            if row.authorization.check_withdrawal(now).is_err() {
                return Ok(());
            }
            let failed = AuthorizationState::Failed { at: now, reason: FailureReason::Withdrawn };
            let step = Step {
                action: Some(Action::WithdrawAuthorization),
                actor: caller.actor.clone(),
                ..Step::into(&row.authorization, failed)
            };
            if self.take_step(&row, step).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Overloaded)
    }
}
