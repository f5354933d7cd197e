//! Moving a database to the other engine. No key is needed: what is sealed stays sealed.

use seal::Randomness;
use store::{
    DatabaseUrl, EngineMigrationError as MoveError, EngineMigrationOutcome as MoveOutcome,
    EngineMigrationProgress as MoveProgress, EngineMigrationRequest, EngineMigrationState as MoveState,
    SourceMark as SourceMove,
};

use crate::Clock;

/// Moves a database, or goes on with a move that was cut off.
pub async fn move_database(
    from: &DatabaseUrl,
    to: &DatabaseUrl,
    clock: &Clock,
    randomness: &Randomness,
    progress: &dyn Fn(MoveProgress),
) -> Result<MoveOutcome, MoveError> {
    let (random, now) = (randomness.bytes(), || clock.now());
    store::migrate_engine(EngineMigrationRequest { from, to, random, now: &now, progress }).await
}

/// The move that a database is the source of. [`MoveError::NotMigrating`].
pub fn find_move(from: &DatabaseUrl) -> Result<SourceMove, MoveError> {
    store::find_source_mark(from)
}

/// How far a move has come by what its target says; `None` if that is not this move's target.
pub async fn find_copy(to: &DatabaseUrl, of: &SourceMove) -> Result<Option<MoveState>, MoveError> {
    store::find_target_state(to, of).await
}

/// The command that gives a source back, to be pasted.
pub fn abandon_command(from: &DatabaseUrl) -> String {
    store::rollback_command(from)
}

/// Gives the source of a move back, if the move is still as it was found.
pub fn abandon_move(from: &DatabaseUrl, expected: &SourceMove) -> Result<(), MoveError> {
    store::roll_back_engine_migration(from, expected)
}
