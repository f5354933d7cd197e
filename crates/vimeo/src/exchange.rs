//! One request and its answer: sent to the one origin, read up to a limit, and its troubles sorted.

use std::time::Duration;

use domain::time::Timestamp;
use reqwest::header::{ACCEPT, HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Client;
use crate::path::ApiPath;
use crate::window::Told;
use crate::wire::Refusal;

/// The API version that this crate was written for.
const ACCEPT_VERSION: &str = "application/vnd.vimeo.*+json;version=3.4";
/// No answer that we ask for comes near this; more is not read.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Why Vimeo could not be asked: nothing is known about the credentials. Never says anything of them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// No connection, or it broke, or what came was no HTTP.
    #[error("could not be reached")]
    Unreachable,
    /// No answer in time.
    #[error("did not answer in time")]
    TooSlow,
    /// 429: ask again, not sooner than Vimeo said, if it said.
    #[error("is limiting our requests")]
    Limiting {
        /// When its window ends.
        not_before: Option<Timestamp>,
    },
    /// A status that says nothing of the credentials.
    #[error("answered with status {0}")]
    Status(u16),
    /// A good status with something that is not the documented answer.
    #[error("answered with something that is not its API's answer")]
    NotUnderstood,
}

impl Trouble {
    /// Before when it is useless to ask again, if Vimeo said.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Limiting { not_before } => *not_before,
            Self::Unreachable | Self::TooSlow | Self::Status(_) | Self::NotUnderstood => None,
        }
    }
}

/// An answer that was read to its end.
pub(crate) struct Answer {
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
pub(crate) struct Unanswered {
    pub(crate) trouble: Trouble,
    /// Whether the request certainly never reached anybody.
    pub(crate) is_unsent: bool,
}

/// Sends a request and reads the whole answer, within `timeout`. An answer with 429 is a trouble.
pub(crate) async fn send(request: RequestBuilder, timeout: Duration) -> Result<Answer, Trouble> {
    let answer = ask(request, timeout).await.map_err(|unanswered| unanswered.trouble)?;
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Trouble::Limiting { not_before: answer.window_end() });
    }
    Ok(answer)
}

/// Sends a request and reads the whole answer, whatever it is, within `timeout`.
pub(crate) async fn ask(request: RequestBuilder, timeout: Duration) -> Result<Answer, Unanswered> {
    let sent = request.timeout(timeout).send().await;
    // A connection that could not be opened, to Vimeo or to the proxy, has carried nothing.
    let mut response =
        sent.map_err(|error| Unanswered { trouble: sort(&error), is_unsent: error.is_connect() })?;
    let broken = |trouble| Unanswered { trouble, is_unsent: false };
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(sort(&error)))? {
        if body.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(broken(Trouble::NotUnderstood));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
}

pub(crate) fn sort(error: &reqwest::Error) -> Trouble {
    if error.is_timeout() {
        return Trouble::TooSlow;
    }
    tracing::info!(cause = causes(error), "a request to Vimeo failed");
    Trouble::Unreachable
}

/// Why a request failed, as far as its causes say: the name, the connection, the certificate. The error's own text is
/// left out, because it has the URL in it, which may be an upload link.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Answer {
    /// The body as the JSON that was asked for.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// What Vimeo says was wrong, if it says so in one of its error shapes.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        self.json()
    }

    /// The trouble that a status which was not expected means.
    pub(crate) fn trouble(&self) -> Trouble {
        if self.status.is_success() { Trouble::NotUnderstood } else { Trouble::Status(self.status.as_u16()) }
    }

    /// Whether the challenge says that the token is no good.
    pub(crate) fn challenges_token(&self) -> bool {
        self.headers
            .get(WWW_AUTHENTICATE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("invalid_token"))
    }

    /// What is said of the rate window.
    pub(crate) fn told(&self) -> Told {
        let remaining = self.headers.get("x-ratelimit-remaining").and_then(|value| value.to_str().ok());
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            Told::Refused(self.window_end())
        } else if remaining.is_some_and(|remaining| remaining.trim() == "0") {
            Told::Spent(self.window_end())
        } else {
            Told::Open
        }
    }

    /// When the rate window ends: an ISO 8601 instant with offset; on very old pages a Unix time.
    pub(crate) fn window_end(&self) -> Option<Timestamp> {
        let text = self.headers.get("x-ratelimit-reset")?.to_str().ok()?;
        let instant = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
        let unix = || text.parse::<i64>().ok().map(|seconds| seconds.saturating_mul(1_000_000));
        instant.or_else(unix).map(Timestamp::from_micros)
    }
}
