//! The deliveries of an account: listing them, and making one again.

use domain::audit::Action;
use domain::id::DeliveryId;
use domain::page::PageLimit;
use domain::webhook::Delivery;
use store::{Changed, DeliveryFilter};

use crate::{App, Caller, Error};

/// A page of deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries.
    pub items: Vec<Delivery>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
}

impl App {
    /// The caller's deliveries, newest first.
    pub async fn list_webhook_deliveries(
        &self,
        caller: &Caller,
        filter: &DeliveryFilter,
        limit: PageLimit,
    ) -> Result<DeliveryPage, Error> {
        let account = &caller.account_id;
        // One more than the page, to see whether there is a next one.
        let mut items = self.store.list_webhook_deliveries(account, filter, limit.as_u32() + 1).await?;
        let is_last = items.len() <= limit.as_u32() as usize;
        items.truncate(limit.as_u32() as usize);
        let last = items.last().filter(|_| !is_last);
        let next = last.map(|last| self.service_keys().encode_delivery_page_key(account, &last.id));
        Ok(DeliveryPage { items, next })
    }

    /// The place that a page key of deliveries names; `None` if it was not issued to this account.
    pub fn read_delivery_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<DeliveryId> {
        self.service_keys().decode_delivery_page_key(&caller.account_id, bytes)
    }

    /// Makes a delivery again, with its attempts counted from zero.
    pub async fn redeliver_webhook(&self, caller: &Caller, id: &str) -> Result<Delivery, Error> {
        let action = Action::RedeliverWebhook;
        let id = DeliveryId::parse(id);
        let id = self.well_formed(caller, action, id, Error::WebhookDeliveryNotFound).await?;
        let redelivered = self.try_redeliver_webhook(caller, &id).await;
        self.audited(caller, action, Some(id.to_string()), redelivered).await
    }

    async fn try_redeliver_webhook(&self, caller: &Caller, id: &DeliveryId) -> Result<Delivery, Error> {
        let account = &caller.account_id;
        let found = self.store.find_webhook_delivery(account, id).await?;
        let found = found.ok_or(Error::WebhookDeliveryNotFound)?;
        let subject = Some(id.to_string());
        let event = self.audit_event(account, caller.actor.clone(), Action::RedeliverWebhook, subject);
        if self.store.redeliver_webhook(account, id, &event).await? == Changed::No {
            let Some(endpoint) = &found.endpoint_id else { return Err(Error::WebhookNotRedeliverable) };
            let endpoint = self.store.find_webhook_endpoint(account, endpoint).await?;
            return Err(endpoint.map_or(Error::WebhookNotRedeliverable, |_| Error::WebhookEndpointDisabled));
        }
        self.announcer.wakeup.notify_one();
        self.store.find_webhook_delivery(account, id).await?.ok_or(Error::WebhookDeliveryNotFound)
    }
}
