//! Verifying credentials with Vimeo before they are stored.

use domain::connection::Credentials;
use vimeo::{TransportError, VerifyError};

use crate::{App, Caller, Error, Verification};

/// The `Retry-After` of an answer if Vimeo gave none.
const VIMEO_RETRY_SECONDS: u64 = 10;
/// The maximum `Retry-After` of an answer.
const VIMEO_RETRY_MAX_SECONDS: u64 = 3_600;

/// What Vimeo said of credentials that it did not reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// It accepts them.
    Accepted,
    /// It was not asked, or did not answer.
    NotAsked,
}

impl App {
    /// Whether credentials are verified.
    pub(crate) fn is_verifying(&self) -> bool {
        !matches!(self.verification, Verification::Off)
    }

    /// Verifies credentials, unless verification is off.
    pub(crate) async fn verify(&self, caller: &Caller, credentials: &Credentials) -> Result<Verified, Error> {
        let (client, requirements, is_required) = match &self.verification {
            Verification::Required { client, requirements } => (client, requirements, true),
            Verification::WhenReachable { client, requirements } => (client, requirements, false),
            Verification::Off => return Ok(Verified::NotAsked),
        };
        let waits = self.waiting.begin(caller);
        let verified = client.verify(credentials, requirements).await;
        drop(waits);
        match verified {
            Ok(()) => Ok(Verified::Accepted),
            Err(VerifyError::Rejected(problems)) => Err(Error::CredentialsRejected(problems)),
            Err(VerifyError::Unknown(error)) if !is_required => {
                tracing::warn!(
                    %error,
                    "the credentials could not be verified with Vimeo and were stored unverified; \
                     they are checked again as soon as Vimeo answers"
                );
                Ok(Verified::NotAsked)
            }
            Err(VerifyError::Unknown(error)) => {
                tracing::warn!(
                    %error,
                    "the credentials could not be verified with Vimeo, so nothing was stored; \
                     with vimeo.verification = \"off\" connections are stored unverified, \
                     with \"when-reachable\" only while Vimeo does not answer"
                );
                Err(self.vimeo_unavailable(&error))
            }
        }
    }

    pub(crate) fn vimeo_unavailable(&self, error: &TransportError) -> Error {
        Error::VimeoUnavailable { retry_after_seconds: self.retry_after_seconds(error) }
    }

    fn retry_after_seconds(&self, error: &TransportError) -> u64 {
        let TransportError::RateLimited { not_before: Some(not_before) } = error else {
            return VIMEO_RETRY_SECONDS;
        };
        not_before.seconds_after(self.clock.now()).clamp(1, VIMEO_RETRY_MAX_SECONDS)
    }
}
