//! Creates, finds, lists and deletes videos.

use std::time::Duration;

use domain::secret::Secret;
use domain::time::Timestamp;
use domain::video::VideoNumber;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::{Session, created, pages, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::tus::UploadLink;
use crate::wire::{PageOut, UploadOut, VideoOut};

/// Page size of a list.
const PER_PAGE: usize = 100;
const LIST: &str =
    "/me/videos?sort=date&direction=desc&per_page=100&fields=uri,name,created_time,upload.status&page=";
const CREATE: &str = "/me/videos?fields=uri,upload.upload_link,upload.status,allowed_privacies";
const STATE_FIELDS: &str = "?fields=uri,name,upload.status,upload.error,upload.upload_link,transcode.status,status,duration,\
                            is_playable,link,player_embed_url,privacy.view,is_cold_privacy_restricted";
/// Values of the deprecated `status` that mean failure.
const FAILED_STATUSES: [&str; 6] =
    ["quota_exceeded", "total_cap_exceeded", "transcoding_error", "unavailable", "uploading_error", "failed"];
/// Limit for an error code, in characters.
const CODE_MAX: usize = 100;
/// Limits for the names of views.
const VIEW_NAME_MAX: usize = 32;
const VIEWS_MAX: usize = 20;

/// Who may see a placeholder until the upload's own settings are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceholderView {
    /// Only its owner.
    Nobody,
    /// Anyone with the password.
    Password,
    /// Hidden on vimeo.com; paid plans only.
    Disable,
    /// Anyone with the link; paid plans only.
    Unlisted,
    /// Everyone.
    Anybody,
}

impl PlaceholderView {
    /// From the most to the least restrictive. If the plan lacks a view, the next one is tried.
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

/// A placeholder to create.
#[derive(Debug, Clone, Copy)]
pub struct NewPlaceholder<'a> {
    /// Its name, at most 128 characters.
    pub name: &'a str,
    /// Size of the upload in bytes.
    pub size: u64,
    /// Who may see it.
    pub view: PlaceholderView,
    /// Required for [`PlaceholderView::Password`].
    pub password: Option<&'a Secret>,
}

/// A placeholder that Vimeo created.
#[derive(Debug, Clone)]
pub struct Placeholder {
    /// The video.
    pub video: VideoNumber,
    /// Where its bytes are sent.
    pub link: UploadLink,
    /// The values of `privacy.view` that the account may use, if Vimeo shows them.
    pub allowed_privacies: Option<Vec<String>>,
}

/// State of a video's upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadStatus {
    /// Bytes are missing or being processed. Also any unknown status.
    InProgress,
    /// All bytes have arrived.
    Complete,
    /// The bytes cannot be used; Vimeo's error code, if present.
    Failed(Option<String>),
    /// The upload was cancelled.
    Cancelled,
}

/// State of a video's transcoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TranscodeStatus {
    /// In progress or not started. Also an unknown or missing status.
    InProgress,
    /// Done.
    Complete,
    /// Failed.
    Failed,
}

/// The state of a video.
#[derive(Debug, Clone)]
pub struct VideoState {
    /// Its name.
    pub name: String,
    /// The state of its upload.
    pub upload: UploadStatus,
    /// The state of its transcoding.
    pub transcode: TranscodeStatus,
    /// Whether it can be played, perhaps not in every quality yet.
    pub is_playable: bool,
    /// How long it plays, in seconds, once known.
    pub duration_seconds: Option<u64>,
    /// The URL of its page, as returned by Vimeo.
    pub link: Option<String>,
    /// The URL of its player, as returned by Vimeo.
    pub player: Option<String>,
    /// Whether a page URL was left out because it is not on one of Vimeo's hosts or is too long.
    pub has_untrusted_links: bool,
    /// Where its bytes are sent, while the upload is in progress. `None` if the link is not accepted.
    pub upload_link: Option<UploadLink>,
    /// Its `privacy.view`.
    pub view: Option<String>,
    /// Whether Vimeo shows it to fewer people than its `privacy.view` says, since the plan was downgraded.
    pub is_shown_to_fewer: bool,
    /// The deprecated `status`, if it means failure: `quota_exceeded`, for example.
    pub failed_status: Option<&'static str>,
}

/// A video as returned by a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSummary {
    /// The video.
    pub video: VideoNumber,
    /// Its name.
    pub name: String,
    /// When it was created, if known.
    pub created_at: Option<Timestamp>,
    /// The state of its upload.
    pub upload: UploadStatus,
}

/// One page of videos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoPage {
    /// Its videos, except those that could not be parsed.
    pub videos: Vec<VideoSummary>,
    /// Whether this is the last page.
    pub is_last: bool,
}

