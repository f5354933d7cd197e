//! The store's errors, sorted by what the caller does next.

use std::path::PathBuf;

use thiserror::Error;

use crate::shell::move_command;

/// An engine's own error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The message of an error with those of all its causes: a library's own message often names only the kind.
pub(crate) fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some messages contain that of their cause.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The name (or the hash of the key) is in use: report it to the caller.
    #[error("the name is taken")]
    NameTaken,
    /// There is no such row: report it to the caller.
    #[error("the row is not there")]
    NotFound,
    /// The row was changed since the caller read it: report it to the caller.
    #[error("the row has the version {current}")]
    VersionConflict {
        /// Its current version.
        current: u64,
    },
    /// A repetition of the request took over its idempotency key: refuse the caller.
    #[error("the idempotency key is no longer reserved for this attempt")]
    ReservationLost,
    /// Another job repeats this one already: report it to the caller.
    #[error("the job was retried before")]
    AlreadyRetried,
    /// The acting API key was revoked or expired before the write: refuse the caller.
    #[error("the acting API key is no longer active")]
    KeyNotActive,
    /// No other active key of the account may manage keys: refuse the caller.
    #[error("no other active API key has the scope keys:manage")]
    LastManagingKey,
    /// The queue of writes is full: retry later.
    #[error("the queue of writes is full")]
    Overloaded,
    /// The engine did not execute it: retry later.
    #[error("the database could not be used")]
    Unavailable(#[source] BoxError),
    /// The engine was lost during the commit: it may have been written.
    #[error("the database was lost at the moment of commit")]
    OutcomeUnknown,
    /// A row is not one that the service writes: report it, for that row alone.
    #[error("a stored row is corrupt: {0}")]
    Corrupt(String),
}

impl Error {
    /// Whether the disk of the database was full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Unavailable(cause) if cause.is::<DiskFull>())
    }
}

/// The disk of the database is full. The messages are for the operator.
#[derive(Debug, Clone, Error)]
pub enum DiskFull {
    /// The disk of this machine.
    #[error("no space left on the disk that holds {} ({free_bytes} bytes free)", directory.display())]
    Here {
        /// The directory of the database.
        directory: PathBuf,
        /// Bytes that this process can still write.
        free_bytes: u64,
    },
    /// The disk of the database server, with the message of the server.
    #[error("no space left on the disk of the database server: {0}")]
    Server(String),
}

/// Why a store could not be opened or inspected. The messages are for the operator.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A URL that names no engine.
    #[error("must be `sqlite:` and the path of a file, or `postgres://` and a server's address; {0}")]
    Url(&'static str),
    /// The file system refused.
    #[error("the database {} cannot be used: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error(
        "no space left on the disk that holds {} ({free_bytes} bytes free): free some, then start again",
        directory.display()
    )]
    DiskFull {
        /// The directory of the database, or the nearest one above it.
        directory: PathBuf,
        /// Bytes that this process can still write.
        free_bytes: u64,
    },
    /// Another process holds a lock and does not release it.
    #[error(
        "the database {} is locked by another process: end that one (`fuser` shows it), then start again",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file, its directory or its disk cannot be written.
    #[error(
        "the database {} is read-only: make the file and its directory writable for the service, and its disk mounted \
         for writing",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// A file of another program.
    #[error("{} is not a database of vimeo-connections; it was left as it is", .0.display())]
    Foreign(PathBuf),
    /// A damaged file of ours.
    #[error(
        "the database {} is damaged: {source}. Restore it, with its -wal file if there is one, from a backup",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the engine found.
        source: BoxError,
    },
    /// Upgraded by a newer version that this one is not compatible with.
    #[error(
        "the database has schema {schema}, whose lowest application schema is {lowest}; this version has schema \
         {APPLICATION_SCHEMA}. It was probably upgraded by a newer version: run that one. Nothing was changed",
        APPLICATION_SCHEMA = crate::APPLICATION_SCHEMA
    )]
    TooNew {
        /// The database's schema.
        schema: u32,
        /// The lowest application schema that may still use it.
        lowest: u32,
    },
    /// The database needs migrations and the command may not run them.
    #[error(
        "the database has schema {schema} and this version needs {APPLICATION_SCHEMA}: run `vimeo-connections \
         migrate`, or start the service, first",
        APPLICATION_SCHEMA = crate::APPLICATION_SCHEMA
    )]
    MigrationsPending {
        /// The database's schema.
        schema: u32,
    },
    /// An applied migration has another name than the one with its number here.
    #[error(
        "migration {number} of the database is called {found}, and {expected} here: it belongs to another version"
    )]
    MigrationMismatch {
        /// Its number.
        number: u32,
        /// Its name in the database.
        found: String,
        /// Its name in this version.
        expected: String,
    },
    /// Tables of another program.
    #[error(
        "the schema `public` of the database has tables of another program; it was left as it is. Give the service a \
         database of its own"
    )]
    ForeignSchema,
    /// A file that is being migrated to another engine.
    #[error(
        "the database {file} is being moved to {to}, and is read-only. Finish the move (`{resume}`), or take \
         the file back (`{abandon}`). Nothing was changed",
        file = path.display(), resume = move_command(path, "--to URL"), abandon = move_command(path, "--abandon")
    )]
    EngineMigrationRunning {
        /// The file.
        path: PathBuf,
        /// The target, without its password.
        to: String,
    },
    /// A file that was migrated to another engine.
    #[error(
        "the database {file} was moved to {to}: set database_url to that one. `{abandon}` takes the file back, without \
         anything that was written there since. Nothing was changed",
        file = path.display(), abandon = move_command(path, "--abandon")
    )]
    MigratedAway {
        /// The file.
        path: PathBuf,
        /// The target, without its password.
        to: String,
    },
    /// The target of an engine migration that has not completed.
    #[error(
        "the database is the unfinished copy of {from}, and cannot be used yet: rerun the `vimeo-connections \
         move` that creates it until it reports success. Nothing was changed"
    )]
    UnfinishedCopy {
        /// The source of the copy.
        from: String,
    },
    /// The connection to the server does not keep what `store.prepared_statements` relies on.
    #[error("the connection to the database server does not fit the configuration: {0}")]
    ServerConfiguration(String),
    /// The server cannot be reached, or rejects a statement.
    #[error("the database server cannot be used: {}", in_full(&**.0))]
    Server(BoxError),
    /// The engine's own error.
    #[error("the database cannot be opened: {0}")]
    Engine(#[source] BoxError),
}

