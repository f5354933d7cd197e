//! The table of error codes: status, code, message, and what to do.

use axum::http::StatusCode;

use super::code::Code;

/// The specification of an error code.
pub(super) struct ErrorSpec {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    /// For the documentation: when it occurs, and what to do.
    pub(super) help: &'static str,
}

impl Code {
    #[expect(clippy::too_many_lines, reason = "one table, a row a code")]
    pub(super) fn spec(self) -> ErrorSpec {
        let spec = |status, code, message, help| ErrorSpec { status, code, message, help };
        match self {
            Self::InvalidRequestBody => spec(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST_BODY",
                "The request body is not valid.",
                "The body is not JSON, not an object, or has invalid fields. `message` names the first, `fields` all of them. Unknown fields are errors, except on the routes of connections, where only near misses of known fields are.",
            ),
            Self::InvalidQuery => spec(
                StatusCode::BAD_REQUEST,
                "INVALID_QUERY",
                "The query of the URL is not valid.",
                "`fields` names each invalid parameter. Unknown parameters are errors, except on the routes of connections, which ignore them.",
            ),
            Self::InvalidPageKey => spec(
                StatusCode::BAD_REQUEST,
                "INVALID_PAGE_KEY",
                "This page key was not issued to this account.",
                "Send `nextPageKey` unchanged from the previous page, with an API key of the same account, or start again without one.",
            ),
            Self::InvalidRequestHeader => spec(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST_HEADER",
                "A request header is not valid.",
                "`fields` names the header. HTTP/1.1 requests need exactly one `Host`.",
            ),
            Self::Unauthorized => spec(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "Unauthorized",
                "The API key is missing, malformed, unknown, expired or revoked. Send `Authorization: pictai_…`; `WWW-Authenticate` says so too, the same for every cause.",
            ),
            Self::Forbidden => spec(
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "The API key does not allow this.",
                "The key is valid but lacks a scope, which `message` names. Use another key, or create one with that scope; the scopes of a key cannot be changed. `GET /v1/whoami` lists them.",
            ),
            Self::ConnectionNotFound => spec(
                StatusCode::NOT_FOUND,
                "CONNECTION_NOT_FOUND",
                "There is no such connection in this account.",
                "The connection never existed, was deleted, or belongs to another account.",
            ),
            Self::JobNotFound => spec(
                StatusCode::NOT_FOUND,
                "JOB_NOT_FOUND",
                "There is no such job in this account.",
                "The job never existed, was deleted (`retention.jobs_days` after its end), or belongs to another account.",
            ),
            Self::ApiKeyNotFound => spec(
                StatusCode::NOT_FOUND,
                "API_KEY_NOT_FOUND",
                "There is no such API key in this account.",
                "The key never existed or belongs to another account. The path has its ID, not the key itself.",
            ),
            Self::WebhookEndpointNotFound => spec(
                StatusCode::NOT_FOUND,
                "WEBHOOK_ENDPOINT_NOT_FOUND",
                "There is no such webhook endpoint in this account.",
                "The endpoint never existed, was deleted, or belongs to another account.",
            ),
            Self::WebhookDeliveryNotFound => spec(
                StatusCode::NOT_FOUND,
                "WEBHOOK_DELIVERY_NOT_FOUND",
                "There is no such webhook delivery in this account.",
                "The delivery never existed, was deleted after its time, or belongs to another account.",
            ),
            Self::AuthorizationNotFound => spec(
                StatusCode::NOT_FOUND,
                "AUTHORIZATION_NOT_FOUND",
                "There is no such authorization in this account.",
                "The authorization never existed, was deleted (30 days after its end), or belongs to another account.",
            ),
            Self::NotFound => spec(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "There is nothing at this path.",
                "The service has no such path. Check the base URL.",
            ),
            Self::MethodNotAllowed => spec(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "This path does not support this method.",
                "`Allow` lists the supported methods.",
            ),
            Self::RequestTimeout => spec(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "The request body did not arrive in time.",
                "The body arrived too slowly or never ended. Nothing was stored. Repeat the request.",
            ),
            Self::ConnectionNameExists => spec(
                StatusCode::CONFLICT,
                "CONNECTION_NAME_EXISTS",
                "This account already has a connection of this name.",
                "Names are unique in an account, ignoring spaces at both ends. Choose another name.",
            ),
            Self::ConnectionDisabled => spec(
                StatusCode::CONFLICT,
                "CONNECTION_DISABLED",
                "The connection is disabled.",
                "Nothing was started. Enable the connection or use another one.",
            ),
            Self::ConnectionUnhealthy => spec(
                StatusCode::CONFLICT,
                "CONNECTION_UNHEALTHY",
                "The connection is unhealthy: its last check failed.",
                "Nothing was started. `problem` has the reason and what to do, as `GET …/health` shows it: give the connection a valid token, or repair the app, and check it with `POST …/verify`. It recovers automatically when a later check passes.",
            ),
            Self::PublicUrlMissing => spec(
                StatusCode::CONFLICT,
                "PUBLIC_URL_MISSING",
                "The service has no public URL for the page that people open.",
                "The operator must set `public_url`. Until then, create authorizations with `\"flow\": \"device\"`. Nothing was stored.",
            ),
            Self::WebhookSecretMissing => spec(
                StatusCode::CONFLICT,
                "WEBHOOK_SECRET_MISSING",
                "The account has no webhook secret. Create it with POST /v1/webhook-secret, then repeat the request.",
                "A `webhook` is signed with the account's secret, which is returned once, when it is created. Nothing was started.",
            ),
            Self::WebhookEndpointDisabled => spec(
                StatusCode::CONFLICT,
                "WEBHOOK_ENDPOINT_DISABLED",
                "The webhook endpoint is disabled.",
                "Nothing is sent. Enable the endpoint with PATCH, then repeat the request.",
            ),
            Self::WebhookNotRedeliverable => spec(
                StatusCode::CONFLICT,
                "WEBHOOK_NOT_REDELIVERABLE",
                "This webhook can no longer be sent.",
                "Its endpoint was deleted, or it is the webhook of a job, whose content is wiped when its delivery has ended.",
            ),
            Self::VersionConflict => spec(
                StatusCode::CONFLICT,
                "VERSION_CONFLICT",
                "The connection has changed since you read it. Nothing was changed.",
                "`currentVersion` is its current version. Read the connection again and decide whether to retry.",
            ),
            Self::ApiKeyNotActive => spec(
                StatusCode::CONFLICT,
                "API_KEY_NOT_ACTIVE",
                "This API key is not active.",
                "Only a key that is neither revoked nor expired can be rotated, and one whose row was changed outside the service cannot be renamed. Create a new key.",
            ),
            Self::LastManagingKey => spec(
                StatusCode::CONFLICT,
                "LAST_MANAGING_KEY",
                "This is the last API key that can manage keys.",
                "Without another active key with the scope `keys:manage`, the account could not create keys any more. Create one first, or let an operator revoke this one.",
            ),
            Self::IdempotencyKeyInUse => spec(
                StatusCode::CONFLICT,
                "IDEMPOTENCY_KEY_IN_USE",
                "A request with this idempotency key is still in progress.",
                "Repeat it after `Retry-After` seconds to get the response to the first request.",
            ),
            Self::UploadOver => spec(
                StatusCode::CONFLICT,
                "UPLOAD_OVER",
                "This upload has ended and its link is no longer valid. Retry with a new idempotency key.",
                "The first response to this idempotency key had an upload link. The link was wiped when the upload ended or its connection was deleted. `jobId` names the job, which shows how it ended.",
            ),
            Self::JobNotFailed => spec(
                StatusCode::CONFLICT,
                "JOB_NOT_FAILED",
                "Only a failed upload can be retried.",
                "The job is in progress, completed or cancelled. Nothing was started.",
            ),
            Self::JobNotRetryable => spec(
                StatusCode::CONFLICT,
                "JOB_NOT_RETRYABLE",
                "This upload cannot be retried. Create another upload.",
                "Its request is no longer kept (`retention.failed_request_days`), or the client sends its bytes. Nothing was started.",
            ),
            Self::JobNotReschedulable => spec(
                StatusCode::CONFLICT,
                "JOB_NOT_RESCHEDULABLE",
                "The time of publication can no longer be changed.",
                "`publishAt` can be changed until the video is opened. Cancel the job, or change the video at Vimeo.",
            ),
            Self::JobAlreadyRetried => spec(
                StatusCode::CONFLICT,
                "JOB_ALREADY_RETRIED",
                "This upload was retried before.",
                "`jobId` is the job that repeats it. If that one fails, retry that one.",
            ),
            Self::BodyTooLarge => spec(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                "The request body is larger than 64 KiB.",
                "Send at most 65,536 bytes.",
            ),
            Self::UnsupportedMediaType => spec(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "The request body must be application/json and not compressed.",
                "The `Content-Type` is neither `application/json` nor `…+json`, or there is a `Content-Encoding`.",
            ),
            Self::InvalidVimeoCredentials => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "INVALID_VIMEO_CREDENTIALS",
                "Vimeo refused the credentials.",
                "`fields` names each invalid credential and says how to fix it. Nothing was stored.",
            ),
            Self::UploadRefused => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "UPLOAD_REFUSED",
                "Vimeo refused to start the upload.",
                "The message contains Vimeo's reason. If anything of the upload is left at Vimeo, the job names it.",
            ),
            Self::IdempotencyKeyReused => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                "This idempotency key was used for a request with another body.",
                "A key belongs to one request for 24 hours. Use a new key for a new request.",
            ),
            Self::LimitReached => spec(
                StatusCode::UNPROCESSABLE_ENTITY,
                "LIMIT_REACHED",
                "The account has reached a limit.",
                "`limit` and `value` name it. Nothing was stored. Delete what is no longer needed, wait until jobs end or streams close, or ask the operator for a higher limit.",
            ),
            Self::RateLimited => spec(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "Too many requests. Retry after the seconds in `Retry-After`.",
                "`RateLimit-Policy` has the quotas of the API key and of its account, `RateLimit` what remains of them. Also: too many requests with invalid API keys came from this address (policy `failed-keys`).",
            ),
            Self::InternalError => spec(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "Internal error. Send the request ID to the operator.",
                "A bug or an unexpected failure. The cause is in the service's log, on the lines with this request ID.",
            ),
            Self::VimeoUnavailable => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "VIMEO_UNAVAILABLE",
                "Vimeo is unavailable. Nothing was stored.",
                "Vimeo is down, slow, or limiting requests. Retry after `Retry-After` seconds.",
            ),
            Self::StoreUnavailable => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The database is unavailable. Nothing was stored.",
                "Retry after `Retry-After` seconds.",
            ),
            Self::NotReady => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "NOT_READY",
                "The service is not ready.",
                "`GET /health/ready` only. `checks` has every check and its result: `pass`, `warn`, `fail` or `unknown`. The service's log has the cause.",
            ),
            Self::Overloaded => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "OVERLOADED",
                "Too many requests are in progress. Nothing was stored.",
                "Retry after `Retry-After` seconds.",
            ),
            Self::OutcomeUnknown => spec(
                StatusCode::SERVICE_UNAVAILABLE,
                "OUTCOME_UNKNOWN",
                "The database connection was lost during the commit: the change may have been stored.",
                "Repeat the request with the same `Idempotency-Key`, where the route takes one, or check first: look up a connection by its name, an upload in the list of jobs, an API key in the list of keys.",
            ),
        }
    }
}

impl Code {
    pub(crate) fn status(self) -> StatusCode {
        self.spec().status
    }

    pub(crate) fn name(self) -> &'static str {
        self.spec().code
    }

    pub(crate) fn message(self) -> &'static str {
        self.spec().message
    }

    pub(crate) fn help(self) -> &'static str {
        self.spec().help
    }

    /// Whether the response has `Retry-After`.
    pub(crate) fn has_retry_after(self) -> bool {
        use Code::{
            IdempotencyKeyInUse, NotReady, OutcomeUnknown, Overloaded, RateLimited, StoreUnavailable,
            VimeoUnavailable,
        };
        matches!(
            self,
            IdempotencyKeyInUse
                | VimeoUnavailable
                | StoreUnavailable
                | NotReady
                | Overloaded
                | RateLimited
                | OutcomeUnknown
        )
    }
}
