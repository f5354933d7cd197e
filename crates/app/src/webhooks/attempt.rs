//! One attempt of a leased delivery: it is prepared, sent, and its result is stored.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Action, Actor};
use domain::job::Webhook;
use domain::time::Timestamp;
use domain::webhook::{
    Attempt, AttemptResult, Delivery, DeliveryStatus, DisabledReason, Endpoint, EndpointState, EventType,
    OPERATOR_RECEIVER,
};
use egress::PostError;
use metrics::WebhookOutcome;
use store::{
    AfterAttempt, Changed, DeliveryResult, EndpointHealth, EndpointRow, EndpointUpdate, FailingSince,
    LeasedDelivery,
};
use tokio::time::Instant;

use super::Webhooks;
use super::content::EndpointContent;
use super::message::{Message, Unsendable, prepare};
use super::presenter::EventData;
use super::receivers::Answered;
use super::retry::{Verdict, asked_delay, disabling, has_time, has_waited_for_long, judge};
use crate::Error;
use crate::context::Context;

/// A delivery that this node has leased.
pub(super) struct Held {
    pub(super) leased: LeasedDelivery,
    /// A moment before the lease began, and how long it lasts.
    pub(super) lease: (Instant, Duration),
}

/// What became of an attempt.
#[derive(Debug, Default)]
pub(super) struct Attempted {
    /// Whether the receiver answered as it should; `None` if nothing was sent.
    pub(super) answered: Option<Answered>,
    /// When the delivery is due again.
    pub(super) retry_in: Option<Duration>,
}

/// Makes one attempt. Without an error, its result is stored, if the lease lasted for long enough; with one, the lease expires
/// and the delivery is due again.
pub(super) async fn deliver(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    held: &Held,
) -> Result<Attempted, Error> {
    let leased = &held.leased;
    let (at, started) = (context.clock.now(), Instant::now());
    let prepared = prepare(context, webhooks, leased).await;
    let (since, lasts) = held.lease;
    if !has_time(lasts, since.elapsed()) {
        tracing::warn!("the database is slow: a webhook is not sent before its lease has expired");
        return Ok(Attempted::default());
    }
    let (result, retry_after) = match prepared {
        Ok(message) => post(context, webhooks, (leased, message)).await,
        Err(Unsendable::Ended(result)) => (result, None),
        Err(Unsendable::Temporary(error)) => return Err(error),
    };
    let now = context.clock.now();
    let verdict = judge_attempt(context, webhooks, leased, (result, retry_after, at));
    log(leased, result, verdict);
    // Before the result: if the process is killed in between, the delivery ends because its endpoint is disabled.
    if let Some(row) = leased.endpoint.as_ref().filter(|row| row.endpoint.state.is_enabled())
        && let since = row.endpoint.failing_since
        && let Some(reason) = disabling((result, verdict), since, now, webhooks.options.disable_after)
    {
        disable(context, row, reason).await?;
    }
    if let AfterAttempt::Ended(status) = after(verdict) {
        // Likewise: the state of the job is written again if its delivery is made again.
        record_in_job(context, leased, status).await?;
    }
    let failed_before = leased.delivery.attempts;
    let attempts = if result.is_attempt() { failed_before.saturating_add(1) } else { failed_before };
    let stored = DeliveryResult {
        fence: leased.fence,
        attempts,
        attempt: Attempt { at, result, duration: started.elapsed() },
        next: after(verdict),
        health: health(result, verdict),
        now,
    };
    let delivery = &leased.delivery;
    let changed = context.store.finish_webhook_delivery(&delivery.account_id, &delivery.id, &stored).await?;
    if changed == Changed::No {
        tracing::debug!(delivery = %delivery.id, "the lease of a delivery was lost; its new holder continues");
    }
    metrics::record_webhook_delivery(match verdict {
        Verdict::Delivered => WebhookOutcome::Delivered,
        Verdict::Retry(_) => WebhookOutcome::Retried,
        Verdict::Gone | Verdict::Exhausted => WebhookOutcome::Exhausted,
    });
    let answered = if verdict == Verdict::Delivered { Answered::Yes } else { Answered::No };
    let retry_in = match verdict {
        Verdict::Retry(delay) => Some(delay),
        _ => None,
    };
    Ok(Attempted { answered: result.is_attempt().then_some(answered), retry_in })
}

/// What follows from a result of an attempt that began at this instant.
fn judge_attempt(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
    (result, retry_after, at): (AttemptResult, Option<egress::RetryAfter>, Timestamp),
) -> Verdict {
    let Delivery { attempts, created_at, next_attempt_at: due_at, .. } = leased.delivery;
    let asked_for = match result {
        AttemptResult::Http(status) => asked_delay(status, retry_after, context.clock.now()),
        _ => None,
    };
    let [random] = context.randomness.identifier_bytes::<1>();
    let delays = &webhooks.options.retry_delays;
    match judge(result, attempts, asked_for, (delays, random)) {
        Verdict::Retry(_) if has_waited_for_long(created_at, due_at, at, delays) => Verdict::Exhausted,
        verdict => verdict,
    }
}

