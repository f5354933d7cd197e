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

/// Why a person whom the identity provider sent back is not signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdentityProblem {
    Attempt,
    Denied,
    Misconfigured,
    Unavailable,
    NotAccepted,
    NoRole,
    NoAccount,
    Domain,
    NoName,
    OtherPerson,
}

impl IdentityProblem {
    /// As a title, of a sign-in or of a confirmation by a person who is signed in.
    pub(crate) const fn title(self, is_confirmation: bool) -> &'static str {
        match self {
            Self::Denied | Self::NotAccepted if is_confirmation => m::IDENTITY_NOT_CONFIRMED_TITLE,
            Self::Attempt => m::IDENTITY_ATTEMPT_TITLE,
            Self::Denied => m::IDENTITY_DENIED_TITLE,
            Self::Misconfigured => m::IDENTITY_MISCONFIGURED_TITLE,
            Self::Unavailable => m::IDENTITY_UNAVAILABLE_TITLE,
            Self::NotAccepted => m::IDENTITY_NOT_ACCEPTED_TITLE,
            Self::NoRole | Self::NoAccount | Self::Domain | Self::NoName => m::IDENTITY_NO_ACCESS_TITLE,
            Self::OtherPerson => m::IDENTITY_OTHER_PERSON_TITLE,
        }
    }

    /// What happened, and what to do next.
    pub(crate) fn text(self, provider: &str) -> String {
        match self {
            Self::Attempt => m::IDENTITY_ATTEMPT.to_owned(),
            Self::Denied => m::identity_denied(provider),
            Self::Misconfigured => m::identity_misconfigured(provider),
            Self::Unavailable => m::identity_unavailable(provider),
            Self::NotAccepted => m::identity_not_accepted(provider),
            Self::NoRole => m::identity_no_role(provider),
            Self::NoAccount => m::identity_no_account(provider),
            Self::Domain => m::identity_domain(provider),
            Self::NoName => m::identity_no_name(provider),
            Self::OtherPerson => m::IDENTITY_OTHER_PERSON.to_owned(),
        }
    }
}

/// A sign-in at the identity provider that did not succeed.
#[derive(Template)]
#[template(path = "dashboard/sign_in_identity_problem.html")]
pub(crate) struct IdentityProblemPage {
    pub(crate) bare: Bare,
    pub(crate) problem: IdentityProblem,
    /// The name of the identity provider.
    pub(crate) provider: String,
    /// Where the person starts again.
    pub(crate) retry_href: String,
    /// Where they use an API key instead.
    pub(crate) key_href: String,
    /// They are signed in, and were to prove who they are.
    pub(crate) is_confirmation: bool,
}
