//! Errors of API calls made with a user's token, by what the caller does next.

use domain::time::Timestamp;
use reqwest::StatusCode;
use thiserror::Error;

use crate::http::{ApiResponse, TransportError};
use crate::oauth::{INVALID_TOKEN, TOKEN_WITHOUT_USER};
use crate::redact::Redactor;
use crate::verify::CredentialProblem;
use crate::wire::ErrorBody;

/// Error codes for exhausted space or number of videos, and for a file that is too large.
const QUOTA_CODES: [i64; 5] = [4101, 4102, 4103, 4104, 3428];
/// Error codes of an overloaded server that has done nothing.
const BUSY_CODES: [i64; 2] = [7000, 7100];
/// Error code of a missing resource.
const NOT_FOUND: i64 = 5000;
/// Error codes of a `privacy.view` that the plan does not include.
const VIEW_CODES: std::ops::RangeInclusive<i64> = 2409..=2412;
/// The parameter that these codes refer to.
const VIEW_FIELD: &str = "privacy.view";
/// Limit for an error text, in characters.
const TEXT_MAX: usize = 300;
/// Limit for a parameter name, in characters.
const FIELD_MAX: usize = 100;
/// Limit for the number of parameters.
const PARAMETERS_MAX: usize = 20;
/// Limit for a scope name, in characters. The longest of Vimeo's has 11.
const SCOPE_MAX: usize = 32;

/// Why a call failed. Contains nothing of the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Vimeo has certainly done nothing: retry.
    #[error("Vimeo {error}")]
    RetryLater {
        /// The earliest time for a retry, if Vimeo gave one.
        not_before: Option<Timestamp>,
        /// The cause.
        error: TransportError,
    },
    /// 401: the token is invalid or expired.
    #[error("the access token {0}")]
    Rejected(CredentialProblem),
    /// 403: the token lacks this scope.
    #[error("the access token lacks the scope {0}")]
    LacksScope(String),
    /// The user's space, number of videos or file size limit is exhausted.
    #[error("the Vimeo quota is exhausted: {0}")]
    Quota(Refused),
    /// Vimeo rejected the request.
    #[error("Vimeo refused: {0}")]
    Refused(Refused),
    /// The resource does not exist.
    #[error("not found at Vimeo")]
    NotFound,
    /// It is unknown whether Vimeo acted. A call that creates something is not idempotent: list what exists before the
    /// next attempt. Every other call can be retried.
    #[error("Vimeo {0}")]
    Unknown(TransportError),
}

/// Vimeo's reason for rejecting a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// Vimeo's error code, if present.
    pub code: Option<i64>,
    /// Vimeo's message without control characters, secrets and URL paths; at most 300 characters.
    pub text: String,
    /// The rejected parameters; at most 20.
    pub parameters: Vec<Parameter>,
}

/// A request parameter that Vimeo rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its dotted path: `privacy.view`.
    pub field: String,
    /// Vimeo's error code, if present.
    pub code: Option<i64>,
    /// Vimeo's message, cleaned as in [`Refused::text`].
    pub text: String,
}

impl Refused {
    /// Whether the plan or the user may not use this `privacy.view`. Another view may be accepted.
    pub fn is_about_view(&self) -> bool {
        self.code.is_some_and(|code| VIEW_CODES.contains(&code))
            || self.parameters.iter().any(|parameter| parameter.field == VIEW_FIELD)
    }

    fn new(status: StatusCode, error_body: &ErrorBody, redactor: &Redactor) -> Self {
        let parameters = error_body.parameters().take(PARAMETERS_MAX).map(|parameter| Parameter {
            field: redactor.clean(&parameter.field, FIELD_MAX),
            code: parameter.error_code,
            text: redactor.clean(&parameter.error, TEXT_MAX),
        });
        Self {
            parameters: parameters.collect(),
            status: status.as_u16(),
            code: error_body.error_code,
            text: redactor.clean(&error_body.error, TEXT_MAX),
        }
    }
}

/// Classifies an unsuccessful response. `redactor` knows the secrets that the request contained.
pub(crate) fn classify(response: &ApiResponse, redactor: &Redactor) -> Failure {
    if response.status == StatusCode::TOO_MANY_REQUESTS {
        let not_before = response.rate_limit_reset();
        return Failure::RetryLater { not_before, error: TransportError::RateLimited { not_before } };
    }
    let unknown = || Failure::Unknown(response.error());
    let Some(error_body) = response.error_body() else {
        // A body in one of Vimeo's error formats comes from Vimeo. Any other may come from a proxy in front of it.
        let is_challenge = response.status == StatusCode::UNAUTHORIZED && response.challenges_token();
        return if is_challenge { Failure::Rejected(CredentialProblem::TokenUnknown) } else { unknown() };
    };
    let code = error_body.error_code;
    match response.status {
        StatusCode::UNAUTHORIZED if code == Some(TOKEN_WITHOUT_USER) => {
            Failure::Rejected(CredentialProblem::TokenWithoutUser)
        }
        StatusCode::UNAUTHORIZED => Failure::Rejected(CredentialProblem::TokenUnknown),
        StatusCode::BAD_REQUEST if error_body.error == INVALID_TOKEN => {
            Failure::Rejected(CredentialProblem::TokenUnknown)
        }
        StatusCode::SERVICE_UNAVAILABLE if code.is_some_and(|code| BUSY_CODES.contains(&code)) => {
            Failure::RetryLater { not_before: None, error: response.error() }
        }
        status if !status.is_client_error() => unknown(),
        status if code.is_some_and(|code| QUOTA_CODES.contains(&code)) => {
            Failure::Quota(Refused::new(status, &error_body, redactor))
        }
        StatusCode::NOT_FOUND => Failure::NotFound,
        _ if code == Some(NOT_FOUND) => Failure::NotFound,
        status => match missing_scope(status, &error_body) {
            Some(scope) if !redactor.contains_secret(&scope) => Failure::LacksScope(scope),
            _ => Failure::Refused(Refused::new(status, &error_body, redactor)),
        },
    }
}

/// The scope in a message such as `Your access token does not have the "upload" scope`.
fn missing_scope(status: StatusCode, error_body: &ErrorBody) -> Option<String> {
    if status != StatusCode::FORBIDDEN || error_body.error_code.is_some() {
        return None;
    }
    let (before, _) = error_body.error.split_once("\" scope")?;
    let (_, scope) = before.rsplit_once('"')?;
    let is_name = !scope.is_empty()
        && scope.len() <= SCOPE_MAX
        && scope.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then(|| scope.to_owned())
}
