//! From nothing to a placeholder, once: Vimeo's create is neither conditional nor idempotent.
//!
//! That a placeholder is being created is stored, with the deadline of the request, before Vimeo is asked. Its name carries
//! the job's identifier. If no answer confirms whether Vimeo created it, no other one is created before the deadline and a
//! delay have passed and the newest videos were searched three times.

use std::time::Duration;

use domain::job::{
    Configuring, Creating, Failure, FailureCode, Fetch, JobState, ProbeMissed, Queued, SourceFacts, Target,
    WaitingFor,
};
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::upload::{VideoName, View};
use vimeo::{NewPlaceholder, PlaceholderView};

use super::placeholders::{Deleted, placeholder_name};
use super::targets::FoundTarget;
use super::transfer::Transfer;
use super::{Memory, StepContext};
use crate::uploads::failures::{delay_until, failure, then_of};
use crate::uploads::outcome::{Change, JobPatch, StepOutcome, Then};
use crate::uploads::sources::{self, TransferMode};

/// Before the create: deletes an orphan, inspects the source, and then stores that Vimeo will be asked.
pub(super) async fn begin(context: &StepContext<'_>, memory: &mut Memory, queued: Queued) -> StepOutcome {
    if let Some(orphan) = queued.orphan {
        return delete_orphan(context, queued, orphan).await;
    }
    // Before the source is read, which may take long.
    if let Some(video) = context.job.replaces
        && !memory.is_replaced_video_checked
    {
        if let Err(then) = context.check_replaced(video).await {
            return context.stay(then);
        }
        memory.is_replaced_video_checked = true;
    }
    if context.job.size().is_none() {
        return match inspect_source(context, memory).await {
            Ok((facts, name)) => {
                let patch = JobPatch { facts: Change::Set(facts), name, ..JobPatch::default() };
                StepOutcome::advance(JobState::Queued(queued)).with(patch)
            }
            Err(then) => context.stay(then),
        };
    }
    begin_create(context, memory, queued)
}

/// The state that is stored before Vimeo is asked. Storing it is also the last check that the lease still holds.
pub(in crate::uploads) fn begin_create(
    context: &StepContext<'_>,
    memory: &mut Memory,
    queued: Queued,
) -> StepOutcome {
    let views = views(context.prepared.request.settings.privacy.view);
    if memory.refused_views >= views.len() {
        let message = "Vimeo refused every view that is as private as the requested one.";
        return context.stay(Then::Fail(failure(FailureCode::SettingRefused, message)));
    }
    let creating = queued.begin_creating(context.now().plus(context.uploads.options.create_timeout));
    memory.unasked_create = Some(creating.deadline_at);
    StepOutcome::enter(JobState::Creating(creating))
}

/// Asks Vimeo for a placeholder if this worker has just stored that it will; otherwise an earlier request may have created
/// one, and is searched for.
pub(in crate::uploads) async fn create(
    context: &StepContext<'_>,
    memory: &mut Memory,
    creating: Creating,
) -> StepOutcome {
    if memory.unasked_create.take() != Some(creating.deadline_at) {
        return probe(context, memory, creating).await;
    }
    // The stored deadline counts, however long storing it took.
    let Some(left) = left_until(context.now(), creating.deadline_at) else {
        return unconfirmed(context, creating);
    };
    let size = context.job.size().unwrap_or(0);
    if let Some(video) = context.job.replaces {
        return super::replace::create_version(context, memory, creating, (video, size, left)).await;
    }
    let view = views(context.prepared.request.settings.privacy.view)
        .get(memory.refused_views)
        .copied()
        .unwrap_or(PlaceholderView::Nobody);
    let password = (view == PlaceholderView::Password).then(|| unknown_password(context));
    let name = placeholder_name(&context.job.id);
    let new = NewPlaceholder { name: &name, size, view, password: password.as_ref() };
    let failed = match context.prepared.session.create_video(&new, left).await {
        Ok(created) => {
            // It has no bytes yet: nothing needs to be asked before the first one is sent.
            memory.transfer = Some(Transfer::new());
            let requested = context.prepared.request.settings.privacy.view;
            let refused = not_allowed(requested, created.allowed_privacies.as_deref());
            let patch = JobPatch {
                link: Some(created.link),
                allowed_privacies: created.allowed_privacies,
                ..JobPatch::default()
            };
            let uploading = JobState::Uploading(creating.created(created.video, size));
            return match refused {
                Some(failure) => StepOutcome::stay(uploading, Then::Fail(failure)),
                None => StepOutcome::advance(uploading),
            }
            .with(patch);
        }
        Err(failed) => failed,
    };
    not_created(context, memory, creating, failed)
}

