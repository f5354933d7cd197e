//! Waits until Vimeo has transcoded the video and its time has come, and opens it to its viewers: the last steps of an upload.

use std::time::Duration;

use domain::job::{
    FailureCode, JobState, Publishing, Scheduled, Target, Transcoding, UniqueRequest, WaitingFor,
};
use domain::upload::View;
use domain::video::VideoNumber;
use vimeo::{PlaceholderView, PrivacyChange, TranscodeStatus, VideoChange, VideoState};

use super::configure::Changed;
use super::thumbnail::{Made, make_thumbnail};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::failures::{failure, missing, setting_refused, then_of_whole, unusable};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};

/// A video that can be played counts as transcoded after so long, even if Vimeo still works on it.
const PLAYABLE_AFTER_SECONDS: u64 = 600;
/// How often the transcoding is polled, at most and at least.
pub(super) const POLL_MIN: Duration = Duration::from_secs(2);
pub(super) const POLL_MAX: Duration = Duration::from_mins(1);

/// Whether the video can be published.
#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    /// It is polled again after this.
    Poll(Duration),
    /// It has taken too long.
    Late,
}

/// Polls the transcoding, and creates the thumbnail once the video can be played.
pub(super) async fn await_transcoding(
    context: &StepContext<'_>,
    memory: &mut Memory,
    transcoding: Transcoding,
) -> StepOutcome {
    let video = match transcoding.target {
        Target::Video(video) => video,
        Target::Version(version) => {
            return super::replace::await_replacement(context, transcoding, version).await;
        }
    };
    if transcoding.request != UniqueRequest::NotSent {
        return finish_transcoding(context, memory, (transcoding, video), JobPatch::default()).await;
    }
    let found = match context.prepared.session.find_video(video, CALL_TIMEOUT).await {
        Ok(found) => found,
        Err(failed) => return context.stay(then_of_whole(failed, context.now())),
    };
    let Some(state) = found else { return context.stay(missing()) };
    let is_playable = state.is_playable || state.transcode == TranscodeStatus::Complete;
    let found = JobPatch { is_found: true, is_playable, ..JobPatch::default() };
    if let Some(failure) = unusable(&state) {
        return context.stay(Then::Fail(failure)).with(found);
    }
    let waited = context.now().seconds_after(context.job.retry.last_progress_at);
    let deadline = context.uploads.options.retry_deadline;
    match readiness(&state, waited, deadline) {
        Readiness::Ready => finish_transcoding(context, memory, (transcoding, video), found).await,
        Readiness::Late => {
            let message = "Vimeo did not make the video playable in time.";
            let failed = transcoding.kept_closed(failure(FailureCode::VimeoUnavailable, message));
            StepOutcome::advance(JobState::Failed(failed)).with(found)
        }
        Readiness::Poll(pause) => {
            let accepted = JobPatch { is_accepted: true, ..found };
            context.stay(Then::Snooze(pause, WaitingFor::Transcoding)).with(accepted)
        }
    }
}

/// What the state of a video means.
fn readiness(state: &VideoState, waited_seconds: u64, deadline: Duration) -> Readiness {
    let is_playable = state.is_playable && waited_seconds > PLAYABLE_AFTER_SECONDS;
    if state.transcode == TranscodeStatus::Complete || is_playable {
        return Readiness::Ready;
    }
    if waited_seconds > deadline.as_secs() {
        return Readiness::Late;
    }
    Readiness::Poll(poll_pause(waited_seconds, state.duration_seconds))
}

/// How long until the transcoding is polled again: the longer it takes, and the longer the video is, the less often.
pub(super) fn poll_pause(waited_seconds: u64, duration_seconds: Option<u64>) -> Duration {
    let pause = Duration::from_secs((waited_seconds / 10).max(duration_seconds.unwrap_or(0) / 100));
    pause.clamp(POLL_MIN, POLL_MAX)
}

/// Creates the thumbnail, and then only the view is missing.
async fn finish_transcoding(
    context: &StepContext<'_>,
    memory: &mut Memory,
    (transcoding, video): (Transcoding, VideoNumber),
    patch: JobPatch,
) -> StepOutcome {
    let made = match make_thumbnail(context, memory, transcoding).await {
        Made::Done(made) => made,
        Made::NotYet(outcome) => {
            let is_playable = outcome.patch.is_playable || patch.is_playable;
            let patch = JobPatch { is_playable, is_found: patch.is_found, ..JobPatch::default() };
            return outcome.with(patch);
        }
    };
    // Whether its time has come is a question for the database's clock.
    let next = match context.job.publish_at {
        Some(_) => JobState::Scheduled(transcoding.scheduled(video)),
        None => JobState::Publishing(transcoding.transcoded(video)),
    };
    StepOutcome::advance(next).with(JobPatch { warnings: made.warnings, ..patch })
}

/// Waits for the time at which the video is opened. Waiting costs nothing.
pub(super) fn await_publish_time(context: &StepContext<'_>, scheduled: Scheduled) -> StepOutcome {
    match context.job.publish_at {
        Some(at) if !context.job.is_publication_due(context.database_now) => {
            context.stay(Then::SleepUntil(at, WaitingFor::PublishTime))
        }
        _ => StepOutcome::advance(JobState::Publishing(scheduled.due())),
    }
}

