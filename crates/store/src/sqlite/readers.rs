//! The connections that read: opened when needed, kept, and used by one reader at a time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::Connection;

use super::{connect, rows};
use crate::Error;

/// How many idle connections are kept. Readers never wait for each other: another connection is opened instead.
const KEPT: usize = 16;
/// How much of the file a reader maps into memory: all of a small database. The pages that it has read there count as the
/// service's memory, once for each reader, although the system can reclaim them at any time.
const MMAP_BYTES: i64 = 64 << 20;
/// The cache of a reader for the rest: mostly the inner pages of the indexes, which every search reads.
const CACHE_KIBIBYTES: i32 = 8 * 1024;
/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

pub(super) struct Readers {
    path: PathBuf,
    /// `None` once closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())) }
    }

    /// The database file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a read on the calling thread, in a connection that no other reader uses meanwhile.
    pub(super) fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        let connection = match self.take() {
            Some(connection) => connection,
            None => open(&self.path).map_err(rows::read_error)?,
        };
        let answer = query(&connection).map_err(rows::read_error);
        self.put_back(connection);
        answer
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().ok()?.as_mut()?.pop()
    }

    fn put_back(&self, connection: Connection) {
        if let Ok(mut idle) = self.idle.lock()
            && let Some(idle) = idle.as_mut()
            && idle.len() < KEPT
        {
            idle.push(connection);
        }
    }

    /// Closes all of them; later reads open and close their own.
    pub(super) fn close(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            *idle = None;
        }
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "mmap_size", MMAP_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(connection)
}
