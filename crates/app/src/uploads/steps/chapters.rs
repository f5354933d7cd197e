//! Creates the chapters of a video.

use domain::job::{Configuring, JobState, UniqueRequest};
use domain::publication::Chapter;
use domain::video::VideoNumber;

use super::parts::{done, stay, wait_until};
use super::unique::{Next, Ours, retry_part};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};

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
        Next::Wait(lookup_at) => return wait_until(context, configuring, lookup_at),
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
            Err(Ok(said)) => {
                let reason = format!("Vimeo refused to list them: {said}");
                return done(configuring).with(chapter_warning(chapters.len(), &reason));
            }
            Err(Err(then)) => return stay(configuring, then),
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
        let created = session.create_chapter(video, chapter.title.as_str(), seconds, CALL_TIMEOUT).await;
        let Err(failed) = created else { continue };
        let refusal = match failed {
            vimeo::Failure::Unknown(_) => Err(retry_part("a chapter")),
            failed => context.refusal_of_part(failed),
        };
        match refusal {
            Ok(said) => refused.push(said),
            // Some of them may exist.
            Err(then) => {
                let request = UniqueRequest::Unconfirmed { lookup_at: context.lookup_at() };
                return stay(Configuring { request, ..configuring }, then);
            }
        }
    }
    match refused.first() {
        None => done(configuring),
        Some(said) => {
            done(configuring).with(chapter_warning(refused.len(), &format!("Vimeo refused: {said}")))
        }
    }
}

/// The chapters that Vimeo does not have; an error if it does not list them, as [`StepContext::refusal_of_part`] has it.
async fn missing_chapters(
    context: &StepContext<'_>,
    video: VideoNumber,
    chapters: &[Chapter],
) -> Result<Vec<Chapter>, Result<String, Then>> {
    let listed = context.prepared.session.list_chapters(video, CALL_TIMEOUT).await;
    let listed = listed.map_err(|failed| context.refusal_of_part(failed))?;
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
