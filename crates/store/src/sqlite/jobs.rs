//! Jobs: their leases, their writes and their lists. All by the instants that come with each call.

use domain::audit::AuditEvent;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, WaitingFor};
use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params};

use super::rows::{self, Columns};
use super::writer::WriteResult as Step;
use super::{api_keys, audit_events, connections, idempotency_records, job_secrets};
use crate::due_order::{Candidate, Running, order_due};
use crate::job_rows::{
    ENDED_CLASS, JobRow, QUEUED_CLASS, STARTED_CLASS, job_column_names, job_columns, named_parameters,
    take_job_row,
};
use crate::jobs::Part;
use crate::{
    Changed, Deferral, DueJob, DueLimits, Error, JobFilter, JobGuard, JobStart, JobUpdate, LeaseRelease,
    LeaseRenewal, LeaseTerms, LeasedJob, NewJob, StoredJob, Work,
};

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", job_columns!(job_column_names), " FROM jobs ", $rest)
    };
}

pub(super) fn insert(database: &Connection, account: &AccountId, new: &NewJob) -> Step<()> {
    let NewJob { job, row_mac, request, start, event, completion, now } = new;
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
        JobStart::Leased(lease) => (1, Some(now.plus(*lease).as_micros())),
    };
    let row = JobRow::of(job);
    let sent_bytes = row.sent_bytes.unwrap_or_default();
    let row = JobRow { sent_bytes: Some(sent_bytes), ..row };
    let columns: [(&str, &dyn ToSql); _] = job_columns!(named_parameters row);
    let due_at = now.as_micros();
    let others: [(&str, &dyn ToSql); 4] =
        [(":row_mac", row_mac), (":due_at", &due_at), (":lease_until", &lease_until), (":fence", &fence)];
    database
        .prepare_cached(include_str!("sql/job_insert.sql"))?
        .execute(&*[&columns[..], &others[..]].concat())?;
    job_secrets::insert(database, account, &job.id, Part::Request, request)?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

/// The due jobs, in fair order. Each connection costs a few seeks in the index, however many of its jobs wait.
pub(super) fn list_due(
    database: &Connection,
    now: Timestamp,
    work: Work,
    limits: &DueLimits,
) -> rusqlite::Result<Vec<DueJob>> {
    let classes: &[i64] = match work {
        Work::Upload => &[STARTED_CLASS, QUEUED_CLASS],
        Work::Webhook => &[ENDED_CLASS],
    };
    let running = list_running(database, now, work)?;
    let mut candidates = Vec::new();
    let mut next = database.prepare_cached(include_str!("sql/job_next_connection.sql"))?;
    let mut due = database.prepare_cached(include_str!("sql/job_due_of_connection.sql"))?;
    let mut found: Option<(String, String)> = next.query_row(("", ""), pair).optional()?;
    // A lease may be taken by another worker meanwhile.
    let per_connection = limits.per_connection.saturating_add(4).min(limits.total);
    while let Some((account, connection)) = found {
        for class in classes {
            let rows =
                due.query_map((&account, &connection, class, now.as_micros(), per_connection), |row| {
                    let mut columns = Columns::of(row);
                    Ok(Candidate {
                        job: DueJob {
                            account_id: AccountId::from_stored(account.clone()),
                            connection_id: ConnectionId::from_stored(connection.clone()),
                            id: JobId::from_stored(columns.take()?),
                            fence: columns.take()?,
                        },
                        is_queued: *class == QUEUED_CLASS,
                        due_at: columns.take()?,
                    })
                })?;
            for candidate in rows {
                candidates.push(candidate?);
            }
        }
        found = next.query_row((&account, &connection), pair).optional()?;
    }
    Ok(order_due(candidates, &running, limits))
}

