//! Uploads: how a version's bytes come in, how many are here, and what has become of them since.

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

/// How fast an upload goes on by itself, once every byte is here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tempo {
    /// How long it takes until that is noticed.
    pub(crate) lag: Duration,
    /// How long each stage of transcoding lasts.
    pub(crate) pace: Pace,
}

/// How the bytes are to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "approach", rename_all = "lowercase")]
pub(crate) enum Approach {
    /// The client sends them, and may go on after a break.
    Tus,
    /// Vimeo fetches them.
    Pull { link: String },
    /// A browser sends them as a form, and is then sent on.
    Post { redirect_url: Option<String> },
    /// Nobody said, so none will ever come.
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

/// Where a version stands on its way from the first byte to the player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Uploading,
    /// Every byte is here, and nothing says so yet.
    Received,
    TranscodeStarting,
    Transcoding,
    Available,
    Failed(Failure),
}

/// How a version comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The video's `status`: one of [`Failure::STATUSES`].
    pub(crate) status: String,
    /// The `upload.error`, for an upload that failed: one of [`Failure::ERRORS`].
    pub(crate) error: Option<String>,
    /// Whether the `upload.status` is `canceled`, as somebody's wish and nobody's fault.
    #[serde(default)]
    pub(crate) is_canceled: bool,
}

impl Failure {
    /// The values of `status` that mean the end, Vimeo's older ones before those of 2026.
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

    /// An upload that came to nothing for one of [`Failure::ERRORS`].
    pub(crate) fn of_upload(error: &str) -> Self {
        Self { error: Some(error.to_owned()), ..Self::with_status("uploading_error") }
    }

    /// One that has nothing but a `status`.
    pub(crate) fn with_status(status: &str) -> Self {
        Self { status: status.to_owned(), error: None, is_canceled: false }
    }

    /// Whether the bytes were all here, and what came after them failed.
    pub(crate) fn is_of_transcoding(&self) -> bool {
        let is_of_upload = ["uploading_error", "quota_exceeded", "total_cap_exceeded"];
        !is_of_upload.contains(&self.status.as_str()) && self.error.is_none() && !self.is_canceled
    }
}

/// The bytes of one version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) approach: Approach,
    /// How many bytes were announced. A pull may leave it open until its source has told.
    pub(crate) size: Option<u64>,
    /// The secret part of the link: 32 hexadecimal characters.
    pub(crate) key: String,
    /// From when on the link is dead, if ever.
    pub(crate) expires_at: Option<Timestamp>,
    /// What a dead link is answered with, if a fault said so; otherwise it is 404.
    #[serde(default)]
    dead_status: Option<u16>,
    pub(crate) received: Received,
    stage: Stage,
    /// When it came to this stage.
    stage_since: Timestamp,
    /// How it is to end, if not well.
    pub(crate) fate: Option<Failure>,
}

