//! Why a request to a service failed. The code decides what a command does; texts are for people.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

use crate::cli::output::on_one_line;
use crate::exit::{ExitStatus, HasExitStatus};

/// The code of a path that the service does not have: the URL is wrong, or the service is older. Unknown things have codes
/// of their own.
const NO_ROUTE: &str = "NOT_FOUND";

/// Why there is no usable answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// The service answered with an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No connection, or a broken one.
    #[error("{service} cannot be reached")]
    Unreachable {
        service: String,
        #[source]
        source: reqwest::Error,
    },
    /// The connection was lost while a change was requested, which may have been made.
    #[error(
        "the connection to {service} was lost: the change may have been made. Check before you try again"
    )]
    OutcomeUnknown {
        service: String,
        #[source]
        source: reqwest::Error,
    },
    /// The connection was lost while an answer was read, of which a part has been used.
    #[error("the connection to {service} was lost: the output is incomplete")]
    Incomplete {
        service: String,
        #[source]
        source: reqwest::Error,
    },
    /// The answer has not the form of this API.
    #[error("{service} answered with status {status}, but not as this service does; check the URL")]
    Foreign { service: String, status: u16 },
    /// Redirects are not followed, so that the key is sent to no other place.
    #[error("{service} redirects to another address, which is not followed; use that one as the URL")]
    Redirected { service: String },
    /// More than a client of this API expects.
    #[error("the answer of {service} is too large")]
    TooLarge { service: String },
    /// There are no root certificates.
    #[error(
        "no root certificates found to verify the service with: install the system's (on Debian `apt install \
         ca-certificates`), or set ca_file"
    )]
    NoRoots,
    /// The HTTPS client cannot be set up.
    #[error("the HTTPS client cannot be set up")]
    Setup(#[source] reqwest::Error),
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Refusal {
    /// For programs: upper case and `_`.
    pub(crate) code: String,
    /// For people.
    pub(crate) message: String,
    /// What is wrong with which field.
    #[serde(default)]
    pub(crate) fields: Vec<FieldError>,
    /// The status of the response.
    #[serde(skip)]
    pub(crate) status: u16,
    /// By which operators find the request in the log.
    #[serde(skip)]
    pub(crate) request_id: Option<String>,
    /// When it may be repeated.
    #[serde(skip)]
    pub(crate) retry_after_seconds: Option<u64>,
    /// All of it, for what only some errors have.
    #[serde(skip)]
    pub(crate) body: String,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct FieldError {
    pub(crate) name: String,
    pub(crate) errors: String,
}

impl Refusal {
    /// The faults of the fields, as the end of a sentence.
    pub(crate) fn fields_text(&self) -> String {
        let texts: Vec<_> =
            self.fields.iter().map(|field| format!("{} {}", field.name, field.errors)).collect();
        on_one_line(&texts.join("; "))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The message names only the first of them.
        if self.fields.is_empty() {
            f.write_str(&on_one_line(&self.message))?;
        } else {
            write!(f, "The request is not valid: {}.", self.fields_text())?;
        }
        if self.code == NO_ROUTE {
            f.write_str(" Check the URL and the version of the service.")?;
        }
        if let Some(seconds) = self.retry_after_seconds {
            write!(f, " Try again in {seconds} s.")?;
        }
        write!(f, " ({}", on_one_line(&self.code))?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {}", on_one_line(id))?;
        }
        write!(f, ")")
    }
}

impl ClientError {
    /// The code of the API's error.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// Whether the same request may succeed soon.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(refusal.status, 429 | 500 | 502 | 503 | 504),
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::Incomplete { .. } => true,
            Self::Foreign { status, .. } => *status >= 500,
            Self::Redirected { .. } | Self::TooLarge { .. } | Self::NoRoots | Self::Setup(_) => false,
        }
    }
}

impl HasExitStatus for ClientError {
    fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Refused(refusal) if refusal.code == NO_ROUTE => ExitStatus::Misconfigured,
            Self::Refused(refusal) => of_status(refusal.status),
            Self::Unreachable { .. } | Self::OutcomeUnknown { .. } | Self::Incomplete { .. } => {
                ExitStatus::Unavailable
            }
            Self::Foreign { status, .. } if *status >= 500 => ExitStatus::Unavailable,
            Self::Foreign { .. } | Self::Redirected { .. } | Self::NoRoots | Self::Setup(_) => {
                ExitStatus::Misconfigured
            }
            Self::TooLarge { .. } => ExitStatus::Failure,
        }
    }
}

fn of_status(status: u16) -> ExitStatus {
    match status {
        401 | 403 => ExitStatus::NotPermitted,
        429 | 503 => ExitStatus::Unavailable,
        _ => ExitStatus::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16) -> Refusal {
        Refusal {
            code: "INVALID_REQUEST_BODY".to_owned(),
            message: "The request body is not valid.".to_owned(),
            fields: Vec::new(),
            status,
            request_id: None,
            retry_after_seconds: None,
            body: String::new(),
        }
    }

    #[test]
    fn an_error_of_the_api_is_shown_with_everything_in_it_on_one_line() {
        let mut shown = refusal(400);
        assert_eq!(shown.to_string(), "The request body is not valid. (INVALID_REQUEST_BODY)");
        shown.fields =
            vec![FieldError { name: "na\u{1b}[2Jme".to_owned(), errors: "is\nrequired".to_owned() }];
        (shown.request_id, shown.retry_after_seconds) = (Some("r1".to_owned()), Some(5));
        assert_eq!(
            shown.to_string(),
            "The request is not valid: na [2Jme is required. Try again in 5 s. (INVALID_REQUEST_BODY, request r1)"
        );
    }

    #[test]
    fn a_path_that_the_service_does_not_have_is_a_wrong_url() {
        let refusal = Refusal { code: "NOT_FOUND".to_owned(), ..refusal(404) };
        let error = ClientError::Refused(Box::new(refusal));
        assert_eq!(error.exit_status().code(), 78);
        assert_eq!(
            error.to_string(),
            "The request body is not valid. Check the URL and the version of the service. (NOT_FOUND)"
        );
    }

    #[test]
    fn the_status_decides_the_exit_status_and_whether_to_retry() {
        for (status, code, is_temporary) in [
            (400, 1, false),
            (401, 77, false),
            (403, 77, false),
            (404, 1, false),
            (429, 69, true),
            (503, 69, true),
        ] {
            let error = ClientError::Refused(Box::new(refusal(status)));
            assert_eq!((error.exit_status().code(), error.is_temporary()), (code, is_temporary), "{status}");
        }
        let foreign = |status| ClientError::Foreign { service: "x".to_owned(), status };
        assert_eq!((foreign(404).exit_status().code(), foreign(502).exit_status().code()), (78, 69));
    }
}