async fn post(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    (leased, message): (&LeasedDelivery, Message),
) -> (AttemptResult, Option<egress::RetryAfter>) {
    let Message { url, body, secrets } = message;
    let seconds = context.clock.now().as_millis() / 1_000;
    // The same for each attempt, so that a receiver recognises a repetition.
    let id = &leased.delivery.event_id;
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.clone()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
    ];
    if !secrets.is_empty() {
        let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(id, seconds, &body)).collect();
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    match webhooks.egress.post(&url, headers, body).await {
        Ok(posted) => (AttemptResult::Http(posted.status), posted.retry_after),
        Err(PostError::NoResponse) => (AttemptResult::NoResponse, None),
        Err(PostError::Unreachable) => (AttemptResult::Unreachable, None),
        // The identifier was changed in the database.
        Err(PostError::Header) => (AttemptResult::Unreadable, None),
    }
}

fn after(verdict: Verdict) -> AfterAttempt {
    match verdict {
        Verdict::Delivered => AfterAttempt::Ended(DeliveryStatus::Delivered),
        Verdict::Gone | Verdict::Exhausted => AfterAttempt::Ended(DeliveryStatus::Exhausted),
        Verdict::Retry(delay) => AfterAttempt::RetryIn(delay),
    }
}

fn health(result: AttemptResult, verdict: Verdict) -> EndpointHealth {
    match (result.is_attempt(), verdict) {
        (false, _) => EndpointHealth::Unknown,
        (true, Verdict::Delivered) => EndpointHealth::Working,
        (true, _) => EndpointHealth::Failing,
    }
}

/// Disables an endpoint that is still as it was read, and announces that to the others.
async fn disable(context: &Arc<Context>, row: &EndpointRow, reason: DisabledReason) -> Result<(), Error> {
    let Endpoint { id, account_id, version, .. } = &row.endpoint;
    let key = context.account_key(account_id).await?;
    // One that does not verify is reported where it is used.
    let Ok(opened) = EndpointContent::open(row, &key) else { return Ok(()) };
    let endpoint = Endpoint {
        version: version + 1,
        updated_at: context.clock.now(),
        state: EndpointState::Disabled(Some(reason)),
        ..row.endpoint.clone()
    };
    let event =
        context.audit_event(account_id, Actor::Service, Action::DisableWebhookEndpoint, Some(id.to_string()));
    let data = EventData::DisabledEndpoint { id, reason };
    // A delivery that succeeded meanwhile keeps it enabled.
    let failing_since = match (reason, row.endpoint.failing_since) {
        (DisabledReason::Failing, Some(since)) => FailingSince::Still(since),
        _ => FailingSince::Kept,
    };
    let update = EndpointUpdate {
        expected_version: *version,
        row: opened.seal(endpoint, &key, &context.randomness)?,
        failing_since,
        event: context.announce(event, EventType::EndpointDisabled, data),
    };
    if context.store.update_webhook_endpoint(account_id, update).await? == Changed::Yes {
        tracing::warn!(
            endpoint = %id, account = %account_id, reason = reason.as_str(),
            "a webhook endpoint was disabled"
        );
        metrics::record_disabled_endpoint(reason.as_str());
        context.announcer.wakeup.notify_one();
    }
    Ok(())
}

/// The job shows how its own webhook ended. A job that cannot be read does not keep its delivery from ending: the receiver would
/// get the webhook again and again.
async fn record_in_job(
    context: &Arc<Context>,
    leased: &LeasedDelivery,
    status: DeliveryStatus,
) -> Result<(), Error> {
    let delivery = &leased.delivery;
    let Some(job) = delivery.job_id.as_ref().filter(|_| leased.message.is_none()) else { return Ok(()) };
    let webhook = match status {
        DeliveryStatus::Delivered => Webhook::Delivered,
        DeliveryStatus::Waiting | DeliveryStatus::Exhausted => Webhook::Exhausted,
    };
    match crate::uploads::record_webhook(context, (&delivery.account_id, job), webhook).await {
        Err(error) if !error.is_temporary() => {
            tracing::error!(%error, %job, "how the webhook of a job ended could not be recorded in the job");
            Ok(())
        }
        recorded => recorded,
    }
}

/// The first failure and the last are reported. The span names the delivery.
fn log(leased: &LeasedDelivery, result: AttemptResult, verdict: Verdict) {
    let (name, status) = result.to_stored();
    let attempts = leased.delivery.attempts.saturating_add(1);
    match verdict {
        Verdict::Delivered => tracing::debug!(attempts, "a webhook was delivered"),
        Verdict::Retry(_) if attempts == 1 => {
            tracing::info!(result = name, status, "a webhook was not accepted; it will be retried");
        }
        Verdict::Retry(_) => tracing::debug!(result = name, status, attempts, "a webhook was not accepted"),
        Verdict::Gone => tracing::info!("a receiver does not want any more webhooks"),
        Verdict::Exhausted if leased.receiver == OPERATOR_RECEIVER => {
            tracing::error!(
                result = name,
                status,
                attempts,
                "a webhook to the operator's endpoint was not delivered, and is not tried again"
            );
        }
        Verdict::Exhausted if result.is_attempt() => {
            tracing::warn!(
                result = name,
                status,
                attempts,
                "a webhook was not delivered, and is not tried again"
            );
        }
        Verdict::Exhausted => tracing::debug!(result = name, "a webhook was not sent"),
    }
}
