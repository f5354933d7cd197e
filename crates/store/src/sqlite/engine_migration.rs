//! The source of an engine migration: its mark, which every writer of the file reads, and its rows.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use domain::time::Timestamp;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, named_params, params_from_iter};

use super::{connect, schema, statements};
use crate::engine_migration::{EngineMigrationState, SourceMark};
use crate::migrations::{ENGINE_MIGRATION, lowest_without_engine_migration};
use crate::sql::statement;
use crate::tables::{Column, Kind, Row, Table, Value};
use crate::{APPLICATION_SCHEMA, EngineMigrationError, OpenError};

/// A page of rows ends at this size, and has at least one row.
const PAGE_BYTES: usize = 1 << 20;

/// How often a lock is tried that others release at the same time.
const LOCK_TRIES: usize = 100;

const SQL: &str = include_str!("sql/engine_migration.sql");
const FIND_MARK: &str = statement(SQL, "find_source_mark");
const INSERT_MARK: &str = statement(SQL, "insert_source_mark");
const COMPLETE_MARK: &str = statement(SQL, "complete_source_mark");
const DELETE_MARK: &str = statement(SQL, "delete_source_mark");

/// The mark of a source.
pub(super) fn find_source_mark(connection: &Connection) -> rusqlite::Result<Option<SourceMark>> {
    statements::find(connection, FIND_MARK, &[], |row| {
        let is_done = row.get::<_, String>("state")? == "done";
        let state = if is_done { EngineMigrationState::Done } else { EngineMigrationState::Running };
        Ok(SourceMark { id: row.get("move_id")?, to: row.get("other_side")?, state })
    })
}

/// The same for a file whose schema may be too old for marks.
fn find_source_of_any_schema(connection: &Connection) -> rusqlite::Result<Option<SourceMark>> {
    if !schema::table_exists(connection, "moves")? {
        return Ok(None);
    }
    find_source_mark(connection)
}

/// Fails for a file that is being migrated, or was.
pub(super) fn refuse_source(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if schema::read_state(connection, path)?.is_none() {
        return Ok(());
    }
    match find_source_of_any_schema(connection).map_err(super::engine)? {
        None => Ok(()),
        Some(SourceMark { to, state: EngineMigrationState::Running, .. }) => {
            Err(OpenError::EngineMigrationRunning { path: path.to_owned(), to })
        }
        Some(SourceMark { to, state: EngineMigrationState::Done, .. }) => {
            Err(OpenError::MigratedAway { path: path.to_owned(), to })
        }
    }
}

/// A source. One process at a time can open it.
pub(crate) struct Source {
    connection: Connection,
    path: PathBuf,
    _lock: Lock,
}

