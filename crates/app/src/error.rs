//! Why a request was not done, sorted by what the client does next.

use domain::job::{Failure, JobId};
use store::BoxError;
use thiserror::Error;
use vimeo::CredentialProblem;

/// Why a request was not done.
#[derive(Debug, Error)]
pub enum Error {
    /// Show a good key.
    #[error("the API key is missing, malformed, unknown, expired or revoked")]
    Unauthorized,
    /// Choose another name.
    #[error("the account has a connection of this name")]
    ConnectionNameExists,
    /// It is not there, or it is somebody else's.
    #[error("the account has no such connection")]
    ConnectionNotFound,
    /// Read the connection again: it was changed since.
    #[error("the connection has the version {current}")]
    VersionConflict {
        /// The version that it has now.
        current: u64,
    },
    /// Wait for the first request of this idempotency key, or repeat it.
    #[error("a request with this idempotency key is being done")]
    IdempotencyKeyInUse,
    /// Choose another idempotency key.
    #[error("the idempotency key was used for a request that said something else")]
    IdempotencyKeyReused,
    /// Enable the connection, or take another one.
    #[error("the connection is disabled")]
    ConnectionDisabled,
    /// Create the webhook secret first.
    #[error("the account has no webhook secret")]
    WebhookSecretMissing,
    /// It is not there, or it is somebody else's.
    #[error("the account has no such job")]
    JobNotFound,
    /// Vimeo takes no such upload: the failure says why.
    #[error("Vimeo refused the upload")]
    UploadRefused(Failure),
    /// Take another idempotency key: the link of the first answer went with its upload.
    #[error("the upload of this request has ended and its link is no longer valid")]
    UploadOver {
        /// The job of that upload.
        job_id: JobId,
    },
    /// Mend the credentials.
    #[error("Vimeo refused the credentials")]
    CredentialsRejected(Vec<CredentialProblem>),
    /// Ask again later: Vimeo could not be reached.
    #[error("Vimeo could not be reached")]
    VimeoUnavailable {
        /// In so many seconds.
        retry_after_seconds: u64,
    },
    /// Ask again later: too much is waiting to be written.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// Ask again later: the database could not be used.
    #[error("the database could not be used")]
    StoreUnavailable(#[source] BoxError),
    /// Look whether it was done.
    #[error("the database was lost at the moment of commit")]
    OutcomeUnknown,
    /// Tell the operator.
    #[error("a fault inside the service")]
    Internal(#[source] BoxError),
}

impl Error {
    /// The code that the audit log names a refusal by; `None` for what is no refusal of a mutation.
    pub fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::ConnectionNameExists => Some("CONNECTION_NAME_EXISTS"),
            Self::ConnectionNotFound => Some("CONNECTION_NOT_FOUND"),
            Self::VersionConflict { .. } => Some("VERSION_CONFLICT"),
            Self::IdempotencyKeyInUse => Some("IDEMPOTENCY_KEY_IN_USE"),
            Self::IdempotencyKeyReused => Some("IDEMPOTENCY_KEY_REUSED"),
            Self::ConnectionDisabled => Some("CONNECTION_DISABLED"),
            Self::WebhookSecretMissing => Some("WEBHOOK_SECRET_MISSING"),
            Self::JobNotFound => Some("JOB_NOT_FOUND"),
            Self::UploadRefused(_) => Some("UPLOAD_REFUSED"),
            Self::UploadOver { .. } => Some("UPLOAD_OVER"),
            Self::CredentialsRejected(_) => Some("INVALID_VIMEO_CREDENTIALS"),
            Self::Unauthorized
            | Self::VimeoUnavailable { .. }
            | Self::Overloaded
            | Self::StoreUnavailable(_)
            | Self::OutcomeUnknown
            | Self::Internal(_) => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::KeyNotActive => Self::Unauthorized,
            store::Error::Overloaded => Self::Overloaded,
            store::Error::Unavailable(source) => Self::StoreUnavailable(source),
            store::Error::OutcomeUnknown => Self::OutcomeUnknown,
            store::Error::VersionConflict { current } => Self::VersionConflict { current },
            store::Error::ReservationLost => Self::IdempotencyKeyInUse,
            // A verb that can meet a taken name, or a missing row, says what that means; here it is a surprise.
            store::Error::NameTaken | store::Error::NotFound | store::Error::Corrupt(_) => {
                Self::Internal(Box::new(error))
            }
        }
    }
}

impl From<seal::CryptoError> for Error {
    fn from(error: seal::CryptoError) -> Self {
        Self::Internal(Box::new(error))
    }
}
