//! Access tokens and their callers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{App, AppId, User, UserId, VimeoState};
use crate::scopes::Scopes;

/// The origin of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Issued by the sandbox: the first one, or through the controls.
    Issued,
    /// Granted to a client for its credentials.
    Granted,
    /// Granted to a client by a user, for a code, on a device or in a browser.
    Allowed,
    /// Never issued here; accepted in open mode.
    Guest,
}

impl Origin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Granted => "granted",
            Self::Allowed => "allowed",
            Self::Guest => "guest",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) app: AppId,
    pub(crate) scopes: Scopes,
    /// Absent for an app's own token.
    pub(crate) user: Option<UserId>,
    pub(crate) origin: Origin,
    pub(crate) is_revoked: bool,
    /// Present for tokens of the implicit grant, and for those that a control let expire.
    pub(crate) expires_at: Option<Timestamp>,
    /// How the controls name it. Derived from the value when the token is added.
    #[serde(skip)]
    pub(crate) fingerprint: String,
    number: u64,
}

impl Token {
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    pub(crate) fn kind(&self) -> &'static str {
        if self.user.is_some() { "user" } else { "client_credentials" }
    }
}

/// The properties of a new token.
pub(crate) struct NewToken {
    pub(crate) app: AppId,
    pub(crate) scopes: Scopes,
    pub(crate) user: Option<UserId>,
    pub(crate) origin: Origin,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The caller that a valid token authenticates.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: Token,
    pub(crate) app: App,
    pub(crate) user: Option<User>,
    /// The user whose rate limit this caller uses: its own, or that of the app's owner.
    pub(crate) payer: User,
}

impl VimeoState {
    pub(crate) fn add_token(&mut self, new: NewToken) -> Token {
        let value = self.random_hex::<16>();
        self.insert_token(value, new)
    }

    fn insert_token(&mut self, value: String, new: NewToken) -> Token {
        let NewToken { app, scopes, user, origin, expires_at } = new;
        let number = self.take_number();
        let fingerprint = String::new();
        let token =
            Token { value, app, scopes, user, origin, is_revoked: false, expires_at, fingerprint, number };
        self.tokens.insert(token)
    }

    /// Whether open mode accepts this token, which has not been seen before.
    pub(crate) fn accepts_guest(&self, token: &str) -> bool {
        self.tokens.get(token).is_none() && self.guest_app(token).is_some()
    }

    /// Whether a token exists, valid or not, or is about to become a guest's.
    pub(crate) fn knows_token(&self, token: &str) -> bool {
        self.tokens.get(token).is_some() || self.guest_app(token).is_some()
    }

    /// Adds an unknown token as the guest app's, if open mode accepts it.
    pub(crate) fn add_guest_token(&mut self, token: &str) {
        if !self.accepts_guest(token) {
            return;
        }
        let Some(guest) = self.guest_app(token) else { return };
        let (app, user) = (guest.id, Some(guest.owner));
        let new = NewToken { app, scopes: Scopes::all(), user, origin: Origin::Guest, expires_at: None };
        self.insert_token(token.to_owned(), new);
    }

    /// The caller of a token; `None` if it is unknown, revoked or expired, or if its app was deleted.
    pub(crate) fn find_caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let token = self.tokens.get(token)?;
        if token.is_revoked || token.has_expired(now) {
            return None;
        }
        if token.origin == Origin::Guest && self.guest.is_none() {
            // Accepted in open mode, which is off now.
            return None;
        }
        let app = self.live_app(token.app)?;
        let user = token.user.and_then(|id| self.users.get(&id));
        let payer = user.or_else(|| self.users.get(&app.owner))?;
        Some(Caller { token: token.clone(), app: app.clone(), user: user.cloned(), payer: payer.clone() })
    }

    /// Revokes a token. It is kept, so that open mode does not accept it again.
    pub(crate) fn revoke(&mut self, value: &str) {
        if let Some(token) = self.tokens.get_mut(value) {
            token.is_revoked = true;
        }
    }

    /// Every token, oldest first.
    pub(crate) fn list_tokens(&self) -> Vec<&Token> {
        let mut tokens: Vec<_> = self.tokens.iter().collect();
        tokens.sort_unstable_by_key(|token| token.number);
        tokens
    }

    /// The token with this fingerprint.
    pub(crate) fn token_by_fingerprint(&self, wanted: &str) -> Option<&Token> {
        self.tokens.by_fingerprint(wanted)
    }

    pub(crate) fn token_by_fingerprint_mut(&mut self, wanted: &str) -> Option<&mut Token> {
        self.tokens.by_fingerprint_mut(wanted)
    }
}
