//! The audit log: rows are added, never changed. An event's identifier is the operation's that it tells of.

use async_trait::async_trait;
use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::{Answers, SharedWrite, Write};
use super::{Postgres, rows};
use crate::jobs::SERVICE;
use crate::{Audit, Error};

#[async_trait]
impl Audit for Postgres {
    async fn insert_audit_event(&self, _account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        self.events.write(InsertAuditEvent { event: event.clone() }).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        let parameters: Parameters<'_> = &[&account.as_str(), &i64::from(limit)];
        self.read(LIST, parameters, audit_event).await
    }
}

/// The event's columns, as every statement that writes events takes them.
macro_rules! event_columns {
    () => {
        "account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal"
    };
}

/// Events, a column each.
pub(super) struct Columns<'a> {
    pub(super) accounts: Vec<&'a str>,
    pub(super) ids: Vec<&'a str>,
    pub(super) at: Vec<i64>,
    pub(super) api_keys: Vec<Option<&'a str>>,
    pub(super) remotes: Vec<Option<String>>,
    pub(super) actions: Vec<&'a str>,
    pub(super) subjects: Vec<Option<&'a str>>,
    pub(super) refusals: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(events: impl Iterator<Item = &'a AuditEvent>) -> Self {
        let mut columns = Self {
            accounts: Vec::new(),
            ids: Vec::new(),
            at: Vec::new(),
            api_keys: Vec::new(),
            remotes: Vec::new(),
            actions: Vec::new(),
            subjects: Vec::new(),
            refusals: Vec::new(),
        };
        for event in events {
            let (api_key, remote) = match &event.actor {
                Actor::ApiKey { key_id, remote } => {
                    (Some(key_id.as_str()), remote.map(|remote| remote.to_string()))
                }
                Actor::Operator => (None, None),
                Actor::Service => (None, Some(SERVICE.to_owned())),
            };
            columns.accounts.push(event.account_id.as_str());
            columns.ids.push(event.id.as_str());
            columns.at.push(event.at.as_micros());
            columns.api_keys.push(api_key);
            columns.remotes.push(remote);
            columns.actions.push(event.action.as_str());
            columns.subjects.push(event.subject.as_deref());
            columns.refusals.push(match &event.outcome {
                Outcome::Done => None,
                Outcome::Refused(code) => Some(code.as_str()),
            });
        }
        columns
    }

    /// The columns in their order.
    pub(super) fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.accounts,
            &self.ids,
            &self.at,
            &self.api_keys,
            &self.remotes,
            &self.actions,
            &self.subjects,
            &self.refusals,
        ]
    }
}

/// The end of a statement that writes one event, whose parameters come first, if its part of this name wrote a row; how
/// many rows that wrote.
macro_rules! logged {
    ($effect:literal) => {
        concat!(
            ", logged AS (
                INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
                SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                    $7::text[], $8::text[]) WHERE EXISTS (SELECT 1 FROM ",
            $effect,
            "))
             SELECT count(*) AS written FROM ",
            $effect
        )
    };
}
pub(super) use logged;

/// The beginning of a statement that writes at most one event, and only if its actor may act: `given`, for `active!` and
/// [`log_given!`]. The event's columns are its first parameters, and `$9` is the instant if the clock is not the database's.
macro_rules! given_event {
    () => {
        "WITH given AS (
            SELECT given.*, $9::bigint AS now FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                $6::text[], $7::text[], $8::text[]) WITH ORDINALITY
                AS given (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal, position))"
    };
}
pub(super) use given_event;

/// Writes the event that is `given`, if a part of the statement wrote a row.
macro_rules! log_given {
    ($effect:literal) => {
        concat!(
            "logged AS (
                INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
                SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
                FROM given WHERE EXISTS (SELECT FROM ",
            $effect,
            "))"
        )
    };
}
pub(super) use log_given;

/// Runs a statement that ends with [`logged!`] and whose own parameters begin at `$9`; whether it wrote.
pub(super) async fn run_logged(
    session: &Session,
    sql: &'static str,
    event: &AuditEvent,
    own: Parameters<'_>,
) -> Result<bool, Trouble> {
    let columns = Columns::of(std::iter::once(event));
    let parameters = [&columns.parameters(), own].concat();
    let found = session.query(sql, &parameters).await?;
    let written = found.first().map_or(Ok(0), |row| rows::count(row, "written"))?;
    Ok(written > 0)
}

pub(super) const INSERT: &str = concat!(
    "INSERT INTO audit_events (",
    event_columns!(),
    ") SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
       AS given (",
    event_columns!(),
    ") ORDER BY account_id, audit_event_id
     ON CONFLICT (account_id, audit_event_id) DO NOTHING RETURNING audit_event_id"
);

async fn insert(session: &Session, events: impl Iterator<Item = &AuditEvent>) -> Result<usize, Trouble> {
    let columns = Columns::of(events);
    Ok(session.query(INSERT, &columns.parameters()).await?.len())
}

/// Whether the operation that an event tells of was committed. If it is being committed, this waits until it is, or is
/// undone: nobody else can add an event of the same identifier meanwhile.
pub(super) async fn is_recorded(session: &Session, event: &AuditEvent) -> Result<bool, Trouble> {
    session.batch("BEGIN").await?;
    let inserted = insert(session, std::iter::once(event)).await;
    let is_there = session.undo(inserted.map(|inserted| inserted == 0)).await?;
    if is_there {
        session.query(WAIT_FOR_STANDBY, &[&event.account_id.as_str(), &event.id.as_str()]).await?;
    }
    Ok(is_there)
}

/// A server that crashed while it waited for its standby has the commit when it is back, and the standby may lack it.
/// A lock is a write: its own commit waits until the standby has everything before it.
const WAIT_FOR_STANDBY: &str =
    "SELECT FROM audit_events WHERE account_id = $1 AND audit_event_id = $2 FOR UPDATE";

/// Adds an event that stands alone.
pub(super) struct InsertAuditEvent {
    pub(super) event: AuditEvent,
}

impl SharedWrite for InsertAuditEvent {
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

    /// An event that is there already is not added again.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        insert(session, writes.iter().map(|write| &write.event)).await?;
        Ok(writes.iter().map(|_| Some(Ok(()))).collect())
    }
}

pub(super) const LIST: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM audit_events WHERE account_id = $1 ORDER BY audit_event_id LIMIT $2"
);

pub(super) fn audit_event(row: &Row) -> Result<AuditEvent, Trouble> {
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
