//! Why a request was not done, sorted by what the client does next.

use store::BoxError;
use thiserror::Error;
use vimeo::Finding;

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
    /// Mend the credentials.
    #[error("Vimeo refused the credentials")]
    CredentialsRejected(Vec<Finding>),
    /// Ask again later: Vimeo could not be asked.
    #[error("Vimeo could not be asked")]
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
            // A verb that can meet a taken name says what that means; here it is a surprise.
            store::Error::NameTaken | store::Error::Corrupt(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<seal::DoesNotOpen> for Error {
    fn from(error: seal::DoesNotOpen) -> Self {
        Self::Internal(Box::new(error))
    }
}
