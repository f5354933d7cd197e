//! An account: the owner of connections. It has a key that encrypts the secrets of its connections.

use std::fmt;

use thiserror::Error;

use crate::id::AccountId;
use crate::secret::KeyringWrapped;
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
    /// The account key, wrapped with a keyring key.
    pub key: KeyringWrapped,
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
