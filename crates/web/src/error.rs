//! Maps errors to responses. One table specifies all errors; `docs/errors.md` is generated from it.

mod code;
mod codes;
mod examples;
mod page;
#[cfg(test)]
mod tests;

use app::{Check, Error};
use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use domain::health::HealthProblem;
use domain::job::{JobId, NotReschedulable, NotRetryable};
use domain::limits::Limit;
use serde::Serialize;

use crate::health::CheckOut;
use crate::{LimitExceeded, Shared};
use codes::ErrorSpec;

pub(crate) use code::Code;
pub use page::errors_markdown;

/// `Retry-After` if the queue is full.
const OVERLOADED_RETRY_SECONDS: u64 = 1;
/// `Retry-After` while the first request with an idempotency key is in progress.
const IDEMPOTENCY_KEY_RETRY_SECONDS: u64 = 1;
/// `Retry-After` if the database is unavailable.
const STORE_RETRY_SECONDS: u64 = 5;

/// How to send a key. In a header, because the body of a 401 is fixed. The same for every cause, so that it reveals
/// nothing.
const CHALLENGE: &str = "Bearer realm=\"vimeo-connections\", \
    hint=\"send the API key as Authorization: pictai_..., optionally after Bearer\"";

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldError {
    pub(crate) name: String,
    pub(crate) errors: String,
}

/// An error response.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    /// Replaces the message of the table, if a more specific one is possible without echoing a value.
    pub(crate) message: Option<String>,
    pub(crate) fields: Vec<FieldError>,
    pub(crate) retry_after_seconds: Option<u64>,
    /// The current version of the connection, for a version conflict.
    pub(crate) current_version: Option<u64>,
    /// Boxed, because every handler's result contains a problem.
    pub(crate) details: Option<Box<Details>>,
    /// The checks, if one of them failed.
    pub(crate) checks: Vec<CheckOut>,
}

/// What the response names beside its code.
#[derive(Debug)]
pub(crate) enum Details {
    /// The job that repeats the one in the request, or the job of an upload that has ended.
    Job(JobId),
    /// The limit that is reached, and its value.
    Limit(Limit, u64),
    /// Why a connection is unhealthy.
    Health(HealthProblem),
}

/// Why a connection is unhealthy.
#[derive(Serialize)]
struct HealthProblemView {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemOut {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<HealthProblemView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<u64>,
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
            details: None,
            checks: Vec::new(),
        }
    }
}

impl Problem {
    /// The body is not valid JSON; the message says where.
    pub(crate) fn not_json(message: String) -> Self {
        Self { message: Some(message), ..Code::InvalidRequestBody.into() }
    }

    /// The body has invalid fields.
    pub(crate) fn invalid_fields(fields: Vec<FieldError>) -> Self {
        Self::with_fields(Code::InvalidRequestBody, fields)
    }

    fn invalid_field(name: &str, errors: &str) -> Self {
        Self::invalid_fields(vec![FieldError { name: name.to_owned(), errors: errors.to_owned() }])
    }

    /// The query has invalid parameters.
    pub(crate) fn invalid_query(fields: Vec<FieldError>) -> Self {
        Self::with_fields(Code::InvalidQuery, fields)
    }

    /// A header is invalid.
    pub(crate) fn invalid_header(name: &str, errors: &str) -> Self {
        let error = FieldError { name: name.to_owned(), errors: errors.to_owned() };
        Self::with_fields(Code::InvalidRequestHeader, vec![error])
    }

    /// The page key was not issued to this account.
    pub(crate) fn invalid_page_key(name: &str, errors: &str) -> Self {
        Self { fields: Self::invalid_field(name, errors).fields, ..Code::InvalidPageKey.into() }
    }

    /// The message of the table, extended by the first error.
    fn with_fields(code: Code, fields: Vec<FieldError>) -> Self {
        Self { message: Some(message_with_first_error(code, &fields)), fields, ..code.into() }
    }

    /// A readiness check failed; `failed` is the first one.
    pub(crate) fn not_ready(failed: &Check, checks: Vec<CheckOut>) -> Self {
        let message = failed.message.as_deref().unwrap_or("fails");
        let message = format!("The service is not ready: {}: {message}.", failed.name);
        Self { message: Some(message), checks, ..Self::retry(Code::NotReady, STORE_RETRY_SECONDS) }
    }

