//! Metrics of jobs and webhooks.

use domain::job::{JobState, Webhook};
use metrics::WebhookOutcome;

/// Records the end of a job.
pub(super) fn record_end(state: &JobState) {
    let code = match state {
        JobState::Failed(failed) => Some(failed.failure.code.as_str()),
        JobState::Completed(_) | JobState::Cancelled(_) => None,
        _ => return,
    };
    metrics::record_ended_job(state.as_str(), code);
}

/// Records an attempt to deliver a webhook, by what the job says afterwards.
pub(super) fn record_delivery(webhook: Webhook) {
    metrics::record_webhook_delivery(match webhook {
        Webhook::Delivered => WebhookOutcome::Delivered,
        Webhook::Waiting { .. } => WebhookOutcome::Retried,
        Webhook::Exhausted => WebhookOutcome::Exhausted,
        Webhook::None => return,
    });
}
