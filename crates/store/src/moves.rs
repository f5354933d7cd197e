//! The course of a move, from one engine to the other. What is sealed stays sealed: rows are copied as they are.
//!
//! The source is marked first, and from then on takes no writes. The target is marked with the same random identifier,
//! filled in the order of keys, and compared. Then the source is marked as moved, and last the target as complete. Cut off
//! anywhere, it is taken up again from what the marks say. Each mark is changed only if it is still that of this move, so
//! that a source which was given back meanwhile keeps the target closed.
//!
//! Nobody has served the target as long as the source is not marked as moved. Of a file that was restored or copied, its
//! mark says what was so then: only the target's own mark says whether the move has ended since.

use std::path::PathBuf;

use domain::time::Timestamp;
use thiserror::Error;

use crate::error::in_full;
use crate::hex::hex;
use crate::postgres::Target;
use crate::shell::move_command;
use crate::sqlite::Source;
use crate::tables::{Checksum, Row, TABLES, Table, Value};
use crate::url::Place;
use crate::{BoxError, DatabaseUrl, OpenError};

/// How many rows are copied in one transaction, and compared in one read.
const BATCH: usize = 500;
/// What the service and its commands write into an empty database when they open it.
const WRITTEN_BY_OPENING: [&str; 2] = ["keyring_checks", "service_secrets"];

/// What is moved, and where.
pub struct MoveRequest<'a> {
    /// The database that there is: SQLite.
    pub from: &'a DatabaseUrl,
    /// An empty one: PostgreSQL.
    pub to: &'a DatabaseUrl,
    /// Random bytes, for the identifier of a move that begins.
    pub random: [u8; 16],
    /// The time.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Is told now and then how far it has come.
    pub progress: &'a dyn Fn(MoveProgress),
}

/// How far a move has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveProgress {
    /// So many rows of a table are copied, by this run or an earlier one.
    Copied {
        /// The table.
        table: &'static str,
        /// Of it.
        rows: u64,
        /// Of so many.
        of: u64,
    },
    /// So many rows of a table are compared.
    Compared {
        /// The table.
        table: &'static str,
        /// Of it.
        rows: u64,
        /// Of so many.
        of: u64,
    },
}

/// What a move came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveOutcome {
    /// Everything is there.
    Done(Vec<MovedTable>),
    /// An earlier run had finished it; nothing was looked at again, because the target may have been served since.
    WasDone,
}

/// A table that is the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over all of them, in hexadecimal digits.
    pub checksum: String,
}

/// Whether a move has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveState {
    /// It has not.
    Running,
    /// Everything was copied and compared.
    Done,
}

/// The move that a database is the source of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMove {
    pub(crate) id: String,
    /// Where it goes, without a password.
    pub to: String,
    /// How far it is.
    pub state: MoveState,
}

impl SourceMove {
    /// Why the source takes no writes.
    pub(crate) fn refusal(&self) -> String {
        match self.state {
            MoveState::Running => format!("it is being moved to {} and is read-only until then", self.to),
            MoveState::Done => format!("it was moved to {} and is now read-only", self.to),
        }
    }
}

