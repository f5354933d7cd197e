//! Long readers, busy writers, and the write-ahead log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoints::RESTART_FROM_PAGES;
use crate::NewConnection;
use crate::contract::{TestDatabase, samples};

const TIMEOUT: Duration = Duration::from_mins(1);

/// With a wait for the reader at each commit, a handful of writes would exceed the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reader_blocks_no_writer_and_the_log_restarts_after_it() {
    let db = TestDatabase::sqlite();
    let store = db.open().await;
    let account = samples::insert_account(&*store, 1).await;
    let log = || std::fs::metadata(db.path().with_extension("db-wal")).unwrap().len();
    let limit = u64::try_from(RESTART_FROM_PAGES).unwrap() * 4096;

    let reader = Connection::open(db.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM accounts").unwrap();
    let mut number = 0;
    let mut write = async || {
        number += 1;
        let (row, mut sealed) = samples::connection(&account, number, &format!("c {number}"));
        sealed.envelope = vec![1; 60_000];
        let event = samples::event(&account, number, domain::audit::Actor::Operator, "c");
        let new =
            NewConnection { connection: row, sealed, health: samples::new_health(), event, completion: None };
        store.insert_connection(&account, new).await.unwrap();
    };
    tokio::time::timeout(TIMEOUT, async {
        while log() < limit + limit / 4 {
            write().await;
        }
    })
    .await
    .expect("writing continues");

    reader.execute_batch("COMMIT").unwrap();
    tokio::time::timeout(TIMEOUT, async {
        while log() > limit {
            write().await;
        }
    })
    .await
    .expect("the log restarts");
}

/// A database with an account and connections, some of which a test may delete, and writers that never pause.
struct Busy {
    db: TestDatabase,
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
        let db = TestDatabase::sqlite();
        let store = db.open().await;
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
        Self { db, store, account, written, stopping, tasks }
    }

    /// Readers that use the log briefly, one after the other.
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

    /// Waits until the log is shorter than it was: a restarted log keeps its length, only a truncation reduces it.
    async fn until_truncated(&self) {
        let log = self.db.path().with_extension("db-wal");
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

async fn within_timeout<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, work).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wiping_a_key_truncates_the_log_despite_busy_writers_and_readers() {
    let mut busy = Busy::start().await;
    busy.read_without_pause();
    for number in 0..3 {
        busy.until_written(50).await;
        tokio::join!(within_timeout("the log is truncated", busy.until_truncated()), busy.delete(number));
    }
    busy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reader_blocks_no_writer_and_the_log_is_truncated_when_it_ends() {
    let busy = Busy::start().await;
    busy.until_written(50).await;
    let reader = Connection::open(busy.db.path()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap();
    let seen: u32 = count();
    busy.delete(0).await;
    within_timeout("writing continues", busy.until_written(2_000)).await;
    assert_eq!(count(), seen, "the reader keeps its snapshot, and so the log that it reads");
    let truncated = within_timeout("the log is truncated", busy.until_truncated());
    let end = async { reader.execute_batch("COMMIT").unwrap() };
    tokio::join!(truncated, end);
    busy.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_truncated_without_writers_and_when_the_store_closes() {
    let busy = Busy::start().await;
    busy.stopping.store(true, Ordering::Relaxed);
    let log = busy.db.path().with_extension("db-wal");
    let length = || std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let (db, store) = (busy.db.path(), busy.store.clone());
    busy.delete(0).await;
    within_timeout("the log is empty", async {
        while length() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    busy.delete(1).await;
    // Another process that has the file open keeps the engine from removing the log when it closes.
    let beside = Connection::open(db).unwrap();
    let _: u32 = beside.query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap();
    store.close().await;
    assert_eq!(length(), 0);
    busy.stop().await;
}
