//! Writes: those of one kind that wait at the same time share a statement, and each gets its own answer.
//!
//! A refusal (a taken name) is a clean answer and disturbs no other write. A batch that the server refuses as a whole is
//! run again one by one. When a connection is lost in the middle, what became of each write is found out by its
//! operation's identifier; only where that cannot be is its outcome unknown.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;

use super::audit_events;
use super::sessions::{Connector, Session, Slot};
use super::trouble::{Trouble, told};
use super::writes::{Answers, LoneWrite, SharedWrite, Write};
use crate::error::{DiskFull, in_full};
use crate::{BoxError, Coalesce, Error, PostgresOptions};

/// Most writes that share a statement: enough that the sync no longer counts, few enough that none waits long.
const BATCH_MAX: usize = 64;
/// How often a write that met another transaction is tried.
const TRIES: u32 = 10;
/// Between these tries, times the number of the try.
const TRY_PAUSE: Duration = Duration::from_millis(5);
/// How long the outcome of a write is looked for after its connection was lost.
const RESOLVING: Duration = Duration::from_secs(10);
/// Between two looks.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);

/// A write, and where its answer goes.
struct Waiting<W: Write> {
    write: W,
    reply: oneshot::Sender<Result<W::Answer, Error>>,
    /// Its place in the queue of all that wait.
    place: OwnedSemaphorePermit,
}

impl<W: Write> Waiting<W> {
    fn answer(self, answer: Result<W::Answer, Error>) {
        // Whoever hears the answer may come with the next write at once.
        drop(self.place);
        // Whoever hung up meanwhile is not told.
        let _ = self.reply.send(answer);
    }
}

/// The sessions that write, each for one batch at a time.
pub(super) struct Lanes {
    idle: Mutex<Vec<Slot>>,
    free: Arc<Semaphore>,
    /// How long one statement may take.
    timeout: Duration,
}

/// A session's slot, lent.
struct Lane {
    lanes: Arc<Lanes>,
    slot: Option<Slot>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    fn new(connector: &Arc<Connector>, count: usize) -> Arc<Self> {
        let slots = (0..count).map(|_| Slot::new(connector)).collect();
        Arc::new(Self {
            idle: Mutex::new(slots),
            free: Arc::new(Semaphore::new(count)),
            timeout: connector.timeout(),
        })
    }

    async fn lend(self: &Arc<Self>) -> Option<Lane> {
        let permit = self.free.clone().acquire_owned().await.ok()?;
        // The last one that was given back: one that is open, if not all are.
        let slot = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Some(Lane { lanes: self.clone(), slot, _permit: permit })
    }
}

impl Lane {
    async fn session(&self) -> Result<Arc<Session>, Error> {
        match &self.slot {
            Some(slot) => slot.session().await,
            None => Err(Error::Unavailable("no connection is free".into())),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.slot.take());
    }
}

/// Where writes begin.
pub(super) struct Writer {
    lanes: Arc<Lanes>,
    tasks: TaskTracker,
    /// Places for writes that wait. Closed when the store is.
    places: Arc<Semaphore>,
    coalesce: Coalesce,
}

impl Writer {
    pub(super) fn new(connector: &Arc<Connector>, options: &PostgresOptions, queue: usize) -> Self {
        Self {
            lanes: Lanes::new(connector, options.writers.max(1)),
            tasks: TaskTracker::new(),
            places: Arc::new(Semaphore::new(queue.clamp(1, Semaphore::MAX_PERMITS))),
            coalesce: options.coalesce,
        }
    }

