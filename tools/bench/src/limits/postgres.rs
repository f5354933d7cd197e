//! P: the service's tables and rows in PostgreSQL, without HTTP, encryption and validation: batched writes with two
//! statements in flight, reads pipelined over three sessions.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use super::rows::{ENVELOPE_BYTES, id, moment, noise, scattered};
use super::{SUBMITTERS, per_second};
use crate::error::{BenchError, Context as _};
use crate::record;

/// The service's defaults.
const READERS: usize = 3;
const WRITERS: usize = 2;
const ROWS_PER_STATEMENT: usize = 64;
/// The rows that reads and updates choose from.
pub(crate) const BASE: u64 = 10_000;
const PAGE: i64 = 50;

const INSERT: &str = "WITH given AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bytea[],
            $8::bytea[], $9::text[], $10::text[])
        AS given (account_id, connection_id, name, description, client_identifier, at, wrapped_key, envelope,
            api_key_id, audit_event_id)),
    inserted AS (
        INSERT INTO connections (account_id, connection_id, name, unique_name, description, is_enabled,
            client_identifier, created_at, updated_at, version, sealed_version, wrapped_key, envelope)
        SELECT account_id, connection_id, name, name, description, true, client_identifier, at, at, 1, 1,
            wrapped_key, envelope FROM given
        ON CONFLICT DO NOTHING RETURNING account_id, connection_id),
    logged AS (
        INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
        SELECT account_id, audit_event_id, at, api_key_id, '127.0.0.1', 'connection.created', connection_id, NULL
        FROM given JOIN inserted USING (account_id, connection_id))
    SELECT connection_id FROM inserted";
const UPDATE: &str = "WITH given AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[])
        AS given (account_id, connection_id, expected_version, description, at, api_key_id, audit_event_id)),
    updated AS (
        UPDATE connections c SET description = given.description, updated_at = given.at, version = c.version + 1
        FROM given WHERE c.account_id = given.account_id AND c.connection_id = given.connection_id
            AND c.version = given.expected_version
        RETURNING c.account_id, c.connection_id),
    logged AS (
        INSERT INTO audit_events (account_id, audit_event_id, at, api_key_id, remote, action, subject, refusal)
        SELECT account_id, audit_event_id, at, api_key_id, '127.0.0.1', 'connection.updated', connection_id, NULL
        FROM given JOIN updated USING (account_id, connection_id))
    SELECT connection_id FROM updated";
const COLUMNS: &str =
    "SELECT account_id, connection_id, name, description, is_enabled, client_identifier, created_at,
        updated_at, version, sealed_version FROM connections WHERE account_id = $1 AND";
const GET: &str = "connection_id = $2";
const LIST: &str = "connection_id > $2 ORDER BY connection_id LIMIT $3";

/// A database with the service's tables, an account and a key.
pub(crate) struct Database {
    sessions: Vec<Session>,
    account: String,
    api_key: String,
    /// Numbers the rows, over all rounds.
    rows: Arc<AtomicU64>,
    /// Numbers the audit events.
    events: Arc<AtomicU64>,
    /// The versions of the base's rows, each with its one submitter.
    versions: Vec<Arc<Mutex<Vec<i64>>>>,
}

#[derive(Clone)]
struct Session {
    client: Arc<Client>,
    insert: Statement,
    update: Statement,
    get: Statement,
    list: Statement,
    _driver: Arc<JoinSet<()>>,
}

/// The work of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Insert,
    Get,
    List,
    Update,
}

struct Row {
    number: u64,
    version: i64,
    event: u64,
    done: oneshot::Sender<()>,
}

/// Runs administrative statements, such as CREATE DATABASE.
pub(crate) fn administer(runtime: &Runtime, url: &str, statements: &[&str]) -> Result<(), BenchError> {
    runtime.block_on(async {
        let (client, _driver) = connect(url).await?;
        for statement in statements {
            client.batch_execute(statement).await.context(statement)?;
        }
        Ok(())
    })
}

/// The size of a database on the disk, including indexes.
pub(crate) fn size_bytes(runtime: &Runtime, url: &str) -> Result<u64, BenchError> {
    let bytes: i64 = runtime.block_on(async {
        let (client, _driver) = connect(url).await?;
        let row = client.query_one("SELECT pg_database_size(current_database())", &[]).await?;
        Ok::<_, BenchError>(row.try_get(0)?)
    })?;
    Ok(u64::try_from(bytes)?)
}

