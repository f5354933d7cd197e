//! Pending grants: consent pages, authorization codes, and devices that wait for their user. Each can be used once, for
//! ten minutes.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AppId, NewToken, Origin, Token, UserId, VimeoState};
use crate::scopes::Scopes;

/// The lifetime of a page, a code or a device. Vimeo's own values are not known.
pub(crate) const GRANT_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

// How long after its expiry a device still receives `expired_token`.
const DEVICE_MEMORY: SignedDuration = SignedDuration::from_hours(24);

// No vowels, which could form words, and no characters that look alike.
const USER_CODE_LETTERS: [char; 16] =
    ['B', 'C', 'D', 'F', 'G', 'H', 'J', 'K', 'M', 'N', 'P', 'R', 'T', 'W', 'X', 'Z'];

/// Pending grants, by their secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Grants {
    pages: BTreeMap<String, Page>,
    codes: BTreeMap<String, Code>,
    devices: BTreeMap<String, Device>,
}

/// A consent page. Its ticket identifies the request when the decision arrives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) app: AppId,
    /// The scopes that the user may allow.
    pub(crate) scopes: Scopes,
    #[serde(rename = "way")]
    pub(crate) flow: GrantFlow,
    pub(crate) expires_at: Timestamp,
}

/// How the app receives the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GrantFlow {
    /// The browser is redirected with a code.
    Code(RedirectTarget),
    /// The browser is redirected with the token.
    Token(RedirectTarget),
    /// The device polls for it.
    Device { device_code: String, user_code: String },
}

/// The target of the redirect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RedirectTarget {
    pub(crate) redirect_uri: String,
    /// Whether the request named the URI, which must then be repeated at the exchange.
    pub(crate) is_named: bool,
    /// As in the query, not decoded, so that it is returned unchanged.
    pub(crate) state: Option<String>,
}

/// A user's consent to a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Consent {
    pub(crate) app: AppId,
    pub(crate) user: UserId,
    pub(crate) scopes: Scopes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Code {
    consent: Consent,
    redirect_uri: String,
    is_named: bool,
    expires_at: Timestamp,
}

/// Why the exchange of a code fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeRefusal {
    /// Unknown, used, expired, or another app's.
    Invalid,
    /// Another redirect URI than the one that the code was sent to.
    OtherRedirect,
}

/// A device without a keyboard that waits for its user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) app: AppId,
    pub(crate) scopes: Scopes,
    /// Requested scopes that Vimeo does not have.
    pub(crate) unknown_scopes: Vec<String>,
    /// Eight letters, without the hyphen.
    pub(crate) user_code: String,
    pub(crate) answer: Option<Answer>,
    pub(crate) expires_at: Timestamp,
}

/// A user's decision for a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Allowed(Consent),
    Denied,
}

/// Why a device gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceRefusal {
    /// The user has not decided yet.
    Pending,
    Denied,
    Expired,
    /// Unknown, used, another app's, or with another user code.
    Invalid,
}

impl VimeoState {
    /// Adds a consent page. Returns its ticket.
    pub(crate) fn add_page(&mut self, page: Page, now: Timestamp) -> String {
        self.purge_grants(now);
        let ticket = self.random_hex::<16>();
        self.grants.pages.insert(ticket.clone(), page);
        ticket
    }

    /// The page of a ticket, unless it has expired or its app was deleted.
    pub(crate) fn find_page(&self, ticket: &str, now: Timestamp) -> Option<&Page> {
        let page = self.grants.pages.get(ticket).filter(|page| page.expires_at > now);
        page.filter(|page| self.live_app(page.app).is_some())
    }

    /// Removes a page, which can be answered once.
    pub(crate) fn take_page(&mut self, ticket: &str) {
        self.grants.pages.remove(ticket);
    }

    /// Adds a code. Returns its value.
    pub(crate) fn add_code(&mut self, consent: Consent, back: &RedirectTarget, now: Timestamp) -> String {
        self.purge_grants(now);
        let value = self.random_hex::<20>();
        let RedirectTarget { redirect_uri, is_named, .. } = back.clone();
        let code = Code { consent, redirect_uri, is_named, expires_at: grant_end(now) };
        self.grants.codes.insert(value.clone(), code);
        value
    }

