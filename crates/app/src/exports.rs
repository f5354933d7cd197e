//! What an account's export lists beside its connections, jobs and keys.

use domain::id::AccountId;
use domain::page::PageLimit;
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

    /// When the account's webhook secrets are valid, newest first.
    pub async fn list_webhook_secret_dates(
        &self,
        account: &AccountId,
    ) -> Result<Vec<WebhookSecretDates>, Error> {
        Ok(self.store.list_webhook_secret_dates(account).await?)
    }
}
