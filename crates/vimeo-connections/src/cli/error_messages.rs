//! Messages for errors of operations: what happened, and what to do next.

use app::Error;
use web::connection_json::rejected_credentials;

use super::BoxError;

/// The message of an error. Contains no credentials.
pub(super) fn to_message(error: Error) -> BoxError {
    match error {
        Error::ConnectionNameExists => {
            "the account already has a connection with this name; nothing was changed. Choose another name".into()
        }
        Error::VersionConflict { .. } => {
            "the connection was changed by another request; nothing was changed. Run the command again".into()
        }
        Error::ConnectionNotFound => "the connection no longer exists".into(),
        Error::ConnectionUnhealthy(problem) => {
            format!("the connection is unhealthy: {}", problem.message.lines().collect::<Vec<_>>().join(" ")).into()
        }
        Error::CheckedRecently { retry_after_seconds } => {
            format!("the connection was checked within the last seconds; try again in {retry_after_seconds} s").into()
        }
        Error::ConnectionDisabled => "the connection is disabled; enable it with `connections enable`".into(),
        Error::WebhookSecretMissing => "the account has no webhook secret: create it with POST /v1/webhook-secret".into(),
        Error::JobNotFound => "the upload no longer exists".into(),
        Error::JobAlreadyRetried { job_id } => format!("the upload was retried before: {job_id} repeats it").into(),
        Error::UploadRefused(failure) => failure.message.into(),
        Error::UploadOver { .. } => "the upload has ended and its link is no longer valid; run the command again".into(),
        Error::Unauthorized => "the account no longer exists".into(),
        Error::ApiKeyNotFound => "the API key no longer exists".into(),
        Error::SessionNotFound => "the session no longer exists".into(),
        Error::ApiKeyNotActive => "the API key is expired or revoked; create a new one".into(),
        Error::CredentialsRejected(findings) => {
            format!("Vimeo refused the credentials, and nothing was stored: {}", rejected_credentials(&findings)).into()
        }
        Error::VimeoUnavailable { retry_after_seconds } => format!(
            "the credentials could not be checked at Vimeo, and nothing was stored; try again in \
             {retry_after_seconds} seconds"
        )
        .into(),
        Error::Overloaded => "the database is overloaded, and nothing was stored; try again".into(),
        Error::OutcomeUnknown => {
            "the database connection was lost during the commit: the change may have been stored. Check before you try again".into()
        }
        // Their text is sufficient; idempotency keys are not used here, and the operator has no limits.
        Error::StoreUnavailable(_)
            | Error::KeyringLacksKey
        | Error::Internal(_)
        | Error::Forbidden { .. }
        | Error::LastManagingKey
        | Error::ExpiryBeyondCreator
        | Error::InvalidPublishAt(_)
        | Error::JobNotRetryable(_)
        | Error::JobNotReschedulable(_)
        | Error::WebhookEndpointNotFound
        | Error::WebhookEndpointDisabled
        | Error::WebhookDeliveryNotFound
        | Error::WebhookNotRedeliverable
        | Error::AuthorizationNotFound
        | Error::PublicUrlMissing
        | Error::IdempotencyKeyInUse
        | Error::IdempotencyKeyReused
        | Error::TooManyFailedKeys(_)
        | Error::LimitReached { .. } => Box::new(error),
    }
}
