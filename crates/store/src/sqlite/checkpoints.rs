//! Checkpoints: copying the write-ahead log into the database file, on a thread of its own. And cutting the log off
//! after a key was wiped: the old pages in it still hold the key.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use super::connect;
use super::writer::is_io_failure;

/// From so many pages on, the log is copied while writing goes on.
const COPY_FROM_PAGES: i32 = 1_000;
/// From so many on, the writer is held for the moment that it takes to start the log afresh; 64 MiB.
const RESTART_FROM_PAGES: i64 = 16_384;

/// Between two cuts, so that many wiped keys share one.
const CUT_PAUSE: Duration = Duration::from_millis(500);
/// How long a cut waits for readers that are still in the old log. The writer waits meanwhile.
const CUT_PATIENCE: Duration = Duration::from_millis(100);
/// How long the writer waits for a cut at most.
const GATE_PATIENCE: Duration = Duration::from_secs(1);
/// How often a log that is not empty is cut without being asked: another process, gone since, may have wiped a key.
const CUT_PERIOD: Duration = Duration::from_secs(10);
/// When a cut has not succeeded for so long, the log says so: somebody reads for very long.
const CUT_LATE: Duration = Duration::from_secs(10);
/// How long closing the store waits for a cut that is due.
const CLOSING_PATIENCE: Duration = Duration::from_secs(1);

/// The checkpoints' thread.
pub(super) struct Checkpointer {
    notify: Notify,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread that there is work.
#[derive(Clone)]
pub(super) struct Notify {
    sender: SyncSender<Notice>,
    /// The open transaction wipes a key.
    is_wiping: Arc<AtomicBool>,
    /// The log holds a key that was wiped.
    is_cut_due: Arc<AtomicBool>,
    gate: Arc<Gate>,
}

enum Notice {
    Look,
    Stop,
}

/// Holds the writer between two batches. Without it a busy writer would leave the lock free only for moments, and a cut
/// would need luck to hit one.
#[derive(Default)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Waits while it is closed, but not for ever.
    pub(super) fn pass(&self) {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        // However the waiting ends, the writer goes on.
        drop(self.opened.wait_timeout_while(is_closed, GATE_PATIENCE, |is_closed| *is_closed));
    }

    /// Closed until the answer is dropped, whatever happens meanwhile.
    fn close(&self) -> Closed<'_> {
        self.set(true);
        Closed(self)
    }

    fn set(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.opened.notify_all();
    }
}

