//! The pictures of a video: its thumbnails. One of them is active.

use std::time::Duration;

use domain::video::{PictureNumber, VideoNumber};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::{CreatedFile, Session, created, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::{NamedOut, PictureOut};

const LIST: &str = "/pictures?fields=uri,active,default_picture&per_page=100&page=";

/// A picture of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureSummary {
    /// Its number.
    pub number: PictureNumber,
    /// Whether it is the video's thumbnail. A new one may not be until Vimeo has processed it.
    pub is_active: bool,
    /// Whether Vimeo made it for a video without pictures.
    pub is_default: bool,
}

/// A picture whose file is sent later.
#[derive(Serialize)]
struct PictureIn {}

/// A picture from a frame of the video.
#[derive(Serialize)]
struct FrameIn {
    /// Position in the video, in seconds.
    time: f64,
    active: bool,
}

impl Session {
    /// `POST /videos/{video}/pictures`: an inactive picture whose file is sent to the link. Not idempotent: a second call
    /// creates a second picture.
    pub async fn create_picture(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<CreatedFile<PictureNumber>, Failure> {
        let path = ApiPath::video(video).then("/pictures?fields=uri,link");
        let response = self.send(self.request_with(Method::POST, &path, &PictureIn {}), timeout).await?;
        self.created_file(&response, |uri| picture_of(video, uri))
    }

    /// `POST /videos/{video}/pictures`: an active picture from the frame at `moment`. Not idempotent: a second call creates
    /// a second picture.
    pub async fn create_picture_at(
        &self,
        video: VideoNumber,
        moment: Duration,
        timeout: Duration,
    ) -> Result<PictureNumber, Failure> {
        let path = ApiPath::video(video).then("/pictures?fields=uri");
        let body = FrameIn { time: moment.as_secs_f64(), active: true };
        let response = self.send(self.request_with(Method::POST, &path, &body), timeout).await?;
        let picture = created::<NamedOut>(&response).and_then(|picture| picture_of(video, &picture.uri?));
        picture.ok_or_else(unexpected_response)
    }

    /// `GET /videos/{video}/pictures`. `timeout` applies to each page.
    pub async fn list_pictures(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Vec<PictureSummary>, Failure> {
        let is_own = |picture: &PictureSummary| picture.number.video == video;
        self.list_parsed(&ApiPath::video(video).then(LIST), timeout, summary, is_own).await
    }

    /// `PATCH {picture}`: makes it the video's thumbnail.
    pub async fn activate_picture(&self, picture: PictureNumber, timeout: Duration) -> Result<(), Failure> {
        let is_own = |uri: &str| PictureNumber::parse_uri(uri) == Some(picture);
        self.activate(ApiPath::picture(picture), is_own, timeout).await
    }

    /// `DELETE {picture}`. A picture that does not exist counts as deleted.
    pub async fn delete_picture(&self, picture: PictureNumber, timeout: Duration) -> Result<(), Failure> {
        self.delete(&ApiPath::picture(picture), timeout).await
    }
}

/// A picture of this video.
fn picture_of(video: VideoNumber, uri: &str) -> Option<PictureNumber> {
    PictureNumber::parse_uri(uri).filter(|picture| picture.video == video)
}

/// An item of a list, if it can be parsed.
fn summary(item: Value) -> Option<PictureSummary> {
    let picture_out: PictureOut = serde_json::from_value(item).ok()?;
    Some(PictureSummary {
        number: PictureNumber::parse_uri(picture_out.uri.as_deref()?)?,
        is_active: picture_out.active == Some(true),
        is_default: picture_out.default_picture == Some(true),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picture_is_parsed_from_a_list() {
        let picture = summary(json!({ "uri": "/videos/1/pictures/2", "active": true })).unwrap();
        assert_eq!(picture.number.to_string(), "/videos/1/pictures/2");
        assert_eq!((picture.is_active, picture.is_default), (true, false));
        let picture =
            summary(json!({ "uri": "/videos/1/pictures/2", "active": null, "default_picture": true }));
        assert_eq!(picture.map(|picture| (picture.is_active, picture.is_default)), Some((false, true)));
        for bad in [json!({ "uri": null, "active": true }), json!({ "uri": "/videos/1" }), json!(1)] {
            assert_eq!(summary(bad), None);
        }
    }

    #[test]
    fn a_picture_of_another_video_is_not_accepted() {
        let video = VideoNumber::from_stored(1);
        assert!(picture_of(video, "/videos/1/pictures/2").is_some());
        assert_eq!(picture_of(video, "/videos/3/pictures/2"), None);
    }
}
