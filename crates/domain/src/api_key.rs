//! API keys, which authenticate clients. Only a keyed hash is stored.

use thiserror::Error;

use crate::account::Label;
use crate::id::{AccountId, ApiKeyId};
use crate::key_strength;
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
        let checksum = base62(&crc32fast::hash(digits.as_bytes()).to_be_bytes(), CHECKSUM_DIGITS);
        Self(Secret::new(format!("{KEY_PREFIX}{digits}{checksum}")))
    }

    /// The estimated strength in bits, without the prefix.
    pub fn estimated_bits(&self) -> u32 {
        key_strength::estimate_bits(self.0.expose().strip_prefix(KEY_PREFIX).unwrap_or_default())
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
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
}

/// A permission of a key. All keys currently have all scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read connections.
    ConnectionsRead,
    /// Create, update and delete connections.
    ConnectionsWrite,
    /// Read uploads.
    UploadsRead,
    /// Create and cancel uploads.
    UploadsWrite,
    /// Create and revoke keys.
    KeysManage,
}

impl Scope {
    /// All scopes.
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

impl ApiKey {
    /// The status at `now`, for a key whose row is authentic.
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => KeyStatus::Revoked,
            (None, Some(at)) if at <= now => KeyStatus::Expired,
            (None, _) => KeyStatus::Active,
        }
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
        };
        assert_eq!(key.status(Timestamp::from_micros(9)), KeyStatus::Active);
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Expired);
        key.revoked_at = Some(Timestamp::from_micros(5));
        assert_eq!(key.status(Timestamp::from_micros(10)), KeyStatus::Revoked);
    }
}
