//! API keys.

use async_trait::async_trait;
use domain::account::Label;
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId};
use domain::scope::Scope;
use domain::time::Timestamp;
use tokio_postgres::Row;

use super::audit_events::EventParameters;
use super::clock::Clock;
use super::job_leases::LOCK_ACCOUNT;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, account_limits, rows};
use crate::api_keys::{grant_columns, grant_from};
use crate::sql::statement;
use crate::{ApiKeyUpdate, ApiKeyUse, ApiKeys, Changed, Error, FoundApiKey, OtherManager};

const SQL: &str = include_str!("sql/api_keys.sql");
const FIND: &str = statement(SQL, "find_api_key");
pub(super) const FIND_BY_HASH: &str = statement(SQL, "find_api_key_by_hash");
pub(super) const INSPECT_BY_HASH: &str = statement(SQL, "inspect_api_key_by_hash");
pub(super) const INSPECT_WITHOUT_SCOPES: &str = statement(SQL, "inspect_api_key_without_scopes");
pub(super) const LIST: &str = statement(SQL, "list_api_keys");
const LIST_PAGE: &str = statement(SQL, "list_api_key_page");
const INSERT: &str = statement(SQL, "insert_api_key");
const UPDATE: &str = statement(SQL, "update_api_key");
const UPDATE_USES: &str = statement(SQL, "update_api_key_uses");

#[async_trait]
impl ApiKeys for Postgres {
    async fn insert_api_key(
        &self,
        account: &AccountId,
        row: &ApiKeyRow,
        event: &AuditEvent,
    ) -> Result<(), Error> {
        let (account, row, event) = (account.clone(), row.clone(), event.clone());
        self.writer.write(InsertApiKey { account, row, event, clock: self.clock }).await
    }

    async fn find_api_key_by_hash(
        &self,
        hash: &HashedKey,
        now: Timestamp,
    ) -> Result<Option<FoundApiKey>, Error> {
        let parameters: Parameters<'_> =
            &[("key_hash", &hash.0.as_slice()), ("now", &self.clock.or_the_servers(now))];
        let read = |row: &Row| {
            Ok(FoundApiKey {
                row: api_key_from(row)?,
                limits: account_limits::overrides_from(row)?,
                read_at: rows::instant(row, "looked_at")?,
            })
        };
        self.find(FIND_BY_HASH, parameters, read).await
    }

    async fn find_api_key(&self, id: &ApiKeyId) -> Result<Option<ApiKeyRow>, Error> {
        self.find(FIND, &[("api_key_id", &id.as_str())], api_key_from).await
    }

    async fn list_api_keys(&self, account: &AccountId) -> Result<Vec<ApiKeyRow>, Error> {
        self.read(LIST, &[("account_id", &account.as_str())], api_key_from).await
    }

    async fn list_api_key_page(
        &self,
        account: &AccountId,
        after: Option<&(Timestamp, ApiKeyId)>,
        limit: u32,
    ) -> Result<Vec<ApiKeyRow>, Error> {
        let after_created_at = after.map_or(i64::MIN, |(created_at, _)| created_at.as_micros());
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("after_created_at", &after_created_at),
            ("after_api_key_id", &after.map_or("", |(_, id)| id.as_str())),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_PAGE, parameters, api_key_from).await
    }

    async fn update_api_key(
        &self,
        account: &AccountId,
        update: ApiKeyUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        let (account, event) = (account.clone(), event.clone());
        self.writer.write(UpdateApiKey { account, update, event, clock: self.clock }).await
    }

    async fn update_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), Error> {
        self.writer.write(UpdateUses { uses: uses.to_vec() }).await
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
            grant: grant_from(
                rows::get(row, "scopes")?,
                rows::get(row, "created_by")?,
                rows::get(row, "rotated_from")?,
            ),
            last_used_at: rows::optional_instant(row, "last_used_at")?,
        },
        hash: HashedKey(rows::bytes(row, "key_hash")?),
        mac: RowMac(rows::bytes(row, "row_mac")?),
    })
}

struct InsertApiKey {
    account: AccountId,
    row: ApiKeyRow,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertApiKey {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.insert(session).await;
        session.end(steps).await
    }
}

