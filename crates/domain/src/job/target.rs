//! What an upload creates at Vimeo: a video, or a version of an existing one. The two are never confused, because a video
//! that is replaced must not be deleted with the version that failed.

use std::fmt;

use crate::time::Timestamp;
use crate::video::{VersionNumber, VideoNumber};

/// What an upload creates at Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A video of its own.
    Video(VideoNumber),
    /// A version of a video that exists.
    Version(VersionNumber),
}

impl Target {
    /// The video: the upload's own, or the one that gets another version.
    pub fn video(self) -> VideoNumber {
        match self {
            Self::Video(video) => video,
            Self::Version(version) => version.video,
        }
    }

    /// The number that distinguishes it from what other attempts of the same upload created.
    pub fn number(self) -> i64 {
        match self {
            Self::Video(video) => video.as_i64(),
            Self::Version(version) => version.as_i64(),
        }
    }

    /// The target with this number, of an upload that replaces this video, if it replaces one.
    pub fn from_stored(replaces: Option<VideoNumber>, number: i64) -> Self {
        match replaces {
            None => Self::Video(VideoNumber::from_stored(number)),
            Some(video) => Self::Version(VersionNumber::from_stored(video, number)),
        }
    }
}

impl From<VideoNumber> for Target {
    fn from(video: VideoNumber) -> Self {
        Self::Video(video)
    }
}

/// Displayed as Vimeo's `uri`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video(video) => video.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}

/// A request that Vimeo must not carry out twice, such as the creation of a text track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UniqueRequest {
    /// Not sent, or its outcome is known.
    #[default]
    NotSent,
    /// Stored before it is sent: another worker that finds this does not know whether Vimeo carried it out.
    Sent,
    /// Whether Vimeo carried it out is looked up once it has certainly ended.
    Unconfirmed {
        /// When that is.
        lookup_at: Timestamp,
    },
}
