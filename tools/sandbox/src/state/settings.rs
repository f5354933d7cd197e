//! Settings of the sandbox that a control changes, where Vimeo's behaviour is not known or varies.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::StageTiming;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StateSettings {
    /// Whether a text track without a file still shows its upload link.
    pub(crate) shows_links_of_empty_tracks: bool,
    /// How long a video is playable before its transcoding is complete, in milliseconds. Absent: as long as a stage.
    pub(crate) playable_millis: Option<u64>,
    /// How long an image is processed before it can be the thumbnail, in milliseconds.
    pub(crate) image_millis: u64,
}

impl Default for StateSettings {
    fn default() -> Self {
        Self { shows_links_of_empty_tracks: true, playable_millis: None, image_millis: 0 }
    }
}

impl StateSettings {
    pub(super) fn applied_to(&self, stage_timing: StageTiming) -> StageTiming {
        let playable = self.playable_millis.map(Duration::from_millis).or(stage_timing.playable);
        StageTiming { playable, ..stage_timing }
    }

    /// The latest arrival of an image that has been processed by now.
    pub(crate) fn processed_until(&self, now: Timestamp) -> Timestamp {
        let duration = SignedDuration::try_from(Duration::from_millis(self.image_millis)).ok();
        duration.and_then(|duration| now.checked_sub(duration).ok()).unwrap_or(Timestamp::MIN)
    }
}
