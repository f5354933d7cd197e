//! Signs webhooks according to the Standard Webhooks specification (scheme `v1`, HMAC-SHA-256).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::Secret;
use zeroize::Zeroizing;

use crate::Randomness;

/// Length of a generated secret in bytes.
const SECRET_LEN: usize = 32;
/// Lengths in bytes that the specification allows.
const SECRET_LENS: std::ops::RangeInclusive<usize> = 24..=64;
/// The prefix of a secret's text form.
const SECRET_PREFIX: &str = "whsec_";

/// The secret that signs one account's webhooks. No `Display`, a constant `Debug`, wiped on drop.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

impl WebhookSecret {
    /// A new secret.
    pub fn random(randomness: &Randomness) -> Self {
        Self(Zeroizing::new(randomness.bytes::<SECRET_LEN>().to_vec()))
    }

    /// A secret from its unsealed bytes; `None` if the length is invalid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        SECRET_LENS.contains(&bytes.len()).then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The bytes to seal.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The text form for receivers that verify signatures: `whsec_` and base64.
    pub fn to_text(&self) -> Secret {
        Secret::new(format!("{SECRET_PREFIX}{}", STANDARD.encode(self.0.as_slice())))
    }

    /// Reads the text form; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok()?);
        Self::from_bytes(&bytes)
    }

    /// The signature of a message: `v1,` and base64.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the specification.
    #[test]
    fn the_signature_matches_the_specifications_example() {
        let bytes = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secret = WebhookSecret::from_bytes(&bytes).unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(secret.to_text().expose(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn a_secret_survives_a_round_trip_and_is_redacted_in_debug_output() {
        let secret = WebhookSecret::random(&Randomness::from_fn(|bytes| bytes.fill(7)));
        let again = WebhookSecret::from_bytes(secret.as_bytes()).unwrap();
        assert_eq!(secret.sign("a", 1, b"x"), again.sign("a", 1, b"x"));
        assert_ne!(secret.sign("a", 1, b"x"), secret.sign("a", 2, b"x"));
        assert_eq!(format!("{secret:?}"), "<secret>");
        assert!(WebhookSecret::from_bytes(&[1; 23]).is_none());
        let parsed = WebhookSecret::parse(secret.to_text().expose()).unwrap();
        assert_eq!(parsed.as_bytes(), secret.as_bytes());
        for text in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
            assert!(WebhookSecret::parse(text).is_none(), "{text}");
        }
    }
}
