//! The service's database: how far its jobs are, and how much was written.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, Row};

use crate::error::{BenchError, Context as _};
use crate::limits::postgres::connect;
use crate::time_of_day::TimeOfDay;

const COUNTS: &str = "SELECT count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
        count(*) FILTER (WHERE state IN ('failed', 'cancelled')) AS failed,
        count(*) FILTER (WHERE state NOT IN ('completed', 'failed', 'cancelled')) AS unfinished,
        count(*) FILTER (WHERE lease_until > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS leased
    FROM jobs";
const JOBS: &str = "SELECT job_id, video_number, fence, state FROM jobs ORDER BY job_id";
const WRITES: &str = "SELECT xact_commit AS transactions, tup_inserted + tup_updated + tup_deleted AS rows,
        pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes
    FROM pg_stat_database WHERE datname = current_database()";
/// Times by the database's clock, which is the one that the service uses.
const TIMES: &str = "SELECT to_char(
        (date_trunc('second', clock.now) + (($1 + n * $2) * interval '1 microsecond')) AT TIME ZONE 'UTC',
        'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS at
    FROM (SELECT now() AS now) AS clock
    CROSS JOIN generate_series(0, $3::bigint - 1) AS n ORDER BY n";

/// A session of the bench's own.
pub(super) struct Database<'a> {
    runtime: &'a Runtime,
    client: Client,
    _driver: JoinSet<()>,
}

/// How many jobs there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) scheduled: u64,
    pub(super) failed: u64,
    pub(super) unfinished: u64,
    pub(super) leased: u64,
}

/// A job as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) video: u64,
    pub(super) fence: u64,
    pub(super) is_completed: bool,
}

/// What was written in the database, and by how many transactions, including those that only read.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Writes {
    pub(super) transactions: u64,
    pub(super) rows: u64,
    pub(super) wal_bytes: u64,
}

impl Writes {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions.saturating_sub(before.transactions),
            rows: self.rows.saturating_sub(before.rows),
            wal_bytes: self.wal_bytes.saturating_sub(before.wal_bytes),
        }
    }
}

impl<'a> Database<'a> {
    pub(super) fn open(runtime: &'a Runtime, url: &str) -> Result<Self, BenchError> {
        let (client, driver) = runtime.block_on(connect(url))?;
        Ok(Self { runtime, client, _driver: driver })
    }

    /// Does what the server would otherwise start during a measurement, and reports what that wrote.
    pub(super) fn maintain(&self) -> Result<(), BenchError> {
        for statement in ["VACUUM ANALYZE", "CHECKPOINT", "SELECT pg_stat_force_next_flush()"] {
            self.runtime.block_on(self.client.batch_execute(statement)).context(statement)?;
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Result<Counts, BenchError> {
        let row = self.runtime.block_on(self.client.query_one(COUNTS, &[]))?;
        Ok(Counts {
            scheduled: count(&row, "scheduled")?,
            failed: count(&row, "failed")?,
            unfinished: count(&row, "unfinished")?,
            leased: count(&row, "leased")?,
        })
    }

    /// All jobs, by their identifiers.
    pub(super) fn jobs(&self) -> Result<HashMap<String, Job>, BenchError> {
        let rows = self.runtime.block_on(self.client.query(JOBS, &[]))?;
        rows.iter()
            .map(|row| {
                let job = Job {
                    video: count(row, "video_number")?,
                    fence: count(row, "fence")?,
                    is_completed: row.try_get::<_, &str>("state")? == "completed",
                };
                Ok((row.try_get("job_id")?, job))
            })
            .collect()
    }

    pub(super) fn writes(&self) -> Result<Writes, BenchError> {
        let row = self.runtime.block_on(self.client.query_one(WRITES, &[]))?;
        Ok(Writes {
            transactions: count(&row, "transactions")?,
            rows: count(&row, "rows")?,
            wal_bytes: count(&row, "wal_bytes")?,
        })
    }

    /// That many instants, evenly spread over a time from now on, after a lead.
    pub(super) fn choose_times(
        &self,
        jobs: u64,
        (lead, spread): (Duration, Duration),
    ) -> Result<Vec<String>, BenchError> {
        let micros = |duration: Duration| i64::try_from(duration.as_micros());
        let (lead, step, jobs) =
            (micros(lead)?, micros(spread)? / i64::try_from(jobs)?, i64::try_from(jobs)?);
        let rows = self.runtime.block_on(self.client.query(TIMES, &[&lead, &step, &jobs]))?;
        rows.iter().map(|row| Ok(row.try_get("at")?)).collect()
    }

    /// The same time tomorrow.
    pub(super) fn tomorrow(&self) -> Result<String, BenchError> {
        let day = Duration::from_hours(24);
        self.choose_times(1, (day, Duration::ZERO))?.pop().ok_or_else(|| "there is no time".into())
    }
}

/// An instant that [`Database::choose_times`] chose.
pub(super) fn read_time(text: &str) -> Result<TimeOfDay, BenchError> {
    TimeOfDay::read(text).ok_or_else(|| format!("no instant: {text}").into())
}

fn count(row: &Row, column: &str) -> Result<u64, BenchError> {
    let number: i64 = row.try_get(column).context(column)?;
    Ok(u64::try_from(number)?)
}
