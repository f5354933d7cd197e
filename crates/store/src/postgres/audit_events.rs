//! The audit log: rows are added, never changed. The identifier of an event is also its operation's.

use async_trait::async_trait;
use domain::account::Label;
use domain::audit::{Action, AuditEvent, AuditFilter, AuditRecord, FilterActor};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use tokio_postgres::Row;

use super::announcements::Announcements;
use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::{Answers, BatchWrite, Write};
use super::{Postgres, rows};
use crate::audit::SCAN_MAX;
use crate::sql::statement;
use crate::{AuditPage, Error};

const SQL: &str = include_str!("sql/audit_events.sql");
pub(super) const INSERT: &str = statement(SQL, "insert_audit_events");
const LOCK: &str = statement(SQL, "lock_audit_event");
pub(super) const LIST: &str = statement(SQL, "list_audit_events");
const FIND_LAST_SCANNED: &str = statement(SQL, "find_last_scanned");
pub(super) const LIST_UNLINKED: &str = statement(SQL, "list_unlinked_audit_events");
pub(super) const LIST_IDS: &str = statement(SQL, "list_audit_event_ids");
pub(super) const DELETE: &str = statement(SQL, "delete_audit_events");

impl Postgres {
    /// See [`crate::Audit::list_audit_events`].
    pub(super) async fn audit_page(
        &self,
        account: &AccountId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, Error> {
        // One more shows whether there is another page.
        let scan = if filter.is_selective() { SCAN_MAX.max(limit) } else { limit.saturating_add(1) };
        let (api_key_id, actor_kind) = match &filter.actor {
            None => (None, None),
            Some(FilterActor::Key(id)) => (Some(id.as_str()), None),
            Some(FilterActor::Kind(kind)) => (None, Some(kind.as_str())),
        };
        let (first_id, end_id, scan) = (filter.first_id(), filter.end_id(), i64::from(scan));
        let (account, first_id, end_id) = (account.as_str(), first_id.as_str(), end_id.as_str());
        let range: [Named<'_>; 4] =
            [("account_id", &account), ("first_id", &first_id), ("end_id", &end_id), ("scan", &scan)];
        let (action, subject) = (filter.action.map(Action::as_str), filter.subject.as_deref());
        let limit_and_one = i64::from(limit) + 1;
        let filters: [Named<'_>; 5] = [
            ("action", &action),
            ("subject", &subject),
            ("api_key_id", &api_key_id),
            ("actor_kind", &actor_kind),
            ("limit", &limit_and_one),
        ];
        let events = self.read(LIST, &[&range[..], &filters].concat(), record_from).await?;
        let is_short = filter.is_selective() && events.len() <= limit as usize;
        let last_scanned = if is_short {
            self.find(FIND_LAST_SCANNED, &range, |row| event_id(row, "audit_event_id")).await?
        } else {
            None
        };
        crate::audit::page(events, limit, || Ok(last_scanned))
    }
}

/// The columns of an event.
#[derive(Default)]
struct Columns<'a> {
    api_key_id: Option<&'a str>,
    actor_kind: Option<&'a str>,
    actor_name: Option<&'a str>,
    remote: Option<String>,
    action: &'a str,
    subject: Option<&'a str>,
    refusal: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let actor = &event.actor;
        Self {
            api_key_id: actor.key_id().map(ApiKeyId::as_str),
            actor_kind: Some(actor.kind().as_str()),
            actor_name: actor.name().map(Label::as_str),
            remote: actor.remote().map(|remote| remote.to_string()),
            action: event.action.as_str(),
            subject: event.subject.as_deref(),
            refusal: event.outcome.refusal(),
        }
    }
}

