//! An account: the owner of connections. It has a key that encrypts the secrets of its connections.

use std::fmt;

use thiserror::Error;

use crate::id::AccountId;
use crate::secret::{KeyringKeyId, KeyringWrapped};
use crate::text;
use crate::time::Timestamp;

/// Limit for the name of an account or API key, in Unicode scalar values.
pub const LABEL_MAX_CHARS: usize = 100;

/// The name of an account or API key, for operators. NFC, without spaces at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// Why a text is not a valid [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    /// Empty, or only spaces.
    #[error("must not be empty")]
    Blank,
    /// Longer than [`LABEL_MAX_CHARS`].
    #[error("must be at most {LABEL_MAX_CHARS} characters long")]
    TooLong,
    /// Contains a control character or an invisible one.
    #[error("must not contain control or invisible characters")]
    Invisible,
}

impl Label {
    /// Parses a name from an operator.
    pub fn parse(input: &str) -> Result<Self, LabelError> {
        let label = text::to_nfc(input.trim());
        if label.is_empty() {
            return Err(LabelError::Blank);
        }
        if label.chars().count() > LABEL_MAX_CHARS {
            return Err(LabelError::TooLong);
        }
        if label.chars().any(|c| c.is_control() || text::is_default_ignorable(c)) {
            return Err(LabelError::Invisible);
        }
        Ok(Self(label))
    }

    /// A name from the store. It was valid when it was stored, perhaps in an older version of Unicode.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stored account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// Its name, unique in the service.
    pub name: Label,
    /// When it was created.
    pub created_at: Timestamp,
    /// The account's keys, wrapped with keyring keys.
    pub keys: AccountKeys,
}

/// The keys that wrap the keys of everything sealed for an account: one, or two while it is being replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKeys {
    /// The key that seals.
    pub current: KeyringWrapped,
    /// The key that only decrypts.
    pub second: Option<SecondKey>,
}

/// A key of an account that only decrypts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondKey {
    /// The key.
    pub key: KeyringWrapped,
    /// Why it is there.
    pub role: SecondKeyRole,
    /// Since when.
    pub since: Timestamp,
}

/// Why an account has a second key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondKeyRole {
    /// It will seal soon: every node reads it before anything is sealed with it.
    Next,
    /// It has sealed until then: what it sealed is being wrapped with the current key.
    Former,
}

impl SecondKeyRole {
    /// The stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Former => "former",
        }
    }

    /// Parses the stored form.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Next, Self::Former].into_iter().find(|role| role.as_str() == text)
    }
}

impl AccountKeys {
    /// One key.
    pub fn of(current: KeyringWrapped) -> Self {
        Self { current, second: None }
    }

    /// The keyring keys that wrap them.
    pub fn keyring_keys(&self) -> impl Iterator<Item = &KeyringKeyId> {
        let second = self.second.iter().map(|second| &second.key.keyring_key);
        std::iter::once(&self.current.keyring_key).chain(second)
    }

    /// The next step of a replacement: the key `next` is there, but does not seal yet.
    #[must_use]
    pub fn with_next(&self, next: KeyringWrapped, now: Timestamp) -> Self {
        let second = SecondKey { key: next, role: SecondKeyRole::Next, since: now };
        Self { current: self.current.clone(), second: Some(second) }
    }

    /// The next step: the key that was the next one seals, and the current one only decrypts. `None` without a next key.
    pub fn switched(&self, now: Timestamp) -> Option<Self> {
        let next = self.second.as_ref().filter(|second| second.role == SecondKeyRole::Next)?;
        let former = SecondKey { key: self.current.clone(), role: SecondKeyRole::Former, since: now };
        Some(Self { current: next.key.clone(), second: Some(former) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_trimmed_composed_and_visible() {
        assert_eq!(Label::parse("  Acme & So\u{308}hne ").unwrap().as_str(), "Acme & S\u{f6}hne");
        assert_eq!(Label::parse("  "), Err(LabelError::Blank));
        assert_eq!(Label::parse(&"x".repeat(101)), Err(LabelError::TooLong));
        assert_eq!(Label::parse("a\u{200b}b"), Err(LabelError::Invisible));
        assert_eq!(Label::parse("a\nb"), Err(LabelError::Invisible));
    }
}
