//! Migrating a file to this version's schema, in one transaction; and inspecting one without changing it.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use domain::account::Label;
use domain::api_key::HashedKey;
use domain::secret::KeyringCheck;
use domain::service_secrets::ServiceSecrets;
use domain::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, named_params};

use super::{accounts, api_keys, database_file, engine_migration, keyring, service_secrets, statements};
use crate::migrations::{MIGRATIONS, SCOPES, SERVICE_SECRETS, State};
use crate::sql::statement;
use crate::{APPLICATION_SCHEMA, Inspection, KeyInspection, Migrations, OpenError};

const SQL: &str = include_str!("sql/schema.sql");
const COUNT_SCHEMA_OBJECTS: &str = statement(SQL, "count_schema_objects");
const TABLE_EXISTS: &str = statement(SQL, "table_exists");
const CREATE_MIGRATIONS: &str = statement(SQL, "create_schema_migrations");
const FIND_SCHEMA: &str = statement(SQL, "find_schema");
const LIST_MIGRATIONS: &str = statement(SQL, "list_migrations");
const INSERT_MIGRATION: &str = statement(SQL, "insert_migration");
const SET_LOWEST_APPLICATION_SCHEMA: &str = statement(SQL, "set_lowest_application_schema");

/// The pause between two attempts to switch to the write-ahead log.
const WAL_WAIT_MILLIS: u32 = 20;

/// Marks the file as ours: "VCon" in ASCII.
const APPLICATION_ID: i32 = 0x5643_6f6e;

/// Inspects a file without changing it. Beside it, only the shared memory of a write-ahead log that a crash left may be created
/// again, which holds no data.
pub(crate) fn inspect(path: &Path) -> Result<Option<Inspection>, OpenError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::Io { path: path.to_owned(), source }),
        Ok(metadata) if metadata.len() == 0 => return Ok(None),
        Ok(_) => {}
    }
    let connection = open_untouched(path).map_err(|error| database_file::explain(error, path))?;
    look(&connection, path)
}

/// The same through an open connection.
pub(super) fn look(connection: &Connection, path: &Path) -> Result<Option<Inspection>, OpenError> {
    let Some(state) = read_state(connection, path)? else { return Ok(None) };
    state.refuse_if_too_new()?;
    let failed = |error| unreadable(error, path);
    let keyring_checks = read_checks(connection).map_err(failed)?;
    let service_secrets = match state.schema {
        0 => Ok(None),
        1..SERVICE_SECRETS => Ok(keyring::find_secret(connection).map_err(failed)?.map(ServiceSecrets::of)),
        _ => service_secrets::find(connection),
    };
    let service_secrets = service_secrets.map_err(failed)?;
    Ok(Some(Inspection { schema: state.schema, keyring_checks, service_secrets }))
}

/// Looks for an account and a key in a file that has a schema, without changing it.
pub(crate) fn inspect_key(
    path: &Path,
    account: &Label,
    key: Option<&HashedKey>,
) -> Result<KeyInspection, OpenError> {
    let failed = |error| unreadable(error, path);
    let connection = open_untouched(path).map_err(failed)?;
    let account = accounts::find_by_name(&connection, account).map_err(failed)?;
    let schema = read_state(&connection, path)?.map_or(0, |state| state.schema);
    let find = if schema < SCOPES { api_keys::find_without_scopes } else { api_keys::find_by_hash };
    let key = key.map(|key| find(&connection, key)).transpose().map_err(failed)?;
    Ok(KeyInspection { account, key: key.flatten() })
}

/// Acquires the write lock and releases it. No data is written, and an existing write-ahead log stays.
pub(crate) fn check_lock(path: &Path) -> Result<(), OpenError> {
    if !path.exists() {
        return Ok(());
    }
    let has_log = has_log(path);
    let failed = |error| database_file::explain(error, path);
    let mut connection = super::connect(path).map_err(failed)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_log).map_err(failed)?;
    let lock =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    lock.rollback().map_err(failed)
}

