//! The keyring file whose keys are encrypted by their holder: format 2. This crate neither knows holders nor what their
//! ciphertexts look like, except that they have a `:`, which base64 has not.

use std::collections::BTreeMap;
use std::fmt;

use domain::secret::KeyringKeyId;
use serde::Deserialize;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::cipher::{KEY_LEN, Key};
use crate::keyring::{Keyring, KeyringError};
use crate::keyring_text::{Lines, is_key_id};

const FILE_FORMAT: u32 = 2;

/// One key of a keyring, out of it. Wiped on drop.
pub struct PlainKeyringKey(Zeroizing<[u8; KEY_LEN]>);

impl PlainKeyringKey {
    /// The bytes, for the holder that encrypts them.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl From<Zeroizing<[u8; KEY_LEN]>> for PlainKeyringKey {
    /// A key that its holder has decrypted.
    fn from(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for PlainKeyringKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainKeyringKey(…)")
    }
}

/// A keyring whose keys are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKeyring {
    /// The key that is used for wrapping.
    pub primary: KeyringKeyId,
    /// What the holder made of each of [`keys_of`].
    pub entries: BTreeMap<KeyringKeyId, String>,
}

/// Why a text is not a valid keyring of format 2. Never contains the text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SealedKeyringError {
    /// Not a file written by the service.
    #[error("line {line} of the keyring is invalid: the file is damaged or not a keyring")]
    Malformed {
        /// Starts at 1.
        line: usize,
    },
    /// Another format.
    #[error("the keyring has format {0}, in which no holder encrypts keys")]
    OtherFormat(u32),
    /// A plain key beside encrypted ones, or in a file for encrypted ones.
    #[error(
        "{0} is not encrypted by a holder, but the keyring has format 2, in which every key is: restore the file from \
         its backup"
    )]
    Plain(KeyringKeyId),
    /// An encrypted key in a file for plain ones.
    #[error(
        "{0} is encrypted by a holder, but the keyring has format 1, in which no key is: restore the file from its \
         backup"
    )]
    Encrypted(KeyringKeyId),
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
        // It may have plain keys by mistake.
        self.keys.values_mut().for_each(Zeroize::zeroize);
    }
}

/// The keys of a keyring, so that a holder can encrypt each.
pub fn keys_of(keyring: &Keyring) -> BTreeMap<KeyringKeyId, PlainKeyringKey> {
    let keys = keyring.keys();
    keys.map(|(id, key)| (id.clone(), PlainKeyringKey(Zeroizing::new(key.0)))).collect()
}

/// A name for a message. What is no identifier may be a key in the wrong place.
fn printable(name: &str) -> KeyringKeyId {
    KeyringKeyId(if is_key_id(name) { name } else { "(not a name)" }.to_owned())
}

impl SealedKeyring {
    /// Parses the output of [`Self::to_text`].
    pub fn parse(text: &str) -> Result<Self, SealedKeyringError> {
        // The parser's message quotes the line: keep only its number.
        let file: FileIn = toml::from_str(text).map_err(|error| SealedKeyringError::Malformed {
            line: error.span().map_or(1, |span| Lines(text).at(span.start)),
        })?;
        let of_form = |is_encrypted: bool| {
            let mut entries = file.keys.iter();
            entries.find(|(_, value)| value.contains(':') == is_encrypted).map(|(id, _)| printable(id))
        };
        let misplaced = match file.format {
            FILE_FORMAT => of_form(false).map(SealedKeyringError::Plain),
            1 => {
                of_form(true).map(SealedKeyringError::Encrypted).or(Some(SealedKeyringError::OtherFormat(1)))
            }
            other => Some(SealedKeyringError::OtherFormat(other)),
        };
        if let Some(error) = misplaced {
            return Err(error);
        }
        let primary = KeyringKeyId(file.primary.clone());
        if !file.keys.contains_key(&file.primary) {
            return Err(SealedKeyringError::NoPrimary(printable(&primary.0)));
        }
        let entries = file.keys.iter().map(|(id, text)| (KeyringKeyId(id.clone()), text.clone()));
        Ok(Self { primary, entries: entries.collect() })
    }

