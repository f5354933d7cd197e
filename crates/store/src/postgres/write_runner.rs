//! Running writes until each has its answer.
//!
//! A refusal (a taken name) is an answer and affects no other write. A batch that the server rejects as a whole is run again,
//! one write at a time. When a session is lost in the middle, the identifier of each operation shows whether it was
//! committed; only where that cannot be found out is the outcome unknown.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::audit_events;
use super::pg_error::{PgError, redacted};
use super::sessions::Session;
use super::write_queues::PendingWrite;
use super::writer_pool::Writer;
use super::writes::{Answers, Write};
use crate::error::{DiskFull, in_full};
use crate::{BoxError, Error};

/// How often a write that conflicts with another transaction is tried.
const TRIES: u32 = 10;
/// The pause between these tries, times the number of the try.
const TRY_PAUSE: Duration = Duration::from_millis(5);
/// How long the outcome of a write is looked for after its session was lost.
const RESOLVING: Duration = Duration::from_secs(10);
/// The pause between two attempts at that.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);

/// Runs writes until each is answered.
pub(super) async fn complete<W: Write>(writer: &Writer, batch: Vec<PendingWrite<W>>) {
    let mut batches = VecDeque::from([(0, batch)]);
    let mut give_up_at = None;
    while let Some((rounds, mut batch)) = batches.pop_front() {
        // As late as possible: the wait for a session may have outlasted the caller.
        batch.retain(|pending| !pending.is_abandoned());
        if batch.is_empty() {
            continue;
        }
        let started = Instant::now();
        if give_up_at.is_some_and(|at| at <= started) {
            refuse(batch, &Error::Unavailable("other transactions hold the locks".into()));
            continue;
        }
        let size = batch.len();
        match run(writer, &batch).await {
            Ok(answers) => {
                metrics::record_write_batch(size, started.elapsed());
                let answered = batch.into_iter().zip(answers);
                let alone = answered.filter_map(|(pending, answer)| match answer {
                    Some(answer) => {
                        pending.answer(answer);
                        None
                    }
                    None if rounds < TRIES => Some((rounds + 1, vec![pending])),
                    None => {
                        pending.answer(Err(Error::Unavailable(
                            "concurrent changes to the same row kept it from being written".into(),
                        )));
                        None
                    }
                });
                batches.extend(alone);
            }
            Err(PgError::OutcomeUnknown(cause)) => resolve(writer, batch, cause).await,
            // Another transaction holds a lock that one of them needs. The others run first, with one limit for all.
            Err(error) if error.rejection() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                give_up_at.get_or_insert(started + writer.pool.timeout);
                batches.extend(batch.into_iter().map(|pending| (rounds, vec![pending])));
            }
            Err(error @ (PgError::Rejected(_) | PgError::Corrupt(_) | PgError::Conflict(_)))
                if batch.len() > 1 =>
            {
                // One limit for all: each in turn would wait as long as the batch did.
                if error.rejection() == Some(&SqlState::QUERY_CANCELED) {
                    give_up_at.get_or_insert(Instant::now() + writer.pool.timeout);
                }
                batches.extend(batch.into_iter().map(|pending| (rounds + 1, vec![pending])));
            }
            Err(error) => refuse(batch, &error.into_error()),
        }
    }
}

/// Answers each with the same error.
fn refuse<W: Write>(batch: Vec<PendingWrite<W>>, error: &Error) {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), in_full);
    for pending in batch {
        pending.answer(Err(match error {
            Error::Corrupt(what) => Error::Corrupt(what.clone()),
            Error::Unavailable(cause) if let Some(full) = cause.downcast_ref::<DiskFull>() => {
                Error::Unavailable(Box::new(full.clone()))
            }
            _ => Error::Unavailable(cause.clone().into()),
        }));
    }
}