/// A file with a write-ahead log must be read with it. One without is read as immutable, so that no log is created.
pub(super) fn open_untouched(path: &Path) -> rusqlite::Result<Connection> {
    let immutable = if has_log(path) { "" } else { "?immutable=1" };
    let connection = Connection::open_with_flags(
        uri_of(path, immutable),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "busy_timeout", super::BUSY_TIMEOUT_MILLIS)?;
    Ok(connection)
}

/// Whether there is a write-ahead log beside a database: even if it is empty, a process may be writing.
pub(super) fn has_log(path: &Path) -> bool {
    // The engine keeps it beside the file itself, not beside a link to it.
    let mut log = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    log.push("-wal");
    Path::new(&log).exists()
}

/// A file's name as SQLite takes it with parameters, byte for byte.
pub(super) fn uri_of(path: &Path, parameters: &str) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + parameters
}

/// Brings the database to this version's schema, if the options allow it.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: Migrations,
    now: Timestamp,
) -> Result<(), OpenError> {
    let before = read_state(connection, path)?;
    if let Some(state) = &before {
        state.refuse_if_too_new()?;
        if state.schema < APPLICATION_SCHEMA && migrations == Migrations::OnlyIfNew {
            return Err(OpenError::MigrationsPending { schema: state.schema });
        }
    }
    // Outside of a transaction, as SQLite requires; a database in that mode is not changed.
    let failed = |error| database_file::explain(error, path);
    switch_to_wal(connection).map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let schema = before.map_or(0, |state| state.schema);
    if schema < APPLICATION_SCHEMA {
        apply(connection, path, now)?;
    }
    Ok(())
}

/// Unlike everything else, the switch does not wait for a lock: two processes may start at once.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let mut waits = 0..super::BUSY_TIMEOUT_MILLIS / WAL_WAIT_MILLIS;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && waits.next().is_some() =>
            {
                std::thread::sleep(Duration::from_millis(WAL_WAIT_MILLIS.into()));
            }
            result => return result,
        }
    }
}

/// Runs the pending migrations, unless another process has run them since. All in one transaction, so that no other process sees
/// only a part of them.
fn apply(connection: &mut Connection, path: &Path, now: Timestamp) -> Result<(), OpenError> {
    let failed = |error| database_file::explain(error, path);
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    // An engine migration may have marked it since: then it must stay unchanged.
    engine_migration::refuse_source(&transaction, path)?;
    run_migrations(&transaction, now).map_err(failed)?;
    transaction.commit().map_err(failed)
}

fn run_migrations(transaction: &Transaction<'_>, now: Timestamp) -> rusqlite::Result<()> {
    transaction.execute_batch(CREATE_MIGRATIONS)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let schema: u32 = statements::value(transaction, FIND_SCHEMA, &[])?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > schema) {
        transaction.execute_batch(migration.sqlite)?;
        statements::execute(
            transaction,
            INSERT_MIGRATION,
            named_params! {
                ":number": migration.number,
                ":name": migration.name,
                ":lowest_application_schema": migration.lowest_application_schema,
                ":applied_at": now.as_micros(),
            },
        )?;
    }
    Ok(())
}

/// The schema of the database; `None` if it is empty.
pub(super) fn read_state(connection: &Connection, path: &Path) -> Result<Option<State>, OpenError> {
    let failed = |error| unreadable(error, path);
    let objects: i64 = statements::value(connection, COUNT_SCHEMA_OBJECTS, &[]).map_err(failed)?;
    if objects == 0 {
        return Ok(None);
    }
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let migration =
        |row: &Row<'_>| Ok((row.get("number")?, row.get("name")?, row.get("lowest_application_schema")?));
    let applied = statements::list(connection, LIST_MIGRATIONS, &[], migration).map_err(failed)?;
    State::read(applied).map(Some)
}

/// Sets the lowest application schema that a migration states.
pub(super) fn set_lowest_application_schema(
    connection: &Connection,
    number: u32,
    lowest: u32,
) -> rusqlite::Result<()> {
    let parameters = named_params! { ":number": number, ":lowest_application_schema": lowest };
    statements::execute(connection, SET_LOWEST_APPLICATION_SCHEMA, parameters).map(drop)
}

