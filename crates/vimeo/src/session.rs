//! API calls with one customer's token.

mod changes;
mod chapters;
mod folders;
mod lists;
mod owners;
mod pages;
mod pictures;
mod presets;
mod privacy;
mod showcases;
mod tags;
mod text_tracks;
mod versions;
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
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::Client;
use crate::failure::{self, Failure};
use crate::file_link::FileLink;
use crate::http::{self, ApiResponse, TransportError};
use crate::path::ApiPath;
use crate::rate_limit::RateLimit;
use crate::redact::Redactor;
use crate::wire::{CreatedFileOut, NamedOut};

pub use changes::{PrivacyChange, VideoChange};
pub use chapters::ChapterSummary;
pub use owners::VideoOwnership;
pub use pictures::PictureSummary;
pub use text_tracks::{NewTextTrack, TextTrackSummary};
pub use versions::{Version, VersionState, VersionSummary};
pub use videos::{
    NewPlaceholder, Placeholder, PlaceholderView, TranscodeStatus, UploadStatus, VideoPage, VideoState,
    VideoSummary,
};

/// Large enough that a request body never reallocates, which would leave a copy behind. Its longest part is a
/// description of 5000 characters.
const BODY_CAPACITY: usize = 64 * 1024;

/// Returns the current time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that calls `now`.
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

/// API calls with one token. While its rate limit is exhausted, every call returns [`Failure::RetryLater`] without
/// sending a request.
#[derive(Debug, Clone)]
pub struct Session {
    client: Client,
    token: AccessToken,
    rate_limit: Arc<RateLimit>,
}

impl Client {
    /// A session for this token. `rate_limit` belongs to its connection and is shared by all users of it.
    pub fn session(&self, token: AccessToken, rate_limit: Arc<RateLimit>) -> Session {
        Session { client: self.clone(), token, rate_limit }
    }
}

impl Session {
    /// Removes from Vimeo's messages the secrets that a request contained.
    pub(crate) fn redactor(&self, password: Option<&Secret>) -> Redactor {
        Redactor::new(self.token.expose(), password.as_slice())
    }

    pub(crate) fn request(&self, method: Method, path: &ApiPath) -> RequestBuilder {
        self.client.request_built(method, path).bearer_auth(self.token.expose())
    }

    fn request_with(&self, method: Method, path: &ApiPath, body: &impl Serialize) -> RequestBuilder {
        let mut written = Zeroizing::new(Vec::with_capacity(BODY_CAPACITY));
        // Serialising strings, numbers and booleans does not fail, and Vimeo rejects an incomplete body.
        let _ = serde_json::to_writer(&mut *written, body);
        let request = self.request(method, path).header(CONTENT_TYPE, "application/json");
        request.body(Bytes::from_owner(written))
    }

    /// Sends a request. A status other than 2xx is a failure; the caller checks which success it is.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<ApiResponse, Failure> {
        self.send_with_password(request, None, timeout).await
    }

    /// Like [`Self::send`], for a request that contains a video's password.
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
        let response = http::send(request, timeout).await.map_err(|failure| {
            let error = failure.error;
            if failure.is_unsent {
                Failure::RetryLater { not_before: None, error }
            } else {
                Failure::Unknown(error)
            }
        })?;
        let now = clock.now();
        self.rate_limit.update(response.rate_limit_update(), now);
        if response.status.is_success() {
            Ok(response)
        } else if response.status == StatusCode::TOO_MANY_REQUESTS {
            Err(limited(self.rate_limit.blocked_until(now)))
        } else {
            Err(failure::classify(&response, &self.redactor(password)))
        }
    }

    /// Like [`Self::send`], for calls without a result: the response has no body, or an irrelevant JSON object. An HTML
    /// page is an error.
    async fn execute(&self, request: RequestBuilder, timeout: Duration) -> Result<(), Failure> {
        let response = self.send(request, timeout).await?;
        let is_json = || response.json::<serde_json::Map<String, serde_json::Value>>().is_some();
        if response.status == StatusCode::NO_CONTENT || is_json() {
            Ok(())
        } else {
            Err(unexpected_response())
        }
    }
}

/// A text track or a picture that was created, and where its file is sent.
#[derive(Debug, Clone)]
pub struct CreatedFile<N> {
    /// Its number.
    pub number: N,
    /// Where its file is sent with [`Client::put_file`].
    pub link: FileLink,
}

impl Session {
    /// What was created, if the response names it by a URI that `parse` accepts, and a link that is accepted.
    fn created_file<N>(
        &self,
        response: &ApiResponse,
        parse: impl Fn(&str) -> Option<N>,
    ) -> Result<CreatedFile<N>, Failure> {
        let created = created::<CreatedFileOut>(response).and_then(|created_out| {
            let number = parse(created_out.uri.as_deref()?)?;
            Some(CreatedFile { number, link: self.accepted_file_link(created_out.link.as_ref()?)? })
        });
        if created.is_none() {
            tracing::warn!("Vimeo's response to the creation of a file has no number or no accepted link");
        }
        created.ok_or_else(unexpected_response)
    }

    /// The link for a file in a response, if it is accepted.
    fn accepted_file_link(&self, link: &Secret) -> Option<FileLink> {
        FileLink::parse(link.expose(), &self.client.link_rules).ok()
    }

    /// Like [`Self::execute`], for deletions: what does not exist counts as deleted.
    async fn delete(&self, path: &ApiPath, timeout: Duration) -> Result<(), Failure> {
        match self.execute(self.request(Method::DELETE, path), timeout).await {
            Err(Failure::NotFound) => Ok(()),
            done => done,
        }
    }

    /// `PATCH` with `{"active": true}`. `is_own` checks the URI in the response.
    async fn activate(
        &self,
        path: ApiPath,
        is_own: impl Fn(&str) -> bool,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let body = ActiveIn { active: true };
        let request = self.request_with(Method::PATCH, &path.then("?fields=uri"), &body);
        let response = self.send(request, timeout).await?;
        let is_done = response.status == StatusCode::NO_CONTENT
            || response.json::<NamedOut>().is_some_and(|named| named.uri.is_some_and(|uri| is_own(&uri)));
        if is_done { Ok(()) } else { Err(unexpected_response()) }
    }
}

#[derive(Serialize)]
struct ActiveIn {
    active: bool,
}

/// The body of a response to a creation. Vimeo's description says 201, and some endpoints send 200.
fn created<T: DeserializeOwned>(response: &ApiResponse) -> Option<T> {
    match response.status {
        StatusCode::OK | StatusCode::CREATED => response.json(),
        _ => None,
    }
}

fn limited(not_before: Option<Timestamp>) -> Failure {
    Failure::RetryLater { not_before, error: TransportError::RateLimited { not_before } }
}

fn unexpected_response() -> Failure {
    Failure::Unknown(TransportError::UnexpectedResponse)
}
