//! Text tracks of a video: captions, subtitles and others.

use std::time::Duration;

use domain::video::{TextTrackNumber, VideoNumber};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::{CreatedFile, Session};
use crate::failure::Failure;
use crate::file_link::FileLink;
use crate::path::ApiPath;
use crate::wire::TextTrackOut;

const LIST: &str = "/texttracks?fields=uri,type,language,name,active,link&per_page=100&page=";

/// A text track to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewTextTrack<'a> {
    /// `captions`, `subtitles`, `chapters`, `descriptions` or `metadata`.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// A code of `GET /languages?filter=texttracks`.
    pub language: &'a str,
    /// Its name, which the player shows.
    pub name: &'a str,
    /// Whether the player offers it. One of each kind and language can be active.
    pub active: bool,
}

/// A text track of a video.
#[derive(Debug, Clone)]
pub struct TextTrackSummary {
    /// Its number.
    pub number: TextTrackNumber,
    /// Its kind, as in [`NewTextTrack::kind`].
    pub kind: String,
    /// The code of its language.
    pub language: String,
    /// Its name; may be empty.
    pub name: String,
    /// Whether the player offers it.
    pub is_active: bool,
    /// Its link, if it is accepted. Vimeo describes it as the place for reading and, until the file was sent, for sending
    /// the file.
    pub link: Option<FileLink>,
}

impl Session {
    /// `POST /videos/{video}/texttracks`: a text track whose file is sent to the link. Not idempotent: a second call
    /// creates a second text track.
    pub async fn create_text_track(
        &self,
        video: VideoNumber,
        new: &NewTextTrack<'_>,
        timeout: Duration,
    ) -> Result<CreatedFile<TextTrackNumber>, Failure> {
        let path = ApiPath::video(video).then("/texttracks?fields=uri,link");
        let response = self.send(self.request_with(Method::POST, &path, new), timeout).await?;
        self.created_file(&response, |uri| track_of(video, uri))
    }

    /// `GET /videos/{video}/texttracks`. `timeout` applies to each page.
    pub async fn list_text_tracks(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Vec<TextTrackSummary>, Failure> {
        let is_own = |track: &TextTrackSummary| track.number.video == video;
        let parse = |item| self.text_track(item);
        self.list_parsed(&ApiPath::video(video).then(LIST), timeout, parse, is_own).await
    }

    /// `DELETE {track}`. A text track that does not exist counts as deleted.
    pub async fn delete_text_track(&self, track: TextTrackNumber, timeout: Duration) -> Result<(), Failure> {
        self.delete(&ApiPath::text_track(track), timeout).await
    }

    /// An item of a list, if it can be parsed.
    fn text_track(&self, item: Value) -> Option<TextTrackSummary> {
        let track_out: TextTrackOut = serde_json::from_value(item).ok()?;
        Some(TextTrackSummary {
            number: TextTrackNumber::parse_uri(track_out.uri.as_deref()?)?,
            kind: track_out.kind?,
            language: track_out.language?,
            name: track_out.name.unwrap_or_default(),
            is_active: track_out.active == Some(true),
            link: track_out.link.as_ref().and_then(|link| self.accepted_file_link(link)),
        })
    }
}

/// A text track of this video.
fn track_of(video: VideoNumber, uri: &str) -> Option<TextTrackNumber> {
    TextTrackNumber::parse_uri(uri).filter(|track| track.video == video)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_text_track_is_sent_with_its_type() {
        let new = NewTextTrack { kind: "captions", language: "en-US", name: "English", active: true };
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(text, r#"{"type":"captions","language":"en-US","name":"English","active":true}"#);
    }

    #[test]
    fn a_text_track_of_another_video_is_not_accepted() {
        let video = VideoNumber::from_stored(1);
        assert!(track_of(video, "/videos/1/texttracks/2").is_some());
        assert_eq!(track_of(video, "/videos/3/texttracks/2"), None);
        assert_eq!(track_of(video, "/videos/1/pictures/2"), None);
    }
}
