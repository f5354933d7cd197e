//! API keys, which authenticate clients. Only a keyed hash is stored.

use thiserror::Error;

use crate::account::Label;
use crate::id::{AccountId, ApiKeyId};
use crate::key_strength;
use crate::scope::{Scope, Scopes};
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// The prefix of every key.
pub const KEY_PREFIX: &str = "pictai_";
/// Minimum number of characters after the prefix.
pub const KEY_MIN_CHARS: usize = 8;
/// Minimum estimated strength of an imported key, in bits.
pub const KEY_MIN_BITS: u32 = 128;
/// Maximum number of characters after the prefix.
pub const KEY_MAX_CHARS: usize = 200;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Number of base-62 digits for 256 bits.
const RANDOM_DIGITS: usize = 43;
/// Number of base-62 digits for a CRC-32.
const CHECKSUM_DIGITS: usize = 6;

/// A key in plain text: `pictai_` and 8 to 200 visible ASCII characters.
#[derive(Debug, Clone)]
pub struct PlainKey(Secret);

/// The text is not a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an API key is `{KEY_PREFIX}` and {KEY_MIN_CHARS} to {KEY_MAX_CHARS} visible ASCII characters")]
pub struct MalformedKey;

impl PlainKey {
    /// Parses a key of this service or an imported one.
    pub fn parse(input: &str) -> Result<Self, MalformedKey> {
        let rest = input.strip_prefix(KEY_PREFIX).ok_or(MalformedKey)?;
        if !(KEY_MIN_CHARS..=KEY_MAX_CHARS).contains(&rest.len()) || !text::is_visible_ascii(rest) {
            return Err(MalformedKey);
        }
        Ok(Self(Secret::new(input.to_owned())))
    }

    /// A new key: 43 base-62 digits of randomness, then their CRC-32 in 6 digits, so that secret scanners can
    /// distinguish real keys from similar texts.
    pub fn from_random(random: [u8; 32]) -> Self {
        let digits = base62(&random, RANDOM_DIGITS);
        Self(Secret::new(format!("{KEY_PREFIX}{digits}{}", checksum(&digits))))
    }

    /// The estimated strength in bits, without the prefix.
    pub fn estimated_bits(&self) -> u32 {
        key_strength::estimate_bits(self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default())
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether the text can be a key that this service has created: its form, and its checksum. An imported key has
    /// neither.
    pub fn has_checksum(&self) -> bool {
        let rest = self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default();
        rest.split_at_checked(RANDOM_DIGITS).is_some_and(|(digits, last)| checksum(digits) == last)
    }

    /// The last four characters, to distinguish keys in a list.
    pub fn last_four(&self) -> String {
        let text = self.0.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
    }
}

/// The stored form of a key: HMAC-SHA-256 with a key of the service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HashedKey(pub [u8; 32]);

/// The MAC of a stored row: HMAC-SHA-256 over all its columns, so that modified rows are detected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMac(pub [u8; 32]);

/// An API key as stored and listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identifier, which is not secret.
    pub id: ApiKeyId,
    /// The account it belongs to.
    pub account_id: AccountId,
    /// Its name.
    pub name: Label,
    /// Its last four characters.
    pub last_four: String,
    /// When it was created or imported.
    pub created_at: Timestamp,
    /// From then on it is not accepted.
    pub expires_at: Option<Timestamp>,
    /// Since then it is not accepted.
    pub revoked_at: Option<Timestamp>,
    /// What it allows and where it comes from; `None` for a key from before scopes existed, which allows everything.
    pub grant: Option<Grant>,
    /// The hour in which it was last used, stored within minutes. Not covered by the MAC: nothing depends on it.
    pub last_used_at: Option<Timestamp>,
}

/// What a key allows, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it allows.
    pub scopes: Scopes,
    /// Who created it.
    pub creator: Creator,
    /// The key that it replaces, if it comes from a rotation.
    pub rotated_from: Option<ApiKeyId>,
}

/// Who created a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creator {
    /// An operator, through the command line.
    Operator,
    /// A client with this key, or a person who signed in to the dashboard with it.
    ApiKey(ApiKeyId),
    /// A person who signed in to the dashboard otherwise.
    Person(Label),
}

/// Why a key must not be created by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The creating key does not have this scope.
    #[error("the key that creates it lacks the scope {0}")]
    Scope(Scope),
    /// The creating key expires earlier.
    #[error("must not be later than the expiry of the key that creates it")]
    Expiry,
}

/// The status of a key at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It is accepted.
    Active,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// Its row was modified outside the service. It is not accepted, whatever the row says.
    Tampered,
}

impl KeyStatus {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Tampered => "tampered",
        }
    }
}

impl ApiKey {
    /// What it allows.
    pub fn scopes(&self) -> Scopes {
        self.grant.as_ref().map_or(Scopes::ALL, |grant| grant.scopes)
    }

    /// The status at `now`, for a key whose row is authentic.
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(at)) if at <= now => KeyStatus::Expired,
            (None, _) => KeyStatus::Active,
        }
    }
}

