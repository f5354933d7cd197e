//! Checkpoints: copying the write-ahead log (WAL) into the database file, on a thread of its own. And truncating the log after
//! a key was wiped, because its old pages still hold the key.

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

/// At this many pages the log is copied, while writing continues.
const COPY_FROM_PAGES: i32 = 1_000;
/// At this many pages (64 MiB) the writer is paused for the time that it takes to restart the log.
pub(super) const RESTART_FROM_PAGES: i64 = 16_384;

/// The pause between two truncations, so that many wiped keys share one.
const TRUNCATE_PAUSE: Duration = Duration::from_millis(500);
/// How long a truncation waits for readers of the old log. The writer is paused meanwhile.
const READER_WAIT: Duration = Duration::from_millis(100);
/// How long the writer waits for a truncation at most.
const PAUSE_LIMIT: Duration = Duration::from_secs(1);
/// How often a log that is not empty is truncated without a request: another process, which has ended since, may have wiped a
/// key.
const TRUNCATE_PERIOD: Duration = Duration::from_secs(10);
/// A truncation that has not succeeded for this long is logged: a reader takes very long.
const TRUNCATE_LATE: Duration = Duration::from_secs(10);
/// How long closing the store waits for a requested truncation.
const CLOSING_WAIT: Duration = Duration::from_secs(1);

/// The checkpoints' thread.
pub(super) struct Checkpointer {
    notify: Notify,
    thread: Option<JoinHandle<()>>,
}

/// Notifies the thread of work.
#[derive(Clone)]
pub(super) struct Notify {
    sender: SyncSender<Notice>,
    /// The open transaction wipes a key.
    is_wiping: Arc<AtomicBool>,
    /// A truncation is requested: the log holds a key that was wiped.
    is_truncation_due: Arc<AtomicBool>,
    pause: Arc<WriterPause>,
}

enum Notice {
    Look,
    Stop,
}

/// Pauses the writer between two batches. A busy writer leaves the lock free so briefly that a truncation would rarely get
/// it.
#[derive(Default)]
pub(super) struct WriterPause {
    is_paused: Mutex<bool>,
    resumed: Condvar,
}

impl WriterPause {
    /// Waits while the writer is paused, for a limited time.
    pub(super) fn wait(&self) {
        let is_paused = self.is_paused.lock().unwrap_or_else(PoisonError::into_inner);
        // However the wait ends, the writer continues.
        drop(self.resumed.wait_timeout_while(is_paused, PAUSE_LIMIT, |is_paused| *is_paused));
    }

    /// Pauses the writer until the guard is dropped.
    fn pause(&self) -> PauseGuard<'_> {
        self.set(true);
        PauseGuard(self)
    }

    fn set(&self, is_paused: bool) {
        *self.is_paused.lock().unwrap_or_else(PoisonError::into_inner) = is_paused;
        self.resumed.notify_all();
    }
}

/// Resumes the writer when it is dropped.
struct PauseGuard<'a>(&'a WriterPause);

impl Drop for PauseGuard<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Notify {
    /// The open transaction wipes a key: the log must be truncated once it is committed, not before.
    pub(super) fn key_is_wiped(&self) {
        self.is_wiping.store(true, Ordering::Release);
    }

    /// A transaction was committed, and the log has `pages` pages now.
    pub(super) fn committed(&self, pages: i32) {
        if self.is_wiping.swap(false, Ordering::AcqRel) {
            self.truncate_wal();
        } else if pages >= COPY_FROM_PAGES {
            self.look();
        }
    }

    /// Requests a truncation.
    pub(super) fn truncate_wal(&self) {
        self.is_truncation_due.store(true, Ordering::Release);
        self.look();
    }

    pub(super) fn pause(&self) -> &WriterPause {
        &self.pause
    }