/// What an upload is to be made of.
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
        let (dead_status, fate) = (None, None);
        Self { approach, size, key, expires_at, dead_status, received, stage, stage_since: now, fate }
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether it can be watched, which Vimeo may allow before the last rendition is done.
    pub(crate) fn is_playable(&self) -> bool {
        match self.stage {
            Stage::Transcoding => self.fate.is_none(),
            Stage::Available => true,
            Stage::Uploading | Stage::Received | Stage::TranscodeStarting | Stage::Failed(_) => false,
        }
    }

    /// What this takes from a quota that counts bytes.
    pub(super) fn weight(&self) -> u64 {
        self.size.unwrap_or(0).max(self.received.bytes)
    }

    /// Whether its stage changes as time passes.
    pub(super) fn is_in_progress(&self) -> bool {
        matches!(self.stage, Stage::Received | Stage::TranscodeStarting | Stage::Transcoding)
    }

    /// Whether every byte is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.size == Some(self.received.bytes) && self.approach != Approach::None
    }

    /// Whether the link is dead.
    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What its link is answered with, whatever is asked of it, once it is dead.
    pub(crate) fn dead_status(&self, now: Timestamp) -> Option<StatusCode> {
        let told = self.dead_status.and_then(|status| StatusCode::from_u16(status).ok());
        self.is_expired(now).then(|| told.unwrap_or(StatusCode::NOT_FOUND))
    }

    /// Makes the link dead for good, to be answered with this status.
    pub(crate) fn kill_link(&mut self, status: StatusCode, now: Timestamp) {
        self.expires_at = Some(now);
        self.dead_status = Some(status.as_u16());
    }

    /// Books bytes that were received. What follows the last of them begins now.
    pub(crate) fn receive(&mut self, received: Received, now: Timestamp) {
        self.received = received;
        if self.stage == Stage::Uploading && self.is_whole() {
            self.go_on(now);
        }
    }

    /// Decides how it is to end; at once, if it is past the point where it would have.
    pub(crate) fn doom(&mut self, fate: Failure, now: Timestamp) {
        let is_to_come = match self.stage {
            Stage::Uploading | Stage::Received => true,
            Stage::TranscodeStarting | Stage::Transcoding => fate.is_of_transcoding(),
            Stage::Available | Stage::Failed(_) => false,
        };
        if is_to_come {
            self.fate = Some(fate);
        } else {
            self.fail(fate, now);
        }
    }

    /// Ends it at once.
    pub(crate) fn fail(&mut self, failure: Failure, now: Timestamp) {
        (self.stage, self.stage_since) = (Stage::Failed(failure), now);
    }

    /// Goes on to the next stage, as its fate wants. Nothing follows the last one, and nothing the first while bytes
    /// are missing.
    pub(crate) fn go_on(&mut self, now: Timestamp) {
        let next = match &self.stage {
            Stage::Uploading if !self.is_whole() => return,
            Stage::Uploading => Stage::Received,
            Stage::Received => match &self.fate {
                Some(failure) if !failure.is_of_transcoding() => Stage::Failed(failure.clone()),
                _ if self.received.bytes == 0 => Stage::Failed(Failure::of_upload("empty_upload")),
                _ => Stage::TranscodeStarting,
            },
            Stage::TranscodeStarting => Stage::Transcoding,
            Stage::Transcoding => match &self.fate {
                Some(failure) => Stage::Failed(failure.clone()),
                None => Stage::Available,
            },
            Stage::Available | Stage::Failed(_) => return,
        };
        (self.stage, self.stage_since) = (next, now);
    }

    /// Lets time pass, and says whether that changed anything.
    pub(super) fn advance(&mut self, now: Timestamp, tempo: Tempo) -> bool {
        let mut has_changed = false;
        while let Some(due) = self.next_stage_at(tempo).filter(|due| *due <= now) {
            self.go_on(due);
            has_changed = true;
        }
        has_changed
    }

    /// When it goes on by itself, if it ever does.
    fn next_stage_at(&self, tempo: Tempo) -> Option<Timestamp> {
        let lasts = match (&self.stage, tempo.pace) {
            // By hand, one can be kept from being noticed; what is noticed at once is no stage that anybody sees.
            (Stage::Received, Pace::ByHand) if tempo.lag > Duration::ZERO => return None,
            (Stage::Received, _) => tempo.lag,
            (Stage::TranscodeStarting | Stage::Transcoding, Pace::Every(step)) => step,
            _ => return None,
        };
        self.stage_since.checked_add(SignedDuration::try_from(lasts).ok()?).ok()
    }
}

/// How many bytes are here, and their SHA-256 so far, so that the hash of gigabytes needs none of them.
#[derive(Clone, Default)]
pub(crate) struct Received {
    pub(crate) bytes: u64,
    hash: Sha256,
}

impl Received {
    /// Takes some more.
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
struct Written {
    bytes: u64,
    hash: String,
}

impl Serialize for Received {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { bytes: self.bytes, hash: STANDARD.encode(self.hash.serialize()) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Received {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let Written { bytes, hash } = Written::deserialize(deserializer)?;
        let state = STANDARD.decode(hash).map_err(D::Error::custom)?;
        let state = state.as_slice().try_into().map_err(D::Error::custom)?;
        let hash = <Sha256 as sha2::digest::common::hazmat::SerializableState>::deserialize(&state)
            .map_err(D::Error::custom)?;
        Ok(Self { bytes, hash })
    }
}
