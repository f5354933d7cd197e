//! Uploads: how the bytes of a version arrive, how many have arrived, and the stages that follow.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat::SerializableState as _;
use sha2::{Digest as _, Sha256};

use super::hex;
use crate::Pace;

/// How fast an upload advances once it is complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageTiming {
    /// How long `upload.status` stays `in_progress` after the last byte.
    pub(crate) lag: Duration,
    /// How long each stage of transcoding lasts.
    pub(crate) pace: Pace,
    /// How long the second one lasts, in which the video can be played, if that differs.
    pub(crate) playable: Option<Duration>,
}

/// How the bytes are uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "approach", rename_all = "lowercase")]
pub(crate) enum Approach {
    /// The client sends them, resumably.
    Tus,
    /// Vimeo fetches them from a link.
    Pull { link: String },
    /// A browser sends them as a form, and is then redirected.
    Post { redirect_url: Option<String> },
    /// Not specified, so none will arrive.
    None,
}

impl Approach {
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Tus => Some("tus"),
            Self::Pull { .. } => Some("pull"),
            Self::Post { .. } => Some("post"),
            Self::None => None,
        }
    }
}

/// The stage of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Uploading,
    /// Every byte has arrived; responses do not show it yet.
    Received,
    TranscodeStarting,
    Transcoding,
    Available,
    Failed(Failure),
}

/// The failure of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The video's `status`: one of [`Failure::STATUSES`].
    pub(crate) status: String,
    /// The `upload.error`, for an upload that failed: one of [`Failure::ERRORS`].
    pub(crate) error: Option<String>,
    /// Whether the `upload.status` is `canceled` instead of `error`.
    #[serde(default)]
    pub(crate) is_canceled: bool,
}

impl Failure {
    /// The values of `status` for failures, Vimeo's older ones before those of 2026.
    pub(crate) const STATUSES: [&str; 6] = [
        "uploading_error",
        "transcoding_error",
        "quota_exceeded",
        "total_cap_exceeded",
        "unavailable",
        "failed",
    ];

    /// The values of `upload.error`.
    pub(crate) const ERRORS: [&str; 18] = [
        "analysis_failed",
        "disallowed_address",
        "disallowed_content_type",
        "duration_too_long",
        "duration_too_short",
        "empty_upload",
        "exceeded_retry_count",
        "internal",
        "invalid_redirects",
        "max_file_size_exceeded",
        "missing_video_stream",
        "remote_bad_request",
        "remote_forbidden",
        "remote_internal",
        "remote_not_found",
        "remote_unauthorized",
        "resolution_dimension_too_small",
        "unsupported_video_projection",
    ];

    /// A failed upload with one of [`Failure::ERRORS`].
    pub(crate) fn of_upload(error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..Self::with_status("uploading_error") }
    }

    /// A failure with a `status` only.
    pub(crate) fn with_status(status: &str) -> Self {
        Self { status: status.to_owned(), error: None, is_canceled: false }
    }

    /// Whether it is a failure after the upload.
    pub(crate) fn is_of_transcoding(&self) -> bool {
        let is_of_upload = ["uploading_error", "quota_exceeded", "total_cap_exceeded"];
        !is_of_upload.contains(&self.status.as_str()) && self.error.is_none() && !self.is_canceled
    }
}

/// The bytes of one version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) approach: Approach,
    /// The announced size in bytes. A pull may not know it before the source has responded.
    pub(crate) size: Option<u64>,
    /// The secret part of the link: 32 hexadecimal characters.
    pub(crate) key: String,
    /// When the link expires, if ever.
    pub(crate) expires_at: Option<Timestamp>,
    /// The status of an expired link, if a fault has set it; otherwise 404.
    #[serde(default)]
    dead_status: Option<u16>,
    pub(crate) received: Received,
    stage: Stage,
    /// When it reached this stage.
    stage_since: Timestamp,
    /// The failure that will replace success.
    #[serde(rename = "fate")]
    pub(crate) scheduled_failure: Option<Failure>,
}

/// The properties of a new upload.
pub(super) struct NewUpload {
    pub(super) approach: Approach,
    pub(super) size: Option<u64>,
    pub(super) key: String,
    pub(super) expires_at: Option<Timestamp>,
}

impl Upload {
    pub(super) fn new(new: NewUpload, now: Timestamp) -> Self {
        let NewUpload { approach, size, key, expires_at } = new;
        let (received, stage) = (Received::default(), Stage::Uploading);
        let (dead_status, scheduled_failure) = (None, None);
        Self {
            approach,
            size,
            key,
            expires_at,
            dead_status,
            received,
            stage,
            stage_since: now,
            scheduled_failure,
        }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether it can be played, which Vimeo may allow before the last rendition is done.
    pub(crate) fn is_playable(&self) -> bool {
        match self.stage {
            Stage::Transcoding => self.scheduled_failure.is_none(),
            Stage::Available => true,
            Stage::Uploading | Stage::Received | Stage::TranscodeStarting | Stage::Failed(_) => false,
        }
    }

    /// What it counts in a quota of bytes.
    pub(super) fn weight(&self) -> u64 {
        self.size.unwrap_or(0).max(self.received.bytes)
    }

    /// Whether its stage changes as time passes.
    pub(super) fn is_in_progress(&self) -> bool {
        matches!(self.stage, Stage::Received | Stage::TranscodeStarting | Stage::Transcoding)
    }

    /// Whether every byte has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.size == Some(self.received.bytes) && self.approach != Approach::None
    }

