//! The wrapped keys of everything sealed. All rows have the same size and are never deleted, and new rows are appended: a
//! key that is overwritten in place with zeros leaves no copy in the database file, and the next checkpoint truncates the
//! write-ahead log.

use domain::id::AccountId;
use domain::secret::WrappedKey;
use rusqlite::{Connection, named_params};

use super::statements;
use crate::sql::statement;

/// Every update in this table wipes a key.
pub(super) const TABLE: &str = "sealing_keys";

const SQL: &str = include_str!("sql/sealing_keys.sql");
const INSERT: &str = statement(SQL, "insert_sealing_key");
const WIPE: &str = statement(SQL, "wipe_sealing_key");
const WIPE_CONNECTIONS_OF_ACCOUNT: &str = statement(SQL, "wipe_connections_of_account");

/// Adds a key. Returns its number.
pub(super) fn insert(database: &Connection, key: &WrappedKey) -> rusqlite::Result<i64> {
    statements::execute(database, INSERT, named_params! { ":wrapped_key": key.0 })?;
    Ok(database.last_insert_rowid())
}

/// Overwrites a key with zeros. From the commit on, nothing can decrypt what it sealed.
pub(super) fn wipe(database: &Connection, sealing_key_id: i64) -> rusqlite::Result<()> {
    statements::execute(database, WIPE, named_params! { ":sealing_key_id": sealing_key_id }).map(drop)
}

