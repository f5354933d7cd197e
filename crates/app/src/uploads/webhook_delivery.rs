//! Delivers the webhook of a job that has ended, signed as the Standard Webhooks specification says.

use std::sync::Arc;
use std::time::Duration;

use domain::job::{Job, Webhook};
use seal::webhook::WebhookSecret;
use store::SealedPart;

use super::executor::{abort, request_after};
use super::job_metrics::record_delivery;
use super::lease::{AbortReason, Commit, JobLease, NextRun};
use super::receivers::busy_pause;
use super::request::{UploadRequest, WebhookTarget};
use super::setup::Uploads;
use crate::Error;
use crate::context::Context;
use crate::webhook_secrets::list_secrets;
use egress::PostError;

/// The delays between attempts: 27 hours in all.
const DELAYS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(11),
];
/// The receiver does not want any more webhooks.
const GONE: u16 = 410;

/// What follows from an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Delivered,
    Exhausted,
    Retry(Duration),
}

/// Makes one attempt; the webhook is then delivered, exhausted, or due again.
pub(super) async fn deliver(
    context: &Arc<Context>,
    uploads: &Uploads,
    lease: &mut JobLease,
    request: Option<UploadRequest>,
) -> Result<(), AbortReason> {
    let Webhook::Waiting { attempts } = lease.job.webhook else {
        // Nothing is due.
        return end(lease, lease.job.webhook).await;
    };
    let Some(target) = request.and_then(|request| request.webhook) else {
        return end(lease, Webhook::Exhausted).await;
    };
    let [random] = context.randomness.identifier_bytes::<1>();
    let account = lease.job.account_id.clone();
    let sending = origin(&target).map(|origin| uploads.receivers.start(&account, origin));
    if let Some(None) = sending {
        // No attempt: the receiver has enough requests to answer.
        return wait(lease, attempts, busy_pause(random)).await;
    }
    let status = match post(context, uploads, &lease.job, &target).await {
        Ok(status) => Some(status),
        Err(DeliveryError::Forbidden) => return end(lease, Webhook::Exhausted).await,
        Err(DeliveryError::Post(error)) if attempts == 0 => {
            tracing::info!(%error, "a webhook could not be delivered; it will be retried");
            None
        }
        Err(DeliveryError::Post(error)) => {
            tracing::debug!(%error, attempts, "a webhook could not be delivered");
            None
        }
        // Damaged, perhaps for ever: that is an attempt, too.
        Err(DeliveryError::App(error @ Error::Internal(_))) => {
            tracing::error!(%error, job = %lease.job.id, "a webhook cannot be signed");
            None
        }
        Err(DeliveryError::App(error)) => return Err(abort(error)),
    };
    let verdict = judge(status, attempts, random);
    match (&verdict, status) {
        (Verdict::Retry(_), Some(status)) if attempts == 0 => {
            tracing::info!(status, "a webhook was not accepted; it will be retried");
        }
        (Verdict::Retry(_), Some(status)) => tracing::debug!(status, attempts, "a webhook was not accepted"),
        (Verdict::Exhausted, status) if status != Some(GONE) => {
            tracing::warn!(attempts = attempts + 1, "a webhook was given up after a day");
        }
        _ => {}
    }
    match verdict {
        Verdict::Delivered => end(lease, Webhook::Delivered).await?,
        Verdict::Exhausted => end(lease, Webhook::Exhausted).await?,
        Verdict::Retry(delay) => wait(lease, attempts + 1, delay).await?,
    }
    record_delivery(lease.job.webhook);
    Ok(())
}

/// What follows from this attempt, after this many failed ones. `None`: there was no answer.
fn judge(status: Option<u16>, failed_attempts: u32, random: u8) -> Verdict {
    match status {
        Some(200..=299) => return Verdict::Delivered,
        Some(GONE) => return Verdict::Exhausted,
        _ => {}
    }
    let delay = usize::try_from(failed_attempts).ok().and_then(|attempts| DELAYS.get(attempts));
    // A tenth more or less, so that many do not come at once.
    delay.map_or(Verdict::Exhausted, |delay| {
        Verdict::Retry(*delay * 9 / 10 + *delay / 5 * u32::from(random) / 255)
    })
}

async fn wait(lease: &mut JobLease, attempts: u32, delay: Duration) -> Result<(), AbortReason> {
    let job = Job { webhook: Webhook::Waiting { attempts }, ..lease.job.clone() };
    lease.commit(Commit::new(job, NextRun::In(delay))).await
}

/// The receiver's origin; `None` for what is not an address, to which nothing is sent.
fn origin(target: &WebhookTarget) -> Option<String> {
    let url = url::Url::parse(target.url.expose()).ok()?;
    Some(url.origin().ascii_serialization())
}

/// Why an attempt got no answer.
enum DeliveryError {
    Post(PostError),
    /// The address is no longer allowed.
    Forbidden,
    App(Error),
}

impl From<Error> for DeliveryError {
    fn from(error: Error) -> Self {
        Self::App(error)
    }
}

/// Nothing more is due, and what was sealed is wiped, unless a retry may need it.
async fn end(lease: &mut JobLease, webhook: Webhook) -> Result<(), AbortReason> {
    let job = Job { webhook, ..lease.job.clone() };
    let request = request_after(&job);
    let commit = Commit::new(job, NextRun::Never);
    lease.commit(Commit { request, link: SealedPart::Wiped, ..commit }).await
}

async fn post(
    context: &Arc<Context>,
    uploads: &Uploads,
    job: &Job,
    target: &WebhookTarget,
) -> Result<u16, DeliveryError> {
    let url = uploads.egress.validate(target.url.expose()).map_err(|_| DeliveryError::Forbidden)?;
    let body = (uploads.options.present)(job, target.input.as_ref());
    let seconds = context.clock.now().as_millis() / 1_000;
    // The same for each attempt, so that a receiver recognises a repetition.
    let id = format!("msg_{}", job.id.as_str().replace('-', ""));
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.clone()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
    ];
    let secrets = list_secrets(context, &job.account_id).await?;
    if !secrets.is_empty() {
        let signatures: Vec<_> =
            secrets.iter().map(|secret: &WebhookSecret| secret.sign(&id, seconds, &body)).collect();
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    uploads.egress.post(&url, headers, body).await.map_err(DeliveryError::Post)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_2xx_is_a_delivery_and_410_ends_the_attempts() {
        for status in 200..300 {
            assert_eq!(judge(Some(status), 0, 0), Verdict::Delivered);
        }
        for attempts in 0..12 {
            assert_eq!(judge(Some(410), attempts, 0), Verdict::Exhausted);
        }
    }

    #[test]
    fn every_other_answer_is_retried_nine_times() {
        for status in [None, Some(301), Some(400), Some(404), Some(429), Some(500), Some(503)] {
            for attempts in 0..9 {
                assert!(matches!(judge(status, attempts, 7), Verdict::Retry(_)), "{status:?}");
            }
            assert_eq!(judge(status, 9, 7), Verdict::Exhausted, "{status:?}");
            assert_eq!(judge(status, u32::MAX, 7), Verdict::Exhausted, "{status:?}");
        }
    }

    #[test]
    fn a_delay_varies_by_a_tenth() {
        let delay = |random| match judge(None, 1, random) {
            Verdict::Retry(delay) => delay.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!([delay(0), delay(255)], [54, 66]);
    }
}
