//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId};
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::run_logged;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{ApiKeys, Changed, Error};

const SQL: &str = include_str!("sql/api_keys.sql");
const FIND: &str = statement(SQL, "find_api_key");
pub(super) const FIND_BY_HASH: &str = statement(SQL, "find_api_key_by_hash");
pub(super) const INSPECT_BY_HASH: &str = statement(SQL, "inspect_api_key_by_hash");
pub(super) const LIST: &str = statement(SQL, "list_api_keys");
const INSERT: &str = statement(SQL, "insert_api_key");
const REVOKE: &str = statement(SQL, "revoke_api_key");

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
        let parameters: Parameters<'_> =
            &[("key_hash", &hash.0.as_slice()), ("now", &self.clock.or_the_servers(now))];
        let read = |row: &Row| Ok((api_key_from(row)?, rows::instant(row, "looked_at")?));
        self.find(FIND_BY_HASH, parameters, read).await
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.find(FIND, &[("api_key_id", &id.as_str())], api_key_from).await
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.read(LIST, &[("account_id", &account.as_str())], api_key_from).await
    }

    async fn update_api_key_revoked(
        &self,
        account: &AccountId,
        expected: &RowMac,
        revoked: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, expected) = (account.clone(), expected.clone());
        let (revoked, event) = (revoked.clone(), event.clone());
        self.writer.write(RevokeApiKey { account, expected, revoked, event }).await
    }
}

pub(super) fn api_key_from(row: &Row) -> Result<ApiKeyRow, PgError> {
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

struct InsertApiKey {
    account: AccountId,
    row: ApiKeyRow,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for InsertApiKey {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, row, event } = self;
        let key = &row.key;
        let own: Parameters<'_> = &[
            ("api_key_id", &key.id.as_str()),
            ("account_id", &account.as_str()),
            ("name", &key.name.as_str()),
            ("key_hash", &row.hash.0.as_slice()),
            ("last_four", &key.last_four),
            ("created_at", &key.created_at.as_micros()),
            ("expires_at", &key.expires_at.map(Timestamp::as_micros)),
            ("revoked_at", &key.revoked_at.map(Timestamp::as_micros)),
            ("row_mac", &row.mac.0.as_slice()),
        ];
        let is_written = run_logged(session, INSERT, event, own).await?;
        Ok(if is_written { Ok(()) } else { Err(Error::NameTaken) })
    }
}

/// Revokes a key whose stored MAC is still the expected one.
struct RevokeApiKey {
    account: AccountId,
    expected: RowMac,
    revoked: ApiKeyRow,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for RevokeApiKey {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, expected, revoked, event } = self;
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("api_key_id", &revoked.key.id.as_str()),
            ("expected_row_mac", &expected.0.as_slice()),
            ("revoked_at", &revoked.key.revoked_at.map(Timestamp::as_micros)),
            ("row_mac", &revoked.mac.0.as_slice()),
        ];
        let is_written = run_logged(session, REVOKE, event, own).await?;
        Ok(Ok(if is_written { Changed::Yes } else { Changed::No }))
    }
}
