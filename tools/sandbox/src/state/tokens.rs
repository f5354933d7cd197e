//! Access tokens, and who stands behind one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{App, AppId, User, UserId, World, fingerprint};
use crate::scopes::Scopes;

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Made by the sandbox: the first one, or through the controls.
    Issued,
    /// Given to a client for its credentials.
    Granted,
    /// Given to a client because a user allowed it, for a code, on a device or in a browser.
    Allowed,
    /// Never made here; welcomed because the sandbox is open.
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
    /// Absent for a token that speaks for the app alone.
    pub(crate) user: Option<UserId>,
    pub(crate) origin: Origin,
    pub(crate) is_revoked: bool,
    /// Absent for all but those of the implicit grant.
    pub(crate) expires_at: Option<Timestamp>,
    number: u64,
}

impl Token {
    pub(crate) fn kind(&self) -> &'static str {
        if self.user.is_some() { "user" } else { "client_credentials" }
    }
}

/// What a token is to be made of.
pub(crate) struct NewToken {
    pub(crate) app: AppId,
    pub(crate) scopes: Scopes,
    pub(crate) user: Option<UserId>,
    pub(crate) origin: Origin,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Who stands behind a good token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: Token,
    pub(crate) app: App,
    pub(crate) user: Option<User>,
    /// Whose rate window this caller spends: the user's, or that of the app's owner.
    pub(crate) payer: User,
}

impl World {
    pub(crate) fn add_token(&mut self, new: NewToken) -> Token {
        let value = self.random_hex::<16>();
        self.keep_token(value, new)
    }

    fn keep_token(&mut self, value: String, new: NewToken) -> Token {
        let NewToken { app, scopes, user, origin, expires_at } = new;
        let number = self.take_number();
        let token = Token { value, app, scopes, user, origin, is_revoked: false, expires_at, number };
        self.tokens.insert(token.value.clone(), token.clone());
        token
    }

    /// Whether this is a token that was never seen here, and the door is open for it.
    pub(crate) fn would_welcome(&self, token: &str) -> bool {
        !self.tokens.contains_key(token) && self.guest_app(token).is_some()
    }

    /// Keeps a token that was never issued here as one of the guest app's, if the door is open for it.
    pub(crate) fn welcome(&mut self, token: &str) {
        if !self.would_welcome(token) {
            return;
        }
        let Some(guest) = self.guest_app(token) else { return };
        let (app, user) = (guest.id, Some(guest.owner));
        let new = NewToken { app, scopes: Scopes::all(), user, origin: Origin::Guest, expires_at: None };
        self.keep_token(token.to_owned(), new);
    }

    /// Who stands behind a token; nobody, when it is unknown, revoked or expired.
    pub(crate) fn find_caller(&self, token: &str, now: Timestamp) -> Option<Caller> {
        let token = self.tokens.get(token)?;
        if token.is_revoked || token.expires_at.is_some_and(|end| end <= now) {
            return None;
        }
        if token.origin == Origin::Guest && self.guest.is_none() {
            // Welcomed when the door was open, which it is no more.
            return None;
        }
        let app = self.apps.get(&token.app)?;
        let user = token.user.and_then(|id| self.users.get(&id));
        let payer = user.or_else(|| self.users.get(&app.owner))?;
        Some(Caller { token: token.clone(), app: app.clone(), user: user.cloned(), payer: payer.clone() })
    }

    /// Kills a token for ever. It is remembered, so that an open door does not welcome it again.
    pub(crate) fn revoke(&mut self, value: &str) {
        if let Some(token) = self.tokens.get_mut(value) {
            token.is_revoked = true;
        }
    }

    /// Every token that was ever made or welcomed, oldest first.
    pub(crate) fn list_tokens(&self) -> Vec<&Token> {
        let mut tokens: Vec<_> = self.tokens.values().collect();
        tokens.sort_unstable_by_key(|token| token.number);
        tokens
    }

    /// The value of the token that has this fingerprint.
    pub(crate) fn find_token_value(&self, wanted: &str) -> Option<String> {
        self.tokens.keys().find(|value| fingerprint(value.as_bytes()) == wanted).cloned()
    }
}
