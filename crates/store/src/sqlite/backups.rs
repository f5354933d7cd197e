//! Backups: a consistent copy of the database in one file, while a service writes; and restoring it.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::temp_database::{COMPANIONS, TempDatabase, is_there, with_ending};
use super::{BUSY_TIMEOUT_MILLIS, backup_files, engine, engine_migration, schema};
use crate::{BackupError, BackupHeader, BackupStamp, Inspection, OpenError};

/// A database that was unpacked from a backup and does not have its final name yet. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: TempDatabase,
    target: PathBuf,
    pub(crate) header: BackupHeader,
    pub(crate) found: Inspection,
}

/// Copies a snapshot of the database into a new file.
pub(crate) fn back_up(
    database: &Path,
    target: &Path,
    stamp: &BackupStamp,
) -> Result<BackupHeader, BackupError> {
    if is_there(target) {
        return Err(BackupError::Exists(target.to_owned()));
    }
    let not_written =
        |error: std::io::Error| BackupError::NotWritten { path: target.to_owned(), source: Box::new(error) };
    let source = open_source(database)?;
    // A backup of a file that was migrated away is useless, and one of a file that is being migrated would keep the mark.
    engine_migration::refuse_source(&source, database)?;
    let copy = TempDatabase::beside(target, &format!("{}-database", stamp.tag)).map_err(not_written)?;
    // Only the live rows, in one read transaction. No other process uses the copy, so it needs no locks of the file system.
    source
        .execute("VACUUM INTO ?1", [schema::uri_of(copy.path(), "?nolock=1")])
        .map_err(|error| not_copied(error, database, target))?;
    drop(source);
    let found = look(copy.path(), database)?;
    let (bytes, sha256) = backup_files::content_of(copy.path()).map_err(not_written)?;
    let header = BackupHeader {
        schema: found.schema,
        made_at: stamp.at.to_string(),
        bytes,
        sha256: sha256.clone(),
        keyring_keys: found.keyring_checks.into_iter().map(|check| check.keyring_key).collect(),
    };
    let file = TempDatabase::beside(target, &stamp.tag).map_err(not_written)?;
    let written = backup_files::write(&header, copy.path(), file.path()).map_err(not_written)?;
    if written != (bytes, sha256) {
        return Err(not_written(std::io::Error::other("the copy changed while it was read")));
    }
    file.put_in_place(target).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => BackupError::Exists(target.to_owned()),
        _ => not_written(error),
    })?;
    Ok(header)
}

/// Verifies that a backup can be restored, except for the keyring. Its database is unpacked beside it for that time.
pub(crate) fn check(file: &Path, tag: &str) -> Result<(BackupHeader, Inspection), BackupError> {
    backup_files::verify(file)?;
    let not_unpacked = |source: crate::BoxError| BackupError::NotUnpacked { path: file.to_owned(), source };
    let temporary = TempDatabase::beside(file, tag).map_err(|error| not_unpacked(Box::new(error)))?;
    unpack(file, &temporary).map_err(|error| match error {
        BackupError::NotRestored { source, .. } => not_unpacked(source),
        error => error,
    })
}

/// Unpacks the database of a backup beside its target.
pub(crate) fn stage(file: &Path, target: &Path, tag: &str) -> Result<Staged, BackupError> {
    refuse_if_occupied(target)?;
    backup_files::verify(file)?;
    let temporary =
        TempDatabase::beside_in_new_directory(target, tag).map_err(|error| not_restored(target, error))?;
    let (header, found) = unpack(file, &temporary).map_err(|error| match error {
        BackupError::NotRestored { source, .. } => {
            BackupError::NotRestored { path: target.to_owned(), source }
        }
        error => error,
    })?;
    Ok(Staged { temporary, target: target.to_owned(), header, found })
}

impl Staged {
    /// The path of the database until then.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the database its final name, atomically.
    pub(crate) fn put_in_place(self) -> Result<(), BackupError> {
        let failed = |error| not_restored(&self.target, error);
        if COMPANIONS.iter().any(|companion| is_there(&with_ending(self.temporary.path(), companion))) {
            return Err(failed(std::io::Error::other("its last changes are still in a log")));
        }
        refuse_if_occupied(&self.target)?;
        if is_there(&self.target) {
            // It is empty, by the check above.
            std::fs::remove_file(&self.target).map_err(failed)?;
        }
        self.temporary.put_in_place(&self.target).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => BackupError::Occupied(self.target.clone()),
            _ => not_restored(&self.target, error),
        })
    }
}

