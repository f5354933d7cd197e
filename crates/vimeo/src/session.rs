//! One customer's token, and the calls that are made with it.

mod changes;
mod folders;
mod pages;
mod privacy;
mod videos;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::connection::AccessToken;
use domain::secret::Secret;
use domain::time::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::Client;
use crate::failure::{self, Failure};
use crate::http::{self, ApiResponse, TransportError};
use crate::path::ApiPath;
use crate::rate_limit::RateLimit;
use crate::redact::Redactor;

pub use changes::{PrivacyChange, VideoChange};
pub use videos::{
    NewPlaceholder, Placeholder, PlaceholderView, TranscodeStatus, UploadStatus, VideoPage, VideoState,
    VideoSummary,
};

/// So much room that no body of ours outgrows it and leaves a copy behind: a description of 5000 characters is the
/// longest part.
const BODY_CAPACITY: usize = 64 * 1024;

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks this.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Calls on behalf of one token, and what Vimeo said of its rate window. While that is closed, every call answers
/// [`Failure::RetryLater`] without asking.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    token: AccessToken,
    rate_limit: Arc<RateLimit>,
}

impl Client {
    /// Calls with this token. `window` is that of its connection, shared by all who use it.
    pub fn session(&self, token: AccessToken, rate_limit: Arc<RateLimit>) -> Session {
        Session { client: self.clone(), token, rate_limit }
    }
}

impl Session {
    /// Takes out of Vimeo's words what a request carried.
    fn redactor(&self, password: Option<&Secret>) -> Redactor {
        Redactor::new(self.token.expose(), password.as_slice())
    }

    fn request(&self, method: Method, path: &ApiPath) -> RequestBuilder {
        self.client.request_built(method, path).bearer_auth(self.token.expose())
    }

    fn request_with(&self, method: Method, path: &ApiPath, body: &impl Serialize) -> RequestBuilder {
        let mut written = Zeroizing::new(Vec::with_capacity(BODY_CAPACITY));
        // Texts, numbers and truths can always be written; Vimeo would refuse the half of a body.
        let _ = serde_json::to_writer(&mut *written, body);
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        request.body(Bytes::from_owner(written))
    }

    /// Sends a request; an answer that is no success is a failure. Which success it is, the caller judges.
    async fn send(&self, request: RequestBuilder, timeout: Duration) -> Result<ApiResponse, Failure> {
        self.send_with_password(request, None, timeout).await
    }

    /// The same with a request that carries a video's password.
    async fn send_with_password(
        &self,
        request: RequestBuilder,
        password: Option<&Secret>,
        timeout: Duration,
    ) -> Result<ApiResponse, Failure> {
        let clock = &self.client.clock;
        if let Some(until) = self.rate_limit.blocked_until(clock.now()) {
            return Err(limited(Some(until)));
        }
        let answer = http::send(request, timeout).await.map_err(|failure| {
            let error = failure.error;
            if failure.is_unsent {
                Failure::RetryLater { not_before: None, error }
            } else {
                Failure::Unknown(error)
            }
        })?;
        let now = clock.now();
        self.rate_limit.update(answer.rate_limit_update(), now);
        if answer.status.is_success() {
            Ok(answer)
        } else if answer.status == StatusCode::TOO_MANY_REQUESTS {
            Err(limited(self.rate_limit.blocked_until(now)))
        } else {
            Err(failure::classify(&answer, &self.redactor(password)))
        }
    }

    /// The same for a call that has nothing to tell when it is done: there is no body, or some JSON that nobody needs. A
    /// page for people is neither.
    async fn execute(&self, request: RequestBuilder, timeout: Duration) -> Result<(), Failure> {
        let answer = self.send(request, timeout).await?;
        let is_json = || answer.json::<serde_json::Map<String, serde_json::Value>>().is_some();
        if answer.status == StatusCode::NO_CONTENT || is_json() { Ok(()) } else { Err(unexpected_response()) }
    }
}

fn limited(not_before: Option<Timestamp>) -> Failure {
    Failure::RetryLater { not_before, error: TransportError::RateLimited { not_before } }
}

fn unexpected_response() -> Failure {
    Failure::Unknown(TransportError::UnexpectedResponse)
}
