//! An account: whoever the connections belong to. It owns a key that seals its connections' secrets.

use std::fmt;

use thiserror::Error;

use crate::id::AccountId;
use crate::secret::KeyringWrapped;
use crate::text;
use crate::time::Timestamp;

/// Longest name of an account or of an API key, in Unicode scalar values.
pub const LABEL_MAX_CHARS: usize = 100;

/// The name of an account or of an API key: for the operator's eyes. NFC, no spaces at its ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// Why a text is no [`Label`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LabelError {
    /// Nothing, or nothing but spaces.
    #[error("must not be empty")]
    Blank,
    /// Over [`LABEL_MAX_CHARS`].
    #[error("must be at most {LABEL_MAX_CHARS} characters long")]
    TooLong,
    /// A control character or one that is not drawn.
    #[error("must not contain control or invisible characters")]
    Invisible,
}

impl Label {
    /// Reads a name as an operator typed it.
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

    /// One as the store keeps it: it was parsed when it came in, perhaps under an older edition of Unicode.
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

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// Its name, unique in the service.
    pub name: Label,
    /// When it was made.
    pub created_at: Timestamp,
    /// The account key, wrapped by a key of the operator's keyring.
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
