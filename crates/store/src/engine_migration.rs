//! Migrating a database from one engine to the other (`vimeo-connections move`). Rows are copied as they are, without decrypting
//! anything.
//!
//! The source is marked first, and accepts no writes from then on. The target is marked with the same random identifier, filled
//! in the order of the keys, and compared. Then the mark of the source is completed, and last that of the target. A migration
//! that was interrupted resumes from what the marks say. A mark is changed only if it is still the one of this migration, so that
//! the target stays closed if the source was reopened in the meantime.
//!
//! Until the mark of the source is completed, the target has not been served. The mark in a restored or copied file has the state
//! of the time of that copy: only the mark of the target shows whether the migration has completed since.

use domain::time::Timestamp;

use crate::hex::hex;
use crate::postgres::Target;
use crate::shell::move_command;
use crate::sqlite::Source;
use crate::tables::{Checksum, Row, TABLES, Table, Value};
use crate::url::Location;
use crate::{DatabaseUrl, EngineMigrationError};

/// How many rows are copied in one transaction, and compared in one read.
const BATCH: usize = 500;
/// The tables that the service and its commands write when they open an empty database.
const WRITTEN_BY_OPENING: [&str; 2] = ["keyring_checks", "service_secrets"];

/// What to migrate, and where to.
pub struct EngineMigrationRequest<'a> {
    /// The source: SQLite.
    pub from: &'a DatabaseUrl,
    /// The target, an empty database: PostgreSQL.
    pub to: &'a DatabaseUrl,
    /// Random bytes for the identifier of a new migration.
    pub random: [u8; 16],
    /// The clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Receives the progress from time to time.
    pub progress: &'a dyn Fn(EngineMigrationProgress),
}

/// The progress of an engine migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMigrationProgress {
    /// Rows of a table that were copied, by this run or an earlier one.
    Copied {
        /// The table.
        table: &'static str,
        /// How many so far.
        rows: u64,
        /// How many the table has.
        of: u64,
    },
    /// Rows of a table that were compared.
    Compared {
        /// The table.
        table: &'static str,
        /// How many so far.
        rows: u64,
        /// How many the table has.
        of: u64,
    },
}

/// The result of an engine migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineMigrationOutcome {
    /// Everything was copied and compared.
    Done(Vec<CopiedTable>),
    /// An earlier run had completed it. Nothing was compared again, because the target may have been served since.
    WasDone,
}

/// A table that is the same in both databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over all of them, in hexadecimal digits.
    pub checksum: String,
}

/// Whether an engine migration has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMigrationState {
    /// It has not.
    Running,
    /// Everything was copied and compared.
    Done,
}

/// The mark of a database that is the source of an engine migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMark {
    pub(crate) id: String,
    /// The target, without its password.
    pub to: String,
    /// The state of the migration.
    pub state: EngineMigrationState,
}

impl SourceMark {
    /// Why the source accepts no writes.
    pub(crate) fn refusal(&self) -> String {
        match self.state {
            EngineMigrationState::Running => {
                format!("it is being moved to {} and is read-only until then", self.to)
            }
            EngineMigrationState::Done => format!("it was moved to {} and is now read-only", self.to),
        }
    }
}

/// Migrates a database, or resumes a migration that was interrupted.
pub async fn migrate_engine(
    request: EngineMigrationRequest<'_>,
) -> Result<EngineMigrationOutcome, EngineMigrationError> {
    let (Location::Sqlite(path), Location::Postgres(server)) = (&request.from.location, &request.to.location)
    else {
        return Err(EngineMigrationError::Direction);
    };
    let mut source = Source::open(path)?;
    source.refuse_other_schema()?;
    let target = Target::open((**server).clone()).await?;
    let outcome = run(&request, &mut source, &target).await;
    target.close().await;
    outcome
}

/// The mark of a source. [`EngineMigrationError::NotMigrating`].
pub fn find_source_mark(from: &DatabaseUrl) -> Result<SourceMark, EngineMigrationError> {
    open_source(from)?.find_mark()?.ok_or(EngineMigrationError::NotMigrating)
}

/// The state of a migration by the mark of its target; `None` if the database is not its target.
pub async fn find_target_state(
    to: &DatabaseUrl,
    of: &SourceMark,
) -> Result<Option<EngineMigrationState>, EngineMigrationError> {
    let Location::Postgres(server) = &to.location else { return Err(EngineMigrationError::Direction) };
    let target = Target::open((**server).clone()).await?;
    let found = target.find_mark().await;
    target.close().await;
    Ok(found?.filter(|found| found.id == of.id).map(|found| found.state))
}

/// The command that reopens a source, to be pasted into a shell.
pub fn rollback_command(from: &DatabaseUrl) -> String {
    from.file().map_or_else(String::new, |path| move_command(path, "--abandon"))
}

/// Reopens a source, if its mark is still `expected`. The contents of the target stay, and no other migration can use them.
pub fn roll_back_engine_migration(
    from: &DatabaseUrl,
    expected: &SourceMark,
) -> Result<(), EngineMigrationError> {
    open_source(from)?.unmark(expected)
}

fn open_source(from: &DatabaseUrl) -> Result<Source, EngineMigrationError> {
    Source::open(from.file().ok_or(EngineMigrationError::Direction)?)
}