    /// Too many connections, or too many queued requests.
    pub(crate) fn overloaded() -> Self {
        Self::retry(Code::Overloaded, OVERLOADED_RETRY_SECONDS)
    }

    /// The key or its account has used up its requests.
    pub(crate) fn rate_limited(retry_after_seconds: u64) -> Self {
        Self::retry(Code::RateLimited, retry_after_seconds)
    }

    /// The account has reached a limit.
    fn limit_reached(limit: Limit, value: u64) -> Self {
        let message = examples::limit_message(limit, value);
        Self {
            message: Some(message),
            details: Some(Box::new(Details::Limit(limit, value))),
            ..Code::LimitReached.into()
        }
    }

    /// Names a job.
    fn of_job(code: Code, job_id: JobId) -> Self {
        Self { details: Some(Box::new(Details::Job(job_id))), ..code.into() }
    }

    fn retry(code: Code, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..code.into() }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthorized => Code::Unauthorized.into(),
            Error::Forbidden { missing } => Self {
                message: Some(format!("The API key does not allow this: it lacks the scope {missing}.")),
                ..Code::Forbidden.into()
            },
            Error::ApiKeyNotFound => Code::ApiKeyNotFound.into(),
            Error::ApiKeyNotActive => Code::ApiKeyNotActive.into(),
            Error::LastManagingKey => Code::LastManagingKey.into(),
            // Only the dashboard has sessions.
            Error::SessionNotFound => Code::NotFound.into(),
            Error::ExpiryBeyondCreator => {
                Self::invalid_field("expiresInDays", "must not exceed the expiry of the key that creates it")
            }
            Error::InvalidPublishAt(error) => Self::invalid_field("publishAt", &error.to_string()),
            Error::TooManyFailedKeys(report) => {
                Self::rate_limited(report.retry_after_seconds.unwrap_or(OVERLOADED_RETRY_SECONDS))
            }
            Error::LimitReached { limit, value } => Self::limit_reached(limit, value),
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
            Error::ConnectionUnhealthy(problem) => Self {
                message: Some(format!("The connection is unhealthy. {}", one_line(&problem.message))),
                details: Some(Box::new(Details::Health(problem))),
                ..Code::ConnectionUnhealthy.into()
            },
            Error::CheckedRecently { retry_after_seconds } => Self {
                message: Some("The connection was checked within the last seconds.".to_owned()),
                ..Self::retry(Code::RateLimited, retry_after_seconds)
            },
            Error::WebhookSecretMissing => Code::WebhookSecretMissing.into(),
            Error::JobNotFound => Code::JobNotFound.into(),
            Error::AuthorizationNotFound => Code::AuthorizationNotFound.into(),
            Error::PublicUrlMissing => Code::PublicUrlMissing.into(),
            Error::WebhookEndpointNotFound => Code::WebhookEndpointNotFound.into(),
            Error::WebhookEndpointDisabled => Code::WebhookEndpointDisabled.into(),
            Error::WebhookDeliveryNotFound => Code::WebhookDeliveryNotFound.into(),
            Error::WebhookNotRedeliverable => Code::WebhookNotRedeliverable.into(),
            Error::JobNotRetryable(reason) => not_retryable(reason),
            Error::JobNotReschedulable(reason) => not_reschedulable(reason),
            Error::JobAlreadyRetried { job_id } => Self::of_job(Code::JobAlreadyRetried, job_id),
            Error::UploadRefused(failure) => {
                Self { message: Some(failure.message), ..Code::UploadRefused.into() }
            }
            Error::UploadOver { job_id } => Self::of_job(Code::UploadOver, job_id),
            Error::CredentialsRejected(problems) => {
                Self { fields: credential_errors(&problems), ..Code::InvalidVimeoCredentials.into() }
            }
            Error::VimeoUnavailable { retry_after_seconds } => {
                Self::retry(Code::VimeoUnavailable, retry_after_seconds)
            }
            Error::Overloaded => Self::overloaded(),
            error @ (Error::StoreUnavailable(_) | Error::KeyringLacksKey) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the database is unavailable");
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

/// A message of several lines in one.
fn one_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(" ")
}