    /// Opens the sessions before they are needed.
    pub(super) fn demand(&self) {
        self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Slot::demand);
    }

    /// A queue for one kind of write.
    pub(super) fn queue<W: SharedWrite>(&self) -> Queue<W> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let dispatcher = Dispatcher {
            inbox,
            lanes: self.lanes.clone(),
            tasks: self.tasks.clone(),
            coalesce: self.coalesce,
        };
        self.tasks.spawn(dispatcher.run());
        Queue { sender: Mutex::new(Some(sender)), places: self.places.clone() }
    }

    /// Does a write of a rare kind, which shares nothing.
    pub(super) async fn write<W: LoneWrite>(&self, write: W) -> Result<<W as LoneWrite>::Answer, Error> {
        let (waiting, answer) = wait(&self.places, write)?;
        let lanes = self.lanes.clone();
        // In a task of its own: nobody who hangs up may leave a transaction open.
        self.tasks.spawn(async move {
            if let Some(lane) = lanes.lend().await {
                settle(&lane, vec![waiting]).await;
            }
        });
        answer.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// Takes no more writes, and finishes those that wait. The queues must be closed before.
    pub(super) async fn close(&self) {
        self.places.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

type Answer<W> = oneshot::Receiver<Result<<W as Write>::Answer, Error>>;

fn wait<W: Write>(places: &Arc<Semaphore>, write: W) -> Result<(Waiting<W>, Answer<W>), Error> {
    let place = places.clone().try_acquire_owned().map_err(|error| match error {
        tokio::sync::TryAcquireError::NoPermits => Error::Overloaded,
        tokio::sync::TryAcquireError::Closed => Error::Unavailable("the store is closed".into()),
    })?;
    let (reply, answer) = oneshot::channel();
    Ok((Waiting { write, reply, place }, answer))
}

/// Where writes of one kind wait for each other.
pub(super) struct Queue<W: Write> {
    /// `None` once closed.
    sender: Mutex<Option<mpsc::UnboundedSender<Waiting<W>>>>,
    places: Arc<Semaphore>,
}

impl<W: SharedWrite> Queue<W> {
    /// Queues a write and waits until it is durable. Dropping the future before its turn comes withdraws the write.
    pub(super) async fn write(&self, write: W) -> Result<W::Answer, Error> {
        let (waiting, answer) = wait(&self.places, write)?;
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = sender.is_some_and(|sender| sender.send(waiting).is_ok());
        if !sent {
            return Err(Error::Unavailable("the store is closed".into()));
        }
        answer.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    pub(super) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Makes batches of what waits, as sessions become free.
struct Dispatcher<W: Write> {
    inbox: mpsc::UnboundedReceiver<Waiting<W>>,
    lanes: Arc<Lanes>,
    tasks: TaskTracker,
    coalesce: Coalesce,
}

impl<W: SharedWrite> Dispatcher<W> {
    async fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.inbox.recv().await {
                    Some(first) => waiting.push_back(first),
                    None => return,
                }
            }
            let Some(lane) = self.lanes.lend().await else { return };
            while let Ok(next) = self.inbox.try_recv() {
                waiting.push_back(next);
            }
            let batch = take_batch(&mut waiting, self.coalesce);
            if !batch.is_empty() {
                self.tasks.spawn(async move { settle(&lane, batch).await });
            }
        }
    }
}

/// The first that wait and may share a statement; the others keep their order.
fn take_batch<W: SharedWrite>(waiting: &mut VecDeque<Waiting<W>>, coalesce: Coalesce) -> Vec<Waiting<W>> {
    let mut batch: Vec<Waiting<W>> = Vec::new();
    let mut keys = HashSet::new();
    let mut left = VecDeque::new();
    while let Some(next) = waiting.pop_front() {
        if next.reply.is_closed() {
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

/// Brings writes to their answers, whatever happens on the way.
async fn settle<W: Write>(lane: &Lane, batch: Vec<Waiting<W>>) {
    let mut batches = VecDeque::from([(0, batch)]);
    let mut given_up_at = None;
    while let Some((rounds, mut batch)) = batches.pop_front() {
        // Asked as late as can be: waiting for a session may have taken longer than the caller's patience.
        batch.retain(|waiting| !waiting.reply.is_closed());
        if batch.is_empty() {
            continue;
        }
        let begun = Instant::now();
        if given_up_at.is_some_and(|at| at <= begun) {
            refuse(batch, &Error::Unavailable("others hold what is to be written".into()));
            continue;
        }
        match run(lane, &batch).await {
            Ok(answers) => {
                let answered = batch.into_iter().zip(answers);
                let alone = answered.filter_map(|(waiting, answer)| match answer {
                    Some(answer) => {
                        waiting.answer(answer);
                        None
                    }
                    None if rounds < TRIES => Some((rounds + 1, vec![waiting])),
                    None => {
                        waiting.answer(Err(Error::Unavailable(
                            "concurrent changes to the same row kept it from being written".into(),
                        )));
                        None
                    }
                });
                batches.extend(alone);
            }
            Err(Trouble::Lost(cause)) => resolve(lane, batch, cause).await,
            // Somebody else holds what one of them needs. The others go before it, and all together have a limit.
            Err(trouble) if trouble.refusal() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                given_up_at.get_or_insert(begun + lane.lanes.timeout);
                batches.extend(batch.into_iter().map(|waiting| (rounds, vec![waiting])));
            }
            Err(trouble @ (Trouble::Refused(_) | Trouble::Corrupt(_) | Trouble::Again(_)))
                if batch.len() > 1 =>
            {
                // Not each shall wait as long as all of them have, one behind the other.
                if trouble.refusal() == Some(&SqlState::QUERY_CANCELED) {
                    given_up_at.get_or_insert(Instant::now() + lane.lanes.timeout);
                }
                batches.extend(batch.into_iter().map(|waiting| (rounds + 1, vec![waiting])));
            }
            Err(trouble) => refuse(batch, &trouble.into_error()),
        }
    }
}

/// Tells each that it was not done.
fn refuse<W: Write>(batch: Vec<Waiting<W>>, error: &Error) {
    let cause = error_text(error);
    for waiting in batch {
        waiting.answer(Err(match error {
            Error::Corrupt(what) => Error::Corrupt(what.clone()),
            Error::Unavailable(cause) if let Some(full) = cause.downcast_ref::<DiskFull>() => {
                Error::Unavailable(Box::new(full.clone()))
            }
            _ => Error::Unavailable(cause.clone().into()),
        }));
    }
}

fn error_text(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), in_full)
}

/// Runs a batch; again if it met another transaction, or if its session turned out to be gone.
async fn run<W: Write>(lane: &Lane, batch: &[Waiting<W>]) -> Result<Answers<W>, Trouble> {
    let writes: Vec<_> = batch.iter().map(|waiting| &waiting.write).collect();
    let (mut tries, mut sessions) = (0, 0);
    loop {
        let session = lane.session().await.map_err(|error| Trouble::Gone(Box::new(error)))?;
        session.take_doubt();
        let result = W::run(&session, &writes).await;
        let is_in_doubt = session.take_doubt();
        match result {
            Err(Trouble::Again(error)) if tries < TRIES => {
                tracing::debug!(error = told(&error), "a write met another one and is tried again");
                tries += 1;
                tokio::time::sleep(TRY_PAUSE * tries).await;
            }
            Err(Trouble::Gone(_)) if sessions == 0 => sessions += 1,
            Ok(mut answers) if is_in_doubt => {
                tracing::warn!("a commit may be missing on the standby: its outcome is not known");
                for answer in answers.iter_mut().flatten().filter(|answer| answer.is_ok()) {
                    *answer = Err(Error::OutcomeUnknown);
                }
                return Ok(answers);
            }
            // Committed here, perhaps not there, and then the connection ended: only time can tell.
            Err(_) if is_in_doubt => {
                return Ok(writes.iter().map(|_| Some(Err(Error::OutcomeUnknown))).collect());
            }
            result => return result,
        }
    }
}

/// Finds out what became of writes whose connection was lost, and does those that were not done.
async fn resolve<W: Write>(lane: &Lane, batch: Vec<Waiting<W>>, cause: BoxError) {
    tracing::warn!(
        cause = in_full(&*cause),
        writes = batch.len(),
        "the database was lost in the middle of writing: finding out what became of it"
    );
    let deadline = Instant::now() + RESOLVING;
    let mut left = batch;
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(RESOLVE_PAUSE).await;
        let Ok(session) = lane.session().await else { continue };
        let mut unknown = Vec::new();
        for waiting in left {
            // Each may wait for a lock, or for the standby.
            if Instant::now() >= deadline {
                unknown.push(waiting);
                continue;
            }
            match run_again(&session, &waiting.write).await {
                Some(answer) => waiting.answer(answer),
                None => unknown.push(waiting),
            }
        }
        left = unknown;
    }
    for waiting in left {
        waiting.answer(Err(Error::OutcomeUnknown));
    }
}

