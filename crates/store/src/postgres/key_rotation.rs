//! Replacing keys.

use async_trait::async_trait;
use domain::account::{Account, AccountKeys, SecondKey, SecondKeyRole};
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::secret::{KeyringKeyId, KeyringWrapped};
use tokio_postgres::Row;

use super::accounts::account_from;
use super::audit_events::run_logged;
use super::parameters::{Named, Parameters};
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::key_rotation::sealing_key_statements;
use crate::sql::statement;
use crate::{
    AccountKeysUpdate, Changed, Error, KeyRotation, KeyringUse, SealedKind, SealingKey, SealingKeyUpdate,
};

const SQL: &str = include_str!("sql/key_rotation.sql");
const LIST_USES: &str = statement(SQL, "list_keyring_uses");
const LIST_TO_REWRAP: &str = statement(SQL, "list_accounts_to_rewrap");
const LIST_WITH_SECOND: &str = statement(SQL, "list_accounts_with_second_key");
const REWRAP_KEYS: &str = statement(SQL, "rewrap_account_keys");
const UPDATE_KEYS: &str = statement(SQL, "update_account_keys");
const DELETE_CHECK: &str = statement(SQL, "delete_keyring_check");

sealing_key_statements!(SQL);

#[async_trait]
impl KeyRotation for Postgres {
    async fn list_keyring_uses(&self) -> Result<Vec<KeyringUse>, Error> {
        self.read(LIST_USES, &[], keyring_use_from).await
    }

    async fn list_accounts_to_rewrap(
        &self,
        keyring_key: &KeyringKeyId,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, Error> {
        let parameters: Parameters<'_> = &[
            ("keyring_key_id", &keyring_key.0),
            ("after", &after.map_or("", AccountId::as_str)),
            ("limit", &i64::from(limit)),
        ];
        self.read(LIST_TO_REWRAP, parameters, account_from).await
    }

    async fn rewrap_account_keys(&self, updates: &[AccountKeysUpdate]) -> Result<usize, Error> {
        self.writer.write(RewrapAccountKeys { updates: updates.to_vec() }).await
    }

    async fn update_account_keys(
        &self,
        update: &AccountKeysUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error> {
        self.writer.write(UpdateAccountKeys { update: update.clone(), event: event.clone() }).await
    }

    async fn delete_keyring_check(&self, keyring_key: &KeyringKeyId) -> Result<Changed, Error> {
        self.writer.write(DeleteCheck { keyring_key: keyring_key.clone() }).await
    }

    async fn list_accounts_with_second_key(&self) -> Result<Vec<Account>, Error> {
        self.read(LIST_WITH_SECOND, &[], account_from).await
    }

    async fn list_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<SealingKey>, Error> {
        let (list, _) = statements_of(kind);
        let (account, limit, part) = (account.as_str(), i64::from(limit), kind.part());
        let mut parameters: Vec<Named<'_>> =
            vec![("account_id", &account), ("after", &after), ("limit", &limit)];
        if part.is_some() {
            parameters.push(("part", &part));
        }
        self.read(list, &parameters, sealing_key_from).await
    }

    async fn replace_sealing_keys(
        &self,
        account: &AccountId,
        kind: SealedKind,
        updates: &[SealingKeyUpdate],
    ) -> Result<usize, Error> {
        let write = ReplaceSealingKeys { account: account.clone(), kind, updates: updates.to_vec() };
        self.writer.write(write).await
    }
}

/// The columns of accounts' keys before and after a change.
struct KeysParameters<'a> {
    account: &'a str,
    expected: &'a [u8],
    expected_second: Option<&'a [u8]>,
    keyring_key: &'a str,
    wrapped: &'a [u8],
    second_keyring_key: Option<&'a str>,
    second_wrapped: Option<&'a [u8]>,
    role: Option<&'static str>,
    since: Option<i64>,
}

impl<'a> KeysParameters<'a> {
    fn of(update: &'a AccountKeysUpdate) -> Self {
        let AccountKeysUpdate { account, expected, keys } = update;
        let second = keys.second.as_ref();
        Self {
            account: account.as_str(),
            expected: &expected.current.wrapped.0,
            expected_second: expected.second.as_ref().map(|second| second.key.wrapped.0.as_slice()),
            keyring_key: &keys.current.keyring_key.0,
            wrapped: &keys.current.wrapped.0,
            second_keyring_key: second.map(|second| second.key.keyring_key.0.as_str()),
            second_wrapped: second.map(|second| second.key.wrapped.0.as_slice()),
            role: second.map(|second| second.role.as_str()),
            since: second.map(|second| second.since.as_micros()),
        }
    }

