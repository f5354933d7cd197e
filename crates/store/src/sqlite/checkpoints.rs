//! Checkpoints: copying the write-ahead log into the database file, on a thread of its own.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::watch;

use super::connect;
use super::writer::is_io_failure;

/// From so many pages on, the log is copied while writing goes on.
const COPY_FROM_PAGES: i32 = 1_000;
/// From so many on, the writer is held for the moment that it takes to start the log afresh; 64 MiB.
const RESTART_FROM_PAGES: i64 = 16_384;

/// The checkpoints' thread.
pub(super) struct Checkpointer {
    notify: Notify,
    thread: Option<JoinHandle<()>>,
}

/// Tells the thread that there is work.
#[derive(Clone)]
pub(super) struct Notify(SyncSender<Notice>);

enum Notice {
    Copy,
    Stop,
}

impl Notify {
    /// The log has so many pages after a commit.
    pub(super) fn wal_has_grown(&self, pages: i32) {
        if pages >= COPY_FROM_PAGES {
            // A full channel means that the thread has been told already.
            let _ = self.0.try_send(Notice::Copy);
        }
    }
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf, fail: watch::Sender<Option<String>>) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || run(&path, &receiver, &fail))?;
        Ok(Self { notify: Notify(sender), thread: Some(thread) })
    }

    pub(super) fn notify(&self) -> Notify {
        self.notify.clone()
    }

    /// Ends the thread after the checkpoint it may be at.
    pub(super) fn stop(mut self) {
        // An error says that it has ended already.
        let _ = self.notify.0.send(Notice::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(path: &Path, notices: &Receiver<Notice>, fail: &watch::Sender<Option<String>>) {
    let mut connection = None;
    while let Ok(Notice::Copy) = notices.recv() {
        match checkpoint(path, &mut connection) {
            Ok(()) => {}
            Err(error) if is_io_failure(&error) => {
                fail.send_replace(Some(format!("copying the write-ahead log failed: {error}")));
                return;
            }
            // A reader or another process was in the way: the next notice tries again.
            Err(error) => tracing::warn!(%error, "a checkpoint was put off"),
        }
    }
}

fn checkpoint(path: &Path, connection: &mut Option<Connection>) -> rusqlite::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(open(path)?),
    };
    let log = run_mode(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    // Starting the log afresh holds the writer. With everything copied that is a moment; with a reader still in the
    // old log it would be until the reader is done, so then the log grows on and the next notice tries again.
    if log.pages >= RESTART_FROM_PAGES && log.copied == log.pages {
        run_mode(connection, "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}

/// The write-ahead log after a checkpoint.
struct Log {
    pages: i64,
    copied: i64,
}

fn run_mode(connection: &Connection, pragma: &str) -> rusqlite::Result<Log> {
    connection.query_row(pragma, [], |row| Ok(Log { pages: row.get(1)?, copied: row.get(2)? }))
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
    use std::time::Duration;

    use super::*;
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
            store.insert_connection(&account, &row, &sealed, &event).await.unwrap();
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
}