/// Why a move did not come to its end. The sentences are for the operator.
#[derive(Debug, Error)]
pub enum MoveError {
    /// Only one direction is known.
    #[error(
        "a database is moved from SQLite to PostgreSQL: --from must begin with `sqlite:` and --to with `postgres://`"
    )]
    Direction,
    /// There is nothing to be moved.
    #[error("there is no database at {}; nothing was changed", .0.display())]
    NoSource(PathBuf),
    /// Another process has it.
    #[error("another `vimeo-connections move` is running on this source; nothing was changed")]
    Busy,
    /// One of them has a schema that is not known here.
    #[error(
        "a database has schema {schema} and this version supports {APPLICATION_SCHEMA}: move it with the newer version \
         that upgraded it. Nothing was changed",
        APPLICATION_SCHEMA = crate::APPLICATION_SCHEMA
    )]
    NewerSchema {
        /// The schema.
        schema: u32,
    },
    /// The source has another target.
    #[error(
        "the source is already being moved to {to}: resume that move, or roll it back first with `--abandon`. Nothing \
         was changed"
    )]
    OtherTarget {
        /// Which, without a password.
        to: String,
    },
    /// The source was moved, and the target is not the one.
    #[error(
        "the source was already moved to {to}, and this target does not have it. Only if that database is \
         lost: roll the move back with `--abandon`, recreate an empty target database, and move again. Nothing was changed"
    )]
    Moved {
        /// Where, without a password.
        to: String,
    },
    /// There is something in the target.
    #[error(
        "the target is not empty: there are rows in its table {table}. Move into a new database; nothing was changed"
    )]
    TargetFilled {
        /// In which table.
        table: &'static str,
    },
    /// There is nothing in the target but what opening it writes.
    #[error(
        "the target is not empty: the service or one of its commands was run on it, which left a row in its table \
         {table}. Recreate the database, empty, and run nothing on it before the move; nothing was changed"
    )]
    TargetOpened {
        /// In which table.
        table: &'static str,
    },
    /// The target belongs to another move.
    #[error(
        "the target belongs to another move, from {from}: resume that move, or move into a new database. Nothing \
         was changed"
    )]
    TargetOfAnother {
        /// From where.
        from: String,
    },
    /// A row that the other engine does not take.
    #[error(
        "row cannot be copied, {row}: {why}. Roll the move back with `--abandon`, fix the row in the source, \
         recreate an empty target database, and move again. Until the move is rolled back, the source is \
         read-only"
    )]
    CannotTravel {
        /// Table and key.
        row: String,
        /// Why not.
        why: String,
    },
    /// The copy is not the same.
    #[error(
        "the copy differs from the source at {at}: another program wrote to the target, or it is damaged. It \
         cannot be served. Roll the move back with `--abandon`, recreate an empty target database, and move \
         again. Until the move is rolled back, the source is read-only"
    )]
    Differs {
        /// Table and key, or the table alone.
        at: String,
    },
    /// It is not being moved.
    #[error("the database is not the source of a move: there is nothing to roll back")]
    NotMoving,
    /// Somebody took the mark away while the move ran.
    #[error(
        "{side} no longer has the mark of this move: the move was rolled back in the meantime, or a database \
         was replaced. The move did not finish, and its copy cannot be served. Roll the move back with \
         `--abandon` if the source is marked, recreate an empty target database, and move again"
    )]
    MarkLost {
        /// Which one.
        side: &'static str,
    },
    /// The file that is locked cannot be.
    #[error(
        "the lock file {} cannot be opened: {source}. Run this as its owner, or delete it if no `vimeo-connections \
         move` runs. Nothing was changed",
        path.display()
    )]
    Lock {
        /// The lock's name.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It changed since it was looked at.
    #[error("the move continued in the meantime; nothing was changed. Run it again")]
    WentOn,
    /// One of them cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The source failed in the middle.
    #[error("the source cannot be used: {}. Rerun the same command to resume", in_full(&**.0))]
    Source(BoxError),
    /// The target failed in the middle.
    #[error("the target cannot be used: {}. Rerun the same command to resume", in_full(&**.0))]
    Target(BoxError),
}

/// Moves a database, or goes on with a move that was cut off.
pub async fn move_database(request: MoveRequest<'_>) -> Result<MoveOutcome, MoveError> {
    let (Place::Sqlite(path), Place::Postgres(server)) = (&request.from.place, &request.to.place) else {
        return Err(MoveError::Direction);
    };
    let mut source = Source::open(path)?;
    source.refuse_other_schema()?;
    let target = Target::open((**server).clone()).await?;
    let outcome = run(&request, &mut source, &target).await;
    target.close().await;
    outcome
}

/// The move that a database is the source of. [`MoveError::NotMoving`].
pub fn find_move(from: &DatabaseUrl) -> Result<SourceMove, MoveError> {
    open_source(from)?.find_move()?.ok_or(MoveError::NotMoving)
}

/// How far a move has come by what its target says; `None` if that is not this move's target.
pub async fn find_copy(to: &DatabaseUrl, of: &SourceMove) -> Result<Option<MoveState>, MoveError> {
    let Place::Postgres(server) = &to.place else { return Err(MoveError::Direction) };
    let target = Target::open((**server).clone()).await?;
    let found = target.find_move().await;
    target.close().await;
    Ok(found?.filter(|found| found.id == of.id).map(|found| found.state))
}

/// The command that gives a source back, to be pasted.
pub fn abandon_command(from: &DatabaseUrl) -> String {
    from.file().map_or_else(String::new, |path| move_command(path, "--abandon"))
}

/// Gives a source back, if the move has come as far as `expected` and no further. Whatever is in the target stays there,
/// and is of no use to any other move.
pub fn abandon_move(from: &DatabaseUrl, expected: &SourceMove) -> Result<(), MoveError> {
    open_source(from)?.unmark(expected)
}

fn open_source(from: &DatabaseUrl) -> Result<Source, MoveError> {
    Source::open(from.file().ok_or(MoveError::Direction)?)
}

