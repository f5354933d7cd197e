//! Errors of pages. A handler returns one; `security::around` renders it, in the frame of the page if the person is signed in.

use app::{Error, SessionError};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::cookies;
use super::respond::{html, percent_encode, redirect};
use super::views::problem::{BareProblemPage, ProblemKind, ProblemPage, ProblemText};
use super::views::shell::{Bare, Extent, Shell};
use crate::error::{Code, Problem};

/// Whether the browser had a session that is not accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HadSession {
    /// It had: the person is informed that it has ended.
    Yes,
    /// It had none.
    No,
}

/// Whom a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// People of an account.
    People,
    /// An account's own customers, who know nothing of a dashboard.
    Customers,
}

impl Audience {
    pub(super) fn of(path: &str) -> Self {
        if path == "/connect" || path.starts_with("/connect/") { Self::Customers } else { Self::People }
    }

    /// Where they continue after an error; empty: nowhere.
    const fn start(self) -> &'static str {
        match self {
            Self::People => "/dashboard",
            Self::Customers => "",
        }
    }
}

/// Why a page cannot be shown, or a form was not accepted.
#[derive(Debug, Clone)]
pub(super) enum PageError {
    /// There is no session. `next` is the page to return to, if it was one.
    NotSignedIn {
        /// The path and query of the page.
        next: Option<String>,
        /// Whether there was one before.
        before: HadSession,
    },
    /// The person must prove again who they are, and then continue with this page.
    NotRecent {
        /// The path and query of the page.
        next: String,
    },
    /// The form carries no valid token, or comes from another site.
    StaleForm,
    /// The form or the address is malformed.
    BadRequest,
    /// There is no such page.
    NotFound,
    /// The page is there for another method: it was opened by its address, for example.
    NoSuchMethod,
    /// The person may not see the page.
    Forbidden,
    /// An error of an operation.
    Operation {
        /// Its code, status and sentence.
        code: Code,
        /// The sentence.
        message: String,
        /// Seconds to wait before retrying.
        retry_after_seconds: Option<u64>,
    },
}

impl From<Problem> for PageError {
    fn from(problem: Problem) -> Self {
        // Whatever was not found: the page does not say whether its address is malformed.
        if problem.code.status() == StatusCode::NOT_FOUND {
            return Self::NotFound;
        }
        Self::Operation {
            code: problem.code,
            message: problem.message.unwrap_or_else(|| problem.code.message().to_owned()),
            retry_after_seconds: problem.retry_after_seconds,
        }
    }
}

impl From<Error> for PageError {
    fn from(error: Error) -> Self {
        match error {
            // The session's key was revoked, or its account was deleted, since the request was authenticated.
            Error::Unauthorized => Self::NotSignedIn { next: None, before: HadSession::Yes },
            Error::Forbidden { .. } => Self::Forbidden,
            error => Problem::from(error).into(),
        }
    }
}

impl From<SessionError> for PageError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotSignedIn => Self::NotSignedIn { next: None, before: HadSession::Yes },
            SessionError::KeyRefused | SessionError::LinkRefused => Self::BadRequest,
            SessionError::Other(error) => error.into(),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Any other path below `/dashboard`.
pub(super) async fn no_such_page(_: super::visit::Visit) -> PageError {
    PageError::NotFound
}

/// A path that has other methods.
pub(super) async fn no_such_method() -> PageError {
    PageError::NoSuchMethod
}

/// The response to an error.
pub(super) fn render(
    error: PageError,
    shell: Option<&Shell>,
    (extent, audience): (Extent, Audience),
    request_id: String,
) -> Response {
    let (kind, status, detail, retry) = match error {
        PageError::NotSignedIn { next, before } => {
            let notice = (before == HadSession::Yes).then(|| "notice=ended".to_owned());
            let next = next.map(|next| format!("next={}", percent_encode(&next)));
            let query: Vec<_> = notice.into_iter().chain(next).collect();
            let start = if query.is_empty() { "" } else { "?" };
            let mut response = redirect(&format!("/dashboard/sign-in{start}{}", query.join("&")));
            // Not without one: for a form of another site, the browser keeps it back.
            if before == HadSession::Yes {
                cookies::set(response.headers_mut(), cookies::SESSION, "", cookies::Keep::Not);
            }
            return response;
        }
        PageError::NotRecent { next } => {
            return redirect(&format!("/dashboard/confirm?next={}", percent_encode(&next)));
        }
        PageError::StaleForm => (ProblemKind::StaleForm, StatusCode::FORBIDDEN, String::new(), None),
        PageError::BadRequest => (ProblemKind::BadRequest, StatusCode::BAD_REQUEST, String::new(), None),
        PageError::NotFound => (ProblemKind::NotFound, StatusCode::NOT_FOUND, String::new(), None),
        PageError::Forbidden => (ProblemKind::Forbidden, StatusCode::FORBIDDEN, String::new(), None),
        PageError::NoSuchMethod => {
            (ProblemKind::NotFound, StatusCode::METHOD_NOT_ALLOWED, String::new(), None)
        }
        PageError::Operation { code, message, retry_after_seconds } => {
            let kind = kind_of(code.status());
            // The sentence is about headers.
            let detail = if kind == ProblemKind::TooManyRequests { String::new() } else { message };
            (kind, code.status(), detail, retry_after_seconds)
        }
    };
    let back_href = audience.start().to_owned();
    let problem = ProblemText { kind, detail, request_id, back_href };
    let mut response = if let Some(shell) = shell {
        let shell = Shell { flash: None, extent, ..shell.clone() };
        html(status, &ProblemPage { shell, problem })
    } else {
        html(status, &BareProblemPage { bare: Bare::without_form(extent), problem })
    };
    if let Some(seconds) = retry {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, seconds.into());
    }
    response
}

fn kind_of(status: StatusCode) -> ProblemKind {
    match status {
        StatusCode::FORBIDDEN => ProblemKind::Forbidden,
        StatusCode::NOT_FOUND => ProblemKind::NotFound,
        StatusCode::CONFLICT => ProblemKind::Conflict,
        StatusCode::TOO_MANY_REQUESTS => ProblemKind::TooManyRequests,
        StatusCode::SERVICE_UNAVAILABLE => ProblemKind::Unavailable,
        status if status.is_server_error() => ProblemKind::Internal,
        _ => ProblemKind::BadRequest,
    }
}