/// Why a file cannot be read: it belongs to another program, it is damaged, or the engine's own error.
pub(super) fn unreadable(error: rusqlite::Error, path: &Path) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(path.to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path: path.to_owned(), source: Box::new(error) }
        }
        _ => database_file::explain(error, path),
    }
}

/// Whether the database has a table of this name.
pub(super) fn table_exists(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    statements::value(connection, TABLE_EXISTS, named_params! { ":name": name })
}

fn read_checks(connection: &Connection) -> rusqlite::Result<Vec<KeyringCheck>> {
    if !table_exists(connection, "keyring_checks")? {
        return Ok(Vec::new());
    }
    keyring::list_checks(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_micros(1)
    }

    fn database(directory: &Path) -> (std::path::PathBuf, Connection) {
        let path = directory.join("t.db");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, Migrations::Apply, now()).unwrap();
        (path, connection)
    }

    #[test]
    fn migrating_twice_changes_nothing_the_second_time() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut connection) = database(directory.path());
        migrate(&mut connection, &path, Migrations::OnlyIfNew, now()).unwrap();
        let runs: usize =
            connection.query_row("SELECT count(*) FROM schema_migrations", [], |r| r.get(0)).unwrap();
        assert_eq!(runs, MIGRATIONS.len());
    }

    #[test]
    fn a_database_that_a_newer_version_closed_to_us_is_refused_and_one_it_left_open_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut connection) = database(directory.path());
        connection.execute("INSERT INTO schema_migrations VALUES (900, 'future', 1, 1)", []).unwrap();
        migrate(&mut connection, &path, Migrations::Apply, now()).unwrap();
        connection
            .execute("UPDATE schema_migrations SET lowest_application_schema = 900 WHERE number = 900", [])
            .unwrap();
        let refused = migrate(&mut connection, &path, Migrations::Apply, now());
        assert!(matches!(refused, Err(OpenError::TooNew { schema: 900, lowest: 900 })), "{refused:?}");
        drop(connection);
        assert!(matches!(inspect(&path), Err(OpenError::TooNew { .. })));
    }

    #[test]
    fn a_file_of_another_program_is_left_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(inspect(&path), Err(OpenError::Foreign(_))));
        let mut connection = Connection::open(&path).unwrap();
        let refused = migrate(&mut connection, &path, Migrations::Apply, now());
        assert!(matches!(refused, Err(OpenError::Foreign(_))), "{refused:?}");
        drop(connection);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        assert!(matches!(inspect(&path), Err(OpenError::Foreign(_))));
    }

    #[test]
    fn a_file_that_was_marked_since_its_inspection_is_not_migrated() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut connection) = database(directory.path());
        connection
            .execute("INSERT INTO moves VALUES ('source', 'id', 'postgres://other', 'running', 1, NULL)", [])
            .unwrap();
        let refused = apply(&mut connection, &path, now());
        assert!(matches!(refused, Err(OpenError::EngineMigrationRunning { .. })), "{refused:?}");
    }

    #[test]
    fn a_migration_of_another_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut connection) = database(directory.path());
        connection.execute("UPDATE schema_migrations SET name = 'shed'", []).unwrap();
        let refused = migrate(&mut connection, &path, Migrations::Apply, now());
        assert!(matches!(refused, Err(OpenError::MigrationMismatch { number: 1, .. })), "{refused:?}");
    }

    #[test]
    fn an_inspection_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let (path, connection) = database(directory.path());
        drop(connection);
        let list = || {
            let mut names: Vec<_> =
                std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let (names, bytes) = (list(), std::fs::read(&path).unwrap());
        assert_eq!(inspect(&path).unwrap().unwrap().schema, APPLICATION_SCHEMA);
        assert_eq!((list(), std::fs::read(&path).unwrap()), (names, bytes));
        assert_eq!(inspect(&directory.path().join("none.db")).unwrap(), None);
        assert!(!directory.path().join("none.db").exists());
    }
}
