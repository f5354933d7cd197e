//! The audit log: rows are added, never changed; deleted only by their age.

use domain::account::Label;
use domain::audit::{AuditEvent, AuditFilter, AuditRecord, FilterActor};
use domain::id::{AccountId, ApiKeyId, AuditEventId};
use rusqlite::{Connection, Row, named_params};

use super::rows::Columns;
use super::{statements, webhook_deliveries};
use crate::AuditPage;
use crate::audit::SCAN_MAX;
use crate::sql::statement;

const SQL: &str = include_str!("sql/audit_events.sql");
const INSERT: &str = statement(SQL, "insert_audit_event");
const LIST: &str = statement(SQL, "list_audit_events");
const FIND_LAST_SCANNED: &str = statement(SQL, "find_last_scanned");
const LIST_UNLINKED: &str = statement(SQL, "list_unlinked_audit_events");
const LIST_IDS: &str = statement(SQL, "list_audit_event_ids");
const DELETE: &str = statement(SQL, "delete_audit_event");

/// Adds an event, and the deliveries that it announces.
pub(super) fn insert(database: &Connection, account: &AccountId, event: &AuditEvent) -> rusqlite::Result<()> {
    let actor = &event.actor;
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":audit_event_id": event.id.as_str(),
            ":at": event.at.as_micros(),
            ":api_key_id": actor.key_id().map(ApiKeyId::as_str),
            ":actor_kind": actor.kind().as_str(),
            ":actor_name": actor.name().map(Label::as_str),
            ":remote": actor.remote().map(|remote| remote.to_string()),
            ":action": event.action.as_str(),
            ":subject": event.subject,
            ":refusal": event.outcome.refusal(),
        },
    )?;
    webhook_deliveries::announce(database, account, event)
}

pub(super) fn list(
    database: &Connection,
    account: &AccountId,
    filter: &AuditFilter,
    limit: u32,
) -> rusqlite::Result<AuditPage> {
    // One more shows whether there is another page.
    let scan = if filter.is_selective() { SCAN_MAX.max(limit) } else { limit.saturating_add(1) };
    let (api_key_id, actor_kind) = match &filter.actor {
        None => (None, None),
        Some(FilterActor::Key(id)) => (Some(id.as_str()), None),
        Some(FilterActor::Kind(kind)) => (None, Some(kind.as_str())),
    };
    let (first_id, end_id) = (filter.first_id(), filter.end_id());
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":first_id": first_id.as_str(),
        ":end_id": end_id.as_str(),
        ":scan": scan,
        ":action": filter.action.map(domain::audit::Action::as_str),
        ":subject": filter.subject,
        ":api_key_id": api_key_id,
        ":actor_kind": actor_kind,
        ":limit": limit.saturating_add(1),
    };
    let events = statements::list(database, LIST, parameters, record_from)?;
    crate::audit::page(events, limit, || {
        if !filter.is_selective() {
            return Ok(None);
        }
        let parameters = named_params! {
            ":account_id": account.as_str(),
            ":first_id": first_id.as_str(),
            ":end_id": end_id.as_str(),
            ":scan": scan,
        };
        statements::find(database, FIND_LAST_SCANNED, parameters, |row| event_id(row, "audit_event_id"))
    })
}

pub(super) fn list_unlinked(
    database: &Connection,
    account: &AccountId,
    range: (&AuditEventId, &AuditEventId),
    limit: u32,
) -> rusqlite::Result<Vec<AuditRecord>> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":first_id": range.0.as_str(),
        ":end_id": range.1.as_str(),
        ":limit": limit,
    };
    statements::list(database, LIST_UNLINKED, parameters, record_from)
}

pub(super) fn list_ids(
    database: &Connection,
    account: &AccountId,
    after: &AuditEventId,
    limit: u32,
) -> rusqlite::Result<Vec<(AuditEventId, bool)>> {
    let parameters =
        named_params! { ":account_id": account.as_str(), ":after": after.as_str(), ":limit": limit };
    let read = |row: &Row<'_>| Ok((event_id(row, "audit_event_id")?, row.get("is_linked")?));
    statements::list(database, LIST_IDS, parameters, read)
}

pub(super) fn delete(database: &Connection, account: &AccountId, id: &AuditEventId) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str(), ":audit_event_id": id.as_str() };
    statements::execute(database, DELETE, parameters).map(drop)
}

pub(super) fn event_id(row: &Row<'_>, column: &str) -> rusqlite::Result<AuditEventId> {
    row.get(column).map(AuditEventId::from_stored)
}

fn record_from(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    record_from_columns(&mut Columns::of(row))
}

pub(super) fn record_from_columns(columns: &mut Columns<'_, '_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        account_id: AccountId::from_stored(columns.get("account_id")?),
        id: AuditEventId::from_stored(columns.get("audit_event_id")?),
        at: columns.get_instant("at")?,
        api_key_id: columns.get("api_key_id")?,
        actor_kind: columns.get("actor_kind")?,
        actor_name: columns.get("actor_name")?,
        remote: columns.get("remote")?,
        action: columns.get("action")?,
        subject: columns.get("subject")?,
        refusal: columns.get("refusal")?,
    })
}
