//! The client of a provider.

use std::borrow::Cow;
use std::time::Duration;

use domain::secret::Secret;
use domain::time::Timestamp;
use openidconnect::core::{
    CoreAuthPrompt, CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreIdToken, CoreProviderMetadata,
};
use openidconnect::{
    AccessToken, AdditionalClaims, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SubjectIdentifier, TokenResponse as _, UserInfoClaims, UserInfoError,
};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::access::NAMES;
use crate::attempt::{Answer, Attempt, Login};
use crate::claims::{Claims, Identity};
use crate::failure::{self, Error};
use crate::http::{HttpClient, HttpError, SetupError};
use crate::issuer::Issuer;
use crate::token::{self, Expected, TokenError};

/// How long the discovery document and the keys are used.
const DISCOVERY_TTL: Duration = Duration::from_hours(1);
/// How long after a failure the provider is not asked again.
const FAILURE_TTL: Duration = Duration::from_secs(2);

/// Settings of a provider.
#[derive(Debug, Clone)]
pub struct ProviderOptions {
    /// Its URL.
    pub issuer: Issuer,
    /// The identifier of this service there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The scopes that are requested.
    pub scopes: Vec<String>,
    /// Claims that are requested from the userinfo endpoint if the ID token lacks them.
    pub claims: Vec<String>,
    /// With the trusted root certificates; required for https.
    pub tls: Option<ClientConfig>,
    /// The `User-Agent` header of requests.
    pub user_agent: &'static str,
}

/// A provider. Its discovery document and its keys are cached.
#[derive(Debug)]
pub struct Provider {
    options: ProviderOptions,
    issuer_url: IssuerUrl,
    http: HttpClient,
    discovery: Mutex<Discovery>,
}

