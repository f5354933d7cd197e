//! The one writer: a thread that commits all writes in its queue together, with one sync.
//!
//! Each write gets its own answer. A refusal (a taken name) is an answer and affects no other write. An error of the engine
//! rolls the batch back and runs its writes again one by one, so that only the failing write fails.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::hooks::Action;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use super::checkpoints::{Checkpointer, Notify};
use super::{accounts, database_file, engine_migration, sealing_keys};
use crate::Error;

/// Most writes that share a transaction: enough that the sync no longer matters, few enough that none waits long.
const BATCH_MAX: usize = 256;
/// With a larger cache, each commit spends its time trimming it.
const CACHE_KIBIBYTES: i32 = 8 * 1024;
const STATEMENTS_KEPT: usize = 64;
/// Every update and deletion in these tables wipes a key.
const TABLES_OF_KEYS: [&str; 2] = [sealing_keys::TABLE, accounts::TABLE];
/// The write-ahead log is truncated to this size when it restarts.
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// What a write returns inside the transaction. The inner `Err` is a refusal, which must come before anything is written. A
/// write may run twice: when its batch is rolled back, it runs again alone.
pub(super) type WriteResult<T> = rusqlite::Result<Result<T, Error>>;

pub(super) struct Writer {
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Write>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    failure: watch::Receiver<Option<String>>,
    notify: Notify,
}

/// One write in the queue, whatever its answer's type.
trait Write: Send {
    /// Whether the caller no longer waits for the answer.
    fn is_abandoned(&self) -> bool;
    /// Runs inside the open transaction and keeps the answer.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;
    /// The transaction was committed: sends the answer.
    fn commit(self: Box<Self>);
    /// Nothing was written: sends the error.
    fn fail(self: Box<Self>, error: Error);
}

struct PendingWrite<T, F> {
    work: F,
    answer: Option<Result<T, Error>>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F> Write for PendingWrite<T, F>
where
    T: Send,
    F: FnMut(&Connection) -> WriteResult<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.answer = Some((self.work)(connection)?);
        Ok(())
    }

    fn commit(self: Box<Self>) {
        // Without an answer the reply is dropped, which the caller treats as an unknown outcome.
        if let Some(answer) = self.answer {
            // A caller that disconnected does not receive it.
            let _ = self.reply.send(answer);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

impl Writer {
    /// Takes ownership of the connection and starts the threads.
    pub(super) fn start(mut connection: Connection, path: &Path, queue: usize) -> std::io::Result<Self> {
        let (fail, failure) = watch::channel(None);
        let checkpointer = Checkpointer::start(path.to_owned(), fail.clone())?;
        let notify = checkpointer.notify().clone();
        prepare(&mut connection, notify.clone()).map_err(std::io::Error::other)?;
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || Loop { path, connection, receiver, fail, checkpointer }.run())?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), failure, notify })
    }

    /// Queues a write and waits until it is durable. Dropping the future before the write runs withdraws it.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> WriteResult<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.lock().ok().and_then(|queue| queue.clone());
        let queue = queue.ok_or_else(|| Error::Unavailable("the store is closed".into()))?;
        queue.try_send(Box::new(PendingWrite { work, answer: None, reply })).map_err(
            |error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    metrics::record_rejected_write();
                    Error::Overloaded
                }
                mpsc::error::TrySendError::Closed(_) => Error::Unavailable("the writer has stopped".into()),
            },
        )?;
        let span = tracing::debug_span!(target: "otlp", "store.write");
        answer.instrument(span).await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// The number of writes in the queue.
    pub(super) fn queued(&self) -> usize {
        let queue = self.queue.lock().ok();
        let length = queue
            .as_ref()
            .and_then(|queue| queue.as_ref())
            .map(|queue| queue.max_capacity() - queue.capacity());
        length.unwrap_or(0)
    }

    /// Has the write-ahead log truncated soon, as after a key was wiped.
    pub(super) fn truncate_wal(&self) {
        self.notify.truncate_wal();
    }

    /// Resolves when the writer has failed.
    pub(super) async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        let cause = failure.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        match cause {
            Some(cause) => cause,
            // The writer was closed normally: it will never fail.
            None => std::future::pending().await,
        }
    }

    /// Finishes what is queued and waits for the threads.
    pub(super) async fn close(&self) {
        if let Ok(mut queue) = self.queue.lock() {
            queue.take();
        }
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            // A panic of the thread was reported through `failed`.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn prepare(connection: &mut Connection, notify: Notify) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    // For names and descriptions; secrets do not depend on it (see `sealing_keys`).
    connection.pragma_update(None, "secure_delete", "FAST")?;
    // SQLite's own checkpoints would run on this thread, during a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let wiping = notify.clone();
    connection.update_hook(Some(move |action, _: &str, table: &str, _| {
        if action != Action::SQLITE_INSERT && TABLES_OF_KEYS.contains(&table) {
            wiping.key_is_wiped();
        }
    }))?;
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
        notify.committed(pages);
        Ok(())
    }))
}

