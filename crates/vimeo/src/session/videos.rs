//! Videos: the placeholder that an upload begins with, how it stands, its end.

use std::time::Duration;

use domain::secret::Secret;
use domain::time::Timestamp;
use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::{Session, pages, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::tus::UploadLink;
use crate::wire::{PageOut, UploadOut, VideoOut};

/// What a list is asked for; a page has so many at the most.
const PER_PAGE: usize = 100;
const LIST: &str =
    "/me/videos?sort=date&direction=desc&per_page=100&fields=uri,name,created_time,upload.status&page=";
const CREATE: &str = "/me/videos?fields=uri,upload.upload_link,upload.status";
const STATE_FIELDS: &str = "?fields=uri,name,upload.status,upload.error,upload.upload_link,transcode.status,status,duration,\
                            is_playable,link,player_embed_url,privacy.view";
/// The values of the old `status` with which a video has failed.
const FAILED_STATUSES: [&str; 6] =
    ["quota_exceeded", "total_cap_exceeded", "transcoding_error", "unavailable", "uploading_error", "failed"];
/// How many characters of a code of Vimeo's are kept.
const CODE_MAX: usize = 100;

/// Whom a placeholder is open to, before its own settings are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceholderView {
    /// Its owner alone.
    Nobody,
    /// Whoever knows a password, which goes with it.
    Password,
    /// Nobody on vimeo.com; paid plans only.
    Disable,
    /// Whoever knows its address; paid plans only.
    Unlisted,
    /// Everybody.
    Anybody,
}

impl PlaceholderView {
    /// From the narrowest to the widest: when a plan does not have one, the next is tried.
    pub const ORDER: [Self; 5] = [Self::Nobody, Self::Password, Self::Disable, Self::Unlisted, Self::Anybody];

    /// Vimeo's `privacy.view`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Password => "password",
            Self::Disable => "disable",
            Self::Unlisted => "unlisted",
            Self::Anybody => "anybody",
        }
    }
}

/// A placeholder to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewPlaceholder<'a> {
    /// Its name, at most 128 characters.
    pub name: &'a str,
    /// How many bytes will come.
    pub size: u64,
    /// Whom it is open to.
    pub view: PlaceholderView,
    /// Its password, which [`PlaceholderView::Password`] needs.
    pub password: Option<&'a Secret>,
}

/// A placeholder that Vimeo made.
#[derive(Debug, Clone)]
pub struct Placeholder {
    /// The video.
    pub video: VideoNumber,
    /// Where its bytes go.
    pub link: UploadLink,
}

/// How far the upload of a video is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStatus {
    /// Bytes are missing, or are being looked at. Also any status that is not known here.
    InProgress,
    /// All bytes are there.
    Complete,
    /// They cannot be used; Vimeo's code, if it says one.
    Failed(Option<String>),
    /// It was given up.
    Cancelled,
}

/// How far the transcoding of a video is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscodeStatus {
    /// It goes on, or has not begun. Also any status that is not known here, and none.
    InProgress,
    /// It is done.
    Complete,
    /// It failed.
    Failed,
}

/// How a video stands.
#[derive(Debug, Clone)]
pub struct VideoState {
    /// Its name.
    pub name: String,
    /// How far its upload is.
    pub upload: UploadStatus,
    /// How far its transcoding is.
    pub transcode: TranscodeStatus,
    /// It can be played, perhaps not yet in every quality.
    pub is_playable: bool,
    /// How long it plays, in seconds, once that is known.
    pub duration_seconds: Option<u64>,
    /// Its page, exactly as Vimeo gives it.
    pub link: Option<String>,
    /// Its player's page, exactly as Vimeo gives it.
    pub player: Option<String>,
    /// Vimeo named a page that is not at Vimeo, or is too long: it was left out.
    pub has_untrusted_links: bool,
    /// Where its bytes go, as long as some are awaited, unless it leads where it must not.
    pub upload_link: Option<UploadLink>,
    /// Its `privacy.view`.
    pub view: Option<String>,
    /// The value of the old `status`, if that is one of the six with which it has failed, such as `quota_exceeded`.
    pub failed_status: Option<&'static str>,
}

/// A video in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSummary {
    /// The video.
    pub video: VideoNumber,
    /// Its name.
    pub name: String,
    /// When it was made, if that can be read.
    pub created_at: Option<Timestamp>,
    /// How far its upload is.
    pub upload: UploadStatus,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPage {
    /// Its videos, but for those that cannot be understood.
    pub videos: Vec<VideoSummary>,
    /// No page comes behind it.
    pub is_last: bool,
}

/// What a placeholder is asked for with.
#[derive(Serialize)]
struct PlaceholderIn<'a> {
    name: &'a str,
    upload: UploadIn,
    privacy: ViewIn,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

#[derive(Serialize)]
struct UploadIn {
    approach: &'static str,
    size: u64,
}

#[derive(Serialize)]
struct ViewIn {
    view: &'static str,
}

impl Session {
    /// `POST /me/videos`: makes a placeholder for bytes that come by tus. Not to be repeated lightly: each one that is
    /// made stays. After [`Failure::Unknown`] there may be one.
    pub async fn create_video(
        &self,
        new: &NewPlaceholder<'_>,
        timeout: Duration,
    ) -> Result<Placeholder, Failure> {
        let body = PlaceholderIn {
            name: new.name,
            upload: UploadIn { approach: "tus", size: new.size },
            privacy: ViewIn { view: new.view.as_str() },
            password: new.password.map(Secret::expose),
        };
        let request = self.request_with(Method::POST, &ApiPath::fixed(CREATE), &body);
        let answer = self.send_with_password(request, new.password, timeout).await?;
        // The specification says 201; Vimeo says 200, and its own clients take nothing else.
        let shown = match answer.status {
            StatusCode::OK | StatusCode::CREATED => answer.json::<VideoOut>(),
            _ => None,
        };
        let made = shown.and_then(|shown| {
            let video = VideoNumber::parse_uri(shown.uri.as_deref()?)?;
            Some(Placeholder { video, link: self.usable_link(shown.upload.as_ref()?)? })
        });
        if made.is_none() {
            tracing::warn!(
                "what Vimeo answered to a creation names no video, or no upload link that may be used"
            );
        }
        made.ok_or_else(unexpected_response)
    }

