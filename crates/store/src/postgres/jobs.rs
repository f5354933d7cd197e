//! Jobs: reading them.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::secret::Sealed;
use tokio_postgres::Row;

use super::pg_error::PgError as Trouble;
use super::rows::{self, Columns};
use crate::DueJob;
use crate::due_order::{Candidate, Running};
use crate::job_rows::{job_column_names, job_columns, take_job_row};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", job_columns!(job_column_names), " FROM jobs ", $rest)
    };
}

pub(super) const FIND: &str = select!("WHERE account_id = $1 AND job_id = $2");
pub(super) const FIND_PART: &str =
    "SELECT wrapped_key, envelope FROM job_secrets WHERE account_id = $1 AND job_id = $2 AND part = $3";
/// By keyset: the server goes to the place in the index and reads on from there, however deep that is.
pub(super) const LIST: &str = select!("WHERE account_id = $1 AND job_id < $2 ORDER BY job_id DESC LIMIT $3");
pub(super) const LIST_OF_CONNECTION: &str =
    select!("WHERE account_id = $1 AND connection_id = $4 AND job_id < $2 ORDER BY job_id DESC LIMIT $3");
/// `$1` account, `$2` job: a job's MAC and its request.
pub(super) const FIND_MAC: &str = include_str!("sql/job_find_mac.sql");
/// `$1` now, `$2` the most of each connection and class, `$3` whether webhooks are due, or uploads.
pub(super) const LIST_DUE: &str = include_str!("sql/job_list_due.sql");
/// `$1` now, `$2` whether webhooks are counted, or uploads.
pub(super) const LIST_RUNNING: &str = include_str!("sql/job_running.sql");

/// Each identifier is written with characters that stand before this one.
pub(super) fn text_of(before: Option<&JobId>) -> &str {
    before.map_or("~", JobId::as_str)
}

pub(super) fn candidate(row: &Row) -> Result<Candidate, Trouble> {
    let mut columns = Columns::of(row);
    Ok(Candidate {
        job: DueJob {
            account_id: AccountId::from_stored(columns.take()?),
            id: JobId::from_stored(columns.take()?),
            connection_id: ConnectionId::from_stored(columns.take()?),
            fence: columns.take_count()?,
        },
        is_queued: columns.take()?,
        due_at: columns.take()?,
    })
}

pub(super) fn running(row: &Row) -> Result<Running, Trouble> {
    let mut columns = Columns::of(row);
    Ok(Running {
        account_id: AccountId::from_stored(columns.take()?),
        connection_id: ConnectionId::from_stored(columns.take()?),
        count: u32::try_from(columns.take_count()?).unwrap_or(u32::MAX),
    })
}

/// From all columns in their order.
pub(super) fn job(row: &Row) -> Result<Job, Trouble> {
    let mut columns = Columns::of(row);
    let row = job_columns!(take_job_row columns);
    row.into_job().map_err(rows::impossible)
}

pub(super) fn sealed(row: &Row) -> Result<Sealed, Trouble> {
    Ok(Sealed { envelope: rows::get(row, "envelope")?, sealing_key: rows::wrapped_key(row, "wrapped_key")? })
}

/// A job's MAC, and its sealed request if it has one.
pub(super) fn mac_and_request(row: &Row) -> Result<(Option<Vec<u8>>, Option<Sealed>), Trouble> {
    let envelope: Option<Vec<u8>> = rows::get(row, "envelope")?;
    let request = match envelope {
        None => None,
        Some(envelope) => Some(Sealed { envelope, sealing_key: rows::wrapped_key(row, "wrapped_key")? }),
    };
    Ok((rows::get(row, "row_mac")?, request))
}