/// A gate that is closed.
struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Notify {
    /// The open transaction wipes a key: when it is committed, the log must be cut off. A cut before that would not do.
    pub(super) fn key_is_wiped(&self) {
        self.is_wiping.store(true, Ordering::Release);
    }

    /// A transaction was committed, and the log has so many pages now.
    pub(super) fn committed(&self, pages: i32) {
        if self.is_wiping.swap(false, Ordering::AcqRel) {
            self.cut_log();
        } else if pages >= COPY_FROM_PAGES {
            self.look();
        }
    }

    /// Asks for a cut.
    pub(super) fn cut_log(&self) {
        self.is_cut_due.store(true, Ordering::Release);
        self.look();
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    fn look(&self) {
        // A full channel means that the thread has been told already.
        let _ = self.sender.try_send(Notice::Look);
    }
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf, fail: watch::Sender<Option<String>>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let notify =
            Notify { sender, is_wiping: Arc::default(), is_cut_due: Arc::default(), gate: Arc::default() };
        let work = Work {
            path,
            connection: None,
            notify: notify.clone(),
            wanted_since: None,
            next_cut: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || work.run(&receiver, &fail))?;
        Ok(Self { notify, thread: Some(thread) })
    }

    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Ends the thread after the checkpoint it may be at, and after a cut that is due.
    pub(super) fn stop(mut self) {
        // An error says that it has ended already.
        let _ = self.notify.sender.send(Notice::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Work {
    path: PathBuf,
    connection: Option<Connection>,
    notify: Notify,
    /// Since when a cut was asked for and did not succeed.
    wanted_since: Option<Instant>,
    /// Not to be cut before.
    next_cut: Instant,
}

impl Work {
    fn run(mut self, notices: &Receiver<Notice>, fail: &watch::Sender<Option<String>>) {
        loop {
            let wait = if self.is_cut_due() {
                self.next_cut.saturating_duration_since(Instant::now())
            } else {
                CUT_PERIOD
            };
            let result = match notices.recv_timeout(wait) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                _ if self.is_cut_due() && self.next_cut <= Instant::now() => self.cut(),
                Ok(Notice::Look) => self.copy(),
                Err(RecvTimeoutError::Timeout) => self.cut_unasked(),
            };
            match result {
                Ok(()) => {}
                Err(error) if is_io_failure(&error) => {
                    fail.send_replace(Some(format!("copying the write-ahead log failed: {error}")));
                    return;
                }
                // A reader or another process was in the way: the next notice tries again.
                Err(error) => tracing::warn!(%error, "a checkpoint was postponed"),
            }
        }
    }

    fn is_cut_due(&self) -> bool {
        self.notify.is_cut_due.load(Ordering::Acquire)
    }

    fn connection(&mut self) -> rusqlite::Result<&Connection> {
        if self.connection.is_none() {
            self.connection = Some(open(&self.path)?);
        }
        self.connection.as_ref().ok_or(rusqlite::Error::InvalidQuery)
    }

    fn copy(&mut self) -> rusqlite::Result<()> {
        let connection = self.connection()?;
        let log = run_mode(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        // Starting the log afresh holds the writer. With everything copied that is a moment; with a reader still in the
        // old log it would be until the reader is done, so then the log grows on and the next notice tries again.
        if log.pages >= RESTART_FROM_PAGES && log.copied == log.pages {
            run_mode(connection, "PRAGMA wal_checkpoint(RESTART)")?;
        }
        Ok(())
    }

    /// Copies the log and cuts it to nothing. Another try is due when somebody was in the way.
    fn cut(&mut self) -> rusqlite::Result<()> {
        // Before the work: what is wiped from now on asks for another cut.
        self.notify.is_cut_due.store(false, Ordering::Release);
        let result = self.try_cut();
        self.next_cut = Instant::now() + CUT_PAUSE;
        let since = *self.wanted_since.get_or_insert_with(Instant::now);
        let cause = match result {
            Ok(true) => {
                self.wanted_since = None;
                return Ok(());
            }
            Ok(false) => "another process reads the database without end, or holds its lock".to_owned(),
            Err(error) if is_io_failure(&error) => return Err(error),
            Err(error) => error.to_string(),
        };
        self.notify.is_cut_due.store(true, Ordering::Release);
        if since.elapsed() >= CUT_LATE {
            tracing::warn!(
                cause,
                "the write-ahead log could not be truncated since a secret was deleted. Until it can be, it \
                 may still hold the deleted secret's key"
            );
            self.wanted_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Cuts a log that has something in it, if nobody is in the way; nothing is known to be due.
    fn cut_unasked(&mut self) -> rusqlite::Result<()> {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            self.try_cut()?;
        }
        Ok(())
    }

    /// Whether nobody was in the way.
    fn try_cut(&mut self) -> rusqlite::Result<bool> {
        let gate = self.notify.gate.clone();
        let connection = self.connection()?;
        // Most of the work, while writing goes on.
        run_mode(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        connection.busy_timeout(CUT_PATIENCE)?;
        let closed = gate.close();
        let log = run_mode(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        drop(closed);
        connection.busy_timeout(Duration::ZERO)?;
        Ok(!log?.is_busy)
    }

    /// What is due is done before the store is closed, if nobody is in the way for long.
    fn finish(mut self) {
        let started = Instant::now();
        while self.is_cut_due() {
            if let Err(error) = self.cut() {
                tracing::warn!(%error, "the write-ahead log could not be truncated");
            }
            if self.is_cut_due() && started.elapsed() > CLOSING_PATIENCE {
                tracing::warn!(
                    "the write-ahead log could not be truncated before the end: another program reads the \
                     database. It may still hold the key of a deleted secret; the service truncates it while \
                     it runs, and at its next start"
                );
                return;
            }
            if self.is_cut_due() {
                std::thread::sleep(CUT_PATIENCE);
            }
        }
    }
}

/// The write-ahead log after a checkpoint.
struct Log {
    is_busy: bool,
    pages: i64,
    copied: i64,
}

fn run_mode(connection: &Connection, pragma: &str) -> rusqlite::Result<Log> {
    connection.query_row(pragma, [], |row| {
        Ok(Log { is_busy: row.get(0)?, pages: row.get(1)?, copied: row.get(2)? })
    })
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    // Waiting for a reader, it would hold the writer.
    connection.pragma_update(None, "busy_timeout", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;
    use crate::NewConnection;
    use crate::contract::{Place, samples};

    const PATIENCE: Duration = Duration::from_mins(1);

    /// With a wait for the reader at each commit, a handful of writes would outlast anybody's patience.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reader_that_never_ends_stops_no_writer_and_the_log_shrinks_when_it_does() {
        let place = Place::sqlite();
        let store = place.open().await;
        let account = samples::insert_account(&*store, 1).await;
        let log = || std::fs::metadata(place.path().with_extension("db-wal")).unwrap().len();
        let limit = u64::try_from(RESTART_FROM_PAGES).unwrap() * 4096;

        let reader = Connection::open(place.path()).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM accounts").unwrap();
        let mut number = 0;
        let mut write = async || {
            number += 1;
            let (row, mut sealed) = samples::connection(&account, number, &format!("c {number}"));
            sealed.envelope = vec![1; 60_000];
            let event = samples::event(&account, number, domain::audit::Actor::Operator, "c");
            let new = NewConnection { connection: row, sealed, event, completion: None };
            store.insert_connection(&account, new).await.unwrap();
        };
        tokio::time::timeout(PATIENCE, async {
            while log() < limit + limit / 4 {
                write().await;
            }
        })
        .await
        .expect("writing goes on");

        reader.execute_batch("COMMIT").unwrap();
        tokio::time::timeout(PATIENCE, async {
            while log() > limit {
                write().await;
            }
        })
        .await
        .expect("the log starts afresh");
    }

    /// A place with an account and connections, some of which a test may delete, and writers that never pause.
    struct Busy {
        place: Place,
        store: Arc<dyn crate::Store>,
        account: domain::id::AccountId,
        written: Arc<AtomicU32>,
        stopping: Arc<AtomicBool>,
        tasks: tokio::task::JoinSet<()>,
    }

    /// Numbers below this are not the writers'.
    const OURS: u32 = 100;

    impl Busy {
        async fn start() -> Self {
            let place = Place::sqlite();
            let store = place.open().await;
            let account = samples::insert_account(&*store, 1).await;
            for number in 0..OURS {
                samples::insert_connection(&*store, &account, number, &format!("c {number}")).await.unwrap();
            }
            let (written, stopping) = (Arc::new(AtomicU32::new(OURS)), Arc::new(AtomicBool::new(false)));
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let (store, account) = (store.clone(), account.clone());
                let (written, stopping) = (written.clone(), stopping.clone());
                tasks.spawn(async move {
                    while !stopping.load(Ordering::Relaxed) {
                        let number = written.fetch_add(1, Ordering::Relaxed);
                        let name = format!("c {number}");
                        samples::insert_connection(&*store, &account, number, &name).await.unwrap();
                    }
                });
            }
            Self { place, store, account, written, stopping, tasks }
        }

        /// Readers that come and go: each is in the log for a moment.
        fn read_without_pause(&mut self) {
            for _ in 0..2 {
                let (store, account, stopping) =
                    (self.store.clone(), self.account.clone(), self.stopping.clone());
                self.tasks.spawn(async move {
                    while !stopping.load(Ordering::Relaxed) {
                        store.list_connections(&account, None, 50).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                });
            }
        }

        async fn delete(&self, number: u32) {
            let (row, _) = samples::connection(&self.account, number, "any");
            let actor = domain::audit::Actor::Operator;
            let event = samples::event(&self.account, 900_000 + number, actor, row.id.as_str());
            self.store.delete_connection(&self.account, &row.id, &event).await.unwrap();
        }

        /// Waits until the log is shorter than it was: begun afresh it keeps its length, only a cut takes it away.
        async fn until_cut(&self) {
            let log = self.place.path().with_extension("db-wal");
            let length = || std::fs::metadata(&log).unwrap().len();
            let mut longest = 0;
            while length() >= longest {
                longest = longest.max(length());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        async fn until_written(&self, more: u32) {
            let goal = self.written.load(Ordering::Relaxed) + more;
            while self.written.load(Ordering::Relaxed) < goal {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }

        async fn stop(mut self) {
            self.stopping.store(true, Ordering::Relaxed);
            while let Some(ended) = self.tasks.join_next().await {
                ended.unwrap();
            }
        }
    }

    async fn patiently<T>(what: &str, work: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never happened: {what}"))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_wiped_key_has_the_log_cut_off_however_busy_writers_and_readers_are() {
        let mut busy = Busy::start().await;
        busy.read_without_pause();
        for number in 0..3 {
            busy.until_written(50).await;
            tokio::join!(patiently("the log is cut off", busy.until_cut()), busy.delete(number));
        }
        busy.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_long_reader_stops_no_writer_and_the_log_is_cut_off_when_it_ends() {
        let busy = Busy::start().await;
        busy.until_written(50).await;
        let reader = Connection::open(busy.place.path()).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        let count = || reader.query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap();
        let seen: u32 = count();
        busy.delete(0).await;
        patiently("writing goes on", busy.until_written(2_000)).await;
        assert_eq!(count(), seen, "the reader's view stands, and so does the log that it is in");
        let cut = patiently("the log is cut off", busy.until_cut());
        let end = async { reader.execute_batch("COMMIT").unwrap() };
        tokio::join!(cut, end);
        busy.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_is_cut_to_nothing_when_nobody_writes_and_when_the_store_closes() {
        let busy = Busy::start().await;
        busy.stopping.store(true, Ordering::Relaxed);
        let log = busy.place.path().with_extension("db-wal");
        let length = || std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let (place, store) = (busy.place.path(), busy.store.clone());
        busy.delete(0).await;
        patiently("the log is empty", async {
            while length() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        busy.delete(1).await;
        // Another process that has the file open keeps the engine from removing the log when it closes.
        let beside = Connection::open(place).unwrap();
        let _: u32 = beside.query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap();
        store.close().await;
        assert_eq!(length(), 0);
        busy.stop().await;
    }
}
