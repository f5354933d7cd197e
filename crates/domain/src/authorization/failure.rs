//! Why authorizations fail.

/// Why an authorization failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// Vimeo rejects the app's identifier or secret.
    ClientRejected,
    /// Vimeo rejects the code: it has expired, or the redirect URI is not registered for the app.
    CodeRejected,
    /// Vimeo returned an error instead of a decision.
    VimeoError,
    /// Vimeo did not answer.
    VimeoUnavailable,
    /// The person did not grant a scope that connections need.
    ScopesMissing,
    /// Vimeo rejects the token, or it does not belong to the app.
    CredentialsRejected,
    /// The person authorised another Vimeo account than that of the connection.
    OtherVimeoAccount,
    /// A connection with this name exists by now.
    NameExists,
    /// The connection to renew was deleted.
    ConnectionNotFound,
    /// The account has reached its limit of connections.
    LimitReached,
    /// The account withdrew it.
    Withdrawn,
    /// The service was interrupted while it exchanged the code, or an internal error occurred.
    Interrupted,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: [Self; 12] = [
        Self::ClientRejected,
        Self::CodeRejected,
        Self::VimeoError,
        Self::VimeoUnavailable,
        Self::ScopesMissing,
        Self::CredentialsRejected,
        Self::OtherVimeoAccount,
        Self::NameExists,
        Self::ConnectionNotFound,
        Self::LimitReached,
        Self::Withdrawn,
        Self::Interrupted,
    ];

    /// The code in the store and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientRejected => "CLIENT_REJECTED",
            Self::CodeRejected => "CODE_REJECTED",
            Self::VimeoError => "VIMEO_ERROR",
            Self::VimeoUnavailable => "VIMEO_UNAVAILABLE",
            Self::ScopesMissing => "SCOPES_MISSING",
            Self::CredentialsRejected => "CREDENTIALS_REJECTED",
            Self::OtherVimeoAccount => "OTHER_VIMEO_ACCOUNT",
            Self::NameExists => "CONNECTION_NAME_EXISTS",
            Self::ConnectionNotFound => "CONNECTION_NOT_FOUND",
            Self::LimitReached => "LIMIT_REACHED",
            Self::Withdrawn => "WITHDRAWN",
            Self::Interrupted => "INTERRUPTED",
        }
    }

    /// Whether the same person can succeed with the same link.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::VimeoError | Self::VimeoUnavailable | Self::ScopesMissing | Self::OtherVimeoAccount => true,
            Self::ClientRejected
            | Self::CodeRejected
            | Self::CredentialsRejected
            | Self::NameExists
            | Self::ConnectionNotFound
            | Self::LimitReached
            | Self::Withdrawn
            | Self::Interrupted => false,
        }
    }

    /// Parses a stored code.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// What happened and what to do, in one sentence for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::ClientRejected => {
                "Vimeo refused the app's client identifier or secret; copy both from the app's page and begin again."
            }
            Self::CodeRejected => {
                "Vimeo refused the code; check that the callback address is registered for the app, and begin again."
            }
            Self::VimeoError => "Vimeo reported an error instead of a decision; try again.",
            Self::VimeoUnavailable => "Vimeo did not answer; try again in a minute.",
            Self::ScopesMissing => "A required permission was not granted; try again and allow all of them.",
            Self::CredentialsRejected => "Vimeo refused the new token; begin again.",
            Self::OtherVimeoAccount => {
                "Another Vimeo account was authorised than the one of this connection; log in to the right one and try again."
            }
            Self::NameExists => {
                "A connection with this name was created meanwhile; begin again with another name."
            }
            Self::ConnectionNotFound => "The connection was deleted meanwhile.",
            Self::LimitReached => {
                "The account has reached its limit of connections; delete one and begin again."
            }
            Self::Withdrawn => "The request was withdrawn.",
            Self::Interrupted => "The service was interrupted before it could finish; begin again.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_code_and_a_sentence_of_its_own() {
        for reason in FailureReason::ALL {
            assert_eq!(FailureReason::from_stored(reason.as_str()), Some(reason));
            assert!(reason.message().ends_with('.'), "{reason:?}");
        }
        assert_eq!(FailureReason::from_stored("OTHER"), None);
    }
}
