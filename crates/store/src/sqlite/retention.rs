//! Deletion by age. All instants are the caller's.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use rusqlite::{Connection, named_params};

use super::writer::WriteResult;
use super::{Sqlite, statements};
use crate::sql::statement;
use crate::{Changed, Error, Expired, Retention, SweepLease};

const SQL: &str = include_str!("sql/retention.sql");
const LEASE: &str = statement(SQL, "lease_sweep");
const RENEW: &str = statement(SQL, "renew_sweep_lease");
const WIPE_KEYS_OF_ENDED: &str = statement(SQL, "wipe_sealing_keys_of_ended_jobs");
const DELETE_SECRETS_OF_ENDED: &str = statement(SQL, "delete_secrets_of_ended_jobs");
const DELETE_ENDED: &str = statement(SQL, "delete_ended_jobs");
const WIPE_KEPT_KEYS: &str = statement(SQL, "wipe_kept_sealing_keys");
const DELETE_KEPT: &str = statement(SQL, "delete_kept_secrets");
const DELETE_DELIVERIES: &str = statement(SQL, "delete_ended_deliveries");
const DELETE_AUTHORIZATIONS: &str = statement(SQL, "delete_ended_authorizations");

#[async_trait]
impl Retention for Sqlite {
    async fn lease_sweep(&self, name: &str, lasts: Duration, now: Timestamp) -> Result<Option<u64>, Error> {
        let name = name.to_owned();
        let lease = move |database: &Connection| -> WriteResult<Option<u64>> {
            let (now, until) = (now.as_micros(), now.plus(lasts).as_micros());
            let parameters = named_params! { ":name": name, ":now": now, ":lease_until": until };
            statements::find(database, LEASE, parameters, |row| row.get("fence")).map(Ok)
        };
        self.writer.write(lease).await
    }

    async fn renew_sweep_lease(&self, name: &str, lease: &SweepLease) -> Result<Changed, Error> {
        let (name, lease) = (name.to_owned(), *lease);
        let renew = move |database: &Connection| -> WriteResult<Changed> {
            let parameters = named_params! {
                ":name": name,
                ":fence": lease.fence,
                ":now": lease.now.as_micros(),
                ":lease_until": lease.now.plus(lease.lasts).as_micros(),
            };
            let renewed = statements::execute(database, RENEW, parameters)?;
            Ok(Ok(Changed::of(renewed)))
        };
        self.writer.write(renew).await
    }

    async fn delete_ended_jobs(&self, expired: &Expired) -> Result<usize, Error> {
        self.delete([WIPE_KEYS_OF_ENDED, DELETE_SECRETS_OF_ENDED, DELETE_ENDED], *expired).await
    }

    async fn wipe_kept_requests(&self, expired: &Expired) -> Result<usize, Error> {
        self.delete([WIPE_KEPT_KEYS, DELETE_KEPT], *expired).await
    }

    async fn delete_ended_webhook_deliveries(&self, expired: &Expired) -> Result<usize, Error> {
        self.delete([DELETE_DELIVERIES], *expired).await
    }

    async fn delete_ended_authorizations(&self, expired: &Expired) -> Result<usize, Error> {
        self.delete([DELETE_AUTHORIZATIONS], *expired).await
    }
}

impl Sqlite {
    /// Runs statements that choose the same rows in one transaction. Returns how many rows the last one deleted.
    pub(super) async fn delete<const N: usize>(
        &self,
        sql: [&'static str; N],
        expired: Expired,
    ) -> Result<usize, Error> {
        let delete = move |database: &Connection| -> WriteResult<usize> {
            let parameters = named_params! { ":until": expired.until().as_micros(), ":limit": expired.limit };
            let mut deleted = 0;
            for statement in sql {
                deleted = statements::execute(database, statement, parameters)?;
            }
            Ok(Ok(deleted))
        };
        self.writer.write(delete).await
    }
}
