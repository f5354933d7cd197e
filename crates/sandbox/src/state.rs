//! What this Vimeo remembers: apps, users, tokens and the users' rate windows.
//! Everything is kept by number, as Vimeo's URIs are, so that videos and folders can join with their owners.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::ambient::Random;
use crate::limits::{Plan, Windows};
use crate::scopes::Scopes;

/// Names an app; shown as `/apps/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AppId(u64);

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/apps/{}", self.0)
    }
}

/// Names a user; shown as `/users/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct UserId(u64);

impl UserId {
    #[cfg(test)]
    pub(crate) fn first() -> Self {
        Self(FIRST_NUMBER)
    }

    /// The number alone, as it stands in profile links.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/users/{}", self.0)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: AppId,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) name: String,
    /// Whose rate window the app's unauthenticated tokens spend.
    pub(crate) owner: UserId,
    /// Whether Vimeo's staff let this app upload; without it users have no `upload_quota`.
    pub(crate) has_upload_access: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) name: String,
}

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Made by the sandbox: the first one, or through the controls.
    Issued,
    /// Given to a client for its credentials.
    Granted,
    /// Never made here; welcomed because the sandbox is open.
    Guest,
}

impl Origin {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Granted => "granted",
            Self::Guest => "guest",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) app: AppId,
    pub(crate) scopes: Scopes,
    /// Absent for a token that speaks for the app alone.
    pub(crate) user: Option<UserId>,
    pub(crate) origin: Origin,
    pub(crate) is_revoked: bool,
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
}

/// Who stands behind a good token.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) token: Token,
    pub(crate) app: App,
    pub(crate) user: Option<User>,
    pub(crate) plan: Plan,
}

impl Caller {
    /// Whose rate window this caller spends.
    pub(crate) fn payer(&self) -> UserId {
        self.token.user.unwrap_or(self.app.owner)
    }
}

/// Why a client's credentials are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientRefusal {
    UnknownId,
    WrongSecret,
}

/// The first app's credentials, printed when the sandbox starts.
#[derive(Clone)]
pub(crate) struct FirstCredentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) access_token: String,
}

// Not 1, so that nobody mistakes an app's number for a user's or a token's.
const FIRST_NUMBER: u64 = 240_001;

/// Everything that a reset puts back.
#[derive(Clone)]
pub(crate) struct World {
    random: Random,
    apps: BTreeMap<AppId, App>,
    users: BTreeMap<UserId, User>,
    tokens: HashMap<String, Token>,
    guest: Option<AppId>,
    next_number: u64,
    pub(crate) windows: Windows,
}

/// Whether strangers are welcomed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Strict,
    Open,
}

impl World {
    /// One app, its owner, and one token that may do everything; behind an open door also the guest app.
    pub(crate) fn first(random: Random, door: Door, plan: Option<Plan>) -> (Self, FirstCredentials) {
        let mut world = Self {
            random,
            apps: BTreeMap::new(),
            users: BTreeMap::new(),
            tokens: HashMap::new(),
            guest: None,
            next_number: FIRST_NUMBER,
            windows: Windows::new(plan),
        };
        let app = world.add_app("Sandbox App".to_owned(), true);
        let token = world.add_token(NewToken {
            app: app.id,
            scopes: Scopes::all(),
            user: Some(app.owner),
            origin: Origin::Issued,
        });
        if door == Door::Open {
            world.guest = Some(world.add_app("Guest App".to_owned(), true).id);
        }
        let first = FirstCredentials {
            client_id: app.client_id,
            client_secret: app.client_secret,
            access_token: token.value,
        };
        (world, first)
    }

