//! The kinds of writes: those that share a statement with others of their kind, and those that have a transaction alone.

use std::hash::Hash;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;

use super::pg_error::PgError;
use super::sessions::Session;
use crate::Error;

/// One kind of write.
#[async_trait]
pub(super) trait Write: Send + Sync + Sized + 'static {
    /// What it returns.
    type Answer: Send + 'static;

    /// The audit event that is written in the same transaction, whose identifier is the operation's, and the answer if that
    /// event is found. `None`: the write returns the right answer when it is repeated.
    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        None
    }

    /// Runs them in one transaction. One answer for each, in order; `None` for one that must run alone.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError>;
}

pub(super) type Answers<W> = Vec<Option<Result<<W as Write>::Answer, Error>>>;

/// A kind of write of which many share a statement.
pub(super) trait BatchWrite: Write {
    /// Two writes of one statement must have different keys.
    type Key: Hash + Eq + Send;

    fn key(&self) -> Self::Key;
    /// The account whose data it writes.
    fn account(&self) -> &AccountId;
}

/// A rare kind of write, each in a transaction of its own.
#[async_trait]
pub(super) trait SingleWrite: Send + Sync + Sized + 'static {
    /// What it returns.
    type Answer: Send + 'static;

    /// See [`Write::audit_marker`].
    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        None
    }

    /// Runs it. The inner `Err` is a refusal.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError>;
}

#[async_trait]
impl<W: SingleWrite> Write for W {
    type Answer = <W as SingleWrite>::Answer;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        SingleWrite::audit_marker(self)
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let mut answers = Vec::new();
        for write in writes {
            answers.push(Some(SingleWrite::run(*write, session).await?));
        }
        Ok(answers)
    }
}
