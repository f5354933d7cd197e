//! Creating an authorization.

use std::time::Duration;

use domain::audit::Action;
use domain::authorization::{AUTHORIZATION_LIFETIME, Authorization, AuthorizationState, Flow};
use domain::connection::{ClientIdentifier, ClientSecret, ConnectionName, Description};
use domain::id::ConnectionId;
use domain::idempotency::Operation;
use domain::secret::Secret;
use seal::browser_tokens::{TokenKind, new_token};
use store::{Counted, NewAuthorization};
use vimeo::{AppCredentials, GrantError};

use super::content::{AuthorizationRequest, AuthorizationSecrets, AuthorizationTarget, DevicePrompt};
use super::reading::ShownAuthorization;
use super::return_url::ReturnUrl;
use super::{CALLBACK_PATH, CONNECT_PATH};
use crate::connections::open_credentials;
use crate::idempotency::{Creation, IdempotencyGuard};
use crate::{App, Caller, Error, IdempotentRequest, Outcome};

/// Without this scope, a token allows nothing at all.
const PUBLIC: &str = "public";

/// An authorization to create.
#[derive(Debug, Clone)]
pub struct AuthorizationDraft {
    /// How the person decides.
    pub flow: DraftFlow,
    /// What becomes of the token.
    pub target: DraftTarget,
    /// The scopes to ask for; empty: `public` and those that connections need.
    pub scopes: Vec<String>,
    /// Where the person is sent at the end.
    pub return_url: Option<ReturnUrl>,
}

/// How the person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftFlow {
    /// On a page of Vimeo to which the hosted page sends the browser.
    Redirect,
    /// By entering a code at Vimeo.
    Device,
}

/// What becomes of the token.
#[derive(Debug, Clone)]
pub enum DraftTarget {
    /// A new connection with this app.
    Create {
        /// Its name.
        name: ConnectionName,
        /// Its description.
        description: Option<Description>,
        /// The app.
        app: (ClientIdentifier, ClientSecret),
    },
    /// A new token for an existing connection.
    Renew {
        /// The connection.
        connection_id: ConnectionId,
        /// Another app; `None`: the connection's.
        app: Option<(ClientIdentifier, ClientSecret)>,
    },
}

/// A new authorization.
#[derive(Debug, Clone)]
pub struct CreatedAuthorization {
    /// The authorization.
    pub shown: ShownAuthorization,
    /// The hosted page for the person, returned only here; `None` if the service has no public URL.
    pub connect_url: Option<Secret>,
}

impl App {
    /// Creates an authorization. With the device flow, Vimeo is asked for a code. [`Error::PublicUrlMissing`] if the hosted page,
    /// which the redirect flow needs, has no address.
    pub async fn create_authorization(
        &self,
        caller: &Caller,
        draft: AuthorizationDraft,
        idempotency: Option<IdempotentRequest<'_, CreatedAuthorization>>,
    ) -> Result<Outcome<CreatedAuthorization>, Error> {
        let request = idempotency.as_ref().map(|request| (&request.key, request.body));
        let creation = Creation { operation: Operation::CreateAuthorization, connection: None };
        self.idempotent(caller, creation, request, async |guard| {
            let (account, limit) = (&caller.account_id, caller.limits.open_authorizations);
            let place = self.usage.reserve(&*self.store, account, Counted::OpenAuthorizations, limit).await?;
            place.settle(self.insert_authorization(caller, draft, (idempotency.as_ref(), guard)).await)
        })
        .await
    }

    /// The scopes that connections need and that are missing in these; none if these are empty.
    pub fn missing_scopes(&self, scopes: &[String]) -> Vec<String> {
        let required = self.vimeo_setup().map(|(_, requirements)| requirements.scopes.as_slice());
        let required = required.unwrap_or_default();
        if scopes.is_empty() { Vec::new() } else { missing(required, scopes) }
    }

