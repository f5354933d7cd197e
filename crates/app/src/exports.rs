//! What an account's export lists beside its connections, jobs and keys.

use domain::id::{AccountId, EndpointId};
use domain::page::PageLimit;
use domain::webhook::Endpoint;
use store::{IdempotencyRecord, IdempotencyRecordId, WebhookSecretDates};

use crate::{App, Error};

impl App {
    /// The account's idempotency records in their order, those after `after`, without requests and responses.
    pub async fn list_idempotency_records(
        &self,
        account: &AccountId,
        after: &IdempotencyRecordId,
        limit: PageLimit,
    ) -> Result<Vec<IdempotencyRecord>, Error> {
        Ok(self.store.list_idempotency_records(account, after, limit.as_u32()).await?)
    }

    /// The account's webhook endpoints without what they keep sealed, oldest first, those after `after`.
    pub async fn list_plain_webhook_endpoints(
        &self,
        account: &AccountId,
        after: Option<&EndpointId>,
        limit: PageLimit,
    ) -> Result<Vec<Endpoint>, Error> {
        let rows = self.store.list_webhook_endpoints(account, after, limit.as_u32()).await?;
        Ok(rows.into_iter().map(|row| row.endpoint).collect())
    }

    /// When the account's webhook secrets are valid, newest first.
    pub async fn list_webhook_secret_dates(
        &self,
        account: &AccountId,
    ) -> Result<Vec<WebhookSecretDates>, Error> {
        Ok(self.store.list_webhook_secret_dates(account).await?)
    }
}