pub(crate) async fn connect(url: &str) -> Result<(Client, JoinSet<()>), BenchError> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("PostgreSQL cannot be reached")?;
    let mut driver = JoinSet::new();
    driver.spawn(async {
        // Errors are reported to the sender of the query too.
        let _ = connection.await;
    });
    Ok((client, driver))
}

impl Session {
    async fn open(url: &str) -> Result<Self, BenchError> {
        let (client, driver) = connect(url).await?;
        Ok(Self {
            insert: client.prepare(INSERT).await?,
            update: client.prepare(UPDATE).await?,
            get: client.prepare(&format!("{COLUMNS} {GET}")).await?,
            list: client.prepare(&format!("{COLUMNS} {LIST}")).await?,
            client: Arc::new(client),
            _driver: Arc::new(driver),
        })
    }
}

impl Database {
    /// Opens the database and inserts the base.
    pub(crate) fn open(runtime: &Runtime, url: &str) -> Result<Self, BenchError> {
        let database = runtime.block_on(async {
            let mut sessions = Vec::new();
            for _ in 0..READERS.max(WRITERS) {
                sessions.push(Session::open(url).await?);
            }
            let first = sessions.first().ok_or("there is no session")?;
            let row = first.client.query_one("SELECT account_id, api_key_id FROM api_keys", &[]).await?;
            let share = usize::try_from(BASE)?.div_ceil(SUBMITTERS);
            let versions = (0..SUBMITTERS).map(|_| Arc::new(Mutex::new(vec![1; share]))).collect();
            let counter = || Arc::new(AtomicU64::new(0));
            let (account, api_key) = (row.try_get(0)?, row.try_get(1)?);
            Ok::<_, BenchError>(Self {
                sessions,
                account,
                api_key,
                rows: counter(),
                events: counter(),
                versions,
            })
        })?;
        while database.rows.load(Ordering::Relaxed) < BASE {
            database.run(runtime, Work::Insert, Duration::from_millis(200))?;
        }
        Ok(database)
    }

    /// Works for this long with 64 submitters. Returns the rate per second.
    pub(crate) fn run(&self, runtime: &Runtime, work: Work, long: Duration) -> Result<f64, BenchError> {
        let end = Instant::now() + long;
        let started = Instant::now();
        let count = runtime.block_on(async {
            match work {
                Work::Insert | Work::Update => self.write(work, end).await,
                Work::Get | Work::List => self.read(work, end).await,
            }
        })?;
        Ok(per_second(count, started.elapsed()))
    }

    async fn read(&self, work: Work, end: Instant) -> Result<u64, BenchError> {
        let mut submitters = JoinSet::new();
        for (submitter, session) in (0..SUBMITTERS as u64).zip(self.sessions.iter().take(READERS).cycle()) {
            let (session, account) = (session.clone(), self.account.clone());
            submitters.spawn(async move {
                let mut count = 0;
                while Instant::now() < end {
                    let wanted = scattered(submitter.wrapping_mul(1 << 32) + count) % BASE;
                    let found = match work {
                        Work::List => session.client.query(&session.list, &[&account, &"", &PAGE]).await?,
                        _ => session.client.query(&session.get, &[&account, &id(wanted)]).await?,
                    };
                    let expected = if work == Work::List { usize::try_from(PAGE)? } else { 1 };
                    let bytes = found.iter().map(taken_apart).sum::<Result<usize, _>>()?;
                    if found.len() != expected || bytes == 0 {
                        return Err(format!("PostgreSQL found {} rows, not {expected}", found.len()).into());
                    }
                    count += 1;
                }
                Ok::<u64, BenchError>(count)
            });
        }
        sum(submitters).await
    }

    async fn write(&self, work: Work, end: Instant) -> Result<u64, BenchError> {
        let (queue, waiting) = mpsc::channel::<Row>(4 * SUBMITTERS);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut writers = JoinSet::new();
        for session in self.sessions.iter().take(WRITERS) {
            let (session, waiting) = (session.clone(), Arc::clone(&waiting));
            let (account, api_key) = (self.account.clone(), self.api_key.clone());
            writers.spawn(async move {
                let mut batch = Vec::new();
                loop {
                    let taken = waiting.lock().await.recv_many(&mut batch, ROWS_PER_STATEMENT).await;
                    if taken == 0 {
                        return Ok::<u64, BenchError>(0);
                    }
                    write_batch(&session, work, (&account, &api_key), &batch).await?;
                    for row in batch.drain(..) {
                        // A submitter that has stopped waiting does not count it.
                        let _ = row.done.send(());
                    }
                }
            });
        }
        drop(waiting);
        let mut submitters = JoinSet::new();
        for (submitter, versions) in (0..).zip(&self.versions) {
            let (queue, versions) = (queue.clone(), Arc::clone(versions));
            let (rows, events) = (Arc::clone(&self.rows), Arc::clone(&self.events));
            submitters.spawn(async move {
                let send = async |number, version| {
                    let event = events.fetch_add(1, Ordering::Relaxed);
                    let (done, answer) = oneshot::channel();
                    let row = Row { number, version, event, done };
                    queue.send(row).await.is_ok() && answer.await.is_ok()
                };
                Ok(match work {
                    Work::Update => submit_updates(submitter, &mut versions.lock().await, end, send).await,
                    _ => submit_inserts(&rows, end, send).await,
                })
            });
        }
        drop(queue);
        let count = sum(submitters).await?;
        sum(writers).await?;
        Ok(count)
    }
}