/// A locked file beside the source.
struct Lock {
    path: PathBuf,
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked. A file that cannot be removed, or that a killed process left, is locked again by the next process.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Source {
    /// Opens an existing file, without changing it.
    pub(crate) fn open(path: &Path) -> Result<Self, EngineMigrationError> {
        let path = match path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(EngineMigrationError::NoSource(path.to_owned()));
            }
            Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }.into()),
        };
        let lock = lock(&path)?;
        let connection = connect(&path).map_err(failed)?;
        // The mark must survive a loss of power: what is written to the target relies on it.
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        let Some(state) = schema::read_state(&connection, &path)? else {
            return Err(EngineMigrationError::NoSource(path));
        };
        state.refuse_if_too_new()?;
        if state.schema < ENGINE_MIGRATION {
            return Err(OpenError::MigrationsPending { schema: state.schema }.into());
        }
        Ok(Self { connection, path, _lock: lock })
    }

    /// Its path, as the target records it.
    pub(crate) fn recorded_path(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Fails for a file whose schema is not this version's, which may have unknown columns.
    pub(crate) fn refuse_other_schema(&self) -> Result<(), EngineMigrationError> {
        match schema::read_state(&self.connection, &self.path)? {
            Some(state) if state.schema > APPLICATION_SCHEMA => {
                Err(EngineMigrationError::NewerSchema { schema: state.schema })
            }
            Some(state) if state.schema < APPLICATION_SCHEMA => {
                Err(OpenError::MigrationsPending { schema: state.schema }.into())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn find_mark(&self) -> Result<Option<SourceMark>, EngineMigrationError> {
        find_source_mark(&self.connection).map_err(failed)
    }

    /// Marks it: from the commit on it accepts no writes.
    pub(crate) fn mark(&mut self, id: &str, to: &str, now: Timestamp) -> Result<(), EngineMigrationError> {
        self.transact(|transaction| {
            let parameters =
                named_params! { ":move_id": id, ":other_side": to, ":started_at": now.as_micros() };
            statements::execute(transaction, INSERT_MARK, parameters)?;
            schema::set_lowest_application_schema(transaction, ENGINE_MIGRATION, ENGINE_MIGRATION)
        })
    }

    /// Completes the mark, if it is still the one of this migration. [`EngineMigrationError::MarkLost`].
    pub(crate) fn mark_done(&mut self, id: &str, now: Timestamp) -> Result<(), EngineMigrationError> {
        let marked = self.transact(|transaction| {
            let parameters = named_params! { ":move_id": id, ":ended_at": now.as_micros() };
            statements::execute(transaction, COMPLETE_MARK, parameters)
        })?;
        if marked == 1 { Ok(()) } else { Err(EngineMigrationError::MarkLost { side: "the source" }) }
    }

    /// Removes the mark, if it is still `expected`. [`EngineMigrationError::Continued`].
    pub(crate) fn unmark(&mut self, expected: &SourceMark) -> Result<(), EngineMigrationError> {
        let is_unmarked = self.transact(|transaction| {
            if find_source_mark(transaction)?.as_ref() != Some(expected) {
                return Ok(false);
            }
            statements::execute(transaction, DELETE_MARK, &[])?;
            schema::set_lowest_application_schema(
                transaction,
                ENGINE_MIGRATION,
                lowest_without_engine_migration(),
            )?;
            Ok(true)
        })?;
        if is_unmarked { Ok(()) } else { Err(EngineMigrationError::Continued) }
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, EngineMigrationError> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let answer = work(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(answer)
    }

    pub(crate) fn count(&self, table: &Table) -> Result<u64, EngineMigrationError> {
        let query = format!("SELECT count(*) FROM {}", table.name);
        self.connection.query_row(&query, [], |row| row.get(0)).map_err(failed)
    }

    /// The rows after a key, in the order of their keys, at most `limit`.
    pub(crate) fn list(
        &self,
        table: &Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineMigrationError> {
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

/// Excludes other processes from migrating the file. The system releases the lock however this process ends. It is not taken on
/// the file itself, because closing that a second time would release SQLite's own locks.
fn lock(path: &Path) -> Result<Lock, EngineMigrationError> {
    let mut name = path.as_os_str().to_owned();
    name.push("-move");
    let name = PathBuf::from(name);
    let refused = |source| EngineMigrationError::Lock { path: name.clone(), source };
    for _ in 0..LOCK_TRIES {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&name).map_err(refused)?;
        if let Some(lock) = try_lock(file, &name)? {
            return Ok(lock);
        }
    }
    Err(EngineMigrationError::Busy)
}

/// Locks the file, unless it was removed since it was opened, by the process that held the lock: another process may have
/// created the next one.
fn try_lock(file: File, name: &Path) -> Result<Option<Lock>, EngineMigrationError> {
    let refused = |source| EngineMigrationError::Lock { path: name.to_owned(), source };
    match file.try_lock() {
        Ok(()) if is_at(&file, name).map_err(refused)? => Ok(Some(Lock { path: name.to_owned(), file })),
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(EngineMigrationError::Busy),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

/// Whether the open file is the one at this path.
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

/// The tables with the columns of a table. A row whose sealing key is missing must not be omitted silently.
fn from(table: &Table) -> String {
    let name = table.name;
    if table.is_sealed() {
        format!("{name} LEFT JOIN sealing_keys USING (sealing_key_id)")
    } else {
        name.to_owned()
    }
}

fn failed(error: rusqlite::Error) -> EngineMigrationError {
    EngineMigrationError::Source(Box::new(error))
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

fn read(table: &Table, row: &rusqlite::Row<'_>) -> Result<Row, EngineMigrationError> {
    let mut values = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        let Some(value) = value(column, row.get_ref(index).map_err(failed)?) else {
            let row = table.name_of(&Row(values));
            let why = format!("its {} is not what the service writes", column.name);
            return Err(EngineMigrationError::CannotBeCopied { row, why });
        };
        values.push(value);
    }
    Ok(Row(values))
}

/// `None` for a value that the service cannot have written.
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
    fn a_lock_file_that_was_removed_since_it_was_opened_does_not_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let first = lock(&path).unwrap();
        let open = || File::open(&first.path).unwrap();
        let (early, late, name) = (open(), open(), first.path.clone());
        assert!(matches!(try_lock(open(), &name), Err(EngineMigrationError::Busy)));
        drop(first);
        assert!(try_lock(early, &name).unwrap().is_none(), "it has no name any more");
        let _third = lock(&path).unwrap();
        assert!(try_lock(late, &name).unwrap().is_none(), "another file has that name");
        assert!(matches!(lock(&path), Err(EngineMigrationError::Busy)));
    }

    #[test]
    fn a_process_whose_lock_file_was_removed_does_not_remove_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let first = lock(&path).unwrap();
        std::fs::remove_file(&first.path).unwrap();
        let second = lock(&path).unwrap();
        drop(first);
        assert!(matches!(lock(&path), Err(EngineMigrationError::Busy)));
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
