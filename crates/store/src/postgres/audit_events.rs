//! The audit log: rows are added, never changed. The identifier of an event is also its operation's.

use async_trait::async_trait;
use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use tokio_postgres::Row;

use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::{Answers, BatchWrite, Write};
use super::{Postgres, rows};
use crate::jobs::SERVICE;
use crate::sql::statement;
use crate::{Audit, Error};

const SQL: &str = include_str!("sql/audit_events.sql");
pub(super) const INSERT: &str = statement(SQL, "insert_audit_events");
const LOCK: &str = statement(SQL, "lock_audit_event");
pub(super) const LIST: &str = statement(SQL, "list_audit_events");

#[async_trait]
impl Audit for Postgres {
    async fn insert_audit_event(&self, _account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        self.events.write(InsertAuditEvent { event: event.clone() }).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        let parameters: Parameters<'_> = &[("account_id", &account.as_str()), ("limit", &i64::from(limit))];
        self.read(LIST, parameters, audit_event_from).await
    }
}

/// The columns of an event.
#[derive(Default)]
struct Columns<'a> {
    api_key_id: Option<&'a str>,
    remote: Option<String>,
    action: &'a str,
    subject: Option<&'a str>,
    refusal: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let (api_key_id, remote) = match &event.actor {
            Actor::ApiKey { key_id, remote } => {
                (Some(key_id.as_str()), remote.map(|remote| remote.to_string()))
            }
            Actor::Operator => (None, None),
            Actor::Service => (None, Some(SERVICE.to_owned())),
        };
        let refusal = match &event.outcome {
            Outcome::Done => None,
            Outcome::Refused(code) => Some(code.as_str()),
        };
        let (action, subject) = (event.action.as_str(), event.subject.as_deref());
        Self { api_key_id, remote, action, subject, refusal }
    }
}

/// One event, for a statement that writes it beside its effect. All columns are NULL if there is none.
pub(super) struct EventParameters<'a> {
    id: Option<&'a str>,
    at: Option<i64>,
    action: Option<&'a str>,
    columns: Columns<'a>,
}

impl<'a> EventParameters<'a> {
    pub(super) fn of(event: &'a AuditEvent) -> Self {
        Self::of_any(Some(event))
    }

    pub(super) fn of_any(event: Option<&'a AuditEvent>) -> Self {
        let columns = event.map(Columns::of);
        Self {
            id: event.map(|event| event.id.as_str()),
            at: event.map(|event| event.at.as_micros()),
            action: columns.as_ref().map(|columns| columns.action),
            columns: columns.unwrap_or_default(),
        }
    }

    /// These, and the statement's own.
    pub(super) fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let Columns { api_key_id, remote, subject, refusal, .. } = &self.columns;
        let event: [Named<'p>; 7] = [
            ("event_id", &self.id),
            ("event_at", &self.at),
            ("event_api_key_id", api_key_id),
            ("event_remote", remote),
            ("event_action", &self.action),
            ("event_subject", subject),
            ("event_refusal", refusal),
        ];
        [&event, own].concat()
    }
}

/// Many events, an array for each column.
#[derive(Default)]
pub(super) struct EventArrays<'a> {
    pub(super) account_ids: Vec<&'a str>,
    ids: Vec<&'a str>,
    at: Vec<i64>,
    api_key_ids: Vec<Option<&'a str>>,
    remotes: Vec<Option<String>>,
    actions: Vec<&'a str>,
    subjects: Vec<Option<&'a str>>,
    refusals: Vec<Option<&'a str>>,
}

