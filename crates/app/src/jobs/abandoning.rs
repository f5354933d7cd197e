//! Taking away what a job that will not be completed has made at Vimeo.

use std::time::Duration;

use domain::job::{Abandoning, End, FailureCode, JobState, Looked};
use domain::video::VideoNumber;

use super::CALL_TIMEOUT;
use super::attendance::{Attendance, Step, failure, placeholder_name};
use super::creating::Discarded;
use super::held::Interrupt;

/// How long the taking away is tried.
const PATIENCE: Duration = Duration::from_hours(1);

impl Attendance<'_> {
    /// Deletes the video that is known, then whatever else has the placeholder's name, one after the other; what is in
    /// doubt is looked for as often, and as late, as when it would be gone on with.
    pub(super) async fn take_away(&mut self, abandoning: Abandoning) -> Result<Step, Interrupt> {
        match self.take_away_next(&abandoning).await? {
            // What cannot be done is named, and the job ends.
            Step::Fail(failure) if failure.code.is_about_token() && self.has_new_credentials().await? => {
                Ok(Step::Wait(Duration::ZERO))
            }
            Step::Fail(_) | Step::Refused(..) => self.leave(abandoning).await,
            Step::Trouble(_) if self.is_late() => self.leave(abandoning).await,
            step => Ok(step),
        }
    }

    async fn take_away_next(&mut self, abandoning: &Abandoning) -> Result<Step, Interrupt> {
        if let Some(video) = abandoning.video.filter(|video| !self.held.is_warned_of(*video)) {
            let discarded = match &abandoning.end {
                End::Cancelled => self.discard(video).await.map_or(Discarded::Yes, Discarded::NotYet),
                End::Failed(_) => self.discard_unless_whole(video).await,
            };
            match discarded {
                Discarded::Yes => {}
                Discarded::Whole => {
                    self.enter(abandoning.clone().ended(Some(video))).await?;
                    return Ok(Step::Go);
                }
                Discarded::NotYet(step) => return Ok(step),
            }
            self.last_deleted = Some(video);
            let rest = Abandoning { video: None, ..abandoning.clone() };
            self.held.advance_without_progress(JobState::Abandoning(rest)).await?;
            return Ok(Step::Go);
        }
        if let Some(doubt) = abandoning.doubt {
            let look_at = doubt.next_look_at(self.uploads.options.look_grace, self.uploads.options.look_span);
            if self.app.clock.now() < look_at {
                return Ok(Step::Wait(self.pause_until(look_at)));
            }
        }
        let found = match self.find_placeholders(None).await {
            Ok(found) => found,
            Err(failed) => return Ok(self.step_of(failed, FailureCode::VimeoRefused)),
        };
        // One that is deleted may be listed for a while.
        for video in found {
            match self.opened.session.find_video(video, CALL_TIMEOUT).await {
                Ok(None) => {}
                // Vimeo said that it is deleted, and shows it still.
                Ok(Some(_)) if self.last_deleted == Some(video) => {
                    let message = "Vimeo shows a video that it has deleted.";
                    return Ok(Step::Trouble(failure(FailureCode::VimeoUnavailable, message)));
                }
                Ok(Some(_)) => {
                    let next = Abandoning { video: Some(video), ..abandoning.clone() };
                    self.held.advance_without_progress(JobState::Abandoning(next)).await?;
                    return Ok(Step::Go);
                }
                Err(failed) => return Ok(self.step_of(failed, FailureCode::VimeoRefused)),
            }
        }
        let Some(doubt) = abandoning.doubt else {
            let left = self.left_behind();
            self.enter(abandoning.clone().ended(left)).await?;
            return Ok(Step::Go);
        };
        let doubt = match doubt.looked_in_vain() {
            Looked::Again(doubt) => Some(doubt),
            Looked::Nothing(_) => None,
        };
        let next = Abandoning { doubt, video: None, ..abandoning.clone() };
        self.held.advance_without_progress(JobState::Abandoning(next)).await?;
        Ok(Step::Go)
    }

    /// It cannot be taken away: what is known of it is named.
    pub(super) async fn leave(&mut self, abandoning: Abandoning) -> Result<Step, Interrupt> {
        if let Some(video) = abandoning.video {
            self.held.warn_of(video);
        } else {
            let name = placeholder_name(&self.held.job.id);
            self.held.warn(format!("A video named “{name}” may still be at Vimeo."));
        }
        let left = abandoning.video.or_else(|| self.left_behind());
        self.enter(abandoning.ended(left)).await?;
        Ok(Step::Go)
    }

    /// The first video of which it was said that it could not be deleted.
    fn left_behind(&self) -> Option<VideoNumber> {
        let mut first_words = self.held.job.warnings.iter().filter_map(|warning| warning.split(' ').next());
        first_words.find_map(VideoNumber::parse_uri)
    }

    fn is_late(&self) -> bool {
        self.app.clock.now() > self.held.job.troubles.well_at.plus(PATIENCE)
    }
}