/// Overwrites the keys of an account's first connections, up to `limit`.
pub(super) fn wipe_connections_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<()> {
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, WIPE_CONNECTIONS_OF_ACCOUNT, parameters).map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use domain::audit::Actor;
    use domain::connection::Connection as Stored;
    use domain::id::ConnectionId;
    use domain::secret::SealedCredentials;

    use super::*;
    use crate::contract::{TestDatabase, samples};
    use crate::{AccountDeletion, Changed, ConnectionUpdate, NewConnection, Store};

    /// A unique key, of which any piece is recognised.
    fn key(number: u32) -> WrappedKey {
        let mut state = u64::from(number) + 1;
        WrappedKey(std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        }))
    }

    async fn insert(store: &dyn Store, account: &AccountId, number: u32) -> ConnectionId {
        let (connection, mut sealed) = samples::connection(account, number, &format!("c {number}"));
        sealed.sealing_key = key(number);
        let id = connection.id.clone();
        let event = samples::event(account, number, Actor::Operator, id.as_str());
        let new =
            NewConnection { connection, sealed, health: samples::new_health(), event, completion: None };
        store.insert_connection(account, new).await.unwrap();
        id
    }

    /// All rows as they are stored, in their order.
    fn rows(db: &TestDatabase) -> Vec<(i64, Vec<u8>)> {
        let database = Connection::open(db.path()).unwrap();
        let mut rows =
            database.prepare("SELECT sealing_key_id, wrapped_key FROM sealing_keys ORDER BY 1").unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// All files of the database. The log is read before the database, into which it is copied meanwhile: in the other order, a page
    /// that is copied could be missed in both.
    fn texts(db: &TestDatabase) -> impl Iterator<Item = Vec<u8>> {
        let directory = db.path();
        let files = std::fs::read_dir(directory.parent().unwrap()).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort_by_key(|file| !file.to_str().unwrap().ends_with("-wal"));
        files.into_iter().map(|file| std::fs::read(file).unwrap())
    }

    /// Which of these keys are, by any sixteen bytes of them, in a file of the database.
    fn found(db: &TestDatabase, numbers: impl Iterator<Item = u32>) -> BTreeSet<u32> {
        let pieces: std::collections::HashMap<[u8; 16], u32> = numbers
            .flat_map(|number| {
                key(number).0.windows(16).map(|w| (w.try_into().unwrap(), number)).collect::<Vec<_>>()
            })
            .collect();
        let hits = |text: Vec<u8>| {
            let hits = text.windows(16).filter_map(|window| pieces.get(window).copied());
            hits.collect::<BTreeSet<_>>()
        };
        texts(db).flat_map(hits).collect()
    }

    /// Waits until no file of the database has any piece of these keys, which the store must achieve without another call.
    async fn until_gone(db: &TestDatabase, numbers: impl Iterator<Item = u32> + Clone) {
        let wait = async {
            while !found(db, numbers.clone()).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let timeout = std::time::Duration::from_mins(1);
        tokio::time::timeout(timeout, wait).await.expect("the keys are in no file");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replaced_or_deleted_key_is_overwritten_in_place_and_no_other_is() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        let account = samples::insert_account(&*store, 1).await;
        for number in 1..=3 {
            insert(&*store, &account, number).await;
        }
        let (before, sealed) = samples::connection(&account, 1, "c 1");
        let after = Stored { version: 5, sealed_version: 5, ..before };
        let mut update = ConnectionUpdate {
            expected_version: 4,
            connection: after.clone(),
            resealed: None,
            event: samples::event(&account, 10, Actor::Operator, "c"),
        };
        store.update_connection(&account, update.clone()).await.unwrap();
        let all = [1, 2, 3].map(|number| (i64::from(number), key(number).0.to_vec()));
        assert_eq!(rows(&db), all, "an update without secrets wipes none");

        update.connection.version = 6;
        update.expected_version = 4;
        update.resealed = Some(SealedCredentials { sealing_key: key(4), ..sealed });
        store.update_connection(&account, update.clone()).await.unwrap_err();
        assert_eq!(rows(&db), all, "a refused one neither");
        update.expected_version = 5;
        update.event.id = samples::event(&account, 11, Actor::Operator, "c").id;
        store.update_connection(&account, update).await.unwrap();
        let event = samples::event(&account, 12, Actor::Operator, "c");
        let id = samples::connection(&account, 3, "c 3").0.id;
        assert_eq!(store.delete_connection(&account, &id, &event).await.unwrap(), Changed::Yes);
        let zeros = vec![0; 60];
        let expected = [(1, zeros.clone()), (2, key(2).0.to_vec()), (3, zeros), (4, key(4).0.to_vec())];
        assert_eq!(rows(&db), expected);
        until_gone(&db, [1, 3].into_iter()).await;
        assert_eq!(found(&db, 1..=4), BTreeSet::from([2, 4]));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_deleted_account_leaves_no_piece_of_its_keys_in_any_file() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        let (one, two) =
            (samples::insert_account(&*store, 1).await, samples::insert_account(&*store, 2).await);
        let (gone, kept) = (0..600, 1_000..1_300);
        for number in gone.clone() {
            insert(&*store, &one, number).await;
            if number % 2 == 0 {
                insert(&*store, &two, 1_000 + number / 2).await;
            }
        }
        let everything: BTreeSet<_> = gone.clone().chain(kept.clone()).collect();
        assert_eq!(found(&db, gone.clone().chain(kept.clone())), everything, "the search finds them");
        let event = samples::event(&one, 9_999, Actor::Operator, "account");
        while store.delete_account_part(&one, 100, &event).await.unwrap() != AccountDeletion::Done {}
        until_gone(&db, gone.clone()).await;
        assert_eq!(found(&db, kept.clone()), kept.clone().collect());
        store.close().await;
        assert_eq!(found(&db, gone.chain(kept.clone())), kept.collect());
    }

    /// The account's own key is wiped in the last part, in which there may be no connection.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_deleted_account_leaves_no_piece_of_its_own_key_either() {
        for connections in [0, 3, 5] {
            let db = TestDatabase::sqlite();
            let store = db.open().await;
            let account = samples::insert_account(&*store, 77).await;
            for number in 0..connections {
                insert(&*store, &account, number).await;
            }
            let piece = [77; 16];
            let is_found = || texts(&db).any(|text| text.windows(16).any(|window| window == piece));
            assert!(is_found(), "the search finds it");
            let event = samples::event(&account, 9_999, Actor::Operator, "account");
            while store.delete_account_part(&account, 5, &event).await.unwrap() != AccountDeletion::Done {}
            let wait = async {
                while is_found() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            let timeout = std::time::Duration::from_secs(20);
            tokio::time::timeout(timeout, wait).await.expect("the key is in no file");
        }
    }

    /// A command beside the service wipes a key and ends: the service truncates the log.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_key_that_another_process_wipes_beside_a_busy_writer_disappears() {
        let db = TestDatabase::sqlite();
        let store = db.open().await;
        let account = samples::insert_account(&*store, 1).await;
        let doomed = insert(&*store, &account, 0).await;
        let stopping = Arc::new(AtomicBool::new(false));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 1..=8_u32 {
            let (store, account, stopping) = (store.clone(), account.clone(), stopping.clone());
            writers.spawn(async move {
                for number in 0.. {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    insert(&*store, &account, writer * 1_000_000 + number).await;
                }
            });
        }
        let beside = db.open_beside().await;
        let event = samples::event(&account, 9_999_999, Actor::Operator, "c");
        assert_eq!(beside.delete_connection(&account, &doomed, &event).await.unwrap(), Changed::Yes);
        beside.close().await;
        until_gone(&db, 0..1).await;
        stopping.store(true, Ordering::Relaxed);
        writers.join_all().await;
    }
}