    /// Makes an app with credentials and an owner of its own.
    pub(crate) fn add_app(&mut self, name: String, has_upload_access: bool) -> App {
        let id = AppId(self.take_number());
        let owner = self.add_user(format!("Owner of {name}")).id;
        let app = App {
            id,
            client_id: hex(&self.random_bytes::<20>()),
            // 95 bytes make 128 characters of which the last is a `=`: what careless escaping breaks first.
            client_secret: STANDARD.encode(self.random_bytes::<95>()),
            name,
            owner,
            has_upload_access,
        };
        self.apps.insert(id, app.clone());
        app
    }

    pub(crate) fn add_user(&mut self, name: String) -> User {
        let user = User { id: UserId(self.take_number()), name };
        self.users.insert(user.id, user.clone());
        user
    }

    pub(crate) fn add_token(&mut self, new: NewToken) -> Token {
        let value = hex(&self.random_bytes::<16>());
        self.keep_token(value, new)
    }

    fn keep_token(&mut self, value: String, new: NewToken) -> Token {
        let NewToken { app, scopes, user, origin } = new;
        let number = self.take_number();
        let token = Token { value, app, scopes, user, origin, is_revoked: false, number };
        self.tokens.insert(token.value.clone(), token.clone());
        token
    }

    /// The app that a control names, by client identifier or URI.
    pub(crate) fn find_app(&self, name: &str) -> Option<&App> {
        self.apps.values().find(|app| app.client_id == name || app.id.to_string() == name)
    }

    pub(crate) fn find_user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// The app that these client credentials belong to.
    pub(crate) fn find_client(&self, client_id: &str, client_secret: &str) -> Result<App, ClientRefusal> {
        if let Some(app) = self.apps.values().find(|app| app.client_id == client_id) {
            return if app.client_secret == client_secret {
                Ok(app.clone())
            } else {
                Err(ClientRefusal::WrongSecret)
            };
        }
        let guest = self.guest_app(client_id).ok_or(ClientRefusal::UnknownId)?;
        if self.is_issued(client_secret) {
            // One half of a real pair: the sandbox would vouch for a mix-up if it let it through.
            return Err(ClientRefusal::UnknownId);
        }
        if is_plausible(client_secret) { Ok(guest.clone()) } else { Err(ClientRefusal::WrongSecret) }
    }

    /// Who stands behind a token; nobody, when it is unknown or revoked.
    pub(crate) fn find_caller(&mut self, token: &str) -> Option<Caller> {
        if !self.tokens.contains_key(token) {
            let guest = self.guest_app(token)?;
            let (app, user) = (guest.id, Some(guest.owner));
            let new = NewToken { app, scopes: Scopes::all(), user, origin: Origin::Guest };
            self.keep_token(token.to_owned(), new);
        }
        let token = self.tokens.get(token).filter(|token| !token.is_revoked)?.clone();
        let app = self.apps.get(&token.app)?.clone();
        let user = token.user.and_then(|id| self.users.get(&id)).cloned();
        Some(Caller { token, app, user, plan: self.windows.plan() })
    }

    /// The guest app, when the door is open and this value may be a guest's.
    fn guest_app(&self, value: &str) -> Option<&App> {
        let guest = self.apps.get(&self.guest?)?;
        (is_plausible(value) && !self.is_issued(value)).then_some(guest)
    }

    /// Whether the sandbox made this value itself, as whatever kind of credential.
    fn is_issued(&self, value: &str) -> bool {
        self.tokens.get(value).is_some_and(|token| token.origin != Origin::Guest)
            || self.apps.values().any(|app| app.client_id == value || app.client_secret == value)
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

    fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }
}

/// Whether an open sandbox takes this for somebody's real credential. What calls itself invalid or expired is how a
/// demo asks for the refusal.
fn is_plausible(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && !lower.contains("invalid")
        && !lower.contains("expired")
}

/// How a secret is named where it must not be shown: the first 12 hexadecimal characters of its SHA-256.
pub(crate) fn fingerprint(secret: &[u8]) -> String {
    hex(&Sha256::digest(secret)).chars().take(12).collect()
}

fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)).collect()
}
