//! Secrets and their encrypted forms. A secret leaves its type only through `expose`, so `grep expose` finds all uses.

use std::fmt;

use zeroize::Zeroize;

/// A secret text: no `Display`, a constant `Debug`, wiped on drop.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. The caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are equal. Not constant-time: do not use it for input from strangers.
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

/// Length of a wrapped key: a nonce of 12 bytes, a key of 32, a tag of 16.
pub const WRAPPED_KEY_LEN: usize = 60;

/// A key of 32 bytes, encrypted with another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(pub [u8; WRAPPED_KEY_LEN]);

/// A key wrapped with a keyring key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringWrapped {
    /// The keyring key that wraps it.
    pub keyring_key: KeyringKeyId,
    /// The wrapped key itself.
    pub wrapped: WrappedKey,
}

/// The identifier of a keyring key: `k_` and 16 hexadecimal digits, derived from the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyringKeyId(pub String);

impl fmt::Display for KeyringKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A check value for a keyring key: shows, without decrypting anything, whether a database was sealed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringCheck {
    /// The key.
    pub keyring_key: KeyringKeyId,
    /// A one-way derivation of the key.
    pub value: [u8; 32],
}

/// The two secrets of a connection, encrypted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCredentials {
    /// The ciphertext, encrypted with a key of its own.
    pub envelope: Vec<u8>,
    /// That key, wrapped with the account key. Without it the envelope cannot be decrypted.
    pub sealing_key: WrappedKey,
}

/// Encrypted bytes: the secret parts of a job, or a stored response with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The ciphertext, encrypted with a key of its own.
    pub envelope: Vec<u8>,
    /// That key, wrapped with the account key. Without it the envelope cannot be decrypted.
    pub sealing_key: WrappedKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_redacted_in_debug_output() {
        let secret = Secret::new("hunter2-canary".to_owned());
        assert_eq!(format!("{secret:?}"), "<secret>");
        assert_eq!(secret.expose(), "hunter2-canary");
    }
}
