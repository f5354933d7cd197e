//! Migrating a database to the other engine. No key is needed: sealed values are copied as they are.

use seal::Randomness;
use store::{
    DatabaseUrl, EngineMigrationError, EngineMigrationOutcome, EngineMigrationProgress,
    EngineMigrationRequest,
};

use crate::Clock;

/// Migrates a database, or resumes an interrupted migration.
pub async fn migrate_engine(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    clock: &Clock,
    randomness: &Randomness,
    progress: &dyn Fn(EngineMigrationProgress),
) -> Result<EngineMigrationOutcome, EngineMigrationError> {
    let (random, now) = (randomness.bytes(), || clock.now());
    store::migrate_engine(EngineMigrationRequest { from, to, random, now: &now, progress }).await
}
