//! Creates the chapters of a video.

use domain::job::{Configuring, JobState, UniqueRequest};
use domain::publication::Chapter;
use domain::video::VideoNumber;

use super::configure::Changed;
use super::parts::{done, stay};
use super::unique::{Next, Ours, retry_part};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::failures::then_of_whole;
use crate::uploads::outcome::{JobPatch, StepOutcome};

/// Creates the chapters.
pub(super) async fn make_chapters(
    context: &StepContext<'_>,
    memory: &mut Memory,
    configuring: Configuring,
    chapters: &[Chapter],
) -> StepOutcome {
    let video = configuring.target.video();
    let is_ours = Ours::of(memory.chapters_to_create.as_ref());
    let to_create = match context.next_of(configuring.request, is_ours) {
        Next::Wait(lookup_at) => {
            let request = UniqueRequest::Unconfirmed { lookup_at };
            return stay(Configuring { request, ..configuring }, context.wait_for_lookup(lookup_at));
        }
        Next::Prepare => {
            memory.chapters_to_create = Some(chapters.to_vec());
            let request = UniqueRequest::Sent;
            return StepOutcome::enter(JobState::Configuring(Configuring { request, ..configuring }));
        }
        Next::Send => memory.chapters_to_create.take().unwrap_or_default(),
        Next::LookUp => match missing_chapters(context, video, chapters).await {
            Ok(missing) if missing.is_empty() => return done(configuring),
            Ok(missing) => {
                if context.is_part_exhausted() {
                    return done(configuring)
                        .with(chapter_warning(missing.len(), "Vimeo did not confirm them."));
                }
                // Stored again before they are sent.
                memory.chapters_to_create = Some(missing);
                let sent = Configuring { request: UniqueRequest::Sent, ..configuring };
                return StepOutcome::enter(JobState::Configuring(sent));
            }
            Err(Changed::Refused(said)) => {
                let reason = format!("Vimeo refused to list them: {said}");
                return done(configuring).with(chapter_warning(chapters.len(), &reason));
            }
            Err(Changed::NotYet(then)) => return stay(configuring, then),
            Err(Changed::Yes) => return done(configuring),
        },
    };
    create_chapters(context, configuring, &to_create).await
}

async fn create_chapters(
    context: &StepContext<'_>,
    configuring: Configuring,
    chapters: &[Chapter],
) -> StepOutcome {
    let video = configuring.target.video();
    let mut refused = Vec::new();
    for chapter in chapters {
        let seconds = chapter.starts_at.as_millis() / 1_000;
        let session = &context.prepared.session;
        match session.create_chapter(video, chapter.title.as_str(), seconds, CALL_TIMEOUT).await {
            Ok(()) => {}
            Err(failed @ (vimeo::Failure::Unknown(_) | vimeo::Failure::RetryLater { .. })) => {
                let then = match failed {
                    vimeo::Failure::Unknown(_) => retry_part("a chapter"),
                    failed => then_of_whole(failed, context.now()),
                };
                // Some of them may exist.
                return stay(Configuring { request: context.unconfirmed(), ..configuring }, then);
            }
            Err(failed) => match context.judge_part(failed) {
                Changed::Yes => {}
                Changed::Refused(said) => refused.push(said),
                Changed::NotYet(then) => {
                    return stay(Configuring { request: context.unconfirmed(), ..configuring }, then);
                }
            },
        }
    }
    match refused.first() {
        None => done(configuring),
        Some(said) => {
            done(configuring).with(chapter_warning(refused.len(), &format!("Vimeo refused: {said}")))
        }
    }
}

/// The chapters that Vimeo does not have.
async fn missing_chapters(
    context: &StepContext<'_>,
    video: VideoNumber,
    chapters: &[Chapter],
) -> Result<Vec<Chapter>, Changed> {
    let listed = context.prepared.session.list_chapters(video, CALL_TIMEOUT).await;
    let listed = listed.map_err(|failed| context.judge_part(failed))?;
    let is_there = |chapter: &Chapter| {
        let seconds = chapter.starts_at.as_millis() / 1_000;
        listed.iter().any(|listed| listed.timecode == seconds && listed.title == chapter.title.as_str())
    };
    Ok(chapters.iter().filter(|chapter| !is_there(chapter)).cloned().collect())
}

fn chapter_warning(count: usize, reason: &str) -> JobPatch {
    let message = format!("{count} of the chapters could not be made: {reason}");
    JobPatch { warnings: vec![message], ..JobPatch::default() }
}
