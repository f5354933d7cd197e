//! Updates a video's metadata, privacy and thumbnail.

use std::time::Duration;

use domain::secret::Secret;
use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::videos::is_about;
use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::VideoOut;

/// Changes to a video. `None` leaves a value unchanged.
#[derive(Debug, Clone, Default)]
pub struct VideoChange {
    /// At most 128 characters.
    pub name: Option<String>,
    /// At most 5000 characters.
    pub description: Option<String>,
    /// A code of `GET /creativecommons`.
    pub license: Option<String>,
    /// A code of `GET /languages`.
    pub locale: Option<String>,
    /// Codes of `GET /contentratings`, at least one.
    pub content_rating: Option<Vec<String>>,
    /// Privacy settings.
    pub privacy: PrivacyChange,
    /// The password for the view `password`.
    pub password: Option<Secret>,
}

/// Changes to a video's privacy. `None` leaves a value unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PrivacyChange {
    /// `anybody`, `nobody`, `password`, `unlisted` or `disable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
    /// `private`, `public` or `whitelist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed: Option<String>,
    /// `anybody`, `contacts` or `nobody`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
    /// Whether it may be downloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<bool>,
    /// Whether others may add it to their collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<bool>,
}

impl PrivacyChange {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl VideoChange {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        let Self { name, description, license, locale, content_rating, privacy, password } = self;
        let texts = [name, description, license, locale];
        texts.iter().all(|text| text.is_none())
            && content_rating.is_none()
            && password.is_none()
            && privacy.is_empty()
    }
}

/// The request body. Nested, because Vimeo silently ignores keys with dots.
#[derive(Serialize)]
struct ChangeIn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_rating: &'a Option<Vec<String>>,
    #[serde(skip_serializing_if = "PrivacyChange::is_empty")]
    privacy: &'a PrivacyChange,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

#[derive(Serialize)]
struct ThumbnailIn {
    /// Position in the video, in seconds.
    time: f64,
    active: bool,
}

impl Session {
    /// `PATCH /videos/{video}`. An empty change sends no request.
    pub async fn change_video(
        &self,
        video: VideoNumber,
        change: &VideoChange,
        timeout: Duration,
    ) -> Result<(), Failure> {
        if change.is_empty() {
            return Ok(());
        }
        let body = ChangeIn {
            name: &change.name,
            description: &change.description,
            license: &change.license,
            locale: &change.locale,
            content_rating: &change.content_rating,
            privacy: &change.privacy,
            password: change.password.as_ref().map(Secret::expose),
        };
        let path = ApiPath::video(video).then("?fields=uri");
        let request = self.request_with(Method::PATCH, &path, &body);
        let response = self.send_with_password(request, change.password.as_ref(), timeout).await?;
        let is_done = response.status == StatusCode::NO_CONTENT
            || response.json::<VideoOut>().is_some_and(|video_out| is_about(&video_out, video));
        if is_done { Ok(()) } else { Err(unexpected_response()) }
    }

    /// `POST /videos/{video}/pictures`: creates a thumbnail from the frame at `moment` and makes it active. Not
    /// idempotent: a second call creates a second picture.
    pub async fn set_thumbnail(
        &self,
        video: VideoNumber,
        moment: Duration,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::video(video).then("/pictures?fields=uri");
        let body = ThumbnailIn { time: moment.as_secs_f64(), active: true };
        self.execute(self.request_with(Method::POST, &path, &body), timeout).await
    }
}
