//! The chapters of a video.

use std::time::Duration;

use domain::video::VideoNumber;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Session, created, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::ChapterOut;

const LIST: &str = "/chapters?fields=uri,title,timecode&per_page=100&page=";

/// A chapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChapterSummary {
    /// Its title.
    pub title: String,
    /// Where it starts, in whole seconds.
    pub timecode: u64,
}

#[derive(Serialize)]
struct ChapterIn<'a> {
    title: &'a str,
    timecode: u64,
}

impl Session {
    /// `POST /videos/{video}/chapters`: a chapter that starts at `timecode_seconds`. Not idempotent: a second call creates
    /// a second chapter.
    pub async fn create_chapter(
        &self,
        video: VideoNumber,
        title: &str,
        timecode_seconds: u64,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::video(video).then("/chapters?fields=uri");
        let body = ChapterIn { title, timecode: timecode_seconds };
        let response = self.send(self.request_with(Method::POST, &path, &body), timeout).await?;
        let created = created::<Map<String, Value>>(&response);
        let is_own = |body: Map<String, Value>| is_of(video, body.get("uri").and_then(Value::as_str));
        if created.is_some_and(is_own) { Ok(()) } else { Err(unexpected_response()) }
    }

    /// `GET /videos/{video}/chapters`. `timeout` applies to each page.
    pub async fn list_chapters(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Vec<ChapterSummary>, Failure> {
        self.list_parsed(&ApiPath::video(video).then(LIST), timeout, summary, |_| true).await
    }
}

/// Whether a response is about a chapter of this video. The form of a chapter's URI is not documented, so only one that
/// names another video is not accepted.
fn is_of(video: VideoNumber, uri: Option<&str>) -> bool {
    let owner = uri.and_then(|uri| uri.split_once("/chapters/"));
    owner.is_none_or(|(owner, _)| owner.is_empty() || VideoNumber::parse_uri(owner) == Some(video))
}

/// An item of a list, if it can be parsed.
fn summary(item: Value) -> Option<ChapterSummary> {
    let chapter_out: ChapterOut = serde_json::from_value(item).ok()?;
    let timecode = Duration::try_from_secs_f64(chapter_out.timecode?).ok()?.as_secs();
    Some(ChapterSummary { title: chapter_out.title?, timecode })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chapter_starts_at_a_whole_second() {
        let chapter = |timecode| ChapterSummary { title: "Intro".to_owned(), timecode };
        for (timecode, expected) in [
            (json!(0), Some(chapter(0))),
            (json!(90), Some(chapter(90))),
            (json!(90.75), Some(chapter(90))),
            (json!(-1), None),
            (json!("90"), None),
            (json!(null), None),
        ] {
            let item = json!({ "uri": "/videos/1/chapters/2", "title": "Intro", "timecode": timecode });
            assert_eq!(summary(item), expected, "{timecode}");
        }
        assert_eq!(summary(json!({ "timecode": 1 })), None);
    }

    #[test]
    fn a_chapter_of_another_video_is_not_accepted() {
        let video = VideoNumber::from_stored(1);
        for uri in [None, Some("/chapters/2"), Some("/videos/1/chapters/2"), Some("/videos/1:ab/chapters/2")]
        {
            assert!(is_of(video, uri), "{uri:?}");
        }
        for uri in ["/videos/3/chapters/2", "/videos/11/chapters/2"] {
            assert!(!is_of(video, Some(uri)), "{uri}");
        }
    }
}
