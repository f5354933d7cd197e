//! What a person does on the hosted page. The token in its address is all that the page has.

use std::net::IpAddr;
use std::sync::Arc;

use domain::account::Label;
use domain::audit::Actor;
use domain::authorization::{AuthorizationState, BrowserTokens, StepRefusal};
use domain::secret::Secret;
use seal::browser_tokens::{TokenKind, account_of_token, new_token};
use store::{AuthorizationKey, AuthorizationRow};
use vimeo::PermissionRequest;

use super::content::AuthorizationRequest;
use super::reading::ShownAuthorization;
use super::return_url::ReturnResult;
use super::steps::{STEP_ATTEMPTS, Step};
use crate::{App, Error};

/// What the hosted page shows. It contains no credential and nothing of the account but its name.
#[derive(Debug, Clone)]
pub struct ConnectView {
    /// The name of the account that asks.
    pub account_name: Label,
    /// The authorization. `request` has the connection's name, the scopes and the host of the return URL; `device` has the code
    /// that the person enters; `outcome` has the Vimeo account and whether the app may upload to it.
    pub shown: ShownAuthorization,
    /// What the person can do.
    pub stage: ConnectStage,
}

/// What the person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectStage {
    /// Start, or decline. With the device flow: enter the code at Vimeo; the page polls.
    Open,
    /// Wait: the decision is being processed.
    Exchanging,
    /// Go to the return URL, if there is one; it has the result. `shown.authorization.state` says how it ended.
    Ended {
        /// The client's page, with `authorizationId` and `result`.
        return_url: Option<String>,
    },
}

/// What follows when the person starts.
#[derive(Debug, Clone)]
pub enum StartResult {
    /// The browser is sent to Vimeo.
    Redirect {
        /// The address at Vimeo. It contains the state: do not log it.
        url: Secret,
        /// For a cookie of this browser: `HttpOnly`, `SameSite=Lax`, for the path of the callback, `Secure` if the public URL is
        /// https. The callback needs it. A browser that starts several authorizations needs a cookie for each.
        binding: Secret,
    },
    /// It cannot be started; the page shows why.
    Refused(Box<ConnectView>),
}

impl App {
    /// What the hosted page shows for a token; `None` if no authorization has it. If the authorization waits for a device, Vimeo
    /// is asked for the decision, at most once within the interval that Vimeo wants, so that the page may poll.
    pub async fn view_authorization(self: &Arc<Self>, token: &str) -> Result<Option<ConnectView>, Error> {
        let Some(row) = self.find_by_connect_token(token).await? else { return Ok(None) };
        let row = self.refresh(row).await?;
        self.view(row).await.map(Some)
    }

    /// The person starts: creates the state, of which the browser that was sent before can no longer come back. `None` if no
    /// authorization has the token.
    pub async fn start_authorization(
        self: &Arc<Self>,
        token: &str,
        remote: Option<IpAddr>,
    ) -> Result<Option<StartResult>, Error> {
        let Some(mut row) = self.find_by_connect_token(token).await? else { return Ok(None) };
        for _ in 0..STEP_ATTEMPTS {
            row = self.end_overdue(row).await?;
            let authorization = &row.authorization;
            if authorization.check_start(self.clock.now()).is_err() {
                return Ok(Some(StartResult::Refused(Box::new(self.view(row).await?))));
            }
            let account = &authorization.account_id;
            let [state, binding] = [(); 2].map(|()| new_token(account, &self.randomness));
            let url = self.permission_url(&row, &state)?;
            let mut step = Step::into(authorization, AuthorizationState::Started);
            step.actor = Actor::Guest { remote };
            step.authorization.browser = Some(BrowserTokens {
                state: self.service_keys().hash_browser_token(TokenKind::State, state.expose()),
                binding: self.service_keys().hash_browser_token(TokenKind::Binding, binding.expose()),
            });
            if self.take_step(&row, step).await?.is_some() {
                return Ok(Some(StartResult::Redirect { url, binding }));
            }
            row = self.read_again(&row).await?;
        }
        Err(Error::Overloaded)
    }

    /// The person declines on the page. Returns what the page shows then, which is something else if it was too late; `None` if no
    /// authorization has the token.
    pub async fn decline_authorization(
        self: &Arc<Self>,
        token: &str,
        remote: Option<IpAddr>,
    ) -> Result<Option<ConnectView>, Error> {
        let Some(mut row) = self.find_by_connect_token(token).await? else { return Ok(None) };
        for _ in 0..STEP_ATTEMPTS {
            row = self.end_overdue(row).await?;
            let now = self.clock.now();
            if row.authorization.check_decline(now).is_err() {
                return self.view(row).await.map(Some);
            }
            let denied = AuthorizationState::Denied { at: now };
            let step = Step { actor: Actor::Guest { remote }, ..Step::into(&row.authorization, denied) };
            if let Some(declined) = self.take_step(&row, step).await? {
                return self.view(declined).await.map(Some);
            }
            row = self.read_again(&row).await?;
        }
        Err(Error::Overloaded)
    }

    async fn find_by_connect_token(&self, token: &str) -> Result<Option<AuthorizationRow>, Error> {
        let Some(account) = account_of_token(token) else { return Ok(None) };
        for hash in self.fresh_service_keys().await?.hashes_of_browser_token(TokenKind::Connect, token) {
            let key = AuthorizationKey::ConnectToken(hash);
            if let Some(row) = self.store.find_authorization(&account, &key).await? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn permission_url(&self, row: &AuthorizationRow, state: &Secret) -> Result<Secret, Error> {
        let request = AuthorizationRequest::from_stored(&row.request)?;
        let (client, _) = self.vimeo_setup()?;
        let url = request.redirect_uri.as_deref().and_then(|redirect_uri| {
            client.permission_url(PermissionRequest {
                client_identifier: &request.client_identifier,
                redirect_uri,
                scopes: &request.scopes,
                state,
            })
        });
        url.ok_or_else(|| Error::Internal("an authorization has no redirect URI".into()))
    }

    /// What the page shows of a row.
    pub(super) async fn view(&self, row: AuthorizationRow) -> Result<ConnectView, Error> {
        let account_name = self.account(&row.authorization.account_id).await?.name;
        let shown = self.show_authorization(row).await?;
        let authorization = &shown.authorization;
        let stage = match authorization.check_decline(self.clock.now()) {
            Ok(()) => ConnectStage::Open,
            Err(StepRefusal::Exchanging) => ConnectStage::Exchanging,
            Err(_) => ConnectStage::Ended {
                return_url: shown
                    .request
                    .return_url
                    .as_ref()
                    .map(|url| url.with_result(&authorization.id, result_of(&authorization.state))),
            },
        };
        Ok(ConnectView { account_name, shown, stage })
    }
}

/// How the client's page learns that it ended.
fn result_of(state: &AuthorizationState) -> ReturnResult {
    match state {
        AuthorizationState::Completed { .. } => ReturnResult::Connected,
        AuthorizationState::Denied { .. } => ReturnResult::Denied,
        _ => ReturnResult::Failed,
    }
}
