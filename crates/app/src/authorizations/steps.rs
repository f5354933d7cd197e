//! The steps of an authorization: each is written only on the version that it was decided for.

use domain::audit::{Action, Actor};
use domain::authorization::{Authorization, AuthorizationState, FailureReason};
use store::{AuthorizationKey, AuthorizationRow, AuthorizationUpdate, Changed};

use super::content::{AuthorizationOutcome, AuthorizationRequest, AuthorizationTarget};
use crate::{App, Error};

/// Attempts of a step that meets another one each time.
pub(super) const STEP_ATTEMPTS: u32 = 5;

/// A step to write.
pub(super) struct Step {
    pub(super) authorization: Authorization,
    pub(super) outcome: Option<AuthorizationOutcome>,
    /// The audited action; `None` if the step only reserves the next one.
    pub(super) action: Option<Action>,
    /// Who takes the step.
    pub(super) actor: Actor,
}

/// What an attempt to authorize led to.
pub(super) enum Tried {
    /// It ended, or another step was taken.
    Ended(AuthorizationRow),
    /// It is open: the person can try again with the same link.
    Again(AuthorizationRow, FailureReason),
}

impl Tried {
    pub(super) fn into_row(self) -> AuthorizationRow {
        match self {
            Self::Ended(row) | Self::Again(row, _) => row,
        }
    }
}

impl Step {
    /// A step into this state.
    pub(super) fn into(before: &Authorization, state: AuthorizationState) -> Self {
        let action = match &state {
            AuthorizationState::Pending | AuthorizationState::Exchanging { .. } => None,
            AuthorizationState::Started => Some(Action::StartAuthorization),
            AuthorizationState::Completed { .. } => Some(Action::CompleteAuthorization),
            AuthorizationState::Denied { .. } => Some(Action::DeclineAuthorization),
            AuthorizationState::Failed { .. } => Some(Action::FailAuthorization),
            AuthorizationState::Expired { .. } => Some(Action::ExpireAuthorization),
        };
        Self {
            authorization: Authorization { state, ..before.clone() },
            outcome: None,
            action,
            actor: Actor::Service,
        }
    }
}

impl App {
    /// Writes a step on the row that it was decided for. `None` if another step was written meanwhile.
    pub(super) async fn take_step(
        &self,
        row: &AuthorizationRow,
        step: Step,
    ) -> Result<Option<AuthorizationRow>, Error> {
        let Step { mut authorization, outcome, action, actor } = step;
        let account = authorization.account_id.clone();
        authorization.version = row.authorization.version + 1;
        let event = action.map(|action| {
            let subject = Some(authorization.id.to_string());
            self.audit_event(&account, actor, action, subject)
        });
        let outcome = outcome.as_ref().map(AuthorizationOutcome::to_stored).or_else(|| row.outcome.clone());
        let update = AuthorizationUpdate {
            expected_version: row.authorization.version,
            authorization: authorization.clone(),
            outcome: outcome.clone(),
            event,
        };
        if self.store.update_authorization(&account, update).await? == Changed::No {
            return Ok(None);
        }
        let sealed = row.sealed.clone().filter(|_| authorization.state.ended_at().is_none());
        Ok(Some(AuthorizationRow { authorization, request: row.request.clone(), outcome, sealed }))
    }

    /// The row as it is stored now. [`Error::AuthorizationNotFound`] if it was deleted with its account.
    pub(super) async fn read_again(&self, row: &AuthorizationRow) -> Result<AuthorizationRow, Error> {
        let key = AuthorizationKey::Id(row.authorization.id.clone());
        let found = self.store.find_authorization(&row.authorization.account_id, &key).await?;
        found.ok_or(Error::AuthorizationNotFound)
    }

    /// Ends an authorization, unless it has ended. Returns the row as it is then.
    pub(super) async fn end(
        &self,
        row: AuthorizationRow,
        (state, outcome): (AuthorizationState, Option<AuthorizationOutcome>),
        actor: &Actor,
    ) -> Result<AuthorizationRow, Error> {
        let mut row = row;
        for _ in 0..STEP_ATTEMPTS {
            if !row.authorization.may_end_as(&state) {
                return Ok(row);
            }
            let (outcome, actor) = (outcome.clone(), actor.clone());
            let step = Step { outcome, actor, ..Step::into(&row.authorization, state.clone()) };
            match self.take_step(&row, step).await? {
                Some(ended) => return Ok(ended),
                None => row = self.read_again(&row).await?,
            }
        }
        Err(Error::Overloaded)
    }

    /// Ends an authorization with a failure, or lets the person try again with the same link.
    pub(super) async fn fail(
        &self,
        row: AuthorizationRow,
        reason: FailureReason,
        actor: &Actor,
    ) -> Result<Tried, Error> {
        let id = &row.authorization.id;
        let state = row.authorization.after_failure(reason, self.clock.now());
        if state.ended_at().is_some() {
            tracing::info!(authorization = %id, reason = reason.as_str(), "an authorization failed");
            return self.end(row, (state, None), actor).await.map(Tried::Ended);
        }
        tracing::info!(authorization = %id, reason = reason.as_str(), "a person has to try again to authorize");
        let mut step = Step::into(&row.authorization, state);
        (step.action, step.actor) = (Some(Action::FailAuthorization), actor.clone());
        step.authorization.last_failure = Some(reason);
        // The callback must not come again: its code is used up.
        step.authorization.browser = None;
        match self.take_step(&row, step).await? {
            Some(row) => Ok(Tried::Again(row, reason)),
            None => self.read_again(&row).await.map(Tried::Ended),
        }
    }

    /// Ends an authorization that is overdue. An interrupted exchange has completed if its connection was created.
    pub(super) async fn end_overdue(&self, row: AuthorizationRow) -> Result<AuthorizationRow, Error> {
        let now = self.clock.now();
        let Some(end) = row.authorization.overdue(now) else { return Ok(row) };
        if let AuthorizationState::Exchanging { connection_id, .. } = &row.authorization.state
            && let Ok(AuthorizationRequest { target: AuthorizationTarget::Create { .. }, .. }) =
                AuthorizationRequest::from_stored(&row.request)
            && self.store.find_connection(&row.authorization.account_id, connection_id).await?.is_some()
        {
            let completed = AuthorizationState::Completed { at: now, connection_id: connection_id.clone() };
            return self.end(row, (completed, None), &Actor::Service).await;
        }
        // Only if nothing happened meanwhile.
        let step = Step::into(&row.authorization, end);
        match self.take_step(&row, step).await? {
            Some(ended) => Ok(ended),
            None => self.read_again(&row).await,
        }
    }

    /// Ends some of the authorizations of all accounts that are overdue. Returns how many.
    pub(crate) async fn end_overdue_authorizations(&self, limit: u32) -> Result<usize, Error> {
        let mut ended = 0;
        for overdue in self.store.list_overdue_authorizations(self.clock.now(), limit).await? {
            let key = AuthorizationKey::Id(overdue.id);
            let Some(row) = self.store.find_authorization(&overdue.account_id, &key).await? else { continue };
            let row = self.end_overdue(row).await?;
            ended += usize::from(row.authorization.state.ended_at().is_some());
        }
        Ok(ended)
    }
}
