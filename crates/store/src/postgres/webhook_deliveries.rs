//! The deliveries of webhooks, by the database's clock.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, DeliveryId};
use domain::job::JobId;
use domain::time::Timestamp;
use domain::webhook::{Audience, Delivery, DeliveryStatus};
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::{Clock, micros};
use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::webhook_endpoints::{self, changed, endpoint_from};
use super::writes::SingleWrite;
use super::{Postgres, jobs, rows};
use crate::delivery_rows::{DeliveryColumns, attempt_columns};
use crate::sql::statement;
use crate::webhooks::order_due_deliveries;
use crate::{
    AfterAttempt, Changed, DeliveryFilter, DeliveryResult, DeliveryTerms, DueDeliveries, DueDelivery,
    EndpointHealth, Error, LeasedDelivery, StoredMessage, WaitingDeliveries, WebhookDeliveries,
};

const SQL: &str = include_str!("sql/webhook_deliveries.sql");
const INSERT_TEST: &str = statement(SQL, "insert_webhook_test");
pub(super) const LIST_DUE: &str = statement(SQL, "list_due_deliveries");
pub(super) const LEASE: &str = statement(SQL, "lease_delivery");
const FIND_SECRET: &str = statement(SQL, "find_delivery_secret");
pub(super) const FINISH: &str = statement(SQL, "finish_delivery");
pub(super) const FIND: &str = statement(SQL, "find_delivery");
pub(super) const LIST: &str = statement(SQL, "list_deliveries");
pub(super) const LIST_OF_ENDPOINT: &str = statement(SQL, "list_deliveries_of_endpoint");
pub(super) const LIST_OF_JOB: &str = statement(SQL, "list_deliveries_of_job");
const REDELIVER: &str = statement(SQL, "redeliver_webhook");
const COUNT_WAITING: &str = statement(SQL, "count_waiting_deliveries");

#[async_trait]
impl WebhookDeliveries for Postgres {
    async fn insert_webhook_test(&self, account: &AccountId, event: &AuditEvent) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(InsertTest { account, event, clock: self.clock }).await
    }

    async fn list_due_webhook_deliveries(
        &self,
        now: Timestamp,
        per_receiver: u32,
    ) -> Result<DueDeliveries, Error> {
        let parameters: Parameters<'_> =
            &[("now", &self.clock.or_the_servers(now)), ("limit", &i64::from(per_receiver))];
        let mut found = DueDeliveries::default();
        for row in self.read(LIST_DUE, parameters, due_from).await? {
            match row {
                DueRow::Due(due) => found.due.push(due),
                DueRow::NextIn(next) => found.next_due_in = next,
            }
        }
        found.due = order_due_deliveries(found.due);
        Ok(found)
    }

    async fn lease_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        terms: &DeliveryTerms,
    ) -> Result<Option<LeasedDelivery>, Error> {
        let (account, id, terms) = (account.clone(), id.clone(), *terms);
        self.writer.write(LeaseDelivery { account, id, terms, clock: self.clock }).await
    }

    async fn finish_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        result: &DeliveryResult,
    ) -> Result<Changed, Error> {
        let (account, id, result) = (account.clone(), id.clone(), *result);
        self.writer.write(FinishDelivery { account, id, result, clock: self.clock }).await
    }

    async fn find_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("delivery_id", &id.as_str())];
        self.find(FIND, key, delivery_from).await
    }

    async fn list_webhook_deliveries(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        let (account, only, limit) = (account.as_str(), filter.parameters(), i64::from(limit));
        let page: [Named<'_>; 4] =
            [("account_id", &account), ("before", &only.before), ("status", &only.status), ("limit", &limit)];
        let of_endpoint: [Named<'_>; 1] = [("endpoint_id", &only.endpoint_id)];
        if let Some(job) = filter.job_id.as_ref().map(JobId::as_str) {
            let parameters = [&page[..], &of_endpoint, &[("job_id", &job)]].concat();
            return self.read(LIST_OF_JOB, &parameters, delivery_from).await;
        }
        if filter.endpoint_id.is_some() {
            return self.read(LIST_OF_ENDPOINT, &[&page[..], &of_endpoint].concat(), delivery_from).await;
        }
        self.read(LIST, &page, delivery_from).await
    }

    async fn redeliver_webhook(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(Redeliver { account, id, event, clock: self.clock }).await
    }

    async fn count_waiting_webhook_deliveries(&self) -> Result<WaitingDeliveries, Error> {
        let read = |row: &Row| {
            let earliest_due_at = rows::optional_instant(row, "earliest_due_at")?;
            Ok(WaitingDeliveries { count: rows::count(row, "count")?, earliest_due_at })
        };
        Ok(self.find(COUNT_WAITING, &[], read).await?.unwrap_or_default())
    }
}

/// A row of the statement that lists due deliveries.
enum DueRow {
    Due(DueDelivery),
    NextIn(Option<Duration>),
}

fn due_from(row: &Row) -> Result<DueRow, PgError> {
    let Some(account_id) = rows::get::<Option<String>>(row, "account_id")? else {
        let micros: Option<i64> = rows::get(row, "next_due_in")?;
        return Ok(DueRow::NextIn(micros.map(|micros| Duration::from_micros(micros.unsigned_abs()))));
    };
    Ok(DueRow::Due(DueDelivery {
        account_id: AccountId::from_stored(account_id),
        id: DeliveryId::from_stored(rows::get(row, "delivery_id")?),
        receiver: rows::get(row, "receiver")?,
        fence: rows::count(row, "fence")?,
        attempts: u32::try_from(rows::count(row, "attempts")?).map_err(|_| rows::impossible("attempts"))?,
        due_at: rows::instant(row, "due_at")?,
    }))
}

fn delivery_from(row: &Row) -> Result<Delivery, PgError> {
    let columns = DeliveryColumns {
        account_id: rows::get(row, "account_id")?,
        delivery_id: rows::get(row, "delivery_id")?,
        endpoint_id: rows::get(row, "endpoint_id")?,
        job_id: rows::get(row, "job_id")?,
        event_id: rows::get(row, "event_id")?,
        event_type: rows::get(row, "event_type")?,
        created_at: rows::get(row, "created_at")?,
        status: rows::get(row, "status")?,
        attempts: rows::get(row, "attempts")?,
        last_attempt_at: rows::get(row, "last_attempt_at")?,
        last_result: rows::get(row, "last_result")?,
        last_status: rows::get(row, "last_status")?,
        last_duration_ms: rows::get(row, "last_duration_ms")?,
        due_at: rows::get(row, "due_at")?,
        ended_at: rows::get(row, "ended_at")?,
    };
    columns.into_delivery().map_err(rows::impossible)
}

struct InsertTest {
    account: AccountId,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertTest {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Some(Audience::Only(endpoint)) = self.event.announcement.as_ref().map(|found| &found.audience)
        else {
            return Ok(Ok(Changed::No));
        };
        let own: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("now", &self.clock.or_the_servers(self.event.at)),
            ("endpoint_id", &endpoint.as_str()),
        ];
        let event = EventParameters::of(&self.event);
        changed(&session.query_named(INSERT_TEST, &event.announcing(own)).await?)
    }
}

