//! Sessions of the dashboard. A session starts as a sign-in link, which is an invitation for one person, or at once.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::account::Label;
use crate::id::{AccountId, ApiKeyId, SessionId};
use crate::scope::{Scope, Scopes};
use crate::secret::Secret;
use crate::time::Timestamp;

/// How long after a sign-in or a confirmation a person may create keys and delete connections.
pub const RECENT: Duration = Duration::from_mins(10);
/// How long a sign-in link is valid at most.
pub const LINK_MAX: Duration = Duration::from_hours(7 * 24);
/// Limit for the description of a browser, in characters.
const USER_AGENT_MAX_CHARS: usize = 200;
/// Number of hexadecimal digits in the secret part of a token.
const SECRET_DIGITS: usize = 64;

/// What a person may do in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but managing API keys and people.
    Member,
    /// See everything but API keys and webhooks, and change nothing.
    ReadOnly,
}

/// The text is not the name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be owner, member or read-only")]
pub struct UnknownRole;

impl Role {
    /// All roles, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Member, Self::ReadOnly];

    /// Its name in forms, in configuration and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::ReadOnly => "read-only",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }

    /// What it allows.
    pub fn scopes(self) -> Scopes {
        let allows = |scope: &Scope| match self {
            Self::Owner => true,
            Self::Member => *scope != Scope::KeysManage,
            Self::ReadOnly => {
                matches!(scope, Scope::ConnectionsRead | Scope::UploadsRead | Scope::AuditRead)
            }
        };
        Scope::ALL.into_iter().filter(allows).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a person signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignInMethod {
    /// With this API key. The session ends with the key.
    ApiKey(ApiKeyId),
    /// With a sign-in link.
    Link,
    /// At an identity provider.
    Oidc,
}

impl SignInMethod {
    /// The name in the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ApiKey(_) => "api_key",
            Self::Link => "link",
            Self::Oidc => "oidc",
        }
    }

    /// The method of a stored session; `None` for a name that the service has not written.
    pub fn from_stored(name: &str, key_id: Option<ApiKeyId>) -> Option<Self> {
        match (name, key_id) {
            ("api_key", Some(id)) => Some(Self::ApiKey(id)),
            ("link", None) => Some(Self::Link),
            ("oidc", None) => Some(Self::Oidc),
            _ => None,
        }
    }

    /// The API key, if it was one.
    pub fn key_id(&self) -> Option<&ApiKeyId> {
        match self {
            Self::ApiKey(id) => Some(id),
            Self::Link | Self::Oidc => None,
        }
    }
}

/// The state of a session. A session passes through them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It is a sign-in link that was not used yet.
    Invited,
    /// A person has signed in.
    Active,
    /// The person signed out, or it was revoked.
    Ended,
}

impl SessionState {
    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }

    /// Parses the name of a stored state.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Invited, Self::Active, Self::Ended].into_iter().find(|state| state.as_str() == text)
    }
}

/// A session, or a sign-in link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identifier, which is not secret.
    pub id: SessionId,
    /// The account that the person acts for.
    pub account_id: AccountId,
    /// Its state.
    pub state: SessionState,
    /// How the person signed in.
    pub method: SignInMethod,
    /// The person's name; of a key, if they signed in with one.
    pub person: Label,
    /// What the person may do; `None`: what their key allows.
    pub role: Option<Role>,
    /// What the session allows.
    pub scopes: Scopes,
    /// When the link was created, or the person signed in.
    pub created_at: Timestamp,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// The end of the session or of the link, whatever happens.
    pub expires_at: Timestamp,
    /// The last request, stored within a minute. Not covered by the MAC.
    pub last_seen_at: Timestamp,
    /// The address at the sign-in.
    pub remote: Option<String>,
    /// What the browser called itself at the sign-in.
    pub user_agent: Option<String>,
    /// Who the person is at the identity provider, if they signed in there: `{issuer}#{sub}`.
    pub subject: Option<String>,
}

/// What becomes of a session at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    /// It is accepted.
    Active,
    /// It is a link that can be used.
    Invited,
    /// It was not used for too long.
    Idle,
    /// Its time is up.
    Expired,
    /// The person signed out, or it was revoked.
    Ended,
}

impl Session {
    /// The status at `now`, for a session that ends after this time without a request.
    pub fn status(&self, now: Timestamp, idle: Duration) -> SessionStatus {
        match self.state {
            SessionState::Ended => SessionStatus::Ended,
            SessionState::Invited | SessionState::Active if self.expires_at <= now => SessionStatus::Expired,
            SessionState::Invited => SessionStatus::Invited,
            SessionState::Active if self.last_seen_at.plus(idle) <= now => SessionStatus::Idle,
            SessionState::Active => SessionStatus::Active,
        }
    }

    /// Whether the person proved who they are within [`RECENT`].
    pub fn is_recent(&self, now: Timestamp) -> bool {
        self.state == SessionState::Active && now < self.authenticated_at.plus(RECENT)
    }
}

/// The stored form of a token: a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedToken(pub [u8; 32]);

/// A session with the hash of its token and the MAC of its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub session: Session,
    /// The hash of its token.
    pub token: HashedToken,
    /// The MAC of all columns but the last request.
    pub mac: [u8; 32],
}

/// What a browser or a link presents: the account, the session, and 64 hexadecimal digits that only its holder knows.
#[derive(Debug, Clone)]
pub struct SessionToken {
    /// The account.
    pub account_id: AccountId,
    /// The session.
    pub session_id: SessionId,
    text: Secret,
}