    fn look(&self) {
        // A full channel means that the thread has a notification already.
        let _ = self.sender.try_send(Notice::Look);
    }
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf, fail: watch::Sender<Option<String>>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let notify = Notify {
            sender,
            is_wiping: Arc::default(),
            is_truncation_due: Arc::default(),
            pause: Arc::default(),
        };
        let worker = Worker {
            path,
            connection: None,
            notify: notify.clone(),
            wanted_since: None,
            next_truncation: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || worker.run(&receiver, &fail))?;
        Ok(Self { notify, thread: Some(thread) })
    }

    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }

    /// Ends the thread after a running checkpoint, and after a requested truncation.
    pub(super) fn stop(mut self) {
        // An error means that it has ended already.
        let _ = self.notify.sender.send(Notice::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct Worker {
    path: PathBuf,
    connection: Option<Connection>,
    notify: Notify,
    /// Since when a truncation has been requested without success.
    wanted_since: Option<Instant>,
    /// The earliest instant of the next truncation.
    next_truncation: Instant,
}

impl Worker {
    fn run(mut self, notices: &Receiver<Notice>, fail: &watch::Sender<Option<String>>) {
        loop {
            let wait = if self.is_truncation_due() {
                self.next_truncation.saturating_duration_since(Instant::now())
            } else {
                TRUNCATE_PERIOD
            };
            let result = match notices.recv_timeout(wait) {
                Ok(Notice::Stop) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                _ if self.is_truncation_due() && self.next_truncation <= Instant::now() => self.truncate(),
                Ok(Notice::Look) => self.copy(),
                Err(RecvTimeoutError::Timeout) => self.periodic_truncate(),
            };
            match result {
                Ok(()) => {}
                Err(error) if is_io_failure(&error) => {
                    fail.send_replace(Some(format!("copying the write-ahead log failed: {error}")));
                    return;
                }
                // A reader or another process held a lock: the next notification tries again.
                Err(error) => tracing::warn!(%error, "a checkpoint was postponed"),
            }
        }
    }

    fn is_truncation_due(&self) -> bool {
        self.notify.is_truncation_due.load(Ordering::Acquire)
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
        // A restart of the log pauses the writer: briefly if everything is copied, but until the end of any reader of the old
        // log. With such a reader the log keeps growing, and the next notification tries again.
        if log.pages >= RESTART_FROM_PAGES && log.copied == log.pages {
            run_mode(connection, "PRAGMA wal_checkpoint(RESTART)")?;
        }
        Ok(())
    }

    /// Copies the log and truncates it. Tried again if a reader or another process held a lock.
    fn truncate(&mut self) -> rusqlite::Result<()> {
        // Before the work: a key that is wiped from now on requests another truncation.
        self.notify.is_truncation_due.store(false, Ordering::Release);
        let result = self.try_truncate();
        self.next_truncation = Instant::now() + TRUNCATE_PAUSE;
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
        self.notify.is_truncation_due.store(true, Ordering::Release);
        if since.elapsed() >= TRUNCATE_LATE {
            tracing::warn!(
                cause,
                "the write-ahead log could not be truncated since a secret was deleted. Until it can be, it \
                 may still hold the deleted secret's key"
            );
            self.wanted_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Truncates a log that is not empty, if no lock prevents it, although none was requested.
    fn periodic_truncate(&mut self) -> rusqlite::Result<()> {
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
            self.try_truncate()?;
        }
        Ok(())
    }

    /// Whether the log was truncated, which no lock prevented.
    fn try_truncate(&mut self) -> rusqlite::Result<bool> {
        let pause = self.notify.pause.clone();
        let connection = self.connection()?;
        // Most of the work, while writing continues.
        run_mode(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
        connection.busy_timeout(READER_WAIT)?;
        let paused = pause.pause();
        let log = run_mode(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        drop(paused);
        connection.busy_timeout(Duration::ZERO)?;
        Ok(!log?.is_busy)
    }

    /// Completes a requested truncation before the store is closed, unless a lock prevents it for long.
    fn finish(mut self) {
        let started = Instant::now();
        while self.is_truncation_due() {
            if let Err(error) = self.truncate() {
                tracing::warn!(%error, "the write-ahead log could not be truncated");
            }
            if self.is_truncation_due() && started.elapsed() > CLOSING_WAIT {
                tracing::warn!(
                    "the write-ahead log could not be truncated before the end: another program reads the \
                     database. It may still hold the key of a deleted secret; the service truncates it while \
                     it runs, and at its next start"
                );
                return;
            }
            if self.is_truncation_due() {
                std::thread::sleep(READER_WAIT);
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
    // A wait for a reader would pause the writer.
    connection.pragma_update(None, "busy_timeout", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}