/// Does a write that may have been done before; `None` while that cannot be known.
async fn run_again<W: Write>(session: &Session, write: &W) -> Option<Result<W::Answer, Error>> {
    if let Some(answer) = done_before(session, write).await.ok()? {
        return Some(Ok(answer));
    }
    let result = W::run(session, &[write]).await;
    if session.take_doubt() {
        return Some(Err(Error::OutcomeUnknown));
    }
    let refused = match result {
        Ok(mut answers) => match answers.pop().flatten()? {
            Ok(answer) => return Some(Ok(answer)),
            Err(error) => error,
        },
        Err(trouble @ (Trouble::Refused(_) | Trouble::Corrupt(_))) => trouble.into_error(),
        Err(Trouble::Again(_) | Trouble::Gone(_) | Trouble::Lost(_)) => return None,
    };
    // What was refused now may have been done by the first attempt, which was on its way until now.
    Some(done_before(session, write).await.ok()?.ok_or(refused))
}

/// The answer to a write that was done already.
async fn done_before<W: Write>(session: &Session, write: &W) -> Result<Option<W::Answer>, Trouble> {
    let Some((event, answer)) = write.recorded() else { return Ok(None) };
    session.take_doubt();
    let is_done = audit_events::is_recorded(session, event).await?;
    if session.take_doubt() {
        return Err(Trouble::Lost("the wait for the standby was broken off".into()));
    }
    Ok(is_done.then_some(answer))
}

