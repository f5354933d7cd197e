//! Secrets and their sealed forms. A secret leaves its type only by `expose`; `grep expose` is the audit.

use std::fmt;

use zeroize::Zeroize;

/// A text that nobody may see: no `Display`, a constant `Debug`, wiped from memory on drop.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether two are the same text. Not for judging what a stranger shows: how long it takes depends on the texts.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Bytes of a wrapped key: 12 of nonce, 32 of encrypted key, 16 of tag.
pub const WRAPPED_KEY_LEN: usize = 60;

/// A key of 32 bytes, encrypted under another key. Harmless without that other key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(pub [u8; WRAPPED_KEY_LEN]);

/// A wrapped key, and the identifier of the keyring key that it is wrapped under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringWrapped {
    /// Which key of the keyring opens it.
    pub keyring_key: KeyringKeyId,
    /// The wrapped key itself.
    pub wrapped: WrappedKey,
}

/// The identifier of a key of the operator's keyring: `k_` and 16 hexadecimal digits, derived from the key itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyringKeyId(pub String);

impl fmt::Display for KeyringKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells, without opening anything, whether a keyring key is the one a database was sealed with: 32 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringCheck {
    /// The key that it speaks of.
    pub keyring_key: KeyringKeyId,
    /// Derived from the key, one-way.
    pub value: [u8; 32],
}

/// A connection's two secrets, sealed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCredentials {
    /// The envelope: encrypted under a key of its own.
    pub envelope: Vec<u8>,
    /// That key, wrapped by the account key. Without it the envelope is noise.
    pub sealing_key: WrappedKey,
}

/// Bytes that were sealed: what a job keeps secret, or an answer that holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The envelope: encrypted under a key of its own.
    pub envelope: Vec<u8>,
    /// That key, wrapped by the account key. Without it the envelope is noise.
    pub sealing_key: WrappedKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("hunter2-canary".to_owned());
        assert_eq!(format!("{secret:?}"), "<secret>");
        assert_eq!(secret.expose(), "hunter2-canary");
    }
}
