//! Sends a request to the API and reads the response, up to a size limit.

use std::time::{Duration, Instant};

use domain::time::Timestamp;
use metrics::{VimeoEndpoint, VimeoOutcome};
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tracing::Instrument as _;
use tracing::field::Empty;
use zeroize::Zeroizing;

use crate::Client;
use crate::path::ApiPath;
use crate::rate_limit::RateLimitUpdate;
use crate::wire::ErrorBody;

/// The API version that this crate supports.
const ACCEPT_VERSION: &str = "application/vnd.vimeo.*+json;version=3.4";
/// Far more than any expected response. A larger one is rejected.
const RESPONSE_MAX_BYTES: usize = 1024 * 1024;

/// Vimeo gave no usable response. Says nothing about the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// No connection, a broken connection, or a response that is not HTTP.
    #[error("could not be reached")]
    Unreachable,
    /// No response in time.
    #[error("did not answer in time")]
    Timeout,
    /// 429.
    #[error("is limiting our requests")]
    RateLimited {
        /// When the rate limit resets, if Vimeo said so.
        not_before: Option<Timestamp>,
    },
    /// A status that says nothing about the credentials.
    #[error("answered with status {0}")]
    Status(u16),
    /// A success status with an undocumented body.
    #[error("returned an unexpected response")]
    UnexpectedResponse,
}

impl TransportError {
    /// The earliest useful time for a retry, if Vimeo gave one.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { not_before } => *not_before,
            Self::Unreachable | Self::Timeout | Self::Status(_) | Self::UnexpectedResponse => None,
        }
    }
}

/// A response whose body has been read completely.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl Client {
    /// A request to a fixed API path.
    pub(crate) fn request(&self, method: Method, path: &'static str) -> RequestBuilder {
        self.request_built(method, &ApiPath::fixed(path))
    }

    /// A request to a path built by this crate.
    pub(crate) fn request_built(&self, method: Method, path: &ApiPath) -> RequestBuilder {
        self.http.request(method, self.base_url.join(path)).header(ACCEPT, ACCEPT_VERSION)
    }
}

/// Why there is no response.
pub(crate) struct SendFailure {
    pub(crate) error: TransportError,
    /// Whether the request was certainly not sent.
    pub(crate) is_unsent: bool,
}

/// Like [`send`], but 429 is an error.
pub(crate) async fn send_checked(
    request: RequestBuilder,
    timeout: Duration,
) -> Result<ApiResponse, TransportError> {
    let answer = send(request, timeout).await.map_err(|failure| failure.error)?;
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(TransportError::RateLimited { not_before: answer.rate_limit_reset() });
    }
    Ok(answer)
}

/// Sends a request and reads the whole response, whatever its status, within `timeout`. A call that is dropped is not
/// recorded in metrics.
pub(crate) async fn send(request: RequestBuilder, timeout: Duration) -> Result<ApiResponse, SendFailure> {
    let started = Instant::now();
    let span = tracing::debug_span!(target: "otlp", "vimeo.request", otel.kind = "client", outcome = Empty);
    let result = send_unrecorded(request, timeout).instrument(span.clone()).await;
    let outcome = match &result {
        Ok(response) => VimeoOutcome::of_status(response.status.as_u16()),
        Err(failure) => failed_outcome(&failure.error),
    };
    span.record("outcome", outcome.as_str());
    metrics::record_vimeo_request(VimeoEndpoint::Api, outcome);
    metrics::record_vimeo_duration(started.elapsed());
    if let Some((remaining, limit)) = result.as_ref().ok().and_then(ApiResponse::rate_limit_left) {
        metrics::record_rate_limit(remaining, limit);
    }
    result
}

/// The outcome of a request without a response.
pub(crate) fn failed_outcome(error: &TransportError) -> VimeoOutcome {
    match error {
        TransportError::Timeout => VimeoOutcome::Timeout,
        TransportError::RateLimited { .. } => VimeoOutcome::RateLimited,
        TransportError::Status(status) => VimeoOutcome::of_status(*status),
        TransportError::Unreachable | TransportError::UnexpectedResponse => VimeoOutcome::Unreachable,
    }
}

async fn send_unrecorded(request: RequestBuilder, timeout: Duration) -> Result<ApiResponse, SendFailure> {
    let sent = request.timeout(timeout).send().await;
    // A connection that could not be opened, to Vimeo or to the proxy, has carried no data.
    let mut response =
        sent.map_err(|error| SendFailure { error: classify(&error), is_unsent: error.is_connect() })?;
    let broken = |error| SendFailure { error, is_unsent: false };
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(classify(&error)))? {
        if body.len() + chunk.len() > RESPONSE_MAX_BYTES {
            return Err(broken(TransportError::UnexpectedResponse));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(ApiResponse { status: response.status(), headers: response.headers().clone(), body })
}

pub(crate) fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::Timeout;
    }
    tracing::info!(cause = causes(error), "a request to Vimeo failed");
    TransportError::Unreachable
}

/// The chain of causes of a failed request: DNS, connection, certificate. The error's own text is left out: it contains
/// the URL, which may be an upload link.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl ApiResponse {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The body as one of Vimeo's error formats.
    pub(crate) fn error_body(&self) -> Option<ErrorBody> {
        self.json()
    }

    /// The error for an unexpected status.
    pub(crate) fn error(&self) -> TransportError {
        if self.status.is_success() {
            TransportError::UnexpectedResponse
        } else {
            TransportError::Status(self.status.as_u16())
        }
    }

    /// Whether `WWW-Authenticate` says that the token is invalid.
    pub(crate) fn challenges_token(&self) -> bool {
        self.headers
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("invalid_token"))
    }

    /// The state of the rate limit according to the response headers.
    pub(crate) fn rate_limit_update(&self) -> RateLimitUpdate {
        let remaining = self.headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            RateLimitUpdate::Rejected(self.rate_limit_reset())
        } else if remaining.is_some_and(|remaining| remaining.trim() == "0") {
            RateLimitUpdate::Exhausted(self.rate_limit_reset())
        } else {
            RateLimitUpdate::Open
        }
    }

    /// The requests that are left of the token's rate limit, and that limit, if Vimeo reports both.
    fn rate_limit_left(&self) -> Option<(u32, u32)> {
        let number = |name| self.headers.get(name)?.to_str().ok()?.trim().parse().ok();
        Some((number("x-ratelimit-remaining")?, number("x-ratelimit-limit")?))
    }

    /// When the rate limit resets: an ISO 8601 time with offset, or Unix time on some old endpoints.
    pub(crate) fn rate_limit_reset(&self) -> Option<Timestamp> {
        let text = self.headers.get("x-ratelimit-reset")?.to_str().ok()?;
        let instant = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
        let unix = || text.parse::<i64>().ok().map(|seconds| seconds.saturating_mul(1_000_000));
        instant.or_else(unix).map(Timestamp::from_micros)
    }
}