/// A connection that reads and changes nothing: a write-ahead log that a process needs is not copied into the database when it
/// is closed.
fn open_source(database: &Path) -> Result<Connection, BackupError> {
    match std::fs::metadata(database) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(BackupError::NoDatabase(database.to_owned()));
        }
        Err(source) => return Err(OpenError::Io { path: database.to_owned(), source }.into()),
        Ok(metadata) if metadata.len() == 0 => return Err(BackupError::NoDatabase(database.to_owned())),
        Ok(_) => {}
    }
    let leaves_log = schema::has_log(database);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(schema::uri_of(database, ""), flags).map_err(engine)?;
    connection.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MILLIS).map_err(engine)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leaves_log).map_err(engine)?;
    match schema::look(&connection, database)? {
        Some(_) => Ok(connection),
        None => Err(BackupError::NoDatabase(database.to_owned())),
    }
}

/// Inspects a copy, with the integrity check of the engine. Errors name the database.
fn look(copy: &Path, database: &Path) -> Result<Inspection, OpenError> {
    let connection = schema::open_untouched(copy).map_err(engine)?;
    let found = schema::look(&connection, database)?;
    let damaged = |what: String| OpenError::Damaged { path: database.to_owned(), source: what.into() };
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| schema::unreadable(error, database))?;
    if verdict != "ok" {
        return Err(damaged(verdict));
    }
    found.ok_or_else(|| damaged("there is nothing in it".to_owned()))
}

fn unpack(file: &Path, temporary: &TempDatabase) -> Result<(BackupHeader, Inspection), BackupError> {
    let header = backup_files::unpack(file, temporary.path())?;
    let found = look(temporary.path(), file).map_err(|error| match error {
        OpenError::Foreign(path) => BackupError::Foreign(path),
        OpenError::Damaged { path, source } => backup_files::damaged(&path, source.to_string()),
        OpenError::TooNew { schema, lowest } => {
            BackupError::NewerSchema { path: file.to_owned(), schema, lowest }
        }
        error => error.into(),
    })?;
    let keys = found.keyring_checks.iter().map(|check| &check.keyring_key);
    if found.schema != header.schema || !keys.eq(&header.keyring_keys) {
        let what = "its first line and its database do not belong together".to_owned();
        return Err(backup_files::damaged(file, what));
    }
    Ok((header, found))
}

/// An empty file may be replaced, and no other.
fn refuse_if_occupied(target: &Path) -> Result<(), BackupError> {
    let is_empty = target.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == 0);
    if is_there(target) && !is_empty {
        return Err(BackupError::Occupied(target.to_owned()));
    }
    let companions = COMPANIONS.iter().map(|companion| with_ending(target, companion));
    match companions.into_iter().find(|path| is_there(path)) {
        Some(path) => Err(BackupError::Occupied(path)),
        None => Ok(()),
    }
}

fn not_copied(error: rusqlite::Error, database: &Path, target: &Path) -> BackupError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            schema::unreadable(error, database).into()
        }
        _ => BackupError::NotWritten { path: target.to_owned(), source: error.to_string().into() },
    }
}

