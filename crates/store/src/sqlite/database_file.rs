//! Checks that a database file can be written, without creating or changing anything; and errors about the file as messages.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, access, statvfs};

use super::rows;
use crate::error::DiskFull;
use crate::{Error, OpenError};

/// With less free space than this, not even an empty database and its log can be created.
const FREE_MIN_BYTES: u64 = 1024 * 1024;
/// The code that SQLite reports when its shared memory cannot grow, which only a full disk causes.
const IO_ERROR_SHARED_MEMORY_SIZE: i32 = 4874;

/// Fails if the file, or its directory if there is no file yet, cannot be written.
pub(crate) fn check(path: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path, source: io::Error| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly(path.to_owned()),
        _ => OpenError::Io { path: path.to_owned(), source },
    };
    match OpenOptions::new().append(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(path, error)),
    }
    // The log is created beside the file, and missing directories are created in the nearest one that exists.
    let directory = nearest_directory(path);
    if !directory.is_dir() {
        return Err(failed(directory, io::ErrorKind::NotADirectory.into()));
    }
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| failed(directory, error.into()))?;
    let free_bytes = free_bytes(directory);
    if free_bytes.is_some_and(|free| free < FREE_MIN_BYTES) {
        return Err(OpenError::DiskFull {
            directory: directory.to_owned(),
            free_bytes: free_bytes.unwrap_or(0),
        });
    }
    Ok(())
}

/// Bytes free on the disk of a file or directory for a process without privileges.
pub(super) fn free_bytes(directory: &Path) -> Option<u64> {
    statvfs(directory).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The nearest existing directory above a file.
fn nearest_directory(path: &Path) -> &Path {
    let mut above = path
        .ancestors()
        .skip(1)
        .map(|directory| if directory.as_os_str().is_empty() { Path::new(".") } else { directory });
    above.find(|directory| directory.symlink_metadata().is_ok()).unwrap_or(Path::new("."))
}

/// An error of the engine while a file is opened, as a message for the operator.
pub(super) fn explain(error: rusqlite::Error, path: &Path) -> OpenError {
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => disk_full(path),
        _ if extended == IO_ERROR_SHARED_MEMORY_SIZE => disk_full(path),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Locked(path.to_owned()),
        Some(ErrorCode::ReadOnly) => OpenError::ReadOnly(path.to_owned()),
        _ => OpenError::Engine(Box::new(error)),
    }
}

/// An error of the engine while the open file is written.
pub(super) fn write_error(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            let (directory, free_bytes) = free_space(path);
            Error::Unavailable(Box::new(DiskFull::Here { directory, free_bytes }))
        }
        _ => rows::read_error(error),
    }
}

fn disk_full(path: &Path) -> OpenError {
    let (directory, free_bytes) = free_space(path);
    OpenError::DiskFull { directory, free_bytes }
}

/// The directory of a file, and the bytes free on its disk.
fn free_space(path: &Path) -> (PathBuf, u64) {
    let directory = nearest_directory(path);
    (directory.to_owned(), free_bytes(directory).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine_error(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn a_check_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        check(&directory.path().join("a/b/c.db")).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        std::fs::write(directory.path().join("file"), "").unwrap();
        let below = check(&directory.path().join("file/c.db"));
        assert!(matches!(below, Err(OpenError::Io { .. })), "{below:?}");
        assert!(matches!(check(directory.path()), Err(OpenError::Io { .. })), "a directory is no database");
        check(Path::new("name-alone.db")).unwrap();
    }

    #[test]
    fn the_engines_numbers_become_sentences() {
        let explained = |code| explain(engine_error(code), Path::new("./data/x.db"));
        for (code, expected) in [
            (13, "no space left on the disk that holds"),
            (4874, "no space left on the disk that holds"),
            (5, "is locked by another process"),
            (261, "is locked by another process"),
            (8, "is read-only"),
            (1032, "is read-only"),
        ] {
            let text = explained(code).to_string();
            assert!(text.contains(expected) && !text.contains("Error code"), "{code}: {text}");
        }
        assert!(matches!(explained(10), OpenError::Engine(_)));
        let while_open = |code| write_error(engine_error(code), Path::new("./data/x.db"));
        assert!(while_open(13).is_disk_full() && !while_open(5).is_disk_full());
    }
}
