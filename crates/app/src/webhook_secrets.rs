//! The secrets that sign an account's webhooks: the newest, and for a day its predecessor.

use std::time::Duration;

use domain::audit::Action;
use domain::id::AccountId;
use domain::secret::Secret;
use seal::envelope::{AssociatedData, Purpose};
use seal::webhook::WebhookSecret;
use store::WebhookSecretRow;

use crate::context::Context;
use crate::{App, Caller, Error};

/// How long a replaced secret keeps signing beside the new one.
const OVERLAP: Duration = Duration::from_hours(24);

fn associated_data(id: &str) -> AssociatedData<'_> {
    AssociatedData { purpose: Purpose::WebhookSecret, record: id, version: 1 }
}

impl App {
    /// Creates or replaces the account's secret. Its predecessor keeps signing for a day; older ones stop at once. The text
    /// is returned only here.
    pub async fn create_webhook_secret(&self, caller: &Caller) -> Result<Secret, Error> {
        let account = &caller.account_id;
        let secret = WebhookSecret::random(&self.randomness);
        let id = self.next_id().into_audit_event_id().to_string();
        let sealed = self.account_key(account).await?.seal(
            associated_data(&id),
            secret.as_bytes(),
            &self.randomness,
        )?;
        let event =
            self.audit_event(account, caller.actor.clone(), Action::CreateWebhookSecret, Some(id.clone()));
        let row = WebhookSecretRow { id, created_at: self.clock.now(), sealed };
        self.store.insert_webhook_secret(account, &row, OVERLAP, &event).await?;
        Ok(secret.to_text())
    }

    /// Whether the account has a webhook secret.
    pub(crate) async fn has_webhook_secret(&self, account: &AccountId) -> Result<bool, Error> {
        Ok(!self.store.list_webhook_secrets(account, self.clock.now()).await?.is_empty())
    }
}

/// The secrets that sign now, newest first; at most two.
pub(crate) async fn list_secrets(
    context: &Context,
    account: &AccountId,
) -> Result<Vec<WebhookSecret>, Error> {
    let rows = context.store.list_webhook_secrets(account, context.clock.now()).await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let key = context.account_key(account).await?;
    let open = |row: &WebhookSecretRow| {
        let bytes = key.open(associated_data(&row.id), &row.sealed)?;
        WebhookSecret::from_bytes(&bytes).ok_or(seal::CryptoError::Decrypt)
    };
    Ok(rows.iter().map(open).collect::<Result<_, _>>()?)
}
