//! The check values of the keyring, and the service secret.

use async_trait::async_trait;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use tokio_postgres::Row;

use super::parameters::Parameters;
use super::pg_error::PgError;
use super::sessions::{Isolation, Session};
use super::writes::SingleWrite;
use super::{Postgres, rows};
use crate::sql::statement;
use crate::{Error, Keyring};

const SQL: &str = include_str!("sql/keyring.sql");
const LIST_CHECKS: &str = statement(SQL, "list_keyring_checks");
const INSERT_CHECK: &str = statement(SQL, "insert_keyring_check");
pub(super) const FIND_SECRET: &str = statement(SQL, "find_service_secret");
const INSERT_SECRET: &str = statement(SQL, "insert_service_secret");

#[async_trait]
impl Keyring for Postgres {
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.read(LIST_CHECKS, &[], keyring_check_from).await
    }

    async fn insert_keyring_check(
        &self,
        check: &KeyringCheck,
        expected: &[KeyringCheck],
    ) -> Result<Vec<KeyringCheck>, Error> {
        self.writer.write(InsertKeyringCheck { check: check.clone(), expected: expected.to_vec() }).await
    }

    async fn find_or_insert_service_secret(
        &self,
        proposed: &KeyringWrapped,
    ) -> Result<KeyringWrapped, Error> {
        match self.find(FIND_SECRET, &[], rows::keyring_wrapped).await? {
            Some(stored) => Ok(stored),
            None => self.writer.write(FindOrInsertSecret { proposed: proposed.clone() }).await,
        }
    }
}

fn keyring_check_from(row: &Row) -> Result<KeyringCheck, PgError> {
    Ok(KeyringCheck {
        keyring_key: KeyringKeyId(rows::get(row, "keyring_key_id")?),
        value: rows::bytes(row, "check_value")?,
    })
}

pub(super) async fn list_checks(session: &Session) -> Result<Vec<KeyringCheck>, PgError> {
    session.query_named(LIST_CHECKS, &[]).await?.iter().map(keyring_check_from).collect()
}

pub(super) async fn find_secret(session: &Session) -> Result<Option<KeyringWrapped>, PgError> {
    session.query_named(FIND_SECRET, &[]).await?.first().map(rows::keyring_wrapped).transpose()
}

/// Adds a check value, unless it is there.
pub(super) async fn insert_check(session: &Session, check: &KeyringCheck) -> Result<(), PgError> {
    let parameters: Parameters<'_> =
        &[("keyring_key_id", &check.keyring_key.0), ("check_value", &check.value.as_slice())];
    session.query_named(INSERT_CHECK, parameters).await.map(drop)
}

/// Adds a check value if the stored ones are still the expected ones.
struct InsertKeyringCheck {
    check: KeyringCheck,
    expected: Vec<KeyringCheck>,
}

#[async_trait]
impl SingleWrite for InsertKeyringCheck {
    type Answer = Vec<KeyringCheck>;

    async fn run(&self, session: &Session) -> Result<Result<Vec<KeyringCheck>, Error>, PgError> {
        // Two nodes with different keyrings may start on a new database at once: one of them must lose.
        session.begin(Isolation::Serializable).await?;
        let steps = self.insert(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl InsertKeyringCheck {
    async fn insert(&self, session: &Session) -> Result<Vec<KeyringCheck>, PgError> {
        let stored = list_checks(session).await?;
        if stored != self.expected {
            return Ok(stored);
        }
        insert_check(session, &self.check).await?;
        list_checks(session).await
    }
}

/// Adds the service secret if there is none. Returns the stored one.
struct FindOrInsertSecret {
    proposed: KeyringWrapped,
}

#[async_trait]
impl SingleWrite for FindOrInsertSecret {
    type Answer = KeyringWrapped;

    async fn run(&self, session: &Session) -> Result<Result<KeyringWrapped, Error>, PgError> {
        let Self { proposed } = self;
        let parameters: Parameters<'_> =
            &[("keyring_key_id", &proposed.keyring_key.0), ("wrapped_key", &proposed.wrapped.0.as_slice())];
        session.query_named(INSERT_SECRET, parameters).await?;
        let stored = find_secret(session).await?;
        Ok(Ok(stored.unwrap_or_else(|| proposed.clone())))
    }
}
