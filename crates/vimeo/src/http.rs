//! One request and its answer: sent to the one origin, read up to a limit, and its errors sorted.

use std::time::Duration;

use domain::time::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Client;
use crate::path::ApiPath;
use crate::rate_limit::RateLimitUpdate;
use crate::wire::ErrorBody;

/// The API version that this crate was written for.
const ACCEPT_VERSION: &str = "application/vnd.vimeo.*+json;version=3.4";
/// No answer that we ask for comes near this; more is not read.
const RESPONSE_MAX_BYTES: usize = 1024 * 1024;

/// Why Vimeo could not be asked: nothing is known about the credentials. Never says anything of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportError {
    /// No connection, or it broke, or what came was no HTTP.
    #[error("could not be reached")]
    Unreachable,
    /// No answer in time.
    #[error("did not answer in time")]
    Timeout,
    /// 429: ask again, not sooner than Vimeo said, if it said.
    #[error("is limiting our requests")]
    RateLimited {
        /// When its window ends.
        not_before: Option<Timestamp>,
    },
    /// A status that says nothing of the credentials.
    #[error("answered with status {0}")]
    Status(u16),
    /// A good status with something that is not the documented answer.
    #[error("answered with something that is not its API's answer")]
    UnexpectedResponse,
}

impl TransportError {
    /// Before when it is useless to ask again, if Vimeo said.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::RateLimited { not_before } => *not_before,
            Self::Unreachable | Self::Timeout | Self::Status(_) | Self::UnexpectedResponse => None,
        }
    }
}

/// An answer that was read to its end.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
}

impl Client {
    /// A request to one of the paths that this crate knows.
    pub(crate) fn request(&self, method: Method, path: &'static str) -> RequestBuilder {
        self.request_built(method, &ApiPath::fixed(path))
    }

    /// A request to a path that this crate made.
    pub(crate) fn request_built(&self, method: Method, path: &ApiPath) -> RequestBuilder {
        self.http.request(method, self.base_url.join(path)).header(ACCEPT, ACCEPT_VERSION)
    }
}

/// Why there is no answer.
pub(crate) struct SendFailure {
    pub(crate) error: TransportError,
    /// Whether the request certainly never reached anybody.
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

/// Sends a request and reads the whole answer, whatever it is, within `timeout`.
pub(crate) async fn send(request: RequestBuilder, timeout: Duration) -> Result<ApiResponse, SendFailure> {
    let sent = request.timeout(timeout).send().await;
    // A connection that could not be opened, to Vimeo or to the proxy, has carried nothing.
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

/// Why a request failed, as far as its causes say: the name, the connection, the certificate. The error's own text is
/// left out, because it has the URL in it, which may be an upload link.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl ApiResponse {
    /// The body as the JSON that was asked for.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What Vimeo says was wrong, if it says so in one of its error shapes.
    pub(crate) fn error_body(&self) -> Option<ErrorBody> {
        self.json()
    }

    /// The error that a status which was not expected means.
    pub(crate) fn error(&self) -> TransportError {
        if self.status.is_success() {
            TransportError::UnexpectedResponse
        } else {
            TransportError::Status(self.status.as_u16())
        }
    }

    /// Whether the challenge says that the token is no good.
    pub(crate) fn challenges_token(&self) -> bool {
        self.headers
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("invalid_token"))
    }

    /// What is said of the rate window.
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

    /// When the rate window ends: an ISO 8601 instant with offset; on very old pages a Unix time.
    pub(crate) fn rate_limit_reset(&self) -> Option<Timestamp> {
        let text = self.headers.get("x-ratelimit-reset")?.to_str().ok()?;
        let instant = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
        let unix = || text.parse::<i64>().ok().map(|seconds| seconds.saturating_mul(1_000_000));
        instant.or_else(unix).map(Timestamp::from_micros)
    }
}
