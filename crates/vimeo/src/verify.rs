//! Verifies a set of three credentials: they exist, belong together, and have the required scopes.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use domain::connection::Credentials;
use domain::secret::Secret;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use crate::Client;
use crate::http::TransportError;
use crate::oauth::{OAuthError, TokenInfo};

/// How long after the budget a grant is still awaited, so that a late token is revoked too.
const STRAY_GRACE: Duration = Duration::from_secs(30);
/// Limit for one attempt to revoke a stray token.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Delays between attempts to revoke a stray token.
const REVOKE_PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// What the credentials are checked for.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// Scopes that the token must have.
    pub scopes: Vec<String>,
    /// Limit for the whole verification.
    pub budget: Duration,
}

/// One of the three credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Credential {
    /// The app's identifier.
    ClientIdentifier,
    /// The app's secret.
    ClientSecret,
    /// The user's token.
    AccessToken,
}

/// A definite problem with a credential. Its `Display` says how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialProblem {
    /// No app has this client identifier.
    ClientUnknown,
    /// The secret does not belong to the app.
    ClientSecretWrong,
    /// Identifier or secret is wrong; Vimeo does not say which.
    ClientRejected,
    /// The token is unknown, expired or revoked.
    TokenUnknown,
    /// The token is not bound to a user.
    TokenWithoutUser,
    /// The token belongs to another app.
    TokenOfAnotherApp,
    /// These required scopes are missing.
    TokenLacksScopes(Vec<String>),
    /// Vimeo rejected something, and this credential is enclosed in quotation marks.
    InQuotes(Credential),
}

impl CredentialProblem {
    /// The credential that is wrong.
    pub fn credential(&self) -> Credential {
        match self {
            Self::ClientUnknown | Self::ClientRejected => Credential::ClientIdentifier,
            Self::ClientSecretWrong => Credential::ClientSecret,
            Self::TokenUnknown
            | Self::TokenWithoutUser
            | Self::TokenOfAnotherApp
            | Self::TokenLacksScopes(_) => Credential::AccessToken,
            Self::InQuotes(credential) => *credential,
        }
    }
}

impl fmt::Display for CredentialProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientUnknown => f.write_str(
                "is not known to Vimeo; copy the client identifier from the app's page at developer.vimeo.com",
            ),
            Self::ClientSecretWrong => f.write_str(
                "does not belong to the client identifier; copy the client secret from the same app's page",
            ),
            Self::ClientRejected => f.write_str(
                "was refused by Vimeo together with the client secret; copy both from the same app's page",
            ),
            Self::TokenUnknown => {
                f.write_str("is unknown to Vimeo, expired or revoked; generate a new one on the app's page")
            }
            Self::TokenWithoutUser => f.write_str(
                "is not bound to a Vimeo user; generate an authenticated token (you), not an unauthenticated one",
            ),
            Self::TokenOfAnotherApp => {
                f.write_str("belongs to another app than the client identifier; use the token of the same app")
            }
            Self::InQuotes(_) => f.write_str("is in quotation marks; send it without them"),
            Self::TokenLacksScopes(scopes) => {
                let (scope, these) = if scopes.len() == 1 { ("scope", "this scope") } else { ("scopes", "these scopes") };
                write!(f, "lacks the {scope} {}; generate a new one with {these} added", scopes.join(", "))
            }
        }
    }
}

/// Why credentials could not be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// Vimeo rejected them, for these reasons; at least one.
    Rejected(Vec<CredentialProblem>),
    /// Vimeo could not be asked.
    Unknown(TransportError),
}

impl Client {
    /// Verifies the credentials with Vimeo.
    ///
    /// Runs as a task of its own. Dropping the future cancels the check of the access token. The grant always runs to
    /// completion, because its token must be revoked.
    pub async fn verify(
        &self,
        credentials: &Credentials,
        requirements: &Requirements,
    ) -> Result<(), VerifyError> {
        let (mut reply, result) = oneshot::channel();
        let (client, credentials, requirements) = (self.clone(), credentials.clone(), requirements.clone());
        // In the trace of the request, whose caller waits for it.
        let checking = async move {
            let result = tokio::select! {
                result = client.try_verify(&credentials, &requirements) => result,
                () = reply.closed() => return,
            };
            // The caller may have dropped the future.
            let _ = reply.send(result);
        };
        self.tasks.spawn(checking.in_current_span());
        result.await.unwrap_or(Err(VerifyError::Unknown(TransportError::Unreachable)))
    }

