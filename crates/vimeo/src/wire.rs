//! Vimeo's JSON, as far as we read it. What we do not read may be anything.

use serde::Deserialize;

/// The token in the answer of a token endpoint.
#[derive(Deserialize)]
pub(crate) struct TokenOut {
    pub(crate) access_token: String,
}

/// Whose the token is and what for, in the answers of the token endpoints and of `/oauth/verify`.
#[derive(Deserialize)]
pub(crate) struct AuthOut {
    pub(crate) scope: Option<String>,
    pub(crate) app: Option<AppOut>,
    pub(crate) user: Option<UserOut>,
}

/// An app; its `uri` tells apps apart.
#[derive(Deserialize)]
pub(crate) struct AppOut {
    pub(crate) uri: Option<String>,
}

/// A user.
#[derive(Deserialize)]
pub(crate) struct UserOut {
    pub(crate) uri: Option<String>,
}

/// Any of Vimeo's error shapes: the full one, the legacy one, and that of RFC 6749.
#[derive(Deserialize)]
pub(crate) struct Refusal {
    /// A text for people, or the RFC's code.
    pub(crate) error: String,
    /// Only in the full shape.
    pub(crate) error_code: Option<i64>,
}
