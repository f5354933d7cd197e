//! Keyed hashes and proofs, under keys derived by purpose from one random secret that is the service's own.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use domain::api_key::{ApiKey, HashedKey, PlainKey, RowMac};
use domain::time::Timestamp;

use crate::cipher::{Key, length_prefixed};

/// The keys that every node of a service shares. They survive a rotation of the keyring.
pub struct ServiceKeys {
    api_key_hash: hmac::Key,
    api_key_row: hmac::Key,
}

impl ServiceKeys {
    pub(crate) fn from_secret(secret: &Key) -> Self {
        let hmac_key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &secret.derive(purpose).0);
        Self { api_key_hash: hmac_key("api-key-hash/1"), api_key_row: hmac_key("api-key-row/1") }
    }

    /// What a key is stored as and found by.
    pub fn hash_api_key(&self, key: &PlainKey) -> HashedKey {
        HashedKey(sign(&self.api_key_hash, key.expose().as_bytes()))
    }

    /// Proof that this service wrote a key's row: over the account, the hash, the expiry, and all the rest of it.
    pub fn prove_api_key(&self, key: &ApiKey, hash: &HashedKey) -> RowMac {
        RowMac(sign(&self.api_key_row, &api_key_row_bytes(key, hash)))
    }

    /// Whether this service wrote the row: nobody without the keyring can make one, or change one.
    pub fn is_proven_api_key(&self, key: &ApiKey, hash: &HashedKey, proof: &RowMac) -> bool {
        constant_time::verify_slices_are_equal(&self.prove_api_key(key, hash).0, &proof.0).is_ok()
    }
}

fn api_key_row_bytes(key: &ApiKey, hash: &HashedKey) -> Vec<u8> {
    let instant =
        |at: Option<Timestamp>| at.map_or_else(Vec::new, |at| at.as_micros().to_be_bytes().to_vec());
    length_prefixed(&[
        key.id.as_str().as_bytes(),
        key.account_id.as_str().as_bytes(),
        key.name.as_str().as_bytes(),
        key.last_four.as_bytes(),
        &instant(Some(key.created_at)),
        &instant(key.expires_at),
        &instant(key.revoked_at),
        &hash.0,
    ])
}

fn sign(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(key, message);
    let mut bytes = [0; 32];
    // HMAC-SHA-256 gives exactly 32 bytes.
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

impl fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKeys")
    }
}