struct LeaseDelivery {
    account: AccountId,
    id: DeliveryId,
    terms: DeliveryTerms,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for LeaseDelivery {
    type Answer = Option<LeasedDelivery>;

    // After a lost session it is unknown whether the lease was taken. If it was, no worker has it, and it expires.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.lease(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl LeaseDelivery {
    async fn lease(&self, session: &Session) -> Result<Option<LeasedDelivery>, PgError> {
        let Self { account, id, terms, clock } = self;
        let (account, id) = (account.as_str(), id.as_str());
        let parameters: Parameters<'_> = &[
            ("account_id", &account),
            ("delivery_id", &id),
            ("fence", &rows::stored_count(terms.expected_fence)),
            ("now", &clock.or_the_servers(terms.now)),
            ("lease_micros", &micros(terms.lease)),
        ];
        let leased = session.query_named(LEASE, parameters).await?;
        let Some(row) = leased.first() else { return Ok(None) };
        let delivery = delivery_from(row)?;
        let (body, mac): (Option<String>, Option<Vec<u8>>) =
            (rows::get(row, "body")?, rows::get(row, "body_mac")?);
        let (mut sealed, mut endpoint) = (None, None);
        if let Some(id) = &delivery.endpoint_id {
            let key: Parameters<'_> = &[("account_id", &account), ("endpoint_id", &id.as_str())];
            let found = session.query_named(webhook_endpoints::FIND, key).await?;
            endpoint = found.first().map(endpoint_from).transpose()?;
        } else {
            let key: Parameters<'_> = &[("account_id", &account), ("delivery_id", &id)];
            let found = session.query_named(FIND_SECRET, key).await?;
            sealed = found.first().map(jobs::sealed).transpose()?;
        }
        Ok(Some(LeasedDelivery {
            delivery,
            receiver: rows::get(row, "receiver")?,
            fence: rows::count(row, "fence")?,
            message: body.map(|body| StoredMessage { body, mac: mac.unwrap_or_default() }),
            sealed,
            endpoint,
        }))
    }
}

struct FinishDelivery {
    account: AccountId,
    id: DeliveryId,
    result: DeliveryResult,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for FinishDelivery {
    type Answer = Changed;

    // A repetition does the same.
    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, id, result, clock } = self;
        let (at, name, status, millis) = attempt_columns(&result.attempt);
        let (becomes, retry_micros) = match result.next {
            AfterAttempt::RetryIn(delay) => (DeliveryStatus::Waiting, Some(micros(delay))),
            AfterAttempt::Ended(status) => (status, None),
        };
        let is_failing = match result.health {
            EndpointHealth::Unknown => None,
            EndpointHealth::Working => Some(false),
            EndpointHealth::Failing => Some(true),
        };
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("delivery_id", &id.as_str()),
            ("fence", &rows::stored_count(result.fence)),
            ("now", &clock.or_the_servers(result.now)),
            ("status", &becomes.as_str()),
            ("attempts", &i64::from(result.attempts)),
            ("last_attempt_at", &at),
            ("last_result", &name),
            ("last_status", &status),
            ("last_duration_ms", &millis),
            ("retry_micros", &retry_micros),
            ("is_failing", &is_failing),
        ];
        let found = session.query_named(FINISH, parameters).await?;
        let written = found.first().map_or(Ok(0), |row| rows::count(row, "written"))?;
        Ok(Ok(if written > 0 { Changed::Yes } else { Changed::No }))
    }
}

struct Redeliver {
    account: AccountId,
    id: DeliveryId,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for Redeliver {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let own: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("now", &self.clock.or_the_servers(self.event.at)),
            ("delivery_id", &self.id.as_str()),
        ];
        changed(&session.query_named(REDELIVER, &EventParameters::of(&self.event).and(own)).await?)
    }
}
