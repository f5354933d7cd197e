//! A file that is moved to another database: its mark, which every writer of the file reads, and its rows.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::time::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, named_params, params_from_iter};

use super::{connect, schema, statements};
use crate::migrations::{MOVES, lowest_without_a_move};
use crate::moves::{MoveError, MoveState, SourceMove};
use crate::sql::statement;
use crate::tables::{Column, Kind, Row, Table, Value};
use crate::{APPLICATION_SCHEMA, OpenError};

/// A page of rows ends when it has so many bytes, and one row at least.
const PAGE_BYTES: usize = 1 << 20;

/// How often a lock that others give up at the same moment is tried for.
const LOCK_TRIES: usize = 100;

const SQL: &str = include_str!("sql/engine_migration.sql");
const FIND_MARK: &str = statement(SQL, "find_source_mark");
const INSERT_MARK: &str = statement(SQL, "insert_source_mark");
const COMPLETE_MARK: &str = statement(SQL, "complete_source_mark");
const DELETE_MARK: &str = statement(SQL, "delete_source_mark");

/// The move that a file is the source of.
pub(super) fn find_source(connection: &Connection) -> rusqlite::Result<Option<SourceMove>> {
    statements::find(connection, FIND_MARK, &[], |row| {
        let is_done = row.get::<_, String>("state")? == "done";
        let state = if is_done { MoveState::Done } else { MoveState::Running };
        Ok(SourceMove { id: row.get("move_id")?, to: row.get("other_side")?, state })
    })
}

/// The same for a file that may be older than moves are.
fn find_source_of_any(connection: &Connection) -> rusqlite::Result<Option<SourceMove>> {
    if !schema::table_exists(connection, "moves")? {
        return Ok(None);
    }
    find_source(connection)
}

/// Refuses a file that is being moved, or was.
pub(super) fn refuse_source(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if schema::read_state(connection, path)?.is_none() {
        return Ok(());
    }
    match find_source_of_any(connection).map_err(super::engine)? {
        None => Ok(()),
        Some(SourceMove { to, state: MoveState::Running, .. }) => {
            Err(OpenError::Moving { path: path.to_owned(), to })
        }
        Some(SourceMove { to, state: MoveState::Done, .. }) => {
            Err(OpenError::Moved { path: path.to_owned(), to })
        }
    }
}

/// A file to be moved. One process at a time has it.
pub(crate) struct Source {
    connection: Connection,
    path: PathBuf,
    _lock: Lock,
}

