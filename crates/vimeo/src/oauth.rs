//! OAuth calls: client-credentials grant, token introspection, revocation.

use std::time::Duration;

use domain::connection::{AccessToken, ClientIdentifier, ClientSecret};
use domain::secret::Secret;
use reqwest::{Method, StatusCode};

use crate::Client;
use crate::http::{TransportError, send_checked};
use crate::verify::CredentialProblem;
use crate::wire::{AuthOut, ErrorBody, TokenOut};

/// Vimeo's error code for a wrong client secret.
const BAD_CLIENT_SECRET: i64 = 8001;
/// Vimeo's error code for a token without a user.
pub(crate) const TOKEN_WITHOUT_USER: i64 = 8002;
/// RFC 6749's error code for an unknown client.
const INVALID_CLIENT: &str = "invalid_client";
/// RFC 6750's error code for an invalid token.
pub(crate) const INVALID_TOKEN: &str = "invalid_token";

/// Why a check of credentials failed.
#[derive(Debug)]
pub(crate) enum OAuthError {
    /// Vimeo rejected them.
    Rejected(CredentialProblem),
    /// Nothing is known about them.
    Unknown(TransportError),
}

/// A client-credentials grant: the app of an identifier and secret, and the token that Vimeo issues with it.
pub(crate) struct Grant {
    /// `None` if the response does not contain it.
    pub(crate) app_uri: Option<String>,
    /// A token that is not needed and must be revoked.
    pub(crate) stray_token: Option<Secret>,
}

/// Vimeo's information about an access token.
pub(crate) struct TokenInfo {
    pub(crate) app_uri: String,
    pub(crate) has_user: bool,
    pub(crate) scopes: Vec<String>,
}

/// What an error of a token endpoint says about the app's identifier and secret.
pub(crate) fn client_problem(status: StatusCode, error_body: &ErrorBody) -> Option<CredentialProblem> {
    match (error_body.error_code, error_body.error.as_str()) {
        (Some(BAD_CLIENT_SECRET), _) => Some(CredentialProblem::ClientSecretWrong),
        (_, INVALID_CLIENT) => Some(CredentialProblem::ClientUnknown),
        _ if status == StatusCode::UNAUTHORIZED => Some(CredentialProblem::ClientRejected),
        // Any other 400 is about the request, not the credentials.
        _ => None,
    }
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
            // In basic authentication the identifier ends at the first colon, so Vimeo would check a different
            // identifier.
            return Err(OAuthError::Rejected(CredentialProblem::ClientUnknown));
        }
        let request = self
            .request(Method::POST, "/oauth/authorize/client")
            .basic_auth(identifier.as_str(), Some(secret.expose()))
            .form(&[("grant_type", "client_credentials"), ("scope", "public")]);
        let response = send_checked(request, timeout).await.map_err(OAuthError::Unknown)?;
        if matches!(response.status, StatusCode::OK | StatusCode::CREATED) {
            // Parsed separately: the token must be revoked even if the rest of the response is unexpected.
            let token: Option<TokenOut> = response.json();
            let auth: Option<AuthOut> = response.json();
            return Ok(Grant {
                app_uri: auth.and_then(|auth| auth.app?.uri),
                stray_token: token.map(|token| Secret::new(token.access_token)),
            });
        }
        let error_body = match response.status {
            StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST => response.error_body(),
            _ => None,
        };
        let problem = error_body.and_then(|error_body| client_problem(response.status, &error_body));
        Err(problem.map_or_else(|| OAuthError::Unknown(response.error()), OAuthError::Rejected))
    }

    /// `GET /oauth/verify`.
    pub(crate) async fn token_info(
        &self,
        token: &AccessToken,
        timeout: Duration,
    ) -> Result<TokenInfo, OAuthError> {
        let request = self.request(Method::GET, "/oauth/verify").bearer_auth(token.expose());
        let response = send_checked(request, timeout).await.map_err(OAuthError::Unknown)?;
        if response.status == StatusCode::OK {
            let auth: Option<AuthOut> = response.json();
            let info = auth.and_then(|auth| {
                Some(TokenInfo {
                    app_uri: auth.app?.uri?,
                    has_user: match auth.user {
                        // A user without a URI is an unexpected response, not a missing user.
                        Some(user) => user.uri.filter(|uri| !uri.is_empty()).map(|_| true)?,
                        None => false,
                    },
                    scopes: auth.scope?.split_whitespace().map(str::to_owned).collect(),
                })
            });
            return info.ok_or(OAuthError::Unknown(TransportError::UnexpectedResponse));
        }
        let error_body = response.error_body();
        let problem = match (response.status, error_body) {
            (StatusCode::UNAUTHORIZED, Some(error_body))
                if error_body.error_code == Some(TOKEN_WITHOUT_USER) =>
            {
                Some(CredentialProblem::TokenWithoutUser)
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => Some(CredentialProblem::TokenUnknown),
            (StatusCode::UNAUTHORIZED, None) if response.challenges_token() => {
                Some(CredentialProblem::TokenUnknown)
            }
            (StatusCode::BAD_REQUEST, Some(error_body)) if error_body.error == INVALID_TOKEN => {
                Some(CredentialProblem::TokenUnknown)
            }
            _ => None,
        };
        Err(problem.map_or_else(|| OAuthError::Unknown(response.error()), OAuthError::Rejected))
    }

    /// `DELETE /tokens`. A token that does not exist counts as revoked.
    pub(crate) async fn revoke(&self, token: &Secret, timeout: Duration) -> Result<(), TransportError> {
        let request = self.request(Method::DELETE, "/tokens").bearer_auth(token.expose());
        let response = send_checked(request, timeout).await?;
        match response.status {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(response.error()),
        }
    }
}
