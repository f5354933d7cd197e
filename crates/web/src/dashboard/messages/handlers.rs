//! Texts that no template contains: notices, errors of forms, and names of states.

use app::CredentialProblem;
use domain::limits::Limit;

// Notices after something was done.
pub(crate) const DONE_CONNECTION_CREATED: &str = "The connection was created. Vimeo accepts its credentials.";
pub(crate) const DONE_CONNECTION_CREATED_UNVERIFIED: &str =
    "The connection was created. Vimeo has not been asked yet whether it accepts its credentials.";
pub(crate) const DONE_CONNECTION_SAVED: &str = "The changes were saved.";
pub(crate) const DONE_CREDENTIALS_REPLACED: &str = "The credentials were replaced. Vimeo accepts them.";
pub(crate) const DONE_CREDENTIALS_REPLACED_UNVERIFIED: &str =
    "The credentials were replaced. Vimeo has not been asked yet whether it accepts them.";
pub(crate) const DONE_CONNECTION_ENABLED: &str = "The connection is enabled.";
pub(crate) const DONE_CONNECTION_DISABLED: &str =
    "The connection is disabled. Its uploads wait until it is enabled.";
pub(crate) const DONE_CONNECTION_DELETED: &str =
    "The connection was deleted, and its credentials were destroyed.";
pub(crate) const DONE_TEST_HEALTHY: &str = "Vimeo accepts the credentials.";
pub(crate) const DONE_TEST_UNHEALTHY: &str = "Vimeo was asked. The connection needs attention: see below.";
pub(crate) const DONE_UPLOAD_STARTED: &str = "The upload was queued.";
pub(crate) const DONE_UPLOAD_RETRIED: &str = "The upload was queued again. This is the new one.";
pub(crate) const DONE_UPLOAD_CANCELLED: &str =
    "The upload was cancelled. What it created at Vimeo is being deleted.";
pub(crate) const DONE_UPLOADS_CANCELLED: &str =
    "The uploads were cancelled. What they created at Vimeo is being deleted.";
pub(crate) const FAILED_UPLOAD_HAS_ENDED: &str = "The upload had already ended, so nothing was cancelled.";
pub(crate) const FAILED_RETRY_DISABLED: &str =
    "The connection is disabled, so the upload was not retried. Enable the connection, then retry.";
pub(crate) const FAILED_RETRY_UNHEALTHY: &str =
    "The connection is unhealthy, so the upload was not retried. Fix the connection, then retry.";
pub(crate) const FAILED_RETRY_NOT_KEPT: &str =
    "This upload can no longer be retried: what it needs is not kept. Start a new upload.";
pub(crate) const FAILED_RETRY_NOT_FAILED: &str = "Only a failed upload can be retried.";
pub(crate) const FAILED_RETRY_SECRET: &str = "This upload calls a webhook, and the account has no secret that signs it. Create one over the API, then retry.";
pub(crate) const FAILED_RETRY_LIMIT: &str = "The account has as many uploads in progress as it may have, so the upload was not retried. Wait until one ends.";
pub(crate) const DONE_KEY_RENAMED: &str = "The API key was renamed.";
pub(crate) const DONE_KEY_REVOKED: &str = "The API key was revoked.";
pub(crate) const FAILED_KEY_FORM_SENT_BEFORE: &str = "This form was sent before, and its key is in the list. A key is shown only once: if you have not saved it, rotate it.";
pub(crate) const DONE_ENDPOINT_SAVED: &str = "The endpoint was saved.";
pub(crate) const DONE_ENDPOINT_ENABLED: &str = "The endpoint is enabled.";
pub(crate) const DONE_ENDPOINT_DISABLED: &str = "The endpoint is disabled.";
pub(crate) const DONE_ENDPOINT_DELETED: &str = "The endpoint was deleted.";
pub(crate) const DONE_TEST_SENT: &str = "A test event was queued. It is sent within seconds.";
pub(crate) const DONE_REDELIVERED: &str = "The delivery was queued again. It is sent within seconds.";
pub(crate) const FAILED_INVITATION_FORM_SENT_BEFORE: &str = "This form was sent before, and its invitation is in the list. A link is shown only once: if you have not copied it, revoke the invitation and create another one.";
pub(crate) const DONE_INVITATION_REVOKED: &str = "The invitation was revoked. Its link no longer works.";
pub(crate) const DONE_SESSION_ENDED: &str = "The session was ended.";

// Errors of forms.
pub(crate) const ERROR_REQUIRED: &str = "Enter a value.";
pub(crate) const ERROR_NAME_REQUIRED: &str = "Enter a name.";
pub(crate) const ERROR_NAME_TAKEN: &str =
    "Another connection of this account has this name. Choose another one.";
