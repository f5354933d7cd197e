//! The queues of writes: those of one kind that wait at the same time share a statement.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::connector::Connector;
use super::write_runner;
use super::writer_pool::WriterPool;
use super::writes::{BatchWrite, SingleWrite, Write};
use crate::{Coalesce, Error, PostgresOptions};

/// Most writes that share a statement: enough that the sync no longer matters, few enough that none waits long.
const BATCH_MAX: usize = 64;

/// A write in a queue, and where its answer is sent.
pub(super) struct PendingWrite<W: Write> {
    pub(super) write: W,
    reply: oneshot::Sender<Result<W::Answer, Error>>,
    /// Counts against the limit of writes that may wait.
    place: OwnedSemaphorePermit,
}

impl<W: Write> PendingWrite<W> {
    pub(super) fn answer(self, answer: Result<W::Answer, Error>) {
        // Before the answer: its receiver may queue the next write at once.
        drop(self.place);
        // A caller that disconnected does not receive it.
        let _ = self.reply.send(answer);
    }

    /// Whether the caller no longer waits for the answer.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Where writes start.
pub(super) struct WriteQueues {
    pool: Arc<WriterPool>,
    tasks: TaskTracker,
    /// One permit for each write that may wait. Closed when the store is.
    places: Arc<Semaphore>,
    /// The number of permits.
    capacity: usize,
    coalesce: Coalesce,
}

impl WriteQueues {
    pub(super) fn new(connector: &Arc<Connector>, options: &PostgresOptions, capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            pool: WriterPool::new(connector, options.writers.max(1)),
            tasks: TaskTracker::new(),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            coalesce: options.coalesce,
        }
    }

    /// Opens the sessions before they are needed.
    pub(super) fn demand(&self) {
        self.pool.demand();
    }

    /// The number of writes that wait or are being committed.
    pub(super) fn queued(&self) -> usize {
        self.capacity.saturating_sub(self.places.available_permits())
    }

    /// A queue for one kind of write.
    pub(super) fn queue<W: BatchWrite>(&self) -> Queue<W> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let dispatcher =
            Dispatcher { inbox, pool: self.pool.clone(), tasks: self.tasks.clone(), coalesce: self.coalesce };
        self.tasks.spawn(dispatcher.run());
        Queue { sender: Mutex::new(Some(sender)), places: self.places.clone() }
    }

    /// Runs a write of a rare kind.
    pub(super) async fn write<W: SingleWrite>(&self, write: W) -> Result<<W as SingleWrite>::Answer, Error> {
        let (pending, answer) = pending(&self.places, write)?;
        let pool = self.pool.clone();
        // In a task of its own: a caller that disconnects must not leave a transaction open.
        self.tasks.spawn(async move {
            if let Some(writer) = pool.acquire().await {
                write_runner::complete(&writer, vec![pending]).await;
            }
        });
        answer.instrument(write_span()).await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Accepts no more writes, and completes those that wait. The queues must be closed first.
    pub(super) async fn close(&self) {
        self.places.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The span of a write in a trace.
fn write_span() -> Span {
    tracing::debug_span!(target: "otlp", "store.write")
}

type Answer<W> = oneshot::Receiver<Result<<W as Write>::Answer, Error>>;

fn pending<W: Write>(places: &Arc<Semaphore>, write: W) -> Result<(PendingWrite<W>, Answer<W>), Error> {
    let place = places.clone().try_acquire_owned().map_err(|error| match error {
        tokio::sync::TryAcquireError::NoPermits => {
            metrics::record_rejected_write();
            Error::Overloaded
        }
        tokio::sync::TryAcquireError::Closed => Error::Unavailable("the store is closed".into()),
    })?;
    let (reply, answer) = oneshot::channel();
    Ok((PendingWrite { write, reply, place }, answer))
}

/// The queue of one kind of write.
pub(super) struct Queue<W: Write> {
    /// `None` once closed.
    sender: Mutex<Option<mpsc::UnboundedSender<PendingWrite<W>>>>,
    places: Arc<Semaphore>,
}

impl<W: BatchWrite> Queue<W> {
    /// Queues a write and waits until it is durable. Dropping the future before the write runs withdraws it.
    pub(super) async fn write(&self, write: W) -> Result<W::Answer, Error> {
        let (pending, answer) = pending(&self.places, write)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_sent = sender.is_some_and(|sender| sender.send(pending).is_ok());
        if !is_sent {
            return Err(Error::Unavailable("the store is closed".into()));
        }
        answer.instrument(write_span()).await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Makes batches of the writes that wait, as sessions become free.
struct Dispatcher<W: Write> {
    inbox: mpsc::UnboundedReceiver<PendingWrite<W>>,
    pool: Arc<WriterPool>,
    tasks: TaskTracker,
    coalesce: Coalesce,
}

impl<W: BatchWrite> Dispatcher<W> {
    async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(first) => waiting.push_back(first),
                    None => return,
                }
            }
            let Some(writer) = self.pool.acquire().await else { return };
            while let Ok(next) = self.inbox.try_recv() {
                waiting.push_back(next);
            }
            let batch = take_batch(&mut waiting, self.coalesce);
            if !batch.is_empty() {
                self.tasks.spawn(async move { write_runner::complete(&writer, batch).await });
            }
        }
    }
}

