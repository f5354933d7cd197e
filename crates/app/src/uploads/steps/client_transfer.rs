//! Watches a client that sends the bytes to the upload link itself.

use std::time::Duration;

use domain::job::{FailureCode, JobState, Progress, Uploading, WaitingFor};
use vimeo::{LinkFailure, UploadLink};

use super::transfer::{is_coherent, link_failed, link_is_gone, stay};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::failures::failure;
use crate::uploads::outcome::{Change, JobPatch, StepOutcome, Then};

/// How often the progress is polled, at most and at least.
const WATCH_PAUSE: Duration = Duration::from_secs(2);
const WATCH_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Polls how far the client is.
pub(super) async fn watch(
    context: &StepContext<'_>,
    memory: &mut Memory,
    uploading: Uploading,
    link: &UploadLink,
) -> StepOutcome {
    let now = context.now();
    let idle_seconds = now.seconds_after(context.job.retry.last_progress_at);
    let is_idle = idle_seconds > context.uploads.options.client_deadline.as_secs();
    let remote = match context.uploads.client.offset(link, CALL_TIMEOUT).await {
        Ok(remote) => remote,
        Err(LinkFailure::Gone) => return link_is_gone(context, memory, uploading).await,
        // The client is sending.
        Err(LinkFailure::Locked) if !is_idle => {
            return stay(uploading, Then::Snooze(WATCH_PAUSE, WaitingFor::Client));
        }
        Err(_) => return link_failed(context, memory, uploading).await,
    };
    // A client in this service's own processes records what it has sent, which may be more than what Vimeo has received.
    if !is_coherent(remote, uploading.size, 0) {
        tracing::error!(job = %context.job.id, ?remote, "Vimeo reported an impossible state of a client's upload");
        return link_is_gone(context, memory, uploading).await;
    }
    let accepted = |bytes_per_second| JobPatch { is_accepted: true, bytes_per_second, ..JobPatch::default() };
    match uploading.acknowledge(remote.offset) {
        Ok(Progress::Whole(configuring)) => StepOutcome::advance(JobState::Configuring(configuring)),
        Ok(Progress::More(more)) if more.sent > uploading.sent => {
            let seconds = now.seconds_after(context.job.updated_at).max(1);
            let rate = (more.sent - uploading.sent) / seconds;
            let then = Then::ProgressThenSnooze(WATCH_PAUSE, WaitingFor::Client);
            stay(more, then).with(accepted(Change::Set(rate)))
        }
        Ok(Progress::More(_)) if is_idle => stay(
            uploading,
            Then::Fail(failure(FailureCode::UploadLinkExpired, "The client did not send its bytes in time.")),
        ),
        Ok(Progress::More(more)) => {
            let pause = Duration::from_secs(idle_seconds / 10).clamp(WATCH_PAUSE, WATCH_PAUSE_MAX);
            stay(more, Then::Snooze(pause, WaitingFor::Client)).with(accepted(Change::Clear))
        }
        Err(error) => {
            tracing::error!(job = %context.job.id, %error, "Vimeo reported an impossible state of a client's upload");
            link_is_gone(context, memory, uploading).await
        }
    }
}
