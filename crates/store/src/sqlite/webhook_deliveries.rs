//! The deliveries of webhooks, and announcing events to endpoints. All instants are the caller's.

use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, DeliveryId};
use domain::job::JobId;
use domain::secret::Sealed;
use domain::time::Timestamp;
use domain::webhook::{Audience, Delivery, DeliveryStatus, event_id};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, named_params};

use super::writer::WriteResult;
use super::{Sqlite, api_keys, audit_events, rows, sealing_keys, statements, webhook_endpoints};
use crate::delivery_rows::{DeliveryColumns, attempt_columns};
use crate::sql::statement;
use crate::webhooks::{announced_rows, order_due_deliveries};
use crate::{
    AfterAttempt, Changed, DeliveryFilter, DeliveryResult, DeliveryTerms, DueDeliveries, DueDelivery, Error,
    LeasedDelivery, NewJobDelivery, StoredMessage, WaitingDeliveries, WebhookDeliveries,
};

const SQL: &str = include_str!("sql/webhook_deliveries.sql");
const ANNOUNCE: &str = statement(SQL, "announce_to_endpoints");
const ANNOUNCE_TO_OPERATOR: &str = statement(SQL, "announce_to_operator");
const INSERT_OF_JOB: &str = statement(SQL, "insert_job_delivery");
const INSERT_SECRET: &str = statement(SQL, "insert_delivery_secret");
const DELETE_SECRET: &str = statement(SQL, "delete_delivery_secret");
const FIND_SECRET: &str = statement(SQL, "find_delivery_secret");
const FIND_NEXT_RECEIVER: &str = statement(SQL, "find_next_receiver");
const LIST_DUE: &str = statement(SQL, "list_due_deliveries_of_receiver");
const FIND_NEXT_DUE: &str = statement(SQL, "find_next_due_of_receiver");
const LEASE: &str = statement(SQL, "lease_delivery");
const FIND_LEASED: &str = statement(SQL, "find_leased_delivery");
const FINISH: &str = statement(SQL, "finish_delivery");
const FIND: &str = statement(SQL, "find_delivery");
const LIST: &str = statement(SQL, "list_deliveries");
const LIST_OF_ENDPOINT: &str = statement(SQL, "list_deliveries_of_endpoint");
const LIST_OF_JOB: &str = statement(SQL, "list_deliveries_of_job");
const REDELIVER: &str = statement(SQL, "redeliver_webhook");
const COUNT_WAITING: &str = statement(SQL, "count_waiting_deliveries");
const WIPE_SECRETS_OF_ACCOUNT: &str = statement(SQL, "wipe_delivery_secrets_of_account");
const DELETE_SECRETS_OF_ACCOUNT: &str = statement(SQL, "delete_delivery_secrets_of_account");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_deliveries_of_account");

#[async_trait]
impl WebhookDeliveries for Sqlite {
    async fn insert_webhook_test(&self, account: &AccountId, event: &AuditEvent) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| insert_test(database, &account, &event)).await
    }

    async fn list_due_webhook_deliveries(
        &self,
        now: Timestamp,
        per_receiver: u32,
    ) -> Result<DueDeliveries, Error> {
        let mut found = self.readers.read(|database| list_due(database, now, per_receiver))?;
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
        self.writer.write(move |database| lease(database, &account, &id, &terms)).await
    }

    async fn finish_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        result: &DeliveryResult,
    ) -> Result<Changed, Error> {
        let (account, id, result) = (account.clone(), id.clone(), *result);
        self.writer.write(move |database| finish(database, &account, &id, &result)).await
    }

    async fn find_webhook_delivery(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<Delivery>, Error> {
        let key = named_params! { ":account_id": account.as_str(), ":delivery_id": id.as_str() };
        self.readers.read(|database| statements::find(database, FIND, key, delivery_from))
    }

    async fn list_webhook_deliveries(
        &self,
        account: &AccountId,
        filter: &DeliveryFilter,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        self.readers.read(|database| list(database, account, filter, limit))
    }

    async fn redeliver_webhook(
        &self,
        account: &AccountId,
        id: &DeliveryId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(move |database| redeliver(database, &account, &id, &event)).await
    }

    async fn count_waiting_webhook_deliveries(&self) -> Result<WaitingDeliveries, Error> {
        let read = |row: &Row<'_>| {
            let earliest_due_at = rows::optional_instant(row, "earliest_due_at")?;
            Ok(WaitingDeliveries { count: row.get("count")?, earliest_due_at })
        };
        let found = self.readers.read(|database| statements::find(database, COUNT_WAITING, &[], read))?;
        Ok(found.unwrap_or_default())
    }
}

