//! The endpoints that receive the webhooks of an account.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, EndpointId};
use domain::time::Timestamp;
use domain::webhook::{DisabledReason, Endpoint};
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::Clock;
use super::job_writes::CompletionParameters;
use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::SingleWrite;
use super::{Postgres, jobs, rows};
use crate::delivery_rows::EndpointColumns;
use crate::sql::statement;
use crate::{Changed, EndpointRow, EndpointUpdate, Error, FailingSince, NewEndpoint, WebhookEndpoints};

const SQL: &str = include_str!("sql/webhook_endpoints.sql");
pub(super) const FIND: &str = statement(SQL, "find_webhook_endpoint");
pub(super) const LIST: &str = statement(SQL, "list_webhook_endpoints");
const INSERT: &str = statement(SQL, "insert_webhook_endpoint");
const UPDATE: &str = statement(SQL, "update_webhook_endpoint");
const DELETE: &str = statement(SQL, "delete_webhook_endpoint");

#[async_trait]
impl WebhookEndpoints for Postgres {
    async fn insert_webhook_endpoint(&self, account: &AccountId, new: NewEndpoint) -> Result<(), Error> {
        self.writer.write(InsertEndpoint { account: account.clone(), new, clock: self.clock }).await
    }

    async fn update_webhook_endpoint(
        &self,
        account: &AccountId,
        update: EndpointUpdate,
    ) -> Result<Changed, Error> {
        self.writer.write(UpdateEndpoint { account: account.clone(), update, clock: self.clock }).await
    }

    async fn delete_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, id, event) = (account.clone(), id.clone(), event.clone());
        self.writer.write(DeleteEndpoint { account, id, event, clock: self.clock }).await
    }

    async fn find_webhook_endpoint(
        &self,
        account: &AccountId,
        id: &EndpointId,
    ) -> Result<Option<EndpointRow>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("endpoint_id", &id.as_str())];
        self.find(FIND, key, endpoint_from).await
    }

    async fn list_webhook_endpoints(
        &self,
        account: &AccountId,
        after: Option<&EndpointId>,
        limit: u32,
    ) -> Result<Vec<EndpointRow>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("after", &after.map_or("", EndpointId::as_str)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST, parameters, endpoint_from).await
    }
}

pub(super) fn endpoint_from(row: &Row) -> Result<EndpointRow, PgError> {
    let columns = EndpointColumns {
        account_id: rows::get(row, "account_id")?,
        endpoint_id: rows::get(row, "endpoint_id")?,
        created_at: rows::get(row, "created_at")?,
        updated_at: rows::get(row, "updated_at")?,
        version: rows::get(row, "version")?,
        events: rows::get(row, "events")?,
        is_enabled: rows::get(row, "is_enabled")?,
        disabled_reason: rows::get(row, "disabled_reason")?,
        failing_since: rows::get(row, "failing_since")?,
    };
    Ok(EndpointRow {
        endpoint: columns.into_endpoint().map_err(rows::impossible)?,
        sealed: jobs::sealed(row)?,
    })
}

/// The columns that an insertion and an update write.
struct EndpointParameters<'a> {
    id: &'a str,
    updated_at: i64,
    version: i64,
    events: Option<i64>,
    is_enabled: bool,
    disabled_reason: Option<&'static str>,
    wrapped_key: &'a [u8],
    envelope: &'a [u8],
}

impl<'a> EndpointParameters<'a> {
    fn of(row: &'a EndpointRow) -> Self {
        let Endpoint { id, updated_at, version, events, state, .. } = &row.endpoint;
        Self {
            id: id.as_str(),
            updated_at: updated_at.as_micros(),
            version: rows::stored_count(*version),
            events: events.to_stored(),
            is_enabled: state.is_enabled(),
            disabled_reason: state.disabled_reason().map(DisabledReason::as_str),
            wrapped_key: row.sealed.sealing_key.0.as_slice(),
            envelope: &row.sealed.envelope,
        }
    }

    /// These, and the statement's own.
    fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let columns: [Named<'p>; 8] = [
            ("endpoint_id", &self.id),
            ("updated_at", &self.updated_at),
            ("version", &self.version),
            ("events", &self.events),
            ("is_enabled", &self.is_enabled),
            ("disabled_reason", &self.disabled_reason),
            ("wrapped_key", &self.wrapped_key),
            ("envelope", &self.envelope),
        ];
        [&columns, own].concat()
    }
}

struct InsertEndpoint {
    account: AccountId,
    new: NewEndpoint,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertEndpoint {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, new, clock } = self;
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &clock.or_the_servers(new.event.at)),
            ("created_at", &new.row.endpoint.created_at.as_micros()),
            ("failing_since", &new.row.endpoint.failing_since.map(Timestamp::as_micros)),
        ];
        let columns = EndpointParameters::of(&new.row);
        let completion = CompletionParameters::of(new.completion.as_ref(), *clock);
        let event = EventParameters::of(&new.event);
        let own = completion.and(&columns.and(own));
        let found = session.query_named(INSERT, &event.and(&own)).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_active")) };
        Ok(if !rows::get::<bool>(row, "is_active")? {
            Err(Error::KeyNotActive)
        } else if !rows::get::<bool>(row, "is_held")? {
            Err(Error::ReservationLost)
        } else {
            Ok(())
        })
    }
}

struct UpdateEndpoint {
    account: AccountId,
    update: EndpointUpdate,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for UpdateEndpoint {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.update.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, update, clock } = self;
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &clock.or_the_servers(update.event.at)),
            ("expected_version", &rows::stored_count(update.expected_version)),
            ("clears_failing", &(update.failing_since == FailingSince::Cleared)),
            ("expected_failing_since", &update.failing_since.expected().map(Timestamp::as_micros)),
        ];
        let columns = EndpointParameters::of(&update.row);
        let event = EventParameters::of(&update.event);
        let found = session.query_named(UPDATE, &event.announcing(&columns.and(own))).await?;
        changed(&found)
    }
}

struct DeleteEndpoint {
    account: AccountId,
    id: EndpointId,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for DeleteEndpoint {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let own: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("now", &self.clock.or_the_servers(self.event.at)),
            ("endpoint_id", &self.id.as_str()),
        ];
        let found = session.query_named(DELETE, &EventParameters::of(&self.event).and(own)).await?;
        changed(&found)
    }
}

/// The answer of a statement that returns whether the actor is active, and how many rows it wrote.
pub(super) fn changed(found: &[Row]) -> Result<Result<Changed, Error>, PgError> {
    let Some(row) = found.first() else { return Err(rows::impossible("written")) };
    if !rows::get::<bool>(row, "is_active")? {
        return Ok(Err(Error::KeyNotActive));
    }
    Ok(Ok(if rows::count(row, "written")? > 0 { Changed::Yes } else { Changed::No }))
}
