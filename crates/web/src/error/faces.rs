//! Every error code with its face: status, code, sentence, and what to do about it.

use axum::http::StatusCode;
use serde_json::json;

/// Every error code that a client can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequestBody,
    InvalidQuery,
    InvalidPageKey,
    InvalidRequestHeader,
    Unauthorized,
    ConnectionNotFound,
    JobNotFound,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ConnectionNameExists,
    ConnectionDisabled,
    VersionConflict,
    IdempotencyKeyInUse,
    UploadOver,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidVimeoCredentials,
    UploadRefused,
    IdempotencyKeyReused,
    InternalError,
    VimeoUnavailable,
    StoreUnavailable,
    Overloaded,
    OutcomeUnknown,
}

/// What a code looks like, and what a client should know about it.
pub(super) struct Face {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: &'static str,
    /// For the documentation: when it happens, and what to do.
    pub(super) when: &'static str,
}

impl Code {
    pub(crate) const ALL: [Self; 25] = [
        Self::InvalidRequestBody,
        Self::InvalidQuery,
        Self::InvalidPageKey,
        Self::InvalidRequestHeader,
        Self::Unauthorized,
        Self::ConnectionNotFound,
        Self::JobNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::ConnectionNameExists,
        Self::ConnectionDisabled,
        Self::VersionConflict,
        Self::IdempotencyKeyInUse,
        Self::UploadOver,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidVimeoCredentials,
        Self::UploadRefused,
        Self::IdempotencyKeyReused,
        Self::InternalError,
        Self::VimeoUnavailable,
        Self::StoreUnavailable,
        Self::Overloaded,
        Self::OutcomeUnknown,
    ];

    #[expect(clippy::too_many_lines, reason = "one table, a row a code")]
    pub(super) fn face(self) -> Face {
        let face = |status, code, message, when| Face { status, code, message, when };
        match self {
            Self::InvalidRequestBody => face(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST_BODY",
                "The request body is not valid.",
                "The body is not JSON, not an object, or has faulty fields; `fields` names every faulty field at once. Mend the body.",
            ),
            Self::InvalidQuery => face(
                StatusCode::BAD_REQUEST,
                "INVALID_QUERY",
                "The query of the URL is not valid.",
                "`fields` names each faulty parameter. Parameters that are not known are ignored.",
            ),
            Self::InvalidPageKey => face(
                StatusCode::BAD_REQUEST,
                "INVALID_PAGE_KEY",
                "The page key is none that this service gave to this account.",
                "Send `nextPageKey` as the page before gave it, with a key of the same account; or begin again without one.",
            ),
            Self::InvalidRequestHeader => face(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST_HEADER",
                "A header of the request is not valid.",
                "`fields` names the header.",
            ),
            Self::Unauthorized => face(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "Unauthorized",
                "The API key is missing, malformed, unknown, expired or revoked. Send `Authorization: pictai_…`.",
            ),
            Self::ConnectionNotFound => face(
                StatusCode::NOT_FOUND,
                "CONNECTION_NOT_FOUND",
                "There is no such connection in this account.",
                "The connection never existed, was deleted, or belongs to another account.",
            ),
            Self::JobNotFound => face(
                StatusCode::NOT_FOUND,
                "JOB_NOT_FOUND",
                "There is no such job in this account.",
                "The job never existed, or belongs to another account.",
            ),
            Self::NotFound => face(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "There is nothing at this path.",
                "The path is none of the service's. Check the base URL.",
            ),
            Self::MethodNotAllowed => face(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "This path does not take this method.",
                "`Allow` lists the methods that the path takes.",
            ),
            Self::RequestTimeout => face(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "The request body did not arrive in time.",
                "The body came too slowly, or never ended. Nothing was stored; send it again.",
            ),
            Self::ConnectionNameExists => face(
                StatusCode::CONFLICT,
                "CONNECTION_NAME_EXISTS",
                "This account already has a connection of this name.",
                "Names are unique in an account, but for spaces at their ends. Choose another.",
            ),
            Self::ConnectionDisabled => face(
                StatusCode::CONFLICT,
                "CONNECTION_DISABLED",
                "The connection is disabled.",
                "Nothing was begun. Enable the connection, or take another one.",
            ),
            Self::VersionConflict => face(
                StatusCode::CONFLICT,
                "VERSION_CONFLICT",
                "The connection was changed since you read it. Nothing was changed now.",
                "`currentVersion` is the version that it has now. Read the connection again, and decide again.",
            ),
            Self::IdempotencyKeyInUse => face(
                StatusCode::CONFLICT,
                "IDEMPOTENCY_KEY_IN_USE",
                "A request with this idempotency key is still being done.",
                "Send it again after `Retry-After` seconds: the answer will be that of the first request.",
            ),
            Self::UploadOver => face(
                StatusCode::CONFLICT,
                "UPLOAD_OVER",
                "The upload of this request is over, and its link with it. Ask for another with a new key.",
                "The first answer to this idempotency key had an upload link, which was wiped when its upload was over or its connection deleted. The job says how it ended.",
            ),
            Self::BodyTooLarge => face(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                "The request body is larger than 64 KiB.",
                "Send at most 65,536 bytes.",
            ),
            Self::UnsupportedMediaType => face(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "The request body must be application/json, and not compressed.",
                "The `Content-Type` is something else than `application/json` or `…+json`, or there is a `Content-Encoding`.",
            ),
            Self::InvalidVimeoCredentials => face(
                StatusCode::UNPROCESSABLE_ENTITY,
                "INVALID_VIMEO_CREDENTIALS",
                "Vimeo refused the credentials.",
                "`fields` names each credential at fault and how to mend it. Nothing was stored.",
            ),
            Self::UploadRefused => face(
                StatusCode::UNPROCESSABLE_ENTITY,
                "UPLOAD_REFUSED",
                "Vimeo refused to begin the upload.",
                "The message says Vimeo's reason. Nothing is left of the upload at Vimeo, or the job names it.",
            ),
            Self::IdempotencyKeyReused => face(
                StatusCode::UNPROCESSABLE_ENTITY,
                "IDEMPOTENCY_KEY_REUSED",
                "This idempotency key was used for a request with another body.",
                "A key belongs to one request for 24 hours. Take a new key for a new request.",
            ),
            Self::InternalError => face(
                StatusCode::INTERNAL_SERVER_ERROR,
                "INTERNAL_ERROR",
                "The service has a fault. Tell its operator the request id.",
                "A fault of the service; the cause is in its log, on the lines with this request id.",
            ),
            Self::VimeoUnavailable => face(
                StatusCode::SERVICE_UNAVAILABLE,
                "VIMEO_UNAVAILABLE",
                "Vimeo could not be asked. Nothing was stored.",
                "Vimeo is down, slow, or limiting requests. Ask again after `Retry-After` seconds.",
            ),
            Self::StoreUnavailable => face(
                StatusCode::SERVICE_UNAVAILABLE,
                "STORE_UNAVAILABLE",
                "The database could not be used. Nothing was stored.",
                "Ask again after `Retry-After` seconds.",
            ),
            Self::Overloaded => face(
                StatusCode::SERVICE_UNAVAILABLE,
                "OVERLOADED",
                "Too many requests are waiting. Nothing was stored.",
                "Ask again after `Retry-After` seconds.",
            ),
            Self::OutcomeUnknown => face(
                StatusCode::SERVICE_UNAVAILABLE,
                "OUTCOME_UNKNOWN",
                "The database was lost at the moment of commit: it may have been stored.",
                "Send the request again with the same `Idempotency-Key`, or look first: for the connection by its name, for the upload in the list of jobs.",
            ),
        }
    }
}