/// Why a backup was not created, verified or restored. The messages are for the operator.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The engine is not SQLite.
    #[error(
        "`backup` and `restore` work on SQLite, and database_url names another engine: back it up and restore it with \
         that engine's own tools, as docs/operations.md says under \"Backing up\""
    )]
    OtherEngine,
    /// There is nothing to back up.
    #[error("there is no database at {}, so there is nothing to back up: database_url says where it is", .0.display())]
    NoDatabase(PathBuf),
    /// There is a file with the backup's name.
    #[error("{} exists already, and a backup never overwrites a file: give another name", .0.display())]
    Exists(PathBuf),
    /// The backup could not be written.
    #[error("the backup {} could not be made: {source}. No file was created", path.display())]
    NotWritten {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// There is no space to unpack it.
    #[error(
        "the backup {} has the right hash, but there is no space beside it to unpack its database: \
         {source}. Copy it to a writable directory with enough space, and check it there",
        path.display()
    )]
    NotUnpacked {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// The backup could not be read.
    #[error("the backup {} cannot be read: {source}. Nothing was changed", path.display())]
    NotRead {
        /// Its name.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
    /// A file of another program.
    #[error(
        "{} is not a backup that `vimeo-connections backup` made, or it is damaged from its first byte on. \
         Nothing was changed",
        .0.display()
    )]
    Foreign(PathBuf),
    /// A damaged backup.
    #[error("the backup {} is damaged: {what}. Nothing was changed; use another backup", path.display())]
    Damaged {
        /// Its name.
        path: PathBuf,
        /// The damage.
        what: String,
    },
    /// A backup in a newer format.
    #[error(
        "the backup {} has format {format}, and this version supports format 1: it was made by a newer \
         version, which can restore it. Nothing was changed",
        path.display()
    )]
    NewerFormat {
        /// Its name.
        path: PathBuf,
        /// Its format.
        format: String,
    },
    /// A backup of a database with a newer schema.
    #[error(
        "the backup {} has schema {schema}, which needs a version of schema {lowest} at least; this version has schema \
         {APPLICATION_SCHEMA}: it was made by a newer version, which can restore it. Nothing was changed",
        path.display(), APPLICATION_SCHEMA = crate::APPLICATION_SCHEMA
    )]
    NewerSchema {
        /// Its name.
        path: PathBuf,
        /// The schema of its database.
        schema: u32,
        /// The lowest application schema that may still use it.
        lowest: u32,
    },
    /// There is a file at the target of the restoration.
    #[error(
        "{} exists already, and a backup never overwrites it. Nothing was changed. Stop the service, move that \
         file and those beside it that begin with its name to another place, keep them until the restored \
         database has been checked, and run this again",
        .0.display()
    )]
    Occupied(PathBuf),
    /// The file system refused.
    #[error("the database could not be restored to {}: {source}. No database was created", path.display())]
    NotRestored {
        /// The target.
        path: PathBuf,
        /// Why.
        source: BoxError,
    },
}
