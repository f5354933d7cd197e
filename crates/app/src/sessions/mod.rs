//! Sessions of the dashboard: signing in with an API key or a link, authenticating requests, confirming an identity, and
//! ending sessions.

mod identity;
mod links;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::account::{Account, Label};
use domain::api_key::{KeyStatus, PlainKey};
use domain::audit::{Action, Actor, AuditEvent};
use domain::id::{AccountId, SessionId};
use domain::scope::Scopes;
use domain::session::{
    Session, SessionRow, SessionState, SessionStatus, SessionToken, SignInMethod, stored_user_agent,
};
use domain::time::Timestamp;
use seal::service::ServiceKeys;
use store::{Changed, FoundSession, SessionUpdate};
use thiserror::Error;

use crate::{App, Authentication, Caller, CallerRates, Error};

pub use identity::{
    AttemptPurpose, FailedAttempt, IdentityError, IdentitySetup, IdentityStart, ReturnedBrowser,
};
pub use links::{LinkOptions, ShownLink, SignInLink};

/// How long after the last stored request another one is stored.
const TOUCH_AFTER: Duration = Duration::from_mins(1);
/// How many sessions and links of an account are listed.
const LISTED: u32 = 200;

/// How long sessions of the dashboard last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// A session ends after this time without a request.
    pub idle: Duration,
    /// A session ends this long after the sign-in.
    pub lifetime: Duration,
}

/// The browser of a person.
#[derive(Debug, Clone, Default)]
pub struct Browser {
    /// Its IP address.
    pub remote: Option<IpAddr>,
    /// What it calls itself.
    pub user_agent: Option<String>,
}

/// A session that was started or renewed, and what its browser presents from now on.
#[derive(Debug)]
pub struct StartedSession {
    /// The session.
    pub session: Session,
    /// For the cookie. It is not stored.
    pub token: SessionToken,
}

/// A person with an active session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The caller of operations.
    pub caller: Caller,
    /// The session.
    pub session: Session,
    /// Whether the person proved recently who they are.
    pub is_recent: bool,
    /// The name of the account.
    pub account_name: Label,
    /// The buckets of the account; nothing was taken from them yet.
    pub rates: Arc<CallerRates>,
    row: SessionRow,
}