impl Code {
    pub(crate) fn status(self) -> StatusCode {
        self.face().status
    }

    pub(crate) fn name(self) -> &'static str {
        self.face().code
    }

    pub(crate) fn message(self) -> &'static str {
        self.face().message
    }

    pub(crate) fn when(self) -> &'static str {
        self.face().when
    }

    /// Whether its answer has `Retry-After`.
    pub(crate) fn says_when_to_retry(self) -> bool {
        use Code::{IdempotencyKeyInUse, OutcomeUnknown, Overloaded, StoreUnavailable, VimeoUnavailable};
        matches!(
            self,
            IdempotencyKeyInUse | VimeoUnavailable | StoreUnavailable | Overloaded | OutcomeUnknown
        )
    }

    /// A body as the client may see it.
    pub(crate) fn example(self) -> serde_json::Value {
        let fields = |name: &str, errors: &str| Some(json!([{ "name": name, "errors": errors }]));
        let fields = match self {
            Self::InvalidRequestBody => fields("clientSecret", "is required"),
            Self::InvalidQuery => fields("limit", "must be a whole number from 1 to 1000"),
            Self::InvalidPageKey => {
                fields("nextPageKey", "must be one that this service gave to this account, unaltered")
            }
            Self::InvalidRequestHeader => {
                fields("Idempotency-Key", "must be 1 to 255 visible ASCII characters, without spaces")
            }
            Self::InvalidVimeoCredentials => {
                fields("accessToken", "is unknown to Vimeo, was revoked, or expired")
            }
            _ => None,
        };
        let mut example = json!({ "code": self.name(), "message": self.message() });
        if let Some(object) = example.as_object_mut() {
            if let Some(fields) = fields {
                object.insert("fields".to_owned(), fields);
            }
            if self == Self::VersionConflict {
                object.insert("currentVersion".to_owned(), json!(2));
            }
            if self == Self::InternalError {
                object.insert("requestId".to_owned(), json!("req_00000000000000000000000000000000"));
            }
        }
        example
    }
}