#[cfg(test)]
mod tests {
    use domain::audit::Actor;

    use super::audit_events::InsertAuditEvent;
    use super::*;
    use crate::contract::samples;

    type Replies = Vec<Answer<InsertAuditEvent>>;

    /// Events of these accounts, waiting in this order; events of one number have one key.
    fn waiting(events: &[(u8, u32)]) -> (VecDeque<Waiting<InsertAuditEvent>>, Replies) {
        let places = Arc::new(Semaphore::new(events.len()));
        let waiting = events.iter().map(|(account, number)| {
            let account = samples::account(*account).id;
            let event = samples::event(&account, *number, Actor::Operator, "any");
            wait(&places, InsertAuditEvent { event }).unwrap()
        });
        waiting.unzip()
    }

    fn batches(mut waiting: VecDeque<Waiting<InsertAuditEvent>>, coalesce: Coalesce) -> Vec<Vec<u32>> {
        let mut batches = Vec::new();
        while !waiting.is_empty() {
            let batch = take_batch(&mut waiting, coalesce);
            let number = |one: &Waiting<InsertAuditEvent>| {
                one.write.event.id.as_str().trim_start_matches("2026013109050004").parse().unwrap()
            };
            batches.push(batch.iter().map(number).collect());
        }
        batches
    }

    #[test]
    fn what_would_meet_in_one_statement_waits_for_the_next() {
        let (queue, _replies) = waiting(&[(1, 5), (2, 6), (1, 5), (1, 7), (1, 5), (2, 6)]);
        assert_eq!(batches(queue, Coalesce::All), [vec![5, 6, 7], vec![5, 6], vec![5]]);
        let (queue, _replies) = waiting(&[(1, 5), (2, 6), (1, 5), (1, 7), (3, 8), (2, 9)]);
        assert_eq!(batches(queue, Coalesce::Account), [vec![5, 7], vec![6, 9], vec![5], vec![8]]);
    }

    #[test]
    fn a_batch_is_of_sixty_four_and_whoever_hung_up_has_no_place_in_it() {
        let events: Vec<_> = (100..300).map(|number| (1, number)).collect();
        let (queue, mut replies) = waiting(&events);
        replies.truncate(150);
        let batches = batches(queue, Coalesce::All);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
        assert_eq!(batches.concat(), (100..250).collect::<Vec<_>>());
    }
}
