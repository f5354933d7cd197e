//! Writing connections: many in one statement, each with its own answer.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::Description;
use domain::id::{AccountId, ConnectionId};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::api_keys::active;
use super::audit_events::Columns;
use super::clock::{Clock, clock};
use super::job_writes;
use super::rows;
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::{Answers, SharedWrite, Write};
use crate::{Changed, ConnectionUpdate, Error, NewConnection};

/// What one attempt at a request reserved: two writes that complete the same one must not share a statement, because
/// neither would see that the other had completed it.
type Reserved = (AccountId, &'static str, String);

/// The columns of `given` that every statement here begins with: the account and the event's.
macro_rules! given {
    ($types:expr, $names:expr) => {
        concat!(
            "WITH given AS (SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                $7::text[], $8::text[], $9::bigint[], $10::text[]",
            $types,
            ") WITH ORDINALITY AS given (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal,
                now, connection_id",
            $names,
            ", position)), ",
            active!()
        )
    };
}

/// Writes the events of those rows of `given` that a part of the statement wrote.
macro_rules! events_of {
    ($effect:literal) => {
        concat!(
            "logged AS (
                INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
                SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
                FROM given JOIN ",
            $effect,
            " USING (account_id, connection_id) ORDER BY account_id COLLATE \"C\", audit_event_id COLLATE \"C\")"
        )
    };
}

/// Locks the rows that are to be changed, in their order, and so sees what they have become by now.
macro_rules! locked {
    () => {
        "locked AS (
            SELECT c.account_id, c.connection_id, c.version, c.unique_name
            FROM connections c JOIN (given JOIN active USING (position))
                ON c.account_id = given.account_id AND c.connection_id = given.connection_id
            ORDER BY c.account_id, c.connection_id FOR UPDATE OF c)"
    };
}

/// The columns of `given` that a creation has beside those of every write.
macro_rules! inserted {
    ($types:literal, $names:literal, $before:expr, $where:literal, $after:expr, $select:literal) => {
        concat!(
            given!(
                concat!(
                    ", $11::text[], $12::text[], $13::text[], $14::boolean[], $15::text[], $16::bigint[],
                        $17::bigint[], $18::bigint[], $19::bigint[], $20::bytea[], $21::bytea[]",
                    $types
                ),
                concat!(
                    ", name, unique_name, description, is_enabled, client_identifier, created_at, updated_at,
                        version, sealed_version, wrapped_key, envelope",
                    $names
                )
            ),
            $before,
            ", inserted AS (
                INSERT INTO connections (account_id, connection_id, name, unique_name, description, is_enabled,
                    client_identifier, created_at, updated_at, version, sealed_version, wrapped_key, envelope)
                SELECT account_id, connection_id, name, unique_name, description, is_enabled,
                    client_identifier, created_at, updated_at, version, sealed_version, wrapped_key, envelope
                FROM given JOIN active USING (position)",
            $where,
            " ORDER BY account_id COLLATE \"C\", unique_name COLLATE \"C\", position
                ON CONFLICT DO NOTHING RETURNING account_id, connection_id), ",
            $after,
            events_of!("inserted"),
            $select,
            ", active.position IS NOT NULL AS is_active, inserted.connection_id IS NOT NULL AS is_inserted
            FROM given LEFT JOIN active USING (position) LEFT JOIN inserted USING (account_id, connection_id)
            ORDER BY position"
        )
    };
}

/// Where no request is to be completed, as in most batches.
pub(super) const INSERT: &str = inserted!("", "", "", "", "", " SELECT true AS is_held");
pub(super) const INSERT_AND_COMPLETE: &str = inserted!(
    ", $22::text[], $23::text[], $24::bigint[], $25::bytea[], $26::bigint[]",
    ", operation, idempotency_key, attempt, answer, answered_at",
    ", held AS (
        SELECT given.position FROM given JOIN active USING (position)
        JOIN idempotency_records r ON r.account_id = given.account_id AND r.operation = given.operation
            AND r.idempotency_key = given.idempotency_key AND r.attempt = given.attempt
            AND r.answer IS NULL AND NOT r.is_released
        ORDER BY r.account_id, r.operation, r.idempotency_key FOR UPDATE OF r)",
    " WHERE operation IS NULL OR position IN (SELECT position FROM held)",
    concat!(
        "completed AS (
            UPDATE idempotency_records r SET answer = given.answer, answered_at = ",
        clock!("given.answered_at"),
        " FROM given JOIN inserted USING (account_id, connection_id)
            WHERE r.account_id = given.account_id AND r.operation = given.operation
                AND r.idempotency_key = given.idempotency_key), "
    ),
    " SELECT operation IS NULL OR position IN (SELECT position FROM held) AS is_held"
);

