//! What a delivery sends, and to where: verified and decrypted.

use std::sync::Arc;

use domain::webhook::{AttemptResult, OPERATOR_RECEIVER};
use egress::EgressUrl;
use seal::webhook::WebhookSecret;
use store::{EndpointRow, LeasedDelivery, StoredMessage};

use super::Webhooks;
use super::content::{EndpointContent, JobWebhookContent, is_enabled};
use crate::Error;
use crate::context::Context;
use crate::webhook_secrets::list_secrets;

/// A request that can be sent.
pub(super) struct Message {
    pub(super) url: EgressUrl,
    pub(super) body: Vec<u8>,
    /// What it is signed with, newest first.
    pub(super) secrets: Vec<WebhookSecret>,
}

/// Why nothing is sent.
pub(super) enum Unsendable {
    /// It never will be: the delivery ends with this result.
    Ended(AttemptResult),
    /// The database could not be used.
    Temporary(Error),
}

impl From<Error> for Unsendable {
    /// What does not decrypt now never will: without an end, it would be tried again for ever.
    fn from(error: Error) -> Self {
        if error.is_temporary() {
            return Self::Temporary(error);
        }
        // The span names the delivery.
        tracing::error!(%error, "what a webhook needs cannot be read or decrypted: it was damaged, and is not sent");
        Self::Ended(AttemptResult::Unreadable)
    }
}

/// The message of a leased delivery.
pub(super) async fn prepare(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
) -> Result<Message, Unsendable> {
    if leased.delivery.endpoint_id.is_some() {
        return to_endpoint(context, webhooks, leased).await;
    }
    if leased.receiver == OPERATOR_RECEIVER {
        return to_operator(context, webhooks, leased).await;
    }
    of_job(context, webhooks, leased).await
}

async fn to_endpoint(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
) -> Result<Message, Unsendable> {
    let Some(row) = &leased.endpoint else { return Err(Unsendable::Ended(AttemptResult::EndpointDeleted)) };
    if !is_enabled(row) {
        return Err(Unsendable::Ended(AttemptResult::EndpointDisabled));
    }
    let opened = open_endpoint(context, row).await?;
    let body = verified_body(context, leased).await?;
    let secrets = opened.signing_at(context.clock.now());
    Ok(Message { url: allowed(webhooks, opened.url.expose())?, body, secrets })
}

async fn open_endpoint(context: &Arc<Context>, row: &EndpointRow) -> Result<EndpointContent, Unsendable> {
    let endpoint = &row.endpoint;
    let key = context.account_key(&endpoint.account_id).await?;
    EndpointContent::open(row, &key).map_err(|_| {
        tracing::error!(
            endpoint = %endpoint.id, account = %endpoint.account_id,
            "the row of a webhook endpoint does not verify: it was changed in the database by something else, or was \
             damaged, and nothing is sent to it"
        );
        Unsendable::Ended(AttemptResult::Unreadable)
    })
}

async fn to_operator(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
) -> Result<Message, Unsendable> {
    let Some(operator) = &context.announcer.operator else {
        return Err(Unsendable::Ended(AttemptResult::EndpointDeleted));
    };
    let body = verified_body(context, leased).await?;
    let secrets = vec![operator.secret.clone()];
    Ok(Message { url: allowed(webhooks, operator.url.expose())?, body, secrets })
}

/// The body as it was announced. A row that something else wrote is reported, and not sent.
async fn verified_body(context: &Arc<Context>, leased: &LeasedDelivery) -> Result<Vec<u8>, Unsendable> {
    let keys = context.fresh_service_keys().await?;
    let delivery = &leased.delivery;
    let verified = leased.message.as_ref().filter(|StoredMessage { body, mac }| {
        let message = [delivery.event_id.as_str(), delivery.event_type.as_str(), body.as_str()];
        keys.verify_webhook_message(&delivery.account_id, message, mac)
    });
    let Some(message) = verified else {
        tracing::error!(
            delivery = %delivery.id, account = %delivery.account_id,
            "the row of a webhook delivery does not verify: it was changed in the database by something else, and is not sent"
        );
        return Err(Unsendable::Ended(AttemptResult::Unreadable));
    };
    Ok(message.body.clone().into_bytes())
}

async fn of_job(
    context: &Arc<Context>,
    webhooks: &Webhooks,
    leased: &LeasedDelivery,
) -> Result<Message, Unsendable> {
    let delivery = &leased.delivery;
    let key = context.account_key(&delivery.account_id).await?;
    let opened =
        leased.sealed.as_ref().map(|sealed| JobWebhookContent::open(delivery.id.as_str(), sealed, &key));
    let Some(Ok(opened)) = opened else {
        tracing::error!(
            delivery = %delivery.id, account = %delivery.account_id,
            "the stored webhook of a job cannot be decrypted: it was damaged"
        );
        return Err(Unsendable::Ended(AttemptResult::Unreadable));
    };
    let secrets = list_secrets(context, &delivery.account_id).await?;
    Ok(Message { url: allowed(webhooks, opened.url.expose())?, body: opened.body.to_vec(), secrets })
}

fn allowed(webhooks: &Webhooks, url: &str) -> Result<EgressUrl, Unsendable> {
    webhooks.egress.validate(url).map_err(|_| Unsendable::Ended(AttemptResult::NotAllowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_database_are_temporary() {
        for error in [Error::Overloaded, Error::StoreUnavailable("lost".into()), Error::OutcomeUnknown] {
            assert!(matches!(Unsendable::from(error), Unsendable::Temporary(_)));
        }
        let undecryptable = Error::from(seal::CryptoError::Decrypt);
        assert!(matches!(Unsendable::from(undecryptable), Unsendable::Ended(AttemptResult::Unreadable)));
        let corrupt = Error::Internal("a column".into());
        assert!(matches!(Unsendable::from(corrupt), Unsendable::Ended(AttemptResult::Unreadable)));
    }
}