/// Adds the deliveries of an event that has an announcement.
pub(super) fn announce(
    database: &Connection,
    account: &AccountId,
    event: &AuditEvent,
) -> rusqlite::Result<()> {
    for row in announced_rows(event) {
        let (account, id, at) = (account.as_str(), event.id.as_str(), event.at.as_micros());
        let (job_id, event_id) = (row.announcement.job_id.as_ref().map(JobId::as_str), event_id(id));
        let event_type = row.announcement.event_type;
        let name = event_type.as_str();
        let shared: [(&str, &dyn ToSql); 8] = [
            (":account_id", &account),
            (":audit_event_id", &id),
            (":job_id", &job_id),
            (":event_id", &event_id),
            (":event_type", &name),
            (":at", &at),
            (":body", &row.message.body),
            (":body_mac", &row.message.mac),
        ];
        if row.is_for_operator {
            statements::execute(database, ANNOUNCE_TO_OPERATOR, &shared)?;
            continue;
        }
        let ((only_id, except_id), bit) = (row.audience(), event_type.bit());
        let own: [(&str, &dyn ToSql); 3] =
            [(":only_id", &only_id), (":except_id", &except_id), (":event_bit", &bit)];
        statements::execute(database, ANNOUNCE, &[&shared[..], &own].concat())?;
    }
    Ok(())
}

/// Adds the webhook of a job as a delivery that is due at once.
pub(super) fn insert_of_job(
    database: &Connection,
    account: &AccountId,
    job: &JobId,
    (new, now): (&NewJobDelivery, Timestamp),
) -> rusqlite::Result<()> {
    statements::execute(
        database,
        INSERT_OF_JOB,
        named_params! {
            ":account_id": account.as_str(),
            ":delivery_id": new.id.as_str(),
            ":job_id": job.as_str(),
            ":event_id": new.event_id,
            ":event_type": new.event_type,
            ":receiver": new.receiver,
            ":now": now.as_micros(),
        },
    )?;
    let sealing_key_id = sealing_keys::insert(database, &new.sealed.sealing_key)?;
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":delivery_id": new.id.as_str(),
        ":sealing_key_id": sealing_key_id,
        ":envelope": new.sealed.envelope,
    };
    statements::execute(database, INSERT_SECRET, parameters).map(drop)
}

fn insert_test(database: &Connection, account: &AccountId, event: &AuditEvent) -> WriteResult<Changed> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let Some(Audience::Only(id)) = event.announcement.as_ref().map(|announcement| &announcement.audience)
    else {
        return Ok(Ok(Changed::No));
    };
    let found = webhook_endpoints::find(database, account, id)?;
    if !found.is_some_and(|found| found.endpoint.state.is_enabled()) {
        return Ok(Ok(Changed::No));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// Each receiver costs a few seeks in the index, however many deliveries wait for it.
fn list_due(database: &Connection, now: Timestamp, per_receiver: u32) -> rusqlite::Result<DueDeliveries> {
    let (mut due, mut next_due_at) = (Vec::new(), None::<Timestamp>);
    let mut found = next_receiver(database, "", "")?;
    while let Some((account, receiver)) = found {
        let parameters = named_params! {
            ":account_id": account,
            ":receiver": receiver,
            ":now": now.as_micros(),
            ":limit": per_receiver,
        };
        due.extend(statements::list(database, LIST_DUE, parameters, |row| {
            Ok(DueDelivery {
                account_id: AccountId::from_stored(account.clone()),
                id: DeliveryId::from_stored(row.get("delivery_id")?),
                receiver: receiver.clone(),
                fence: row.get("fence")?,
                attempts: row.get("attempts")?,
                due_at: rows::instant(row, "due_at")?,
            })
        })?);
        let parameters =
            named_params! { ":account_id": account, ":receiver": receiver, ":now": now.as_micros() };
        let next = statements::find(database, FIND_NEXT_DUE, parameters, |row| rows::instant(row, "due_at"))?;
        next_due_at = next_due_at.into_iter().chain(next).min();
        found = next_receiver(database, &account, &receiver)?;
    }
    Ok(DueDeliveries {
        due,
        next_due_in: next_due_at.map(|at| Duration::from_micros(at.as_micros().abs_diff(now.as_micros()))),
    })
}

fn next_receiver(
    database: &Connection,
    account: &str,
    receiver: &str,
) -> rusqlite::Result<Option<(String, String)>> {
    let parameters = named_params! { ":account_id": account, ":receiver": receiver };
    statements::find(database, FIND_NEXT_RECEIVER, parameters, |row| Ok((row.get(0)?, row.get(1)?)))
}

fn lease(
    database: &Connection,
    account: &AccountId,
    id: &DeliveryId,
    terms: &DeliveryTerms,
) -> WriteResult<Option<LeasedDelivery>> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":delivery_id": id.as_str(),
        ":fence": terms.expected_fence,
        ":now": terms.now.as_micros(),
        ":lease_until": terms.now.plus(terms.lease).as_micros(),
    };
    if statements::execute(database, LEASE, parameters)? == 0 {
        return Ok(Ok(None));
    }
    let key = named_params! { ":account_id": account.as_str(), ":delivery_id": id.as_str() };
    let leased = statements::find(database, FIND_LEASED, key, |row| {
        let (body, mac): (Option<String>, Option<Vec<u8>>) = (row.get("body")?, row.get("body_mac")?);
        Ok(LeasedDelivery {
            delivery: delivery_from(row)?,
            receiver: row.get("receiver")?,
            fence: row.get("fence")?,
            message: body.map(|body| StoredMessage { body, mac: mac.unwrap_or_default() }),
            sealed: None,
            endpoint: None,
        })
    })?;
    let Some(mut leased) = leased else { return Ok(Ok(None)) };
    leased.sealed = statements::find(database, FIND_SECRET, key, |row| {
        Ok(Sealed { envelope: row.get("envelope")?, sealing_key: rows::wrapped_key(row, "wrapped_key")? })
    })?;
    if let Some(endpoint) = &leased.delivery.endpoint_id {
        leased.endpoint = webhook_endpoints::find(database, account, endpoint)?;
    }
    Ok(Ok(Some(leased)))
}

