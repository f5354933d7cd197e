//! The errors of a statement, sorted by what is done next.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{DiskFull, in_full};
use crate::{BoxError, Error};

/// What to do about a pooler that gives each transaction another session of the server.
pub(super) const POOLER_ADVICE: &str = "a connection pooler in transaction mode is between the service and the database: set \
     store.prepared_statements = \"transaction\", or put the pooler into session mode";

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum PgError {
    /// It conflicted with another transaction and was rolled back: retry it.
    Conflict(tokio_postgres::Error),
    /// The server rejected it and rolled it back.
    Rejected(tokio_postgres::Error),
    /// It was not executed, and the session cannot be used again: retry it in another one.
    NotExecuted(BoxError),
    /// The session was lost, and whether the statement was executed is not known.
    OutcomeUnknown(BoxError),
    /// A value is not one that the service writes.
    Corrupt(String),
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(reported) = error.as_db_error() else {
            return Self::OutcomeUnknown(redacted(&error).into());
        };
        let code = reported.code();
        let conflicts = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            // An account that existed when the statement started was deleted meanwhile: the retry sees that.
            SqlState::FOREIGN_KEY_VIOLATION,
        ];
        if conflicts.contains(code) {
            return Self::Conflict(error);
        }
        // The server is shutting down, or is a standby now: it rolled back what was not committed.
        if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Self::NotExecuted(redacted(&error).into());
        }
        // Distributed engines, and proxies in front of a server, report an unknown outcome with these codes.
        if *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN || code.code().starts_with("08") {
            return Self::OutcomeUnknown(redacted(&error).into());
        }
        // For example a crash of another server process, which may have interrupted this commit.
        if reported.parsed_severity() != Some(Severity::Error) {
            return Self::OutcomeUnknown(redacted(&error).into());
        }
        if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED {
            return Self::Corrupt(redacted(&error));
        }
        Self::Rejected(error)
    }
}

impl PgError {
    /// An error before the statement was sent: it was not executed.
    pub(super) fn before_execution(error: tokio_postgres::Error) -> Self {
        match Self::from(error) {
            Self::OutcomeUnknown(cause) => Self::NotExecuted(cause),
            other => other,
        }
    }

    /// The error of a read, or of a write that was not executed.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Corrupt(what) => Error::Corrupt(what),
            Self::Rejected(error) if error.code() == Some(&SqlState::DISK_FULL) => {
                Error::Unavailable(Box::new(DiskFull::Server(redacted(&error))))
            }
            Self::Rejected(error) if has_pooler_code(&error) => {
                let text = format!("{}: {POOLER_ADVICE}", redacted(&error));
                tracing::error!(cause = text, "the configuration of the database connection is wrong");
                Error::Unavailable(text.into())
            }
            Self::Conflict(error) | Self::Rejected(error) => Error::Unavailable(redacted(&error).into()),
            Self::NotExecuted(cause) | Self::OutcomeUnknown(cause) => Error::Unavailable(cause),
        }
    }

    /// The server's message, if it rejected the values of a row and not the statement.
    pub(super) fn rejected_data(&self) -> Option<&str> {
        let (Self::Rejected(error) | Self::Conflict(error)) = self else { return None };
        let reported = error.as_db_error()?;
        // A value that its type cannot hold, a constraint, a limit of the program.
        let is_about_data = ["22", "23", "54"].iter().any(|class| reported.code().code().starts_with(class));
        is_about_data.then(|| reported.message())
    }

    /// Whether the statement failed because of a pooler in the wrong mode.
    pub(super) fn is_pooler_fault(&self) -> bool {
        matches!(self, Self::Rejected(error) if has_pooler_code(error))
    }

    /// The server's code, if it rejected the statement.
    pub(super) fn rejection(&self) -> Option<&SqlState> {
        match self {
            Self::Rejected(error) => error.code(),
            _ => None,
        }
    }
}

/// Whether a prepared statement is not known to the session that was to run it, or its name is known to another one: then
/// statements of one session reach several sessions of the server.
fn has_pooler_code(error: &tokio_postgres::Error) -> bool {
    let codes = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Whether a notice says that a commit is durable on the primary and perhaps not on the standby, because the wait for the
/// standby was cancelled. The messages are translated; the name of the server's source file is not.
pub(super) fn is_commit_warning(notice: &DbError) -> bool {
    notice.file().is_some_and(|file| file.ends_with("syncrep.c"))
}

/// An error as it may be logged: the server's code and, unless it can quote stored values, its message. The details of a
/// database error do quote rows.
pub(super) fn redacted(error: &tokio_postgres::Error) -> String {
    /// Data and constraints: messages of these classes quote values.
    const QUOTING: [&str; 4] = ["21", "22", "23", "44"];
    let Some(reported) = error.as_db_error() else { return in_full(error) };
    let code = reported.code().code();
    let names =
        [reported.table(), reported.constraint()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let is_quoting = code.get(..2).is_some_and(|class| QUOTING.contains(&class));
    let what = if is_quoting { &names } else { reported.message() };
    format!("{} {code}: {what}", reported.severity())
}
