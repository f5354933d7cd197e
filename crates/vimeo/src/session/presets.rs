//! Embed presets: the looks of the player.

use std::time::Duration;

use domain::video::{PresetNumber, VideoNumber};
use reqwest::Method;

use super::Session;
use crate::failure::Failure;
use crate::path::ApiPath;

impl Session {
    /// `PUT /videos/{video}/presets/{preset}`: replaces the video's preset.
    pub async fn set_preset(
        &self,
        video: VideoNumber,
        preset: PresetNumber,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::video(video).then_preset(preset);
        self.execute(self.request(Method::PUT, &path), timeout).await
    }
}
