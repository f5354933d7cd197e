//! Deletes what a job that will not complete has created at Vimeo.

use domain::job::{CleaningUp, Ending, FailureCode, JobState, ProbeMissed, WaitingFor};

use super::placeholders::{Deleted, placeholder_name};
use super::{Memory, StepContext};
use crate::uploads::failures::{delay_until, failure, then_of};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};

/// Deletes the known video; then, if a create was unconfirmed, what else has the placeholder's name, one after the other,
/// searched for as often and as late as when the job would continue with it.
pub(super) async fn clean_up(
    context: &StepContext<'_>,
    memory: &mut Memory,
    cleaning: CleaningUp,
) -> StepOutcome {
    if let Some(target) = cleaning.target.filter(|target| !context.job.undeleted.contains(target)) {
        let mut patch = JobPatch::default();
        let deleted = match &cleaning.ending {
            Ending::Cancelled => context.delete(target, &mut patch).await,
            Ending::Failed(_) => context.delete_unless_whole(target, &mut patch).await,
        };
        return match deleted {
            Deleted::Yes => {
                memory.last_deleted = Some(target);
                StepOutcome::enter(JobState::CleaningUp(CleaningUp { target: None, ..cleaning }))
            }
            Deleted::Whole => StepOutcome::enter(cleaning.ended(Some(target))),
            Deleted::NotYet(then) => context.stay(then),
        }
        .with(patch);
    }
    let Some(since) = searched_since(context, &cleaning) else {
        return StepOutcome::enter(cleaning.ended(context.job.undeleted.first().copied()));
    };
    let mut not_before = context.job.updated_at;
    if let Some(creating) = cleaning.unconfirmed {
        let options = &context.uploads.options;
        let probe_at = creating.next_probe_at(options.probe_delay, options.probe_span);
        if context.now() < probe_at {
            let delay = delay_until(probe_at, context.now());
            return context.stay(Then::Snooze(delay, WaitingFor::Confirmation));
        }
        not_before = probe_at;
    }
    // A list that was read before a deletion shows what was deleted.
    if memory.last_deleted.is_some() {
        not_before = context.now();
    }
    let found = match context.find_placeholders(None, since, not_before).await {
        Ok(found) => found,
        Err(failed) => return context.stay(then_of(failed, FailureCode::VimeoRefused, context.now())),
    };
    for target in found {
        match context.find_target(target).await {
            // A list may contain a deleted video for a while.
            Ok(None) => {}
            Ok(Some(_)) if memory.last_deleted == Some(target) => {
                let message = "Vimeo shows a video that it has deleted.";
                return context.stay(Then::Retry(failure(FailureCode::VimeoUnavailable, message)));
            }
            Ok(Some(_)) => {
                let next = CleaningUp { target: Some(target), ..cleaning };
                return StepOutcome::enter(JobState::CleaningUp(next));
            }
            Err(failed) => return context.stay(then_of(failed, FailureCode::VimeoRefused, context.now())),
        }
    }
    let Some(creating) = cleaning.unconfirmed else {
        return StepOutcome::enter(cleaning.ended(context.job.undeleted.first().copied()));
    };
    let unconfirmed = match creating.probe_missed() {
        ProbeMissed::Again(creating) => Some(creating),
        ProbeMissed::Absent(_) => None,
    };
    StepOutcome::enter(JobState::CleaningUp(CleaningUp { unconfirmed, target: None, ..cleaning }))
}

/// The first create that may have left a placeholder that no answer confirmed; `None`: nothing needs to be searched for.
fn searched_since(context: &StepContext<'_>, cleaning: &CleaningUp) -> Option<domain::time::Timestamp> {
    let timeout = i64::try_from(context.uploads.options.create_timeout.as_secs()).unwrap_or(0);
    let asked_at = cleaning.unconfirmed.map(|creating| creating.deadline_at.plus_seconds(-timeout));
    match (context.job.unconfirmed_since, asked_at) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// What it created cannot be deleted: it is left, and named.
pub(in crate::uploads) fn leave(context: &StepContext<'_>, cleaning: CleaningUp) -> StepOutcome {
    let mut patch = JobPatch::default();
    if let Some(target) = cleaning.target {
        patch.undeleted.push(target);
    } else {
        let name = placeholder_name(&context.job.id);
        patch.warnings.push(format!("A video named “{name}” may still be at Vimeo."));
    }
    let left = cleaning.target.or_else(|| context.job.undeleted.first().copied());
    StepOutcome::enter(cleaning.ended(left)).with(patch)
}