    /// Exchanges a code for a token. A failed exchange leaves the code valid.
    pub(crate) fn redeem_code(
        &mut self,
        app: AppId,
        value: &str,
        redirect_uri: Option<&str>,
        now: Timestamp,
    ) -> Result<Token, CodeRefusal> {
        let found = self.grants.codes.get(value);
        let code = found.filter(|code| code.consent.app == app && code.expires_at > now);
        let code = code.ok_or(CodeRefusal::Invalid)?;
        let is_same = redirect_uri.map_or(!code.is_named, |uri| uri == code.redirect_uri);
        if !is_same {
            return Err(CodeRefusal::OtherRedirect);
        }
        let code = self.grants.codes.remove(value).ok_or(CodeRefusal::Invalid)?;
        Ok(self.add_allowed_token(code.consent, None))
    }

    /// Adds the token that a user allowed.
    pub(crate) fn add_allowed_token(&mut self, consent: Consent, expires_at: Option<Timestamp>) -> Token {
        let Consent { app, user, scopes } = consent;
        self.add_token(NewToken { app, scopes, user: Some(user), origin: Origin::Allowed, expires_at })
    }

    /// Adds a device. Returns its device code.
    pub(crate) fn add_device(
        &mut self,
        app: AppId,
        scopes: Scopes,
        unknown_scopes: Vec<String>,
        now: Timestamp,
    ) -> (String, Device) {
        self.purge_grants(now);
        let device_code = self.random_hex::<20>();
        let letter = |byte: u8| USER_CODE_LETTERS.get(usize::from(byte % 16)).copied();
        let user_code = self.random_bytes::<8>().into_iter().filter_map(letter).collect();
        let expires_at = grant_end(now);
        let device = Device { app, scopes, unknown_scopes, user_code, answer: None, expires_at };
        self.grants.devices.insert(device_code.clone(), device.clone());
        (device_code, device)
    }

    /// The waiting device with a user code, however it was typed.
    pub(crate) fn find_waiting_device(&self, typed: &str, now: Timestamp) -> Option<(&str, &Device)> {
        let typed = plain_user_code(typed);
        let waits =
            |device: &Device| device.user_code == typed && device.answer.is_none() && device.expires_at > now;
        let mut devices = self.grants.devices.iter();
        devices.find(|(_, device)| waits(device)).map(|(code, device)| (code.as_str(), device))
    }

    /// Records a decision. Returns whether the device was waiting for it.
    pub(crate) fn answer_device(&mut self, device_code: &str, answer: Answer, now: Timestamp) -> bool {
        let device = self.grants.devices.get_mut(device_code);
        let waiting = device.filter(|device| device.answer.is_none() && device.expires_at > now);
        waiting.map(|device| device.answer = Some(answer)).is_some()
    }

    /// Returns the token that the device's user allowed, once.
    pub(crate) fn redeem_device(
        &mut self,
        app: AppId,
        device_code: &str,
        user_code: &str,
        now: Timestamp,
    ) -> Result<Token, DeviceRefusal> {
        let found = self.grants.devices.get(device_code);
        let is_own = |device: &&Device| device.app == app && device.user_code == plain_user_code(user_code);
        let device = found.filter(is_own).ok_or(DeviceRefusal::Invalid)?;
        if device.expires_at <= now {
            return Err(DeviceRefusal::Expired);
        }
        match device.answer.clone() {
            None => Err(DeviceRefusal::Pending),
            Some(Answer::Denied) => Err(DeviceRefusal::Denied),
            Some(Answer::Allowed(consent)) => {
                self.grants.devices.remove(device_code);
                Ok(self.add_allowed_token(consent, None))
            }
        }
    }

    /// Removes expired grants.
    fn purge_grants(&mut self, now: Timestamp) {
        let Grants { pages, codes, devices } = &mut self.grants;
        pages.retain(|_, page| page.expires_at > now);
        codes.retain(|_, code| code.expires_at > now);
        devices.retain(|_, device| {
            device.expires_at.checked_add(DEVICE_MEMORY).is_ok_and(|forgotten_at| forgotten_at > now)
        });
    }
}

/// When a grant that is made now expires.
pub(crate) fn grant_end(now: Timestamp) -> Timestamp {
    now.checked_add(GRANT_LIFETIME).unwrap_or(Timestamp::MAX)
}

/// A user code for display: `BCDF-GHJK`.
pub(crate) fn hyphenated(user_code: &str) -> String {
    user_code
        .split_at_checked(4)
        .map_or_else(|| user_code.to_owned(), |(left, right)| format!("{left}-{right}"))
}

/// A user code without separators, in upper case.
fn plain_user_code(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_uppercase()).collect()
}
