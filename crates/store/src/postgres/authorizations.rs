//! The authorizations of an account.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::{AccountId, AuthorizationId};
use domain::secret::Sealed;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::Clock;
use super::job_writes::CompletionParameters;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::Session;
use super::webhook_endpoints::changed;
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::authorizations::{AuthorizationColumns, StepColumns, list_start};
use crate::sql::statement;
use crate::{
    AuthorizationKey, AuthorizationRow, AuthorizationUpdate, Authorizations, Changed, Error,
    NewAuthorization, OverdueAuthorization,
};

const SQL: &str = include_str!("sql/authorizations.sql");
pub(super) const FIND: &str = statement(SQL, "find_authorization");
pub(super) const FIND_BY_TOKEN: &str = statement(SQL, "find_authorization_by_token");
pub(super) const FIND_BY_STATE: &str = statement(SQL, "find_authorization_by_state");
pub(super) const LIST: &str = statement(SQL, "list_authorizations");
pub(super) const LIST_OPEN: &str = statement(SQL, "list_open_authorizations");
pub(super) const LIST_OVERDUE: &str = statement(SQL, "list_overdue_authorizations");
pub(super) const UPDATE: &str = statement(SQL, "update_authorization");
const INSERT: &str = statement(SQL, "insert_authorization");

#[async_trait]
impl Authorizations for Postgres {
    async fn insert_authorization(&self, account: &AccountId, new: NewAuthorization) -> Result<(), Error> {
        self.writer.write(InsertAuthorization { account: account.clone(), new, clock: self.clock }).await
    }

    async fn update_authorization(
        &self,
        account: &AccountId,
        update: AuthorizationUpdate,
    ) -> Result<Changed, Error> {
        self.writer.write(UpdateAuthorization { account: account.clone(), update, clock: self.clock }).await
    }

    async fn find_authorization(
        &self,
        account: &AccountId,
        key: &AuthorizationKey,
    ) -> Result<Option<AuthorizationRow>, Error> {
        let account = account.as_str();
        match key {
            AuthorizationKey::Id(id) => {
                let key: Parameters<'_> = &[("account_id", &account), ("authorization_id", &id.as_str())];
                self.find(FIND, key, row_from).await
            }
            AuthorizationKey::ConnectToken(hash) => {
                let key: Parameters<'_> = &[("account_id", &account), ("connect_hash", &hash.0.as_slice())];
                self.find(FIND_BY_TOKEN, key, row_from).await
            }
            AuthorizationKey::State(hash) => {
                let key: Parameters<'_> = &[("account_id", &account), ("state_hash", &hash.0.as_slice())];
                self.find(FIND_BY_STATE, key, row_from).await
            }
        }
    }

    async fn list_authorizations(
        &self,
        account: &AccountId,
        before: Option<&AuthorizationId>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("before", &list_start(before)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST, parameters, row_from).await
    }

    async fn list_open_authorizations(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error> {
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &self.clock.or_the_servers(now)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_OPEN, parameters, row_from).await
    }

    async fn list_overdue_authorizations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<OverdueAuthorization>, Error> {
        let parameters: Parameters<'_> =
            &[("now", &self.clock.or_the_servers(now)), ("limit", &i64::from(limit))];
        let read = |row: &Row| {
            Ok(OverdueAuthorization {
                account_id: AccountId::from_stored(rows::get(row, "account_id")?),
                id: AuthorizationId::from_stored(rows::get(row, "authorization_id")?),
            })
        };
        self.read(LIST_OVERDUE, parameters, read).await
    }
}

