//! The errors of operations, sorted by what the client does next.

use domain::health::HealthProblem;
use domain::job::{Failure, JobId, NotReschedulable, NotRetryable};
use domain::limits::Limit;
use domain::publication::PublishAtError;
use domain::scope::Scope;
use store::BoxError;
use thiserror::Error;
use vimeo::CredentialProblem;

use crate::RateReport;

/// Why an operation failed. The comments say what to do next.
#[derive(Debug, Error)]
pub enum Error {
    /// Send a valid key.
    #[error("the API key is missing, malformed, unknown, expired or revoked")]
    Unauthorized,
    /// Use a key with the scope.
    #[error("the API key lacks the scope {missing}")]
    Forbidden {
        /// The scope that the request needs.
        missing: Scope,
    },
    /// Check the ID: the key does not exist, or belongs to another account.
    #[error("the account has no such API key")]
    ApiKeyNotFound,
    /// Use another key: this one was revoked or has expired, or its row does not verify.
    #[error("the API key is not active")]
    ApiKeyNotActive,
    /// Create another key with the scope `keys:manage` first.
    #[error("no other active API key of the account has the scope keys:manage")]
    LastManagingKey,
    /// Check the ID: the session does not exist, or belongs to another account.
    #[error("the account has no such session")]
    SessionNotFound,
    /// Request an earlier expiry.
    #[error("the key would be valid for longer than the key that creates it")]
    ExpiryBeyondCreator,
    /// Choose another instant for the publication of the video.
    #[error("the time of publication {0}")]
    InvalidPublishAt(PublishAtError),
    /// Retry later: too many requests with invalid keys came from this address.
    #[error("there were too many requests with invalid keys")]
    TooManyFailedKeys(RateReport),
    /// Delete something, wait until something ends, or ask the operator for a higher limit.
    #[error("the account has reached its limit of {value} for {limit}")]
    LimitReached {
        /// The limit.
        limit: Limit,
        /// Its value.
        value: u64,
    },
    /// Choose another name.
    #[error("the account has a connection of this name")]
    ConnectionNameExists,
    /// Check the ID: the connection does not exist, or belongs to another account.
    #[error("the account has no such connection")]
    ConnectionNotFound,
    /// Read the connection again: it was updated since.
    #[error("the connection has the version {current}")]
    VersionConflict {
        /// The current version.
        current: u64,
    },
    /// Retry later: the first request with this idempotency key is in progress.
    #[error("a request with this idempotency key is in progress")]
    IdempotencyKeyInUse,
    /// Choose another idempotency key.
    #[error("the idempotency key was used for a different request")]
    IdempotencyKeyReused,
    /// Enable the connection, or use another one.
    #[error("the connection is disabled")]
    ConnectionDisabled,
    /// Fix the credentials or the app as the problem says, or use another connection.
    #[error("the connection is unhealthy")]
    ConnectionUnhealthy(HealthProblem),
    /// Retry later: the connection was checked a moment before.
    #[error("the connection was checked recently")]
    CheckedRecently {
        /// Seconds to wait before retrying.
        retry_after_seconds: u64,
    },
    /// Create the webhook secret first.
    #[error("the account has no webhook secret")]
    WebhookSecretMissing,
    /// Check the ID: the endpoint does not exist, or belongs to another account.
    #[error("the account has no such webhook endpoint")]
    WebhookEndpointNotFound,
    /// Enable the endpoint first.
    #[error("the webhook endpoint is disabled")]
    WebhookEndpointDisabled,
    /// Check the ID: the delivery does not exist, or belongs to another account.
    #[error("the account has no such webhook delivery")]
    WebhookDeliveryNotFound,
    /// It cannot be sent again: its endpoint was deleted, or its content was wiped.
    #[error("the webhook delivery can no longer be sent")]
    WebhookNotRedeliverable,
    /// Check the ID: the job does not exist, or belongs to another account.
    #[error("the account has no such job")]
    JobNotFound,
    /// Create another upload: this one cannot be queued again.
    #[error(transparent)]
    JobNotRetryable(#[from] NotRetryable),
    /// The time at which its video is opened can no longer be changed.
    #[error(transparent)]
    JobNotReschedulable(#[from] NotReschedulable),
    /// Look at the job that repeats this one.
    #[error("the job was retried before")]
    JobAlreadyRetried {
        /// That job.
        job_id: JobId,
    },
    /// Change the request as the failure says.
    #[error("Vimeo refused the upload")]
    UploadRefused(Failure),
    /// Retry with another idempotency key: the stored response has a link that was wiped when its upload ended.
    #[error("the upload of this request has ended and its link is no longer valid")]
    UploadOver {
        /// The job of that upload.
        job_id: JobId,
    },
    /// Check the ID: the authorization does not exist, or belongs to another account.
    #[error("the account has no such authorization")]
    AuthorizationNotFound,
    /// Let the operator set `public_url`, or use the device flow.
    #[error("the service has no public URL")]
    PublicUrlMissing,
    /// Fix the credentials.
    #[error("Vimeo refused the credentials")]
    CredentialsRejected(Vec<CredentialProblem>),
    /// Retry later.
    #[error("Vimeo could not be reached")]
    VimeoUnavailable {
        /// Seconds to wait before retrying.
        retry_after_seconds: u64,
    },
    /// Retry later.
    #[error("the queue of writes is full")]
    Overloaded,
    /// Retry later.
    #[error("the database could not be used")]
    StoreUnavailable(#[source] BoxError),
    /// Retry later, or at another node.
    #[error("the keyring of this node lacks a key that the account needs")]
    KeyringLacksKey,
    /// Check whether the operation was executed.
    #[error("the database was lost during a commit")]
    OutcomeUnknown,
    /// Inform the operator.
    #[error("internal error")]
    Internal(#[source] BoxError),
}

impl Error {
    /// Whether the database or the keyring could not be used: the same may succeed later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::StoreUnavailable(_) | Self::KeyringLacksKey | Self::OutcomeUnknown
        )
    }

    /// The code of the audit event; `None` for errors that are not audited, because they are not refusals of a mutation.
    pub fn audit_code(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden { .. } => Some("FORBIDDEN"),
            Self::ApiKeyNotFound => Some("API_KEY_NOT_FOUND"),
            Self::ApiKeyNotActive => Some("API_KEY_NOT_ACTIVE"),
            Self::LastManagingKey => Some("LAST_MANAGING_KEY"),
            Self::SessionNotFound => Some("NOT_FOUND"),
            Self::ConnectionNameExists => Some("CONNECTION_NAME_EXISTS"),
            Self::ConnectionNotFound => Some("CONNECTION_NOT_FOUND"),
            Self::VersionConflict { .. } => Some("VERSION_CONFLICT"),
            Self::IdempotencyKeyInUse => Some("IDEMPOTENCY_KEY_IN_USE"),
            Self::IdempotencyKeyReused => Some("IDEMPOTENCY_KEY_REUSED"),
            Self::ConnectionDisabled => Some("CONNECTION_DISABLED"),
            Self::ConnectionUnhealthy(_) => Some("CONNECTION_UNHEALTHY"),
            Self::WebhookSecretMissing => Some("WEBHOOK_SECRET_MISSING"),
            Self::WebhookEndpointNotFound => Some("WEBHOOK_ENDPOINT_NOT_FOUND"),
            Self::WebhookEndpointDisabled => Some("WEBHOOK_ENDPOINT_DISABLED"),
            Self::WebhookDeliveryNotFound => Some("WEBHOOK_DELIVERY_NOT_FOUND"),
            Self::WebhookNotRedeliverable => Some("WEBHOOK_NOT_REDELIVERABLE"),
            Self::AuthorizationNotFound => Some("AUTHORIZATION_NOT_FOUND"),
            Self::PublicUrlMissing => Some("PUBLIC_URL_MISSING"),
            Self::JobNotFound => Some("JOB_NOT_FOUND"),
            Self::JobNotRetryable(NotRetryable::NotFailed) => Some("JOB_NOT_FAILED"),
            Self::JobNotRetryable(NotRetryable::ClientUpload | NotRetryable::NotKept) => {
                Some("JOB_NOT_RETRYABLE")
            }
            Self::JobNotReschedulable(_) => Some("JOB_NOT_RESCHEDULABLE"),
            Self::JobAlreadyRetried { .. } => Some("JOB_ALREADY_RETRIED"),
            Self::UploadRefused(_) => Some("UPLOAD_REFUSED"),
            Self::UploadOver { .. } => Some("UPLOAD_OVER"),
            Self::CredentialsRejected(_) => Some("INVALID_VIMEO_CREDENTIALS"),
            Self::LimitReached { .. } => Some("LIMIT_REACHED"),
            Self::Unauthorized
            | Self::ExpiryBeyondCreator
            | Self::InvalidPublishAt(_)
            | Self::TooManyFailedKeys(_)
            | Self::CheckedRecently { .. }
            | Self::VimeoUnavailable { .. }
            | Self::Overloaded
            | Self::StoreUnavailable(_)
            | Self::KeyringLacksKey
            | Self::OutcomeUnknown
            | Self::Internal(_) => None,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::KeyNotActive => Self::Unauthorized,
            store::Error::LastManagingKey => Self::LastManagingKey,
            store::Error::Overloaded => Self::Overloaded,
            store::Error::Unavailable(source) => Self::StoreUnavailable(source),
            store::Error::OutcomeUnknown => Self::OutcomeUnknown,
            store::Error::VersionConflict { current } => Self::VersionConflict { current },
            store::Error::ReservationLost => Self::IdempotencyKeyInUse,
            // Operations that expect a taken name or a missing row handle it themselves. Here it is a bug.
            store::Error::NameTaken
            | store::Error::NotFound
            | store::Error::AlreadyRetried
            | store::Error::Corrupt(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<seal::CryptoError> for Error {
    fn from(error: seal::CryptoError) -> Self {
        Self::Internal(Box::new(error))
    }
}
