//! The secrets that webhooks are signed with. When one is good no more is said by the database's own clock.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::api_keys::active;
use super::audit_events::{Columns, given_event, log_given};
use super::clock::{Clock, clock, micros};
use super::job_leases::LOCK_ACCOUNT;
use super::jobs;
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::LoneWrite;
use super::{Postgres, rows};
use crate::{Error, WebhookSecretRow, WebhookSecrets};

#[async_trait]
impl WebhookSecrets for Postgres {
    async fn insert_webhook_secret(
        &self,
        account: &AccountId,
        secret: &WebhookSecretRow,
        overlap: Duration,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, secret, event) = (account.clone(), secret.clone(), event.clone());
        self.writer.write(InsertWebhookSecret { account, secret, overlap, event, clock: self.clock }).await
    }

    async fn list_webhook_secrets(
        &self,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<Vec<WebhookSecretRow>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &self.clock.or_the_servers(now)];
        self.read(LIST, parameters, webhook_secret).await
    }
}

/// The newest and its predecessor. An earlier version may have left more, which sign nothing any more.
pub(super) const LIST: &str = concat!(
    "SELECT secret_id, created_at, wrapped_key, envelope FROM webhook_secrets
     WHERE account_id = $1 AND (retires_at IS NULL OR retires_at > ",
    clock!("$2"),
    ") ORDER BY retires_at IS NULL DESC, created_at DESC, secret_id DESC LIMIT 2"
);

pub(super) fn webhook_secret(row: &Row) -> Result<WebhookSecretRow, Trouble> {
    Ok(WebhookSecretRow {
        id: rows::get(row, "secret_id")?,
        created_at: rows::instant(row, "created_at")?,
        sealed: jobs::sealed(row)?,
    })
}

/// Adds a secret. The last one stays valid for `overlap` more; older ones are deleted.
pub(super) struct InsertWebhookSecret {
    pub(super) account: AccountId,
    pub(super) secret: WebhookSecretRow,
    pub(super) overlap: Duration,
    pub(super) event: AuditEvent,
    pub(super) clock: Clock,
}

/// `$10` to `$15`: the account, the overlap, the secret.
const INSERT: &str = concat!(
    given_event!(),
    ", ",
    active!(),
    ", retired AS (
        UPDATE webhook_secrets SET retires_at = ",
    clock!("$9"),
    " + $11::bigint
        WHERE account_id = $10 AND retires_at IS NULL AND $11::bigint > 0 AND EXISTS (SELECT FROM active)),
    deleted AS (
        DELETE FROM webhook_secrets
        WHERE account_id = $10 AND EXISTS (SELECT FROM active)
            AND (retires_at IS NOT NULL OR $11::bigint = 0)),
    inserted AS (
        INSERT INTO webhook_secrets (account_id, secret_id, created_at, wrapped_key, envelope)
        SELECT $10::text, $12::text, $13::bigint, $14::bytea, $15::bytea FROM active RETURNING secret_id), ",
    log_given!("inserted"),
    " SELECT count(*) AS written FROM inserted"
);

#[async_trait]
impl LoneWrite for InsertWebhookSecret {
    type Answer = ();

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        session.batch("BEGIN").await?;
        let steps = self.insert(session).await;
        let written = session.end(steps).await?;
        Ok(if written == 0 { Err(Error::KeyNotActive) } else { Ok(()) })
    }
}

impl InsertWebhookSecret {
    /// How many were added. One at a time of an account: two that do not see each other would both be the last one.
    async fn insert(&self, session: &Session) -> Result<u64, Trouble> {
        let Self { account, secret, overlap, event, clock } = self;
        session.query(LOCK_ACCOUNT, &[&account.as_str()]).await?;
        let columns = Columns::of(std::iter::once(event));
        let own: Parameters<'_> = &[
            &clock.or_the_servers(event.at),
            &account.as_str(),
            &micros(*overlap),
            &secret.id,
            &secret.created_at.as_micros(),
            &secret.sealed.sealing_key.0.as_slice(),
            &secret.sealed.envelope.as_slice(),
        ];
        let found = session.query(INSERT, &[&columns.parameters(), own].concat()).await?;
        found.first().map_or(Ok(0), |row| rows::count(row, "written"))
    }
}