async fn run(
    request: &EngineMigrationRequest<'_>,
    source: &mut Source,
    target: &Target,
) -> Result<EngineMigrationOutcome, EngineMigrationError> {
    let (id, state) = start(request, source, target).await?;
    if state == EngineMigrationState::Done {
        // A source that was restored from a copy may have an older mark.
        source.mark_done(&id, (request.now)())?;
        return Ok(EngineMigrationOutcome::WasDone);
    }
    for table in &TABLES {
        copy(table, source, target, request.progress).await?;
    }
    let mut moved = Vec::new();
    for table in &TABLES {
        moved.push(compare(table, source, target, request.progress).await?);
    }
    // In this order: see the top of the file.
    source.mark_done(&id, (request.now)())?;
    target.mark_done(&id, (request.now)()).await?;
    Ok(EngineMigrationOutcome::Done(moved))
}

/// Marks both databases, or finds them marked. Returns the identifier of the migration, and the state of the target.
async fn start(
    request: &EngineMigrationRequest<'_>,
    source: &mut Source,
    target: &Target,
) -> Result<(String, EngineMigrationState), EngineMigrationError> {
    let from = source.find_mark()?;
    match (&from, target.find_mark().await?) {
        (Some(from), Some(found)) if from.id == found.id => return Ok((found.id, found.state)),
        (_, Some(found)) => return Err(EngineMigrationError::TargetOfAnother { from: found.from }),
        (Some(from), None) if from.state == EngineMigrationState::Done => {
            return Err(EngineMigrationError::AlreadyMigrated { to: from.to.clone() });
        }
        (Some(from), None) if from.to != request.to.to_string() => {
            return Err(EngineMigrationError::OtherTarget { to: from.to.clone() });
        }
        (_, None) => {}
    }
    refuse_non_empty(target).await?;
    let now = (request.now)();
    // Before the source is marked: an error of the server must not block the writes of the source.
    target.migrate(now).await?;
    let id = if let Some(from) = from {
        from.id
    } else {
        let id = hex(request.random);
        source.mark(&id, &request.to.to_string(), now)?;
        id
    };
    target.mark(&id, &source.recorded_path(), now).await?;
    // It may have been served before it was marked.
    refuse_non_empty(target).await?;
    Ok((id, EngineMigrationState::Running))
}

async fn refuse_non_empty(target: &Target) -> Result<(), EngineMigrationError> {
    let non_empty = target.list_non_empty().await?;
    match non_empty.first() {
        None => Ok(()),
        Some(first) => Err(match non_empty.iter().find(|table| !WRITTEN_BY_OPENING.contains(table)) {
            Some(table) => EngineMigrationError::TargetFilled { table },
            None => EngineMigrationError::TargetOpened { table: first },
        }),
    }
}

/// Copies a table, starting where an earlier run stopped: batches are in the order of the keys, each in one transaction.
async fn copy(
    table: &Table,
    source: &Source,
    target: &Target,
    progress: &dyn Fn(EngineMigrationProgress),
) -> Result<(), EngineMigrationError> {
    let of = source.count(table)?;
    let mut after = target.find_last_key(table).await?;
    let mut rows = if after.is_some() { target.count(table).await? } else { 0 };
    loop {
        progress(EngineMigrationProgress::Copied { table: table.name, rows, of });
        let batch = source.list(table, after.as_deref(), BATCH)?;
        let Some(last) = batch.last() else { return Ok(()) };
        target.insert(table, &batch).await?;
        rows += batch.len() as u64;
        after = Some(table.key_of(last));
    }
}

/// Reads a table in both databases at the same time, and compares the rows.
async fn compare(
    table: &Table,
    source: &Source,
    target: &Target,
    progress: &dyn Fn(EngineMigrationProgress),
) -> Result<CopiedTable, EngineMigrationError> {
    let of = source.count(table)?;
    let (mut here, mut there) = (Checksum::default(), Checksum::default());
    let mut after: Option<Vec<Value>> = None;
    loop {
        progress(EngineMigrationProgress::Compared { table: table.name, rows: here.rows(), of });
        let ours = source.list(table, after.as_deref(), BATCH)?;
        let theirs = target.list(table, after.as_deref(), ours.len().max(1)).await?;
        for row in &ours {
            here.add(row);
        }
        for row in &theirs {
            there.add(row);
        }
        if let Some(row) = first_difference(&ours, &theirs) {
            return Err(EngineMigrationError::Differs { at: table.name_of(row) });
        }
        let Some(last) = ours.last() else { break };
        after = Some(table.key_of(last));
    }
    // Every row was read; the counts of the engines are a second check.
    let counts = [source.count(table)?, target.count(table).await?];
    let (here, there) = (here.finish(), there.finish());
    if here != there || counts != [here.0; 2] {
        return Err(EngineMigrationError::Differs { at: format!("{} as a whole", table.name) });
    }
    Ok(CopiedTable { name: table.name, rows: here.0, checksum: here.1 })
}

/// The first row that differs, or that only one database has.
fn first_difference<'a>(ours: &'a [Row], theirs: &'a [Row]) -> Option<&'a Row> {
    let differing = ours.iter().zip(theirs).find(|(our, their)| our != their).map(|(our, _)| our);
    let missing = || if ours.len() > theirs.len() { ours.get(theirs.len()) } else { theirs.get(ours.len()) };
    differing.or_else(missing)
}