fn not_restored(target: &Path, error: std::io::Error) -> BackupError {
    BackupError::NotRestored { path: target.to_owned(), source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;
    use crate::contract::{TestDatabase, samples};

    fn stamp() -> BackupStamp {
        BackupStamp { at: Timestamp::from_micros(1), tag: "tag".to_owned() }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A database with an account, and a backup of it.
    async fn backed_up() -> (TestDatabase, PathBuf) {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        samples::insert_account(&*store, 1).await;
        let file = db.path().with_file_name("it.backup");
        back_up(&db.path(), &file, &stamp()).unwrap();
        store.close().await;
        (db, file)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_byte_of_a_backup_can_be_changed() {
        let (db, file) = backed_up().await;
        let directory = db.path().parent().unwrap().to_owned();
        let right = std::fs::read(&file).unwrap();
        let (bad, target) = (directory.join("bad"), directory.join("new/it.db"));
        std::fs::write(&bad, &right).unwrap();
        let before = names(&directory);
        for at in (0..right.len()).step_by(61) {
            let mut bytes = right.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&bad, bytes).unwrap();
            let refused = stage(&bad, &target, "tag").unwrap_err();
            assert!(
                matches!(refused, BackupError::Foreign(_) | BackupError::Damaged { .. }),
                "{at}: {refused}"
            );
        }
        assert_eq!(names(&directory), before);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_staged_database_that_is_not_put_in_place_leaves_nothing() {
        let (db, file) = backed_up().await;
        let directory = db.path().parent().unwrap().to_owned();
        let before = names(&directory);
        let target = directory.join("new/and newer?/100%#.db");
        let staged = stage(&file, &target, "tag").unwrap();
        assert_eq!(staged.header, check(&file, "other").unwrap().0);
        assert!(staged.path().exists() && !target.exists());
        drop(staged);
        assert_eq!(names(&directory), before);
        // Another process created the file first.
        let staged = stage(&file, &target, "tag").unwrap();
        std::fs::write(&target, "theirs").unwrap();
        assert!(matches!(staged.put_in_place(), Err(BackupError::Occupied(_))));
        assert_eq!(names(target.parent().unwrap()), ["100%#.db"]);
        std::fs::remove_file(&target).unwrap();
        stage(&file, &target, "tag").unwrap().put_in_place().unwrap();
        assert_eq!(names(target.parent().unwrap()), ["100%#.db"]);
        assert_eq!(look(&target, &target).unwrap().schema, crate::APPLICATION_SCHEMA);
        back_up(&target, &directory.join("again?.backup"), &stamp()).unwrap();
    }

    /// Its changes would be lost with their log.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_staged_database_that_is_still_open_is_not_put_in_place() {
        let (db, file) = backed_up().await;
        let target = db.path().with_file_name("new.db");
        let staged = stage(&file, &target, "tag").unwrap();
        let open = Connection::open(staged.path()).unwrap();
        open.pragma_update(None, "journal_mode", "WAL").unwrap();
        open.execute("DELETE FROM audit_events", []).unwrap();
        assert!(matches!(staged.put_in_place(), Err(BackupError::NotRestored { .. })));
        assert!(!target.exists());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_is_migrated_or_was_has_no_backup() {
        let (db, _) = backed_up().await;
        let target = db.path().with_file_name("late.backup");
        for (state, ended_at, sentence) in
            [("running", "NULL", "is being moved to there"), ("done", "1", "was moved to there")]
        {
            Connection::open(db.path())
                .unwrap()
                .execute_batch(&format!(
                    "DELETE FROM moves; INSERT INTO moves VALUES ('source', 'm', 'there', '{state}', 1, {ended_at})"
                ))
                .unwrap();
            let refused = back_up(&db.path(), &target, &stamp()).unwrap_err().to_string();
            assert!(refused.contains(sentence), "{refused}");
            assert_eq!(names(db.path().parent().unwrap()), ["contract.db", "it.backup"]);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_is_found_behind_a_link() {
        let (db, _) = backed_up().await;
        let link = db.path().with_file_name("link.db");
        std::os::unix::fs::symlink(db.path(), &link).unwrap();
        assert!(!schema::has_log(&link));
        std::fs::write(with_ending(&db.path(), "-wal"), "").unwrap();
        assert!(schema::has_log(&link) && schema::has_log(&db.path()));
    }

    #[tokio::test]
    async fn another_engine_is_backed_up_with_its_own_tools() {
        let url = &crate::DatabaseUrl::parse("postgres://name:secret@host/database").unwrap();
        let refused = crate::back_up(url, "it.backup".into(), stamp()).await.unwrap_err();
        assert!(matches!(refused, BackupError::OtherEngine), "{refused}");
        let refused = crate::stage_backup("it.backup".into(), url, "tag".to_owned()).await.unwrap_err();
        assert!(matches!(refused, BackupError::OtherEngine), "{refused}");
        assert!(!refused.to_string().contains("secret"));
    }
}