/// `$22`: whether names may change.
pub(super) const UPDATE: &str = concat!(
    given!(
        ", $11::bigint[], $12::text[], $13::text[], $14::text[], $15::boolean[], $16::text[], $17::bigint[],
            $18::bigint[], $19::bigint[], $20::bytea[], $21::bytea[]",
        ", expected_version, name, unique_name, description, is_enabled, client_identifier, updated_at, version,
            sealed_version, wrapped_key, envelope"
    ),
    ", ",
    locked!(),
    ", updated AS (
        UPDATE connections c SET name = given.name, unique_name = given.unique_name,
            description = given.description, is_enabled = given.is_enabled,
            client_identifier = given.client_identifier, updated_at = given.updated_at, version = given.version,
            sealed_version = coalesce(given.sealed_version, c.sealed_version),
            wrapped_key = coalesce(given.wrapped_key, c.wrapped_key), envelope = coalesce(given.envelope, c.envelope)
        FROM given JOIN active USING (position) JOIN locked USING (account_id, connection_id)
        WHERE c.account_id = given.account_id AND c.connection_id = given.connection_id
            AND locked.version = given.expected_version AND ($22 OR locked.unique_name = given.unique_name)
        RETURNING c.account_id, c.connection_id), ",
    events_of!("updated"),
    " SELECT active.position IS NOT NULL AS is_active, locked.version AS current, updated.connection_id IS NOT NULL AS is_updated
    FROM given LEFT JOIN active USING (position) LEFT JOIN locked USING (account_id, connection_id)
        LEFT JOIN updated USING (account_id, connection_id)
    ORDER BY position"
);

pub(super) const DELETE: &str = concat!(
    given!("", ""),
    ", ",
    locked!(),
    ", deleted AS (
        DELETE FROM connections c USING locked
        WHERE c.account_id = locked.account_id AND c.connection_id = locked.connection_id
        RETURNING c.account_id, c.connection_id), ",
    events_of!("deleted"),
    " SELECT active.position IS NOT NULL AS is_active, deleted.connection_id IS NOT NULL AS is_deleted
    FROM given LEFT JOIN active USING (position) LEFT JOIN deleted USING (account_id, connection_id)
    ORDER BY position"
);

type Parameter<'a> = &'a (dyn ToSql + Sync);

/// What every statement here begins with.
struct Given<'a> {
    events: Columns<'a>,
    now: Vec<Option<i64>>,
    ids: Vec<&'a str>,
}

impl<'a> Given<'a> {
    fn of(writes: impl Iterator<Item = (&'a AuditEvent, Clock, &'a ConnectionId)> + Clone) -> Self {
        Self {
            events: Columns::of(writes.clone().map(|(event, ..)| event)),
            now: writes.clone().map(|(event, clock, _)| clock.or_the_servers(event.at)).collect(),
            ids: writes.map(|(_, _, id)| id.as_str()).collect(),
        }
    }

    fn and(&'a self, own: Parameters<'a>) -> Vec<Parameter<'a>> {
        let mut parameters: Vec<Parameter<'a>> = self.events.parameters().to_vec();
        parameters.extend([&self.now as Parameter<'a>, &self.ids]);
        parameters.extend(own);
        parameters
    }
}

/// Adds a connection.
pub(super) struct InsertConnection {
    pub(super) account: AccountId,
    pub(super) new: NewConnection,
    pub(super) clock: Clock,
}

impl SharedWrite for InsertConnection {
    type Key = Result<Reserved, ConnectionId>;

