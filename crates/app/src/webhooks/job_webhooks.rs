//! The webhook of a job becomes a delivery when the job has ended.

use domain::id::DeliveryId;
use domain::job::Job;
use store::NewJobDelivery;
use zeroize::Zeroizing;

use super::content::JobWebhookContent;
use super::presenter::end_of;
use crate::Error;
use crate::context::Context;
use crate::uploads::WebhookTarget;

/// The delivery of a job's webhook; `None` if nothing can be sent to its address, or the job has not ended.
pub(crate) async fn new_delivery(
    context: &Context,
    job: &Job,
    target: &WebhookTarget,
) -> Result<Option<NewJobDelivery>, Error> {
    let (Some(event_type), Ok(url)) = (end_of(&job.state), url::Url::parse(target.url.expose())) else {
        return Ok(None);
    };
    let account = &job.account_id;
    let id = DeliveryId::of_job(&context.next_id());
    let body = (context.announcer.presenter.job_webhook)(job, target.input.as_ref());
    let unsealed = JobWebhookContent { url: target.url.clone(), body: Zeroizing::new(body) };
    let key = context.account_key(account).await?;
    let sealed = unsealed.seal(id.as_str(), &key, &context.randomness)?;
    let receiver = context.service_keys().hash_webhook_origin(account, &url.origin().ascii_serialization());
    // One message of the job, as earlier versions named it.
    let event_id = format!("msg_{}", job.id.as_str().replace('-', ""));
    Ok(Some(NewJobDelivery { id, event_id, event_type: event_type.as_str(), receiver, sealed }))
}
