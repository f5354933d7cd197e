//! The OAuth calls: a client-credentials grant, what a token is, and revoking one.

use std::time::Duration;

use domain::connection::{AccessToken, ClientIdentifier, ClientSecret};
use domain::secret::Secret;
use reqwest::{Method, StatusCode};

use crate::Client;
use crate::http::{TransportError, send_checked};
use crate::verify::CredentialProblem;
use crate::wire::{AuthOut, TokenOut};

/// Vimeo's code for a wrong client secret.
const BAD_CLIENT_SECRET: i64 = 8001;
/// Vimeo's code for a token without a user.
pub(crate) const TOKEN_WITHOUT_USER: i64 = 8002;
/// RFC 6749's word for an unknown client.
const INVALID_CLIENT: &str = "invalid_client";
/// RFC 6750's word for a bad token.
pub(crate) const INVALID_TOKEN: &str = "invalid_token";

/// How a question about credentials ended other than well.
#[derive(Debug)]
pub(crate) enum OAuthError {
    /// Vimeo said what is wrong with them.
    Rejected(CredentialProblem),
    /// Nothing is known about them.
    Unknown(TransportError),
}

/// A client-credentials grant: the app behind an identifier and a secret, and the token that came with it.
pub(crate) struct Grant {
    /// `None` if the answer did not say.
    pub(crate) app_uri: Option<String>,
    /// A token that nobody asked for and somebody must revoke.
    pub(crate) stray_token: Option<Secret>,
}

/// What Vimeo says of an access token.
pub(crate) struct TokenInfo {
    pub(crate) app_uri: String,
    pub(crate) has_user: bool,
    pub(crate) scopes: Vec<String>,
}

impl Client {
    /// `POST /oauth/authorize/client`.
    pub(crate) async fn grant(
        &self,
        identifier: &ClientIdentifier,
        secret: &ClientSecret,
        timeout: Duration,
    ) -> Result<Grant, OAuthError> {
        if identifier.as_str().contains(':') {
            // Basic authentication ends the identifier at the first colon: Vimeo would be asked about another one.
            return Err(OAuthError::Rejected(CredentialProblem::ClientUnknown));
        }
        let request = self
            .request(Method::POST, "/oauth/authorize/client")
            .basic_auth(identifier.as_str(), Some(secret.expose()))
            .form(&[("grant_type", "client_credentials"), ("scope", "public")]);
        let answer = send_checked(request, timeout).await.map_err(OAuthError::Unknown)?;
        if matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
            // Read apart from the rest: the token must be revoked, however odd the answer around it is.
            let token: Option<TokenOut> = answer.json();
            let auth: Option<AuthOut> = answer.json();
            return Ok(Grant {
                app_uri: auth.and_then(|auth| auth.app?.uri),
                stray_token: token.map(|token| Secret::new(token.access_token)),
            });
        }
        let error_body = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => answer.error_body(),
            _ => None,
        };
        let finding =
            error_body.and_then(|error_body| match (error_body.error_code, error_body.error.as_str()) {
                (Some(BAD_CLIENT_SECRET), _) => Some(CredentialProblem::ClientSecretWrong),
                (_, INVALID_CLIENT) => Some(CredentialProblem::ClientUnknown),
                _ if answer.status == StatusCode::UNAUTHORIZED => Some(CredentialProblem::ClientRejected),
                // A 400 of another kind is about our request, not about the credentials.
                _ => None,
            });
        Err(finding.map_or_else(|| OAuthError::Unknown(answer.error()), OAuthError::Rejected))
    }

    /// `GET /oauth/verify`.
    pub(crate) async fn token_info(
        &self,
        token: &AccessToken,
        timeout: Duration,
    ) -> Result<TokenInfo, OAuthError> {
        let request = self.request(Method::GET, "/oauth/verify").bearer_auth(token.expose());
        let answer = send_checked(request, timeout).await.map_err(OAuthError::Unknown)?;
        if answer.status == StatusCode::OK {
            let auth: Option<AuthOut> = answer.json();
            let info = auth.and_then(|auth| {
                Some(TokenInfo {
                    app_uri: auth.app?.uri?,
                    has_user: match auth.user {
                        // A user who cannot be told is an answer that we do not understand, not a missing user.
                        Some(user) => user.uri.filter(|uri| !uri.is_empty()).map(|_| true)?,
                        None => false,
                    },
                    scopes: auth.scope?.split_whitespace().map(str::to_owned).collect(),
                })
            });
            return info.ok_or(OAuthError::Unknown(TransportError::UnexpectedResponse));
        }
        let error_body = answer.error_body();
        let finding = match (answer.status, error_body) {
            (StatusCode::UNAUTHORIZED, Some(error_body))
                if error_body.error_code == Some(TOKEN_WITHOUT_USER) =>
            {
                Some(CredentialProblem::TokenWithoutUser)
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => Some(CredentialProblem::TokenUnknown),
            (StatusCode::UNAUTHORIZED, None) if answer.challenges_token() => {
                Some(CredentialProblem::TokenUnknown)
            }
            (StatusCode::BAD_REQUEST, Some(error_body)) if error_body.error == INVALID_TOKEN => {
                Some(CredentialProblem::TokenUnknown)
            }
            _ => None,
        };
        Err(finding.map_or_else(|| OAuthError::Unknown(answer.error()), OAuthError::Rejected))
    }

    /// `DELETE /tokens`. A token that is gone already counts as revoked.
    pub(crate) async fn revoke(&self, token: &Secret, timeout: Duration) -> Result<(), TransportError> {
        let request = self.request(Method::DELETE, "/tokens").bearer_auth(token.expose());
        let answer = send_checked(request, timeout).await?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(answer.error()),
        }
    }
}