pub(crate) const ERROR_DELETE_NAME: &str = "The name does not match, so nothing was deleted. Type the name of the connection exactly as it is shown.";
pub(crate) const ERROR_KEY_UNKNOWN: &str =
    "This API key is not accepted. It may be mistyped, expired or revoked; enter another one.";
pub(crate) const ERROR_TOO_MANY_SIGN_INS: &str =
    "There were too many attempts from your address. Wait a minute, then try again.";
pub(crate) const ERROR_SECRET_WRONG: &str = "Vimeo does not accept this client secret for the client identifier. Copy both again from the page of the app.";
pub(crate) const ERROR_IDENTIFIER_UNKNOWN: &str =
    "Vimeo does not know this client identifier. Copy it again from the page of the app.";
pub(crate) const ERROR_CLIENT_REJECTED: &str = "Vimeo rejects the client identifier together with the client secret, and does not say which one is wrong. Copy both again from the page of the app.";
pub(crate) const ERROR_IN_QUOTES: &str =
    "This value is in quotation marks, which Vimeo may not expect. Enter it without them.";
pub(crate) const ERROR_TOKEN_UNKNOWN: &str = "Vimeo does not know this access token: it is mistyped, expired or revoked. Generate a new one on the page of the app.";
pub(crate) const ERROR_TOKEN_WITHOUT_USER: &str =
    "This access token belongs to no user. Generate one with Authenticated (you) on the page of the app.";
pub(crate) const ERROR_TOKEN_OTHER_APP: &str =
    "This access token belongs to another app than the client identifier. Use a token of the same app.";
pub(crate) const ERROR_VIMEO_UNAVAILABLE: &str =
    "Vimeo could not be reached, so nothing was stored. Try again in a minute.";
pub(crate) const ERROR_VIMEO_UNAVAILABLE_TEST: &str =
    "Vimeo could not be reached, so the health did not change. Try again in a minute.";
pub(crate) const ERROR_TESTED_RECENTLY: &str =
    "This connection was tested within the last five seconds. Wait a moment, then test it again.";
pub(crate) const ERROR_CONFLICT: &str =
    "The connection was changed while you were editing. Nothing was saved.";
pub(crate) const ERROR_OUTCOME_UNKNOWN: &str = "The connection to the database was lost, so this may or may not have been saved. Check before you send it again.";
pub(crate) const ERROR_SOURCE_REQUIRED: &str = "Enter the URL of the file.";
pub(crate) const ERROR_SOURCE_FILE: &str = "Choose a file.";
pub(crate) const ERROR_CONNECTION_REQUIRED: &str = "Choose a connection.";
pub(crate) const ERROR_CONNECTION_GONE: &str = "This connection does not exist. Choose another one.";
pub(crate) const ERROR_CONNECTION_DISABLED: &str =
    "This connection is disabled. Enable it, or choose another one.";
pub(crate) const ERROR_VIDEO_PASSWORD_REQUIRED: &str = "Enter the password that viewers need.";
pub(crate) const ERROR_VIDEO_PASSWORD_UNUSED: &str = "A password has no effect with this choice of who can watch. Choose Anyone with the password, or leave it empty.";
pub(crate) const ERROR_VIMEO_UNAVAILABLE_UPLOAD: &str =
    "Vimeo could not be reached, so the upload was not started. Try again in a minute.";
/// What is wrong with the value of a field.
pub(crate) fn field_error(label: &str, errors: &str) -> String {
    format!("{label}: {errors}.")
}

/// An unhealthy connection cannot be used.
pub(crate) fn error_connection_unhealthy(problem: &str) -> String {
    format!("This connection is unhealthy. {problem}")
}

pub(crate) const ERROR_NOTHING_SELECTED: &str = "No upload was selected. Select at least one, then cancel.";
pub(crate) const ERROR_NO_SCOPES: &str = "Choose at least one scope.";
pub(crate) const ERROR_EXPIRY_BEYOND_SESSION: &str =
    "The API key that you signed in with expires earlier. Enter fewer days.";
pub(crate) const ERROR_DAYS: &str = "Enter a whole number of days from 1 to 36500, or leave it empty.";
pub(crate) const ERROR_HOURS: &str = "Enter a whole number of hours from 0 to 720, or leave it empty.";
pub(crate) const ERROR_EVENTS: &str = "An event type does not exist. Choose others.";
pub(crate) const ERROR_ROLE: &str = "Choose a role.";
pub(crate) const ERROR_FILTER: &str = "A filter has a value that does not exist. Choose another one.";
pub(crate) const ERROR_DATE: &str = "Enter a date and a time, or leave it empty.";
pub(crate) const ERROR_LAST_KEY: &str =
    "This is the last key that can manage API keys, so it was not revoked. Create another one first.";
