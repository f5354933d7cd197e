//! Jobs: reading them.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::secret::Sealed;
use tokio_postgres::Row;

use super::pg_error::PgError;
use super::rows::{self, Columns};
use crate::due_order::{Candidate, Running};
use crate::job_rows::{job_columns, take_job_row};
use crate::sql::statement;
use crate::{DueJob, StoredJob};

pub(super) const SQL: &str = include_str!("sql/jobs.sql");
pub(super) const FIND: &str = statement(SQL, "find_job");
pub(super) const FIND_RETRY: &str = statement(SQL, "find_retry");
pub(super) const FIND_STORED: &str = statement(SQL, "find_stored_job");
pub(super) const FIND_SECRET: &str = statement(SQL, "find_secret");
pub(super) const LIST: &str = statement(SQL, "list_jobs");
pub(super) const LIST_OF_CONNECTION: &str = statement(SQL, "list_jobs_of_connection");
pub(super) const COUNT: &str = statement(SQL, "count_jobs");
pub(super) const LIST_DUE: &str = statement(SQL, "list_due_jobs");
pub(super) const LIST_DUE_PUBLICATIONS: &str = statement(SQL, "list_due_publications");
pub(super) const FIND_FENCE: &str = statement(SQL, "find_fence_of_due_job");
pub(super) const COUNT_RUNNING: &str = statement(SQL, "count_running_jobs");

pub(super) fn candidate(row: &Row) -> Result<Candidate, PgError> {
    let mut columns = Columns::of(row);
    Ok(Candidate {
        job: DueJob {
            account_id: AccountId::from_stored(columns.get("account_id")?),
            id: JobId::from_stored(columns.get("job_id")?),
            connection_id: ConnectionId::from_stored(columns.get("connection_id")?),
            fence: columns.get_count("fence")?,
        },
        is_queued: columns.get("is_queued")?,
        due_at: columns.get("due_at")?,
    })
}

pub(super) fn running(row: &Row) -> Result<Running, PgError> {
    let mut columns = Columns::of(row);
    Ok(Running {
        account_id: AccountId::from_stored(columns.get("account_id")?),
        connection_id: ConnectionId::from_stored(columns.get("connection_id")?),
        count: u32::try_from(columns.get_count("count")?).unwrap_or(u32::MAX),
    })
}

/// A status and how many jobs have it.
pub(super) fn status_count(row: &Row) -> Result<(String, u64), PgError> {
    let mut columns = Columns::of(row);
    Ok((columns.get("status")?, columns.get_count("count")?))
}

pub(super) fn job_id(row: &Row) -> Result<JobId, PgError> {
    rows::get(row, "job_id").map(JobId::from_stored)
}

pub(super) fn fence(row: &Row) -> Result<u64, PgError> {
    Columns::of(row).get_count("fence")
}

/// From all columns in their order.
pub(super) fn job(row: &Row) -> Result<Job, PgError> {
    let mut columns = Columns::of(row);
    let row = job_columns!(take_job_row columns);
    row.into_job().map_err(rows::impossible)
}

pub(super) fn sealed(row: &Row) -> Result<Sealed, PgError> {
    Ok(Sealed { envelope: rows::get(row, "envelope")?, sealing_key: rows::wrapped_key(row, "wrapped_key")? })
}

/// A job with its MAC, and its sealed request if it has one.
pub(super) fn stored_job(row: &Row) -> Result<StoredJob, PgError> {
    let envelope: Option<Vec<u8>> = rows::get(row, "envelope")?;
    let request = match envelope {
        None => None,
        Some(envelope) => Some(Sealed { envelope, sealing_key: rows::wrapped_key(row, "wrapped_key")? }),
    };
    Ok(StoredJob { job: job(row)?, row_mac: rows::get(row, "row_mac")?, request })
}
