//! Verifying an ID token.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::Timestamp;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError};
use serde_json::{Map, Value};

use crate::attempt::{Attempt, Login};
use crate::claims::Claims;
use crate::failure::Error;

/// By how much the clocks of the provider and of this machine may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// Limit for a subject, in characters (`OpenID` Connect Core, 2).
const SUBJECT_MAX: usize = 255;

/// The algorithms with a public key. With a secret that both sides have, the service could forge tokens itself, and without a
/// signature anyone could.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// Who may have signed a token, and for whom.
pub(crate) struct Expected {
    pub(crate) issuer: IssuerUrl,
    pub(crate) client_id: ClientId,
    pub(crate) keys: CoreJsonWebKeySet,
}

/// Why a token is not accepted.
#[derive(Debug)]
pub(crate) enum TokenError {
    /// It is signed with a key that is not in the set: the provider may have a new one.
    UnknownKey,
    Other(Error),
}

/// The subject and the claims of a token, if everything about it is right.
pub(crate) fn verify(
    token: &CoreIdToken,
    expected: Expected,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<(String, Claims), TokenError> {
    let micros = u64::try_from(now.minus(CLOCK_SKEW).as_micros()).unwrap_or(0);
    let system_time = UNIX_EPOCH + Duration::from_micros(micros);
    let Expected { issuer, client_id, keys } = expected;
    // A public client: it has no secret that a signature could be made with.
    let verifier = CoreIdTokenVerifier::new_public_client(client_id.clone(), issuer, keys)
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || system_time.into());
    let claims = match token.claims(&verifier, &Nonce::new(attempt.nonce.clone())) {
        Ok(claims) => claims,
        Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
            return Err(TokenError::UnknownKey);
        }
        Err(error) => return Err(TokenError::Other(Error::NotAccepted(error.into()))),
    };
    if claims.authorized_party().is_some_and(|party| **party != *client_id) {
        return Err(refused("the ID token was issued to another client"));
    }
    if attempt.login == Login::Again {
        let at = claims.auth_time().map(|at| Timestamp::from_millis(at.timestamp_millis()));
        if at.is_none_or(|at| at.plus(CLOCK_SKEW) < attempt.started_at) {
            return Err(refused("the person did not sign in again"));
        }
    }
    let subject = claims.subject().as_str().to_owned();
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if subject.is_empty() || subject.len() > SUBJECT_MAX || !subject.bytes().all(is_plain) {
        return Err(refused("the subject is empty, longer than 255 characters, or not ASCII"));
    }
    let payload = payload(&token.to_string()).ok_or_else(|| refused("the ID token has no claims"))?;
    Ok((subject, Claims::new(payload)))
}

/// All claims of a token that was verified, as they were signed.
fn payload(token: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn refused(why: &'static str) -> TokenError {
    TokenError::Other(Error::NotAccepted(why.into()))
}