#[derive(Debug, Default)]
struct Discovery {
    found: Option<(CoreProviderMetadata, Timestamp)>,
    failed_at: Option<Timestamp>,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl Provider {
    /// A client of a provider. It is not asked yet.
    pub fn new(options: ProviderOptions) -> Result<Self, SetupError> {
        let http = HttpClient::new(&options.issuer, options.tls.clone(), options.user_agent)?;
        let issuer_url = IssuerUrl::new(options.issuer.to_string()).map_err(SetupError::Issuer)?;
        Ok(Self { options, issuer_url, http, discovery: Mutex::default() })
    }

    /// Where the browser goes to sign in.
    pub async fn authorization_url(
        &self,
        redirect_uri: &str,
        state: &str,
        attempt: &Attempt,
    ) -> Result<String, Error> {
        let client = self.client(self.discover(attempt.started_at).await?, redirect_uri)?;
        let (state, nonce) = (CsrfToken::new(state.to_owned()), Nonce::new(attempt.nonce.clone()));
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let mut request = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, move || state, move || nonce)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        for scope in self.options.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if attempt.login == Login::Again {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        let (url, ..) = request.url();
        if self.options.issuer.may_use(&url) {
            Ok(url.into())
        } else {
            Err(Error::Misconfigured(HttpError::Insecure.into()))
        }
    }

    /// Who the person is whom the provider has sent back.
    pub async fn identity(
        &self,
        redirect_uri: &str,
        answer: &Answer,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<Identity, Error> {
        if !answer.issuer.is_empty() && answer.issuer != self.options.issuer.as_str() {
            return Err(Error::NotAccepted("the browser comes from another issuer".into()));
        }
        if !answer.error.is_empty() {
            return Err(failure::of_authorization(&answer.error));
        }
        let client = self.client(self.discover(now).await?, redirect_uri)?;
        let request = client
            .exchange_code(AuthorizationCode::new(answer.code.clone()))
            .map_err(|error| Error::Misconfigured(error.into()))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        let response = request.request_async(&self.http).await.map_err(of_exchange)?;
        let token = response.id_token();
        let token = token.ok_or_else(|| Error::NotAccepted("the response has no ID token".into()))?;
        let (subject, mut claims) = self.verify(token, attempt, now).await?;
        if self.is_incomplete(&claims) && client.user_info_url().is_some() {
            let access = response.access_token().clone();
            claims.complete(self.user_info(&client, access, &subject).await?);
        }
        Ok(Identity { issuer: self.options.issuer.clone(), subject, claims })
    }

    /// Verifies a token; with new keys, if it is signed with an unknown one.
    async fn verify(
        &self,
        token: &CoreIdToken,
        attempt: &Attempt,
        now: Timestamp,
    ) -> Result<(String, Claims), Error> {
        let expected = |metadata: &CoreProviderMetadata| Expected {
            issuer: self.issuer_url.clone(),
            client_id: ClientId::new(self.options.client_id.clone()),
            keys: metadata.jwks().clone(),
        };
        let known = self.discover(now).await?;
        match token::verify(token, expected(&known), attempt, now) {
            Err(TokenError::UnknownKey) => {}
            Err(TokenError::Other(error)) => return Err(error),
            Ok(verified) => return Ok(verified),
        }
        let fresh = self.refresh(&mut *self.discovery.lock().await, now).await?;
        token::verify(token, expected(&fresh), attempt, now).map_err(|error| match error {
            TokenError::UnknownKey => Error::NotAccepted(
                "the ID token is signed with a key that the provider does not publish".into(),
            ),
            TokenError::Other(error) => error,
        })
    }

    fn is_incomplete(&self, claims: &Claims) -> bool {
        let is_unnamed = !NAMES.iter().any(|name| claims.has(name));
        is_unnamed || self.options.claims.iter().any(|name| !claims.has(name))
    }

    /// The claims of the userinfo endpoint, which must be those of the same person.
    async fn user_info(
        &self,
        client: &Client,
        access: AccessToken,
        subject: &str,
    ) -> Result<Map<String, Value>, Error> {
        let subject = SubjectIdentifier::new(subject.to_owned());
        let request =
            client.user_info(access, Some(subject)).map_err(|error| Error::Misconfigured(error.into()))?;
        let claims: UserInfoClaims<AnyClaims, CoreGenderClaim> =
            request.request_async(&self.http).await.map_err(|error| match error {
                UserInfoError::Request(error) => of_http(error),
                error => Error::NotAccepted(error.into()),
            })?;
        match serde_json::to_value(claims) {
            Ok(Value::Object(claims)) => Ok(claims),
            _ => Err(Error::NotAccepted("the userinfo endpoint returns no claims".into())),
        }
    }

    fn client(&self, metadata: CoreProviderMetadata, redirect_uri: &str) -> Result<Client, Error> {
        let redirect =
            RedirectUrl::new(redirect_uri.to_owned()).map_err(|error| Error::Misconfigured(error.into()))?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        // Without a list, it is Basic.
        let is_basic =
            methods.is_none_or(|methods| methods.contains(&CoreClientAuthMethod::ClientSecretBasic));
        let auth_type = if is_basic { AuthType::BasicAuth } else { AuthType::RequestBody };
        let secret = ClientSecret::new(self.options.client_secret.expose().to_owned());
        let id = ClientId::new(self.options.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata, id, Some(secret));
        Ok(client.set_auth_type(auth_type).set_redirect_uri(redirect))
    }

    /// The discovery document and the keys, from the cache if they are not too old.
    async fn discover(&self, now: Timestamp) -> Result<CoreProviderMetadata, Error> {
        // While one request asks, the others wait for its result.
        let mut cache = self.discovery.lock().await;
        match &cache.found {
            Some((metadata, at)) if now < at.plus(DISCOVERY_TTL) => return Ok(metadata.clone()),
            _ => {}
        }
        if cache.failed_at.is_some_and(|at| now < at.plus(FAILURE_TTL)) {
            return Err(Error::Unavailable("it could not be reached a few seconds ago".into()));
        }
        self.refresh(&mut cache, now).await
    }

    async fn refresh(&self, cache: &mut Discovery, now: Timestamp) -> Result<CoreProviderMetadata, Error> {
        match CoreProviderMetadata::discover_async(self.issuer_url.clone(), &self.http).await {
            Ok(metadata) => {
                *cache = Discovery { found: Some((metadata.clone(), now)), failed_at: None };
                Ok(metadata)
            }
            Err(error) => {
                cache.failed_at = Some(now);
                Err(of_discovery(error))
            }
        }
    }
}

/// Claims of any name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AnyClaims(Map<String, Value>);

impl AdditionalClaims for AnyClaims {}

fn of_http(error: HttpError) -> Error {
    match error {
        HttpError::Insecure => Error::Misconfigured(error.into()),
        HttpError::TooLong | HttpError::Malformed(_) => Error::NotAccepted(error.into()),
        HttpError::Request(_) | HttpError::Status(_) => Error::Unavailable(error.into()),
    }
}

fn of_discovery(error: DiscoveryError<HttpError>) -> Error {
    match error {
        DiscoveryError::Request(error) => of_http(error),
        // The URL is wrong, or it is not the name that the provider has for itself.
        error => Error::Misconfigured(error.into()),
    }
}

type ExchangeError =
    RequestTokenError<HttpError, openidconnect::StandardErrorResponse<CoreErrorResponseType>>;

fn of_exchange(error: ExchangeError) -> Error {
    match error {
        RequestTokenError::ServerResponse(response) => {
            let code: Cow<'static, str> = match response.error() {
                // The code was used before, or has expired.
                CoreErrorResponseType::InvalidGrant => {
                    return Error::NotAccepted("the authorization code is not valid any more".into());
                }
                CoreErrorResponseType::Extension(_) => "an error that is not in the standard".into(),
                code => code.as_ref().to_owned().into(),
            };
            Error::Misconfigured(format!("the provider refused to exchange the code: {code}").into())
        }
        RequestTokenError::Request(error) => of_http(error),
        RequestTokenError::Parse(error, _) => Error::NotAccepted(error.into()),
        RequestTokenError::Other(text) => Error::NotAccepted(text.into()),
    }
}