impl InsertApiKey {
    async fn insert(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, row, event, clock } = self;
        session.query_named(LOCK_ACCOUNT, &[("account_id", &account.as_str())]).await?;
        let key = &row.key;
        let (scopes, created_by, rotated_from) = grant_columns(key.grant.as_ref());
        let own: Parameters<'_> = &[
            ("now", &clock.or_the_servers(event.at)),
            ("api_key_id", &key.id.as_str()),
            ("account_id", &account.as_str()),
            ("name", &key.name.as_str()),
            ("key_hash", &row.hash.0.as_slice()),
            ("last_four", &key.last_four),
            ("created_at", &key.created_at.as_micros()),
            ("expires_at", &key.expires_at.map(Timestamp::as_micros)),
            ("revoked_at", &key.revoked_at.map(Timestamp::as_micros)),
            ("row_mac", &row.mac.0.as_slice()),
            ("scopes", &scopes),
            ("created_by", &created_by),
            ("rotated_from", &rotated_from),
        ];
        let found = session.query_named(INSERT, &EventParameters::of(event).and(own)).await?;
        let Some(result) = found.first() else { return Err(rows::impossible("written")) };
        if !rows::get::<bool>(result, "is_active")? {
            return Ok(Err(Error::KeyNotActive));
        }
        Ok(if rows::count(result, "written")? > 0 { Ok(()) } else { Err(Error::NameTaken) })
    }
}

/// Changes a key whose stored MAC is still the expected one, and adds its successor.
struct UpdateApiKey {
    account: AccountId,
    update: ApiKeyUpdate,
    event: AuditEvent,
    clock: Clock,
}

#[async_trait]
impl SingleWrite for UpdateApiKey {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.update(session).await;
        session.end(steps).await
    }
}

impl UpdateApiKey {
    async fn update(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, update, event, clock } = self;
        session.query_named(LOCK_ACCOUNT, &[("account_id", &account.as_str())]).await?;
        let ApiKeyRow { key, mac, .. } = &update.row;
        let successor = update.successor.as_ref();
        let new = successor.map(|successor| &successor.key);
        let (scopes, created_by, rotated_from) = grant_columns(new.and_then(|key| key.grant.as_ref()));
        let own: Parameters<'_> = &[
            ("now", &clock.or_the_servers(event.at)),
            ("account_id", &account.as_str()),
            ("managing_scope", &Scope::KeysManage.as_str()),
            ("needs_manager", &(update.other_manager == OtherManager::Required)),
            ("api_key_id", &key.id.as_str()),
            ("expected_row_mac", &update.expected.0.as_slice()),
            ("name", &key.name.as_str()),
            ("expires_at", &key.expires_at.map(Timestamp::as_micros)),
            ("revoked_at", &key.revoked_at.map(Timestamp::as_micros)),
            ("row_mac", &mac.0.as_slice()),
            ("new_api_key_id", &new.map(|key| key.id.as_str())),
            ("new_name", &new.map(|key| key.name.as_str())),
            ("new_key_hash", &successor.map(|successor| successor.hash.0.as_slice())),
            ("new_last_four", &new.map(|key| key.last_four.as_str())),
            ("new_created_at", &new.map(|key| key.created_at.as_micros())),
            ("new_expires_at", &new.and_then(|key| key.expires_at).map(Timestamp::as_micros)),
            ("new_row_mac", &successor.map(|successor| successor.mac.0.as_slice())),
            ("new_scopes", &scopes),
            ("new_created_by", &created_by),
            ("new_rotated_from", &rotated_from),
        ];
        let found = session.query_named(UPDATE, &EventParameters::of(event).and(own)).await?;
        let Some(result) = found.first() else { return Err(rows::impossible("written")) };
        if !rows::get::<bool>(result, "is_active")? {
            return Ok(Err(Error::KeyNotActive));
        }
        if !rows::get::<bool>(result, "is_allowed")? {
            return Ok(Err(Error::LastManagingKey));
        }
        Ok(Ok(if rows::count(result, "written")? > 0 { Changed::Yes } else { Changed::No }))
    }
}

/// Stores when keys were last used. Repeating it is harmless.
struct UpdateUses {
    uses: Vec<ApiKeyUse>,
}

#[async_trait]
impl SingleWrite for UpdateUses {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let key_ids: Vec<_> = self.uses.iter().map(|one| one.key_id.as_str()).collect();
        let hours: Vec<_> = self.uses.iter().map(|one| one.hour.as_micros()).collect();
        let parameters: Parameters<'_> = &[("api_key_id", &key_ids), ("last_used_at", &hours)];
        session.query_named(UPDATE_USES, parameters).await?;
        Ok(Ok(()))
    }
}
