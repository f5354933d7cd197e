//! Accounts.

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use tokio_postgres::Row;

use super::audit_events::run_logged;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, rows};
use super::{connection_health, dashboard_sessions, key_rotation};
use crate::sql::statement;
use crate::{AccountDeletion, Accounts, Error};

const SQL: &str = include_str!("sql/accounts.sql");
const LIST: &str = statement(SQL, "list_accounts");
const LIST_IDS: &str = statement(SQL, "list_account_ids");
const FIND: &str = statement(SQL, "find_account");
pub(super) const FIND_BY_NAME: &str = statement(SQL, "find_account_by_name");
const INSERT: &str = statement(SQL, "insert_account");
const LOCK: &str = statement(SQL, "lock_account_for_deletion");
pub(super) const DELETE_API_KEYS: &str = statement(SQL, "delete_api_keys");
pub(super) const DELETE_CONNECTIONS: &str = statement(SQL, "delete_connections_of_account");
pub(super) const DELETE_JOBS: &str = statement(SQL, "delete_jobs_of_account");
pub(super) const DELETE_JOB_SECRETS: &str = statement(SQL, "delete_job_secrets");
pub(super) const DELETE_WEBHOOK_SECRETS: &str = statement(SQL, "delete_webhook_secrets_of_account");
pub(super) const DELETE_ENDPOINTS: &str = statement(SQL, "delete_webhook_endpoints_of_account");
pub(super) const DELETE_DELIVERIES: &str = statement(SQL, "delete_webhook_deliveries_of_account");
pub(super) const DELETE_DELIVERY_SECRETS: &str = statement(SQL, "delete_webhook_delivery_secrets_of_account");
pub(super) const DELETE_RECORDS: &str = statement(SQL, "delete_records_of_account");
pub(super) const DELETE_AUTHORIZATIONS: &str = statement(SQL, "delete_authorizations_of_account");
pub(super) const DELETE_AUTHORIZATION_SECRETS: &str =
    statement(SQL, "delete_authorization_secrets_of_account");
const DELETE: &str = statement(SQL, "delete_account");

#[async_trait]
impl Accounts for Postgres {
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        self.writer.write(InsertAccount { account: account.clone(), event: event.clone() }).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(LIST, &[], account_from).await
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        self.read(LIST_IDS, &[], account_id_from).await
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.find(FIND, &[("account_id", &account.as_str())], account_from).await
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.find(FIND_BY_NAME, &[("name", &name.as_str())], account_from).await
    }

    async fn delete_account_part(
        &self,
        account: &AccountId,
        limit: u32,
        event: &AuditEvent,
    ) -> Result<AccountDeletion, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(DeleteAccountPart { account, limit, event }).await
    }
}

pub(super) fn account_from(row: &Row) -> Result<Account, PgError> {
    Ok(Account {
        id: account_id_from(row)?,
        name: Label::from_stored(rows::get(row, "name")?),
        created_at: rows::instant(row, "created_at")?,
        keys: key_rotation::account_keys_from(row)?,
    })
}

fn account_id_from(row: &Row) -> Result<AccountId, PgError> {
    rows::get(row, "account_id").map(AccountId::from_stored)
}

struct InsertAccount {
    account: Account,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for InsertAccount {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, event } = self;
        let own: Parameters<'_> = &[
            ("account_id", &account.id.as_str()),
            ("name", &account.name.as_str()),
            ("created_at", &account.created_at.as_micros()),
            ("keyring_key_id", &account.keys.current.keyring_key.0),
            ("wrapped_key", &account.keys.current.wrapped.0.as_slice()),
        ];
        let is_written = run_logged(session, INSERT, event, own).await?;
        Ok(if is_written { Ok(()) } else { Err(Error::NameTaken) })
    }
}

struct DeleteAccountPart {
    account: AccountId,
    limit: u32,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for DeleteAccountPart {
    type Answer = AccountDeletion;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, AccountDeletion::Done))
    }

    async fn run(&self, session: &Session) -> Result<Result<AccountDeletion, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.delete(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl DeleteAccountPart {
    async fn delete(&self, session: &Session) -> Result<AccountDeletion, PgError> {
        let (account, limit) = (self.account.as_str(), i64::from(self.limit));
        let of_account: Parameters<'_> = &[("account_id", &account)];
        let some_of_account: Parameters<'_> = &[("account_id", &account), ("limit", &limit)];
        if session.query_named(LOCK, of_account).await?.is_empty() {
            return Ok(AccountDeletion::NoAccount);
        }
        session.query_named(DELETE_API_KEYS, of_account).await?;
        session.query_named(dashboard_sessions::DELETE_OF_ACCOUNT, of_account).await?;
        let mut most = delete_jobs(session, account, limit).await?;
        for statement in [
            DELETE_CONNECTIONS,
            connection_health::DELETE_OF_ACCOUNT,
            DELETE_WEBHOOK_SECRETS,
            DELETE_ENDPOINTS,
            DELETE_DELIVERIES,
            DELETE_DELIVERY_SECRETS,
            DELETE_AUTHORIZATIONS,
            DELETE_AUTHORIZATION_SECRETS,
            DELETE_RECORDS,
        ] {
            most = most.max(session.query_named(statement, some_of_account).await?.len());
        }
        if most >= self.limit as usize {
            return Ok(AccountDeletion::More);
        }
        run_logged(session, DELETE, &self.event, of_account).await?;
        Ok(AccountDeletion::Done)
    }
}

/// Deletes jobs and then what they keep sealed: in this order it includes what was added before a job was deleted.
async fn delete_jobs(session: &Session, account: &str, limit: i64) -> Result<usize, PgError> {
    let deleted = session.query_named(DELETE_JOBS, &[("account_id", &account), ("limit", &limit)]).await?;
    let ids: Vec<&str> = deleted.iter().map(|row| rows::get(row, "job_id")).collect::<Result<_, _>>()?;
    session.query_named(DELETE_JOB_SECRETS, &[("account_id", &account), ("job_id", &ids)]).await?;
    Ok(ids.len())
}
