//! Replaces the file of a video: the bytes become a version of it, which Vimeo plays once it is transcoded. The settings, the
//! thumbnail and the text tracks of the video stay as they are, and so does the earlier version if the new one fails.

use std::time::Duration;

use domain::job::{Configuring, Creating, Failure, FailureCode, JobState, Target, Transcoding, WaitingFor};
use domain::video::{VersionNumber, VideoNumber};
use vimeo::{TranscodeStatus, UploadStatus, Version, VersionState};

use super::configure::not_assembled;
use super::create::not_created;
use super::publish::poll_pause;
use super::transfer::Transfer;
use super::{CALL_TIMEOUT, Memory, StepContext, placeholder_name};
use crate::uploads::failures::{failure, missing, then_of_whole, why_unusable};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};

/// Whether a version has replaced the one before.
#[derive(Debug, PartialEq, Eq)]
enum Replacement {
    Done,
    /// It is polled again after this.
    Poll(Duration),
    /// Vimeo cannot use the file.
    Failed(String),
    /// It has taken too long.
    Late,
}

/// Asks Vimeo for a version, whose file name distinguishes it from others.
pub(super) async fn create_version(
    context: &StepContext<'_>,
    memory: &mut Memory,
    creating: Creating,
    (video, size, left): (VideoNumber, u64, Duration),
) -> StepOutcome {
    let name = placeholder_name(&context.job.id);
    match context.prepared.session.create_version(video, &name, size, left).await {
        Ok(Version { number, link }) => {
            // It has no bytes yet: nothing needs to be asked before the first one is sent.
            memory.transfer = Some(Transfer::new());
            let uploading = creating.created(Target::Version(number), size);
            let patch = JobPatch { link: Some(link), ..JobPatch::default() };
            StepOutcome::advance(JobState::Uploading(uploading)).with(patch)
        }
        Err(failed) => not_created(context, memory, creating, failed),
    }
}

/// All bytes of the version are at Vimeo: nothing is set.
pub(super) async fn await_assembly(context: &StepContext<'_>, configuring: Configuring) -> StepOutcome {
    let found = match context.find_target(configuring.target).await {
        Ok(found) => found,
        Err(failed) => return context.stay(then_of_whole(failed, context.now())),
    };
    let Some(found) = found else { return context.stay(missing()) };
    let mut patch = JobPatch { is_found: true, ..JobPatch::default() };
    match found.upload {
        UploadStatus::Complete => {}
        UploadStatus::InProgress => return context.stay(Then::Retry(not_assembled())).with(patch),
        UploadStatus::Failed(_) | UploadStatus::Cancelled => {
            return context.stay(Then::Fail(unusable("Vimeo cannot use the file."))).with(patch);
        }
    }
    if let Err(then) = context.remove_duplicates(configuring.target, &mut patch).await {
        return context.stay(then).with(patch);
    }
    StepOutcome::advance(JobState::Transcoding(configuring.configured())).with(patch)
}

/// Polls the version until the video plays it. The video's own transcoding is that of the version before.
pub(super) async fn await_replacement(
    context: &StepContext<'_>,
    transcoding: Transcoding,
    version: VersionNumber,
) -> StepOutcome {
    let found = match context.prepared.session.find_version(version, CALL_TIMEOUT).await {
        Ok(found) => found,
        Err(failed) => return context.stay(then_of_whole(failed, context.now())),
    };
    let Some(state) = found else { return context.stay(missing()) };
    let is_playable = state.is_playable || state.transcode == TranscodeStatus::Complete;
    let found = JobPatch { is_found: true, is_playable, ..JobPatch::default() };
    let waited = context.now().seconds_after(context.job.retry.last_progress_at);
    match replacement(&state, waited, context.uploads.options.retry_deadline) {
        // Announced by a write of its own.
        Replacement::Done if !context.job.is_playable => {
            StepOutcome::enter(JobState::Transcoding(transcoding))
                .with(JobPatch { is_playable: true, ..found })
        }
        Replacement::Done => finish(context, transcoding, found).await,
        Replacement::Poll(pause) => {
            let accepted = JobPatch { is_accepted: true, ..found };
            context.stay(Then::Snooze(pause, WaitingFor::Transcoding)).with(accepted)
        }
        Replacement::Failed(message) => context.stay(Then::Fail(unusable(&message))).with(found),
        Replacement::Late => {
            let message =
                "Vimeo did not make the new version playable in time. The video plays the earlier one.";
            let failed = transcoding.kept_closed(failure(FailureCode::VimeoUnavailable, message));
            StepOutcome::advance(JobState::Failed(failed)).with(found)
        }
    }
}

