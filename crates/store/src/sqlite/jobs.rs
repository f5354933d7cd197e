//! Jobs: who works on which, under which lease, and what becomes of them. By the instants that come with each call.

use domain::audit::AuditEvent;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::rows::{self, Columns};
use super::writer::Step;
use super::{api_keys, audit_events, connections, idempotency_records, job_secrets};
use crate::job_rows::{
    JobRow, LEFT_BEHIND, changing_column_names, changing_parameters, fixed_parameters, has_ended,
    job_column_names, job_columns, take_job_row,
};
use crate::jobs::Part;
use crate::{
    Changed, DueJob, Error, JobFilter, JobGuard, JobSettlement, JobStart, LeaseRenewal, LeaseTerms,
    LeasedJob, NewJob, Work,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", job_columns!(job_column_names), " FROM jobs ", $rest)
    };
}

pub(super) fn insert(database: &Connection, account: &AccountId, new: &NewJob) -> Step<()> {
    let NewJob { job, request, start, event, completion, now } = new;
    // Refusals come before the first row is written: other writes share the transaction.
    if !api_keys::is_actor_active(database, event)? {
        return Ok(Err(Error::KeyNotActive));
    }
    if let Some(completion) = completion
        && !idempotency_records::is_held(database, account, &completion.reservation)?
    {
        return Ok(Err(Error::ReservationLost));
    }
    if connections::find(database, account, &job.connection_id)?.is_none() {
        return Ok(Err(Error::NotFound));
    }
    let (fence, lease_until) = match start {
        JobStart::Queued => (0, None),
        JobStart::Held(lease) => (1, Some(now.plus(*lease).as_micros())),
    };
    let row = JobRow::of(job);
    let sent_bytes = row.sent_bytes.unwrap_or_default();
    let row = JobRow { sent_bytes: Some(sent_bytes), ..row };
    let (fixed, changing): ([&dyn ToSql; _], [&dyn ToSql; _]) =
        (job_columns!(fixed_parameters row), job_columns!(changing_parameters row));
    let due_at = now.as_micros();
    let held: [&dyn ToSql; 3] = [&due_at, &lease_until, &fence];
    database
        .prepare_cached(concat!(
            "INSERT INTO jobs (",
            job_columns!(job_column_names),
            ", due_at, lease_until, fence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(&*[&fixed[..], &changing[..], &held[..]].concat())?;
    job_secrets::insert(database, account, &job.id, Part::Request, request)?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

/// Of each account one job, then of each the next one, and so on; those that run already count as the first ones of their
/// account. In an account what was begun comes before what is new, and connections take turns.
pub(super) fn list_due(
    database: &Connection,
    now: Timestamp,
    work: Work,
    limit: u32,
) -> rusqlite::Result<Vec<DueJob>> {
    let mut statement = database.prepare_cached(concat!(
        "WITH due AS (
            SELECT account_id, job_id, connection_id, fence, due_at, state = 'accepted' AS is_new,
                row_number() OVER (
                    PARTITION BY account_id, connection_id ORDER BY state = 'accepted', due_at, job_id) AS place
            FROM jobs WHERE due_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?1) AND ?3 = ",
        has_ended!("jobs"),
        "),
         held AS (SELECT account_id, count(*) AS running FROM jobs WHERE lease_until > ?1 AND ?3 = ",
        has_ended!("jobs"),
        " GROUP BY account_id)
         SELECT account_id, job_id, connection_id, fence FROM (
            SELECT account_id, job_id, connection_id, fence, due_at,
                row_number() OVER (PARTITION BY account_id ORDER BY is_new, place, due_at, job_id)
                    + coalesce(running, 0) AS turn
            FROM due LEFT JOIN held USING (account_id))
         ORDER BY turn, due_at, account_id LIMIT ?2",
    ))?;
    statement
        .query_map((now.as_micros(), limit, work == Work::Webhook), |row| {
            let mut columns = Columns::of(row);
            Ok(DueJob {
                account_id: AccountId::from_stored(columns.take()?),
                id: JobId::from_stored(columns.take()?),
                connection_id: ConnectionId::from_stored(columns.take()?),
                fence: columns.take()?,
            })
        })?
        .collect()
}

pub(super) fn find(database: &Connection, account: &AccountId, id: &JobId) -> rusqlite::Result<Option<Job>> {
    database
        .prepare_cached(select!("WHERE account_id = ?1 AND job_id = ?2"))?
        .query_row((account.as_str(), id.as_str()), job)
        .optional()
}

pub(super) fn list(
    database: &Connection,
    account: &AccountId,
    filter: &JobFilter,
    limit: u32,
) -> rusqlite::Result<Vec<Job>> {
    // Each is written with characters that stand before this one.
    let before = filter.before.as_ref().map_or("~", JobId::as_str);
    let Some(connection) = &filter.connection_id else {
        let mut statement = database
            .prepare_cached(select!("WHERE account_id = ?1 AND job_id < ?2 ORDER BY job_id DESC LIMIT ?3"))?;
        return statement.query_map((account.as_str(), before, limit), job)?.collect();
    };
    let mut statement = database.prepare_cached(select!(
        "WHERE account_id = ?1 AND connection_id = ?2 AND job_id < ?3 ORDER BY job_id DESC LIMIT ?4"
    ))?;
    statement.query_map((account.as_str(), connection.as_str(), before, limit), job)?.collect()
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let mut columns = Columns::of(row);
    let row = job_columns!(take_job_row columns);
    row.into_job().map_err(|column| rows::impossible(column, Type::Null))
}

/// Takes a lease, if the job still is as it was when the caller found it, and may run beside those that are running.
pub(super) fn lease(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    terms: &LeaseTerms,
) -> Step<Option<LeasedJob>> {
    let taken = database
        .prepare_cached(concat!(
            "UPDATE jobs SET fence = fence + 1, lease_until = ?5
             WHERE account_id = ?1 AND job_id = ?2 AND fence = ?3
                AND due_at <= ?4 AND (lease_until IS NULL OR lease_until <= ?4)
                AND (SELECT count(*) FROM jobs r WHERE r.account_id = ?1 AND r.lease_until > ?4 AND ",
            has_ended!("r"),
            " = ",
            has_ended!("jobs"),
            ") < ?6
                AND (SELECT count(*) FROM jobs r WHERE r.account_id = ?1 AND r.lease_until > ?4 AND ",
            has_ended!("r"),
            " = ",
            has_ended!("jobs"),
            " AND r.connection_id = jobs.connection_id) < ?7",
        ))?
        .execute((
            account.as_str(),
            id.as_str(),
            terms.expected_fence,
            terms.now.as_micros(),
            terms.now.plus(terms.lease).as_micros(),
            terms.per_account,
            terms.per_connection,
        ))?;
    if taken == 0 {
        return Ok(Ok(None));
    }
    let Some(job) = find(database, account, id)? else { return Ok(Ok(None)) };
    Ok(Ok(Some(LeasedJob {
        job,
        fence: terms.expected_fence + 1,
        request: job_secrets::find(database, account, id, Part::Request)?,
        link: job_secrets::find(database, account, id, Part::Link)?,
    })))
}

pub(super) fn renew(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    renewal: &LeaseRenewal,
) -> Step<Changed> {
    let renewed = database
        .prepare_cached(
            "UPDATE jobs SET lease_until = ?5, sent_bytes = coalesce(?6, sent_bytes),
                bytes_per_second = coalesce(?7, bytes_per_second)
             WHERE account_id = ?1 AND job_id = ?2 AND fence = ?3 AND lease_until > ?4",
        )?
        .execute((
            account.as_str(),
            id.as_str(),
            renewal.fence,
            renewal.now.as_micros(),
            renewal.now.plus(renewal.lease).as_micros(),
            renewal.sent.map(|(bytes, _)| bytes),
            renewal.sent.map(|(_, rate)| rate),
        ))?;
    Ok(Ok(if renewed == 0 { Changed::No } else { Changed::Yes }))
}

pub(super) fn settle(
    database: &Connection,
    account: &AccountId,
    settlement: &JobSettlement,
) -> Step<Changed> {
    let JobSettlement { job, due_in, event, completion, now, .. } = settlement;
    if let Some(event) = event
        && !api_keys::is_actor_active(database, event)?
    {
        return Ok(Err(Error::KeyNotActive));
    }
    if let Some(completion) = completion
        && !idempotency_records::is_held(database, account, &completion.reservation)?
    {
        return Ok(Err(Error::ReservationLost));
    }
    let Some(fence) = fence_after(database, account, settlement)? else { return Ok(Ok(Changed::No)) };
    let row = JobRow::of(job);
    let changing: [&dyn ToSql; _] = job_columns!(changing_parameters row);
    let due_at = due_in.map(|due_in| now.plus(due_in).as_micros());
    let lease_until = settlement.kept_lease().map(|lease| now.plus(lease).as_micros());
    let held: [&dyn ToSql; 5] = [&due_at, &lease_until, &fence, &account.as_str(), &job.id.as_str()];
    database
        .prepare_cached(concat!(
            "UPDATE jobs SET (",
            job_columns!(changing_column_names),
            ", due_at, lease_until, fence) = (?, ?, ?, ?, ?, ?, coalesce(?, sent_bytes), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE account_id = ? AND job_id = ?"
        ))?
        .execute(&*[&changing[..], &held[..]].concat())?;
    for part in settlement.parts() {
        job_secrets::settle(database, account, &job.id, part)?;
    }
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    if let Some(event) = event {
        audit_events::insert(database, account, event)?;
    }
    Ok(Ok(Changed::Yes))
}

/// The fence that the job has when it is settled; `None` if the guard does not hold.
fn fence_after(
    database: &Connection,
    account: &AccountId,
    settlement: &JobSettlement,
) -> rusqlite::Result<Option<u64>> {
    let stored: Option<(u64, u64, Option<i64>)> = database
        .prepare_cached("SELECT fence, version, lease_until FROM jobs WHERE account_id = ?1 AND job_id = ?2")?
        .query_row((account.as_str(), settlement.job.id.as_str()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(stored.and_then(|(fence, version, lease_until)| match settlement.guard {
        JobGuard::Fence(expected) => {
            let is_held = lease_until.is_some_and(|until| until > settlement.now.as_micros());
            (fence == expected && is_held).then_some(fence)
        }
        JobGuard::Version(expected) => (version == expected).then_some(fence + 1),
    }))
}

/// Cancels the jobs of a connection that is being deleted, as far as they are not over. Whoever works on one loses it.
pub(super) fn cancel_of_connection(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    event: &AuditEvent,
) -> rusqlite::Result<()> {
    job_secrets::wipe_of_connection(database, account, connection)?;
    database
        .prepare_cached(
            "UPDATE jobs SET state = 'cancelled', version = version + 1, updated_at = ?3,
                fence = fence + 1, lease_until = NULL, due_at = CASE webhook WHEN 'waiting' THEN ?3 END,
                video_number = coalesce(video_number, discarded_number), discarded_number = NULL,
                deadline_at = NULL, looks = 0, restarts = 0, end_state = NULL, failure_code = NULL,
                failure_message = NULL,
                warnings = CASE WHEN coalesce(video_number, discarded_number, deadline_at) IS NULL
                    THEN warnings ELSE warnings || ?4 END
             WHERE account_id = ?1 AND connection_id = ?2 AND due_at IS NOT NULL
                AND state NOT IN ('completed', 'failed', 'cancelled')",
        )?
        .execute((account.as_str(), connection.as_str(), event.at.as_micros(), LEFT_BEHIND))
        .map(drop)
}

/// Deletes an account's first jobs, at most so many, with all that they keep; how many there were.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    job_secrets::wipe_of_account(database, account, limit)?;
    database
        .prepare_cached(
            "DELETE FROM jobs WHERE rowid IN
                (SELECT rowid FROM jobs WHERE account_id = ?1 ORDER BY job_id LIMIT ?2)",
        )?
        .execute((account.as_str(), limit))
}
