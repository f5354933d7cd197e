//! Sign-in links: sessions that have not started. A link works once.

use std::net::IpAddr;
use std::time::Duration;

use domain::account::Label;
use domain::audit::Action;
use domain::id::SessionId;
use domain::scope::Scope;
use domain::session::{LINK_MAX, Role, Session, SessionState, SessionStatus, SessionToken, SignInMethod};
use domain::time::Timestamp;
use store::FoundSession;

use super::{Browser, SessionError, StartedSession, is_genuine};
use crate::{App, Caller, Error};

/// Who a link is for.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// The person's name, as it is audited.
    pub person: Label,
    /// What the person may do.
    pub role: Role,
    /// How long the link can be used, up to [`LINK_MAX`].
    pub lasts: Duration,
}

/// A new link.
#[derive(Debug)]
pub struct SignInLink {
    /// The session that it starts.
    pub session: Session,
    /// The last part of its URL, which is shown once and not stored.
    pub token: SessionToken,
}

/// What the page of a link shows before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownLink {
    /// The name of the account.
    pub account: Label,
    /// The person.
    pub person: Label,
    /// What the person may do.
    pub role: Option<Role>,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

impl App {
    /// Creates a sign-in link for a person. It allows no more than the caller, who needs the scope `keys:manage`.
    pub async fn create_sign_in_link(
        &self,
        caller: &Caller,
        options: LinkOptions,
    ) -> Result<SignInLink, Error> {
        let id = SessionId::from_random(self.randomness.bytes());
        let created = self.try_create_sign_in_link(caller, options, id).await;
        let created = self.audited(caller, Action::CreateSignInLink, None, created).await?;
        created.ok_or_else(|| Error::Internal("a random identifier exists already".into()))
    }

    /// The same for a form, which is identified by a random text. `None`: it was sent before, and its link exists.
    pub async fn create_sign_in_link_once(
        &self,
        caller: &Caller,
        options: LinkOptions,
        form: &str,
    ) -> Result<Option<SignInLink>, Error> {
        let (keys, account) = (self.service_keys(), &caller.account_id);
        let bytes = keys.form_bytes("sign-in-link", account, form);
        for bytes in keys.former_form_bytes("sign-in-link", account, form) {
            let id = SessionId::from_random(bytes);
            if self.store.find_dashboard_session(account, &id, self.clock.now()).await?.is_some() {
                return Ok(None);
            }
        }
        let created = self.try_create_sign_in_link(caller, options, SessionId::from_random(bytes)).await;
        self.audited(caller, Action::CreateSignInLink, None, created).await
    }

    /// `None` if there is a session with this identifier.
    async fn try_create_sign_in_link(
        &self,
        caller: &Caller,
        options: LinkOptions,
        id: SessionId,
    ) -> Result<Option<SignInLink>, Error> {
        let scopes = options.role.scopes();
        if !caller.scopes.has(Scope::KeysManage) {
            return Err(Error::Forbidden { missing: Scope::KeysManage });
        }
        if let Some(missing) = scopes.first_beyond(caller.scopes) {
            return Err(Error::Forbidden { missing });
        }
        let now = self.clock.now();
        let session = Session {
            id,
            account_id: caller.account_id.clone(),
            state: SessionState::Invited,
            method: SignInMethod::Link,
            person: options.person,
            role: Some(options.role),
            scopes,
            created_at: now,
            authenticated_at: now,
            expires_at: now.plus(options.lasts.min(LINK_MAX)),
            last_seen_at: now,
            remote: None,
            user_agent: None,
            subject: None,
        };
        let (row, token) = self.new_session_row(session);
        let subject = Some(row.session.id.to_string());
        let actor = caller.actor.clone();
        let event = self.audit_event(&caller.account_id, actor, Action::CreateSignInLink, subject);
        match self.store.insert_dashboard_session(&caller.account_id, &row, &event).await {
            Ok(()) => Ok(Some(SignInLink { session: row.session, token })),
            Err(store::Error::NameTaken) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a link's page shows. It does not use the link.
    pub async fn show_sign_in_link(
        &self,
        token: &str,
        remote: Option<IpAddr>,
    ) -> Result<ShownLink, SessionError> {
        let (found, _) = self.find_link(token, remote).await?;
        let Session { person, role, expires_at, .. } = found.row.session;
        Ok(ShownLink { account: found.account_name, person, role, expires_at })
    }

    /// Signs a person in with a link. It works once; the session gets a token of its own.
    pub async fn use_sign_in_link(
        &self,
        token: &str,
        browser: &Browser,
    ) -> Result<StartedSession, SessionError> {
        let (found, _) = self.find_link(token, browser.remote).await?;
        let Session { id, account_id, method, person, role, scopes, .. } = found.row.session.clone();
        let session = self.new_session(account_id, (method, person), scopes, browser);
        let session = Session { id, role, ..session };
        let (row, new_token) = self.new_session_row(session);
        let event = self.session_event(&row.session, browser.remote, Action::SignIn);
        match self.replace_session(&found.row, row, &event, new_token).await {
            // Used by another request meanwhile.
            Err(SessionError::NotSignedIn) => Err(SessionError::LinkRefused),
            started => started,
        }
    }

    /// A link that can be used. An attempt with another text counts like one with an invalid key.
    async fn find_link(
        &self,
        text: &str,
        remote: Option<IpAddr>,
    ) -> Result<(FoundSession, SessionToken), SessionError> {
        let attempt = self.failed_keys.attempt(remote).map_err(Error::TooManyFailedKeys)?;
        let Some(token) = SessionToken::parse(text) else { return Err(SessionError::LinkRefused) };
        let (account_id, id) = (&token.account_id, &token.session_id);
        let found = match self.store.find_dashboard_session(account_id, id, self.clock.now()).await {
            Ok(found) => found,
            Err(error) => {
                attempt.take_back();
                return Err(error.into());
            }
        };
        let keys = match self.fresh_service_keys().await {
            Ok(keys) => keys,
            Err(error) => {
                attempt.take_back();
                return Err(error.into());
            }
        };
        let Some(found) = found.filter(|found| is_genuine(&keys, &found.row, &token)) else {
            return Err(SessionError::LinkRefused);
        };
        attempt.take_back();
        match found.row.session.status(found.read_at, self.sessions.idle) {
            SessionStatus::Invited => Ok((found, token)),
            _ => Err(SessionError::LinkRefused),
        }
    }
}
