//! The endpoints that receive the webhooks of an account.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, EndpointId};
use domain::secret::Sealed;
use domain::time::Timestamp;
use domain::webhook::{DisabledReason, Endpoint};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, api_keys, audit_events, idempotency_records, rows, sealing_keys, statements};
use crate::delivery_rows::EndpointColumns;
use crate::sql::statement;
use crate::{
    Changed, EndpointHealth, EndpointRow, EndpointUpdate, Error, FailingSince, NewEndpoint, WebhookEndpoints,
};

const SQL: &str = include_str!("sql/webhook_endpoints.sql");
const FIND: &str = statement(SQL, "find_webhook_endpoint");
const LIST: &str = statement(SQL, "list_webhook_endpoints");
const FIND_GUARDED: &str = statement(SQL, "find_guarded_endpoint_columns");
const INSERT: &str = statement(SQL, "insert_webhook_endpoint");
const UPDATE: &str = statement(SQL, "update_webhook_endpoint");
const DELETE: &str = statement(SQL, "delete_webhook_endpoint");
const MARK_FAILING: &str = statement(SQL, "mark_endpoint_failing");
const MARK_WORKING: &str = statement(SQL, "mark_endpoint_working");
const WIPE_OF_ACCOUNT: &str = statement(SQL, "wipe_webhook_endpoints_of_account");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_webhook_endpoints_of_account");

#[async_trait]
impl WebhookEndpoints for Sqlite {
    async fn insert_webhook_endpoint(&self, account: &AccountId, new: NewEndpoint) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |database| insert(database, &account, &new)).await
    }

    async fn update_webhook_endpoint(
        &self,
        account: &AccountId,
        update: EndpointUpdate,
    ) -> Result<Changed, Error> {
        let account = account.clone();
        self.writer.write(move |database| replace(database, &account, &update)).await
    }

    async fn delete_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(move |database| delete(database, &account, &id, &event)).await
    }

    async fn find_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
    ) -> Result<Option<EndpointRow>, Error> {
        self.readers.read(|database| find(database, account, id))
    }

    async fn list_webhook_endpoints(
        &self,
        account: &AccountId,
        after: Option<&EndpointId>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, Error> {
        let after = after.map_or("", EndpointId::as_str);
        let parameters = named_params! { ":account_id": account.as_str(), ":after": after, ":limit": limit };
        self.readers.read(|database| statements::list(database, LIST, parameters, endpoint_from))
    }
}

pub(super) fn find(
    database: &Connection,
    account: &AccountId,
    id: &EndpointId,
) -> rusqlite::Result<Option<EndpointRow>> {
    let key = named_params! { ":account_id": account.as_str(), ":endpoint_id": id.as_str() };
    statements::find(database, FIND, key, endpoint_from)
}

fn insert(database: &Connection, account: &AccountId, new: &NewEndpoint) -> WriteResult<()> {
    let NewEndpoint { row, event, completion } = new;
    // Refusals come before the first row is written: other writes share the transaction.
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if let Some(completion) = completion
        && !idempotency_records::is_held(database, account, &completion.reservation)?
    {
        return Ok(Err(Error::ReservationLost));
    }
    let Endpoint { id, created_at, .. } = &row.endpoint;
    let sealing_key_id = sealing_keys::insert(database, &row.sealed.sealing_key)?;
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":endpoint_id": id.as_str(),
            ":created_at": created_at.as_micros(),
            ":updated_at": row.endpoint.updated_at.as_micros(),
            ":version": row.endpoint.version,
            ":events": row.endpoint.events.to_stored(),
            ":is_enabled": row.endpoint.state.is_enabled(),
            ":disabled_reason": row.endpoint.state.disabled_reason().map(DisabledReason::as_str),
            ":failing_since": row.endpoint.failing_since.map(Timestamp::as_micros),
            ":sealing_key_id": sealing_key_id,
            ":envelope": row.sealed.envelope,
        },
    )?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