    fn named(&self) -> [Named<'_>; 9] {
        [
            ("account_id", &self.account),
            ("expected", &self.expected),
            ("expected_second", &self.expected_second),
            ("keyring_key_id", &self.keyring_key),
            ("wrapped_key", &self.wrapped),
            ("second_keyring_key_id", &self.second_keyring_key),
            ("second_wrapped_key", &self.second_wrapped),
            ("second_key_role", &self.role),
            ("second_key_since", &self.since),
        ]
    }
}

struct RewrapAccountKeys {
    updates: Vec<AccountKeysUpdate>,
}

#[async_trait]
impl SingleWrite for RewrapAccountKeys {
    type Answer = usize;

    // Repeated after a lost session, it changes no row that it has changed: the count may be too low.
    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.rewrap(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl RewrapAccountKeys {
    async fn rewrap(&self, session: &Session) -> Result<usize, PgError> {
        let mut rewrapped = 0;
        for update in &self.updates {
            let parameters = KeysParameters::of(update);
            rewrapped += session.query_named(REWRAP_KEYS, &parameters.named()).await?.len();
        }
        Ok(rewrapped)
    }
}

struct UpdateAccountKeys {
    update: AccountKeysUpdate,
    event: AuditEvent,
}

#[async_trait]
impl SingleWrite for UpdateAccountKeys {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let parameters = KeysParameters::of(&self.update);
        let is_written = run_logged(session, UPDATE_KEYS, &self.event, &parameters.named()).await?;
        Ok(Ok(if is_written { Changed::Yes } else { Changed::No }))
    }
}

struct DeleteCheck {
    keyring_key: KeyringKeyId,
}

#[async_trait]
impl SingleWrite for DeleteCheck {
    type Answer = Changed;

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let deleted = session.query_named(DELETE_CHECK, &[("keyring_key_id", &self.keyring_key.0)]).await?;
        Ok(Ok(Changed::of(deleted.len())))
    }
}

struct ReplaceSealingKeys {
    account: AccountId,
    kind: SealedKind,
    updates: Vec<SealingKeyUpdate>,
}

#[async_trait]
impl SingleWrite for ReplaceSealingKeys {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.replace(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl ReplaceSealingKeys {
    /// One after the other, so that the rows are locked in their order.
    async fn replace(&self, session: &Session) -> Result<usize, PgError> {
        let (_, replace) = statements_of(self.kind);
        let (account, part) = (self.account.as_str(), self.kind.part());
        let mut replaced = 0;
        for update in &self.updates {
            let (wrapped, expected) = (update.wrapped.0.as_slice(), update.expected.0.as_slice());
            let mut parameters: Vec<Named<'_>> = vec![
                ("account_id", &account),
                ("record", &update.record),
                ("wrapped_key", &wrapped),
                ("expected", &expected),
            ];
            if part.is_some() {
                parameters.push(("part", &part));
            }
            replaced += session.query_named(replace, &parameters).await?.len();
        }
        Ok(replaced)
    }
}

fn keyring_use_from(row: &Row) -> Result<KeyringUse, PgError> {
    Ok(KeyringUse {
        keyring_key: KeyringKeyId(rows::get(row, "keyring_key_id")?),
        accounts: rows::count(row, "accounts")?,
        is_active: rows::get(row, "is_active")?,
    })
}

fn sealing_key_from(row: &Row) -> Result<SealingKey, PgError> {
    Ok(SealingKey {
        record: rows::get(row, "record")?,
        version: rows::count(row, "version")?,
        wrapped: rows::wrapped_key(row, "wrapped_key")?,
    })
}

/// The columns of an account's keys.
pub(super) fn account_keys_from(row: &Row) -> Result<AccountKeys, PgError> {
    let second = match rows::get::<Option<&str>>(row, "second_key_role")? {
        None => None,
        Some(role) => Some(SecondKey {
            key: KeyringWrapped {
                keyring_key: KeyringKeyId(rows::get(row, "second_keyring_key_id")?),
                wrapped: rows::wrapped_key(row, "second_wrapped_key")?,
            },
            role: SecondKeyRole::from_stored(role).ok_or_else(|| rows::impossible("second_key_role"))?,
            since: rows::instant(row, "second_key_since")?,
        }),
    };
    Ok(AccountKeys { current: rows::keyring_wrapped(row)?, second })
}