/// A file beside it that is locked meanwhile.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked. One that cannot be removed, or that a killed process left, is taken again by the next.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Source {
    /// Opens a file that is there, and changes nothing in it.
    pub(crate) fn open(path: &Path) -> Result<Self, MoveError> {
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(MoveError::NoSource(path.to_owned()));
            }
            Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }.into()),
        };
        let lock = lock(&path)?;
        let connection = connect(&path).map_err(failed)?;
        // The mark must outlast a loss of power: what is written on the other side relies on it.
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let Some(state) = schema::read_state(&connection, &path)? else {
            return Err(MoveError::NoSource(path));
        };
        state.refuse_if_too_new()?;
        if state.schema < MOVES {
            return Err(OpenError::MigrationsPending { schema: state.schema }.into());
        }
        Ok(Self { connection, path, _lock: lock })
    }

    /// Where it is, as the other side keeps it.
    pub(crate) fn shown(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Refuses a file of another schema than this version's, which may have columns that are not known here.
    pub(crate) fn refuse_other_schema(&self) -> Result<(), MoveError> {
        match schema::read_state(&self.connection, &self.path)? {
            Some(state) if state.schema > APPLICATION_SCHEMA => {
                Err(MoveError::NewerSchema { schema: state.schema })
            }
            Some(state) if state.schema < APPLICATION_SCHEMA => {
                Err(OpenError::MigrationsPending { schema: state.schema }.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn find_move(&self) -> Result<Option<SourceMove>, MoveError> {
        find_source(&self.connection).map_err(failed)
    }

    /// Marks it: from here on nobody writes it.
    pub(crate) fn mark(&mut self, id: &str, to: &str, now: Timestamp) -> Result<(), MoveError> {
        self.transact(|transaction| {
            let parameters =
                named_params! { ":move_id": id, ":other_side": to, ":started_at": now.as_micros() };
            statements::execute(transaction, INSERT_MARK, parameters)?;
            schema::set_lowest_application_schema(transaction, MOVES, MOVES)
        })
    }

    /// Marks it as moved, if it still has the mark of this move. [`MoveError::MarkLost`].
    pub(crate) fn mark_done(&mut self, id: &str, now: Timestamp) -> Result<(), MoveError> {
        let marked = self.transact(|transaction| {
            let parameters = named_params! { ":move_id": id, ":ended_at": now.as_micros() };
            statements::execute(transaction, COMPLETE_MARK, parameters)
        })?;
        if marked == 1 { Ok(()) } else { Err(MoveError::MarkLost { side: "the source" }) }
    }

    /// Takes the mark away, if it is still as expected. [`MoveError::WentOn`].
    pub(crate) fn unmark(&mut self, expected: &SourceMove) -> Result<(), MoveError> {
        let is_unmarked = self.transact(|transaction| {
            if find_source(transaction)?.as_ref() != Some(expected) {
                return Ok(false);
            }
            statements::execute(transaction, DELETE_MARK, &[])?;
            schema::set_lowest_application_schema(transaction, MOVES, lowest_without_a_move())?;
            Ok(true)
        })?;
        if is_unmarked { Ok(()) } else { Err(MoveError::WentOn) }
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, MoveError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let answer = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(answer)
    }

    pub(crate) fn count(&self, table: &Table) -> Result<u64, MoveError> {
        let query = format!("SELECT count(*) FROM {}", table.name);
        self.connection.query_row(&query, [], |row| row.get(0)).map_err(failed)
    }

    /// The rows after a key, in the order of their keys, at most so many.
    pub(crate) fn list(
        &self,
        table: &Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, MoveError> {
        let (columns, from, order) = (table.column_list(), from(table), table.key_list(""));
        let after = after.unwrap_or_default();
        let beyond = match after {
            [] => String::new(),
            key => format!("WHERE ({order}) > ({})", vec!["?"; key.len()].join(", ")),
        };
        let query = format!("SELECT {columns} FROM {from} {beyond} ORDER BY {order} LIMIT {limit}");
        let mut statement = self.connection.prepare_cached(&query).map_err(failed)?;
        let mut found = statement.query(params_from_iter(after)).map_err(failed)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < PAGE_BYTES
            && let Some(row) = found.next().map_err(failed)?
        {
            let row = read(table, row)?;
            bytes += row.0.iter().map(Value::len).sum::<usize>();
            rows.push(row);
        }
        Ok(rows)
    }
}

/// Keeps every other process from moving the file too. The system lets go of it however this one ends. Not the file
/// itself: closing it a second time would let go of SQLite's own locks.
fn lock(path: &Path) -> Result<Lock, MoveError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-move");
    let name = PathBuf::from(name);
    let refused = |source| MoveError::Lock { path: name.clone(), source };
    for _ in 0..LOCK_TRIES {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&name).map_err(refused)?;
        if let Some(lock) = take(file, &name)? {
            return Ok(lock);
        }
    }
    Err(MoveError::Busy)
}

/// Locks the file, unless whoever had it locked removed it since it was opened: a third may have made the next one.
fn take(file: File, name: &Path) -> Result<Option<Lock>, MoveError> {
    let refused = |source| MoveError::Lock { path: name.to_owned(), source };
    match file.try_lock() {
        Ok(()) if is_at(&file, name).map_err(refused)? => Ok(Some(Lock { path: name.to_owned(), file })),
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(MoveError::Busy),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// Whether a file is the one of that name.
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    match path.metadata() {
        Ok(there) => {
            let here = file.metadata()?;
            Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a table's columns are. A row whose sealing key is missing must not be left out unseen.
fn from(table: &Table) -> String {
    let name = table.name;
    if table.is_sealed() {
        format!("{name} LEFT JOIN sealing_keys USING (sealing_key_id)")
    } else {
        name.to_owned()
    }
}

fn failed(error: rusqlite::Error) -> MoveError {
    MoveError::Source(Box::new(error))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Nothing => ValueRef::Null,
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Boolean(is_so) => ValueRef::Integer((*is_so).into()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read(table: &Table, row: &rusqlite::Row<'_>) -> Result<Row, MoveError> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        let Some(value) = value(column, row.get_ref(index).map_err(failed)?) else {
            let row = table.name_of(&Row(values));
            let why = format!("its {} is not what the service writes", column.name);
            return Err(MoveError::CannotTravel { row, why });
        };
        values.push(value);
    }
    Ok(Row(values))
}

/// `None`: the service cannot have written it.
fn value(column: &Column, value: ValueRef<'_>) -> Option<Value> {
    match (column.kind, value) {
        (_, ValueRef::Null) => Some(Value::Nothing),
        (Kind::Text, ValueRef::Text(text)) => String::from_utf8(text.to_vec()).ok().map(Value::Text),
        (Kind::Integer, ValueRef::Integer(number)) => Some(Value::Integer(number)),
        (Kind::Boolean, ValueRef::Integer(0)) => Some(Value::Boolean(false)),
        (Kind::Boolean, ValueRef::Integer(1)) => Some(Value::Boolean(true)),
        (Kind::Bytes, ValueRef::Blob(bytes)) => Some(Value::Bytes(bytes.to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_that_was_removed_since_it_was_opened_is_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let first = lock(&path).unwrap();
        let open = || File::open(&first.path).unwrap();
        let (early, late, name) = (open(), open(), first.path.clone());
        assert!(matches!(take(open(), &name), Err(MoveError::Busy)));
        drop(first);
        assert!(take(early, &name).unwrap().is_none(), "nobody can see it");
        let _third = lock(&path).unwrap();
        assert!(take(late, &name).unwrap().is_none(), "another one has that name");
        assert!(matches!(lock(&path), Err(MoveError::Busy)));
    }

    #[test]
    fn whoever_lost_the_lock_file_takes_nobody_elses_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let first = lock(&path).unwrap();
        std::fs::remove_file(&first.path).unwrap();
        let second = lock(&path).unwrap();
        drop(first);
        assert!(matches!(lock(&path), Err(MoveError::Busy)));
        drop(second);
        lock(&path).unwrap();
    }

    #[test]
    fn a_lock_that_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let name = directory.path().join("t.db-move");
        std::fs::create_dir(&name).unwrap();
        let Err(refused) = lock(&path) else { panic!("locked") };
        let start = format!("the lock file {} cannot be opened: ", name.display());
        let said = refused.to_string();
        assert!(
            said.starts_with(&start) && said.contains("delete it if no `vimeo-connections move` runs"),
            "{said}"
        );
    }
}
