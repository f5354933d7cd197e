//! The audit log: rows are added, never changed.

use async_trait::async_trait;
use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::{Sqlite, rows, statements};
use crate::jobs::SERVICE;
use crate::sql::statement;
use crate::{Audit, Error};

const SQL: &str = include_str!("sql/audit_events.sql");
const INSERT: &str = statement(SQL, "insert_audit_event");
const LIST: &str = statement(SQL, "list_audit_events");

#[async_trait]
impl Audit for Sqlite {
    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(move |database| Ok(Ok(insert(database, &account, &event)?))).await
    }

    async fn list_audit_events(&self, account: &AccountId, limit: u32) -> Result<Vec<AuditEvent>, Error> {
        self.readers.read(|database| {
            let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
            statements::list(database, LIST, parameters, audit_event_from)
        })
    }
}

pub(super) fn insert(database: &Connection, account: &AccountId, event: &AuditEvent) -> rusqlite::Result<()> {
    let (key_id, remote) = match &event.actor {
        Actor::ApiKey { key_id, remote } => (Some(key_id.as_str()), remote.map(|remote| remote.to_string())),
        Actor::Operator => (None, None),
        Actor::Service => (None, Some(SERVICE.to_owned())),
    };
    let refusal = match &event.outcome {
        Outcome::Done => None,
        Outcome::Refused(code) => Some(code.as_str()),
    };
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":audit_event_id": event.id.as_str(),
            ":at": event.at.as_micros(),
            ":api_key_id": key_id,
            ":remote": remote,
            ":action": event.action.as_str(),
            ":subject": event.subject,
            ":refusal": refusal,
        },
    )
    .map(drop)
}

fn audit_event_from(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
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
