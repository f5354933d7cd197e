//! The callback: Vimeo sends the browser back with a code, or with an error.

use std::net::IpAddr;
use std::sync::Arc;

use domain::audit::Actor;
use domain::authorization::{AuthorizationState, FailureReason, StepRefusal};
use domain::id::AccountId;
use domain::secret::Secret;
use seal::browser_tokens::{TokenKind, account_of_token};
use store::{AuthorizationKey, AuthorizationRow};

use super::page::ConnectView;
use super::steps::{STEP_ATTEMPTS, Tried};
use crate::{App, Error};

/// The error with which Vimeo reports that the person declined.
const ACCESS_DENIED: &str = "access_denied";

/// What the browser brings back.
#[derive(Debug, Clone)]
pub struct Callback {
    /// The `state` in the query.
    pub state: Secret,
    /// The binding in the browser's cookie; `None` if it has none.
    pub binding: Option<Secret>,
    /// The rest of the query.
    pub answer: CallbackAnswer,
    /// The browser's IP address.
    pub remote: Option<IpAddr>,
}

/// The answer of Vimeo.
#[derive(Debug, Clone)]
pub enum CallbackAnswer {
    /// The `code`.
    Code(Secret),
    /// The `error`.
    Error(String),
}

/// What the callback led to.
#[derive(Debug, Clone)]
pub enum CallbackResult {
    /// What the page shows: usually how it ended, and where the person is sent. A callback that is repeated by the same browser
    /// after the end shows the same and changes nothing. If another request exchanges the code, the stage is `Exchanging`.
    View(Box<ConnectView>),
    /// It failed for a reason that the person can fix: the link works again.
    TryAgain(FailureReason),
    /// No authorization has this state: it is unknown, the attempt has failed, or the person started again.
    InvalidState,
    /// The browser is not the one that was sent to Vimeo. Nothing was changed.
    OtherBrowser,
}

impl App {
    /// Processes the callback: exchanges the code, verifies the credentials, and creates or renews the connection. Runs to its end
    /// even if the browser disconnects.
    pub async fn finish_authorization(self: &Arc<Self>, callback: Callback) -> Result<CallbackResult, Error> {
        let app = self.clone();
        let finishing = self.tasks.spawn(async move { app.try_finish_authorization(callback).await });
        finishing.await.map_err(|error| Error::Internal(Box::new(error)))?
    }

    async fn try_finish_authorization(&self, callback: Callback) -> Result<CallbackResult, Error> {
        let Callback { state, binding, answer, remote } = callback;
        let actor = Actor::Guest { remote };
        let Some(account) = account_of_token(state.expose()) else { return Ok(CallbackResult::InvalidState) };
        let keys = self.fresh_service_keys().await?;
        let bindings = binding.map_or_else(Vec::new, |binding| {
            keys.hashes_of_browser_token(TokenKind::Binding, binding.expose())
        });
        for _ in 0..STEP_ATTEMPTS {
            let Some(row) = self.find_by_state(&account, &state).await? else {
                return Ok(CallbackResult::InvalidState);
            };
            match row.authorization.check_callback(&bindings, self.clock.now()) {
                Ok(()) => {}
                Err(StepRefusal::OtherBrowser) => return Ok(CallbackResult::OtherBrowser),
                Err(_) => {
                    let row = self.end_overdue(row).await?;
                    return self.view(row).await.map(Box::new).map(CallbackResult::View);
                }
            }
            match self.process(row, &answer, &actor).await? {
                Some(Tried::Ended(row)) => {
                    return self.view(row).await.map(Box::new).map(CallbackResult::View);
                }
                Some(Tried::Again(_, reason)) => return Ok(CallbackResult::TryAgain(reason)),
                None => {}
            }
        }
        Err(Error::Overloaded)
    }

    async fn find_by_state(
        &self,
        account: &AccountId,
        state: &Secret,
    ) -> Result<Option<AuthorizationRow>, Error> {
        for hash in self.service_keys().hashes_of_browser_token(TokenKind::State, state.expose()) {
            let found = self.store.find_authorization(account, &AuthorizationKey::State(hash)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// `None` if another step was taken meanwhile.
    async fn process(
        &self,
        row: AuthorizationRow,
        answer: &CallbackAnswer,
        actor: &Actor,
    ) -> Result<Option<Tried>, Error> {
        match answer {
            CallbackAnswer::Error(error) if error == ACCESS_DENIED => {
                let denied = AuthorizationState::Denied { at: self.clock.now() };
                self.end(row, (denied, None), actor).await.map(Tried::Ended).map(Some)
            }
            CallbackAnswer::Error(_) => self.fail(row, FailureReason::VimeoError, actor).await.map(Some),
            CallbackAnswer::Code(code) => match self.begin_exchange(&row).await? {
                Some((row, id)) => self.exchange_code(row, (id, code), actor).await.map(Some),
                None => Ok(None),
            },
        }
    }
}
