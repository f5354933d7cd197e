//! How a call on behalf of a user ended other than well, sorted by what the caller does next.

use domain::time::Timestamp;
use reqwest::StatusCode;
use thiserror::Error;

use crate::http::{ApiResponse, TransportError};
use crate::oauth::{INVALID_TOKEN, TOKEN_WITHOUT_USER};
use crate::redact::Redactor;
use crate::verify::CredentialProblem;
use crate::wire::ErrorBody;

/// Codes of used-up space or numbers, and of a file that is too large.
const QUOTA_CODES: [i64; 5] = [4101, 4102, 4103, 4104, 3428];
/// Codes of a server that is too busy to act.
const BUSY_CODES: [i64; 2] = [7000, 7100];
/// The code of what is not there.
const NOT_THERE: i64 = 5000;
/// Codes of a view that the plan does not have: public or nobody, users, disable, contacts.
const VIEW_CODES: std::ops::RangeInclusive<i64> = 2409..=2412;
/// The parameter that these views are told in.
const VIEW_FIELD: &str = "privacy.view";
/// How many characters of a text of Vimeo's are kept.
const TEXT_MAX: usize = 300;
/// How many characters of a parameter's name are kept.
const FIELD_MAX: usize = 100;
/// How many parameters are kept.
const PARAMETERS_MAX: usize = 20;
/// How many characters the name of a scope has at the most; Vimeo's longest has 11.
const SCOPE_MAX: usize = 32;

/// Why a call did not do what was asked. Holds nothing that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Vimeo certainly did nothing: ask again.
    #[error("Vimeo {error}")]
    RetryLater {
        /// Not sooner than this, if Vimeo said.
        not_before: Option<Timestamp>,
        /// What stands in the way.
        error: TransportError,
    },
    /// 401: the token is not good, or no longer.
    #[error("the access token {0}")]
    Rejected(CredentialProblem),
    /// 403: the token may not do this without the scope that is named.
    #[error("the access token lacks the scope {0}")]
    LacksScope(String),
    /// The user's space, number of videos or size of a file is exhausted.
    #[error("the quota at Vimeo does not suffice: {0}")]
    Quota(Refused),
    /// Vimeo understood, and said no.
    #[error("Vimeo refused: {0}")]
    Refused(Refused),
    /// What the call is about is not there.
    #[error("Vimeo does not have it")]
    NotFound,
    /// Whether Vimeo acted is not known. What can be done twice (all but creating) is simply asked again.
    #[error("Vimeo {0}")]
    Unknown(TransportError),
}

/// What Vimeo said when it said no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// Vimeo's code, if there was one.
    pub code: Option<i64>,
    /// Vimeo's words, without control characters, secrets and paths of addresses: 300 characters at the most.
    pub text: String,
    /// What was wrong in particular; 20 at the most.
    pub parameters: Vec<Parameter>,
}

/// One thing that Vimeo found wrong in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its path, with dots: `privacy.view`.
    pub field: String,
    /// Vimeo's code, if there was one.
    pub code: Option<i64>,
    /// Vimeo's words, as in [`Refused::text`].
    pub text: String,
}

impl Refused {
    /// Whether the plan or the user may not choose this `privacy.view`: another one may do.
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

/// What an answer means that is not the one which was hoped for. `redactor` knows the secrets that the request carried.
pub(crate) fn classify(answer: &ApiResponse, redactor: &Redactor) -> Failure {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        let not_before = answer.rate_limit_reset();
        return Failure::RetryLater { not_before, error: TransportError::RateLimited { not_before } };
    }
    let unknown = || Failure::Unknown(answer.error());
    let Some(error_body) = answer.error_body() else {
        // Only in an error shape of its own has Vimeo spoken; anything else may be a server before it.
        let is_challenge = answer.status == StatusCode::UNAUTHORIZED && answer.challenges_token();
        return if is_challenge { Failure::Rejected(CredentialProblem::TokenUnknown) } else { unknown() };
    };
    let code = error_body.error_code;
    match answer.status {
        StatusCode::UNAUTHORIZED if code == Some(TOKEN_WITHOUT_USER) => {
            Failure::Rejected(CredentialProblem::TokenWithoutUser)
        }
        StatusCode::UNAUTHORIZED => Failure::Rejected(CredentialProblem::TokenUnknown),
        StatusCode::BAD_REQUEST if error_body.error == INVALID_TOKEN => {
            Failure::Rejected(CredentialProblem::TokenUnknown)
        }
        StatusCode::SERVICE_UNAVAILABLE if code.is_some_and(|code| BUSY_CODES.contains(&code)) => {
            Failure::RetryLater { not_before: None, error: answer.error() }
        }
        status if !status.is_client_error() => unknown(),
        status if code.is_some_and(|code| QUOTA_CODES.contains(&code)) => {
            Failure::Quota(Refused::new(status, &error_body, redactor))
        }
        StatusCode::NOT_FOUND => Failure::NotFound,
        _ if code == Some(NOT_THERE) => Failure::NotFound,
        status => match missing_scope(status, &error_body) {
            Some(scope) if !redactor.finds(&scope) => Failure::LacksScope(scope),
            _ => Failure::Refused(Refused::new(status, &error_body, redactor)),
        },
    }
}

/// The scope in a sentence such as `Your access token does not have the "upload" scope`.
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
