//! What a write is to the writer: one that shares statements with others of its kind, or one that stands alone.

use std::hash::Hash;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;

use super::sessions::Session;
use super::trouble::Trouble;
use crate::Error;

/// One kind of write.
#[async_trait]
pub(super) trait Write: Send + Sync + Sized + 'static {
    /// What it is answered.
    type Answer: Send + 'static;

    /// The event that is written together with it, whose identifier is the operation's, and the answer if it is there.
    /// `None`: doing it again gives the right answer by itself.
    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        None
    }

    /// Runs them in one transaction. An answer for each, in order; `None` for one that has to be run alone.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble>;
}

pub(super) type Answers<W> = Vec<Option<Result<<W as Write>::Answer, Error>>>;

/// A kind of which many share a statement.
pub(super) trait SharedWrite: Write {
    /// What two writes of one statement must differ in.
    type Key: Hash + Eq + Send;

    fn key(&self) -> Self::Key;
    /// Whose data it writes.
    fn account(&self) -> &AccountId;
}

/// A rare kind, of which each has a transaction of its own.
#[async_trait]
pub(super) trait LoneWrite: Send + Sync + Sized + 'static {
    /// What it is answered.
    type Answer: Send + 'static;

    /// See [`Write::recorded`].
    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        None
    }

    /// Does it; a refusal is an answer too.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, Trouble>;
}

#[async_trait]
impl<W: LoneWrite> Write for W {
    type Answer = <W as LoneWrite>::Answer;

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        LoneWrite::recorded(self)
    }

    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        let mut answers = Vec::new();
        for write in writes {
            answers.push(Some(LoneWrite::run(*write, session).await?));
        }
        Ok(answers)
    }
}
