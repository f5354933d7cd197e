//! The migrations, each a pair: numbered, and each with the lowest application schema that may still use its result.

use crate::{APPLICATION_SCHEMA, OpenError};

/// One step of the schema, for both engines.
pub(crate) struct Migration {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    /// Applications of a lower schema must not use the database after it.
    pub(crate) lowest_application_schema: u32,
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

macro_rules! migration {
    ($number:literal, $name:literal, $lowest:literal, $file:literal) => {
        Migration {
            number: $number,
            name: $name,
            lowest_application_schema: $lowest,
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }
    };
}

pub(crate) const MIGRATIONS: [Migration; 20] = [
    migration!(1, "house", 1, "0001_house.sql"),
    migration!(2, "idempotency", 1, "0002_idempotency.sql"),
    migration!(3, "nodes", 1, "0003_nodes.sql"),
    migration!(4, "moves", 1, "0004_moves.sql"),
    migration!(5, "jobs", 1, "0005_jobs.sql"),
    migration!(6, "refusals", 1, "0006_refusals.sql"),
    migration!(7, "source_marks", 1, "0007_source_marks.sql"),
    migration!(8, "write_probes", 1, "0008_write_probes.sql"),
    migration!(9, "job_states", 9, "0009_job_states.sql"),
    migration!(10, "scopes", 9, "0010_scopes.sql"),
    migration!(11, "retention", 9, "0011_retention.sql"),
    migration!(12, "account_limits", 9, "0012_account_limits.sql"),
    migration!(13, "audit_chains", 9, "0013_audit_chains.sql"),
    migration!(14, "webhooks", 9, "0014_webhooks.sql"),
    migration!(15, "connection_health", 9, "0015_connection_health.sql"),
    migration!(16, "authorizations", 9, "0016_authorizations.sql"),
    migration!(17, "dashboard_sessions", 9, "0017_dashboard_sessions.sql"),
    migration!(18, "publications", 9, "0018_publications.sql"),
    migration!(19, "account_keys", 9, "0019_account_keys.sql"),
    migration!(20, "service_secrets", 9, "0020_service_secrets.sql"),
];

/// The first schema in which API keys have scopes.
pub(crate) const SCOPES: u32 = 10;

/// The first schema with several service secrets.
pub(crate) const SERVICE_SECRETS: u32 = 20;

/// The first schema whose applications read the mark of an engine migration. In a marked database, the migration of this number has
/// it as its lowest application schema, whatever its file states.
pub(crate) const ENGINE_MIGRATION: u32 = 4;

const _: () = assert!(MIGRATIONS.len() == APPLICATION_SCHEMA as usize);

/// What the file of the migration [`ENGINE_MIGRATION`] states, for a database without a mark.
pub(crate) fn lowest_without_engine_migration() -> u32 {
    let migration = MIGRATIONS.iter().find(|migration| migration.number == ENGINE_MIGRATION);
    migration.map_or(ENGINE_MIGRATION, |migration| migration.lowest_application_schema)
}

/// The schema of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) schema: u32,
    pub(crate) lowest_application_schema: u32,
}

impl State {
    /// From the applied migrations in their order: number, name, lowest application schema.
    pub(crate) fn read(applied: Vec<(u32, String, u32)>) -> Result<Self, OpenError> {
        let mut state = Self { schema: 0, lowest_application_schema: 0 };
        for (number, name, lowest) in applied {
            state.schema = number;
            state.lowest_application_schema = state.lowest_application_schema.max(lowest);
            let ours = MIGRATIONS.iter().find(|migration| migration.number == number);
            if let Some(ours) = ours.filter(|ours| ours.name != name) {
                let expected = ours.name.to_owned();
                return Err(OpenError::MigrationMismatch { number, found: name, expected });
            }
        }
        Ok(state)
    }

    /// Fails if this version must not use the database.
    pub(crate) fn refuse_if_too_new(self) -> Result<(), OpenError> {
        if self.lowest_application_schema > APPLICATION_SCHEMA {
            return Err(OpenError::TooNew { schema: self.schema, lowest: self.lowest_application_schema });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_has_the_lowest_schema_that_its_files_state() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, index + 1);
            let head = format!("-- lowest application schema: {}\n", migration.lowest_application_schema);
            for sql in [migration.sqlite, migration.postgres] {
                assert!(sql.starts_with(&head), "{}", migration.name);
            }
        }
    }

    #[test]
    fn the_files_are_paired_and_none_is_left_out() {
        let expected: Vec<String> = MIGRATIONS
            .iter()
            .map(|migration| format!("{:04}_{}.sql", migration.number, migration.name))
            .collect();
        for engine in ["sqlite", "postgres"] {
            let directory = format!("{}/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(directory).unwrap();
            let mut files: Vec<_> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            assert_eq!(files, expected, "{engine}");
        }
    }
}
