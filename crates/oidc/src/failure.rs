//! Why a person is not signed in, sorted by what to do next.

use std::error::Error as StdError;

use thiserror::Error;

/// The cause, for the log.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// Why there is no identity. The comments say what to do next.
#[derive(Debug, Error)]
pub enum Error {
    /// The person declined, or the provider does not admit them. Start again, or sign in otherwise.
    #[error("the person declined, or the identity provider does not let them use this service")]
    Denied,
    /// The operator compares the configuration here and at the provider.
    #[error("the identity provider rejects the configuration of this service")]
    Misconfigured(#[source] Cause),
    /// Retry later.
    #[error("the identity provider cannot be reached, or reports a failure of its own")]
    Unavailable(#[source] Cause),
    /// Start again. If it happens again, the operator reads the log.
    #[error("the answer of the identity provider is not accepted")]
    NotAccepted(#[source] Cause),
}

/// What follows from the error code with which a provider sends the browser back (RFC 6749, 4.1.2.1; `OpenID` Connect Core,
/// 3.1.2.6).
pub(crate) fn of_authorization(code: &str) -> Error {
    match code {
        "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => Error::Denied,
        "temporarily_unavailable" | "server_error" => {
            Error::Unavailable("the provider reports that it is not available".into())
        }
        // The code may be any text: only those of the standard are repeated.
        "invalid_request" | "unauthorized_client" | "unsupported_response_type" | "invalid_scope" => {
            Error::Misconfigured(format!("authorization was refused: {code}").into())
        }
        _ => Error::NotAccepted("authorization failed with a code that is not in the standard".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_the_provider_says_who_acts_next() {
        let kind = |code| match of_authorization(code) {
            Error::Denied => "denied",
            Error::Misconfigured(_) => "misconfigured",
            Error::Unavailable(_) => "unavailable",
            Error::NotAccepted(_) => "not accepted",
        };
        for (code, expected) in [
            ("access_denied", "denied"),
            ("login_required", "denied"),
            ("invalid_scope", "misconfigured"),
            ("unauthorized_client", "misconfigured"),
            ("server_error", "unavailable"),
            ("", "not accepted"),
            ("<script>", "not accepted"),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
