//! Polling the decision of a device flow. It happens when somebody asks for the authorization.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Actor;
use domain::authorization::{Authorization, AuthorizationState, FailureReason, Flow, PollDecision};
use store::AuthorizationRow;
use vimeo::{AppCredentials, GrantError, GrantedToken};

use super::content::{AuthorizationRequest, AuthorizationSecrets};
use super::steps::{STEP_ATTEMPTS, Step, Tried};
use crate::{App, Error};

impl App {
    /// Asks Vimeo for the decision, if it may be asked now. The poll is reserved by moving the next one on, so that of several nodes
    /// one asks. It runs to its end even if the client disconnects: Vimeo returns a token once.
    pub(super) async fn poll_if_due(
        self: &Arc<Self>,
        row: AuthorizationRow,
    ) -> Result<AuthorizationRow, Error> {
        if row.authorization.check_poll(self.clock.now()) != PollDecision::Poll {
            return Ok(row);
        }
        let app = self.clone();
        let polling = self.tasks.spawn(async move { app.poll_authorization(row).await });
        polling.await.map_err(|error| Error::Internal(Box::new(error)))?
    }

    async fn poll_authorization(&self, row: AuthorizationRow) -> Result<AuthorizationRow, Error> {
        let key = self.account_key(&row.authorization.account_id).await?;
        let Some(AuthorizationSecrets { client_secret, device: Some((device_code, prompt)) }) =
            AuthorizationSecrets::open(&row, &key)?
        else {
            return Ok(row);
        };
        let next_poll_at = self.clock.now().plus(Duration::from_secs(prompt.interval_seconds));
        let state = row.authorization.state.clone();
        let mut step = Step::into(&row.authorization, state);
        step.action = None;
        step.authorization = Authorization { flow: Flow::Device { next_poll_at }, ..step.authorization };
        let Some(row) = self.take_step(&row, step).await? else { return self.read_again(&row).await };
        let request = AuthorizationRequest::from_stored(&row.request)?;
        let app = AppCredentials { identifier: &request.client_identifier, secret: &client_secret };
        let (client, _) = self.vimeo_setup()?;
        match client.poll_device_flow(app, &device_code, &prompt.user_code).await {
            Ok(granted) => self.use_granted(row, granted).await,
            Err(GrantError::Pending | GrantError::Unknown(_)) => Ok(row),
            Err(GrantError::Denied) => {
                let denied = AuthorizationState::Denied { at: self.clock.now() };
                self.end(row, (denied, None), &Actor::Service).await
            }
            Err(GrantError::Expired) => {
                let expired = AuthorizationState::Expired { at: self.clock.now() };
                self.end(row, (expired, None), &Actor::Service).await
            }
            Err(GrantError::Client(_)) => {
                self.fail(row, FailureReason::ClientRejected, &Actor::Service).await.map(Tried::into_row)
            }
            Err(GrantError::CodeRejected) => {
                self.fail(row, FailureReason::CodeRejected, &Actor::Service).await.map(Tried::into_row)
            }
        }
    }

    /// Another step, such as the next poll, may have been taken while Vimeo was asked. The token exists only here.
    async fn use_granted(
        &self,
        row: AuthorizationRow,
        granted: GrantedToken,
    ) -> Result<AuthorizationRow, Error> {
        let mut row = row;
        for _ in 0..STEP_ATTEMPTS {
            if row.authorization.check_decline(self.clock.now()).is_err() {
                return Ok(row);
            }
            match self.begin_exchange(&row).await? {
                Some((row, id)) => {
                    return self.use_token(row, (id, granted), &Actor::Service).await.map(Tried::into_row);
                }
                None => row = self.read_again(&row).await?,
            }
        }
        Err(Error::Overloaded)
    }
}
