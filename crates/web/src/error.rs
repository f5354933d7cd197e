//! The table that gives every error its face: status, code, sentence. `docs/errors.md` is made from it.

use std::fmt::Write as _;

use app::Error;
use axum::Json;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::Shared;

/// When to come back after the queue was full.
const OVERLOADED_RETRY_SECONDS: u64 = 1;
/// When to come back while the first request of an idempotency key is being done.
const IDEMPOTENCY_KEY_RETRY_SECONDS: u64 = 1;
/// When to come back after the database could not be used.
const STORE_RETRY_SECONDS: u64 = 5;

/// Every error code that a client can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequestBody,
    InvalidQuery,
    InvalidPageKey,
    InvalidRequestHeader,
    Unauthorized,
    ConnectionNotFound,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ConnectionNameExists,
    VersionConflict,
    IdempotencyKeyInUse,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidVimeoCredentials,
    IdempotencyKeyReused,
    InternalError,
    VimeoUnavailable,
    StoreUnavailable,
    Overloaded,
    OutcomeUnknown,
}

/// What a code looks like, and what a client should know about it.
struct Face {
    status: StatusCode,
    code: &'static str,
    message: &'static str,
    /// For the documentation: when it happens, and what to do.
    when: &'static str,
}

impl Code {
    pub(crate) const ALL: [Self; 21] = [
        Self::InvalidRequestBody,
        Self::InvalidQuery,
        Self::InvalidPageKey,
        Self::InvalidRequestHeader,
        Self::Unauthorized,
        Self::ConnectionNotFound,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::ConnectionNameExists,
        Self::VersionConflict,
        Self::IdempotencyKeyInUse,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidVimeoCredentials,
        Self::IdempotencyKeyReused,
        Self::InternalError,
        Self::VimeoUnavailable,
        Self::StoreUnavailable,
        Self::Overloaded,
        Self::OutcomeUnknown,
    ];

    #[expect(clippy::too_many_lines, reason = "one table, a row a code")]
    fn face(self) -> Face {
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
                "Vimeo could not be asked whether the credentials are good. Nothing was stored.",
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
                "Send the request again with the same `Idempotency-Key`, or look for the connection by its name first.",
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

/// One faulty field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldFault {
    pub(crate) name: String,
    pub(crate) errors: String,
}

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// Instead of the table's sentence, where more can be said without echoing anything.
    pub(crate) message: Option<String>,
    pub(crate) fields: Vec<FieldFault>,
    pub(crate) retry_after_seconds: Option<u64>,
    /// The version that the connection has, where that is what is wrong.
    pub(crate) current_version: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemOut {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldFault>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self { code, message: None, fields: Vec::new(), retry_after_seconds: None, current_version: None }
    }
}

impl Problem {
    /// The body is not JSON at all; the sentence says where.
    pub(crate) fn not_json(message: String) -> Self {
        Self { message: Some(message), ..Code::InvalidRequestBody.into() }
    }

    /// The body has these faulty fields.
    pub(crate) fn faulty_fields(fields: Vec<FieldFault>) -> Self {
        Self { fields, ..Code::InvalidRequestBody.into() }
    }

    /// One parameter or header is faulty.
    pub(crate) fn faulty(code: Code, name: &str, errors: &str) -> Self {
        Self { fields: vec![FieldFault { name: name.to_owned(), errors: errors.to_owned() }], ..code.into() }
    }

    fn retry(code: Code, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..code.into() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthorized => Code::Unauthorized.into(),
            Error::ConnectionNameExists => Code::ConnectionNameExists.into(),
            Error::VersionConflict { current } => {
                Self { current_version: Some(current), ..Code::VersionConflict.into() }
            }
            Error::IdempotencyKeyInUse => {
                Self::retry(Code::IdempotencyKeyInUse, IDEMPOTENCY_KEY_RETRY_SECONDS)
            }
            Error::IdempotencyKeyReused => Code::IdempotencyKeyReused.into(),
            Error::ConnectionNotFound => Code::ConnectionNotFound.into(),
            Error::CredentialsRejected(findings) => {
                Self { fields: credential_faults(&findings), ..Code::InvalidVimeoCredentials.into() }
            }
            Error::VimeoUnavailable { retry_after_seconds } => {
                Self::retry(Code::VimeoUnavailable, retry_after_seconds)
            }
            Error::Overloaded => Self::retry(Code::Overloaded, OVERLOADED_RETRY_SECONDS),
            Error::StoreUnavailable(source) => {
                tracing::error!(error = source, "the database could not be used");
                Self::retry(Code::StoreUnavailable, STORE_RETRY_SECONDS)
            }
            Error::OutcomeUnknown => Self::retry(Code::OutcomeUnknown, STORE_RETRY_SECONDS),
            Error::Internal(source) => {
                tracing::error!(error = source, "a fault inside the service");
                Code::InternalError.into()
            }
        }
    }
}

