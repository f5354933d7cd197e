//! What belongs to the whole service: the keyring's check values and the service secret.

use async_trait::async_trait;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use tokio_postgres::Row;

use super::sessions::Session;
use super::trouble::Trouble;
use super::writes::LoneWrite;
use super::{Postgres, rows};
use crate::{Error, Keyring};

#[async_trait]
impl Keyring for Postgres {
    async fn list_keyring_checks(&self) -> Result<Vec<KeyringCheck>, Error> {
        self.read(LIST_CHECKS, &[], keyring_check).await
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
        let kept = self.find(FIND_SECRET, &[&SERVICE_SECRET], rows::keyring_wrapped).await?;
        match kept {
            Some(kept) => Ok(kept),
            None => self.writer.write(FindOrInsertSecret { proposed: proposed.clone() }).await,
        }
    }
}

/// The purpose of the one secret that there is.
pub(super) const SERVICE_SECRET: &str = "service";

pub(super) const FIND_SECRET: &str =
    "SELECT keyring_key_id, wrapped_key FROM service_secrets WHERE purpose = $1";
const INSERT_SECRET: &str = "INSERT INTO service_secrets (purpose, keyring_key_id, wrapped_key)
    VALUES ($1, $2, $3) ON CONFLICT (purpose) DO NOTHING";

pub(super) const LIST_CHECKS: &str =
    "SELECT keyring_key_id, check_value FROM keyring_checks ORDER BY keyring_key_id";
const INSERT_CHECK: &str = "INSERT INTO keyring_checks (keyring_key_id, check_value) VALUES ($1, $2)
    ON CONFLICT (keyring_key_id) DO NOTHING";

pub(super) fn keyring_check(row: &Row) -> Result<KeyringCheck, Trouble> {
    Ok(KeyringCheck {
        keyring_key: KeyringKeyId(rows::get(row, "keyring_key_id")?),
        value: rows::bytes(row, "check_value")?,
    })
}

/// Adds a keyring's check value, if the ones that are kept are still the expected ones.
pub(super) struct InsertKeyringCheck {
    pub(super) check: KeyringCheck,
    pub(super) expected: Vec<KeyringCheck>,
}

#[async_trait]
impl LoneWrite for InsertKeyringCheck {
    type Answer = Vec<KeyringCheck>;

    async fn run(&self, session: &Session) -> Result<Result<Vec<KeyringCheck>, Error>, Trouble> {
        // Two nodes with two keyrings may start on a new database at once: one of them must lose.
        session.batch("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
        let steps = self.insert(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl InsertKeyringCheck {
    async fn insert(&self, session: &Session) -> Result<Vec<KeyringCheck>, Trouble> {
        let kept = list_checks(session).await?;
        if kept != self.expected {
            return Ok(kept);
        }
        let check = &self.check;
        session.query(INSERT_CHECK, &[&check.keyring_key.0, &check.value.as_slice()]).await?;
        list_checks(session).await
    }
}

pub(super) async fn list_checks(session: &Session) -> Result<Vec<KeyringCheck>, Trouble> {
    session.query(LIST_CHECKS, &[]).await?.iter().map(keyring_check).collect()
}

/// Adds the service secret, if there is none; the one that there is.
pub(super) struct FindOrInsertSecret {
    pub(super) proposed: KeyringWrapped,
}

#[async_trait]
impl LoneWrite for FindOrInsertSecret {
    type Answer = KeyringWrapped;

    async fn run(&self, session: &Session) -> Result<Result<KeyringWrapped, Error>, Trouble> {
        let Self { proposed } = self;
        let (key, wrapped) = (&proposed.keyring_key.0, proposed.wrapped.0.as_slice());
        session.query(INSERT_SECRET, &[&SERVICE_SECRET, key, &wrapped]).await?;
        let kept = session.query(FIND_SECRET, &[&SERVICE_SECRET]).await?;
        Ok(Ok(kept.first().map_or_else(|| Ok(proposed.clone()), rows::keyring_wrapped)?))
    }
}
