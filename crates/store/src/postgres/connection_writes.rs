//! Writing connections: many in one statement, each with its own answer.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{Connection, Description};
use domain::id::{AccountId, ConnectionId};
use domain::time::Timestamp;
use tokio_postgres::error::SqlState;

use super::audit_events::EventArrays;
use super::clock::Clock;
use super::connection_health;
use super::connections::SQL;
use super::job_writes;
use super::parameters::{Named, Parameters, column, distinct};
use super::pg_error::PgError;
use super::rows;
use super::sessions::{Isolation, Session};
use super::writes::{Answers, BatchWrite, Write};
use crate::sql::statement;
use crate::{Changed, Completion, ConnectionUpdate, Error, NewConnection};

/// Where no write completes an idempotency record, as in most batches.
pub(super) const INSERT: &str = statement(SQL, "insert_connections");
pub(super) const INSERT_AND_COMPLETE: &str = statement(SQL, "insert_and_complete_connections");
pub(super) const UPDATE: &str = statement(SQL, "update_connections");
pub(super) const DELETE: &str = statement(SQL, "delete_connections");

/// The arrays that every statement here has.
struct BatchInput<'a> {
    events: EventArrays<'a>,
    now: Vec<Option<i64>>,
    connection_ids: Vec<&'a str>,
    accounts: Vec<&'a str>,
}

impl<'a> BatchInput<'a> {
    fn of(writes: impl Iterator<Item = (&'a AuditEvent, Clock, &'a ConnectionId)> + Clone) -> Self {
        let events = EventArrays::of(writes.clone().map(|(event, ..)| event));
        Self {
            accounts: distinct(&events.account_ids),
            events,
            now: writes.clone().map(|(event, clock, _)| clock.or_the_servers(event.at)).collect(),
            connection_ids: writes.map(|(_, _, id)| id.as_str()).collect(),
        }
    }

    /// These, and the statement's own.
    fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let shared: [Named<'p>; 2] = [("now", &self.now), ("connection_id", &self.connection_ids)];
        self.events.announcing(&[&shared, own].concat())
    }

    /// The filter on the accounts of rows that are stored already.
    fn accounts(&self) -> Named<'_> {
        ("accounts", &self.accounts)
    }
}

fn description(connection: &Connection) -> Option<&str> {
    connection.description.as_ref().map(Description::as_str)
}

/// Adds a connection.
pub(super) struct InsertConnection {
    pub(super) account: AccountId,
    pub(super) new: NewConnection,
    pub(super) clock: Clock,
}

impl BatchWrite for InsertConnection {
    /// Two writes that complete one idempotency record must not share a statement: neither would see that the other had
    /// completed it.
    type Key = Result<(AccountId, &'static str, String), ConnectionId>;

    fn key(&self) -> Self::Key {
        let completion = self.new.completion.as_ref().ok_or_else(|| self.new.connection.id.clone())?;
        let reservation = &completion.reservation;
        Ok((self.account.clone(), reservation.operation.as_str(), reservation.key.as_str().to_owned()))
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

impl InsertConnection {
    /// A column of what completes an idempotency record; `None` if nothing does.
    fn completed<'a, T>(&'a self, value: impl FnOnce(&'a Completion) -> T) -> Option<T> {
        self.new.completion.as_ref().map(value)
    }
}

#[async_trait]
impl Write for InsertConnection {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let input = BatchInput::of(
            writes.iter().map(|write| (&write.new.event, write.clock, &write.new.connection.id)),
        );
        let own: Parameters<'_> = &[
            ("name", &column(writes, |write| write.new.connection.name.as_str())),
            ("unique_name", &column(writes, |write| write.new.connection.name.unique_part())),
            ("description", &column(writes, |write| description(&write.new.connection))),
            ("is_enabled", &column(writes, |write| write.new.connection.availability.is_enabled())),
            ("client_identifier", &column(writes, |write| write.new.connection.client_identifier.as_str())),
            ("created_at", &column(writes, |write| write.new.connection.created_at.as_micros())),
            ("updated_at", &column(writes, |write| write.new.connection.updated_at.as_micros())),
            ("version", &column(writes, |write| rows::stored_count(write.new.connection.version))),
            (
                "sealed_version",
                &column(writes, |write| rows::stored_count(write.new.connection.sealed_version)),
            ),
            ("wrapped_key", &column(writes, |write| write.new.sealed.sealing_key.0.as_slice())),
            ("envelope", &column(writes, |write| write.new.sealed.envelope.as_slice())),
            ("health_status", &column(writes, |write| write.new.health.status.as_str())),
            ("checked_at", &column(writes, |write| write.new.health.checked_at.map(Timestamp::as_micros))),
            (
                "next_check_at",
                &column(writes, |write| write.new.health.next_check_at.map(Timestamp::as_micros)),
            ),
        ];
        let found = if writes.iter().any(|write| write.new.completion.is_some()) {
            let completions: Parameters<'_> = &[
                input.accounts(),
                ("operation", &column(writes, |write| write.completed(|c| c.reservation.operation.as_str()))),
                ("idempotency_key", &column(writes, |write| write.completed(|c| c.reservation.key.as_str()))),
                (
                    "attempt",
                    &column(writes, |write| write.completed(|c| rows::stored_count(c.reservation.attempt))),
                ),
                ("answer", &column(writes, |write| write.completed(|c| c.answer.0.as_slice()))),
                (
                    "answered_at",
                    &column(writes, |write| write.completed(|c| write.clock.or_the_servers(c.at)).flatten()),
                ),
            ];
            session.query_named(INSERT_AND_COMPLETE, &input.and(&[own, completions].concat())).await?
        } else {
            session.query_named(INSERT, &input.and(own)).await?
        };
        let mut answers = Vec::new();
        for row in &found {
            answers.push(Some(if !rows::get::<bool>(row, "is_active")? {
                Err(Error::KeyNotActive)
            } else if !rows::get::<bool>(row, "is_held")? {
                Err(Error::ReservationLost)
            } else if rows::get::<bool>(row, "is_inserted")? {
                Ok(())
            } else {
                Err(Error::NameTaken)
            }));
        }
        Ok(answers)
    }
}

