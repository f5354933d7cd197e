//! Sessions of the dashboard.

use async_trait::async_trait;
use domain::account::Label;
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId, SessionId};
use domain::session::{Role, SessionRow};
use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, named_params};

use super::writer::WriteResult;
use super::{Sqlite, account_limits, api_keys, audit_events, rows, statements};
use crate::dashboard_sessions::SessionColumns;
use crate::sql::statement;
use crate::{Changed, DashboardSessions, Error, Expired, FoundSession, SessionUpdate};

const SQL: &str = include_str!("sql/dashboard_sessions.sql");
const FIND: &str = statement(SQL, "find_dashboard_session");
const LIST: &str = statement(SQL, "list_dashboard_sessions");
const INSERT: &str = statement(SQL, "insert_dashboard_session");
const UPDATE: &str = statement(SQL, "update_dashboard_session");
const TOUCH: &str = statement(SQL, "touch_dashboard_session");
const DELETE_EXPIRED: &str = statement(SQL, "delete_expired_dashboard_sessions");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_dashboard_sessions_of_account");

#[async_trait]
impl DashboardSessions for Sqlite {
    async fn insert_dashboard_session(
        &self,
        account: &AccountId,
        row: &SessionRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        let insert = move |database: &Connection| -> WriteResult<()> {
            if !api_keys::is_actor_active(database, &event)? {
                return Ok(Err(Error::KeyNotActive));
            }
            if execute(database, INSERT, &account, &row, &[])? == 0 {
                return Ok(Err(Error::NameTaken));
            }
            audit_events::insert(database, &account, &event)?;
            Ok(Ok(()))
        };
        self.writer.write(insert).await
    }

    async fn find_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<FoundSession>, Error> {
        let key = named_params! { ":account_id": account.as_str(), ":session_id": id.as_str() };
        let read = |row: &Row<'_>| {
            let account_name = Label::from_stored(row.get("account_name")?);
            let limits = account_limits::overrides_from(row)?;
            Ok(FoundSession { row: session_from(row)?, account_name, limits, read_at: now })
        };
        self.readers.read(|database| statements::find(database, FIND, key, read))
    }

    async fn list_dashboard_sessions(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<SessionRow>, Error> {
        let parameters =
            named_params! { ":account_id": account.as_str(), ":now": now.as_micros(), ":limit": limit };
        self.readers.read(|database| statements::list(database, LIST, parameters, session_from))
    }

    async fn update_dashboard_session(
        &self,
        account: &AccountId,
        update: SessionUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        let change = move |database: &Connection| -> WriteResult<Changed> {
            if !api_keys::is_actor_active(database, &event)? {
                return Ok(Err(Error::KeyNotActive));
            }
            let expected: &[(&str, &dyn ToSql)] = &[(":expected_row_mac", &update.expected)];
            if execute(database, UPDATE, &account, &update.row, expected)? == 0 {
                return Ok(Ok(Changed::No));
            }
            audit_events::insert(database, &account, &event)?;
            Ok(Ok(Changed::Yes))
        };
        self.writer.write(change).await
    }

    async fn touch_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        let touch = move |database: &Connection| -> WriteResult<()> {
            let parameters = named_params! {
                ":account_id": account.as_str(),
                ":session_id": id.as_str(),
                ":at": at.as_micros(),
            };
            statements::execute(database, TOUCH, parameters)?;
            Ok(Ok(()))
        };
        self.writer.write(touch).await
    }

    async fn delete_expired_dashboard_sessions(&self, expired: &Expired) -> Result<usize, Error> {
        self.delete([DELETE_EXPIRED], *expired).await
    }
}

/// Deletes all sessions of an account.
pub(super) fn delete_of_account(database: &Connection, account: &AccountId) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str() };
    statements::execute(database, DELETE_OF_ACCOUNT, parameters).map(drop)
}

/// Runs a statement with all columns of a row, and more parameters.
fn execute(
    database: &Connection,
    sql: &'static str,
    account: &AccountId,
    row: &SessionRow,
    more: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<usize> {
    let session = &row.session;
    let columns = named_params! {
        ":account_id": account.as_str(),
        ":session_id": session.id.as_str(),
        ":state": session.state.as_str(),
        ":method": session.method.as_str(),
        ":api_key_id": session.method.key_id().map(ApiKeyId::as_str),
        ":person": session.person.as_str(),
        ":role": session.role.map(Role::as_str),
        ":scopes": session.scopes.to_stored(),
        ":created_at": session.created_at.as_micros(),
        ":authenticated_at": session.authenticated_at.as_micros(),
        ":expires_at": session.expires_at.as_micros(),
        ":last_seen_at": session.last_seen_at.as_micros(),
        ":remote": session.remote,
        ":user_agent": session.user_agent,
        ":subject": session.subject,
        ":token_hash": row.token.0,
        ":row_mac": row.mac,
    };
    statements::execute(database, sql, &[columns, more].concat())
}

fn session_from(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let columns = SessionColumns {
        account_id: row.get("account_id")?,
        session_id: row.get("session_id")?,
        state: row.get("state")?,
        method: row.get("method")?,
        api_key_id: row.get("api_key_id")?,
        person: row.get("person")?,
        role: row.get("role")?,
        scopes: row.get("scopes")?,
        created_at: rows::instant(row, "created_at")?,
        authenticated_at: rows::instant(row, "authenticated_at")?,
        expires_at: rows::instant(row, "expires_at")?,
        last_seen_at: rows::instant(row, "last_seen_at")?,
        remote: row.get("remote")?,
        user_agent: row.get("user_agent")?,
        subject: row.get("subject")?,
        token_hash: rows::bytes(row, "token_hash")?,
        row_mac: rows::bytes(row, "row_mac")?,
    };
    columns.into_row().map_err(|column| rows::impossible(column, Type::Text))
}