/// The expiry of a key with these scopes that another key creates: the requested one, or that of its maker. A key never
/// allows more, or for longer, than its maker.
pub fn check_grant(
    maker: (Scopes, Option<Timestamp>),
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> Result<Option<Timestamp>, GrantError> {
    let (own_scopes, own_expiry) = maker;
    if let Some(missing) = scopes.first_beyond(own_scopes) {
        return Err(GrantError::Scope(missing));
    }
    match (expires_at, own_expiry) {
        (Some(at), Some(own)) if at > own => Err(GrantError::Expiry),
        (at, own) => Ok(at.or(own)),
    }
}

/// A stored key with its hash and MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// The key.
    pub key: ApiKey,
    /// The keyed hash by which it is found.
    pub hash: HashedKey,
    /// The MAC of this row.
    pub mac: RowMac,
}

/// The last digits of a key with these random digits.
fn checksum(digits: &str) -> String {
    base62(&crc32fast::hash(digits.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS)
}

/// A big-endian number in base 62, zero-padded to `digits` digits, which must suffice.
fn base62(number: &[u8], digits: usize) -> String {
    let mut number = number.to_vec();
    let mut text = vec!['0'; digits];
    for place in text.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *place = BASE62.get(remainder as usize).copied().unwrap_or(b'0').into();
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_documented_form_and_checksum() {
        let key = PlainKey::from_random([0xff; 32]);
        let text = key.expose();
        assert_eq!(text.len(), KEY_PREFIX.len() + 49);
        let (random, checksum) = text[KEY_PREFIX.len()..].split_at(43);
        assert!(text[KEY_PREFIX.len()..].bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(base62(&crc32fast::hash(random.as_bytes()).to_be_bytes(), 6), checksum);
        assert!(PlainKey::parse(text).is_ok());
        assert_eq!(key.last_four(), &text[text.len() - 4..]);
    }

    #[test]
    fn base_62_uses_digits_then_capitals_then_small_letters() {
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[0xff; 4], 6), "4gfFC3");
    }

    #[test]
    fn the_limits_of_a_keys_length_and_characters_are_exact() {
        let key = |n: usize| format!("pictai_{}", "x".repeat(n));
        assert!(PlainKey::parse(&key(8)).is_ok());
        assert!(PlainKey::parse(&key(200)).is_ok());
        for bad in [
            key(7),
            key(201),
            "pictai_12345 78".into(),
            "pictai_1234567\u{e9}".into(),
            "Pictai_123456789".into(),
            "sk_123456789".into(),
            String::new(),
        ] {
            assert_eq!(PlainKey::parse(&bad).err(), Some(MalformedKey), "{bad}");
        }
    }

    #[test]
    fn revocation_takes_precedence_over_expiry_and_expiry_is_exact() {
        let mut key = ApiKey {
            id: ApiKeyId::from_random([1; 16]),
            account_id: AccountId::from_random([2; 16]),
            name: Label::parse("ci").unwrap(),
            last_four: "abcd".into(),
            created_at: Timestamp::from_micros(0),
            expires_at: Some(Timestamp::from_micros(10)),
            revoked_at: None,
            grant: None,
            last_used_at: None,
        };
        assert_eq!(key.status(Timestamp::from_micros(9)), KeyStatus::Active);
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Expired);
        key.revoked_at = Some(Timestamp::from_micros(5));
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Revoked);
    }

    #[test]
    fn a_key_never_allows_more_or_for_longer_than_its_maker() {
        let at = |second| Some(Timestamp::from_micros(second));
        let read: Scopes = [Scope::ConnectionsRead].into_iter().collect();
        let (all, none) = (Scopes::ALL, Scopes::NONE);
        for (maker, scopes, expires_at, expected) in [
            ((all, None), all, None, Ok(None)),
            ((all, None), read, at(5), Ok(at(5))),
            ((all, at(9)), read, None, Ok(at(9))),
            ((all, at(9)), read, at(9), Ok(at(9))),
            ((all, at(9)), read, at(5), Ok(at(5))),
            ((all, at(9)), read, at(10), Err(GrantError::Expiry)),
            ((read, None), read, None, Ok(None)),
            ((read, None), none, None, Ok(None)),
            ((read, at(9)), all, at(10), Err(GrantError::Scope(Scope::ConnectionsWrite))),
            ((none, None), read, None, Err(GrantError::Scope(Scope::ConnectionsRead))),
        ] {
            assert_eq!(
                check_grant(maker, scopes, expires_at),
                expected,
                "{maker:?} {scopes:?} {expires_at:?}"
            );
        }
    }

    #[test]
    fn a_created_key_has_its_checksum_and_a_mistyped_or_imported_one_has_not() {
        let text = PlainKey::from_random([0x5a; 32]).expose().to_owned();
        assert!(PlainKey::parse(&text).unwrap().has_checksum());
        for at in KEY_PREFIX.len()..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(!PlainKey::parse(std::str::from_utf8(&bytes).unwrap()).unwrap().has_checksum(), "{at}");
        }
        for imported in ["pictai_12345678", &format!("pictai_{}", "x".repeat(49))] {
            assert!(!PlainKey::parse(imported).unwrap().has_checksum());
        }
    }
}