fn replace(database: &Connection, account: &AccountId, update: &EndpointUpdate) -> WriteResult<Changed> {
    let EndpointUpdate { expected_version, row, failing_since, event } = update;
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let id = &row.endpoint.id;
    let Some(found) = find_guarded(database, account, id)? else { return Ok(Ok(Changed::No)) };
    let is_expected = failing_since.expected().is_none_or(|since| found.failing_since == Some(since));
    if found.version != *expected_version || !is_expected {
        return Ok(Ok(Changed::No));
    }
    sealing_keys::wipe(database, found.sealing_key_id)?;
    let sealing_key_id = sealing_keys::insert(database, &row.sealed.sealing_key)?;
    statements::execute(
        database,
        UPDATE,
        named_params! {
            ":account_id": account.as_str(),
            ":endpoint_id": id.as_str(),
            ":updated_at": row.endpoint.updated_at.as_micros(),
            ":version": row.endpoint.version,
            ":events": row.endpoint.events.to_stored(),
            ":is_enabled": row.endpoint.state.is_enabled(),
            ":disabled_reason": row.endpoint.state.disabled_reason().map(DisabledReason::as_str),
            ":clears_failing": *failing_since == FailingSince::Cleared,
            ":sealing_key_id": sealing_key_id,
            ":envelope": row.sealed.envelope,
        },
    )?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

fn delete(
    database: &Connection,
    account: &AccountId,
    id: &EndpointId,
    event: &AuditEvent,
) -> WriteResult<Changed> {
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    let Some(found) = find_guarded(database, account, id)? else { return Ok(Ok(Changed::No)) };
    sealing_keys::wipe(database, found.sealing_key_id)?;
    let key = named_params! { ":account_id": account.as_str(), ":endpoint_id": id.as_str() };
    statements::execute(database, DELETE, key)?;
    audit_events::insert(database, account, event)?;
    Ok(Ok(Changed::Yes))
}

/// What the writes compare, and the number of the sealing key.
struct Guarded {
    version: u64,
    failing_since: Option<Timestamp>,
    sealing_key_id: i64,
}

fn find_guarded(
    database: &Connection,
    account: &AccountId,
    id: &EndpointId,
) -> rusqlite::Result<Option<Guarded>> {
    let key = named_params! { ":account_id": account.as_str(), ":endpoint_id": id.as_str() };
    statements::find(database, FIND_GUARDED, key, |row| {
        Ok(Guarded {
            version: row.get("version")?,
            failing_since: rows::optional_instant(row, "failing_since")?,
            sealing_key_id: row.get("sealing_key_id")?,
        })
    })
}

/// Records what an attempt that began at this instant says about its endpoint.
pub(super) fn mark(
    database: &Connection,
    account: &AccountId,
    id: &EndpointId,
    (health, at): (EndpointHealth, Timestamp),
) -> rusqlite::Result<()> {
    let (account, id) = (account.as_str(), id.as_str());
    match health {
        EndpointHealth::Unknown => Ok(()),
        EndpointHealth::Working => {
            let key = named_params! { ":account_id": account, ":endpoint_id": id };
            statements::execute(database, MARK_WORKING, key).map(drop)
        }
        EndpointHealth::Failing => {
            let parameters =
                named_params! { ":account_id": account, ":endpoint_id": id, ":at": at.as_micros() };
            statements::execute(database, MARK_FAILING, parameters).map(drop)
        }
    }
}

fn endpoint_from(row: &Row<'_>) -> rusqlite::Result<EndpointRow> {
    let columns = EndpointColumns {
        account_id: row.get("account_id")?,
        endpoint_id: row.get("endpoint_id")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        version: row.get("version")?,
        events: row.get("events")?,
        is_enabled: row.get("is_enabled")?,
        disabled_reason: row.get("disabled_reason")?,
        failing_since: row.get("failing_since")?,
    };
    Ok(EndpointRow {
        endpoint: columns.into_endpoint().map_err(|column| rows::impossible(column, Type::Null))?,
        sealed: Sealed {
            envelope: row.get("envelope")?,
            sealing_key: rows::wrapped_key(row, "wrapped_key")?,
        },
    })
}

/// Wipes and deletes an account's first endpoints, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_OF_ACCOUNT, parameters)?;
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}
