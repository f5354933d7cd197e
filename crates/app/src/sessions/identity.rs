//! Signing in at an identity provider, and confirming an identity there.
//!
//! What an attempt needs when the browser returns is in a cookie, and nothing is stored. The `state` of the request is a MAC over
//! that cookie: it returns by way of the provider, and only with the same cookie.

use domain::audit::Action;
use domain::id::SessionId;
use domain::session::{Session, SignInMethod};
use domain::time::Timestamp;
use oidc::{AccessRules, Answer, Attempt, Granted, Identity, Login, Provider, Refusal};
use thiserror::Error;

use super::{Browser, SessionError, SignedIn, StartedSession};
use crate::{App, Error};

/// How long an attempt to sign in lasts.
const ATTEMPT: std::time::Duration = std::time::Duration::from_mins(10);
/// Where the provider sends browsers.
const CALLBACK: &str = "/dashboard/sign-in/oidc/callback";

/// The identity provider, and what its people may do.
#[derive(Debug)]
pub struct IdentitySetup {
    /// Its name, for people.
    pub name: String,
    /// Its client.
    pub provider: Provider,
    /// What a person's claims allow.
    pub rules: AccessRules,
}

/// An attempt to sign in.
#[derive(Debug)]
pub struct IdentityStart {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps until it returns.
    pub cookie: String,
}

/// A browser that the provider has sent back.
#[derive(Debug)]
pub struct ReturnedBrowser<'a> {
    /// What it kept.
    pub cookie: &'a str,
    /// With what the provider sent it.
    pub answer: Answer,
    /// The person's session, if there is one.
    pub person: Option<&'a SignedIn>,
    /// The browser.
    pub browser: Browser,
}

/// What a browser wanted when it started an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptPurpose {
    /// It was to prove again who the person of a session is.
    pub is_confirmation: bool,
    /// Where the browser goes afterwards, as it was given.
    pub next: String,
}

/// An attempt that signed no one in.
#[derive(Debug)]
pub struct FailedAttempt {
    /// Why.
    pub error: IdentityError,
    /// To start it again. `None` if the browser did not start it.
    pub purpose: Option<AttemptPurpose>,
}

