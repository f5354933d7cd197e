//! Changing a video: its texts, who may see it, its thumbnail.

use std::time::Duration;

use domain::secret::Secret;
use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::videos::is_of;
use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::VideoOut;

/// What of a video is to be changed: all that is `Some`. Texts are as Vimeo wants them.
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
    /// Who may do what.
    pub privacy: PrivacyChange,
    /// What the view `password` asks for.
    pub password: Option<Secret>,
}

/// What of a video's privacy is to be changed: all that is `Some`.
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
    /// Whether it may be put into others' collections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add: Option<bool>,
}

impl PrivacyChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl VideoChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        let Self { name, description, license, locale, content_rating, privacy, password } = self;
        let texts = [name, description, license, locale];
        texts.iter().all(|text| text.is_none())
            && content_rating.is_none()
            && password.is_none()
            && privacy.is_empty()
    }
}

/// A change as Vimeo reads it: nested, for keys with dots are passed over without a word.
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
    /// Seconds from the beginning.
    time: f64,
    active: bool,
}

impl Session {
    /// `PATCH /videos/{video}`. An empty change asks nothing.
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
        let answer = self.send_with_password(request, change.password.as_ref(), timeout).await?;
        let is_done = answer.status == StatusCode::NO_CONTENT
            || answer.json::<VideoOut>().is_some_and(|shown| is_of(&shown, video));
        if is_done { Ok(()) } else { Err(unexpected_response()) }
    }

    /// `POST /videos/{video}/pictures`: makes the frame at `moment` the thumbnail. Twice makes two, of which the second is
    /// shown.
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