    /// The content of a keyring file.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# The keyring of a vimeo-connections service. Its keys are encrypted by the holder that keyring.holder names:\n\
             # they can be decrypted only with it. Back this file up, apart from the database and its backups.\n\
             format = {FILE_FORMAT}\n\
             primary = \"{}\"\n\n\
             [keys]\n",
            self.primary
        );
        for (id, encrypted) in &self.entries {
            text.push_str(&id.0);
            text.push_str(" = \"");
            text.push_str(encrypted);
            text.push_str("\"\n");
        }
        text
    }

    /// The keyring, of the keys that the holder has decrypted. Each must match its identifier.
    pub fn open(&self, decrypted: BTreeMap<KeyringKeyId, PlainKeyringKey>) -> Result<Keyring, KeyringError> {
        let keys = decrypted.into_iter().map(|(id, key)| (id, Key(*key.0)));
        Keyring::from_keys(self.primary.clone(), keys.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Randomness;

    fn sealed() -> (Keyring, SealedKeyring) {
        let keyring = Keyring::generate(&Randomness::system());
        let encrypted = keys_of(&keyring).into_keys().map(|id| (id, "transit:vault:v1:AA".to_owned()));
        let sealed = SealedKeyring { primary: keyring.primary_id().clone(), entries: encrypted.collect() };
        (keyring, sealed)
    }

    #[test]
    fn a_sealed_keyring_survives_a_round_trip_through_its_file() {
        let (keyring, sealed) = sealed();
        let again = SealedKeyring::parse(&sealed.to_text()).unwrap();
        assert_eq!(again, sealed);
        let opened = again.open(keys_of(&keyring)).unwrap();
        assert_eq!(opened.primary_id(), keyring.primary_id());
        assert!(opened.missing(&[keyring.primary_check().unwrap()]).is_empty());
    }

    #[test]
    fn a_key_that_is_not_that_of_its_identifier_is_rejected() {
        let (keyring, sealed) = sealed();
        let other = PlainKeyringKey::from(Zeroizing::new([7; KEY_LEN]));
        let wrong = BTreeMap::from([(keyring.primary_id().clone(), other)]);
        assert!(matches!(sealed.open(wrong), Err(KeyringError::Mismatch { .. })));
        assert!(matches!(sealed.open(BTreeMap::new()), Err(KeyringError::NoPrimary { .. })));
    }

    #[test]
    fn plain_and_encrypted_keys_do_not_mix() {
        let (keyring, sealed) = sealed();
        let plain = keyring.to_text();
        let entry = |text: &str| text.lines().last().unwrap().to_owned();
        // A name that is no identifier is not printed.
        let hidden = || KeyringKeyId("(not a name)".to_owned());
        let cases = [
            (plain.to_string(), SealedKeyringError::OtherFormat(1)),
            (
                plain.replace("format = 1", "format = 2"),
                SealedKeyringError::Plain(keyring.primary_id().clone()),
            ),
            (format!("{}k_0 = \"AAAA\"\n", sealed.to_text()), SealedKeyringError::Plain(hidden())),
            (
                format!("{}{}\n", plain.as_str(), entry(&sealed.to_text()).replace("k_", "k_0")),
                SealedKeyringError::Encrypted(hidden()),
            ),
            (sealed.to_text().replace("format = 2", "format = 3"), SealedKeyringError::OtherFormat(3)),
            (
                sealed.to_text().replace("primary = \"k_", "primary = \"k_0"),
                SealedKeyringError::NoPrimary(hidden()),
            ),
            (String::new(), SealedKeyringError::Malformed { line: 1 }),
        ];
        for (text, expected) in cases {
            assert_eq!(SealedKeyring::parse(&text), Err(expected), "{text}");
        }
    }
}
