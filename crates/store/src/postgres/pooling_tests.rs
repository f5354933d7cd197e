//! Poolers in the wrong mode are named at the start; in `./test --all`, before Debian's PgBouncer.

use crate::contract::{TestDatabase, samples, test_database};
use crate::{OpenError, Options, PreparedStatements, Store, inspect};

fn options(db: &TestDatabase, statements: PreparedStatements) -> Options {
    Options { database_url: db.database_url().preparing(statements), ..db.options() }
}

fn assert_named(result: Result<(), OpenError>) {
    let text = result.unwrap_err().to_string();
    assert!(text.contains("set store.prepared_statements = \"transaction\""), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_is_named_where_sessions_are_expected() {
    let Some(db) = test_database::pgbouncer_transaction().await else { return };
    let options = options(&db, PreparedStatements::Session);
    for _ in 0..3 {
        assert_named(crate::open(options.clone()).await.map(drop));
        assert_named(inspect(&options.database_url).await.map(drop));
    }
    db.open().await.close().await;
    assert_named(crate::open(options).await.map(drop));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_without_names_run_on_a_server_and_behind_a_pooler_in_session_mode() {
    for db in [test_database::postgres_15().await, test_database::pgbouncer_session().await] {
        let Some(db) = db else { continue };
        let store = crate::open(options(&db, PreparedStatements::Transaction)).await.unwrap();
        let account = samples::insert_account(&*store, 1).await;
        samples::insert_connection(&*store, &account, 1, "c").await.unwrap();
        assert_eq!(store.list_connection_ids(&account, None, 9).await.unwrap().len(), 1);
        store.close().await;
    }
}

/// A write has its lock timeout in its transaction: a lock that another transaction keeps fails it, and no session is stuck.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_in_transaction_mode_waits_for_a_lock_no_longer_than_in_a_session() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store: std::sync::Arc<dyn Store> =
        crate::open(options(&db, PreparedStatements::Transaction)).await.unwrap();
    let account = samples::insert_account(&*store, 1).await;
    let held = db.hold("LOCK TABLE connections IN EXCLUSIVE MODE").await;
    let refused = samples::insert_connection(&*store, &account, 1, "c").await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("hold the locks") || cause.contains("55P03"), "{cause}");
    held.commit().await;
    samples::insert_connection(&*store, &account, 1, "c").await.unwrap();
    let settings = db.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'").await;
    assert_eq!(settings, ["0"]);
}

#[tokio::test]
async fn a_role_whose_names_belong_to_another_schema_is_refused_in_transaction_mode() {
    let Some(db) = test_database::postgres_15().await else { return };
    let name = db.url().rsplit_once('/').unwrap().1;
    db.sql(&format!("CREATE SCHEMA other; ALTER DATABASE {name} SET search_path = other, public")).await;
    let refused = crate::open(options(&db, PreparedStatements::Transaction)).await.map(drop);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("belong to other") && text.contains("SET search_path = public"), "{text}");
    crate::open(options(&db, PreparedStatements::Session)).await.unwrap().close().await;
}