/// What follows from a request that created nothing, or perhaps something.
pub(super) fn not_created(
    context: &StepContext<'_>,
    memory: &mut Memory,
    creating: Creating,
    failed: vimeo::Failure,
) -> StepOutcome {
    if let vimeo::Failure::Unknown(error) = failed {
        tracing::info!(job = %context.job.id, %error, "whether Vimeo created a placeholder is unknown");
        return unconfirmed(context, creating);
    }
    // Vimeo certainly created none.
    let queued = JobState::Queued(creating.not_created());
    match failed {
        vimeo::Failure::Refused(said) if said.is_about_view() => {
            memory.refused_views += 1;
            StepOutcome::enter(queued)
        }
        vimeo::Failure::NotFound => {
            let message = "Vimeo answered 404 to the creation of a video.";
            StepOutcome::stay(queued, Then::Fail(failure(FailureCode::VimeoRefused, message)))
        }
        failed => StepOutcome::stay(queued, then_of(failed, FailureCode::VimeoRefused, context.now())),
    }
}

/// The failure of a view that the account may not use. Vimeo refuses it only once all bytes are there.
fn not_allowed(requested: Option<View>, allowed: Option<&[String]>) -> Option<Failure> {
    let view = requested?.as_str();
    let allowed = allowed?;
    (!allowed.iter().any(|name| name == view)).then(|| {
        let message = format!(
            "The plan of the Vimeo account does not include privacy.view {view}; it allows {}.",
            allowed.join(", ")
        );
        failure(FailureCode::PrivacyNotAllowed, message)
    })
}

/// The create is unconfirmed from its request on, and is searched for later.
fn unconfirmed(context: &StepContext<'_>, creating: Creating) -> StepOutcome {
    let probe_at = next_probe_at(context, creating);
    let delay = delay_until(probe_at, context.now());
    context.stay(Then::Snooze(delay, WaitingFor::Confirmation)).with(since(context, creating))
}

fn since(context: &StepContext<'_>, creating: Creating) -> JobPatch {
    let timeout = i64::try_from(context.uploads.options.create_timeout.as_secs()).unwrap_or(0);
    let asked_at = creating.deadline_at.plus_seconds(-timeout);
    JobPatch { unconfirmed_since: Some(asked_at), ..JobPatch::default() }
}

fn next_probe_at(context: &StepContext<'_>, creating: Creating) -> Timestamp {
    let options = &context.uploads.options;
    creating.next_probe_at(options.probe_delay, options.probe_span)
}

/// Searches for the placeholder of an earlier request.
async fn probe(context: &StepContext<'_>, memory: &mut Memory, creating: Creating) -> StepOutcome {
    let probe_at = next_probe_at(context, creating);
    if context.now() < probe_at {
        return unconfirmed(context, creating);
    }
    let patch = since(context, creating);
    let since = patch.unconfirmed_since.unwrap_or(context.job.created_at);
    let since = context.job.unconfirmed_since.map_or(since, |earlier| earlier.min(since));
    let found = match context.find_placeholders(creating.orphan, since, probe_at).await {
        Ok(found) => found,
        Err(failed) => {
            return context.stay(then_of(failed, FailureCode::VimeoRefused, context.now())).with(patch);
        }
    };
    let size = context.job.size().unwrap_or(0);
    // The lowest number that exists: a list may contain a deleted video for a while.
    for target in found {
        match context.find_target(target).await {
            Ok(Some(FoundTarget { link: Some(link), .. })) => {
                tracing::info!(job = %context.job.id, %target, "the placeholder of an earlier request was found");
                let patch = JobPatch { link: Some(link), ..patch };
                return StepOutcome::advance(JobState::Uploading(creating.created(target, size))).with(patch);
            }
            // It exists and takes no bytes: another one is needed.
            Ok(Some(_)) => {
                let Some(queued) = creating.created(target, size).restart() else {
                    let message = "Vimeo repeatedly gave no upload link.";
                    return context.stay(Then::Fail(failure(FailureCode::UploadLost, message))).with(patch);
                };
                memory.refused_views = 0;
                return StepOutcome::enter(JobState::Queued(queued)).with(patch);
            }
            Ok(None) => {}
            Err(failed) => {
                return context.stay(then_of(failed, FailureCode::VimeoRefused, context.now())).with(patch);
            }
        }
    }
    match creating.probe_missed() {
        ProbeMissed::Again(creating) => {
            let delay = delay_until(next_probe_at(context, creating), context.now());
            let then = Then::Snooze(delay, WaitingFor::Confirmation);
            StepOutcome::stay(JobState::Creating(creating), then).with(patch)
        }
        ProbeMissed::Absent(queued) => {
            // Another placeholder is created after a delay that grows, and not for ever.
            let message = "Vimeo repeatedly did not confirm whether it had created the video.";
            let then = Then::Retry(failure(FailureCode::VimeoUnavailable, message));
            StepOutcome::stay(JobState::Queued(queued), then).with(patch)
        }
    }
}

