//! Checking a set of three credentials: do they exist, belong together, and suffice?

use std::fmt;
use std::future::Future;
use std::time::Duration;

use domain::connection::Credentials;
use domain::secret::Secret;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Client;
use crate::http::TransportError;
use crate::oauth::{OAuthError, TokenInfo};

/// How much longer than the budget a grant is waited for, so that a token which comes late is revoked too.
const STRAY_GRACE: Duration = Duration::from_secs(30);
/// How long one attempt to revoke a stray token may take.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses between attempts to revoke a stray token.
const REVOKE_PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10)];

/// What credentials must be good for.
#[derive(Debug, Clone)]
pub struct Requirements {
    /// Scopes that the token must have.
    pub scopes: Vec<String>,
    /// How long the whole check may take.
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

/// Something that Vimeo definitely found wrong. Its text says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialProblem {
    /// No app has this client identifier.
    ClientUnknown,
    /// The app has another secret.
    ClientSecretWrong,
    /// Identifier or secret: Vimeo did not say which.
    ClientRejected,
    /// Vimeo does not know the token, or no longer.
    TokenUnknown,
    /// The token stands for an app alone.
    TokenWithoutUser,
    /// The token was made with another app.
    TokenOfAnotherApp,
    /// The token may not do what is needed.
    TokenLacksScopes(Vec<String>),
    /// Something was refused, and this one begins and ends with a quotation mark.
    InQuotes(Credential),
}

impl CredentialProblem {
    /// Which of the three is at fault.
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

/// Why credentials are not known to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyError {
    /// They are not: all that was found, at least one.
    Rejected(Vec<CredentialProblem>),
    /// Nobody knows: Vimeo could not be asked.
    Unknown(TransportError),
}

impl Client {
    /// Asks Vimeo whether the credentials are good; `Ok` if they are.
    ///
    /// The asking is a task of its own, not part of the caller's. A caller who drops this future stops the question
    /// about the access token; the grant goes on to its end, because the token that it brings must be revoked.
    pub async fn verify(
        &self,
        credentials: &Credentials,
        requirements: &Requirements,
    ) -> Result<(), VerifyError> {
        let (mut reply, verdict) = oneshot::channel();
        let (client, credentials, requirements) = (self.clone(), credentials.clone(), requirements.clone());
        self.tasks.spawn(async move {
            let verdict = tokio::select! {
                verdict = client.check(&credentials, &requirements) => verdict,
                () = reply.closed() => return,
            };
            // Whoever asked may have gone in this very moment.
            let _ = reply.send(verdict);
        });
        verdict.await.unwrap_or(Err(VerifyError::Unknown(TransportError::Unreachable)))
    }

    async fn check(&self, credentials: &Credentials, requirements: &Requirements) -> Result<(), VerifyError> {
        let deadline = Instant::now() + requirements.budget;
        let granted = self.spawn_grant(credentials.clone(), requirements.budget);
        let token_info = self.token_info(&credentials.access_token, requirements.budget);
        let (app, token) = tokio::join!(in_time(deadline, granted), in_time(deadline, token_info));
        evaluate(app, token, &requirements.scopes).map_err(|error| error.naming_quotes(credentials))
    }

    /// Starts the grant; gives the app's URI.
    fn spawn_grant(
        &self,
        credentials: Credentials,
        budget: Duration,
    ) -> impl Future<Output = Result<String, OAuthError>> + use<> {
        let (reply, answer) = oneshot::channel();
        let client = self.clone();
        self.tasks.spawn(async move {
            let granted = client
                .grant(&credentials.client_identifier, &credentials.client_secret, budget + STRAY_GRACE)
                .await;
            let (app, stray_token) = match granted {
                Ok(grant) => (
                    grant.app_uri.ok_or(OAuthError::Unknown(TransportError::UnexpectedResponse)),
                    grant.stray_token,
                ),
                Err(failure) => (Err(failure), None),
            };
            // Whoever asked may have gone; the token is revoked all the same.
            let _ = reply.send(app);
            // A server may give one token for each grant of a client, and the caller may have shown us that one.
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

async fn in_time<T>(
    deadline: Instant,
    question: impl Future<Output = Result<T, OAuthError>>,
) -> Result<T, OAuthError> {
    timeout_at(deadline, question).await.unwrap_or(Err(OAuthError::Unknown(TransportError::Timeout)))
}

impl VerifyError {
    /// Adds what a error_body is probably due to. What is verified may be in quotation marks all the same.
    fn naming_quotes(self, credentials: &Credentials) -> Self {
        let Self::Rejected(mut findings) = self else { return self };
        let quoted = [
            (credentials.client_identifier.is_in_quotes(), Credential::ClientIdentifier),
            (credentials.client_secret.is_in_quotes(), Credential::ClientSecret),
            (credentials.access_token.is_in_quotes(), Credential::AccessToken),
        ];
        let quoted = quoted.into_iter().filter(|(is_quoted, _)| *is_quoted);
        findings.extend(quoted.map(|(_, credential)| CredentialProblem::InQuotes(credential)));
        Self::Rejected(findings)
    }
}

/// Any definite error_body counts, with all that was found; otherwise any doubt.
fn evaluate(
    app: Result<String, OAuthError>,
    token: Result<TokenInfo, OAuthError>,
    needed: &[String],
) -> Result<(), VerifyError> {
    let mut findings = Vec::new();
    let mut doubts = Vec::new();
    let mut classify = |failure: OAuthError| match failure {
        OAuthError::Rejected(finding) => findings.push(finding),
        OAuthError::Unknown(error) => doubts.push(error),
    };
    let app = app.map_err(&mut classify).ok();
    let token = token.map_err(&mut classify).ok();
    if let Some(token) = token {
        if !token.has_user {
            findings.push(CredentialProblem::TokenWithoutUser);
        }
        if app.is_some_and(|app| app != token.app_uri) {
            findings.push(CredentialProblem::TokenOfAnotherApp);
        }
        let lacking: Vec<_> = needed.iter().filter(|scope| !token.scopes.contains(scope)).cloned().collect();
        if !lacking.is_empty() {
            findings.push(CredentialProblem::TokenLacksScopes(lacking));
        }
    }
    if !findings.is_empty() {
        return Err(VerifyError::Rejected(findings));
    }
    // Of two doubts the one that says when to come back is worth more; of two that say so, the later.
    match doubts.into_iter().max_by_key(TransportError::not_before) {
        Some(error) => Err(VerifyError::Unknown(error)),
        None => Ok(()),
    }
}