fn row_from(row: &Row) -> Result<AuthorizationRow, PgError> {
    let columns = AuthorizationColumns {
        account_id: rows::get(row, "account_id")?,
        authorization_id: rows::get(row, "authorization_id")?,
        created_at: rows::get(row, "created_at")?,
        expires_at: rows::get(row, "expires_at")?,
        version: rows::get(row, "version")?,
        flow: rows::get(row, "flow")?,
        next_poll_at: rows::get(row, "next_poll_at")?,
        state: rows::get(row, "state")?,
        exchanging_since: rows::get(row, "exchanging_since")?,
        connection_id: rows::get(row, "connection_id")?,
        failure_reason: rows::get(row, "failure_reason")?,
        ended_at: rows::get(row, "ended_at")?,
        state_hash: rows::get(row, "state_hash")?,
        binding_hash: rows::get(row, "binding_hash")?,
    };
    let envelope: Option<Vec<u8>> = rows::get(row, "envelope")?;
    let sealed = match envelope {
        Some(envelope) => Some(Sealed { envelope, sealing_key: rows::wrapped_key(row, "wrapped_key")? }),
        None => None,
    };
    Ok(AuthorizationRow {
        authorization: columns.into_authorization().map_err(rows::impossible)?,
        request: rows::get(row, "request")?,
        outcome: rows::get(row, "outcome")?,
        sealed,
    })
}

struct InsertAuthorization {
    account: AccountId,
    new: NewAuthorization,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertAuthorization {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, new, clock } = self;
        let authorization = &new.authorization;
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &clock.or_the_servers(new.event.at)),
            ("authorization_id", &authorization.id.as_str()),
            ("created_at", &authorization.created_at.as_micros()),
            ("expires_at", &authorization.expires_at.as_micros()),
            ("version", &rows::stored_count(authorization.version)),
            ("flow", &authorization.flow.as_str()),
            ("next_poll_at", &authorization.flow.next_poll_at().map(Timestamp::as_micros)),
            ("state", &authorization.state.as_str()),
            ("overdue_at", &authorization.overdue_at().map(Timestamp::as_micros)),
            ("connect_hash", &new.connect_hash.0.as_slice()),
            ("request", &new.request),
            ("wrapped_key", &new.sealed.sealing_key.0.as_slice()),
            ("envelope", &new.sealed.envelope.as_slice()),
        ];
        let completion = CompletionParameters::of(new.completion.as_ref(), *clock);
        let event = EventParameters::of(&new.event);
        let own = completion.and(own);
        let found = session.query_named(INSERT, &event.and(&own)).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_active")) };
        Ok(if !rows::get::<bool>(row, "is_active")? {
            Err(Error::KeyNotActive)
        } else if !rows::get::<bool>(row, "is_held")? {
            Err(Error::ReservationLost)
        } else {
            Ok(())
        })
    }
}

struct UpdateAuthorization {
    account: AccountId,
    update: AuthorizationUpdate,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for UpdateAuthorization {
    type Answer = Changed;

    /// A step without an event that is repeated after a lost session finds another version: the caller does not take it, and the
    /// authorization ends when it is overdue.
    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        self.update.event.as_ref().map(|event| (event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, update, clock } = self;
        let columns = StepColumns::of(&update.authorization);
        let hashes = [&columns.state_hash, &columns.binding_hash];
        let [state_hash, binding_hash] = hashes.map(|hash| hash.as_ref().map(<[u8; 32]>::as_slice));
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("now", &update.event.as_ref().and_then(|event| clock.or_the_servers(event.at))),
            ("authorization_id", &update.authorization.id.as_str()),
            ("expected_version", &rows::stored_count(update.expected_version)),
            ("version", &rows::stored_count(columns.version)),
            ("next_poll_at", &columns.next_poll_at),
            ("state", &columns.state),
            ("exchanging_since", &columns.exchanging_since),
            ("connection_id", &columns.connection_id),
            ("failure_reason", &columns.failure_reason),
            ("overdue_at", &columns.overdue_at),
            ("ended_at", &columns.ended_at),
            ("state_hash", &state_hash),
            ("binding_hash", &binding_hash),
            ("outcome", &update.outcome),
            ("is_wiped", &columns.ended_at.is_some()),
        ];
        let event = EventParameters::of_any(update.event.as_ref());
        let found = session.query_named(UPDATE, &event.and(own)).await?;
        changed(&found)
    }
}
