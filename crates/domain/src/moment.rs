//! A time in a video.

use thiserror::Error;

/// The latest time of a thumbnail: a day.
const MAX_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A time in a video, in milliseconds from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

/// The number is not a valid [`Moment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a number of seconds from 0 to 86400")]
pub struct MomentError;

impl Moment {
    /// `millis` milliseconds from the start.
    pub fn from_millis(millis: u64) -> Result<Self, MomentError> {
        (millis <= MAX_MILLIS).then_some(Self(millis)).ok_or(MomentError)
    }

    /// Milliseconds from the start.
    pub fn as_millis(self) -> u64 {
        self.0
    }
}
