//! API keys: what a client shows to be let in. Only a keyed hash of one is ever stored.

use thiserror::Error;

use crate::account::Label;
use crate::id::{AccountId, ApiKeyId};
use crate::key_strength;
use crate::secret::Secret;
use crate::text;
use crate::time::Timestamp;

/// Every key begins so.
pub const KEY_PREFIX: &str = "pictai_";
/// Fewest characters after the prefix.
pub const KEY_MIN_CHARS: usize = 8;
/// The least estimated strength of a key that is imported.
pub const KEY_MIN_BITS: u32 = 128;
/// Most characters after the prefix.
pub const KEY_MAX_CHARS: usize = 200;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Base-62 digits that 256 bits of randomness take.
const RANDOM_DIGITS: usize = 43;
/// Base-62 digits that a CRC-32 takes.
const CHECKSUM_DIGITS: usize = 6;

/// A key as a client sends it: `pictai_` and 8 to 200 visible ASCII characters.
#[derive(Debug, Clone)]
pub struct PlainKey(Secret);

/// Why a text cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an API key is `{KEY_PREFIX}` and {KEY_MIN_CHARS} to {KEY_MAX_CHARS} visible ASCII characters")]
pub struct MalformedKey;

impl PlainKey {
    /// Reads a key, whoever made it.
    pub fn parse(input: &str) -> Result<Self, MalformedKey> {
        let rest = input.strip_prefix(KEY_PREFIX).ok_or(MalformedKey)?;
        if !(KEY_MIN_CHARS..=KEY_MAX_CHARS).contains(&rest.len()) || !text::is_visible_ascii(rest) {
            return Err(MalformedKey);
        }
        Ok(Self(Secret::new(input.to_owned())))
    }

    /// A new key: 43 base-62 digits of randomness, then the CRC-32 of those 43 characters in 6 more, so that a
    /// scanner of source code can tell a real key from a look-alike.
    pub fn from_random(random: [u8; 32]) -> Self {
        let digits = base62(&random, RANDOM_DIGITS);
        let checksum = base62(&crc32fast::hash(digits.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
        Self(Secret::new(format!("{KEY_PREFIX}{digits}{checksum}")))
    }

    /// How hard it is to guess, in bits, without the prefix that every key has.
    pub fn estimated_bits(&self) -> u32 {
        key_strength::estimate_bits(self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default())
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Its last four characters, for telling keys apart in a list.
    pub fn last_four(&self) -> String {
        let text = self.0.expose();
        text.get(text.len().saturating_sub(4)..).unwrap_or_default().to_owned()
    }
}

/// What is stored of a key: HMAC-SHA-256 under a key of the service's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HashedKey(pub [u8; 32]);

/// Proof that the service itself wrote a row: HMAC-SHA-256 over all that the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMac(pub [u8; 32]);

/// An API key as it is stored and listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identifier, which is no secret.
    pub id: ApiKeyId,
    /// Whose it is.
    pub account_id: AccountId,
    /// What the operator calls it.
    pub name: Label,
    /// The key's last four characters.
    pub last_four: String,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// From then on it lets nobody in.
    pub expires_at: Option<Timestamp>,
    /// Since then it lets nobody in.
    pub revoked_at: Option<Timestamp>,
}

/// What a key lets its holder do. Every key has all of them, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// See connections.
    ConnectionsRead,
    /// Make, change and delete connections.
    ConnectionsWrite,
    /// See uploads.
    UploadsRead,
    /// Make and cancel uploads.
    UploadsWrite,
    /// Make and revoke keys.
    KeysManage,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ConnectionsRead,
        Self::ConnectionsWrite,
        Self::UploadsRead,
        Self::UploadsWrite,
        Self::KeysManage,
    ];

    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
            Self::UploadsRead => "uploads:read",
            Self::UploadsWrite => "uploads:write",
            Self::KeysManage => "keys:manage",
        }
    }
}

/// What a key is good for at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It lets its holder in.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
    /// Its row is not as the service wrote it: it lets nobody in, whatever the row says.
    Unproven,
}

impl ApiKey {
    /// What the key is good for at `now`, if its row is proven.
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(at)) if at <= now => KeyStatus::Expired,
            (None, _) => KeyStatus::Active,
        }
    }
}

/// A stored key with what the store keeps to find and prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRow {
    /// The key.
    pub key: ApiKey,
    /// The keyed hash that it is found by.
    pub hash: HashedKey,
    /// Proof that the service wrote this row.
    pub mac: RowMac,
}

/// A big-endian number in base 62, zero-padded to `digits` digits (which must be enough for it).
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
    fn base_62_counts_in_digits_then_capitals_then_small_letters() {
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[0xff; 4], 6), "4gfFC3");
    }

    #[test]
    fn the_edges_of_a_keys_form_hold() {
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
    fn revocation_goes_before_expiry_and_expiry_is_sharp() {
        let mut key = ApiKey {
            id: ApiKeyId::from_random([1; 16]),
            account_id: AccountId::from_random([2; 16]),
            name: Label::parse("ci").unwrap(),
            last_four: "abcd".into(),
            created_at: Timestamp::from_micros(0),
            expires_at: Some(Timestamp::from_micros(10)),
            revoked_at: None,
        };
        assert_eq!(key.status(Timestamp::from_micros(9)), KeyStatus::Active);
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Expired);
        key.revoked_at = Some(Timestamp::from_micros(5));
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Revoked);
    }
}
