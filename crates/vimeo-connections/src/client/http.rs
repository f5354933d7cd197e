//! Sends requests to a service and reads the responses, up to a size limit.

use std::time::Duration;

use domain::api_key::PlainKey;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::error::{ClientError, Refusal};
use super::lines::Lines;
use super::service_url::ServiceUrl;
use crate::wiring::USER_AGENT;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than the service needs to check credentials, or to request a video at Vimeo.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(100);
/// How long an event stream may be silent. The service sends a comment every 4 seconds.
pub(crate) const STREAM_TIMEOUT: Duration = Duration::from_secs(20);
/// Far more than a page of the API.
const RESPONSE_MAX_BYTES: usize = 32 * 1024 * 1024;
const JSON_LINES: &str = "application/x-ndjson";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A client of one service, with one key.
pub(crate) struct ApiClient {
    http: reqwest::Client,
    url: ServiceUrl,
    authorization: HeaderValue,
}

/// A request to the API.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    method: Method,
    segments: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    body: Option<Zeroizing<Vec<u8>>>,
    idempotency_key: Option<&'a str>,
}

/// A response that has been read completely.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    service: String,
}

impl<'a> Call<'a> {
    /// A request to a path below the base path, given by its segments.
    pub(crate) fn new(method: Method, segments: &'a [&'a str]) -> Self {
        Self { method, segments, query: Vec::new(), body: None, idempotency_key: None }
    }

    pub(crate) fn get(segments: &'a [&'a str]) -> Self {
        Self::new(Method::GET, segments)
    }

    /// Adds a parameter, if it has a value.
    pub(crate) fn query(mut self, name: &'static str, value: Option<String>) -> Self {
        self.query.extend(value.map(|value| (name, value)));
        self
    }

    /// JSON.
    pub(crate) fn body(mut self, body: Zeroizing<Vec<u8>>) -> Self {
        self.body = Some(body);
        self
    }

    /// Makes the request safe to repeat.
    pub(crate) fn idempotency_key(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self
    }
}

impl ApiClient {
    /// `tls`: with the trusted root certificates; required for https.
    pub(crate) fn new(
        url: ServiceUrl,
        key: &PlainKey,
        tls: Option<rustls::ClientConfig>,
    ) -> Result<Self, ClientError> {
        if url.is_https() && tls.is_none() {
            return Err(ClientError::NoRoots);
        }
        let builder = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .https_only(url.is_https())
            .connect_timeout(CONNECT_TIMEOUT)
            // For what has no timeout as a whole.
            .read_timeout(REQUEST_TIMEOUT);
        // By default, reqwest takes root certificates from wherever the environment points.
        let builder = match tls {
            Some(tls) => builder.tls_backend_preconfigured(tls),
            None => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Self { http, url, authorization: authorization(key) })
    }

    /// A client of the same service with another key.
    pub(crate) fn with_key(&self, key: &PlainKey) -> Self {
        Self { http: self.http.clone(), url: self.url.clone(), authorization: authorization(key) }
    }

    pub(crate) fn url(&self) -> &ServiceUrl {
        &self.url
    }

    /// Sends a request. An answer without success is an error.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let is_change = call.method != Method::GET;
        let request = self.request(call).timeout(REQUEST_TIMEOUT);
        let answer = self.read(request, is_change).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(answer.into_error()) }
    }

    /// A path outside the base path, without the key; the answer, whatever its status.
    pub(crate) async fn get_outside(&self, path: &str) -> Result<Answer, ClientError> {
        let request = self.http.get(self.url.outside(path)).timeout(REQUEST_TIMEOUT);
        self.read(request, false).await
    }

    /// Opens a stream of events; `None` if there is nothing to come. The caller reads it with a limit.
    pub(crate) async fn open_stream(
        &self,
        segments: &[&str],
        last_event_id: Option<&str>,
    ) -> Result<Option<Response>, ClientError> {
        let mut request = self.request(Call::get(segments));
        if let Some(id) = last_event_id {
            request = request.header(LAST_EVENT_ID, id);
        }
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, request.send()).await;
        let response = match sent {
            Ok(sent) => sent.map_err(|error| self.failed(error, false))?,
            Err(_) => return Err(ClientError::Foreign { service: self.url.to_string(), status: 504 }),
        };
        match response.status() {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => Ok(Some(response)),
            _ => Err(self.read_body(response, false).await?.into_error()),
        }
    }

    /// Opens a response of JSON lines, which may be of any length.
    pub(crate) async fn open_lines(&self, call: Call<'_>) -> Result<Lines, ClientError> {
        let response = self.request(call).send().await.map_err(|error| self.failed(error, false))?;
        let has_lines = response.headers().get(CONTENT_TYPE).is_some_and(|kind| *kind == JSON_LINES);
        if response.status() == StatusCode::OK && has_lines {
            return Ok(Lines::new(response, self.url.to_string()));
        }
        Err(self.read_body(response, false).await?.into_error())
    }

    fn request(&self, call: Call<'_>) -> RequestBuilder {
        let mut request = self.http.request(call.method, self.url.api(call.segments));
        request = request.header(AUTHORIZATION, self.authorization.clone());
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(key) = call.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
        }
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        request
    }

    async fn read(&self, request: RequestBuilder, is_change: bool) -> Result<Answer, ClientError> {
        let response = request.send().await.map_err(|error| self.failed(error, is_change))?;
        self.read_body(response, is_change).await
    }

    async fn read_body(&self, mut response: Response, is_change: bool) -> Result<Answer, ClientError> {
        let service = self.url.to_string();
        if response.status().is_redirection() {
            return Err(ClientError::Redirected { service });
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error, is_change))? {
            if body.len() + chunk.len() > RESPONSE_MAX_BYTES {
                return Err(ClientError::TooLarge { service });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body, service })
    }

    /// A connection that could not be opened has carried no data.
    pub(crate) fn failed(&self, error: reqwest::Error, is_change: bool) -> ClientError {
        let service = self.url.to_string();
        let is_unsent = error.is_connect() || error.is_builder();
        let source = error.without_url();
        if is_change && !is_unsent {
            return ClientError::OutcomeUnknown { service, source };
        }
        ClientError::Unreachable { service, source }
    }
}

fn authorization(key: &PlainKey) -> HeaderValue {
    // A key has visible ASCII only.
    let mut header = HeaderValue::from_str(key.expose()).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|_| self.foreign())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn foreign(&self) -> ClientError {
        ClientError::Foreign { service: self.service.clone(), status: self.status.as_u16() }
    }

    /// The error that it is.
    pub(crate) fn into_error(self) -> ClientError {
        let Ok(refusal) = self.json::<Refusal>() else { return self.foreign() };
        ClientError::Refused(Box::new(Refusal {
            status: self.status.as_u16(),
            request_id: self.header(REQUEST_ID.as_str()).map(str::to_owned),
            retry_after_seconds: self.header(RETRY_AFTER.as_str()).and_then(|value| value.parse().ok()),
            body: String::from_utf8_lossy(&self.body).into_owned(),
            ..refusal
        }))
    }
}