async fn finish(context: &StepContext<'_>, transcoding: Transcoding, mut patch: JobPatch) -> StepOutcome {
    let video = match context.prepared.session.find_video(transcoding.target.video(), CALL_TIMEOUT).await {
        Ok(Some(video)) => video,
        Ok(None) => return context.stay(missing()).with(patch),
        Err(failed) => return context.stay(then_of_whole(failed, context.now())).with(patch),
    };
    if video.has_untrusted_links {
        let warning = "Vimeo named a page of the video that is not at vimeo.com; it was left out.";
        patch.warnings.push(warning.to_owned());
    }
    let completed = transcoding.replaced(video.link.unwrap_or_default(), video.player);
    StepOutcome::advance(JobState::Completed(completed)).with(patch)
}

/// What the state of a version means.
fn replacement(state: &VersionState, waited_seconds: u64, deadline: Duration) -> Replacement {
    if let Some(message) = why_unusable(&state.upload, state.transcode) {
        return Replacement::Failed(message);
    }
    // Where Vimeo does not show which version is active, a transcoded one is.
    if state.transcode == TranscodeStatus::Complete && state.is_active != Some(false) {
        return Replacement::Done;
    }
    if waited_seconds > deadline.as_secs() {
        return Replacement::Late;
    }
    Replacement::Poll(poll_pause(waited_seconds, state.duration_seconds))
}

fn unusable(message: &str) -> Failure {
    failure(FailureCode::FileUnusable, format!("{message} The video plays its earlier version."))
}

#[cfg(test)]
mod tests {
    use super::super::publish::{POLL_MAX, POLL_MIN};
    use super::*;

    const DEADLINE: Duration = Duration::from_hours(24);

    fn state(upload: UploadStatus, transcode: TranscodeStatus, is_active: Option<bool>) -> VersionState {
        VersionState {
            upload,
            transcode,
            is_active,
            is_playable: false,
            duration_seconds: None,
            upload_link: None,
            file_name: None,
        }
    }

    #[test]
    fn a_version_has_replaced_the_one_before_once_it_is_transcoded_and_active() {
        use TranscodeStatus::{Complete, Failed, InProgress};
        let poll = Replacement::Poll(POLL_MIN);
        for (transcode, is_active, expected) in [
            (Complete, Some(true), Replacement::Done),
            (Complete, None, Replacement::Done),
            (Complete, Some(false), poll),
            (InProgress, Some(true), Replacement::Poll(POLL_MIN)),
            (InProgress, None, Replacement::Poll(POLL_MIN)),
            (Failed, Some(false), Replacement::Failed("Vimeo could not transcode the file.".to_owned())),
        ] {
            let found = state(UploadStatus::Complete, transcode, is_active);
            assert_eq!(replacement(&found, 0, DEADLINE), expected, "{transcode:?} {is_active:?}");
        }
        let refused = state(UploadStatus::Failed(Some("empty_upload".to_owned())), InProgress, None);
        let message = "Vimeo cannot use the file: empty_upload.".to_owned();
        assert_eq!(replacement(&refused, 0, DEADLINE), Replacement::Failed(message));
    }

    #[test]
    fn a_version_that_never_becomes_active_is_late() {
        let waiting = state(UploadStatus::Complete, TranscodeStatus::Complete, Some(false));
        let seconds = DEADLINE.as_secs();
        assert_eq!(replacement(&waiting, seconds, DEADLINE), Replacement::Poll(POLL_MAX));
        assert_eq!(replacement(&waiting, seconds + 1, DEADLINE), Replacement::Late);
    }
}