/// One entry a credential, in the order of the fields, with all that was found of it.
pub(crate) fn credential_faults(findings: &[app::Finding]) -> Vec<FieldFault> {
    let credentials =
        [app::Credential::ClientIdentifier, app::Credential::ClientSecret, app::Credential::AccessToken];
    let faults = credentials.map(|credential| {
        let errors: Vec<_> = findings
            .iter()
            .filter(|finding| finding.credential() == credential)
            .map(ToString::to_string)
            .collect();
        let name = match credential {
            app::Credential::ClientIdentifier => "clientIdentifier",
            app::Credential::ClientSecret => "clientSecret",
            app::Credential::AccessToken => "accessToken",
        };
        FieldFault { name: name.to_owned(), errors: errors.join("; and ") }
    });
    faults.into_iter().filter(|fault| !fault.errors.is_empty()).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Face { status, code, message, .. } = self.code.face();
        let message = self.message.unwrap_or_else(|| message.to_owned());
        let current_version = self.current_version;
        let out = ProblemOut { code, message, fields: self.fields, current_version, request_id: None };
        let mut response = (status, Json(out)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            let challenge = HeaderValue::from_static("Bearer realm=\"vimeo-connections\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// The answer to a fault of the service: it says nothing but under which id the log has the cause.
pub(crate) fn internal_error(request_id: &str) -> Response {
    let Face { status, code, message, .. } = Code::InternalError.face();
    let request_id = Some(request_id.to_owned());
    let message = message.to_owned();
    let out = ProblemOut { code, message, fields: Vec::new(), current_version: None, request_id };
    (status, Json(out)).into_response()
}

/// The answer to a path that is none of ours; where a documented path was probably meant, that one is named.
pub(crate) async fn not_found(State(shared): State<Shared>, uri: Uri) -> Problem {
    let base_path = &shared.settings.base_path;
    let path = uri.path();
    let message = if path.contains("/v1/vimeo/connections") {
        format!("There is nothing at this path. Connections are at {base_path}/v1/vimeo-connections.")
    } else if path.contains("/v1/vimeo-connections") && !path.starts_with(base_path.as_str()) {
        format!("There is nothing at this path. The service's base path is {base_path}.")
    } else if path.len() > 1 && path.ends_with('/') {
        "There is nothing at this path. Leave the slash at its end away.".to_owned()
    } else {
        return Code::NotFound.into();
    };
    Problem { message: Some(message), ..Code::NotFound.into() }
}

/// The table as a page of the documentation.
pub fn errors_markdown() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Made from the table in `crates/web/src/error.rs`; a test fails when this page is stale.\n\n\
         Every error is `{\"code\":\"…\",\"message\":\"…\"}`, plus what its row says. Branch on `code`; show `message`\n\
         to a person. Every response has `X-Request-Id`: quote it to the operator, whose log has it too. The one exception\n\
         is what is no HTTP at all (a broken request line, a header that is too long): it is answered 400, 414 or 431 with\n\
         nothing else, and the connection closes.\n\n\
         | status | code | message | when, and what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let Face { status, code, message, when } = code.face();
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} | `{code}` | {message} | {when} |", status.as_u16());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_once() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.face().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }

    #[test]
    fn a_refusal_is_audited_under_the_code_that_the_client_sees() {
        let refusals = [
            Error::ConnectionNameExists,
            Error::ConnectionNotFound,
            Error::VersionConflict { current: 2 },
            Error::IdempotencyKeyInUse,
            Error::IdempotencyKeyReused,
            Error::CredentialsRejected(vec![]),
        ];
        for error in refusals {
            let audited = error.refusal();
            assert_eq!(audited, Some(Problem::from(error).code.face().code));
        }
    }
}