    async fn try_verify(
        &self,
        credentials: &Credentials,
        requirements: &Requirements,
    ) -> Result<(), VerifyError> {
        let deadline = Instant::now() + requirements.budget;
        let grant = self.spawn_grant(credentials.clone(), requirements.budget);
        let token_info = self.token_info(&credentials.access_token, requirements.budget);
        let (app, token) = tokio::join!(in_time(deadline, grant), in_time(deadline, token_info));
        evaluate(app, token, &requirements.scopes).map_err(|error| error.with_quote_hints(credentials))
    }

    /// Starts the grant; returns the app's URI.
    pub(crate) fn spawn_grant(
        &self,
        credentials: Credentials,
        budget: Duration,
    ) -> impl Future<Output = Result<String, OAuthError>> + use<> {
        let (reply, answer) = oneshot::channel();
        let client = self.clone();
        self.tasks.spawn(async move {
            let grant = client
                .grant(&credentials.client_identifier, &credentials.client_secret, budget + STRAY_GRACE)
                .await;
            let (app, stray_token) = match grant {
                Ok(grant) => (
                    grant.app_uri.ok_or(OAuthError::Unknown(TransportError::UnexpectedResponse)),
                    grant.stray_token,
                ),
                Err(failure) => (Err(failure), None),
            };
            // The caller may have dropped the future; the token is revoked anyway.
            let _ = reply.send(app);
            // Vimeo may return an existing token for a repeated grant, and the caller's token may be that one.
            let own_token = credentials.access_token.expose();
            if let Some(token) = stray_token.filter(|token| token.expose() != own_token) {
                client.revoke_stray(&token).await;
            }
        });
        async move { answer.await.unwrap_or(Err(OAuthError::Unknown(TransportError::Unreachable))) }
    }

    async fn revoke_stray(&self, token: &Secret) {
        let mut pauses = REVOKE_PAUSES.iter();
        while let Err(error) = self.revoke(token, REVOKE_TIMEOUT).await {
            let Some(pause) = pauses.next() else {
                tracing::warn!(%error, "a token that was created to check credentials could not be revoked at Vimeo");
                return;
            };
            sleep(*pause).await;
        }
    }
}

pub(crate) async fn in_time<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, OAuthError>>,
) -> Result<T, OAuthError> {
    timeout_at(deadline, call).await.unwrap_or(Err(OAuthError::Unknown(TransportError::Timeout)))
}

impl VerifyError {
    /// Adds the likely cause of a rejection. Credentials that Vimeo accepts may be enclosed in quotation marks.
    fn with_quote_hints(self, credentials: &Credentials) -> Self {
        let Self::Rejected(mut problems) = self else { return self };
        let quoted = [
            (credentials.client_identifier.is_in_quotes(), Credential::ClientIdentifier),
            (credentials.client_secret.is_in_quotes(), Credential::ClientSecret),
            (credentials.access_token.is_in_quotes(), Credential::AccessToken),
        ];
        let quoted = quoted.into_iter().filter(|(is_quoted, _)| *is_quoted);
        problems.extend(quoted.map(|(_, credential)| CredentialProblem::InQuotes(credential)));
        Self::Rejected(problems)
    }
}

/// Combines both results. A definite problem takes precedence over an unknown outcome.
fn evaluate(
    app: Result<String, OAuthError>,
    token: Result<TokenInfo, OAuthError>,
    needed: &[String],
) -> Result<(), VerifyError> {
    let mut problems = Vec::new();
    let mut errors = Vec::new();
    let mut classify = |failure: OAuthError| match failure {
        OAuthError::Rejected(problem) => problems.push(problem),
        OAuthError::Unknown(error) => errors.push(error),
    };
    let app = app.map_err(&mut classify).ok();
    let token = token.map_err(&mut classify).ok();
    if let Some(token) = token {
        if !token.has_user {
            problems.push(CredentialProblem::TokenWithoutUser);
        }
        if app.is_some_and(|app| app != token.app_uri) {
            problems.push(CredentialProblem::TokenOfAnotherApp);
        }
        let missing: Vec<_> = needed.iter().filter(|scope| !token.scopes.contains(scope)).cloned().collect();
        if !missing.is_empty() {
            problems.push(CredentialProblem::TokenLacksScopes(missing));
        }
    }
    if !problems.is_empty() {
        return Err(VerifyError::Rejected(problems));
    }
    // Prefer the error that gives a time for a retry, and the latest of those.
    match errors.into_iter().max_by_key(TransportError::not_before) {
        Some(error) => Err(VerifyError::Unknown(error)),
        None => Ok(()),
    }
}
