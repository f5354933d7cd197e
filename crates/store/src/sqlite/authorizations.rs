//! The authorizations of an account.

use async_trait::async_trait;
use domain::authorization::Authorization;
use domain::id::{AccountId, AuthorizationId};
use domain::secret::Sealed;
use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, named_params};

use super::writer::WriteResult;
use super::{Sqlite, accounts, api_keys, audit_events, idempotency_records, rows, sealing_keys, statements};
use crate::authorizations::{AuthorizationColumns, StepColumns, list_start};
use crate::sql::statement;
use crate::{
    AuthorizationKey, AuthorizationRow, AuthorizationUpdate, Authorizations, Changed, Error,
    NewAuthorization, OverdueAuthorization,
};

const SQL: &str = include_str!("sql/authorizations.sql");
const FIND: &str = statement(SQL, "find_authorization");
const FIND_BY_TOKEN: &str = statement(SQL, "find_authorization_by_token");
const FIND_BY_STATE: &str = statement(SQL, "find_authorization_by_state");
const LIST: &str = statement(SQL, "list_authorizations");
const LIST_OPEN: &str = statement(SQL, "list_open_authorizations");
const LIST_OVERDUE: &str = statement(SQL, "list_overdue_authorizations");
const INSERT: &str = statement(SQL, "insert_authorization");
const INSERT_SECRET: &str = statement(SQL, "insert_authorization_secret");
const UPDATE: &str = statement(SQL, "update_authorization");
const WIPE: &str = statement(SQL, "wipe_authorization");
const DELETE_SECRET: &str = statement(SQL, "delete_authorization_secret");
const WIPE_OF_ACCOUNT: &str = statement(SQL, "wipe_authorizations_of_account");
const DELETE_SECRETS_OF_ACCOUNT: &str = statement(SQL, "delete_authorization_secrets_of_account");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_authorizations_of_account");

#[async_trait]
impl Authorizations for Sqlite {
    async fn insert_authorization(&self, account: &AccountId, new: NewAuthorization) -> Result<(), Error> {
        let account = account.clone();
        self.writer.write(move |database| insert(database, &account, &new)).await
    }

    async fn update_authorization(
        &self,
        account: &AccountId,
        update: AuthorizationUpdate,
    ) -> Result<Changed, Error> {
        let account = account.clone();
        self.writer.write(move |database| replace(database, &account, &update)).await
    }

    async fn find_authorization(
        &self,
        account: &AccountId,
        key: &AuthorizationKey,
    ) -> Result<Option<AuthorizationRow>, Error> {
        let account = account.as_str();
        self.readers.read(|database| match key {
            AuthorizationKey::Id(id) => {
                let key = named_params! { ":account_id": account, ":authorization_id": id.as_str() };
                statements::find(database, FIND, key, row_from)
            }
            AuthorizationKey::ConnectToken(hash) => {
                let key = named_params! { ":account_id": account, ":connect_hash": hash.0 };
                statements::find(database, FIND_BY_TOKEN, key, row_from)
            }
            AuthorizationKey::State(hash) => {
                let key = named_params! { ":account_id": account, ":state_hash": hash.0 };
                statements::find(database, FIND_BY_STATE, key, row_from)
            }
        })
    }

