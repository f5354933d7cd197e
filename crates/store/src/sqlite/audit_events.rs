//! The audit log: rows are added, never changed.

use async_trait::async_trait;
use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::{Sqlite, rows};
use crate::jobs::SERVICE;
use crate::{Audit, Error};

#[async_trait]
impl Audit for Sqlite {
    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |connection| Ok(Ok(insert(connection, &account, &event)?))).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        self.readers.read(|connection| list(connection, account, limit))
    }
}

pub(super) fn insert(
    connection: &Connection,
    account: &AccountId,
    event: &AuditEvent,
) -> rusqlite::Result<()> {
    let (key_id, remote) = match &event.actor {
        Actor::ApiKey { key_id, remote } => (Some(key_id.as_str()), remote.map(|remote| remote.to_string())),
        Actor::Operator => (None, None),
        Actor::Service => (None, Some(SERVICE.to_owned())),
    };
    let refusal = match &event.outcome {
        Outcome::Done => None,
        Outcome::Refused(code) => Some(code.as_str()),
    };
    connection
        .prepare_cached(
            "INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            account.as_str(),
            event.id.as_str(),
            event.at.as_micros(),
            key_id,
            remote,
            event.action.as_str(),
            event.subject.as_deref(),
            refusal,
        ))?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<Vec<AuditEvent>> {
    let mut statement = connection.prepare_cached(
        "SELECT account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal
         FROM audit_events WHERE account_id = ?1 ORDER BY audit_event_id LIMIT ?2",
    )?;
    statement.query_map((account.as_str(), limit), audit_event)?.collect()
}

fn audit_event(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let action: String = row.get("action")?;
    let remote: Option<String> = row.get("remote")?;
    let actor = match row.get::<_, Option<String>>("api_key_id")? {
        None if remote.as_deref() == Some(SERVICE) => Actor::Service,
        None => Actor::Operator,
        Some(key_id) => Actor::ApiKey {
            key_id: ApiKeyId::from_stored(key_id),
            remote: remote
                .map(|remote| remote.parse())
                .transpose()
                .map_err(|_| rows::impossible("remote", Type::Text))?,
        },
    };
    Ok(AuditEvent {
        id: AuditEventId::from_stored(row.get("audit_event_id")?),
        account_id: AccountId::from_stored(row.get("account_id")?),
        at: rows::instant(row, "at")?,
        actor,
        action: Action::from_stored(&action).ok_or_else(|| rows::impossible("action", Type::Text))?,
        subject: row.get("subject")?,
        outcome: row.get::<_, Option<String>>("refusal")?.map_or(Outcome::Done, Outcome::Refused),
    })
}