/// Why a person is not signed in. The comments say what to do next.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Sign in otherwise.
    #[error("no identity provider is configured")]
    NotConfigured,
    /// Start again in this browser.
    #[error("the attempt to sign in was not started in this browser, was used, or is too old")]
    Attempt,
    /// Sign in at the provider as the person of the session.
    #[error("another person signed in than the one of the session")]
    OtherPerson,
    /// See [`oidc::Error`].
    #[error(transparent)]
    Provider(#[from] oidc::Error),
    /// See [`Refusal`].
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Any other error.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<Error> for IdentityError {
    fn from(error: Error) -> Self {
        Self::Session(error.into())
    }
}

impl From<store::Error> for IdentityError {
    fn from(error: store::Error) -> Self {
        Self::Session(error.into())
    }
}

impl App {
    /// The name of the identity provider, if there is one.
    pub fn identity_provider(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| &*identity.name)
    }

    /// Starts to sign in, or to confirm the identity of `person`. `next` is returned at the end; it has only characters that a
    /// cookie may have.
    pub async fn start_identity(
        &self,
        next: &str,
        person: Option<&SignedIn>,
    ) -> Result<IdentityStart, IdentityError> {
        let (identity, redirect_uri) = self.identity_setup()?;
        let attempt = Attempt {
            started_at: self.clock.now(),
            nonce: self.random_cookie(),
            verifier: self.random_cookie(),
            login: person.map_or(Login::Any, |_| Login::Again),
        };
        let session = person.map(|person| &person.session.id);
        let cookie = encode(&attempt, session, next);
        let state = self.service_keys().sign_in_state(&cookie);
        let url = identity.provider.authorization_url(&redirect_uri, &state, &attempt).await;
        Ok(IdentityStart { url: url.inspect_err(report)?, cookie })
    }

    /// Ends an attempt: signs the person in, or confirms who they are. Returns the session, and what `next` was.
    pub async fn finish_identity(
        &self,
        returned: ReturnedBrowser<'_>,
    ) -> Result<(StartedSession, String), FailedAttempt> {
        let unknown = |error| FailedAttempt { error, purpose: None };
        let ReturnedBrowser { cookie, answer, person, browser } = returned;
        let identity = self.identity_setup().map_err(unknown)?;
        // Each makes this service send requests to the provider.
        let counted = self.failed_keys.attempt(browser.remote).map_err(Error::TooManyFailedKeys);
        let counted = counted.map_err(|error| unknown(error.into()))?;
        let is_own = self.service_keys().verify_sign_in_state(cookie, &answer.state);
        let attempt = decode(cookie).filter(|_| is_own).ok_or_else(|| unknown(IdentityError::Attempt))?;
        let (attempt, session, next) = attempt;
        let purpose = AttemptPurpose { is_confirmation: session.is_some(), next };
        let finished = async {
            let now = self.clock.now();
            if attempt.started_at.plus(ATTEMPT) <= now {
                return Err(IdentityError::Attempt);
            }
            let (setup, redirect_uri) = identity;
            let found = setup.provider.identity(&redirect_uri, &answer, &attempt, now).await;
            let found = found.inspect_err(report)?;
            counted.take_back();
            match (session, person) {
                (None, _) => self.sign_in_with_identity(&found, &browser).await,
                (Some(id), Some(person)) if person.session.id == id => {
                    self.confirm_session_with_identity(person, &found, &browser).await
                }
                // It ended meanwhile.
                (Some(_), _) => Err(SessionError::NotSignedIn.into()),
            }
        };
        match finished.await {
            Ok(started) => Ok((started, purpose.next)),
            Err(error) => Err(FailedAttempt { error, purpose: Some(purpose) }),
        }
    }

    /// Signs a person in whom the provider has identified.
    async fn sign_in_with_identity(
        &self,
        identity: &Identity,
        browser: &Browser,
    ) -> Result<StartedSession, IdentityError> {
        let (account_id, Granted { person, role, .. }) = self.grant(identity).await?;
        let session = self.new_session(account_id, (SignInMethod::Oidc, person), role.scopes(), browser);
        let session = Session { role: Some(role), subject: Some(identity.subject()), ..session };
        Ok(self.start_session(session, browser.remote).await?)
    }

    /// Proves again who the person of a session is. The browser gets another token, and the session the role that the person has
    /// at the provider now.
    async fn confirm_session_with_identity(
        &self,
        person: &SignedIn,
        identity: &Identity,
        browser: &Browser,
    ) -> Result<StartedSession, IdentityError> {
        let (account_id, granted) = self.grant(identity).await?;
        if person.session.subject != Some(identity.subject()) || person.session.account_id != account_id {
            return Err(IdentityError::OtherPerson);
        }
        let now = self.clock.now();
        let session = Session {
            authenticated_at: now,
            last_seen_at: now,
            role: Some(granted.role),
            scopes: granted.role.scopes(),
            ..person.session.clone()
        };
        let (row, token) = self.new_session_row(session);
        let event = self.session_event(&row.session, browser.remote, Action::ConfirmSession);
        Ok(self.replace_session(&person.row, row, &event, token).await?)
    }

    /// What the person may do, and in which account.
    async fn grant(&self, identity: &Identity) -> Result<(domain::id::AccountId, Granted), IdentityError> {
        let (setup, _) = self.identity_setup()?;
        let refused = |refusal: Refusal| {
            // Without the claims: they are about a person.
            let refusal: &(dyn std::error::Error + 'static) = &refusal;
            tracing::warn!(
                error = refusal,
                "a person was not signed in whom the identity provider has identified"
            );
        };
        let granted = setup.rules.apply(identity.claims()).inspect_err(|refusal| refused(*refusal))?;
        for name in &granted.accounts {
            if let Some(account) = self.store.find_account_by_name(name).await? {
                return Ok((account.id, granted));
            }
        }
        refused(Refusal::NoAccount);
        Err(Refusal::NoAccount.into())
    }

    /// The provider, and where it sends browsers.
    fn identity_setup(&self) -> Result<(&super::IdentitySetup, String), IdentityError> {
        let identity = self.identity.as_ref().ok_or(IdentityError::NotConfigured)?;
        // The configuration requires it.
        let public = self.public_url().ok_or(IdentityError::NotConfigured)?;
        Ok((identity, public.join(CALLBACK)))
    }
}

/// Logs what the operator can do something about.
fn report(failure: &oidc::Error) {
    let error: &(dyn std::error::Error + 'static) = failure;
    match failure {
        oidc::Error::Denied => {}
        oidc::Error::Misconfigured(_) => tracing::error!(
            error,
            "no one can sign in at the identity provider: compare oidc.* with what is registered there"
        ),
        oidc::Error::Unavailable(_) => {
            tracing::warn!(error, "a person could not sign in at the identity provider");
        }
        oidc::Error::NotAccepted(_) => tracing::warn!(error, "a person was not signed in"),
    }
}

/// The cookie of an attempt: digits, dots and `next`.
fn encode(attempt: &Attempt, session: Option<&SessionId>, next: &str) -> String {
    let Attempt { started_at, nonce, verifier, .. } = attempt;
    let session = session.map_or("", SessionId::as_str);
    format!("{}.{nonce}.{verifier}.{session}.{next}", started_at.as_micros())
}

/// The attempt of a cookie, the session that it confirms, and `next`.
fn decode(cookie: &str) -> Option<(Attempt, Option<SessionId>, String)> {
    let mut parts = cookie.splitn(5, '.');
    let started_at = Timestamp::from_micros(parts.next()?.parse().ok()?);
    let (nonce, verifier) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let session = match parts.next()? {
        "" => None,
        id => Some(SessionId::parse(id)?),
    };
    let login = session.as_ref().map_or(Login::Any, |_| Login::Again);
    Some((Attempt { started_at, nonce, verifier, login }, session, parts.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_has_all_of_an_attempt() {
        let id = SessionId::from_random([1; 16]);
        for session in [None, Some(id)] {
            let attempt = Attempt {
                started_at: Timestamp::from_micros(1_769_850_300_042_000),
                nonce: "a".repeat(64),
                verifier: "b".repeat(64),
                login: session.as_ref().map_or(Login::Any, |_| Login::Again),
            };
            let cookie = encode(&attempt, session.as_ref(), "%2Fdashboard%3Fa.b");
            let (read, of, next) = decode(&cookie).unwrap();
            assert_eq!((read.started_at, &read.nonce), (attempt.started_at, &attempt.nonce));
            assert_eq!((&read.verifier, read.login), (&attempt.verifier, attempt.login));
            assert_eq!((of, &*next), (session, "%2Fdashboard%3Fa.b"));
        }
    }

    #[test]
    fn a_cookie_that_the_service_does_not_write_is_no_attempt() {
        for bad in ["", "1", "1.a.b", "1.a.b.", "x.a.b..n", "1.a.b.session.n"] {
            assert!(decode(bad).is_none(), "{bad}");
        }
    }
}
