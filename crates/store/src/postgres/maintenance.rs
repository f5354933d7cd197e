//! The state of the engine.

use async_trait::async_trait;

use super::Postgres;
use super::pg_error::PgError;
use super::sessions::Session;
use super::writes::SingleWrite;
use crate::sql::statement;
use crate::{Error, Maintenance};

const PROBE_WRITE: &str = statement(include_str!("sql/maintenance.sql"), "probe_write");

#[async_trait]
impl Maintenance for Postgres {
    async fn probe_write(&self) -> Result<(), Error> {
        self.writer.write(ProbeWrite).await
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn queued_writes(&self) -> usize {
        self.writer.queued()
    }

    async fn failed(&self) -> String {
        // Whatever happens to the server, a later session finds what was committed.
        std::future::pending().await
    }

    async fn close(&self) {
        self.inserts.close();
        self.updates.close();
        self.deletions.close();
        self.reservations.close();
        self.releases.close();
        self.renewals.close();
        self.events.close();
        self.writer.close().await;
        self.connector.close().await;
    }
}

/// The probe of `/health/ready`. Repeating it is harmless.
struct ProbeWrite;

#[async_trait]
impl SingleWrite for ProbeWrite {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        session.query_named(PROBE_WRITE, &[]).await?;
        Ok(Ok(()))
    }
}