/// One event, for a statement that writes it beside its effect. All columns are NULL if there is none.
pub(super) struct EventParameters<'a> {
    id: Option<&'a str>,
    at: Option<i64>,
    action: Option<&'a str>,
    columns: Columns<'a>,
    announcements: Announcements<'a>,
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
            announcements: Announcements::of(event.into_iter()),
        }
    }

    /// These, and the statement's own, which does not announce.
    pub(super) fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        debug_assert!(self.announcements.is_empty(), "the statement announces nothing");
        self.event_and(own)
    }

    /// The same for a statement with a CTE `announced`.
    pub(super) fn announcing<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        self.event_and(&[&self.announcements.parameters()[..], own].concat())
    }

    fn event_and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let Columns { api_key_id, actor_kind, actor_name, remote, subject, refusal, .. } = &self.columns;
        let event: [Named<'p>; 9] = [
            ("event_id", &self.id),
            ("event_at", &self.at),
            ("event_api_key_id", api_key_id),
            ("event_actor_kind", actor_kind),
            ("event_actor_name", actor_name),
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
    actor_kinds: Vec<Option<&'a str>>,
    actor_names: Vec<Option<&'a str>>,
    remotes: Vec<Option<String>>,
    actions: Vec<&'a str>,
    subjects: Vec<Option<&'a str>>,
    refusals: Vec<Option<&'a str>>,
    announcements: Announcements<'a>,
}

impl<'a> EventArrays<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a AuditEvent> + Clone) -> Self {
        let mut arrays = Self { announcements: Announcements::of(events.clone()), ..Self::default() };
        for event in events {
            let columns = Columns::of(event);
            arrays.account_ids.push(event.account_id.as_str());
            arrays.ids.push(event.id.as_str());
            arrays.at.push(event.at.as_micros());
            arrays.api_key_ids.push(columns.api_key_id);
            arrays.actor_kinds.push(columns.actor_kind);
            arrays.actor_names.push(columns.actor_name);
            arrays.remotes.push(columns.remote);
            arrays.actions.push(columns.action);
            arrays.subjects.push(columns.subject);
            arrays.refusals.push(columns.refusal);
        }
        arrays
    }

    /// These, with the accounts and what they announce, and the statement's own.
    pub(super) fn announcing<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let accounts: [Named<'p>; 1] = [("account_id", &self.account_ids)];
        self.announcing_in_account(&[&accounts, own].concat())
    }

    /// The same for events of one account, which the statement's own parameters name.
    pub(super) fn announcing_in_account<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let events: [Named<'p>; 9] = [
            ("event_id", &self.ids),
            ("event_at", &self.at),
            ("event_api_key_id", &self.api_key_ids),
            ("event_actor_kind", &self.actor_kinds),
            ("event_actor_name", &self.actor_names),
            ("event_remote", &self.remotes),
            ("event_action", &self.actions),
            ("event_subject", &self.subjects),
            ("event_refusal", &self.refusals),
        ];
        [&events[..], &self.announcements.parameters(), own].concat()
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

async fn insert<'a>(
    session: &Session,
    events: impl Iterator<Item = &'a AuditEvent> + Clone,
) -> Result<usize, PgError> {
    Ok(session.query_named(INSERT, &EventArrays::of(events).announcing(&[])).await?.len())
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

pub(super) fn event_id(row: &Row, column: &str) -> Result<AuditEventId, PgError> {
    rows::get(row, column).map(AuditEventId::from_stored)
}

pub(super) fn record_from(row: &Row) -> Result<AuditRecord, PgError> {
    Ok(AuditRecord {
        id: event_id(row, "audit_event_id")?,
        account_id: AccountId::from_stored(rows::get(row, "account_id")?),
        at: rows::instant(row, "at")?,
        actor_kind: rows::get(row, "actor_kind")?,
        api_key_id: rows::get(row, "api_key_id")?,
        actor_name: rows::get(row, "actor_name")?,
        remote: rows::get(row, "remote")?,
        action: rows::get(row, "action")?,
        subject: rows::get(row, "subject")?,
        refusal: rows::get(row, "refusal")?,
    })
}
