//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::{logged, run_logged};
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::LoneWrite;
use super::{Postgres, rows};
use crate::{ApiKeys, Changed, Error};

#[async_trait]
impl ApiKeys for Postgres {
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(InsertApiKey { account, row, event }).await
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<(ApiKeyRow, Timestamp)>, Error> {
        let parameters: Parameters<'_> = &[&hash.0.as_slice(), &self.clock.or_the_servers(now)];
        let take = |row: &Row| Ok((api_key(row)?, rows::instant(row, "looked_at")?));
        self.find(FIND_BY_HASH, parameters, take).await
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.find(FIND, &[&id.as_str()], api_key).await
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.read(LIST, &[&account.as_str()], api_key).await
    }

    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, expected, revoked, event) =
            (account.clone(), expected.clone(), revoked.clone(), event.clone());
        self.writer.write(RevokeApiKey { account, expected, revoked, event }).await
    }
}

macro_rules! select {
    ($more:expr, $rest:literal) => {
        concat!(
            "SELECT api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac",
            $more,
            " FROM api_keys ",
            $rest
        )
    };
}

pub(super) const FIND: &str = select!("", "WHERE api_key_id = $1");
pub(super) const FIND_BY_HASH: &str =
    select!(concat!(", ", super::clock::clock!("$2"), " AS looked_at"), "WHERE key_hash = $1");
pub(super) const INSPECT_BY_HASH: &str = select!("", "WHERE key_hash = $1");
pub(super) const LIST: &str = select!("", "WHERE account_id = $1 ORDER BY created_at, api_key_id");

pub(super) fn api_key(row: &Row) -> Result<ApiKeyRow, Trouble> {
    Ok(ApiKeyRow {
        key: ApiKey {
            id: ApiKeyId::from_stored(rows::get(row, "api_key_id")?),
            account_id: AccountId::from_stored(rows::get(row, "account_id")?),
            name: Label::from_stored(rows::get(row, "name")?),
            last_four: rows::get(row, "last_four")?,
            created_at: rows::instant(row, "created_at")?,
            expires_at: rows::optional_instant(row, "expires_at")?,
            revoked_at: rows::optional_instant(row, "revoked_at")?,
        },
        hash: HashedKey(rows::bytes(row, "key_hash")?),
        mac: RowMac(rows::bytes(row, "row_mac")?),
    })
}

/// Which of the rows that a statement is `given` come from somebody who may still act: the holder of a key that is
/// active by the database's clock, or the operator while there is the account. `given` has `position`, `account_id`,
/// `api_key_id`, and `now` if the clock is not the database's.
macro_rules! active {
    () => {
        concat!(
            "active AS (
                SELECT g.position FROM given g
                WHERE CASE WHEN g.api_key_id IS NULL
                    THEN EXISTS (SELECT 1 FROM accounts a WHERE a.account_id = g.account_id)
                    ELSE EXISTS (SELECT 1 FROM api_keys k
                        WHERE k.account_id = g.account_id AND k.api_key_id = g.api_key_id AND k.revoked_at IS NULL
                            AND (k.expires_at IS NULL OR k.expires_at > ",
            $crate::postgres::clock::clock!("g.now"),
            ")) END)"
        )
    };
}
pub(super) use active;

/// Adds a key.
pub(super) struct InsertApiKey {
    pub(super) account: AccountId,
    pub(super) row: ApiKeyRow,
    pub(super) event: AuditEvent,
}

const INSERT: &str = concat!(
    "WITH inserted AS (
        INSERT INTO api_keys
            (api_key_id, account_id, name, key_hash, last_four, created_at, expires_at, revoked_at, row_mac)
        VALUES ($9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT (key_hash) DO NOTHING RETURNING api_key_id)",
    logged!("inserted")
);

#[async_trait]
impl LoneWrite for InsertApiKey {
    type Answer = ();

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        let Self { account, row, event } = self;
        let key = &row.key;
        let own: Parameters<'_> = &[
            &key.id.as_str(),
            &account.as_str(),
            &key.name.as_str(),
            &row.hash.0.as_slice(),
            &key.last_four,
            &key.created_at.as_micros(),
            &key.expires_at.map(Timestamp::as_micros),
            &key.revoked_at.map(Timestamp::as_micros),
            &row.mac.0.as_slice(),
        ];
        let is_written = run_logged(session, INSERT, event, own).await?;
        Ok(if is_written { Ok(()) } else { Err(Error::NameTaken) })
    }
}

/// Revokes a key whose proof is still the expected one.
pub(super) struct RevokeApiKey {
    pub(super) account: AccountId,
    pub(super) expected: RowMac,
    pub(super) revoked: ApiKeyRow,
    pub(super) event: AuditEvent,
}

const REVOKE: &str = concat!(
    "WITH revoked AS (
        UPDATE api_keys SET revoked_at = $9, row_mac = $10
        WHERE account_id = $11 AND api_key_id = $12 AND row_mac = $13 RETURNING api_key_id)",
    logged!("revoked")
);

#[async_trait]
impl LoneWrite for RevokeApiKey {
    type Answer = Changed;

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, Trouble> {
        let Self { account, expected, revoked, event } = self;
        let own: Parameters<'_> = &[
            &revoked.key.revoked_at.map(Timestamp::as_micros),
            &revoked.mac.0.as_slice(),
            &account.as_str(),
            &revoked.key.id.as_str(),
            &expected.0.as_slice(),
        ];
        let is_written = run_logged(session, REVOKE, event, own).await?;
        Ok(Ok(if is_written { Changed::Yes } else { Changed::No }))
    }
}
