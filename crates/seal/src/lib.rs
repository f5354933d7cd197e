//! Sealing: turns credentials into bytes that are safe to keep, and back; and every other keyed computation.
//! Knows keys. Knows nothing of databases, HTTP or Vimeo.
//! Invariant: a sealed value opens only under the account, the record and the version it was sealed for.
//!
//! Three layers: a key of the operator's [`keyring::Keyring`] wraps one random account key per account, that wraps
//! one random key per sealing, that encrypts one [`envelope`]. Formats are frozen by `tests/vectors.json`.

pub mod envelope;
pub mod keyring;
pub mod keyring_file;
pub mod secret_file;
pub mod service;
pub mod webhook;

mod cipher;
mod randomness;
#[cfg(test)]
mod tests;

pub use cipher::DoesNotOpen;
pub use randomness::Randomness;