fn finish(
    database: &Connection,
    account: &AccountId,
    id: &DeliveryId,
    result: &DeliveryResult,
) -> WriteResult<Changed> {
    let (at, name, status, millis) = attempt_columns(&result.attempt);
    let (becomes, due_at, ended_at) = match result.next {
        AfterAttempt::RetryIn(delay) => {
            (DeliveryStatus::Waiting, Some(result.now.plus(delay).as_micros()), None)
        }
        AfterAttempt::Ended(status) => (status, None, Some(result.now.as_micros())),
    };
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":delivery_id": id.as_str(),
        ":fence": result.fence,
        ":status": becomes.as_str(),
        ":attempts": result.attempts,
        ":last_attempt_at": at,
        ":last_result": name,
        ":last_status": status,
        ":last_duration_ms": millis,
        ":due_at": due_at,
        ":ended_at": ended_at,
    };
    let written: Option<Option<String>> =
        statements::find(database, FINISH, parameters, |row| row.get("endpoint_id"))?;
    let Some(endpoint) = written else { return Ok(Ok(Changed::No)) };
    if ended_at.is_some() {
        wipe(database, account, id)?;
    }
    if let Some(endpoint) = endpoint {
        let endpoint = domain::id::EndpointId::from_stored(endpoint);
        webhook_endpoints::mark(database, account, &endpoint, (result.health, result.attempt.at))?;
    }
    Ok(Ok(Changed::Yes))
}

fn wipe(database: &Connection, account: &AccountId, id: &DeliveryId) -> rusqlite::Result<()> {
    let key = named_params! { ":account_id": account.as_str(), ":delivery_id": id.as_str() };
    let sealing_key_id = statements::find(database, DELETE_SECRET, key, |row| row.get("sealing_key_id"))?;
    sealing_key_id.map_or(Ok(()), |sealing_key_id| sealing_keys::wipe(database, sealing_key_id))
}

fn list(
    database: &Connection,
    account: &AccountId,
    filter: &DeliveryFilter,
    limit: u32,
) -> rusqlite::Result<Vec<Delivery>> {
    let (account, only) = (account.as_str(), filter.parameters());
    let page: [(&str, &dyn ToSql); 4] =
        [(":account_id", &account), (":before", &only.before), (":status", &only.status), (":limit", &limit)];
    let of_endpoint: [(&str, &dyn ToSql); 1] = [(":endpoint_id", &only.endpoint_id)];
    if let Some(job) = filter.job_id.as_ref().map(JobId::as_str) {
        let parameters = [&page[..], &of_endpoint, &[(":job_id", &job)]].concat();
        return statements::list(database, LIST_OF_JOB, &parameters, delivery_from);
    }
    if filter.endpoint_id.is_some() {
        let parameters = [&page[..], &of_endpoint].concat();
        return statements::list(database, LIST_OF_ENDPOINT, &parameters, delivery_from);
    }
    statements::list(database, LIST, &page, delivery_from)
}

fn redeliver(
    database: &Connection,
    account: &AccountId,
    id: &DeliveryId,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":delivery_id": id.as_str(),
        ":now": event.at.as_micros(),
    };
    if statements::execute(database, REDELIVER, parameters)? == 0 {
        return Ok(Ok(Changed::No));
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

fn delivery_from(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let columns = DeliveryColumns {
        account_id: row.get("account_id")?,
        delivery_id: row.get("delivery_id")?,
        endpoint_id: row.get("endpoint_id")?,
        job_id: row.get("job_id")?,
        event_id: row.get("event_id")?,
        event_type: row.get("event_type")?,
        created_at: row.get("created_at")?,
        status: row.get("status")?,
        attempts: row.get("attempts")?,
        last_attempt_at: row.get("last_attempt_at")?,
        last_result: row.get("last_result")?,
        last_status: row.get("last_status")?,
        last_duration_ms: row.get("last_duration_ms")?,
        due_at: row.get("due_at")?,
        ended_at: row.get("ended_at")?,
    };
    columns.into_delivery().map_err(|column| rows::impossible(column, Type::Null))
}

/// Wipes and deletes an account's first deliveries, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_SECRETS_OF_ACCOUNT, parameters)?;
    let secrets = statements::execute(database, DELETE_SECRETS_OF_ACCOUNT, parameters)?;
    Ok(secrets.max(statements::execute(database, DELETE_OF_ACCOUNT, parameters)?))
}