/// The first writes that may share a statement; the others keep their order.
fn take_batch<W: BatchWrite>(
    waiting: &mut VecDeque<PendingWrite<W>>,
    coalesce: Coalesce,
) -> Vec<PendingWrite<W>> {
    let mut batch: Vec<PendingWrite<W>> = Vec::new();
    let mut keys = HashSet::new();
    let mut left = VecDeque::new();
    while let Some(next) = waiting.pop_front() {
        if next.is_abandoned() {
            continue;
        }
        let is_of_account = coalesce == Coalesce::All
            || batch.first().is_none_or(|first| first.write.account() == next.write.account());
        if batch.len() < BATCH_MAX && is_of_account && keys.insert(next.write.key()) {
            batch.push(next);
        } else {
            left.push_back(next);
        }
        if batch.len() == BATCH_MAX {
            break;
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

#[cfg(test)]
mod tests {
    use domain::audit::Actor;

    use super::super::audit_events::InsertAuditEvent;
    use super::*;
    use crate::contract::samples;

    type Replies = Vec<Answer<InsertAuditEvent>>;

    /// Events of these accounts, waiting in this order; events with one number have one key.
    fn waiting(events: &[(u8, u32)]) -> (VecDeque<PendingWrite<InsertAuditEvent>>, Replies) {
        let places = Arc::new(Semaphore::new(events.len()));
        let waiting = events.iter().map(|(account, number)| {
            let account = samples::account(*account).id;
            let event = samples::event(&account, *number, Actor::Operator, "any");
            pending(&places, InsertAuditEvent { event }).unwrap()
        });
        waiting.unzip()
    }

    fn batches(mut waiting: VecDeque<PendingWrite<InsertAuditEvent>>, coalesce: Coalesce) -> Vec<Vec<u32>> {
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let batch = take_batch(&mut waiting, coalesce);
            let number = |one: &PendingWrite<InsertAuditEvent>| {
                one.write.event.id.as_str().trim_start_matches("2026013109050004").parse().unwrap()
            };
            batches.push(batch.iter().map(number).collect());
        }
        batches
    }

    #[test]
    fn writes_with_equal_keys_or_other_accounts_go_to_later_batches() {
        let (queue, _replies) = waiting(&[(1, 5), (2, 6), (1, 5), (1, 7), (1, 5), (2, 6)]);
        assert_eq!(batches(queue, Coalesce::All), [vec![5, 6, 7], vec![5, 6], vec![5]]);
        let (queue, _replies) = waiting(&[(1, 5), (2, 6), (1, 5), (1, 7), (3, 8), (2, 9)]);
        assert_eq!(batches(queue, Coalesce::Account), [vec![5, 7], vec![6, 9], vec![5], vec![8]]);
    }

    #[test]
    fn a_batch_has_at_most_64_writes_and_none_that_was_withdrawn() {
        let events: Vec<_> = (100..300).map(|number| (1, number)).collect();
        let (queue, mut replies) = waiting(&events);
        replies.truncate(150);
        let batches = batches(queue, Coalesce::All);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
        assert_eq!(batches.concat(), (100..250).collect::<Vec<_>>());
    }
}
