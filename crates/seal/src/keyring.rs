//! The operator's keyring: the keys that wrap all others. It is stored apart from the data.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::id::AccountId;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use serde::Deserialize;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::cipher::{Context, Key};
use crate::envelope::AccountKey;
use crate::service::ServiceKeys;
use crate::{CryptoError, Randomness};

const FILE_FORMAT: u32 = 1;

/// Keys by identifier; the primary one is used for wrapping.
#[derive(Clone)]
pub struct Keyring {
    primary: KeyringKeyId,
    keys: BTreeMap<KeyringKeyId, Key>,
    /// Derived once, because deriving takes as long as the unwrapping that each creation does.
    wrapping_keys: BTreeMap<KeyringKeyId, Key>,
}

/// Why a text is not a valid keyring. Never contains the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// Not a file written by `init`.
    #[error("line {line} of the keyring is invalid: the file is damaged or not a keyring")]
    Malformed {
        /// Starts at 1.
        line: usize,
    },
    /// Written by a later version of the service.
    #[error("the keyring has format {0}, which this version of the service does not support")]
    UnknownFormat(u32),
    /// A key is not the base64 of 32 bytes.
    #[error(
        "{0} is not the base64 of exactly 32 bytes: it is damaged, or a passphrase, which is not supported"
    )]
    NotAKey(String),
    /// A key does not match its identifier.
    #[error("the key {0} does not match its name: the file is damaged")]
    Damaged(KeyringKeyId),
    /// The keyring does not contain its primary key.
    #[error("the keyring does not contain its primary key {0}")]
    NoPrimary(KeyringKeyId),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileIn {
    format: u32,
    primary: String,
    keys: BTreeMap<String, String>,
}

impl Drop for FileIn {
    fn drop(&mut self) {
        self.keys.values_mut().for_each(Zeroize::zeroize);
    }
}

impl Keyring {
    /// A keyring with one new key.
    pub fn generate(randomness: &Randomness) -> Self {
        Self::of_one(Key::random(randomness))
    }

    /// A keyring with one key: the base64 of 32 random bytes, as in an environment variable.
    pub fn from_value(value: &str) -> Result<Self, KeyringError> {
        decode_key(value.trim())
            .map(Self::of_one)
            .ok_or_else(|| KeyringError::NotAKey("the value".to_owned()))
    }

    /// Parses the output of [`Self::to_text`].
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        // The parser's message quotes the line, which may contain a key: keep only the line number.
        let file: FileIn = toml::from_str(text).map_err(|error| KeyringError::Malformed {
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map_or(1, |before| before.matches('\n').count() + 1),
        })?;
        if file.format != FILE_FORMAT {
            return Err(KeyringError::UnknownFormat(file.format));
        }
        let mut keys = BTreeMap::new();
        for (id, value) in &file.keys {
            let id = KeyringKeyId(id.clone());
            let key = decode_key(value).ok_or_else(|| KeyringError::NotAKey(format!("the key {id}")))?;
            if key_id(&key) != id {
                return Err(KeyringError::Damaged(id));
            }
            keys.insert(id, key);
        }
        let primary = KeyringKeyId(file.primary.clone());
        if !keys.contains_key(&primary) {
            return Err(KeyringError::NoPrimary(primary));
        }
        Ok(Self::new(primary, keys))
    }

    /// The content of a keyring file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!(
            "# The keyring of a vimeo-connections service. Stored credentials cannot be decrypted without it,\n\
             # and all of them can with it and the database. Back it up, apart from the database and its backups.\n\
             format = {FILE_FORMAT}\n\
             primary = \"{}\"\n\n\
             [keys]\n",
            self.primary
        ));
        for (id, key) in &self.keys {
            let encoded = Zeroizing::new(STANDARD.encode(key.0));
            text.push_str(&id.0);
            text.push_str(" = \"");
            text.push_str(&encoded);
            text.push_str("\"\n");
        }
        text
    }

    fn new(primary: KeyringKeyId, keys: BTreeMap<KeyringKeyId, Key>) -> Self {
        let wrapping_keys = keys.iter().map(|(id, key)| (id.clone(), key.derive("keyring-wrap/1"))).collect();
        Self { primary, keys, wrapping_keys }
    }

    fn of_one(key: Key) -> Self {
        let primary = key_id(&key);
        Self::new(primary.clone(), BTreeMap::from([(primary, key)]))
    }

    /// The identifier of the key that is used for wrapping.
    pub fn primary_id(&self) -> &KeyringKeyId {
        &self.primary
    }

    /// The check value of the primary key. The database stores it before anything is wrapped with the key.
    pub fn primary_check(&self) -> Result<KeyringCheck, CryptoError> {
        let key = self.key(&self.primary)?;
        Ok(KeyringCheck { keyring_key: self.primary.clone(), value: check_value(key) })
    }

    /// The keys that a database was sealed with and that this keyring does not contain.
    pub fn missing<'a>(&self, checks: &'a [KeyringCheck]) -> Vec<&'a KeyringKeyId> {
        let holds = |check: &KeyringCheck| {
            self.keys.get(&check.keyring_key).is_some_and(|key| check_value(key) == check.value)
        };
        checks.iter().filter(|check| !holds(check)).map(|check| &check.keyring_key).collect()
    }

    /// A new account key, wrapped with the primary key.
    pub fn new_account_key(
        &self,
        account: &AccountId,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        self.wrap_new("account-key", account.as_str(), randomness)
    }

    /// Unwraps an account key.
    pub fn open_account_key(
        &self,
        account: &AccountId,
        wrapped: &KeyringWrapped,
    ) -> Result<AccountKey, CryptoError> {
        Ok(AccountKey::new(account.clone(), self.unwrap("account-key", account.as_str(), wrapped)?))
    }

    /// A new service secret, wrapped with the primary key.
    pub fn new_service_secret(&self, randomness: &Randomness) -> Result<KeyringWrapped, CryptoError> {
        self.wrap_new("service-secret", "", randomness)
    }

    /// Unwraps the service secret and derives the service's keys.
    pub fn open_service_secret(&self, wrapped: &KeyringWrapped) -> Result<ServiceKeys, CryptoError> {
        Ok(ServiceKeys::from_secret(&self.unwrap("service-secret", "", wrapped)?))
    }

    fn wrap_new(
        &self,
        purpose: &'static str,
        account: &str,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        let context = Context { purpose, account, record: &self.primary.0, version: 0 };
        let wrapping_key = self.wrapping_key(&self.primary)?;
        let wrapped = wrapping_key.wrap(context, &Key::random(randomness), randomness)?;
        Ok(KeyringWrapped { keyring_key: self.primary.clone(), wrapped })
    }

    fn unwrap(
        &self,
        purpose: &'static str,
        account: &str,
        wrapped: &KeyringWrapped,
    ) -> Result<Key, CryptoError> {
        let context = Context { purpose, account, record: &wrapped.keyring_key.0, version: 0 };
        self.wrapping_key(&wrapped.keyring_key)?.unwrap_key(context, &wrapped.wrapped)
    }

    fn wrapping_key(&self, id: &KeyringKeyId) -> Result<&Key, CryptoError> {
        self.wrapping_keys.get(id).ok_or(CryptoError::Decrypt)
    }

    fn key(&self, id: &KeyringKeyId) -> Result<&Key, CryptoError> {
        self.keys.get(id).ok_or(CryptoError::Decrypt)
    }
}