async fn submit_inserts<S, F>(rows: &AtomicU64, end: Instant, send: S) -> u64
where
    S: Fn(u64, i64) -> F,
    F: Future<Output = bool>,
{
    let mut count = 0;
    while Instant::now() < end && send(rows.fetch_add(1, Ordering::Relaxed), 1).await {
        count += 1;
    }
    count
}

/// Updates the rows of the base that belong to this submitter, in order, repeatedly.
async fn submit_updates<S, F>(submitter: u64, versions: &mut [i64], end: Instant, send: S) -> u64
where
    S: Fn(u64, i64) -> F,
    F: Future<Output = bool>,
{
    let mut count = 0;
    loop {
        for (place, version) in (0..).zip(versions.iter_mut()) {
            let number = submitter + place * SUBMITTERS as u64;
            if number >= BASE {
                continue;
            }
            if Instant::now() >= end || !send(number, *version).await {
                return count;
            }
            *version += 1;
            count += 1;
        }
    }
}

async fn write_batch(
    session: &Session,
    work: Work,
    (account, api_key): (&str, &str),
    batch: &[Row],
) -> Result<(), BenchError> {
    let count = batch.len();
    let ids: Vec<String> = batch.iter().map(|row| id(row.number)).collect();
    let events: Vec<String> = batch.iter().map(|row| id(row.event)).collect();
    let (accounts, api_keys) = (vec![account; count], vec![api_key; count]);
    let at: Vec<i64> = batch.iter().map(|row| moment(row.event)).collect();
    let descriptions: Vec<String> = batch.iter().map(|row| record::description(row.event)).collect();
    let names: Vec<String> = batch.iter().map(|row| record::name(&format!("{:08}", row.number))).collect();
    let clients: Vec<String> = batch.iter().map(|row| record::client_identifier(row.number)).collect();
    let wrapped: Vec<Vec<u8>> = batch.iter().map(|row| noise(row.number, 60)).collect();
    let envelopes: Vec<Vec<u8>> = batch.iter().map(|row| noise(row.event, ENVELOPE_BYTES)).collect();
    let versions: Vec<i64> = batch.iter().map(|row| row.version).collect();
    let (statement, parameters): (_, Vec<&(dyn ToSql + Sync)>) = match work {
        Work::Update => {
            (&session.update, vec![&accounts, &ids, &versions, &descriptions, &at, &api_keys, &events])
        }
        _ => (
            &session.insert,
            vec![
                &accounts,
                &ids,
                &names,
                &descriptions,
                &clients,
                &at,
                &wrapped,
                &envelopes,
                &api_keys,
                &events,
            ],
        ),
    };
    let written = session.client.query(statement, &parameters).await?;
    if written.len() == count {
        Ok(())
    } else {
        Err(format!("PostgreSQL wrote {} of {count} rows", written.len()).into())
    }
}

/// The sum, or the first error.
async fn sum(mut tasks: JoinSet<Result<u64, BenchError>>) -> Result<u64, BenchError> {
    let (mut total, mut first_error) = (0, None);
    while let Some(done) = tasks.join_next().await {
        match done? {
            Ok(count) => total += count,
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    first_error.map_or(Ok(total), Err)
}

/// Reads every column, as a server would. Returns the length of the texts.
fn taken_apart(row: &tokio_postgres::Row) -> Result<usize, tokio_postgres::Error> {
    let mut bytes = 0;
    for text in [0, 1, 2, 5] {
        bytes += row.try_get::<_, &str>(text)?.len();
    }
    bytes += row.try_get::<_, Option<&str>>(3)?.map_or(0, str::len);
    bytes += usize::from(row.try_get::<_, bool>(4)?);
    for number in 6..10 {
        bytes += usize::from(row.try_get::<_, i64>(number)? != 0);
    }
    Ok(bytes)
}