impl<'a> EventArrays<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a AuditEvent>) -> Self {
        let mut arrays = Self::default();
        for event in events {
            let columns = Columns::of(event);
            arrays.account_ids.push(event.account_id.as_str());
            arrays.ids.push(event.id.as_str());
            arrays.at.push(event.at.as_micros());
            arrays.api_key_ids.push(columns.api_key_id);
            arrays.remotes.push(columns.remote);
            arrays.actions.push(columns.action);
            arrays.subjects.push(columns.subject);
            arrays.refusals.push(columns.refusal);
        }
        arrays
    }

    /// These, with the accounts, and the statement's own.
    pub(super) fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let events: [Named<'p>; 8] = [
            ("account_id", &self.account_ids),
            ("event_id", &self.ids),
            ("event_at", &self.at),
            ("event_api_key_id", &self.api_key_ids),
            ("event_remote", &self.remotes),
            ("event_action", &self.actions),
            ("event_subject", &self.subjects),
            ("event_refusal", &self.refusals),
        ];
        [&events, own].concat()
    }
}

/// Runs a statement that writes an event beside its effect and returns how many rows that had. Whether it had any.
pub(super) async fn run_logged(
    session: &Session,
    sql: &'static str,
    event: &AuditEvent,
    own: Parameters<'_>,
) -> Result<bool, PgError> {
    let found = session.query_named(sql, &EventParameters::of(event).and(own)).await?;
    let written = found.first().map_or(Ok(0), |row| rows::count(row, "written"))?;
    Ok(written > 0)
}

async fn insert(session: &Session, events: impl Iterator<Item = &AuditEvent>) -> Result<usize, PgError> {
    Ok(session.query_named(INSERT, &EventArrays::of(events).and(&[])).await?.len())
}

/// Whether the operation of an event was committed. If it is being committed, this waits for its end: no other transaction
/// can add an event with the same identifier meanwhile.
pub(super) async fn is_recorded(session: &Session, event: &AuditEvent) -> Result<bool, PgError> {
    session.begin(Isolation::ReadCommitted).await?;
    let inserted = insert(session, std::iter::once(event)).await;
    let is_there = session.undo(inserted.map(|inserted| inserted == 0)).await?;
    if is_there {
        // A server that crashed while it waited for its standby has the commit after its restart, and the standby may lack it.
        let parameters: Parameters<'_> =
            &[("account_id", &event.account_id.as_str()), ("audit_event_id", &event.id.as_str())];
        session.query_named(LOCK, parameters).await?;
    }
    Ok(is_there)
}

/// Adds an event without another write.
pub(super) struct InsertAuditEvent {
    pub(super) event: AuditEvent,
}

impl BatchWrite for InsertAuditEvent {
    type Key = AuditEventId;

    fn key(&self) -> Self::Key {
        self.event.id.clone()
    }

    fn account(&self) -> &AccountId {
        &self.event.account_id
    }
}

#[async_trait]
impl Write for InsertAuditEvent {
    type Answer = ();

    /// An event that is stored already is not added again.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        insert(session, writes.iter().map(|write| &write.event)).await?;
        Ok(writes.iter().map(|_| Some(Ok(()))).collect())
    }
}

fn audit_event_from(row: &Row) -> Result<AuditEvent, PgError> {
    let remote: Option<&str> = rows::get(row, "remote")?;
    let actor = match rows::get::<Option<String>>(row, "api_key_id")? {
        None if remote == Some(SERVICE) => Actor::Service,
        None => Actor::Operator,
        Some(key_id) => Actor::ApiKey {
            key_id: ApiKeyId::from_stored(key_id),
            remote: remote.map(str::parse).transpose().map_err(|_| rows::impossible("remote"))?,
        },
    };
    let action: &str = rows::get(row, "action")?;
    Ok(AuditEvent {
        id: AuditEventId::from_stored(rows::get(row, "audit_event_id")?),
        account_id: AccountId::from_stored(rows::get(row, "account_id")?),
        at: rows::instant(row, "at")?,
        actor,
        action: Action::from_stored(action).ok_or_else(|| rows::impossible("action"))?,
        subject: rows::get(row, "subject")?,
        outcome: rows::get::<Option<String>>(row, "refusal")?.map_or(Outcome::Done, Outcome::Refused),
    })
}
