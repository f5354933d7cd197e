//! Requests to the provider: no redirects, no proxies, a limit for time and for size.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::StatusCode;
use rustls::ClientConfig;
use thiserror::Error;
use url::Url;

use crate::issuer::Issuer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(8);
/// Limit for a response, in bytes.
const RESPONSE_MAX: usize = 1024 * 1024;

/// The client cannot be created. The messages are for operators.
#[derive(Debug, Error)]
pub enum SetupError {
    /// https without root certificates.
    #[error(
        "no root certificates found to verify the identity provider: install the system's (on Debian `apt install \
         ca-certificates`), or set ca_file"
    )]
    NoRoots,
    /// The library refuses the settings.
    #[error("the HTTP client for the identity provider cannot be created")]
    Client(#[source] reqwest::Error),
    /// The library refuses the issuer.
    #[error("the issuer is not a URL")]
    Issuer(#[source] url::ParseError),
}

/// Why there is no response.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the provider answered {0}")]
    Status(StatusCode),
    #[error("the response is longer than {RESPONSE_MAX} bytes")]
    TooLong,
    #[error("the provider names an endpoint that is not https")]
    Insecure,
    #[error("the request or its response is malformed")]
    Malformed(#[source] openidconnect::http::Error),
}

/// The client.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    http: reqwest::Client,
    issuer: Issuer,
}

impl HttpClient {
    pub(crate) fn new(
        issuer: &Issuer,
        tls: Option<ClientConfig>,
        user_agent: &'static str,
    ) -> Result<Self, SetupError> {
        if issuer.is_https() && tls.is_none() {
            return Err(SetupError::NoRoots);
        }
        let builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .https_only(issuer.is_https())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        // By default, reqwest takes root certificates from wherever the environment points.
        let builder = match tls {
            Some(tls) => builder.tls_backend_preconfigured(tls),
            None => builder.tls_certs_only([]),
        };
        Ok(Self { http: builder.build().map_err(SetupError::Client)?, issuer: issuer.clone() })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url = Url::parse(&request.uri().to_string()).ok();
        if !url.is_some_and(|url| self.issuer.may_use(&url)) {
            return Err(HttpError::Insecure);
        }
        let mut response = self.http.execute(request.try_into()?).await?;
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(HttpError::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > RESPONSE_MAX {
                return Err(HttpError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        let mut answer = openidconnect::http::Response::builder().status(status);
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        answer.body(body).map_err(HttpError::Malformed)
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
