//! Telling a job's end to whoever wants to be told, as the Standard Webhooks specification says.

use std::time::Duration;

use domain::job::Webhook;
use domain::secret::Sealed;
use seal::envelope::{Purpose, SealedAs};
use seal::webhook::WebhookSecret;
use store::SealedPart;

use super::Uploads;
use super::held::{Change, Due, Held, Interrupt, Trouble};
use super::receivers::busy_pause;
use super::request::{UploadRequest, WebhookTarget};
use crate::{App, Error};
use egress::PostError;

/// The pauses between attempts: a day and three hours in all.
const PAUSES: [Duration; 9] = [
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
/// 410: whoever listened does not want to any more.
const GONE: u16 = 410;

/// Tells the end, or tries; then it is over, or due again.
pub(super) async fn notify(
    app: &App,
    uploads: &Uploads,
    held: &mut Held,
    sealed: Option<Sealed>,
) -> Result<(), Interrupt> {
    let Webhook::Waiting { attempts } = held.job.webhook else {
        // Nothing is to be done about it, whoever thought so.
        return end(held, held.job.webhook).await;
    };
    let target = open(app, held, sealed).await.map_err(super::interrupt)?;
    let Some(target) = target else { return end(held, Webhook::GivenUp).await };
    let account = held.job.account_id.clone();
    let sending = origin(&target).map(|origin| uploads.receivers.start(&account, origin));
    if let Some(None) = sending {
        // No attempt: the receiver has enough to answer.
        let [random] = app.randomness.identifier_bytes::<1>();
        return wait(held, attempts, busy_pause(random)).await;
    }
    match tell(app, uploads, held, &target).await {
        Ok(status) if (200..300).contains(&status) => return end(held, Webhook::Delivered).await,
        Ok(GONE) | Err(Untold::Never) => return end(held, Webhook::GivenUp).await,
        // Once: the attempts that follow are counted, and the last one says how many there were.
        Ok(status) if attempts == 0 => {
            tracing::info!(status, "a webhook was not accepted; it will be retried");
        }
        Ok(status) => tracing::debug!(status, attempts, "a webhook was not accepted"),
        Err(Untold::Post(error)) if attempts == 0 => {
            tracing::info!(%error, "a webhook could not be delivered; it will be retried");
        }
        Err(Untold::Post(error)) => tracing::debug!(%error, attempts, "a webhook could not be delivered"),
        // Damaged, perhaps for ever: that is an attempt, too.
        Err(Untold::App(error @ Error::Internal(_))) => {
            tracing::error!(%error, job = %held.job.id, "a webhook cannot be signed");
        }
        Err(Untold::App(error)) => return Err(super::interrupt(error)),
    }
    let Some(pause) = usize::try_from(attempts).ok().and_then(|attempts| PAUSES.get(attempts)) else {
        tracing::warn!(attempts = attempts + 1, "a webhook was given up after a day");
        return end(held, Webhook::GivenUp).await;
    };
    // A tenth more or less, so that many do not come at once.
    let [random] = app.randomness.identifier_bytes::<1>();
    let pause = *pause * 9 / 10 + *pause / 5 * u32::from(random) / 255;
    wait(held, attempts + 1, pause).await
}

async fn wait(held: &mut Held, attempts: u32, pause: Duration) -> Result<(), Interrupt> {
    held.job.webhook = Webhook::Waiting { attempts };
    let change = Change { due: Some(Due::In(pause)), troubles: Trouble::Waiting, ..Change::default() };
    held.settle(held.job.state.clone(), change).await
}

/// The receiver's origin; `None` for what is no address, which is not sent anyway.
fn origin(target: &WebhookTarget) -> Option<String> {
    let url = url::Url::parse(target.url.expose()).ok()?;
    Some(url.origin().ascii_serialization())
}

/// Why nobody was told.
enum Untold {
    Post(PostError),
    /// The address is not allowed any more.
    Never,
    App(Error),
}

impl From<Error> for Untold {
    fn from(error: Error) -> Self {
        Self::App(error)
    }
}

/// Nothing more is to be done, and what was sealed is wiped.
async fn end(held: &mut Held, webhook: Webhook) -> Result<(), Interrupt> {
    held.job.webhook = webhook;
    let change = Change {
        due: Some(Due::Never),
        request: SealedPart::Wiped,
        link: SealedPart::Wiped,
        troubles: Trouble::Waiting,
        ..Change::default()
    };
    held.settle(held.job.state.clone(), change).await
}

async fn open(app: &App, held: &Held, sealed: Option<Sealed>) -> Result<Option<WebhookTarget>, Error> {
    let Some(sealed) = sealed else { return Ok(None) };
    let key = app.account_key(&held.job.account_id).await?;
    let sealed_as = SealedAs { purpose: Purpose::JobRequest, record: held.job.id.as_str(), version: 1 };
    let opened = key.open(sealed_as, &sealed).ok();
    Ok(opened.and_then(|bytes| UploadRequest::from_bytes(&bytes)).and_then(|request| request.webhook))
}

async fn tell(app: &App, uploads: &Uploads, held: &Held, target: &WebhookTarget) -> Result<u16, Untold> {
    let url = uploads.outbound.validate(target.url.expose()).map_err(|_| Untold::Never)?;
    let body = (uploads.options.present)(&held.job, target.input.as_ref());
    let seconds = app.clock.now().as_millis() / 1_000;
    // The same for each attempt, so that whoever was told twice can tell.
    let id = format!("msg_{}", held.job.id.as_str().replace('-', ""));
    let mut headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), id.clone()),
        ("webhook-timestamp".to_owned(), seconds.to_string()),
    ];
    let secrets = app.webhook_secrets(&held.job.account_id).await?;
    if !secrets.is_empty() {
        let signatures: Vec<_> =
            secrets.iter().map(|secret: &WebhookSecret| secret.sign(&id, seconds, &body)).collect();
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    uploads.outbound.post(&url, headers, body).await.map_err(Untold::Post)
}
