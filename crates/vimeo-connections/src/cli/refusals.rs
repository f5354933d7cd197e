//! What a verb's refusal says to the person at the command line: what happened, and what to do.

use app::Error;
use web::records::refused_credentials;

use super::BoxError;

/// A refusal in words. No credential is in them.
pub(super) fn in_words(error: Error) -> BoxError {
    match error {
        Error::ConnectionNameExists => {
            "the account has a connection of this name already; nothing was changed. Choose another name".into()
        }
        Error::VersionConflict { .. } => {
            "the connection was changed meanwhile, and nothing was changed now; run it again".into()
        }
        Error::ConnectionNotFound => "the connection is not there any more".into(),
        Error::ConnectionDisabled => "the connection is disabled; `connections enable` lets it be used".into(),
        Error::WebhookSecretMissing => "the account has no webhook secret: create it with POST /v1/webhook-secret".into(),
        Error::JobNotFound => "the upload is not known any more".into(),
        Error::UploadRefused(failure) => failure.message.into(),
        Error::UploadOver { .. } => "the upload is over, and its link with it; run it again".into(),
        Error::Unauthorized => "the account is not there any more".into(),
        Error::CredentialsRejected(findings) => {
            format!("Vimeo refused the credentials, and nothing was stored: {}", refused_credentials(&findings)).into()
        }
        Error::VimeoUnavailable { retry_after_seconds } => format!(
            "Vimeo could not be asked whether the credentials are good, and nothing was stored; try again in \
             {retry_after_seconds} seconds"
        )
        .into(),
        Error::Overloaded => "too much is waiting to be written, and nothing was stored; try again".into(),
        Error::OutcomeUnknown => {
            "the database was lost at the moment of commit: it may have been stored. Look before you try again".into()
        }
        // These say what happened, with the cause behind them; the keys are never used here.
        Error::StoreUnavailable(_)
        | Error::Internal(_)
        | Error::IdempotencyKeyInUse
        | Error::IdempotencyKeyReused => Box::new(error),
    }
}