fn pair(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn list_running(database: &Connection, now: Timestamp, work: Work) -> rusqlite::Result<Vec<Running>> {
    let mut statement = database.prepare_cached(include_str!("sql/job_running.sql"))?;
    statement
        .query_map((now.as_micros(), work == Work::Webhook), |row| {
            Ok(Running {
                account_id: AccountId::from_stored(row.get(0)?),
                connection_id: ConnectionId::from_stored(row.get(1)?),
                count: row.get(2)?,
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

/// A job with its MAC and its request.
pub(super) fn find_stored(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
) -> rusqlite::Result<Option<StoredJob>> {
    let Some(job) = find(database, account, id)? else { return Ok(None) };
    let row_mac = database
        .prepare_cached("SELECT row_mac FROM jobs WHERE account_id = ?1 AND job_id = ?2")?
        .query_row((account.as_str(), id.as_str()), |row| row.get(0))?;
    let request = job_secrets::find(database, account, id, Part::Request)?;
    Ok(Some(StoredJob { job, row_mac, request }))
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let mut columns = Columns::of(row);
    let row = job_columns!(take_job_row columns);
    row.into_job().map_err(|column| rows::impossible(column, Type::Null))
}

/// Takes a lease, if the job is unchanged since the caller found it and the limits allow it.
pub(super) fn lease(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    terms: &LeaseTerms,
) -> Step<Option<LeasedJob>> {
    let taken = database.prepare_cached(include_str!("sql/job_lease.sql"))?.execute((
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
    let Some(StoredJob { job, row_mac, request }) = find_stored(database, account, id)? else {
        return Ok(Ok(None));
    };
    let link = job_secrets::find(database, account, id, Part::Link)?;
    Ok(Ok(Some(LeasedJob { job, row_mac, fence: terms.expected_fence + 1, request, link })))
}

pub(super) fn renew(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    renewal: &LeaseRenewal,
) -> Step<Changed> {
    let sent = renewal.sent.as_ref();
    let renewed = database.prepare_cached(include_str!("sql/job_renew.sql"))?.execute(named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":fence": renewal.fence,
        ":now": renewal.now.as_micros(),
        ":lease_until": renewal.now.plus(renewal.lease).as_micros(),
        ":version": sent.map(|sent| sent.version),
        ":sent_bytes": sent.map(|sent| sent.bytes),
        ":row_mac": sent.map(|sent| &sent.row_mac),
        ":bytes_per_second": sent.map(|sent| sent.bytes_per_second),
    })?;
    Ok(Ok(if renewed == 0 { Changed::No } else { Changed::Yes }))
}

pub(super) fn update(database: &Connection, account: &AccountId, update: &JobUpdate) -> Step<Changed> {
    let JobUpdate { job, row_mac, due_in, event, completion, now, .. } = update;
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
    let Some(fence) = fence_after(database, account, update)? else { return Ok(Ok(Changed::No)) };
    let row = JobRow::of(job);
    let columns: [(&str, &dyn ToSql); _] = job_columns!(named_parameters row);
    let due_at = due_in.map(|due_in| now.plus(due_in).as_micros());
    let lease_until = update.kept_lease().map(|lease| now.plus(lease).as_micros());
    // The columns that never change are the key, and not written.
    let is_written =
        |(name, _): &(&str, &dyn ToSql)| ![":connection_id", ":source", ":created_at"].contains(name);
    let columns = columns.into_iter().filter(is_written).collect::<Vec<_>>();
    let others: [(&str, &dyn ToSql); 4] =
        [(":row_mac", row_mac), (":due_at", &due_at), (":lease_until", &lease_until), (":fence", &fence)];
    database
        .prepare_cached(include_str!("sql/job_update.sql"))?
        .execute(&*[&columns[..], &others[..]].concat())?;
    for part in update.parts() {
        job_secrets::update(database, account, &job.id, part)?;
    }
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    if let Some(event) = event {
        audit_events::insert(database, account, event)?;
    }
    Ok(Ok(Changed::Yes))
}

/// The fence of the job once it is written; `None` if the guard does not hold.
fn fence_after(
    database: &Connection,
    account: &AccountId,
    update: &JobUpdate,
) -> rusqlite::Result<Option<u64>> {
    let stored: Option<(u64, u64, Option<i64>)> = database
        .prepare_cached("SELECT fence, version, lease_until FROM jobs WHERE account_id = ?1 AND job_id = ?2")?
        .query_row((account.as_str(), update.job.id.as_str()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(stored.and_then(|(fence, version, lease_until)| match update.guard {
        JobGuard::Fence(expected) => {
            let is_held = lease_until.is_some_and(|until| until > update.now.as_micros());
            (fence == expected && is_held).then_some(fence)
        }
        JobGuard::Version(expected) => (version == expected).then_some(fence + 1),
    }))
}

/// Marks the jobs of a connection that is being deleted, as far as they have not ended, and wipes what they no longer need.
/// A worker that runs one loses its lease; the next one ends the job.
pub(super) fn mark_of_connection(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    event: &AuditEvent,
) -> rusqlite::Result<()> {
    job_secrets::wipe_of_connection(database, account, connection)?;
    database
        .prepare_cached(include_str!("sql/job_mark_of_connection.sql"))?
        .execute((account.as_str(), connection.as_str(), event.at.as_micros()))
        .map(drop)
}

/// Releases a lease, and changes nothing else.
pub(super) fn release_lease(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    release: &LeaseRelease,
) -> Step<Changed> {
    let released = database.prepare_cached(include_str!("sql/job_release_lease.sql"))?.execute((
        account.as_str(),
        id.as_str(),
        release.fence,
        release.now.as_micros(),
        release.now.plus(release.due_in).as_micros(),
    ))?;
    Ok(Ok(if released == 0 { Changed::No } else { Changed::Yes }))
}

/// Puts off jobs of a connection that are due and not leased; how many.
pub(super) fn defer(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    deferral: &Deferral,
) -> Step<usize> {
    let deferred = database.prepare_cached(include_str!("sql/job_defer.sql"))?.execute((
        account.as_str(),
        connection.as_str(),
        deferral.now.as_micros(),
        deferral.now.plus(deferral.due_in).as_micros(),
        deferral.waiting_for.as_str(),
        deferral.limit,
    ))?;
    Ok(Ok(deferred))
}

/// Makes the jobs of a connection due that wait for this; how many.
pub(super) fn wake(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    waiting_for: WaitingFor,
    now: Timestamp,
) -> Step<usize> {
    let woken = database.prepare_cached(include_str!("sql/job_wake.sql"))?.execute((
        account.as_str(),
        connection.as_str(),
        waiting_for.as_str(),
        now.as_micros(),
    ))?;
    Ok(Ok(woken))
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
