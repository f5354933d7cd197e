//! Replacing the service secret.

use async_trait::async_trait;
use domain::id::{AccountId, DeliveryId};
use domain::secret::KeyringCheck;
use domain::service_secrets::{ServiceSecret, ServiceSecrets};
use tokio_postgres::Row;

use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, keyring, rows};
use crate::service_secrets::{SecretRow, assemble, others, signed_row_statements};
use crate::sql::statement;
use crate::{Changed, Error, RowMacUpdate, ServiceSecretRotation, SignedKind, SignedMessage};

const SQL: &str = include_str!("sql/service_secrets.sql");
const LIST: &str = statement(SQL, "list_service_secrets");
const LOCK: &str = statement(SQL, "lock_service_secret");
const UPDATE_CURRENT: &str = statement(SQL, "update_service_secret");
const DELETE_OTHERS: &str = statement(SQL, "delete_other_service_secrets");
const INSERT_OTHER: &str = statement(SQL, "insert_other_service_secret");
const FIND_MESSAGE: &str = statement(SQL, "find_signed_message");

signed_row_statements!(SQL);

#[async_trait]
impl ServiceSecretRotation for Postgres {
    async fn find_service_secrets(&self) -> Result<Option<ServiceSecrets>, Error> {
        let rows = self.read(LIST, &[], secret_from).await?;
        assemble(rows).map_err(|column| rows::impossible(column).into_error())
    }

    async fn change_service_secrets(
        &self,
        expected: &ServiceSecrets,
        secrets: &ServiceSecrets,
        check: Option<&KeyringCheck>,
    ) -> Result<Changed, Error> {
        let (expected, secrets, check) = (expected.clone(), secrets.clone(), check.cloned());
        self.writer.write(Change { expected, secrets, check }).await
    }

    async fn list_signed_records(
        &self,
        account: &AccountId,
        kind: SignedKind,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let (list, _) = statements_of(kind);
        let page: Parameters<'_> =
            &[("account_id", &account.as_str()), ("after", &after), ("limit", &i64::from(limit))];
        self.read(list, page, |row| rows::get(row, "record")).await
    }

    async fn find_signed_message(
        &self,
        account: &AccountId,
        id: &DeliveryId,
    ) -> Result<Option<SignedMessage>, Error> {
        let key: Parameters<'_> = &[("account_id", &account.as_str()), ("delivery_id", &id.as_str())];
        self.find(FIND_MESSAGE, key, |row| {
            Ok(SignedMessage {
                event_id: rows::get(row, "event_id")?,
                event_type: rows::get(row, "event_type")?,
                body: rows::get(row, "body")?,
                mac: rows::get(row, "body_mac")?,
            })
        })
        .await
    }

    async fn replace_row_macs(
        &self,
        account: &AccountId,
        kind: SignedKind,
        updates: &[RowMacUpdate],
    ) -> Result<usize, Error> {
        self.writer.write(ReplaceMacs { account: account.clone(), kind, updates: updates.to_vec() }).await
    }
}

/// All secrets.
pub(super) async fn find(session: &Session) -> Result<Option<ServiceSecrets>, PgError> {
    let found = session.query_named(LIST, &[]).await?;
    let found = found.iter().map(secret_from).collect::<Result<_, _>>()?;
    assemble(found).map_err(rows::impossible)
}

struct Change {
    expected: ServiceSecrets,
    secrets: ServiceSecrets,
    check: Option<KeyringCheck>,
}

#[async_trait]
impl SingleWrite for Change {
    type Answer = Changed;

    // Repeated after a lost session, it finds the secrets that it has written.
    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.change(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl Change {
    async fn change(&self, session: &Session) -> Result<Changed, PgError> {
        session.query_named(LOCK, &[]).await?;
        let stored = find(session).await?;
        if stored.as_ref() == Some(&self.secrets) {
            return Ok(Changed::Yes);
        }
        if stored.as_ref() != Some(&self.expected) {
            return Ok(Changed::No);
        }
        if let Some(check) = &self.check {
            keyring::insert_check(session, check).await?;
        }
        let current = &self.secrets.current;
        let parameters: Parameters<'_> = &[
            ("number", &rows::stored_count(current.number)),
            ("keyring_key_id", &current.wrapped.keyring_key.0),
            ("wrapped_key", &current.wrapped.wrapped.0.as_slice()),
        ];
        session.query_named(UPDATE_CURRENT, parameters).await?;
        session.query_named(DELETE_OTHERS, &[]).await?;
        for (secret, role, since) in others(&self.secrets) {
            let parameters: Parameters<'_> = &[
                ("number", &rows::stored_count(secret.number)),
                ("role", &role),
                ("since", &since.as_micros()),
                ("keyring_key_id", &secret.wrapped.keyring_key.0),
                ("wrapped_key", &secret.wrapped.wrapped.0.as_slice()),
            ];
            session.query_named(INSERT_OTHER, parameters).await?;
        }
        Ok(Changed::Yes)
    }
}

struct ReplaceMacs {
    account: AccountId,
    kind: SignedKind,
    updates: Vec<RowMacUpdate>,
}

#[async_trait]
impl SingleWrite for ReplaceMacs {
    type Answer = usize;

    // Repeated after a lost session, it changes no row that it has changed: the count may be too low.
    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.replace(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl ReplaceMacs {
    /// One after the other, so that the rows are locked in their order.
    async fn replace(&self, session: &Session) -> Result<usize, PgError> {
        let (_, replace) = statements_of(self.kind);
        let account = self.account.as_str();
        let mut replaced = 0;
        for RowMacUpdate { record, expected, mac } in &self.updates {
            let parameters: Parameters<'_> = &[
                ("account_id", &account),
                ("record", record),
                ("expected", &expected.as_slice()),
                ("mac", &mac.as_slice()),
            ];
            replaced += session.query_named(replace, parameters).await?.len();
        }
        Ok(replaced)
    }
}

fn secret_from(row: &Row) -> Result<SecretRow, PgError> {
    Ok(SecretRow {
        secret: ServiceSecret { number: rows::count(row, "number")?, wrapped: rows::keyring_wrapped(row)? },
        role: rows::get(row, "role")?,
        since: rows::optional_instant(row, "since")?,
    })
}
