//! Jobs: reading them.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::secret::Sealed;
use tokio_postgres::Row;

use super::clock::clock;
use super::rows::{self, Columns};
use super::trouble::Trouble;
use crate::DueJob;
use crate::job_rows::{has_ended, job_column_names, job_columns, take_job_row};

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
/// Of each account one job, then of each the next one, and so on; those that run already count as the first ones of their
/// account. In an account what was begun comes before what is new, and connections take turns.
pub(super) const LIST_DUE: &str = concat!(
    "WITH due AS (
        SELECT account_id, job_id, connection_id, fence, due_at, state = 'accepted' AS is_new,
            row_number() OVER (
                PARTITION BY account_id, connection_id ORDER BY state = 'accepted', due_at, job_id) AS place
        FROM jobs WHERE due_at <= ",
    clock!("$1"),
    " AND (lease_until IS NULL OR lease_until <= ",
    clock!("$1"),
    ") AND $3::boolean = ",
    has_ended!("jobs"),
    "),
     held AS (SELECT account_id, count(*) AS running FROM jobs WHERE lease_until > ",
    clock!("$1"),
    " AND $3::boolean = ",
    has_ended!("jobs"),
    " GROUP BY account_id)
     SELECT account_id, job_id, connection_id, fence FROM (
        SELECT account_id, job_id, connection_id, fence, due_at,
            row_number() OVER (PARTITION BY account_id ORDER BY is_new, place, due_at, job_id)
                + coalesce(running, 0) AS turn
        FROM due LEFT JOIN held USING (account_id)) AS turns
     ORDER BY turn, due_at, account_id LIMIT $2"
);

/// Each identifier is written with characters that stand before this one.
pub(super) fn text_of(before: Option<&JobId>) -> &str {
    before.map_or("~", JobId::as_str)
}

pub(super) fn due_job(row: &Row) -> Result<DueJob, Trouble> {
    let mut columns = Columns::of(row);
    Ok(DueJob {
        account_id: AccountId::from_stored(columns.take()?),
        id: JobId::from_stored(columns.take()?),
        connection_id: ConnectionId::from_stored(columns.take()?),
        fence: columns.take_count()?,
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
