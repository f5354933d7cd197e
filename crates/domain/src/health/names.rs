//! The names of statuses, checks, results and problems, as they are stored and shown.

/// Whether a connection can be used for uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    /// Vimeo accepts the credentials.
    Healthy,
    /// Vimeo rejects a credential, or the account or app may not upload.
    Unhealthy,
    /// Vimeo has not been asked successfully yet.
    Unverified,
}

impl HealthStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Unhealthy, Self::Unverified];

    /// Its name in the store and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unverified => "unverified",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckName {
    /// Vimeo knows the client identifier, and the client secret belongs to it.
    ClientCredentials,
    /// The access token is valid and bound to a user.
    Token,
    /// The token belongs to the same app.
    TokenApp,
    /// The token has the required scopes.
    Scopes,
    /// The app may upload.
    UploadAccess,
    /// The account has space left.
    Quota,
    /// Which Vimeo account receives the videos.
    Account,
}

impl CheckName {
    /// Every check, in the order in which they are shown. A problem is that of the first one that fails.
    pub const ALL: [Self; 7] = [
        Self::ClientCredentials,
        Self::Token,
        Self::TokenApp,
        Self::Scopes,
        Self::UploadAccess,
        Self::Quota,
        Self::Account,
    ];
    /// Those that must pass before a connection is healthy. They are also the checks of a new connection.
    pub const REQUIRED: [Self; 4] = [Self::ClientCredentials, Self::Token, Self::TokenApp, Self::Scopes];

    /// Its name in the store and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::Token => "token",
            Self::TokenApp => "token_app",
            Self::Scopes => "scopes",
            Self::UploadAccess => "upload_access",
            Self::Quota => "quota",
            Self::Account => "account",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// As it should be.
    Pass,
    /// Uploads may fail soon.
    Warn,
    /// Uploads fail.
    Fail,
    /// Vimeo could not be asked, or did not say.
    Unknown,
}

impl CheckResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Warn, Self::Fail, Self::Unknown];

    /// Its name in the store and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.as_str() == text)
    }
}

/// Why a connection is unhealthy, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemCode {
    /// Vimeo rejects the client identifier or the client secret.
    ClientCredentialsRejected,
    /// The token is unknown, expired or revoked.
    TokenRejected,
    /// The token is not bound to a user.
    TokenWithoutUser,
    /// The token belongs to another app.
    TokenOfAnotherApp,
    /// The token lacks required scopes.
    ScopesMissing,
    /// The app may not upload to this account.
    UploadAccessMissing,
}

impl ProblemCode {
    /// Every code.
    pub const ALL: [Self; 6] = [
        Self::ClientCredentialsRejected,
        Self::TokenRejected,
        Self::TokenWithoutUser,
        Self::TokenOfAnotherApp,
        Self::ScopesMissing,
        Self::UploadAccessMissing,
    ];

    /// The code in the store and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientCredentialsRejected => "CLIENT_CREDENTIALS_REJECTED",
            Self::TokenRejected => "TOKEN_REJECTED",
            Self::TokenWithoutUser => "TOKEN_WITHOUT_USER",
            Self::TokenOfAnotherApp => "TOKEN_OF_ANOTHER_APP",
            Self::ScopesMissing => "SCOPES_MISSING",
            Self::UploadAccessMissing => "UPLOAD_ACCESS_MISSING",
        }
    }

    /// Parses a code.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_parsed() {
        for status in HealthStatus::ALL {
            assert_eq!(HealthStatus::parse(status.as_str()), Some(status));
        }
        for name in CheckName::ALL {
            assert_eq!(CheckName::parse(name.as_str()), Some(name));
        }
        for result in CheckResult::ALL {
            assert_eq!(CheckResult::parse(result.as_str()), Some(result));
        }
        for code in ProblemCode::ALL {
            assert_eq!(ProblemCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(HealthStatus::parse("well"), None);
    }
}
