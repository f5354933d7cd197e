//! The secrets that webhooks are signed with. They retire by the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::{Clock, micros};
use super::job_leases::LOCK_ACCOUNT;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, jobs, rows};
use crate::sql::statement;
use crate::{Error, WebhookSecretRow, WebhookSecrets};

const SQL: &str = include_str!("sql/webhook_secrets.sql");
pub(super) const LIST: &str = statement(SQL, "list_webhook_secrets");
const INSERT: &str = statement(SQL, "insert_webhook_secret");

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
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("now", &self.clock.or_the_servers(now))];
        self.read(LIST, parameters, webhook_secret_from).await
    }
}

fn webhook_secret_from(row: &Row) -> Result<WebhookSecretRow, PgError> {
    Ok(WebhookSecretRow {
        id: rows::get(row, "secret_id")?,
        created_at: rows::instant(row, "created_at")?,
        sealed: jobs::sealed(row)?,
    })
}

struct InsertWebhookSecret {
    account: AccountId,
    secret: WebhookSecretRow,
    overlap: Duration,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertWebhookSecret {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.insert(session).await;
        let written = session.end(steps).await?;
        Ok(if written == 0 { Err(Error::KeyNotActive) } else { Ok(()) })
    }
}

impl InsertWebhookSecret {
    /// Returns how many were added. One at a time for each account: two that do not see each other would both be the last.
    async fn insert(&self, session: &Session) -> Result<u64, PgError> {
        let Self { account, secret, overlap, event, clock } = self;
        session.query_named(LOCK_ACCOUNT, &[("account_id", &account.as_str())]).await?;
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &clock.or_the_servers(event.at)),
            ("overlap_micros", &micros(*overlap)),
            ("secret_id", &secret.id),
            ("created_at", &secret.created_at.as_micros()),
            ("wrapped_key", &secret.sealed.sealing_key.0.as_slice()),
            ("envelope", &secret.sealed.envelope.as_slice()),
        ];
        let found = session.query_named(INSERT, &EventParameters::of(event).and(own)).await?;
        found.first().map_or(Ok(0), |row| rows::count(row, "written"))
    }
}