    fn key(&self) -> Self::Key {
        let completion = self.new.completion.as_ref().ok_or_else(|| self.new.connection.id.clone())?;
        let reservation = &completion.reservation;
        Ok((self.account.clone(), reservation.operation.as_str(), reservation.key.as_str().to_owned()))
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for InsertConnection {
    type Answer = ();

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let given =
            Given::of(writes.iter().map(|write| (&write.new.event, write.clock, &write.new.connection.id)));
        macro_rules! column {
            ($write:ident => $value:expr) => {
                &writes.iter().map(|$write| $value).collect::<Vec<_>>()
            };
        }
        macro_rules! completion {
            ($completion:ident => $value:expr) => {
                column!(write => write.new.completion.as_ref().map(|$completion| $value))
            };
        }
        let own: Parameters<'_> = &[
            column!(write => write.new.connection.name.as_str()),
            column!(write => write.new.connection.name.unique_part()),
            column!(write => write.new.connection.description.as_ref().map(Description::as_str)),
            column!(write => write.new.connection.availability.is_enabled()),
            column!(write => write.new.connection.client_identifier.as_str()),
            column!(write => write.new.connection.created_at.as_micros()),
            column!(write => write.new.connection.updated_at.as_micros()),
            column!(write => rows::stored_count(write.new.connection.version)),
            column!(write => rows::stored_count(write.new.connection.sealed_version)),
            column!(write => write.new.sealed.sealing_key.0.as_slice()),
            column!(write => write.new.sealed.envelope.as_slice()),
        ];
        let completions: Parameters<'_> = &[
            completion!(completion => completion.reservation.operation.as_str()),
            completion!(completion => completion.reservation.key.as_str()),
            completion!(completion => rows::stored_count(completion.reservation.attempt)),
            completion!(completion => completion.answer.0.as_slice()),
            column!(write => write.new.completion.as_ref().and_then(|done| write.clock.or_the_servers(done.at))),
        ];
        let found = if writes.iter().any(|write| write.new.completion.is_some()) {
            session.query(INSERT_AND_COMPLETE, &given.and(&[own, completions].concat())).await?
        } else {
            session.query(INSERT, &given.and(own)).await?
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

/// Changes a connection.
pub(super) struct UpdateConnection {
    pub(super) account: AccountId,
    pub(super) update: ConnectionUpdate,
    pub(super) clock: Clock,
}

impl SharedWrite for UpdateConnection {
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

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.update.event, ()))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let given = Given::of(
            writes.iter().map(|write| (&write.update.event, write.clock, &write.update.connection.id)),
        );
        macro_rules! column {
            ($update:ident => $value:expr) => {
                &writes.iter().map(|write| &write.update).map(|$update| $value).collect::<Vec<_>>()
            };
        }
        // Two names that meet would fail the whole statement, so a new name is given in one of its own.
        let may_rename = writes.len() == 1;
        let own: Parameters<'_> = &[
            column!(update => rows::stored_count(update.expected_version)),
            column!(update => update.connection.name.as_str()),
            column!(update => update.connection.name.unique_part()),
            column!(update => update.connection.description.as_ref().map(Description::as_str)),
            column!(update => update.connection.availability.is_enabled()),
            column!(update => update.connection.client_identifier.as_str()),
            column!(update => update.connection.updated_at.as_micros()),
            column!(update => rows::stored_count(update.connection.version)),
            column!(update => update.resealed.as_ref().map(|_| rows::stored_count(update.connection.sealed_version))),
            column!(update => update.resealed.as_ref().map(|sealed| sealed.sealing_key.0.as_slice())),
            column!(update => update.resealed.as_ref().map(|sealed| sealed.envelope.as_slice())),
            &may_rename,
        ];
        let found = match session.query(UPDATE, &given.and(own)).await {
            Err(trouble) if may_rename && trouble.refusal() == Some(&SqlState::UNIQUE_VIOLATION) => {
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
                // The right version and yet not done: it takes another name.
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

impl SharedWrite for DeleteConnection {
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

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        session.batch("BEGIN").await?;
        let steps = Self::delete(session, writes).await;
        session.end(steps).await
    }
}

impl DeleteConnection {
    /// The jobs in a statement of their own: one that was added while this waited for its connection is seen only then.
    async fn delete(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let given = Given::of(writes.iter().map(|write| (&write.event, write.clock, &write.id)));
        let found = session.query(DELETE, &given.and(&[])).await?;
        let (mut answers, mut gone) = (Vec::new(), Vec::new());
        for (write, row) in writes.iter().zip(&found) {
            answers.push(Some(if !rows::get::<bool>(row, "is_active")? {
                Err(Error::KeyNotActive)
            } else if rows::get::<bool>(row, "is_deleted")? {
                gone.push((&write.event, write.clock, write.id.as_str()));
                Ok(Changed::Yes)
            } else {
                Ok(Changed::No)
            }));
        }
        if !gone.is_empty() {
            job_writes::mark_of_connections(session, &gone).await?;
        }
        Ok(answers)
    }
}
