//! One attempt of a leased delivery: it is prepared, sent, and its result is stored.

use std::sync::Arc;

use domain::audit::{Action, Actor};
use domain::job::Webhook;
use domain::time::Timestamp;
use domain::webhook::{
    Attempt, AttemptResult, DeliveryStatus, DisabledReason, Endpoint, EndpointState, EventType,
    OPERATOR_RECEIVER,
};
use egress::PostError;
use metrics::WebhookOutcome;
use store::{
    AfterAttempt, Changed, DeliveryResult, EndpointHealth, EndpointRow, EndpointUpdate, LeasedDelivery,
};
use tokio::time::Instant;

use super::Webhooks;
use super::content::EndpointContent;
use super::message::{Message, Unsendable, prepare};
use super::presenter::EventData;
use super::receivers::Answered;
use super::retry::{Verdict, asked_delay, has_failed_for_long, judge};
use crate::Error;
use crate::context::Context;

/// Makes one attempt. Returns whether the receiver answered as it should; `None` if nothing was sent. Without an error, its
/// result is stored; with one, the lease expires and the delivery is due again.
pub(super) async fn deliver(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
) -> Result<Option<Answered>, Error> {
    let (at, started) = (context.clock.now(), Instant::now());
    let (result, retry_after) = match prepare(context, webhooks, leased).await {
        Ok(message) => post(context, webhooks, (leased, message)).await,
        Err(Unsendable::Ended(result)) => (result, None),
        Err(Unsendable::Temporary(error)) => return Err(error),
    };
    let now = context.clock.now();
    let failed_before = leased.delivery.attempts;
    let asked_for = match result {
        AttemptResult::Http(status) => asked_delay(status, retry_after, now),
        _ => None,
    };
    let [random] = context.randomness.identifier_bytes::<1>();
    let verdict = judge(result, failed_before, asked_for, (&webhooks.options.retry_delays, random));
    log(leased, result, verdict);
    // Before the result: if the process is killed in between, the delivery ends because its endpoint is disabled.
    if let Some((row, reason)) = disabling(webhooks, leased, verdict, now) {
        disable(context, row, reason).await?;
    }
    if let AfterAttempt::Ended(status) = after(verdict) {
        // Likewise: the state of the job is written again if its delivery is made again.
        record_in_job(context, leased, status).await?;
    }
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
    Ok(result.is_attempt().then_some(if verdict == Verdict::Delivered {
        Answered::Yes
    } else {
        Answered::No
    }))
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

/// The endpoint of a delivery, if it is disabled now, and why.
fn disabling<'a>(
    webhooks: &Webhooks,
    leased: &'a LeasedDelivery,
    verdict: Verdict,
    now: Timestamp,
) -> Option<(&'a EndpointRow, DisabledReason)> {
    let row = leased.endpoint.as_ref().filter(|row| row.endpoint.state.is_enabled())?;
    match verdict {
        Verdict::Gone => Some((row, DisabledReason::Gone)),
        Verdict::Retry(_) | Verdict::Exhausted => {
            let since = row.endpoint.failing_since;
            has_failed_for_long(since, now, webhooks.options.disable_after)
                .then_some((row, DisabledReason::Failing))
        }
        Verdict::Delivered => None,
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
    let update = EndpointUpdate {
        expected_version: *version,
        row: opened.seal(endpoint, &key, &context.randomness)?,
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

/// The job shows how its own webhook ended.
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
    crate::uploads::record_webhook(context, (&delivery.account_id, job), webhook).await
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