async fn run(
    request: &MoveRequest<'_>,
    source: &mut Source,
    target: &Target,
) -> Result<MoveOutcome, MoveError> {
    let (id, state) = begin(request, source, target).await?;
    if state == MoveState::Done {
        // A source that was put back from a copy may be behind.
        source.mark_done(&id, (request.now)())?;
        return Ok(MoveOutcome::WasDone);
    }
    for table in &TABLES {
        copy(table, source, target, request.progress).await?;
    }
    let mut moved = Vec::new();
    for table in &TABLES {
        moved.push(compare(table, source, target, request.progress).await?);
    }
    // In this order: see above.
    source.mark_done(&id, (request.now)())?;
    target.mark_done(&id, (request.now)()).await?;
    Ok(MoveOutcome::Done(moved))
}

/// Marks both sides, or finds them marked; the move, and how far the target is.
async fn begin(
    request: &MoveRequest<'_>,
    source: &mut Source,
    target: &Target,
) -> Result<(String, MoveState), MoveError> {
    let from = source.find_move()?;
    match (&from, target.find_move().await?) {
        (Some(from), Some(found)) if from.id == found.id => return Ok((found.id, found.state)),
        (_, Some(found)) => return Err(MoveError::TargetOfAnother { from: found.from }),
        (Some(from), None) if from.state == MoveState::Done => {
            return Err(MoveError::Moved { to: from.to.clone() });
        }
        (Some(from), None) if from.to != request.to.to_string() => {
            return Err(MoveError::OtherTarget { to: from.to.clone() });
        }
        (_, None) => {}
    }
    refuse_filled(target).await?;
    let now = (request.now)();
    // Before the source is marked: what the server refuses should cost nobody a write.
    target.migrate(now).await?;
    let id = if let Some(from) = from {
        from.id
    } else {
        let id = hex(request.random);
        source.mark(&id, &request.to.to_string(), now)?;
        id
    };
    target.mark(&id, &source.shown(), now).await?;
    // Somebody may have begun to serve it before it was marked.
    refuse_filled(target).await?;
    Ok((id, MoveState::Running))
}

async fn refuse_filled(target: &Target) -> Result<(), MoveError> {
    let filled = target.list_filled().await?;
    match filled.first() {
        None => Ok(()),
        Some(first) => Err(match filled.iter().find(|table| !WRITTEN_BY_OPENING.contains(table)) {
            Some(table) => MoveError::TargetFilled { table },
            None => MoveError::TargetOpened { table: first },
        }),
    }
}

/// Copies a table, from where an earlier run came to: its batches are in the order of the keys, each all there or not.
async fn copy(
    table: &Table,
    source: &Source,
    target: &Target,
    progress: &dyn Fn(MoveProgress),
) -> Result<(), MoveError> {
    let of = source.count(table)?;
    let mut after = target.find_last_key(table).await?;
    let mut rows = if after.is_some() { target.count(table).await? } else { 0 };
    loop {
        progress(MoveProgress::Copied { table: table.name, rows, of });
        let batch = source.list(table, after.as_deref(), BATCH)?;
        let Some(last) = batch.last() else { return Ok(()) };
        target.insert(table, &batch).await?;
        rows += batch.len() as u64;
        after = Some(table.key_of(last));
    }
}

/// Reads a table on both sides, side by side, and compares them.
async fn compare(
    table: &Table,
    source: &Source,
    target: &Target,
    progress: &dyn Fn(MoveProgress),
) -> Result<MovedTable, MoveError> {
    let of = source.count(table)?;
    let (mut here, mut there) = (Checksum::default(), Checksum::default());
    let mut after: Option<Vec<Value>> = None;
    loop {
        progress(MoveProgress::Compared { table: table.name, rows: here.rows(), of });
        let ours = source.list(table, after.as_deref(), BATCH)?;
        let theirs = target.list(table, after.as_deref(), ours.len().max(1)).await?;
        for row in &ours {
            here.add(row);
        }
        for row in &theirs {
            there.add(row);
        }
        if let Some(row) = first_difference(&ours, &theirs) {
            return Err(MoveError::Differs { at: table.name_of(row) });
        }
        let Some(last) = ours.last() else { break };
        after = Some(table.key_of(last));
    }
    // The walk has seen every row; the counts of the engines are asked beside it.
    let counts = [source.count(table)?, target.count(table).await?];
    let (here, there) = (here.finish(), there.finish());
    if here != there || counts != [here.0; 2] {
        return Err(MoveError::Differs { at: format!("{} as a whole", table.name) });
    }
    Ok(MovedTable { name: table.name, rows: here.0, checksum: here.1 })
}

/// The first row that is not the same, or is on one side alone.
fn first_difference<'a>(ours: &'a [Row], theirs: &'a [Row]) -> Option<&'a Row> {
    let differing = ours.iter().zip(theirs).find(|(our, their)| our != their).map(|(our, _)| our);
    let missing = || if ours.len() > theirs.len() { ours.get(theirs.len()) } else { theirs.get(ours.len()) };
    differing.or_else(missing)
}
