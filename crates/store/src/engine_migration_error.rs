//! The errors of a migration to the other engine.

use std::path::PathBuf;

use thiserror::Error;

use crate::error::in_full;
use crate::{BoxError, OpenError};

/// Why an engine migration did not complete. The messages are for the operator.
#[derive(Debug, Error)]
pub enum EngineMigrationError {
    /// Not from SQLite to PostgreSQL.
    #[error(
        "a database is moved from SQLite to PostgreSQL: --from must begin with `sqlite:` and --to with `postgres://`"
    )]
    Direction,
    /// There is no source.
    #[error("there is no database at {}; nothing was changed", .0.display())]
    NoSource(PathBuf),
    /// Another process migrates the source.
    #[error("another `vimeo-connections move` is running on this source; nothing was changed")]
    Busy,
    /// One of the databases has a newer schema than this version.
    #[error(
        "a database has schema {schema} and this version supports {APPLICATION_SCHEMA}: move it with the newer version \
         that upgraded it. Nothing was changed",
        APPLICATION_SCHEMA = crate::APPLICATION_SCHEMA
    )]
    NewerSchema {
        /// The schema.
        schema: u32,
    },
    /// The source is being migrated to another target.
    #[error(
        "the source is already being moved to {to}: resume that move, or roll it back first with `--abandon`. Nothing \
         was changed"
    )]
    OtherTarget {
        /// The other target, without its password.
        to: String,
    },
    /// The source was migrated, to a target that is not this one.
    #[error(
        "the source was already moved to {to}, and this target does not have it. Only if that database is \
         lost: roll the move back with `--abandon`, recreate an empty target database, and move again. Nothing was changed"
    )]
    AlreadyMigrated {
        /// That target, without its password.
        to: String,
    },
    /// The target has rows.
    #[error(
        "the target is not empty: there are rows in its table {table}. Move into a new database; nothing was changed"
    )]
    TargetFilled {
        /// A table with rows.
        table: &'static str,
    },
    /// The target has only the rows that opening it writes.
    #[error(
        "the target is not empty: the service or one of its commands was run on it, which left a row in its table \
         {table}. Recreate the database, empty, and run nothing on it before the move; nothing was changed"
    )]
    TargetOpened {
        /// A table with rows.
        table: &'static str,
    },
    /// The target belongs to another migration.
    #[error(
        "the target belongs to another move, from {from}: resume that move, or move into a new database. Nothing \
         was changed"
    )]
    TargetOfAnother {
        /// The source of that migration.
        from: String,
    },
    /// A row that the other engine rejects.
    #[error(
        "row cannot be copied, {row}: {why}. Roll the move back with `--abandon`, fix the row in the source, \
         recreate an empty target database, and move again. Until the move is rolled back, the source is \
         read-only"
    )]
    CannotBeCopied {
        /// Its table and key.
        row: String,
        /// The reason.
        why: String,
    },
    /// The copy differs from the source.
    #[error(
        "the copy differs from the source at {at}: another program wrote to the target, or it is damaged. It \
         cannot be served. Roll the move back with `--abandon`, recreate an empty target database, and move \
         again. Until the move is rolled back, the source is read-only"
    )]
    Differs {
        /// The table and key of the row, or the table alone.
        at: String,
    },
    /// The database is not the source of an engine migration.
    #[error("the database is not the source of a move: there is nothing to roll back")]
    NotMigrating,
    /// A mark was removed while the migration ran.
    #[error(
        "{side} no longer has the mark of this move: the move was rolled back in the meantime, or a database \
         was replaced. The move did not finish, and its copy cannot be served. Roll the move back with \
         `--abandon` if the source is marked, recreate an empty target database, and move again"
    )]
    MarkLost {
        /// The database that lost it.
        side: &'static str,
    },
    /// The lock file cannot be opened.
    #[error(
        "the lock file {} cannot be opened: {source}. Run this as its owner, or delete it if no `vimeo-connections \
         move` runs. Nothing was changed",
        path.display()
    )]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The mark changed since it was read.
    #[error("the move continued in the meantime; nothing was changed. Run it again")]
    Continued,
    /// One of the databases cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source failed during the migration.
    #[error("the source cannot be used: {}. Rerun the same command to resume", in_full(&**.0))]
    Source(BoxError),
    /// The target failed during the migration.
    #[error("the target cannot be used: {}. Rerun the same command to resume", in_full(&**.0))]
    Target(BoxError),
}