    async fn list_authorizations(
        &self,
        account: &AccountId,
        before: Option<&AuthorizationId>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error> {
        let parameters = named_params! {
            ":account_id": account.as_str(), ":before": list_start(before), ":limit": limit,
        };
        self.readers.read(|database| statements::list(database, LIST, parameters, row_from))
    }

    async fn list_open_authorizations(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error> {
        let parameters = named_params! {
            ":account_id": account.as_str(), ":now": now.as_micros(), ":limit": limit,
        };
        self.readers.read(|database| statements::list(database, LIST_OPEN, parameters, row_from))
    }

    async fn list_overdue_authorizations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<OverdueAuthorization>, Error> {
        let parameters = named_params! { ":now": now.as_micros(), ":limit": limit };
        let read = |row: &Row<'_>| {
            Ok(OverdueAuthorization {
                account_id: AccountId::from_stored(row.get("account_id")?),
                id: AuthorizationId::from_stored(row.get("authorization_id")?),
            })
        };
        self.readers.read(|database| statements::list(database, LIST_OVERDUE, parameters, read))
    }
}

fn insert(database: &Connection, account: &AccountId, new: &NewAuthorization) -> WriteResult<()> {
    let NewAuthorization { authorization, request, connect_hash, sealed, event, completion } = new;
    // Refusals come before the first row is written: other writes share the transaction.
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if let Some(completion) = completion
        && !idempotency_records::is_held(database, account, &completion.reservation)?
    {
        return Ok(Err(Error::ReservationLost));
    }
    let Authorization { id, created_at, expires_at, version, flow, .. } = authorization;
    statements::execute(
        database,
        INSERT,
        named_params! {
            ":account_id": account.as_str(),
            ":authorization_id": id.as_str(),
            ":created_at": created_at.as_micros(),
            ":expires_at": expires_at.as_micros(),
            ":version": version,
            ":flow": flow.as_str(),
            ":next_poll_at": flow.next_poll_at().map(Timestamp::as_micros),
            ":state": authorization.state.as_str(),
            ":overdue_at": authorization.overdue_at().map(Timestamp::as_micros),
            ":connect_hash": connect_hash.0,
            ":request": request,
        },
    )?;
    let sealing_key_id = sealing_keys::insert(database, &sealed.sealing_key)?;
    statements::execute(
        database,
        INSERT_SECRET,
        named_params! {
            ":account_id": account.as_str(),
            ":authorization_id": id.as_str(),
            ":sealing_key_id": sealing_key_id,
            ":envelope": sealed.envelope,
        },
    )?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

fn replace(database: &Connection, account: &AccountId, update: &AuthorizationUpdate) -> WriteResult<Changed> {
    let AuthorizationUpdate { expected_version, authorization, outcome, event } = update;
    let is_active = match event {
        Some(event) => api_keys::is_actor_active(database, event)?,
        None => accounts::exists(database, account)?,
    };
    if !is_active {
        return Ok(Err(Error::KeyNotActive));
    }
    let columns = StepColumns::of(authorization);
    let written = statements::execute(
        database,
        UPDATE,
        named_params! {
            ":account_id": account.as_str(),
            ":authorization_id": authorization.id.as_str(),
            ":expected_version": expected_version,
            ":version": columns.version,
            ":next_poll_at": columns.next_poll_at,
            ":state": columns.state,
            ":exchanging_since": columns.exchanging_since,
            ":connection_id": columns.connection_id,
            ":failure_reason": columns.failure_reason,
            ":overdue_at": columns.overdue_at,
            ":ended_at": columns.ended_at,
            ":state_hash": columns.state_hash,
            ":binding_hash": columns.binding_hash,
            ":outcome": outcome,
        },
    )?;
    if written == 0 {
        return Ok(Ok(Changed::No));
    }
    if columns.ended_at.is_some() {
        let key =
            named_params! { ":account_id": account.as_str(), ":authorization_id": authorization.id.as_str() };
        statements::execute(database, WIPE, key)?;
        statements::execute(database, DELETE_SECRET, key)?;
    }
    if let Some(event) = event {
        audit_events::insert(database, account, event)?;
    }
    Ok(Ok(Changed::Yes))
}

fn row_from(row: &Row<'_>) -> rusqlite::Result<AuthorizationRow> {
    let columns = AuthorizationColumns {
        account_id: row.get("account_id")?,
        authorization_id: row.get("authorization_id")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        version: row.get("version")?,
        flow: row.get("flow")?,
        next_poll_at: row.get("next_poll_at")?,
        state: row.get("state")?,
        exchanging_since: row.get("exchanging_since")?,
        connection_id: row.get("connection_id")?,
        failure_reason: row.get("failure_reason")?,
        ended_at: row.get("ended_at")?,
        state_hash: row.get("state_hash")?,
        binding_hash: row.get("binding_hash")?,
    };
    let envelope: Option<Vec<u8>> = row.get("envelope")?;
    let sealed = match envelope {
        Some(envelope) => Some(Sealed { envelope, sealing_key: rows::wrapped_key(row, "wrapped_key")? }),
        None => None,
    };
    Ok(AuthorizationRow {
        authorization: columns.into_authorization().map_err(|column| rows::impossible(column, Type::Null))?,
        request: row.get("request")?,
        outcome: row.get("outcome")?,
        sealed,
    })
}

/// Wipes and deletes an account's first authorizations, up to `limit`. Returns how many.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_OF_ACCOUNT, parameters)?;
    let secrets = statements::execute(database, DELETE_SECRETS_OF_ACCOUNT, parameters)?;
    Ok(secrets.max(statements::execute(database, DELETE_OF_ACCOUNT, parameters)?))
}