/// Request body of a creation.
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
    /// `POST /me/videos`: creates a placeholder for a tus upload. Not idempotent: after [`Failure::Unknown`] a video
    /// may exist.
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
        let response = self.send_with_password(request, new.password, timeout).await?;
        // The specification says 201, Vimeo sends 200, and Vimeo's own clients accept only 200.
        let created = created::<VideoOut>(&response).and_then(|video_out| {
            let video = VideoNumber::parse_uri(video_out.uri.as_deref()?)?;
            let link = self.accepted_link(video_out.upload.as_ref()?)?;
            Some(Placeholder { video, link, allowed_privacies: view_names(video_out.allowed_privacies) })
        });
        if created.is_none() {
            tracing::warn!(
                "Vimeo's response to the creation of a video has no video or no accepted upload link"
            );
        }
        created.ok_or_else(unexpected_response)
    }

    /// `GET /videos/{video}`; `None` if it does not exist.
    pub async fn find_video(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Option<VideoState>, Failure> {
        let request = self.request(Method::GET, &ApiPath::video(video).then(STATE_FIELDS));
        let response = match self.send(request, timeout).await {
            Err(Failure::NotFound) => return Ok(None),
            response => response?,
        };
        let video_out = response
            .json::<VideoOut>()
            .filter(|video_out| is_about(video_out, video))
            .ok_or_else(unexpected_response)?;
        let upload = video_out.upload.as_ref().ok_or_else(unexpected_response)?;
        let redactor = self.redactor(None);
        let clean = |text: String| redactor.clean(&text, CODE_MAX);
        let status = match upload_status(upload).ok_or_else(unexpected_response)? {
            UploadStatus::Failed(code) => UploadStatus::Failed(code.map(clean)),
            status => status,
        };
        let mut has_untrusted_links = false;
        let mut page = |link: Option<String>| {
            let is_accepted = |link: &String| {
                pages::is_vimeo_url(link, &self.client.base_url) && !redactor.contains_secret(link)
            };
            has_untrusted_links |= link.as_ref().is_some_and(|link| !is_accepted(link));
            link.filter(is_accepted)
        };
        let (link, player) = (page(video_out.link), page(video_out.player_embed_url));
        let transcode = video_out.transcode.and_then(|transcode| transcode.status);
        let old_status = video_out.status.as_deref();
        Ok(Some(VideoState {
            upload: status,
            transcode: transcode_status(transcode.as_deref()),
            is_playable: video_out.is_playable == Some(true),
            duration_seconds: video_out.duration.filter(|seconds| *seconds > 0),
            upload_link: self.accepted_link(upload),
            view: video_out.privacy.and_then(|privacy| privacy.view).map(clean),
            failed_status: FAILED_STATUSES.into_iter().find(|failed| old_status == Some(*failed)),
            is_shown_to_fewer: video_out.is_cold_privacy_restricted == Some(true),
            name: video_out.name.unwrap_or_default(),
            link,
            player,
            has_untrusted_links,
        }))
    }

    /// `GET /me/videos`: 100 of the user's videos, newest first; `page` starts at 1. A new video may be missing for a
    /// while.
    pub async fn list_newest_videos(&self, page: u32, timeout: Duration) -> Result<VideoPage, Failure> {
        let request = self.request(Method::GET, &ApiPath::fixed(LIST).then_number(page));
        let response = match self.send(request, timeout).await {
            // Vimeo answers 404 for a page past the end.
            Err(Failure::NotFound) if page > 1 => {
                return Ok(VideoPage { videos: Vec::new(), is_last: true });
            }
            response => response?,
        };
        let page_out: PageOut = response.json().ok_or_else(unexpected_response)?;
        let is_last = page_out.is_last(PER_PAGE);
        let count = page_out.data.len();
        let videos: Vec<VideoSummary> = page_out.data.into_iter().filter_map(summary).collect();
        if videos.len() < count {
            let skipped = count - videos.len();
            tracing::warn!(skipped, "some videos in Vimeo's list could not be parsed and are skipped");
        }
        Ok(VideoPage { videos, is_last })
    }

    /// `DELETE /videos/{video}`. A video that does not exist counts as deleted.
    pub async fn delete_video(&self, video: VideoNumber, timeout: Duration) -> Result<(), Failure> {
        self.delete(&ApiPath::video(video), timeout).await
    }

    /// The upload link in a response, if it is accepted.
    pub(super) fn accepted_link(&self, upload: &UploadOut) -> Option<UploadLink> {
        let link = upload.upload_link.as_ref()?;
        match UploadLink::parse(link.expose(), &self.client.link_rules) {
            Ok(link) => Some(link),
            Err(refused) => {
                tracing::warn!(%refused, "an upload link from Vimeo is not accepted");
                None
            }
        }
    }
}

/// Whether a response is about this video.
pub(super) fn is_about(video_out: &VideoOut, video: VideoNumber) -> bool {
    video_out.uri.as_deref().and_then(VideoNumber::parse_uri) == Some(video)
}

/// Names of views, without anything else.
fn view_names(shown: Option<Value>) -> Option<Vec<String>> {
    let is_name = |name: &&str| {
        (1..=VIEW_NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let shown = shown?;
    let names = shown.as_array()?.iter().filter_map(Value::as_str).filter(is_name).take(VIEWS_MAX);
    let names: Vec<_> = names.map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}

/// An item of a list, if it can be parsed.
fn summary(item: Value) -> Option<VideoSummary> {
    let video_out: VideoOut = serde_json::from_value(item).ok()?;
    let created_at = video_out.created_time.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Some(VideoSummary {
        video: VideoNumber::parse_uri(video_out.uri.as_deref()?)?,
        name: video_out.name?,
        created_at: created_at.map(|at| Timestamp::from_micros(at.as_microsecond())),
        upload: upload_status(video_out.upload.as_ref()?)?,
    })
}

pub(super) fn upload_status(upload: &UploadOut) -> Option<UploadStatus> {
    Some(match upload.status.as_deref()? {
        "complete" => UploadStatus::Complete,
        "error" => UploadStatus::Failed(upload.error.clone()),
        "canceled" | "cancelled" => UploadStatus::Cancelled,
        _ => UploadStatus::InProgress,
    })
}

pub(super) fn transcode_status(status: Option<&str>) -> TranscodeStatus {
    match status {
        Some("complete") => TranscodeStatus::Complete,
        Some("error") => TranscodeStatus::Failed,
        _ => TranscodeStatus::InProgress,
    }
}