pub(crate) const ERROR_ENDPOINT_FORM_REUSED: &str = "This form was already sent with other values, and that endpoint was created. Send it again to create another one.";

/// A limit of the account is reached. The settings show all of them under the same names.
pub(crate) fn limit_reached(limit: Limit, value: u64) -> String {
    let name = super::limit(limit);
    format!(
        "The account has reached a limit (Settings: {name}, {value}). Delete something that is no longer needed, or ask the operator of this service for a higher limit."
    )
}

/// What Vimeo refused, and what to do.
pub(crate) fn credential_problem(problem: &CredentialProblem) -> String {
    let text = match problem {
        CredentialProblem::ClientUnknown => ERROR_IDENTIFIER_UNKNOWN,
        CredentialProblem::ClientSecretWrong => ERROR_SECRET_WRONG,
        CredentialProblem::ClientRejected => ERROR_CLIENT_REJECTED,
        CredentialProblem::TokenUnknown => ERROR_TOKEN_UNKNOWN,
        CredentialProblem::TokenWithoutUser => ERROR_TOKEN_WITHOUT_USER,
        CredentialProblem::TokenOfAnotherApp => ERROR_TOKEN_OTHER_APP,
        CredentialProblem::TokenLacksScopes(scopes) => return error_missing_scopes(scopes),
        CredentialProblem::InQuotes(_) => ERROR_IN_QUOTES,
    };
    text.to_owned()
}

/// The access token lacks scopes.
pub(crate) fn error_missing_scopes(scopes: &[String]) -> String {
    let (names, them) = match scopes {
        [scope] => (format!("scope {scope}"), "it"),
        [others @ .., last] => (format!("scopes {} and {last}", others.join(", ")), "them"),
        [] => ("required scopes".to_owned(), "them"),
    };
    format!("This access token lacks the {names}. Generate a new one with {them} on the page of the app.")
}

// Names of states.
pub(crate) const ANY: &str = "Any";
pub(crate) const PHASE_QUEUED: &str = "Queued";
pub(crate) const PHASE_CREATING: &str = "Creating";
pub(crate) const PHASE_UPLOADING: &str = "Uploading";
pub(crate) const PHASE_CONFIGURING: &str = "Configuring";
pub(crate) const PHASE_TRANSCODING: &str = "Transcoding";
pub(crate) const PHASE_SCHEDULED: &str = "Scheduled";
pub(crate) const PHASE_PUBLISHING: &str = "Publishing";
pub(crate) const PHASE_CLEANING_UP: &str = "Cleaning up";
pub(crate) const PHASE_COMPLETED: &str = "Completed";
pub(crate) const PHASE_FAILED: &str = "Failed";
pub(crate) const PHASE_CANCELLED: &str = "Cancelled";
pub(crate) const TAB_ALL: &str = "All";
pub(crate) const TAB_IN_PROGRESS: &str = "In progress";
pub(crate) const WAITING_RATE_LIMIT: &str = "Waiting: Vimeo limits requests for now.";
pub(crate) const WAITING_VIMEO: &str = "Waiting: Vimeo cannot be reached.";
pub(crate) const WAITING_SOURCE: &str = "Waiting: the server of the source cannot be reached.";
pub(crate) const WAITING_CONNECTION: &str = "Waiting: the connection is disabled. Enable it to continue.";
pub(crate) const WAITING_HEALTH: &str =
    "Waiting: the connection is unhealthy. Fix its credentials to continue.";
pub(crate) const WAITING_CLIENT: &str = "Waiting: the client has not sent all bytes yet.";
pub(crate) const WAITING_TRANSCODING: &str = "Waiting: Vimeo is transcoding the video.";
pub(crate) const WAITING_PUBLISH_TIME: &str = "Everything is done. The video opens at its time.";
pub(crate) const WAITING_CONFIRMATION: &str =
    "Waiting: Vimeo has not confirmed yet whether it created the video.";
pub(crate) const CHECK_CLIENT_CREDENTIALS: &str = "Client identifier and secret";
pub(crate) const CHECK_TOKEN: &str = "Access token";
pub(crate) const CHECK_TOKEN_APP: &str = "Token belongs to the app";
pub(crate) const CHECK_SCOPES: &str = "Scopes";
pub(crate) const CHECK_UPLOAD_ACCESS: &str = "Upload access";
pub(crate) const CHECK_QUOTA: &str = "Free space";
pub(crate) const CHECK_ACCOUNT: &str = "Vimeo account";
pub(crate) const KEY_ACTIVE: &str = "Active";
pub(crate) const KEY_EXPIRED: &str = "Expired";
pub(crate) const KEY_REVOKED: &str = "Revoked";
pub(crate) const KEY_TAMPERED: &str = "Tampered";