/// Updates a connection.
pub(super) struct UpdateConnection {
    pub(super) account: AccountId,
    pub(super) update: ConnectionUpdate,
    pub(super) clock: Clock,
}

impl BatchWrite for UpdateConnection {
    type Key = (AccountId, ConnectionId);

    fn key(&self) -> Self::Key {
        (self.account.clone(), self.update.connection.id.clone())
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for UpdateConnection {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.update.event, ()))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let input = BatchInput::of(
            writes.iter().map(|write| (&write.update.event, write.clock, &write.update.connection.id)),
        );
        let updates = column(writes, |write| &write.update);
        let updates = updates.as_slice();
        // Two writes of one name would fail the whole statement, so a write that renames runs alone.
        let may_rename = writes.len() == 1;
        let own: Parameters<'_> = &[
            ("expected_version", &column(updates, |update| rows::stored_count(update.expected_version))),
            ("name", &column(updates, |update| update.connection.name.as_str())),
            ("unique_name", &column(updates, |update| update.connection.name.unique_part())),
            ("description", &column(updates, |update| description(&update.connection))),
            ("is_enabled", &column(updates, |update| update.connection.availability.is_enabled())),
            ("client_identifier", &column(updates, |update| update.connection.client_identifier.as_str())),
            ("updated_at", &column(updates, |update| update.connection.updated_at.as_micros())),
            ("version", &column(updates, |update| rows::stored_count(update.connection.version))),
            (
                "sealed_version",
                &column(updates, |update| {
                    update.resealed.as_ref().map(|_| rows::stored_count(update.connection.sealed_version))
                }),
            ),
            (
                "wrapped_key",
                &column(updates, |update| {
                    update.resealed.as_ref().map(|sealed| sealed.sealing_key.0.as_slice())
                }),
            ),
            (
                "envelope",
                &column(updates, |update| update.resealed.as_ref().map(|sealed| sealed.envelope.as_slice())),
            ),
            ("may_rename", &may_rename),
            input.accounts(),
        ];
        let found = match session.query_named(UPDATE, &input.and(own)).await {
            Err(error) if may_rename && error.rejection() == Some(&SqlState::UNIQUE_VIOLATION) => {
                return Ok(vec![Some(Err(Error::NameTaken))]);
            }
            found => found?,
        };
        let mut answers = Vec::new();
        for (write, row) in writes.iter().zip(&found) {
            let is_there = rows::get::<Option<i64>>(row, "current")?.is_some();
            answers.push(if !rows::get::<bool>(row, "is_active")? {
                Some(Err(Error::KeyNotActive))
            } else if rows::get::<bool>(row, "is_updated")? {
                Some(Ok(()))
            } else if !is_there {
                Some(Err(Error::NotFound))
            } else {
                let current = rows::count(row, "current")?;
                // The right version and not updated: it renames, and runs again alone.
                (current != write.update.expected_version).then_some(Err(Error::VersionConflict { current }))
            });
        }
        Ok(answers)
    }
}

/// Deletes a connection.
pub(super) struct DeleteConnection {
    pub(super) account: AccountId,
    pub(super) id: ConnectionId,
    pub(super) event: AuditEvent,
    pub(super) clock: Clock,
}

impl BatchWrite for DeleteConnection {
    type Key = (AccountId, ConnectionId);

    fn key(&self) -> Self::Key {
        (self.account.clone(), self.id.clone())
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for DeleteConnection {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = Self::delete(session, writes).await;
        session.end(steps).await
    }
}

impl DeleteConnection {
    /// Jobs are cancelled, and the health is deleted, in further statements, which see those that were added while the first one waited for a lock.
    async fn delete(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let input = BatchInput::of(writes.iter().map(|write| (&write.event, write.clock, &write.id)));
        let found = session.query_named(DELETE, &input.and(&[input.accounts()])).await?;
        let (mut answers, mut deleted) = (Vec::new(), Vec::new());
        for (write, row) in writes.iter().zip(&found) {
            answers.push(Some(if !rows::get::<bool>(row, "is_active")? {
                Err(Error::KeyNotActive)
            } else if rows::get::<bool>(row, "is_deleted")? {
                deleted.push((&write.event, write.clock, write.id.as_str()));
                Ok(Changed::Yes)
            } else {
                Ok(Changed::No)
            }));
        }
        if !deleted.is_empty() {
            job_writes::mark_of_connections(session, &deleted).await?;
            let keys: Vec<_> = deleted
                .iter()
                .map(|(event, _, connection)| (event.account_id.as_str(), *connection))
                .collect();
            connection_health::delete_of_connections(session, &keys).await?;
        }
        Ok(answers)
    }
}