/// Runs a batch; again if it conflicts with another transaction, or if its session turns out to be closed.
async fn run<W: Write>(pooled: &Writer, batch: &[PendingWrite<W>]) -> Result<Answers<W>, PgError> {
    let writes: Vec<_> = batch.iter().map(|pending| &pending.write).collect();
    let (mut tries, mut sessions) = (0, 0);
    loop {
        let session = pooled.session().await.map_err(|error| PgError::NotExecuted(Box::new(error)))?;
        session.take_commit_warning();
        let result = W::run(&session, &writes).await;
        let has_warning = session.take_commit_warning();
        match result {
            Err(PgError::Conflict(error)) if tries < TRIES => {
                tracing::debug!(error = redacted(&error), "a write conflicted with another one: retrying");
                tries += 1;
                tokio::time::sleep(TRY_PAUSE * tries).await;
            }
            Err(PgError::NotExecuted(_)) if sessions == 0 => sessions += 1,
            Ok(mut answers) if has_warning => {
                tracing::warn!("a commit may be missing on the standby: its outcome is not known");
                for answer in answers.iter_mut().flatten().filter(|answer| answer.is_ok()) {
                    *answer = Err(Error::OutcomeUnknown);
                }
                return Ok(answers);
            }
            // Committed on the primary, perhaps not on the standby, and then the session ended: this cannot be resolved.
            Err(_) if has_warning => {
                return Ok(writes.iter().map(|_| Some(Err(Error::OutcomeUnknown))).collect());
            }
            result => return result,
        }
    }
}

/// Finds out which writes of a lost session were committed, and runs the others.
async fn resolve<W: Write>(writer: &Writer, batch: Vec<PendingWrite<W>>, cause: BoxError) {
    tracing::warn!(
        cause = in_full(&*cause),
        writes = batch.len(),
        "the database connection was lost during a write: checking whether it was committed"
    );
    let deadline = Instant::now() + RESOLVING;
    let mut left = batch;
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(RESOLVE_PAUSE).await;
        let Ok(session) = writer.session().await else { continue };
        let mut unknown = Vec::new();
        for pending in left {
            // Each may wait for a lock, or for the standby.
            if Instant::now() >= deadline {
                unknown.push(pending);
                continue;
            }
            match run_again(&session, &pending.write).await {
                Some(answer) => pending.answer(answer),
                None => unknown.push(pending),
            }
        }
        left = unknown;
    }
    for pending in left {
        pending.answer(Err(Error::OutcomeUnknown));
    }
}

/// Runs a write that may have been committed before; `None` while that cannot be known.
async fn run_again<W: Write>(session: &Session, write: &W) -> Option<Result<W::Answer, Error>> {
    if let Some(answer) = committed_before(session, write).await.ok()? {
        return Some(Ok(answer));
    }
    let result = W::run(session, &[write]).await;
    if session.take_commit_warning() {
        return Some(Err(Error::OutcomeUnknown));
    }
    let refused = match result {
        Ok(mut answers) => match answers.pop().flatten()? {
            Ok(answer) => return Some(Ok(answer)),
            Err(error) => error,
        },
        Err(error @ (PgError::Rejected(_) | PgError::Corrupt(_))) => error.into_error(),
        Err(PgError::Conflict(_) | PgError::NotExecuted(_) | PgError::OutcomeUnknown(_)) => return None,
    };
    // A write that is refused now may have been committed by the first attempt, which was still running until now.
    Some(committed_before(session, write).await.ok()?.ok_or(refused))
}

/// The answer to a write that was committed already.
async fn committed_before<W: Write>(session: &Session, write: &W) -> Result<Option<W::Answer>, PgError> {
    let Some((event, answer)) = write.audit_marker() else { return Ok(None) };
    session.take_commit_warning();
    let is_committed = audit_events::is_recorded(session, event).await?;
    if session.take_commit_warning() {
        return Err(PgError::OutcomeUnknown("the wait for the standby was cancelled".into()));
    }
    Ok(is_committed.then_some(answer))
}
