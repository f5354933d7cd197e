//! Withdrawing authorizations.

use std::time::Duration;

use domain::audit::Action;
use domain::authorization::{AuthorizationState, FailureReason, StepRefusal};
use domain::id::AuthorizationId;
use store::AuthorizationKey;

use super::steps::Step;
use crate::{App, Caller, Error};

/// How often the state is read, with this pause while a decision is being processed: that takes some seconds.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

impl App {
    /// Withdraws one of the caller's authorizations: its link and its code lead nowhere from then on. One that has ended does not
    /// change. [`Error::AuthorizationNotFound`]; [`Error::Overloaded`] if its decision is being processed and that takes long.
    pub async fn withdraw_authorization(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let (action, parsed) = (Action::WithdrawAuthorization, AuthorizationId::parse(id));
        let id = self.well_formed(caller, action, parsed, Error::AuthorizationNotFound).await?;
        let withdrawn = self.try_withdraw(caller, &id).await;
        self.audited(caller, action, Some(id.to_string()), withdrawn).await
    }

    async fn try_withdraw(&self, caller: &Caller, id: &AuthorizationId) -> Result<(), Error> {
        let key = AuthorizationKey::Id(id.clone());
        for _ in 0..ATTEMPTS {
            let found = self.store.find_authorization(&caller.account_id, &key).await?;
            let row = self.end_overdue(found.ok_or(Error::AuthorizationNotFound)?).await?;
            let now = self.clock.now();
            match row.authorization.check_withdrawal(now) {
                Ok(()) => {}
                // It may fail, and leave the link open.
                Err(StepRefusal::Exchanging) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(_) => return Ok(()),
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