fn decode_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Key)
}

/// Derived from the key, so that a damaged or swapped key is detected.
fn key_id(key: &Key) -> KeyringKeyId {
    use fmt::Write as _;
    let derived = key.derive("keyring-key-id/1");
    derived.0.iter().take(8).fold(KeyringKeyId("k_".to_owned()), |mut id, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(id.0, "{byte:02x}");
        id
    })
}

fn check_value(key: &Key) -> [u8; 32] {
    key.derive("keyring-check/1").0
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("primary", &self.primary).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::generate(&Randomness::system())
    }

    #[test]
    fn a_keyring_survives_a_round_trip_through_its_file() {
        let keyring = keyring();
        let again = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(again.primary_id(), keyring.primary_id());
        assert!(again.missing(&[keyring.primary_check().unwrap()]).is_empty());
    }

    #[test]
    fn a_damaged_keyring_is_rejected_and_its_keys_are_not_shown() {
        let text = keyring().to_text().to_string();
        let secret = text.rsplit('"').nth(1).unwrap().to_owned();
        let flipped = if secret.starts_with('A') { "B" } else { "A" };
        let cases = [
            text.replace(&secret, &format!("{flipped}{}", &secret[1..])),
            text.replace(&secret, &secret[..40]),
            text.replace("primary = \"k_", "primary = \"k_0"),
            text.replace("format = 1", "format = 7"),
            text.replace(&format!("\"{secret}\""), &secret),
            text.replace("[keys]", "[key]"),
            String::new(),
            "\u{0}\u{1}".to_owned(),
        ];
        for case in cases {
            let error = Keyring::parse(&case).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(&secret[4..20]), "{error}");
        }
    }

    #[test]
    fn a_value_is_32_bytes_in_base64_and_nothing_else() {
        assert!(Keyring::from_value(&STANDARD.encode([7; 32])).is_ok());
        assert!(Keyring::from_value(&format!("{}\n", STANDARD.encode([7; 32]))).is_ok());
        for bad in ["", "correct horse battery staple", &STANDARD.encode([7; 31]), &STANDARD.encode([7; 33])]
        {
            assert!(matches!(Keyring::from_value(bad), Err(KeyringError::NotAKey(_))), "{bad}");
        }
    }

    #[test]
    fn another_keyring_lacks_the_key_and_decrypts_nothing() {
        let (right, wrong) = (keyring(), keyring());
        let checks = [right.primary_check().unwrap()];
        assert_eq!(wrong.missing(&checks), [right.primary_id()]);
        let account = AccountId::from_random([1; 16]);
        let wrapped = right.new_account_key(&account, &Randomness::system()).unwrap();
        assert!(right.open_account_key(&account, &wrapped).is_ok());
        assert_eq!(wrong.open_account_key(&account, &wrapped).err(), Some(CryptoError::Decrypt));
        let other = AccountId::from_random([2; 16]);
        assert_eq!(right.open_account_key(&other, &wrapped).err(), Some(CryptoError::Decrypt));
    }
}