impl SessionToken {
    /// A new token from 32 random bytes.
    pub fn from_random(account_id: AccountId, session_id: SessionId, random: [u8; 32]) -> Self {
        let mut text = format!("{account_id}.{session_id}.");
        for byte in random {
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 15));
        }
        Self { account_id, session_id, text: Secret::new(text) }
    }

    /// Parses a token; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let account_id = AccountId::parse(parts.next()?)?;
        let session_id = SessionId::parse(parts.next()?)?;
        let secret = parts.next()?;
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if parts.next().is_some() || secret.len() != SECRET_DIGITS || !secret.bytes().all(is_hex) {
            return None;
        }
        Some(Self { account_id, session_id, text: Secret::new(text.to_owned()) })
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }
}

/// What a browser calls itself, as it is stored and shown: at most 200 characters, without control characters.
pub fn stored_user_agent(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(USER_AGENT_MAX_CHARS).collect();
    let text = text.trim();
    if text.is_empty() { None } else { Some(text.to_owned()) }
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn session(state: SessionState) -> Session {
        Session {
            id: SessionId::from_random([1; 16]),
            account_id: AccountId::from_random([2; 16]),
            state,
            method: SignInMethod::Link,
            person: Label::from_stored("Anna".to_owned()),
            role: Some(Role::Member),
            scopes: Role::Member.scopes(),
            created_at: at(0),
            authenticated_at: at(0),
            expires_at: at(1000),
            last_seen_at: at(100),
            remote: None,
            user_agent: None,
            subject: None,
        }
    }

    #[test]
    fn a_session_ends_when_idle_when_expired_and_when_ended() {
        let idle = Duration::from_mins(1);
        for (state, now, expected) in [
            (SessionState::Active, 100, SessionStatus::Active),
            (SessionState::Active, 159, SessionStatus::Active),
            (SessionState::Active, 160, SessionStatus::Idle),
            (SessionState::Active, 1000, SessionStatus::Expired),
            (SessionState::Invited, 999, SessionStatus::Invited),
            (SessionState::Invited, 1000, SessionStatus::Expired),
            (SessionState::Ended, 100, SessionStatus::Ended),
            (SessionState::Ended, 1000, SessionStatus::Ended),
        ] {
            assert_eq!(session(state).status(at(now), idle), expected, "{state:?} at {now}");
        }
    }

    #[test]
    fn an_identity_is_recent_for_ten_minutes() {
        let mut active = session(SessionState::Active);
        active.authenticated_at = at(50);
        assert!(active.is_recent(at(649)));
        assert!(!active.is_recent(at(650)));
        assert!(!session(SessionState::Ended).is_recent(at(1)));
        assert!(!session(SessionState::Invited).is_recent(at(1)));
    }

    #[test]
    fn each_role_allows_what_the_next_one_allows() {
        let [owner, member, reader] = Role::ALL.map(Role::scopes);
        assert_eq!(owner, Scopes::ALL);
        assert_eq!(owner.first_beyond(member), Some(Scope::KeysManage));
        assert_eq!(member.first_beyond(owner), None);
        assert_eq!(reader.first_beyond(member), None);
        for scope in [Scope::ConnectionsWrite, Scope::UploadsWrite, Scope::WebhooksManage, Scope::KeysManage]
        {
            assert!(!reader.has(scope), "{scope}");
        }
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Ok(role));
        }
        assert_eq!(Role::parse("admin"), Err(UnknownRole));
    }

    #[test]
    fn a_token_is_parsed_exactly() {
        let (account, id) = (AccountId::from_random([3; 16]), SessionId::from_random([4; 16]));
        let token = SessionToken::from_random(account.clone(), id.clone(), [0xa5; 32]);
        let parsed = SessionToken::parse(token.expose()).unwrap();
        assert_eq!((&parsed.account_id, &parsed.session_id), (&account, &id));
        assert_eq!(parsed.expose(), token.expose());
        let text = token.expose();
        let digits = "a5".repeat(32);
        for bad in [
            String::new(),
            format!("{text}."),
            text[..text.len() - 1].to_owned(),
            text.to_uppercase(),
            format!("{account}.{id}"),
            format!("{id}.{account}.{digits}"),
            format!("{account}.{id}.{}", "é".repeat(32)),
            format!(" {text}"),
        ] {
            assert!(SessionToken::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_user_agent_is_cut_and_has_no_control_characters() {
        assert_eq!(stored_user_agent("Mozilla/5.0\u{1b}[2J").as_deref(), Some("Mozilla/5.0[2J"));
        assert_eq!(stored_user_agent(&"x".repeat(1000)).unwrap().len(), 200);
        assert_eq!(stored_user_agent(" \n"), None);
    }

    #[test]
    fn a_method_of_the_store_needs_its_key_and_no_other() {
        let key = ApiKeyId::from_random([5; 16]);
        for method in [SignInMethod::ApiKey(key.clone()), SignInMethod::Link, SignInMethod::Oidc] {
            let stored = SignInMethod::from_stored(method.as_str(), method.key_id().cloned());
            assert_eq!(stored, Some(method));
        }
        assert_eq!(SignInMethod::from_stored("api_key", None), None);
        assert_eq!(SignInMethod::from_stored("link", Some(key)), None);
        assert_eq!(SignInMethod::from_stored("magic", None), None);
    }
}
