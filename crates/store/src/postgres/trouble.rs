//! What can go wrong with a statement, sorted by what is done next.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{DiskFull, in_full};
use crate::{BoxError, Error};

/// Why a statement gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It met another transaction and was undone: the same once more.
    Again(tokio_postgres::Error),
    /// The server refused it, and undid it.
    Refused(tokio_postgres::Error),
    /// It was not done, and the session is of no more use: the same in another one.
    Gone(BoxError),
    /// The session was lost, and nobody knows what became of the statement.
    Lost(BoxError),
    /// What came is not what the service writes.
    Corrupt(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Lost(told(&error).into()) };
        let code = said.code();
        let meets_another = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            // An account that was there when the statement began was deleted meanwhile: the next try sees that.
            SqlState::FOREIGN_KEY_VIOLATION,
        ];
        if meets_another.contains(code) {
            return Self::Again(error);
        }
        // The server was told to stop, or is a standby now: it undid what was not committed, and says so.
        if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            return Self::Gone(told(&error).into());
        }
        // As engines of several machines, and what stands before a server, say that they do not know.
        if *code == SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN || code.code().starts_with("08") {
            return Self::Lost(told(&error).into());
        }
        // Another process of the server crashed, for one: it may have been in the middle of this commit.
        if said.parsed_severity() != Some(Severity::Error) {
            return Self::Lost(told(&error).into());
        }
        if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED {
            return Self::Corrupt(told(&error));
        }
        Self::Refused(error)
    }
}

impl Trouble {
    /// Trouble on the way to a statement, before it was sent: it was not done.
    pub(super) fn before(error: tokio_postgres::Error) -> Self {
        match Self::from(error) {
            Self::Lost(cause) => Self::Gone(cause),
            other => other,
        }
    }

    /// What a read, or a write that was not done, says of it.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Corrupt(what) => Error::Corrupt(what),
            Self::Refused(error) if error.code() == Some(&SqlState::DISK_FULL) => {
                Error::Unavailable(Box::new(DiskFull::Server(told(&error))))
            }
            Self::Again(error) | Self::Refused(error) => Error::Unavailable(told(&error).into()),
            Self::Gone(cause) | Self::Lost(cause) => Error::Unavailable(cause),
        }
    }

    /// What the server said, if it refused what a row holds and not the statement.
    pub(super) fn refused_data(&self) -> Option<&str> {
        let (Self::Refused(error) | Self::Again(error)) = self else { return None };
        let said = error.as_db_error()?;
        // A value that a type cannot hold, a constraint, a limit of the program.
        let is_about_data = ["22", "23", "54"].iter().any(|class| said.code().code().starts_with(class));
        is_about_data.then(|| said.message())
    }

    /// The server's code, if it refused.
    pub(super) fn refusal(&self) -> Option<&SqlState> {
        match self {
            Self::Refused(error) => error.code(),
            _ => None,
        }
    }
}

/// Whether a notice says that a commit is durable here and perhaps nowhere else: the wait for the standby was broken
/// off. The texts are translated; the server's source file is not.
pub(super) fn is_replication_doubt(notice: &DbError) -> bool {
    notice.file().is_some_and(|file| file.ends_with("syncrep.c"))
}

/// An error in words that are fit for a log: the server's code and, where it cannot quote what is stored, its sentence.
/// Its details do quote rows.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    /// Data and constraints: the sentences about them quote values.
    const QUOTING: [&str; 4] = ["21", "22", "23", "44"];
    let Some(said) = error.as_db_error() else { return in_full(error) };
    let code = said.code().code();
    let names = [said.table(), said.constraint()].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let what =
        if code.get(..2).is_some_and(|class| QUOTING.contains(&class)) { &names } else { said.message() };
    format!("{} {code}: {what}", said.severity())
}
