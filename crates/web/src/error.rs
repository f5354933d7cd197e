//! From an error to its response, by the table that specifies every error. `docs/errors.md` is made from it.

mod faces;

use std::fmt::Write as _;

use app::{Check, Error};
use axum::Json;
use axum::extract::State;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Shared;
use crate::health::CheckOut;
use faces::Face;

pub(crate) use faces::Code;

/// When to retry after the queue was full.
const OVERLOADED_RETRY_SECONDS: u64 = 1;
/// When to retry while the first request of an idempotency key is in progress.
const IDEMPOTENCY_KEY_RETRY_SECONDS: u64 = 1;
/// When to retry after the database was unavailable.
const STORE_RETRY_SECONDS: u64 = 5;

/// How to send a key, in the header: the body of a 401 is fixed. The same for every cause, so that nothing can be probed.
const CHALLENGE: &str = "Bearer realm=\"vimeo-connections\", \
    hint=\"send the API key as it is, Authorization: pictai_..., or after Bearer\"";

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
    /// What was checked, where one of these checks is what is wrong.
    pub(crate) checks: Vec<CheckOut>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<CheckOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self {
            code,
            message: None,
            fields: Vec::new(),
            retry_after_seconds: None,
            current_version: None,
            checks: Vec::new(),
        }
    }
}

impl Problem {
    /// The body is not JSON at all; the sentence says where.
    pub(crate) fn not_json(message: String) -> Self {
        Self { message: Some(message), ..Code::InvalidRequestBody.into() }
    }

    /// The body has these faulty fields.
    pub(crate) fn faulty_fields(fields: Vec<FieldFault>) -> Self {
        Self::naming(Code::InvalidRequestBody, fields)
    }

    /// The query has these faulty parameters.
    pub(crate) fn faulty_query(fields: Vec<FieldFault>) -> Self {
        Self::naming(Code::InvalidQuery, fields)
    }

    /// A header is faulty.
    pub(crate) fn faulty_header(name: &str, errors: &str) -> Self {
        let fault = FieldFault { name: name.to_owned(), errors: errors.to_owned() };
        Self::naming(Code::InvalidRequestHeader, vec![fault])
    }

    /// The page key is not one of this account.
    pub(crate) fn faulty_page_key(name: &str, errors: &str) -> Self {
        let fields = vec![FieldFault { name: name.to_owned(), errors: errors.to_owned() }];
        Self { fields, ..Code::InvalidPageKey.into() }
    }

    /// The table's sentence, with the first of these faults.
    fn naming(code: Code, fields: Vec<FieldFault>) -> Self {
        Self { message: Some(naming_first(code, &fields)), fields, ..code.into() }
    }

    /// A check failed, this one first.
    pub(crate) fn not_ready(failed: &Check, checks: Vec<CheckOut>) -> Self {
        let message = failed.message.as_deref().unwrap_or("fails");
        let message = format!("The service cannot work now: {}: {message}.", failed.name);
        Self { message: Some(message), checks, ..Self::retry(Code::NotReady, STORE_RETRY_SECONDS) }
    }

    /// There are too many connections, or too much is waiting.
    pub(crate) fn overloaded() -> Self {
        Self::retry(Code::Overloaded, OVERLOADED_RETRY_SECONDS)
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
            Error::WebhookSecretMissing => Code::WebhookSecretMissing.into(),
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
            Error::Overloaded => Self::overloaded(),
            Error::StoreUnavailable(source) => {
                tracing::error!(error = source, "the database is unavailable");
                Self::retry(Code::StoreUnavailable, STORE_RETRY_SECONDS)
            }
            Error::OutcomeUnknown => Self::retry(Code::OutcomeUnknown, STORE_RETRY_SECONDS),
            Error::Internal(source) => {
                tracing::error!(error = source, "internal error");
                Code::InternalError.into()
            }
        }
    }
}

/// One entry a credential, in the order of the fields, with all that was found of it.
pub(crate) fn credential_faults(findings: &[app::CredentialProblem]) -> Vec<FieldFault> {
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
        let out = ProblemOut {
            code,
            message,
            fields: self.fields,
            current_version: self.current_version,
            checks: self.checks,
            request_id: None,
        };
        let mut response = (status, Json(out)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

/// The code's sentence, with the first fault: a client that shows nothing but `message` still says what is wrong.
fn naming_first(code: Code, faults: &[FieldFault]) -> String {
    let sentence = code.message().trim_end_matches('.');
    let Some(first) = faults.first() else { return code.message().to_owned() };
    // `?` is a name that may not be repeated.
    let name = if first.name == "?" || first.name.is_empty() { "a name" } else { &first.name };
    let end = if first.errors.ends_with('?') { "" } else { "." };
    let rest = match faults.len() - 1 {
        0 => String::new(),
        rest => format!(" {rest} more in `fields`."),
    };
    format!("{sentence}: {name} {}{end}{rest}", first.errors)
}

/// The response to an internal error: it has the request ID only, under which the log has the cause.
pub(crate) fn internal_error(request_id: &str) -> Response {
    let Face { status, code, message, .. } = Code::InternalError.face();
    let request_id = Some(request_id.to_owned());
    let message = message.to_owned();
    let out = ProblemOut {
        code,
        message,
        fields: Vec::new(),
        current_version: None,
        checks: Vec::new(),
        request_id,
    };
    (status, Json(out)).into_response()
}

/// The response to an unknown path; where a documented path was probably meant, that one is named.
pub(crate) async fn not_found(State(shared): State<Shared>, uri: Uri) -> Problem {
    let base_path = &shared.settings.base_path;
    let path = uri.path();
    let message = if path.contains("/v1/vimeo/connections") {
        format!("There is nothing at this path. Connections are at {base_path}/v1/vimeo-connections.")
    } else if path.contains("/v1/vimeo-connections") && !path.starts_with(base_path.as_str()) {
        format!("There is nothing at this path. The service's base path is {base_path}.")
    } else if path.len() > 1 && path.ends_with('/') {
        "There is nothing at this path. Remove the slash at its end.".to_owned()
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
         to a person. Every response has `X-Request-Id`: send it to the operator, whose log has it too. The one exception\n\
         is a request that is not HTTP (a malformed request line, a header that is too long): it gets 400, 414 or 431 with\n\
         an empty body, and the connection closes.\n\n\
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
    fn a_message_names_the_first_fault() {
        let fault =
            |name: &str, errors: &str| FieldFault { name: name.to_owned(), errors: errors.to_owned() };
        for (faults, message) in [
            (vec![], "The request body is not valid."),
            (
                vec![fault("clientSecret", "is required")],
                "The request body is not valid: clientSecret is required.",
            ),
            (
                vec![
                    fault("nmae", "is not a known field; did you mean name?"),
                    fault("a", "x"),
                    fault("b", "x"),
                ],
                "The request body is not valid: nmae is not a known field; did you mean name? 2 more in `fields`.",
            ),
            (
                vec![fault("?", "is not a known field"), fault("a", "x")],
                "The request body is not valid: a name is not a known field. 1 more in `fields`.",
            ),
        ] {
            assert_eq!(naming_first(Code::InvalidRequestBody, &faults), message);
        }
        assert_eq!(
            Problem::faulty_header("If-Match", "is wrong").message.unwrap(),
            "A request header is not valid: If-Match is wrong."
        );
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
            Error::WebhookSecretMissing,
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
