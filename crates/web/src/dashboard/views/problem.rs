//! Pages for what cannot be shown or done, and the page that asks to sign in again.

use askama::Template;

use super::parts::Errors;
use super::shell::{Bare, Shell};
use crate::dashboard::messages as m;

/// Why a page cannot be shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// 400
    BadRequest,
    /// 403: the role does not allow it.
    Forbidden,
    /// 403: the form is too old, or comes from another site.
    StaleForm,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 429
    TooManyRequests,
    /// 500
    Internal,
    /// 503
    Unavailable,
}

impl ProblemKind {
    /// As a title.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => m::PROBLEM_400_TITLE,
            Self::Forbidden => m::PROBLEM_403_TITLE,
            Self::StaleForm => m::PROBLEM_STALE_TITLE,
            Self::NotFound => m::PROBLEM_404_TITLE,
            Self::Conflict => m::PROBLEM_409_TITLE,
            Self::TooManyRequests => m::PROBLEM_429_TITLE,
            Self::Internal => m::PROBLEM_500_TITLE,
            Self::Unavailable => m::PROBLEM_503_TITLE,
        }
    }

    /// What to do next.
    pub(crate) const fn help(self) -> &'static str {
        match self {
            Self::BadRequest => m::PROBLEM_400,
            Self::Forbidden => m::PROBLEM_403,
            Self::StaleForm => m::PROBLEM_STALE,
            Self::NotFound => m::PROBLEM_404,
            Self::Conflict => m::PROBLEM_409,
            Self::TooManyRequests => m::PROBLEM_429,
            Self::Internal => m::PROBLEM_500,
            Self::Unavailable => m::PROBLEM_503,
        }
    }
}

/// What a page of errors shows.
#[derive(Clone)]
pub(crate) struct ProblemText {
    pub(crate) kind: ProblemKind,
    /// The sentence of the operation's error; empty: nothing is shown.
    pub(crate) detail: String,
    /// For support.
    pub(crate) request_id: String,
    /// Where to continue; empty: nowhere.
    pub(crate) back_href: String,
}

/// An error for a person who is signed in.
#[derive(Template)]
#[template(path = "dashboard/problem.html")]
pub(crate) struct ProblemPage {
    pub(crate) shell: Shell,
    pub(crate) problem: ProblemText,
}

/// An error for a visitor without a session.
#[derive(Template)]
#[template(path = "dashboard/problem_bare.html")]
pub(crate) struct BareProblemPage {
    pub(crate) bare: Bare,
    pub(crate) problem: ProblemText,
}

/// `GET` and `POST /dashboard/confirm?next=`: signing in again before something that cannot be undone. Posts `csrf`, `key`,
/// `next`.
#[derive(Template)]
#[template(path = "dashboard/confirm.html")]
pub(crate) struct ConfirmPage {
    pub(crate) shell: Shell,
    /// The path to continue with.
    pub(crate) next: String,
    /// `next` encoded for a query.
    pub(crate) next_encoded: String,
    /// Where "Cancel" leads.
    pub(crate) cancel_href: String,
    /// The name of the provider that the person signed in through.
    pub(crate) provider: Option<String>,
    /// Whether they signed in with a link: another one proves who they are, too.
    pub(crate) has_used_link: bool,
    pub(crate) errors: Errors,
}