/// Deletes the placeholder of an earlier attempt, unless its bytes turn out to be there: then the job continues with it.
async fn delete_orphan(context: &StepContext<'_>, queued: Queued, orphan: Target) -> StepOutcome {
    let mut patch = JobPatch::default();
    match context.delete_unless_whole(orphan, &mut patch).await {
        Deleted::Yes => StepOutcome::enter(JobState::Queued(queued.without_orphan())).with(patch),
        Deleted::Whole => {
            let size = context.job.size().unwrap_or(0);
            StepOutcome::advance(JobState::Configuring(Configuring::new(orphan, size))).with(patch)
        }
        Deleted::NotYet(then) => context.stay(then).with(patch),
    }
}

/// What is known of the source before its first byte is used, and the name of its file.
async fn inspect_source(
    context: &StepContext<'_>,
    memory: &mut Memory,
) -> Result<(SourceFacts, Option<VideoName>), Then> {
    let uploads = context.uploads;
    let url = sources::read_source(&uploads.egress, &context.prepared.request.source).map_err(Then::Fail)?;
    let inspected = uploads.egress.inspect(&url, uploads.options.source_max_bytes).await;
    let (mut found, first) = inspected.map_err(sources::then_of)?;
    match sources::transfer_mode(first.content, uploads.options.spool.file_max_bytes) {
        Ok(TransferMode::AsIs) => {}
        // Its decompressed length is unknown.
        Ok(TransferMode::Decompressed) => found.length = None,
        Err(error) => return Err(sources::then_of(error)),
    }
    if let Some(length) = found.length {
        let facts = sources::to_facts(&found, length, sources::fetch_of(&found));
        return Ok((facts, first.name));
    }
    let spooled = sources::spool(uploads, &url, None).await.map_err(sources::then_of)?;
    let length = spooled.length();
    let read = egress::SourceMetadata { validators: spooled.validators().clone(), ..found };
    memory.spooled = Some(spooled);
    Ok((sources::to_facts(&read, length, Fetch::Spooled), first.name))
}

/// A password that keeps a video closed because it is stored nowhere.
fn unknown_password(context: &StepContext<'_>) -> Secret {
    Secret::new(format!("{:032x}", u128::from_be_bytes(context.randomness.bytes())))
}

/// The views a placeholder may have, the narrowest first: never wider than the view the video gets in the end.
fn views(requested: Option<View>) -> &'static [PlaceholderView] {
    let count = match requested.unwrap_or(View::Anybody) {
        View::Nobody => 1,
        View::Password | View::Users | View::Contacts => 2,
        View::Disable => 3,
        View::Unlisted => 4,
        View::Anybody => 5,
    };
    PlaceholderView::ORDER.get(..count).unwrap_or(&PlaceholderView::ORDER)
}

/// The time that is left; `None` if it has passed.
fn left_until(now: Timestamp, deadline_at: Timestamp) -> Option<Duration> {
    let micros = u64::try_from(deadline_at.as_micros() - now.as_micros()).ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_never_more_open_than_its_video() {
        assert_eq!(views(Some(View::Nobody)), [PlaceholderView::Nobody]);
        assert_eq!(views(Some(View::Password)), [PlaceholderView::Nobody, PlaceholderView::Password]);
        assert_eq!(views(Some(View::Unlisted)).last(), Some(&PlaceholderView::Unlisted));
        assert_eq!(views(None), PlaceholderView::ORDER);
    }

    #[test]
    fn after_its_deadline_vimeo_is_not_asked() {
        let at = Timestamp::from_millis;
        assert_eq!(left_until(at(1_000), at(1_500)), Some(Duration::from_millis(500)));
        assert_eq!(left_until(at(1_500), at(1_500)), None);
        assert_eq!(left_until(at(9_000), at(1_500)), None);
    }
}
