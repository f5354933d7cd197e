//! The state of the engine.

use async_trait::async_trait;

use super::Postgres;
use super::sessions::Session;
use super::trouble::Trouble;
use super::writes::LoneWrite;
use crate::{Error, Maintenance};

#[async_trait]
impl Maintenance for Postgres {
    async fn probe_write(&self) -> Result<(), Error> {
        self.writer.write(ProbeWrite).await
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    async fn failed(&self) -> String {
        // Whatever becomes of the server, a later connection finds what was committed.
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

const PROBE_WRITE: &str = "INSERT INTO write_probes (probe_id, writes) VALUES (1, 1)
    ON CONFLICT (probe_id) DO UPDATE SET writes = write_probes.writes + 1";

/// The probe of `/health/ready`. Doing it twice does no harm.
struct ProbeWrite;

#[async_trait]
impl LoneWrite for ProbeWrite {
    type Answer = ();

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        session.query(PROBE_WRITE, &[]).await?;
        Ok(Ok(()))
    }
}