/// Opens the video to its viewers, last of all.
pub(super) async fn publish(context: &StepContext<'_>, publishing: Publishing) -> StepOutcome {
    let mut patch = JobPatch::default();
    if let Err(then) = context.remove_duplicates(publishing.video.into(), &mut patch).await {
        return context.stay(then).with(patch);
    }
    let settings = &context.prepared.request.settings;
    let view = settings.privacy.view.unwrap_or(View::Anybody);
    let privacy = PrivacyChange { view: Some(view.as_str().to_owned()), ..PrivacyChange::default() };
    let password = settings.password.as_ref().map(|password| password.as_secret().clone());
    let change = VideoChange { privacy, password, ..VideoChange::default() };
    match context.change_or_fail(publishing.video, &change).await {
        Changed::Yes => {}
        Changed::Refused(said) => {
            let field = if view == View::Password { "privacy.view or the password" } else { "privacy.view" };
            let failed = publishing.kept_closed(setting_refused(field, &said));
            return StepOutcome::advance(JobState::Failed(failed)).with(patch);
        }
        Changed::NotYet(then) => return context.stay(then).with(patch),
    }
    confirm(context, publishing, view, patch).await
}

/// Reads the video once more. Only now: the page of an unlisted video has another address than before.
async fn confirm(
    context: &StepContext<'_>,
    publishing: Publishing,
    view: View,
    mut patch: JobPatch,
) -> StepOutcome {
    let state = match context.prepared.session.find_video(publishing.video, CALL_TIMEOUT).await {
        Ok(Some(state)) => state,
        Ok(None) => return context.stay(missing()).with(patch),
        Err(failed) => return context.stay(then_of_whole(failed, context.now())).with(patch),
    };
    if state.is_shown_to_fewer {
        let warning = format!(
            "Vimeo stored privacy.view as {} but shows the video to fewer people, because the plan of the account \
             was downgraded.",
            view.as_str()
        );
        patch.warnings.push(warning);
    }
    let is_expected = |shown: &String| {
        shown == view.as_str() || (state.is_shown_to_fewer && is_narrower(shown, view.as_str()))
    };
    if let Some(shown) = state.view.filter(|shown| !is_expected(shown)) {
        let message = format!("Vimeo accepted the change but shows privacy.view as {shown}; check it.");
        let failed = publishing.kept_as_is(failure(FailureCode::SettingRefused, message));
        return StepOutcome::advance(JobState::Failed(failed)).with(patch);
    }
    if state.has_untrusted_links {
        let warning = "Vimeo named a page of the video that is not at vimeo.com; it was left out.";
        patch.warnings.push(warning.to_owned());
    }
    let next = JobState::Completed(publishing.published(state.link.unwrap_or_default(), state.player));
    StepOutcome::advance(next).with(patch)
}

/// Whether a view admits fewer people than another one, as far as that is known.
fn is_narrower(shown: &str, requested: &str) -> bool {
    let rank = |name: &str| PlaceholderView::ORDER.iter().position(|view| view.as_str() == name);
    matches!((rank(shown), rank(requested)), (Some(shown), Some(requested)) if shown < requested)
}

#[cfg(test)]
mod tests {
    use vimeo::UploadStatus;

    use super::*;

    const DEADLINE: Duration = Duration::from_hours(24);

    fn state(transcode: TranscodeStatus, is_playable: bool, duration_seconds: Option<u64>) -> VideoState {
        VideoState {
            name: String::new(),
            upload: UploadStatus::Complete,
            transcode,
            is_playable,
            duration_seconds,
            link: None,
            player: None,
            has_untrusted_links: false,
            upload_link: None,
            view: None,
            is_shown_to_fewer: false,
            failed_status: None,
        }
    }

    #[test]
    fn a_view_is_narrower_only_where_the_order_is_known() {
        assert!(is_narrower("nobody", "anybody"));
        assert!(is_narrower("password", "unlisted"));
        assert!(!is_narrower("anybody", "nobody"));
        assert!(!is_narrower("nobody", "nobody"));
        assert!(!is_narrower("embed_only", "anybody"));
    }

    #[test]
    fn a_transcoded_video_is_ready_at_once() {
        let state = state(TranscodeStatus::Complete, false, None);
        assert_eq!(readiness(&state, 0, DEADLINE), Readiness::Ready);
    }

    #[test]
    fn a_playable_video_is_ready_after_ten_minutes() {
        let state = state(TranscodeStatus::InProgress, true, None);
        assert!(matches!(readiness(&state, 600, DEADLINE), Readiness::Poll(_)));
        assert_eq!(readiness(&state, 601, DEADLINE), Readiness::Ready);
    }

    #[test]
    fn a_transcoding_that_never_ends_is_late() {
        let state = state(TranscodeStatus::InProgress, false, None);
        let seconds = DEADLINE.as_secs();
        assert!(matches!(readiness(&state, seconds, DEADLINE), Readiness::Poll(_)));
        assert_eq!(readiness(&state, seconds + 1, DEADLINE), Readiness::Late);
    }

    #[test]
    fn the_transcoding_is_polled_less_often_the_longer_it_takes() {
        let state = state(TranscodeStatus::InProgress, false, None);
        let pause = |waited| match readiness(&state, waited, DEADLINE) {
            Readiness::Poll(pause) => pause.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 10, 100, 300, 3_000].map(pause), [2, 2, 10, 30, 60]);
    }

    #[test]
    fn a_long_video_is_polled_less_often_from_the_start() {
        for (duration, expected) in [(None, 2), (Some(60), 2), (Some(1_000), 10), (Some(36_000), 60)] {
            let state = state(TranscodeStatus::InProgress, false, duration);
            assert_eq!(readiness(&state, 0, DEADLINE), Readiness::Poll(Duration::from_secs(expected)));
        }
    }
}