    /// `GET /videos/{video}`; `None` if it is not there, or no longer.
    pub async fn find_video(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Option<VideoState>, Failure> {
        let request = self.request(Method::GET, &ApiPath::video(video).then(STATE_FIELDS));
        let answer = match self.send(request, timeout).await {
            Err(Failure::NotFound) => return Ok(None),
            answer => answer?,
        };
        let shown =
            answer.json::<VideoOut>().filter(|shown| is_of(shown, video)).ok_or_else(unexpected_response)?;
        let upload = shown.upload.as_ref().ok_or_else(unexpected_response)?;
        let redactor = self.redactor(None);
        let fit = |text: String| redactor.clean(&text, CODE_MAX);
        let status = match upload_status(upload).ok_or_else(unexpected_response)? {
            UploadStatus::Failed(code) => UploadStatus::Failed(code.map(fit)),
            status => status,
        };
        let mut has_untrusted_links = false;
        let mut page = |link: Option<String>| {
            let is_fit =
                |link: &String| pages::is_vimeos(link, &self.client.base_url) && !redactor.finds(link);
            has_untrusted_links |= link.as_ref().is_some_and(|link| !is_fit(link));
            link.filter(is_fit)
        };
        let (link, player) = (page(shown.link), page(shown.player_embed_url));
        let transcode = shown.transcode.and_then(|transcode| transcode.status);
        let old_status = shown.status.as_deref();
        Ok(Some(VideoState {
            upload: status,
            transcode: transcode_status(transcode.as_deref()),
            is_playable: shown.is_playable == Some(true),
            duration_seconds: shown.duration.filter(|seconds| *seconds > 0),
            upload_link: self.usable_link(upload),
            view: shown.privacy.and_then(|privacy| privacy.view).map(fit),
            failed_status: FAILED_STATUSES.into_iter().find(|failed| old_status == Some(*failed)),
            name: shown.name.unwrap_or_default(),
            link,
            player,
            has_untrusted_links,
        }))
    }

    /// `GET /me/videos`: 100 of the user's videos, the newest first; `page` counts from 1. A video may be missing for a
    /// while after it was made.
    pub async fn list_newest_videos(&self, page: u32, timeout: Duration) -> Result<VideoPage, Failure> {
        let request = self.request(Method::GET, &ApiPath::fixed(LIST).then_number(page));
        let answer = match self.send(request, timeout).await {
            // What lies past the end of a list is not found.
            Err(Failure::NotFound) if page > 1 => {
                return Ok(VideoPage { videos: Vec::new(), is_last: true });
            }
            answer => answer?,
        };
        let shown: PageOut = answer.json().ok_or_else(unexpected_response)?;
        let is_last = shown.is_last(PER_PAGE);
        let count = shown.data.len();
        let videos: Vec<VideoSummary> = shown.data.into_iter().filter_map(listed).collect();
        if videos.len() < count {
            let skipped = count - videos.len();
            tracing::warn!(skipped, "some videos in Vimeo's list are not understood and are skipped");
        }
        Ok(VideoPage { videos, is_last })
    }

    /// `DELETE /videos/{video}`. One that is gone already counts as deleted.
    pub async fn delete_video(&self, video: VideoNumber, timeout: Duration) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, &ApiPath::video(video));
        match self.execute(request, timeout).await {
            Err(Failure::NotFound) => Ok(()),
            done => done,
        }
    }

    /// The link in an answer, unless it leads where no upload may go.
    fn usable_link(&self, upload: &UploadOut) -> Option<UploadLink> {
        let link = upload.upload_link.as_ref()?;
        match UploadLink::parse(link.expose(), &self.client.link_rules) {
            Ok(link) => Some(link),
            Err(refused) => {
                tracing::warn!(%refused, "an upload link of Vimeo's may not be used");
                None
            }
        }
    }
}

/// Whether an answer is about this video.
pub(super) fn is_of(shown: &VideoOut, video: VideoNumber) -> bool {
    shown.uri.as_deref().and_then(VideoNumber::parse_uri) == Some(video)
}

/// An item of a list, if it can be understood.
fn listed(item: Value) -> Option<VideoSummary> {
    let shown: VideoOut = serde_json::from_value(item).ok()?;
    let created_at = shown.created_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Some(VideoSummary {
        video: VideoNumber::parse_uri(shown.uri.as_deref()?)?,
        name: shown.name?,
        created_at: created_at.map(|at| Timestamp::from_micros(at.as_microsecond())),
        upload: upload_status(shown.upload.as_ref()?)?,
    })
}

fn upload_status(upload: &UploadOut) -> Option<UploadStatus> {
    Some(match upload.status.as_deref()? {
        "complete" => UploadStatus::Complete,
        "error" => UploadStatus::Failed(upload.error.clone()),
        "canceled" | "cancelled" => UploadStatus::Cancelled,
        _ => UploadStatus::InProgress,
    })
}

fn transcode_status(status: Option<&str>) -> TranscodeStatus {
    match status {
        Some("complete") => TranscodeStatus::Complete,
        Some("error") => TranscodeStatus::Failed,
        _ => TranscodeStatus::InProgress,
    }
}
