//! The state of the engine.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use super::writer::WriteResult;
use super::{Sqlite, database_file, engine_migration, statements};
use crate::engine_migration::EngineMigrationState;
use crate::sql::statement;
use crate::{Error, Maintenance};

const PROBE_WRITE: &str = statement(include_str!("sql/maintenance.sql"), "probe_write");

/// How often an open store checks whether its file was migrated to another engine.
const MIGRATED_CHECK_PERIOD: Duration = Duration::from_secs(1);

#[async_trait]
impl Maintenance for Sqlite {
    async fn probe_write(&self) -> Result<(), Error> {
        let probe = |database: &Connection| -> WriteResult<()> {
            statements::execute(database, PROBE_WRITE, &[]).map(|_| Ok(()))
        };
        self.writer.write(probe).await
    }

    fn free_bytes(&self) -> Option<u64> {
        database_file::free_bytes(self.readers.path())
    }

    fn queued_writes(&self) -> usize {
        self.writer.queued()
    }

    async fn failed(&self) -> String {
        tokio::select! {
            cause = self.writer.failed() => cause,
            cause = self.migrated() => cause,
        }
    }

    async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

impl Sqlite {
    /// Resolves when the file was migrated to another engine. The writer itself refuses writes from then on, but readers
    /// would still return old rows, such as API keys that were revoked in the new database.
    async fn migrated(&self) -> String {
        loop {
            tokio::time::sleep(MIGRATED_CHECK_PERIOD).await;
            // A failed read is repeated.
            if let Ok(Some(source)) = self.readers.read(engine_migration::find_source_mark)
                && source.state == EngineMigrationState::Done
            {
                return format!(
                    "the database was moved to {}; serve that one, and this file no more",
                    source.to
                );
            }
        }
    }
}
