//! Databases for the cases: a file, or a database of its own on a PostgreSQL server that the tests were given, reached
//! directly or through a connection pooler.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::audit::Actor;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use tokio_util::task::TaskTracker;

use super::samples;
use crate::postgres::{Clock, Postgres};
use crate::url::Location;
use crate::{DatabaseUrl, Migrations, Options, PostgresOptions, PreparedStatements, Store};

/// A database for one case, and how to open a store on it.
pub(crate) struct TestDatabase {
    url: String,
    /// The URL that the store uses.
    store_url: String,
    prepared_statements: PreparedStatements,
    /// The file's directory, which is removed with this.
    directory: Option<tempfile::TempDir>,
    /// The URL of the server, and the name of the database, which is dropped with this.
    server: Option<(String, String)>,
}

pub(super) async fn sqlite() -> Option<TestDatabase> {
    Some(TestDatabase::sqlite())
}

pub(crate) async fn postgres_15() -> Option<TestDatabase> {
    postgres_15_with("").await
}

/// The same with options of `CREATE DATABASE`.
pub(crate) async fn postgres_15_with(options: &str) -> Option<TestDatabase> {
    postgres("TEST_POSTGRES_15_URL", options).await
}

pub(crate) async fn postgres_18() -> Option<TestDatabase> {
    postgres("TEST_POSTGRES_18_URL", "").await
}

/// Through `PgBouncer` in session mode; only in `./test --all`.
pub(crate) async fn pgbouncer_session() -> Option<TestDatabase> {
    pgbouncer("TEST_PGBOUNCER_SESSION_URL", PreparedStatements::Session).await
}

/// Through `PgBouncer` in transaction mode; only in `./test --all`.
pub(crate) async fn pgbouncer_transaction() -> Option<TestDatabase> {
    pgbouncer("TEST_PGBOUNCER_TRANSACTION_URL", PreparedStatements::Transaction).await
}

/// A database of PostgreSQL 15 that the store reaches through a pooler.
async fn pgbouncer(variable: &str, statements: PreparedStatements) -> Option<TestDatabase> {
    let pooler = match find_variable(variable) {
        Some(pooler) => pooler,
        None if find_variable("TEST_ALL").is_none() => return None,
        None => return skip(variable),
    };
    let mut database = postgres_15().await?;
    let (front, name) = (pooler.rsplit_once('/').unwrap().0, database.url.rsplit_once('/').unwrap().1);
    database.store_url = format!("{front}/{name}");
    database.prepared_statements = statements;
    Some(database)
}

#[expect(clippy::disallowed_methods, reason = "./test says here where its servers are")]
fn find_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Without a server the case is skipped, and in CI it fails.
fn skip(variable: &str) -> Option<TestDatabase> {
    assert!(find_variable("CI").is_none(), "{variable} is not set: no case may be left out in CI");
    // Past the test runner, which hides what passing tests print.
    let skipped = format!("SKIPPED: {variable} is not set. Run ./test, or see CONTRIBUTING.md\n");
    std::io::stderr().write_all(skipped.as_bytes()).unwrap();
    None
}

/// A new database on the server that a variable names.
async fn postgres(variable: &str, options: &str) -> Option<TestDatabase> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let Some(server) = find_variable(variable) else { return skip(variable) };
    let name = format!("contract_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    on_server(&server, &format!("CREATE DATABASE {name} {options}")).await;
    let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
    let mut database = TestDatabase::of_url(url);
    database.server = Some((server, name));
    Some(database)
}

async fn on_server(url: &str, sql: &str) -> Vec<SimpleQueryMessage> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let running = async {
        connection.await.unwrap();
    };
    let asking = async {
        let answer = client.simple_query(sql).await.unwrap();
        drop(client);
        answer
    };
    tokio::join!(running, asking).1
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Some((server, name)) = self.server.take() else { return };
        // A runtime of its own, because a destructor cannot wait.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(on_server(&server, &format!("DROP DATABASE {name} WITH (FORCE)")));
        });
        let _ = dropping.join();
    }
}

