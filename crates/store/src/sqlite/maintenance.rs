//! The state of the engine.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use super::writer::Step;
use super::{Sqlite, moves, places};
use crate::moves::MoveState;
use crate::{Error, Maintenance};

/// How often a store that is open looks whether its file was moved.
const MOVED_PERIOD: Duration = Duration::from_secs(1);

#[async_trait]
impl Maintenance for Sqlite {
    async fn probe_write(&self) -> Result<(), Error> {
        self.writer.write(probe_write).await
    }

    fn free_bytes(&self) -> Option<u64> {
        places::free_bytes(self.readers.path())
    }

    async fn failed(&self) -> String {
        tokio::select! {
            cause = self.writer.failed() => cause,
            cause = self.moved() => cause,
        }
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

impl Sqlite {
    /// Resolves when the file was moved to another database. The writer keeps writes out by itself; but readers would go
    /// on with what is no longer so, keys among it that were revoked in the other one.
    async fn moved(&self) -> String {
        loop {
            tokio::time::sleep(MOVED_PERIOD).await;
            // One that cannot be read now is looked at again.
            if let Ok(Some(source)) = self.readers.read(moves::find_source)
                && source.state == MoveState::Done
            {
                return format!(
                    "the database was moved to {}; serve that one, and this file no more",
                    source.to
                );
            }
        }
    }
}

/// A changed row: SQLite writes no page for one that stays the same.
fn probe_write(connection: &Connection) -> Step<()> {
    connection
        .prepare_cached(
            "INSERT INTO write_probes (probe_id, writes) VALUES (1, 1)
             ON CONFLICT (probe_id) DO UPDATE SET writes = writes + 1",
        )?
        .execute([])?;
    Ok(Ok(()))
}