    /// Whether the link has expired.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// The status of every request to the link once it has expired.
    pub(crate) fn dead_status(&self, now: Timestamp) -> Option<StatusCode> {
        let status = self.dead_status.and_then(|status| StatusCode::from_u16(status).ok());
        self.is_expired(now).then(|| status.unwrap_or(StatusCode::NOT_FOUND))
    }

    /// Expires the link, which then responds with this status.
    pub(crate) fn kill_link(&mut self, status: StatusCode, now: Timestamp) {
        self.expires_at = Some(now);
        self.dead_status = Some(status.as_u16());
    }

    /// Records received bytes. The next stage starts with the last of them.
    pub(crate) fn receive(&mut self, received: Received, now: Timestamp) {
        self.received = received;
        if self.stage == Stage::Uploading && self.is_complete() {
            self.advance_stage(now);
        }
    }

    /// Schedules a failure; applies it now if the upload is past that point.
    pub(crate) fn schedule_failure(&mut self, failure: Failure, now: Timestamp) {
        let is_to_come = match self.stage {
            Stage::Uploading | Stage::Received => true,
            Stage::TranscodeStarting | Stage::Transcoding => failure.is_of_transcoding(),
            Stage::Available | Stage::Failed(_) => false,
        };
        if is_to_come {
            self.scheduled_failure = Some(failure);
        } else {
            self.fail(failure, now);
        }
    }

    /// Fails it now.
    pub(crate) fn fail(&mut self, failure: Failure, now: Timestamp) {
        (self.stage, self.stage_since) = (Stage::Failed(failure), now);
    }

    /// Advances to the next stage, or to the scheduled failure. The last stage stays, and so does the first while bytes
    /// are missing.
    pub(crate) fn advance_stage(&mut self, now: Timestamp) {
        let next = match &self.stage {
            Stage::Uploading if !self.is_complete() => return,
            Stage::Uploading => Stage::Received,
            Stage::Received => match &self.scheduled_failure {
                Some(failure) if !failure.is_of_transcoding() => Stage::Failed(failure.clone()),
                _ if self.received.bytes == 0 => Stage::Failed(Failure::of_upload("empty_upload")),
                _ => Stage::TranscodeStarting,
            },
            Stage::TranscodeStarting => Stage::Transcoding,
            Stage::Transcoding => match &self.scheduled_failure {
                Some(failure) => Stage::Failed(failure.clone()),
                None => Stage::Available,
            },
            Stage::Available | Stage::Failed(_) => return,
        };
        (self.stage, self.stage_since) = (next, now);
    }

    /// Advances to the current time. Returns whether anything changed.
    pub(super) fn advance(&mut self, now: Timestamp, stage_timing: StageTiming) -> bool {
        let mut has_changed = false;
        while let Some(due) = self.next_stage_at(stage_timing).filter(|due| *due <= now) {
            self.advance_stage(due);
            has_changed = true;
        }
        has_changed
    }

    /// When it advances automatically, if ever.
    fn next_stage_at(&self, stage_timing: StageTiming) -> Option<Timestamp> {
        let lasts = match (&self.stage, stage_timing.pace) {
            // By hand, `Received` is a stage of its own only if there is a lag.
            (Stage::Received, Pace::ByHand) if stage_timing.lag > Duration::ZERO => return None,
            (Stage::Received, _) => stage_timing.lag,
            (Stage::Transcoding, _) if stage_timing.playable.is_some() => stage_timing.playable?,
            (Stage::TranscodeStarting | Stage::Transcoding, Pace::Every(step)) => step,
            _ => return None,
        };
        self.stage_since.checked_add(SignedDuration::try_from(lasts).ok()?).ok()
    }
}

/// How many bytes have arrived, and their SHA-256 so far, so that the bytes need not be kept.
#[derive(Clone, Default)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    hash: Sha256,
}

impl Received {
    /// Adds bytes.
    pub(crate) fn take(&mut self, data: &[u8]) {
        self.hash.update(data);
        self.bytes += data.len() as u64;
    }

    /// The SHA-256 of everything received, in hexadecimal.
    pub(crate) fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct SerializedHash {
    bytes: u64,
    hash: String,
}

impl Serialize for Received {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SerializedHash { bytes: self.bytes, hash: STANDARD.encode(self.hash.serialize()) }
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let SerializedHash { bytes, hash } = SerializedHash::deserialize(deserializer)?;
        let state = STANDARD.decode(hash).map_err(D::Error::custom)?;
        let state = state.as_slice().try_into().map_err(D::Error::custom)?;
        let hash = <Sha256 as sha2::digest::common::hazmat::SerializableState>::deserialize(&state)
            .map_err(D::Error::custom)?;
        Ok(Self { bytes, hash })
    }
}
