//! AES-256-GCM over associated data that says what the bytes are for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use domain::secret::{WRAPPED_KEY_LEN, WrappedKey};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Randomness;

pub(crate) const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const _: () = assert!(WRAPPED_KEY_LEN == NONCE_LEN + KEY_LEN + TAG_LEN);

/// Names the rules below; a change of them is a change of this.
const FORMAT: &str = "vimeo-connections/seal/1";

/// The bytes were changed, moved, or sealed under another key. Which of these, nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the sealed value does not open: it was damaged, moved, or sealed with another key")]
pub struct DoesNotOpen;

/// 32 secret bytes, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key(pub(crate) [u8; KEY_LEN]);

/// What sealed bytes are bound to: they open for exactly this and nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub(crate) purpose: &'static str,
    pub(crate) account: &'a str,
    pub(crate) record: &'a str,
    pub(crate) version: u64,
}

impl Binding<'_> {
    /// Each part behind its length, so that no two bindings give the same bytes.
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

/// Each part behind its length as four big-endian bytes.
pub(crate) fn length_prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        // No part comes near 4 GiB: the longest is a name of 100 characters.
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

impl Key {
    pub(crate) fn random(randomness: &Randomness) -> Self {
        Self(randomness.bytes())
    }

    /// Another key out of this one, for one purpose (HKDF-SHA-256, no salt).
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
        // HKDF fails only for outputs over 255 hashes long, and 32 bytes is one; a key of zeros would be worse than a stop.
        assert!(filled.is_ok(), "HKDF gives 32 bytes");
        Self(derived)
    }

    fn cipher(&self) -> Result<LessSafeKey, DoesNotOpen> {
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new).map_err(|_| DoesNotOpen)
    }

    /// Nonce, ciphertext and tag, in this order.
    pub(crate) fn seal(
        &self,
        binding: Binding<'_>,
        plaintext: &[u8],
        randomness: &Randomness,
    ) -> Result<Vec<u8>, DoesNotOpen> {
        let nonce: [u8; NONCE_LEN] = randomness.bytes();
        let mut body = Zeroizing::new(plaintext.to_vec());
        let aad = Aad::from(binding.associated_data());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, body.as_mut_slice())
            .map_err(|_| DoesNotOpen)?;
        Ok([nonce.as_slice(), body.as_slice(), tag.as_ref()].concat())
    }

    /// The plaintext of what [`Self::seal`] gave for the same binding.
    pub(crate) fn open(
        &self,
        binding: Binding<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
        let mut body = Zeroizing::new(body.to_vec());
        let aad = Aad::from(binding.associated_data());
        let length = self
            .cipher()?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, body.as_mut_slice())
            .map_err(|_| DoesNotOpen)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// Wraps another key.
    pub(crate) fn wrap(
        &self,
        binding: Binding<'_>,
        key: &Self,
        randomness: &Randomness,
    ) -> Result<WrappedKey, DoesNotOpen> {
        let sealed = self.seal(binding, &key.0, randomness)?;
        sealed.try_into().map(WrappedKey).map_err(|_| DoesNotOpen)
    }

    /// The key inside a wrapped one.
    pub(crate) fn unwrap_key(&self, binding: Binding<'_>, wrapped: &WrappedKey) -> Result<Self, DoesNotOpen> {
        let opened = self.open(binding, &wrapped.0)?;
        opened.as_slice().try_into().map(Self).map_err(|_| DoesNotOpen)
    }
}
