//! The text of a keyring file, and what is wrong with one that was edited by hand.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::KeyringKeyId;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use crate::cipher::Key;
use crate::keyring::{Keyring, key_id};

const FILE_FORMAT: u32 = 1;
/// A name that is longer is not printed: it may be a key in the wrong place.
const PRINTED_NAME_MAX_LEN: usize = 20;

/// Why a text is not a valid keyring. Never contains the text, only names and numbers of lines, which start at 1.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// Not TOML.
    #[error(
        "line {line} is damaged or not part of a keyring: each line is NAME = \"VALUE\", and no name is there twice"
    )]
    Malformed {
        /// The line.
        line: usize,
    },
    /// A name that no keyring has.
    #[error("line {line} has a name that is not part of a keyring{}: keys are below the line [keys]", printed(.name))]
    UnknownName {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
    /// Something that each keyring has.
    #[error("it has no {0}: the file is damaged or not a keyring")]
    Missing(&'static str),
    /// Not of the type that it must have.
    #[error("line {line}: {name} must be {expected}")]
    WrongType {
        /// The line.
        line: usize,
        /// `format`, `primary`, `[keys]`, or the key.
        name: String,
        /// What it must be.
        expected: &'static str,
    },
    /// Written by a later version of the service.
    #[error("the keyring has format {0}, which this version of the service does not support")]
    UnknownFormat(i64),
    /// The name of a key is not an identifier.
    #[error(
        "line {line}: the name of a key is k_ and 16 hexadecimal digits, as `init` or `keyring rotate` wrote it"
    )]
    NotAName {
        /// The line.
        line: usize,
    },
    /// A key is not the base64 of 32 bytes.
    #[error(
        "{0} is not the base64 of exactly 32 bytes: it is damaged, or a passphrase, which is not supported"
    )]
    NotAKey(String),
    /// A key does not match its identifier.
    #[error(
        "line {line}: the value of {name} is damaged, or belongs to another key: it would be the value of {actual}"
    )]
    Damaged {
        /// The line.
        line: usize,
        /// The name in the file.
        name: KeyringKeyId,
        /// The name that the key would have.
        actual: KeyringKeyId,
    },
    /// What was decrypted is another key.
    #[error(
        "the decrypted value of {name} is the key {actual}: the file was damaged, or values were exchanged"
    )]
    Mismatch {
        /// The name in the file.
        name: KeyringKeyId,
        /// The name that the key would have.
        actual: KeyringKeyId,
    },
    /// The keyring does not contain its primary key.
    #[error("`primary` is the key {primary}, which is not among the keys: they are {}", list(.keys))]
    NoPrimary {
        /// The key.
        primary: String,
        /// The keys of the keyring.
        keys: Vec<KeyringKeyId>,
    },
}

fn list(keys: &[KeyringKeyId]) -> String {
    if keys.is_empty() {
        return "none".to_owned();
    }
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn printed(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.len() <= PRINTED_NAME_MAX_LEN && name.chars().all(is_word) {
        format!(" ({name})")
    } else {
        String::new()
    }
}

/// A parsed text in which lines can be found.
pub(crate) struct Lines<'a>(pub(crate) &'a str);

impl Lines<'_> {
    pub(crate) fn at(&self, byte: usize) -> usize {
        self.0.get(..byte).map_or(1, |before| before.matches('\n').count() + 1)
    }

    fn of<T>(&self, value: &Spanned<T>) -> usize {
        self.at(value.span().start)
    }
}

impl Keyring {
    /// A keyring with one key: the base64 of 32 random bytes, as in an environment variable.
    pub fn from_value(value: &str) -> Result<Self, KeyringError> {
        decode_key(value.trim())
            .map(Self::of_one)
            .ok_or_else(|| KeyringError::NotAKey("the value".to_owned()))
    }

    /// Parses the output of [`Self::to_text`].
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let lines = Lines(text);
        // The parser's message quotes the line, which may contain a key: keep only the number of the line.
        let file = DeTable::parse(text).map_err(|error| KeyringError::Malformed {
            line: error.span().map_or(1, |span| lines.at(span.start)),
        })?;
        let file = file.get_ref();
        for name in file.keys() {
            if !["format", "primary", "keys"].contains(&name.get_ref().as_ref()) {
                let (line, name) = (lines.of(name), name.get_ref().to_string());
                return Err(KeyringError::UnknownName { line, name });
            }
        }
        let format = file.get("format").ok_or(KeyringError::Missing("line `format`"))?;
        let number = match format.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.ok_or_else(|| wrong_type(lines.of(format), "format", "a number"))?;
        if number != i64::from(FILE_FORMAT) {
            return Err(KeyringError::UnknownFormat(number));
        }
        let primary = file.get("primary").ok_or(KeyringError::Missing("line `primary`"))?;
        let DeValue::String(primary_id) = primary.get_ref() else {
            return Err(wrong_type(lines.of(primary), "primary", "the name of a key in quotes"));
        };
        let table = file.get("keys").ok_or(KeyringError::Missing("part [keys]"))?;
        let DeValue::Table(table) = table.get_ref() else {
            return Err(wrong_type(lines.of(table), "[keys]", "a line of its own, above the keys"));
        };
        let keys = parse_keys(table, &lines)?;
        match keys.keys().find(|id| id.0 == primary_id.as_ref()).cloned() {
            Some(primary) => Ok(Self::new(primary, keys)),
            None => Err(KeyringError::NoPrimary {
                primary: if is_key_id(primary_id) {
                    primary_id.to_string()
                } else {
                    "(not a name)".to_owned()
                },
                keys: keys.into_keys().collect(),
            }),
        }
    }

    /// The content of a keyring file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(format!(
            "# The keyring of a vimeo-connections service. Stored credentials cannot be decrypted without it,\n\
             # and all of them can with it and the database. Back it up, apart from the database and its backups.\n\
             format = {FILE_FORMAT}\n\
             primary = \"{}\"\n\n\
             [keys]\n",
            self.primary_id()
        ));
        for (id, key) in self.keys() {
            let encoded = Zeroizing::new(STANDARD.encode(key.0));
            text.push_str(&id.0);
            text.push_str(" = \"");
            text.push_str(&encoded);
            text.push_str("\"\n");
        }
        text
    }
}