struct Loop {
    path: PathBuf,
    connection: Connection,
    receiver: mpsc::Receiver<Box<dyn Write>>,
    fail: watch::Sender<Option<String>>,
    checkpointer: Checkpointer,
}

/// Why a transaction was not committed.
enum TransactionError {
    /// It could not start: another process holds the lock, or the database is being migrated to another engine. Each write
    /// alone would fail likewise, after as long a wait.
    NotStarted(String),
    /// It was rolled back; the engine is sound.
    RolledBack(rusqlite::Error),
    /// The disk failed: the contents of the file are not known.
    StateUnknown(rusqlite::Error),
}

impl Loop {
    fn run(mut self) {
        // If the thread panics, this reports it to the service.
        let guard = PanicGuard(self.fail.clone());
        while let Some(first) = self.receiver.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX
                && let Ok(next) = self.receiver.try_recv()
            {
                batch.push(next);
            }
            self.checkpointer.notify().pause().wait();
            if let Err(cause) = self.commit(batch) {
                let cause = format!("writing the database failed, its state is unknown: {cause}");
                self.fail.send_replace(Some(cause));
                // The waiting writes are dropped: only a restart shows whether they were committed.
                break;
            }
        }
        std::mem::forget(guard);
        self.checkpointer.stop();
    }

    /// Commits a batch, or each of its writes alone. `Err`: the state of the engine is unknown.
    fn commit(&mut self, mut batch: Vec<Box<dyn Write>>) -> Result<(), rusqlite::Error> {
        match self.transact(&mut batch) {
            Ok(()) => batch.into_iter().for_each(Write::commit),
            Err(TransactionError::StateUnknown(error)) => return Err(error),
            Err(TransactionError::NotStarted(cause)) => {
                for write in batch {
                    write.fail(Error::Unavailable(cause.clone().into()));
                }
            }
            Err(TransactionError::RolledBack(error)) if batch.len() == 1 => {
                if let Some(write) = batch.pop() {
                    write.fail(database_file::write_error(error, &self.path));
                }
            }
            Err(TransactionError::RolledBack(_)) => {
                for write in batch {
                    self.commit(vec![write])?;
                }
            }
        }
        Ok(())
    }

    fn transact(&mut self, batch: &mut [Box<dyn Write>]) -> Result<(), TransactionError> {
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            return Err(if is_io_failure(&error) {
                TransactionError::StateUnknown(error)
            } else {
                TransactionError::NotStarted(error.to_string())
            });
        }
        // Inside the transaction: an engine migration that marks the database waits until this one has ended.
        let result = match engine_migration::find_source_mark(&self.connection) {
            Ok(None) => self.run_and_commit(batch),
            Ok(Some(source)) => {
                self.execute("ROLLBACK").map_err(TransactionError::StateUnknown)?;
                return Err(TransactionError::NotStarted(source.refusal()));
            }
            Err(error) => Err(error),
        };
        let Err(error) = result else { return Ok(()) };
        if is_io_failure(&error) {
            return Err(TransactionError::StateUnknown(error));
        }
        if !self.connection.is_autocommit()
            && let Err(rollback) = self.connection.execute_batch("ROLLBACK")
        {
            return Err(TransactionError::StateUnknown(rollback));
        }
        Err(TransactionError::RolledBack(error))
    }

    fn run_and_commit(&mut self, batch: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
        let size = batch.len();
        for write in batch {
            // As late as possible: the wait for the lock may have outlasted the caller.
            if !write.is_abandoned() {
                write.run(&self.connection)?;
            }
        }
        let started = Instant::now();
        self.execute("COMMIT")?;
        metrics::record_write_batch(size, started.elapsed());
        Ok(())
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(statement)?.execute([]).map(drop)
    }
}

/// A failed read, write or sync of the file. After a failed sync the kernel may have dropped what was written, and a second
/// sync would succeed: only reading the file again, after a restart, shows its contents.
pub(super) fn is_io_failure(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(code, _) if code.code == ErrorCode::SystemIoFailure)
}

/// Reports, when dropped, that the writer has stopped.
struct PanicGuard(watch::Sender<Option<String>>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        self.0.send_replace(Some("the database's writer stopped by a fault in the program".to_owned()));
    }
}