impl TestDatabase {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("contract.db").display());
        let mut database = Self::of_url(url);
        database.directory = Some(directory);
        database
    }

    /// A database that exists already, and is not dropped with this.
    pub(super) fn of_url(url: String) -> Self {
        let (store_url, prepared_statements) = (url.clone(), PreparedStatements::default());
        Self { url, store_url, prepared_statements, directory: None, server: None }
    }

    pub(crate) fn database_url(&self) -> DatabaseUrl {
        DatabaseUrl::parse(&self.store_url).unwrap().preparing(self.prepared_statements)
    }

    /// Runs statements on the server: all rows, their columns divided by `|`.
    pub(crate) async fn sql(&self, sql: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for message in on_server(&self.url, sql).await {
            if let SimpleQueryMessage::Row(row) = message {
                let columns: Vec<_> = (0..row.len()).map(|index| row.get(index).unwrap_or("NULL")).collect();
                rows.push(columns.join("|"));
            }
        }
        rows
    }

    /// Runs statements of either engine, without a result.
    pub(crate) async fn change(&self, sql: &str) {
        match self.database_url().file() {
            Some(file) => rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap(),
            None => drop(self.sql(sql).await),
        }
    }

    /// The generic plan of a statement.
    pub(crate) async fn explain(&self, settings: &str, sql: &str) -> String {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        let running = TaskTracker::new().spawn(connection);
        client.batch_execute(settings).await.unwrap();
        let lines = client.simple_query(&format!("EXPLAIN (GENERIC_PLAN) {sql}")).await.unwrap();
        let lines = lines.iter().filter_map(|line| match line {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan = lines.collect::<Vec<_>>().join("\n");
        drop(client);
        running.await.unwrap().unwrap();
        plan
    }

    /// Starts a transaction with a statement, and leaves it open.
    pub(crate) async fn hold(&self, sql: &str) -> Held {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        TaskTracker::new().spawn(connection);
        client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        Held { client }
    }

    /// The only text that a query returns, on PostgreSQL.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        self.sql(sql).await.remove(0)
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.database_url().file().unwrap().to_owned()
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        self.open_as(self.options()).await
    }

    /// Opens it like a command beside the service.
    pub(crate) async fn open_beside(&self) -> Arc<dyn Store> {
        self.open_as(Options { migrations: Migrations::OnlyIfNew, ..self.options() }).await
    }

    pub(crate) async fn open_with_queue(&self, queue: usize) -> Arc<dyn Store> {
        self.open_as(Options { queue, ..self.options() }).await
    }

    /// Opens it with one writer, so that writes which wait at the same time share a transaction.
    pub(crate) async fn open_with_one_writer(&self) -> Arc<dyn Store> {
        let options = self.options();
        self.open_as(Options { postgres: PostgresOptions { writers: 1, ..options.postgres }, ..options })
            .await
    }

    /// Runs all of these writes of one kind in one transaction, on a store with one writer: another write, which waits for a lock,
    /// keeps the writer busy until all are queued.
    pub(crate) async fn together<T>(
        &self,
        store: &Arc<dyn Store>,
        writes: impl IntoIterator<Item = impl Future<Output = T>>,
    ) -> Vec<T> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let other = samples::account(250).id;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let event = samples::event(&other, number, Actor::Operator, "keeps the writer busy");
        let busy = {
            let store = store.clone();
            async move { store.insert_audit_event(&other, &event).await.unwrap() }
        };
        if self.server.is_none() {
            let lock = rusqlite::Connection::open(self.path()).unwrap();
            lock.execute_batch("BEGIN IMMEDIATE").unwrap();
            let busy = TaskTracker::new().spawn(busy);
            let unlock = async { lock.execute_batch("COMMIT").unwrap() };
            let (done, ()) = tokio::join!(samples::all(writes), unlock);
            busy.await.unwrap();
            return done;
        }
        let held = self.hold("LOCK TABLE audit_events IN SHARE MODE").await;
        let busy = TaskTracker::new().spawn(busy);
        held.is_waited_for().await;
        let (done, ()) = tokio::join!(samples::all(writes), held.commit());
        busy.await.unwrap();
        done
    }

    /// Opens it so that the case chooses the instants, whichever clock the engine has.
    pub(crate) async fn open_as(&self, options: Options) -> Arc<dyn Store> {
        match options.database_url.location.clone() {
            Location::Sqlite(_) => crate::open(options).await.unwrap(),
            Location::Postgres(server) => {
                Arc::new(Postgres::open(*server, &options, Clock::OfTheCaller).await.unwrap())
            }
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            database_url: self.database_url(),
            queue: 4096,
            migrations: Migrations::Apply,
            now: samples::at(0),
            postgres: PostgresOptions::default(),
        }
    }
}

/// An open transaction of another client.
pub(crate) struct Held {
    client: tokio_postgres::Client,
}

impl Held {
    async fn is_waited_for(&self) {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
            AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
        while self.client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn commit(&self) {
        self.client.batch_execute("COMMIT").await.unwrap();
    }

    /// Commits as soon as another transaction waits for it.
    pub(crate) async fn commit_when_waited_for(&self) {
        self.is_waited_for().await;
        self.commit().await;
    }
}
