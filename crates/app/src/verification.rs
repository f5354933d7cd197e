//! Asking Vimeo whether credentials are good, before they are kept.

use domain::connection::Credentials;
use vimeo::{TransportError, VerifyError};

use crate::{App, Error, Verification};

/// When to ask again if Vimeo did not say.
const VIMEO_RETRY_SECONDS: u64 = 10;
/// The longest wait that is asked of a client, whatever Vimeo says.
const VIMEO_RETRY_MAX_SECONDS: u64 = 3_600;

impl App {
    /// Whether Vimeo is asked about credentials.
    pub(crate) fn is_verifying(&self) -> bool {
        matches!(self.verification, Verification::Required { .. })
    }

    /// Asks Vimeo about credentials, as the configuration says.
    pub(crate) async fn verify(&self, credentials: &Credentials) -> Result<(), Error> {
        let Verification::Required { client, requirements } = &self.verification else { return Ok(()) };
        match client.verify(credentials, requirements).await {
            Ok(()) => Ok(()),
            Err(VerifyError::Rejected(findings)) => Err(Error::CredentialsRejected(findings)),
            Err(VerifyError::Unknown(error)) => {
                tracing::warn!(
                    %error,
                    "the credentials could not be checked at Vimeo, so nothing was stored; \
                     with vimeo.verification = \"off\" connections are stored unchecked"
                );
                Err(Error::VimeoUnavailable { retry_after_seconds: self.seconds_until(&error) })
            }
        }
    }

    fn seconds_until(&self, error: &TransportError) -> u64 {
        let TransportError::RateLimited { not_before: Some(not_before) } = error else {
            return VIMEO_RETRY_SECONDS;
        };
        not_before.seconds_after(self.clock.now()).clamp(1, VIMEO_RETRY_MAX_SECONDS)
    }
}
