//! Cryptography: encrypts stored secrets, and all keyed hashes and MACs.
//! Knows keys. Knows nothing of databases, HTTP or Vimeo.
//! Invariant: a sealed value can be decrypted only for the account, purpose, record and version it was sealed for.
//!
//! There are three layers of keys. A key of the operator's [`keyring::Keyring`] wraps one random key per account; that
//! key wraps one random key per sealed value; that key encrypts one [`envelope`]. `tests/vectors.json` freezes the
//! formats.

pub mod browser_tokens;
pub mod envelope;
pub mod keyring;
pub mod keyring_file;
pub mod sealed_keyring_file;
pub mod secret_file;
pub mod service;
mod sessions;
pub mod webhook;

mod cipher;
mod keyring_text;
mod page_keys;
mod randomness;
#[cfg(test)]
mod tests;

pub use cipher::CryptoError;
pub use randomness::Randomness;