/// The message says which of its causes applies.
fn not_retryable(reason: NotRetryable) -> Problem {
    let message = match reason {
        NotRetryable::NotFailed => return Code::JobNotFailed.into(),
        NotRetryable::ClientUpload => {
            "The client sends the bytes of this upload. Create another upload to get a new link."
        }
        NotRetryable::NotKept => "The request of this upload is no longer kept. Create another upload.",
    };
    Problem { message: Some(message.to_owned()), ..Code::JobNotRetryable.into() }
}

fn not_reschedulable(reason: NotReschedulable) -> Problem {
    let message = match reason {
        NotReschedulable::Publishing => "The video is already published, or is being published.",
        NotReschedulable::LinkPending => "The upload link is being created; try again.",
        NotReschedulable::Ended => "The upload has ended without a video.",
        NotReschedulable::Replacement => "A replaced file does not change the privacy of its video.",
    };
    Problem { message: Some(message.to_owned()), ..Code::JobNotReschedulable.into() }
}

/// One entry for each credential, in field order, with all its problems.
pub(crate) fn credential_errors(problems: &[app::CredentialProblem]) -> Vec<FieldError> {
    let credentials =
        [app::Credential::ClientIdentifier, app::Credential::ClientSecret, app::Credential::AccessToken];
    let errors = credentials.map(|credential| {
        let errors: Vec<_> = problems
            .iter()
            .filter(|problem| problem.credential() == credential)
            .map(ToString::to_string)
            .collect();
        let name = match credential {
            app::Credential::ClientIdentifier => "clientIdentifier",
            app::Credential::ClientSecret => "clientSecret",
            app::Credential::AccessToken => "accessToken",
        };
        FieldError { name: name.to_owned(), errors: errors.join("; and ") }
    });
    errors.into_iter().filter(|error| !error.errors.is_empty()).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let ErrorSpec { status, code, message, .. } = self.code.spec();
        let message = self.message.unwrap_or_else(|| message.to_owned());
        let (mut job_id, mut limit, mut problem) = (None, None, None);
        match self.details.map(|details| *details) {
            None => {}
            Some(Details::Job(id)) => job_id = Some(id.to_string()),
            Some(Details::Limit(reached, value)) => limit = Some((reached, value)),
            Some(Details::Health(HealthProblem { code, message })) => {
                problem = Some(HealthProblemView { code: code.as_str(), message });
            }
        }
        let out = ProblemOut {
            code,
            message,
            fields: self.fields,
            current_version: self.current_version,
            job_id,
            problem,
            limit: limit.map(|(limit, _)| limit.as_str()),
            value: limit.map(|(_, value)| value),
            checks: self.checks,
            request_id: None,
        };
        let mut response = (status, Json(out)).into_response();
        if self.code == Code::Overloaded {
            response.extensions_mut().insert(LimitExceeded);
        }
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

/// The message of the code, extended by the first error, for clients that show only `message`.
fn message_with_first_error(code: Code, errors: &[FieldError]) -> String {
    let sentence = code.message().trim_end_matches('.');
    let Some(first) = errors.first() else { return code.message().to_owned() };
    // `?` stands for a name that may not be echoed.
    let name = if first.name == "?" || first.name.is_empty() { "a name" } else { &first.name };
    let end = if first.errors.ends_with('?') { "" } else { "." };
    let rest = match errors.len() - 1 {
        0 => String::new(),
        rest => format!(" {rest} more in `fields`."),
    };
    format!("{sentence}: {name} {}{end}{rest}", first.errors)
}

/// The response to an internal error. It contains only the request ID; the log has the cause.
pub(crate) fn internal_error(request_id: &str) -> Response {
    let ErrorSpec { status, code, message, .. } = Code::InternalError.spec();
    let request_id = Some(request_id.to_owned());
    let message = message.to_owned();
    let out = ProblemOut {
        code,
        message,
        fields: Vec::new(),
        current_version: None,
        job_id: None,
        problem: None,
        limit: None,
        value: None,
        checks: Vec::new(),
        request_id,
    };
    (status, Json(out)).into_response()
}

/// The response to an unknown path. If it resembles a documented path, the message names that one.
pub(crate) fn not_found(shared: &Shared, uri: &Uri) -> Problem {
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
