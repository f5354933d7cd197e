//! Accounts.

use async_trait::async_trait;
use domain::account::{Account, Label};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use tokio_postgres::Row;

use super::audit_events::{logged, run_logged};
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::LoneWrite;
use super::{Postgres, rows};
use crate::{AccountDeletion, Accounts, Error};

#[async_trait]
impl Accounts for Postgres {
    async fn insert_account(&self, account: &Account, event: &AuditEvent) -> Result<(), Error> {
        self.writer.write(InsertAccount { account: account.clone(), event: event.clone() }).await
    }

    async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        self.read(LIST, &[], account_from).await
    }

    async fn list_account_ids(&self) -> Result<Vec<AccountId>, Error> {
        self.read(LIST_IDS, &[], account_id).await
    }

    async fn find_account(&self, account: &AccountId) -> Result<Option<Account>, Error> {
        self.find(FIND, &[&account.as_str()], account_from).await
    }

    async fn find_account_by_name(&self, name: &Label) -> Result<Option<Account>, Error> {
        self.find(FIND_BY_NAME, &[&name.as_str()], account_from).await
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

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT account_id, name, created_at, keyring_key_id, wrapped_key FROM accounts", $rest)
    };
}

pub(super) const LIST: &str = select!(" ORDER BY name");
pub(super) const LIST_IDS: &str = "SELECT account_id FROM accounts ORDER BY account_id";
pub(super) const FIND: &str = select!(" WHERE account_id = $1");
pub(super) const FIND_BY_NAME: &str = select!(" WHERE name = $1");

pub(super) fn account_from(row: &Row) -> Result<Account, Trouble> {
    Ok(Account {
        id: account_id(row)?,
        name: Label::from_stored(rows::get(row, "name")?),
        created_at: rows::instant(row, "created_at")?,
        key: rows::keyring_wrapped(row)?,
    })
}

pub(super) fn account_id(row: &Row) -> Result<AccountId, Trouble> {
    rows::get(row, "account_id").map(AccountId::from_stored)
}

/// Adds an account.
pub(super) struct InsertAccount {
    pub(super) account: Account,
    pub(super) event: AuditEvent,
}

const INSERT: &str = concat!(
    "WITH inserted AS (
        INSERT INTO accounts (account_id, name, created_at, keyring_key_id, wrapped_key)
        VALUES ($9, $10, $11, $12, $13) ON CONFLICT (name) DO NOTHING RETURNING account_id)",
    logged!("inserted")
);

#[async_trait]
impl LoneWrite for InsertAccount {
    type Answer = ();

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        let Self { account, event } = self;
        let own: Parameters<'_> = &[
            &account.id.as_str(),
            &account.name.as_str(),
            &account.created_at.as_micros(),
            &account.key.keyring_key.0,
            &account.key.wrapped.0.as_slice(),
        ];
        let is_written = run_logged(session, INSERT, event, own).await?;
        Ok(if is_written { Ok(()) } else { Err(Error::NameTaken) })
    }
}

/// Deletes a part of an account; see [`crate::Store::delete_account_part`].
pub(super) struct DeleteAccountPart {
    pub(super) account: AccountId,
    pub(super) limit: u32,
    pub(super) event: AuditEvent,
}

const LOCK: &str = "SELECT account_id FROM accounts WHERE account_id = $1 FOR UPDATE";
pub(super) const DELETE_KEYS: &str = "DELETE FROM api_keys WHERE account_id = $1";
pub(super) const DELETE_CONNECTIONS: &str =
    "DELETE FROM connections WHERE account_id = $1 AND connection_id IN
    (SELECT connection_id FROM connections WHERE account_id = $1 ORDER BY connection_id LIMIT $2)
    RETURNING connection_id";
pub(super) const DELETE_JOBS: &str = "DELETE FROM jobs WHERE account_id = $1 AND job_id IN
    (SELECT job_id FROM jobs WHERE account_id = $1 ORDER BY job_id LIMIT $2)
    RETURNING job_id";
pub(super) const DELETE_JOB_SECRETS: &str =
    "DELETE FROM job_secrets WHERE account_id = $1 AND job_id = ANY ($2::text[])";
pub(super) const DELETE_WEBHOOK_SECRETS: &str =
    "DELETE FROM webhook_secrets WHERE account_id = $1 AND secret_id IN
    (SELECT secret_id FROM webhook_secrets WHERE account_id = $1 ORDER BY secret_id LIMIT $2)
    RETURNING secret_id";
pub(super) const DELETE_RECORDS: &str = "DELETE FROM idempotency_records
    WHERE account_id = $1 AND (operation, idempotency_key) IN
        (SELECT operation, idempotency_key FROM idempotency_records
         WHERE account_id = $1 ORDER BY operation, idempotency_key LIMIT $2)
    RETURNING idempotency_key";
const DELETE: &str = concat!(
    "WITH deleted AS (DELETE FROM accounts WHERE account_id = $9 RETURNING account_id)",
    logged!("deleted")
);

#[async_trait]
impl LoneWrite for DeleteAccountPart {
    type Answer = AccountDeletion;

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, AccountDeletion::Done))
    }

    async fn run(&self, session: &Session) -> Result<Result<AccountDeletion, Error>, Trouble> {
        session.batch("BEGIN").await?;
        let steps = self.delete(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl DeleteAccountPart {
    async fn delete(&self, session: &Session) -> Result<AccountDeletion, Trouble> {
        let (account, limit) = (self.account.as_str(), i64::from(self.limit));
        // The lock keeps out whoever would add to what is to go: a new row of the account needs it to stay.
        if session.query(LOCK, &[&account]).await?.is_empty() {
            return Ok(AccountDeletion::NoAccount);
        }
        session.query(DELETE_KEYS, &[&account]).await?;
        let connections = session.query(DELETE_CONNECTIONS, &[&account, &limit]).await?.len();
        let jobs = delete_jobs(session, account, limit).await?;
        let secrets = session.query(DELETE_WEBHOOK_SECRETS, &[&account, &limit]).await?.len();
        let records = session.query(DELETE_RECORDS, &[&account, &limit]).await?.len();
        if connections.max(jobs).max(secrets).max(records) >= self.limit as usize {
            return Ok(AccountDeletion::More);
        }
        run_logged(session, DELETE, &self.event, &[&account]).await?;
        Ok(AccountDeletion::Done)
    }
}

/// Jobs and what they keep sealed: that last, so that nothing is overlooked which was added to a job before it went.
async fn delete_jobs(session: &Session, account: &str, limit: i64) -> Result<usize, Trouble> {
    let deleted = session.query(DELETE_JOBS, &[&account, &limit]).await?;
    let ids: Vec<&str> = deleted.iter().map(|row| rows::get(row, "job_id")).collect::<Result<_, _>>()?;
    session.query(DELETE_JOB_SECRETS, &[&account, &ids]).await?;
    Ok(ids.len())
}
