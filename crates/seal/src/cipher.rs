//! AES-256-GCM with associated data.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use domain::secret::{WRAPPED_KEY_LEN, WrappedKey};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Randomness;

pub(crate) const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const _: () = assert!(WRAPPED_KEY_LEN == NONCE_LEN + KEY_LEN + TAG_LEN);

/// Identifies this format. A change of the format needs another value.
const FORMAT: &str = "vimeo-connections/seal/1";

/// Why bytes could not be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// Encrypting failed.
    #[error("the value cannot be encrypted")]
    Encrypt,
    /// The bytes were changed or moved, or were encrypted with another key. These cases cannot be distinguished.
    #[error("the sealed value cannot be decrypted: it was damaged, moved, or sealed with another key")]
    Decrypt,
}

/// 32 secret bytes, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key(pub(crate) [u8; KEY_LEN]);

/// The encryption context: what sealed bytes are bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) purpose: &'static str,
    pub(crate) account: &'a str,
    pub(crate) record: &'a str,
    pub(crate) version: u64,
}

impl Context<'_> {
    /// Every part is length-prefixed, so that no two contexts give the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let parts: [&[u8]; 5] = [
            FORMAT.as_bytes(),
            self.purpose.as_bytes(),
            self.account.as_bytes(),
            self.record.as_bytes(),
            &version,
        ];
        length_prefixed(&parts)
    }
}

/// Prefixes each part with its length as four big-endian bytes.
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // No part comes near 4 GiB.
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

impl Key {
    pub(crate) fn random(randomness: &Randomness) -> Self {
        Self(randomness.bytes())
    }

    /// Derives a key for one purpose (HKDF-SHA-256 without salt).
    pub(crate) fn derive(&self, purpose: &str) -> Self {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                KEY_LEN
            }
        }
        let prk = Salt::new(HKDF_SHA256, &[]).extract(&self.0);
        let info = [FORMAT.as_bytes(), b"/", purpose.as_bytes()];
        let mut derived = [0; KEY_LEN];
        let filled = prk.expand(&info, Length).and_then(|okm| okm.fill(&mut derived));
        // HKDF fails only for outputs of more than 255 hashes. Stopping is better than returning a key of zeros.
        assert!(filled.is_ok(), "HKDF returns 32 bytes");
        Self(derived)
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new).ok()
    }

    /// Encrypts; returns nonce, ciphertext and tag, in this order.
    pub(crate) fn seal(
        &self,
        context: Context<'_>,
        plaintext: &[u8],
        randomness: &Randomness,
    ) -> Result<Vec<u8>, CryptoError> {
        let nonce: [u8; NONCE_LEN] = randomness.bytes();
        let mut body = Zeroizing::new(plaintext.to_vec());
        let aad = Aad::from(context.associated_data());
        let tag = self
            .cipher()
            .ok_or(CryptoError::Encrypt)?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, body.as_mut_slice())
            .map_err(|_| CryptoError::Encrypt)?;
        Ok([nonce.as_slice(), body.as_slice(), tag.as_ref()].concat())
    }

    /// Decrypts the result of [`Self::seal`] for the same context.
    pub(crate) fn open(
        &self,
        context: Context<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CryptoError::Decrypt)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(context.associated_data());
        let length = self
            .cipher()
            .ok_or(CryptoError::Decrypt)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, body.as_mut_slice())
            .map_err(|_| CryptoError::Decrypt)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// Encrypts another key.
    pub(crate) fn wrap(
        &self,
        context: Context<'_>,
        key: &Self,
        randomness: &Randomness,
    ) -> Result<WrappedKey, CryptoError> {
        let sealed = self.seal(context, &key.0, randomness)?;
        sealed.try_into().map(WrappedKey).map_err(|_| CryptoError::Encrypt)
    }

    /// Decrypts a wrapped key.
    pub(crate) fn unwrap_key(&self, context: Context<'_>, wrapped: &WrappedKey) -> Result<Self, CryptoError> {
        let opened = self.open(context, &wrapped.0)?;
        opened.as_slice().try_into().map(Self).map_err(|_| CryptoError::Decrypt)
    }
}