fn parse_keys(table: &DeTable<'_>, lines: &Lines<'_>) -> Result<BTreeMap<KeyringKeyId, Key>, KeyringError> {
    let mut keys = BTreeMap::new();
    for (name, value) in table {
        let line = lines.of(name);
        if !is_key_id(name.get_ref()) {
            return Err(KeyringError::NotAName { line });
        }
        let name = KeyringKeyId(name.get_ref().to_string());
        let DeValue::String(text) = value.get_ref() else {
            return Err(wrong_type(line, &name.0, "a key in quotes"));
        };
        let key = decode_key(text)
            .ok_or_else(|| KeyringError::NotAKey(format!("line {line}: the value of {name}")))?;
        let actual = key_id(&key);
        if actual != name {
            return Err(KeyringError::Damaged { line, name, actual });
        }
        keys.insert(name, key);
    }
    Ok(keys)
}

fn wrong_type(line: usize, name: &str, expected: &'static str) -> KeyringError {
    KeyringError::WrongType { line, name: name.to_owned(), expected }
}

/// Whether a text has the form of a key's identifier.
pub(crate) fn is_key_id(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix("k_").is_some_and(|digits| digits.len() == 16 && digits.chars().all(is_digit))
}

fn decode_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Randomness;

    fn keyring() -> Keyring {
        Keyring::generate(&Randomness::system())
    }

    #[test]
    fn a_keyring_survives_a_round_trip_through_its_file() {
        let keyring = keyring().rotated(&Randomness::system());
        let again = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(again.primary_id(), keyring.primary_id());
        assert_eq!(again.key_ids().collect::<Vec<_>>(), keyring.key_ids().collect::<Vec<_>>());
        assert!(again.missing(&[keyring.primary_check().unwrap()]).is_empty());
    }

    /// Texts, and what the message says of each.
    #[test]
    fn an_edited_keyring_is_rejected_with_what_is_wrong_and_its_keys_are_not_shown() {
        let keyring = keyring();
        let (text, id) = (keyring.to_text().to_string(), keyring.primary_id().0.clone());
        let secret = text.rsplit('"').nth(1).unwrap().to_owned();
        let flipped = if secret.starts_with('A') { "B" } else { "A" };
        let other = Keyring::generate(&Randomness::system());
        let cases = [
            (text.replace(&secret, &format!("{flipped}{}", &secret[1..])), "line 7: the value of k_"),
            (text.replace(&secret, &secret[..40]), "line 7: the value of k_"),
            (text.replace("primary = \"k_", "primary = \"k_0"), "(not a name)"),
            (text.replace(&format!("primary = \"{id}"), &format!("primary = \"{}", other.primary_id())), &id),
            (text.replace("format = 1", "format = 7"), "format 7"),
            (text.replace("format = 1", "format = \"1\""), "line 3: format must be a number"),
            (text.replace("format = 1\n", ""), "no line `format`"),
            (text.replace("primary = ", "# "), "no line `primary`"),
            (
                text.replace("primary = ", "primry = "),
                "line 4 has a name that is not part of a keyring (primry)",
            ),
            (text.replace(&format!("primary = \"{id}\""), "primary = 1"), "line 4: primary must be"),
            (text.replace(&format!("\"{secret}\""), &secret), "line 7"),
            (text.replace(&format!("{id} = \"{secret}\""), &format!("{id} = 5")), "line 7: k_"),
            (text.replace("[keys]", "[key]"), "(key)"),
            (text.replace("[keys]\n", ""), "line 6 has a name"),
            (text.replace("[keys]", "keys = 3\n[other]"), "(other)"),
            (text.replace(&format!("{id} = \"{secret}\"\n"), ""), "they are none"),
            (text.replace(&format!("\n{id}"), "\nmain"), "line 7: the name of a key is k_"),
            (format!("{text}{id} = \"{secret}\"\n"), "line 8"),
            (text.replace("[keys]", &format!("{} = 1\n[keys]", secret.trim_end_matches('='))), "line 6"),
            (String::new(), "no line `format`"),
            ("\u{0}\u{1}".to_owned(), "line 1"),
        ];
        for (case, phrase) in cases {
            let error = Keyring::parse(&case).unwrap_err();
            assert!(error.to_string().contains(phrase), "{error} does not say {phrase:?}");
            assert!(!error.to_string().contains(&secret[4..20]), "{error}");
        }
    }

    #[test]
    fn a_value_of_another_key_is_named() {
        let (one, two) = (keyring(), keyring());
        let value = |keyring: &Keyring| keyring.to_text().rsplit('"').nth(1).unwrap().to_owned();
        let exchanged = one.to_text().replace(&value(&one), &value(&two));
        let error = Keyring::parse(&exchanged).unwrap_err().to_string();
        assert!(error.contains(&one.primary_id().0) && error.contains(&two.primary_id().0), "{error}");
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
}