/// Why a session or a link is not accepted. The comments say what to do next.
#[derive(Debug, Error)]
pub enum SessionError {
    /// Sign in again.
    #[error("the session is unknown, was ended, or has expired")]
    NotSignedIn,
    /// Use an active API key of this account.
    #[error("the API key is not accepted")]
    KeyRefused,
    /// Ask for another link.
    #[error("the sign-in link is unknown, was used or withdrawn, or has expired")]
    LinkRefused,
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

impl From<store::Error> for SessionError {
    fn from(error: store::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Whether the row was written by this service for this token.
fn is_genuine(keys: &ServiceKeys, row: &SessionRow, token: &SessionToken) -> bool {
    let is_authentic = keys.verify_session(row);
    if !is_authentic {
        tracing::error!(
            session = %row.session.id,
            "the row of a session was not written by this service, or was changed since: it is not accepted"
        );
    }
    is_authentic && keys.verify_session_token(token, &row.token)
}

impl App {
    /// Signs a person in with an API key. The session allows what the key allows, and ends with it.
    pub async fn sign_in_with_key(
        &self,
        key: &PlainKey,
        browser: &Browser,
    ) -> Result<StartedSession, SessionError> {
        let Authentication { caller, .. } = self.check_key(key, browser.remote).await?;
        let Actor::ApiKey { key_id, name, .. } = caller.actor else { return Err(SessionError::KeyRefused) };
        let session =
            self.new_session(caller.account_id, (SignInMethod::ApiKey(key_id), name), caller.scopes, browser);
        let end = session.expires_at;
        let expires_at = caller.expires_at.map_or(end, |expiry| expiry.min(end));
        self.start_session(Session { expires_at, ..session }, browser.remote).await
    }

    /// Authenticates a request. [`SessionError::NotSignedIn`] for every reason to refuse it.
    pub async fn authenticate_session(
        &self,
        token: &SessionToken,
        remote: Option<IpAddr>,
    ) -> Result<SignedIn, SessionError> {
        let found = self.find_active_session(token).await?;
        let read_at = found.read_at;
        if found.row.session.last_seen_at.plus(TOUCH_AFTER) <= read_at {
            let (account_id, id) = (&token.account_id, &token.session_id);
            self.store.touch_dashboard_session(account_id, id, read_at).await?;
        }
        Ok(self.signed_in(found, remote))
    }

    /// Whether a session is still active, for streams. They are no activity of the person: the session ends when it is idle
    /// all the same.
    pub async fn is_session_active(&self, token: &SessionToken) -> Result<bool, Error> {
        match self.find_active_session(token).await {
            Ok(_) => Ok(true),
            Err(SessionError::Other(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The session of a token, if it is active. [`SessionError::NotSignedIn`] for every reason to refuse it.
    async fn find_active_session(&self, token: &SessionToken) -> Result<FoundSession, SessionError> {
        let (account_id, id) = (&token.account_id, &token.session_id);
        let found = self.store.find_dashboard_session(account_id, id, self.clock.now()).await?;
        let keys = self.fresh_service_keys().await?;
        let found = found.filter(|found| is_genuine(&keys, &found.row, token));
        let found = found.ok_or(SessionError::NotSignedIn)?;
        let session = &found.row.session;
        if session.status(found.read_at, self.sessions.idle) != SessionStatus::Active
            || !self.is_key_active(session, found.read_at).await?
        {
            return Err(SessionError::NotSignedIn);
        }
        Ok(found)
    }

    /// Proves again who the person is, with an API key of the account that is active. The browser gets another token.
    pub async fn confirm_session(
        &self,
        person: &SignedIn,
        key: &PlainKey,
        browser: &Browser,
    ) -> Result<StartedSession, SessionError> {
        let Authentication { caller, .. } = self.check_key(key, browser.remote).await?;
        // A key that allows less than the session proves less.
        if caller.account_id != person.caller.account_id
            || person.session.scopes.first_beyond(caller.scopes).is_some()
        {
            return Err(SessionError::KeyRefused);
        }
        let now = self.clock.now();
        let session = Session { authenticated_at: now, last_seen_at: now, ..person.session.clone() };
        let (row, token) = self.new_session_row(session);
        let event = self.session_event(&row.session, browser.remote, Action::ConfirmSession);
        self.replace_session(&person.row, row, &event, token).await
    }

    /// Ends the person's session.
    pub async fn sign_out(&self, person: &SignedIn) -> Result<(), SessionError> {
        let account_id = &person.caller.account_id;
        let event = self.audit_event(
            account_id,
            person.caller.actor.clone(),
            Action::SignOut,
            Some(person.session.id.to_string()),
        );
        let update = SessionUpdate { expected: person.row.mac, row: self.ended(&person.row) };
        // After a concurrent change, such as a revocation, it ends as well.
        match self.store.update_dashboard_session(account_id, update, &event).await? {
            Changed::Yes => Ok(()),
            Changed::No => Ok(self.revoke_session(&person.caller, &person.session.id).await?),
        }
    }

    /// Ends a session of the caller's account, or withdraws a sign-in link. Revoking what has ended has no effect.
    pub async fn revoke_session(&self, caller: &Caller, id: &SessionId) -> Result<(), Error> {
        loop {
            let now = self.clock.now();
            let found = self.store.find_dashboard_session(&caller.account_id, id, now).await?;
            let Some(FoundSession { row, .. }) = found else { return Err(Error::SessionNotFound) };
            if row.session.state == SessionState::Ended && self.service_keys().verify_session(&row) {
                return Ok(());
            }
            let update = SessionUpdate { expected: row.mac, row: self.ended(&row) };
            let subject = Some(id.to_string());
            let actor = caller.actor.clone();
            let event = self.audit_event(&caller.account_id, actor, Action::RevokeSession, subject);
            let account = &caller.account_id;
            if self.store.update_dashboard_session(account, update, &event).await? == Changed::Yes {
                return Ok(());
            }
        }
    }

    /// The active sessions and unused links of the caller's account, newest first.
    pub async fn list_sessions(&self, caller: &Caller) -> Result<Vec<(Session, SessionStatus)>, Error> {
        let now = self.clock.now();
        let rows = self.store.list_dashboard_sessions(&caller.account_id, now, LISTED).await?;
        let shown = rows.into_iter().filter(|row| self.service_keys().verify_session(row)).map(|row| {
            let status = row.session.status(now, self.sessions.idle);
            (row.session, status)
        });
        Ok(shown.filter(|(_, status)| *status != SessionStatus::Idle).collect())
    }

    /// What the forms of a page carry, for whom they belong to: a session or a guest's cookie.
    pub fn form_token(&self, owner: &str) -> String {
        self.service_keys().form_token(owner)
    }

    /// Whether a form was made for this owner.
    pub fn verify_form_token(&self, owner: &str, token: &str) -> bool {
        self.service_keys().verify_form_token(owner, token)
    }

    /// 32 random bytes in hexadecimal digits, for the cookie of a browser without a session.
    pub fn random_cookie(&self) -> String {
        let bytes: [u8; 32] = self.randomness.bytes();
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
    }

    async fn check_key(
        &self,
        key: &PlainKey,
        remote: Option<IpAddr>,
    ) -> Result<Authentication, SessionError> {
        self.authenticate(key, remote).await.map_err(|error| match error {
            Error::Unauthorized => SessionError::KeyRefused,
            error => SessionError::Other(error),
        })
    }

    /// Whether the key that the person signed in with is still active, if there is one.
    async fn is_key_active(&self, session: &Session, at: Timestamp) -> Result<bool, Error> {
        let Some(key_id) = session.method.key_id() else { return Ok(true) };
        let row = self.store.find_api_key(key_id).await?;
        Ok(row.is_some_and(|row| self.status(&row, at) == KeyStatus::Active))
    }

    fn signed_in(&self, found: FoundSession, remote: Option<IpAddr>) -> SignedIn {
        let FoundSession { row, account_name, limits, read_at } = found;
        let session = row.session.clone();
        let limits = limits.over(&self.limits.load().account);
        let share = self.shares.of(&session.account_id);
        self.shares.note_request(&share);
        let caller = Caller {
            account_id: session.account_id.clone(),
            actor: actor(&session, remote),
            scopes: session.scopes,
            expires_at: Some(session.expires_at).filter(|_| session.method.key_id().is_some()),
            limits,
            share,
        };
        let rates = Arc::new(self.rates.of_account(&session.account_id, &limits));
        SignedIn { caller, is_recent: session.is_recent(read_at), session, account_name, rates, row }
    }

    /// A session that starts now in a browser, without a role.
    fn new_session(
        &self,
        account_id: AccountId,
        (method, person): (SignInMethod, Label),
        scopes: Scopes,
        browser: &Browser,
    ) -> Session {
        let now = self.clock.now();
        Session {
            id: SessionId::from_random(self.randomness.bytes()),
            account_id,
            state: SessionState::Active,
            method,
            person,
            role: None,
            scopes,
            created_at: now,
            authenticated_at: now,
            expires_at: now.plus(self.sessions.lifetime),
            last_seen_at: now,
            remote: browser.remote.map(|remote| remote.to_string()),
            user_agent: browser.user_agent.as_deref().and_then(stored_user_agent),
            subject: None,
        }
    }

    /// Stores a new session.
    async fn start_session(
        &self,
        session: Session,
        remote: Option<IpAddr>,
    ) -> Result<StartedSession, SessionError> {
        let (row, token) = self.new_session_row(session);
        let event = self.session_event(&row.session, remote, Action::SignIn);
        self.store.insert_dashboard_session(&row.session.account_id, &row, &event).await?;
        Ok(StartedSession { session: row.session, token })
    }

    /// A session with the hash of a new token.
    fn new_session_row(&self, session: Session) -> (SessionRow, SessionToken) {
        let (account_id, id) = (session.account_id.clone(), session.id.clone());
        let token = SessionToken::from_random(account_id, id, self.randomness.bytes());
        let hash = self.service_keys().hash_session_token(&token);
        let mac = self.service_keys().mac_session(&session, &hash);
        (SessionRow { session, token: hash, mac }, token)
    }

    fn ended(&self, row: &SessionRow) -> SessionRow {
        let session = Session { state: SessionState::Ended, ..row.session.clone() };
        let mac = self.service_keys().mac_session(&session, &row.token);
        SessionRow { session, token: row.token.clone(), mac }
    }

    async fn replace_session(
        &self,
        before: &SessionRow,
        row: SessionRow,
        event: &AuditEvent,
        token: SessionToken,
    ) -> Result<StartedSession, SessionError> {
        let update = SessionUpdate { expected: before.mac, row: row.clone() };
        match self.store.update_dashboard_session(&row.session.account_id, update, event).await? {
            Changed::Yes => Ok(StartedSession { session: row.session, token }),
            // It was ended or confirmed at the same time.
            Changed::No => Err(SessionError::NotSignedIn),
        }
    }

    fn session_event(&self, session: &Session, remote: Option<IpAddr>, action: Action) -> AuditEvent {
        let subject = Some(session.id.to_string());
        self.audit_event(&session.account_id, actor(session, remote), action, subject)
    }

    /// The caller's account.
    pub async fn account_of(&self, caller: &Caller) -> Result<Account, Error> {
        self.account(&caller.account_id).await
    }
}

/// The person as the actor of what they do.
fn actor(session: &Session, remote: Option<IpAddr>) -> Actor {
    Actor::Session { key_id: session.method.key_id().cloned(), name: session.person.clone(), remote }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}