    async fn insert_authorization(
        &self,
        caller: &Caller,
        draft: AuthorizationDraft,
        (idempotency, guard): (
            Option<&IdempotentRequest<'_, CreatedAuthorization>>,
            Option<&IdempotencyGuard>,
        ),
    ) -> Result<CreatedAuthorization, Error> {
        let account = &caller.account_id;
        let flow = draft.flow;
        let (request, client_secret) = self.resolve(caller, draft).await?;
        let id = self.next_id();
        let created_at = id.at();
        let app = AppCredentials { identifier: &request.client_identifier, secret: &client_secret };
        let (device, lifetime) = match flow {
            DraftFlow::Redirect => (None, AUTHORIZATION_LIFETIME),
            DraftFlow::Device => {
                let (device, lifetime) = self.start_device_flow(app, &request.scopes).await?;
                (Some(device), lifetime.min(AUTHORIZATION_LIFETIME))
            }
        };
        let authorization = Authorization {
            id: id.into_authorization_id(),
            account_id: account.clone(),
            created_at,
            expires_at: created_at.plus(lifetime),
            version: 1,
            flow: match &device {
                None => Flow::Redirect,
                Some((_, prompt)) => Flow::Device {
                    next_poll_at: created_at.plus(Duration::from_secs(prompt.interval_seconds)),
                },
            },
            browser: None,
            state: AuthorizationState::Pending,
            last_failure: None,
        };
        let stored_request = request.to_stored();
        let secrets = AuthorizationSecrets { client_secret, device };
        let key = self.account_key(account).await?;
        let sealed = secrets.seal((&authorization.id, &stored_request), &key, &self.randomness)?;
        let token = new_token(account, &self.randomness);
        let connect_hash = self.service_keys().hash_browser_token(TokenKind::Connect, token.expose());
        let device = secrets.device.map(|(_, prompt)| prompt);
        let shown =
            ShownAuthorization { authorization: authorization.clone(), request, device, outcome: None };
        let connect_url = self.public_url.as_ref();
        let connect_url =
            connect_url.map(|url| Secret::new(url.join(&format!("{CONNECT_PATH}{}", token.expose()))));
        let created = CreatedAuthorization { shown, connect_url };
        let completion = match (idempotency, guard) {
            (Some(IdempotentRequest { key, present, .. }), Some(guard)) => {
                guard.completion(self.seal_answer(account, key, &present(&created)).await?)
            }
            _ => None,
        };
        let subject = Some(authorization.id.to_string());
        let event = self.audit_event(account, caller.actor.clone(), Action::CreateAuthorization, subject);
        let new = NewAuthorization {
            authorization,
            request: stored_request,
            connect_hash,
            sealed,
            event,
            completion,
        };
        self.store.insert_authorization(account, new).await?;
        Ok(created)
    }

    /// What the person is asked for, and the app's secret.
    async fn resolve(
        &self,
        caller: &Caller,
        draft: AuthorizationDraft,
    ) -> Result<(AuthorizationRequest, ClientSecret), Error> {
        let redirect_uri = match (draft.flow, &self.public_url) {
            (DraftFlow::Device, _) => None,
            (DraftFlow::Redirect, Some(url)) => Some(url.join(CALLBACK_PATH)),
            (DraftFlow::Redirect, None) => {
                tracing::warn!("an authorization needs the address of the hosted page: set public_url");
                return Err(Error::PublicUrlMissing);
            }
        };
        let account = &caller.account_id;
        let (target, (client_identifier, client_secret)) = match draft.target {
            DraftTarget::Create { name, description, app } => {
                // Saves the person the effort. The exchange checks the name again.
                let holder = self.store.find_connection_id_by_name(account, name.unique_part()).await?;
                if holder.is_some() {
                    return Err(Error::ConnectionNameExists);
                }
                (AuthorizationTarget::Create { name, description }, app)
            }
            DraftTarget::Renew { connection_id, app } => {
                let found = self.store.find_sealed_connection(account, &connection_id).await?;
                let (connection, sealed) = found.ok_or(Error::ConnectionNotFound)?;
                let app = if let Some(app) = app {
                    app
                } else {
                    let key = self.account_key(account).await?;
                    let secrets = open_credentials(&key, &connection, &sealed)?;
                    (connection.client_identifier, secrets.client_secret)
                };
                (AuthorizationTarget::Renew { connection_id, name: connection.name }, app)
            }
        };
        let scopes = if draft.scopes.is_empty() { self.default_scopes()? } else { draft.scopes };
        let return_url = draft.return_url;
        let request = AuthorizationRequest { target, client_identifier, scopes, return_url, redirect_uri };
        Ok((request, client_secret))
    }

    fn default_scopes(&self) -> Result<Vec<String>, Error> {
        let (_, requirements) = self.vimeo_setup()?;
        let mut scopes = requirements.scopes.clone();
        if !scopes.iter().any(|scope| scope == PUBLIC) {
            scopes.insert(0, PUBLIC.to_owned());
        }
        Ok(scopes)
    }

    async fn start_device_flow(
        &self,
        app: AppCredentials<'_>,
        scopes: &[String],
    ) -> Result<((Secret, DevicePrompt), Duration), Error> {
        let (client, _) = self.vimeo_setup()?;
        let device = client.start_device_flow(app, scopes).await.map_err(|error| match error {
            GrantError::Client(problem) => Error::CredentialsRejected(vec![problem]),
            GrantError::Unknown(error) => self.vimeo_unavailable(&error),
            other => Error::Internal(Box::new(other)),
        })?;
        let prompt = DevicePrompt {
            user_code: device.user_code,
            activate_url: device.activate_url,
            interval_seconds: device.interval_seconds,
        };
        Ok(((device.device_code, prompt), Duration::from_secs(device.lifetime_seconds)))
    }
}

/// The required scopes that are not among these.
pub(super) fn missing(required: &[String], scopes: &[String]) -> Vec<String> {
    required.iter().filter(|scope| !scopes.contains(scope)).cloned().collect()
}
