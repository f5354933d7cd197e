//! From an error to its answer, by the table that gives every error its face. `docs/errors.md` is made from it.

mod faces;

use std::fmt::Write as _;

use app::Error;
use axum::Json;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Shared;
use faces::Face;

pub(crate) use faces::Code;

/// When to come back after the queue was full.
const OVERLOADED_RETRY_SECONDS: u64 = 1;
/// When to come back while the first request of an idempotency key is being done.
const IDEMPOTENCY_KEY_RETRY_SECONDS: u64 = 1;
/// When to come back after the database could not be used.
const STORE_RETRY_SECONDS: u64 = 5;

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
            Error::ConnectionDisabled => Code::ConnectionDisabled.into(),
            Error::JobNotFound => Code::JobNotFound.into(),
            Error::UploadRefused(failure) => {
                Self { message: Some(failure.message), ..Code::UploadRefused.into() }
            }
            Error::UploadOver { .. } => Code::UploadOver.into(),
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
         Made from the table in `crates/web/src/error/faces.rs`; a test fails when this page is stale.\n\n\
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
    use domain::job::{Failure, FailureCode, JobId};

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
            Error::ConnectionDisabled,
            Error::JobNotFound,
            Error::UploadRefused(Failure { code: FailureCode::VimeoRefused, message: String::new() }),
            Error::UploadOver { job_id: JobId::from_stored(String::new()) },
            Error::CredentialsRejected(vec![]),
        ];
        for error in refusals {
            let audited = error.refusal();
            assert_eq!(audited, Some(Problem::from(error).code.face().code));
        }
    }
}
