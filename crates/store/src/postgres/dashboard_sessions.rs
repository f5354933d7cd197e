//! Sessions of the dashboard.

use async_trait::async_trait;
use domain::account::Label;
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId, SessionId};
use domain::session::{Role, SessionRow};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::Clock;
use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::retention::DeleteExpired;
use super::sessions::Session;
use super::webhook_endpoints::changed;
use super::writes::SingleWrite;
use super::{Postgres, account_limits, rows};
use crate::dashboard_sessions::SessionColumns;
use crate::sql::statement;
use crate::{Changed, DashboardSessions, Error, Expired, FoundSession, SessionUpdate};

const SQL: &str = include_str!("sql/dashboard_sessions.sql");
pub(super) const FIND: &str = statement(SQL, "find_dashboard_session");
const LIST: &str = statement(SQL, "list_dashboard_sessions");
const INSERT: &str = statement(SQL, "insert_dashboard_session");
const UPDATE: &str = statement(SQL, "update_dashboard_session");
const TOUCH: &str = statement(SQL, "touch_dashboard_session");
pub(super) const DELETE_EXPIRED: &str = statement(SQL, "delete_expired_dashboard_sessions");
pub(super) const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_dashboard_sessions_of_account");

#[async_trait]
impl DashboardSessions for Postgres {
    async fn insert_dashboard_session(
        &self,
        account: &AccountId,
        row: &SessionRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(InsertSession { account, row, event, clock: self.clock }).await
    }

    async fn find_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<FoundSession>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("session_id", &id.as_str()),
            ("now", &self.clock.or_the_servers(now)),
        ];
        let read = |row: &Row| {
            Ok(FoundSession {
                row: session_from(row)?,
                account_name: Label::from_stored(rows::get(row, "account_name")?),
                limits: account_limits::overrides_from(row)?,
                read_at: rows::instant(row, "looked_at")?,
            })
        };
        self.find(FIND, parameters, read).await
    }

    async fn list_dashboard_sessions(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<SessionRow>, Error> {
        let parameters: Parameters<'_> =
            &[("account_id", &account.as_str()), ("now", &now.as_micros()), ("limit", &i64::from(limit))];
        self.read(LIST, parameters, session_from).await
    }

    async fn update_dashboard_session(
        &self,
        account: &AccountId,
        update: SessionUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(UpdateSession { account, update, event, clock: self.clock }).await
    }

    async fn touch_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        at: Timestamp,
    ) -> Result<(), Error> {
        let (account, id) = (account.clone(), id.clone());
        self.writer.write(TouchSession { account, id, at }).await
    }

    async fn delete_expired_dashboard_sessions(&self, expired: &Expired) -> Result<usize, Error> {
        let delete = DeleteExpired { statement: DELETE_EXPIRED, expired: *expired, clock: self.clock };
        self.writer.write(delete).await
    }
}

fn session_from(row: &Row) -> Result<SessionRow, PgError> {
    let columns = SessionColumns {
        account_id: rows::get(row, "account_id")?,
        session_id: rows::get(row, "session_id")?,
        state: rows::get(row, "state")?,
        method: rows::get(row, "method")?,
        api_key_id: rows::get(row, "api_key_id")?,
        person: rows::get(row, "person")?,
        role: rows::get(row, "role")?,
        scopes: rows::get(row, "scopes")?,
        created_at: rows::instant(row, "created_at")?,
        authenticated_at: rows::instant(row, "authenticated_at")?,
        expires_at: rows::instant(row, "expires_at")?,
        last_seen_at: rows::instant(row, "last_seen_at")?,
        remote: rows::get(row, "remote")?,
        user_agent: rows::get(row, "user_agent")?,
        subject: rows::get(row, "subject")?,
        token_hash: rows::bytes(row, "token_hash")?,
        row_mac: rows::bytes(row, "row_mac")?,
    };
    columns.into_row().map_err(rows::impossible)
}

/// The columns of a row.
struct SessionParameters<'a> {
    row: &'a SessionRow,
    id: &'a str,
    state: &'static str,
    method: &'static str,
    key_id: Option<&'a str>,
    person: &'a str,
    role: Option<&'static str>,
    scopes: String,
    instants: [i64; 4],
    token_hash: &'a [u8],
    row_mac: &'a [u8],
}

impl<'a> SessionParameters<'a> {
    fn of(row: &'a SessionRow) -> Self {
        let session = &row.session;
        let instants =
            [session.created_at, session.authenticated_at, session.expires_at, session.last_seen_at];
        Self {
            row,
            id: session.id.as_str(),
            state: session.state.as_str(),
            method: session.method.as_str(),
            key_id: session.method.key_id().map(ApiKeyId::as_str),
            person: session.person.as_str(),
            role: session.role.map(Role::as_str),
            scopes: session.scopes.to_stored(),
            instants: instants.map(Timestamp::as_micros),
            token_hash: &row.token.0,
            row_mac: &row.mac,
        }
    }

    /// These, and the statement's own.
    fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let [created_at, authenticated_at, expires_at, last_seen_at] = &self.instants;
        let columns: [Named<'p>; 16] = [
            ("session_id", &self.id),
            ("state", &self.state),
            ("method", &self.method),
            ("api_key_id", &self.key_id),
            ("person", &self.person),
            ("role", &self.role),
            ("scopes", &self.scopes),
            ("created_at", created_at),
            ("authenticated_at", authenticated_at),
            ("expires_at", expires_at),
            ("last_seen_at", last_seen_at),
            ("remote", &self.row.session.remote),
            ("user_agent", &self.row.session.user_agent),
            ("subject", &self.row.session.subject),
            ("token_hash", &self.token_hash),
            ("row_mac", &self.row_mac),
        ];
        [&columns, own].concat()
    }
}

struct InsertSession {
    account: AccountId,
    row: SessionRow,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertSession {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, row, event, clock } = self;
        let own: Parameters<'_> =
            &[("account_id", &account.as_str()), ("now", &clock.or_the_servers(event.at))];
        let columns = SessionParameters::of(row);
        let own = columns.and(own);
        let found = session.query_named(INSERT, &EventParameters::of(event).and(&own)).await?;
        Ok(changed(&found)?.and_then(|changed| match changed {
            Changed::Yes => Ok(()),
            Changed::No => Err(Error::NameTaken),
        }))
    }
}

/// Replaces a session whose stored MAC is still the expected one.
struct UpdateSession {
    account: AccountId,
    update: SessionUpdate,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for UpdateSession {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, update, event, clock } = self;
        let expected = update.expected.as_slice();
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &clock.or_the_servers(event.at)),
            ("expected_row_mac", &expected),
        ];
        let columns = SessionParameters::of(&update.row);
        let own = columns.and(own);
        changed(&session.query_named(UPDATE, &EventParameters::of(event).and(&own)).await?)
    }
}

/// Stores when a session was last used. Repeating it is harmless.
struct TouchSession {
    account: AccountId,
    id: SessionId,
    at: Timestamp,
}

#[async_trait]
impl SingleWrite for TouchSession {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("session_id", &self.id.as_str()),
            ("at", &self.at.as_micros()),
        ];
        session.query_named(TOUCH, parameters).await?;
        Ok(Ok(()))
    }
}
