//! Signing in: with an API key, through a provider, or with a link.

use askama::Template;

use super::parts::Errors;
use super::shell::Bare;
use crate::dashboard::messages as m;

/// Why the page for signing in is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignInNotice {
    SignedOut,
    Ended,
    Required,
}

impl SignInNotice {
    /// As a sentence.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::SignedOut => m::SIGN_IN_SIGNED_OUT,
            Self::Ended => m::SIGN_IN_ENDED,
            Self::Required => m::SIGN_IN_REQUIRED,
        }
    }
}

/// `GET` and `POST /dashboard/sign-in`. Posts `csrf`, `key`, `next`.
#[derive(Template)]
#[template(path = "dashboard/sign_in.html")]
pub(crate) struct SignInPage {
    pub(crate) bare: Bare,
    pub(crate) notice: Option<SignInNotice>,
    pub(crate) errors: Errors,
    /// The name of the identity provider, if one is configured.
    pub(crate) provider: Option<String>,
    /// The path to open afterwards; empty: the start page.
    pub(crate) next: String,
    /// `next` encoded for a query; empty: the start page.
    pub(crate) next_encoded: String,
}

/// `GET /dashboard/sign-in/link/{token}`: one button that uses the link. Posts `csrf`.
#[derive(Template)]
#[template(path = "dashboard/sign_in_link.html")]
pub(crate) struct SignInLinkPage {
    pub(crate) bare: Bare,
    /// The path of the link itself.
    pub(crate) action: String,
    pub(crate) account: String,
    pub(crate) person: String,
    pub(crate) role: String,
}

/// A link that does not sign in.
#[derive(Template)]
#[template(path = "dashboard/sign_in_link_problem.html")]
pub(crate) struct SignInLinkProblemPage {
    pub(crate) bare: Bare,
}
