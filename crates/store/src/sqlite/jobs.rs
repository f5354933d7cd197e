//! Jobs: their leases, writes and lists. All instants are the caller's.

use domain::audit::AuditEvent;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, WaitingFor};
use domain::secret::Sealed;
use domain::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, ToSql, named_params};

use super::rows::{self, Columns};
use super::statements;
use super::writer::WriteResult;
use super::{api_keys, audit_events, connections, idempotency_records, job_secrets, webhook_deliveries};
use crate::job_rows::{JobRow, job_columns, named_parameters, take_job_row};
use crate::jobs::Part;
use crate::sql::statement;
use crate::{
    Changed, Deferral, Error, JobFilter, JobGuard, JobStart, JobUpdate, LeaseRelease, LeaseRenewal,
    LeaseTerms, LeasedJob, NewJob, StatusCounts, StoredJob,
};

pub(super) const SQL: &str = include_str!("sql/jobs.sql");
const FIND: &str = statement(SQL, "find_job");
const FIND_RETRY: &str = statement(SQL, "find_retry");
const FIND_STORED: &str = statement(SQL, "find_stored_job");
const FIND_GUARDED_COLUMNS: &str = statement(SQL, "find_guarded_columns");
const LIST: &str = statement(SQL, "list_jobs");
const LIST_OF_CONNECTION: &str = statement(SQL, "list_jobs_of_connection");
const COUNT: &str = statement(SQL, "count_jobs");
const INSERT: &str = statement(SQL, "insert_job");
const UPDATE: &str = statement(SQL, "update_job");
const LEASE: &str = statement(SQL, "lease_job");
const RENEW: &str = statement(SQL, "renew_lease");
const RELEASE: &str = statement(SQL, "release_lease");
const DEFER: &str = statement(SQL, "defer_jobs");
const WAKE: &str = statement(SQL, "wake_jobs");
const MARK_OF_CONNECTION: &str = statement(SQL, "mark_jobs_of_deleted_connection");
const DELETE_OF_ACCOUNT: &str = statement(SQL, "delete_jobs_of_account");

/// The columns that never change, except the key.
const NEVER_WRITTEN_AGAIN: [&str; 6] =
    [":connection_id", ":source", ":created_at", ":retry_of", ":replaces", ":request_format"];

pub(super) fn insert(database: &Connection, account: &AccountId, new: &NewJob) -> WriteResult<()> {
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
    if let Some(retried) = &job.retry_of
        && find_retry(database, account, retried)?.is_some()
    {
        return Ok(Err(Error::AlreadyRetried));
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
    statements::execute(database, INSERT, &[&columns[..], &others[..]].concat())?;
    job_secrets::insert(database, account, &job.id, Part::Request, request)?;
    if let Some(completion) = completion {
        idempotency_records::complete(database, account, completion)?;
    }
    audit_events::insert(database, account, event)?;
    Ok(Ok(()))
}

pub(super) fn find(database: &Connection, account: &AccountId, id: &JobId) -> rusqlite::Result<Option<Job>> {
    let key = named_params! { ":account_id": account.as_str(), ":job_id": id.as_str() };
    statements::find(database, FIND, key, job)
}

/// The job that repeats this one.
pub(super) fn find_retry(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
) -> rusqlite::Result<Option<JobId>> {
    let key = named_params! { ":account_id": account.as_str(), ":job_id": id.as_str() };
    statements::find(database, FIND_RETRY, key, |row| row.get("job_id").map(JobId::from_stored))
}

pub(super) fn list(
    database: &Connection,
    account: &AccountId,
    filter: &JobFilter,
    limit: u32,
) -> rusqlite::Result<Vec<Job>> {
    let (account, only) = (account.as_str(), filter.parameters());
    let page: [(&str, &dyn ToSql); 7] = [
        (":account_id", &account),
        (":before", &only.before),
        (":status", &only.status),
        (":phase", &only.phase),
        (":created_from", &only.created_from),
        (":created_until", &only.created_until),
        (":limit", &limit),
    ];
    let Some(connection) = filter.connection_id.as_ref().map(ConnectionId::as_str) else {
        return statements::list(database, LIST, &page, job);
    };
    let parameters = [&page[..], &[(":connection_id", &connection)]].concat();
    statements::list(database, LIST_OF_CONNECTION, &parameters, job)
}

pub(super) fn count(
    database: &Connection,
    account: &AccountId,
    newest: u32,
) -> rusqlite::Result<StatusCounts> {
    let of = named_params! { ":account_id": account.as_str(), ":newest": newest };
    let rows = statements::list(database, COUNT, of, |row| Ok((row.get("status")?, row.get("count")?)))?;
    Ok(StatusCounts::of(rows))
}

/// A job with its MAC and its request.
pub(super) fn find_stored(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
) -> rusqlite::Result<Option<StoredJob>> {
    let key = named_params! { ":account_id": account.as_str(), ":job_id": id.as_str() };
    statements::find(database, FIND_STORED, key, |row| {
        let envelope: Option<Vec<u8>> = row.get("envelope")?;
        let request = match envelope {
            None => None,
            Some(envelope) => Some(Sealed { envelope, sealing_key: rows::wrapped_key(row, "wrapped_key")? }),
        };
        Ok(StoredJob { job: job(row)?, row_mac: row.get("row_mac")?, request })
    })
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
) -> WriteResult<Option<LeasedJob>> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":fence": terms.expected_fence,
        ":now": terms.now.as_micros(),
        ":lease_until": terms.now.plus(terms.lease).as_micros(),
        ":per_account": terms.per_account,
        ":per_connection": terms.per_connection,
    };
    let taken = statements::execute(database, LEASE, parameters)?;
    if taken == 0 {
        return Ok(Ok(None));
    }
    let Some(StoredJob { job, row_mac, request }) = find_stored(database, account, id)? else {
        return Ok(Ok(None));
    };
    let link = job_secrets::find(database, account, id, Part::Link)?;
    Ok(Ok(Some(LeasedJob {
        job,
        row_mac,
        fence: terms.expected_fence + 1,
        leased_at: terms.now,
        request,
        link,
    })))
}

pub(super) fn renew(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    renewal: &LeaseRenewal,
) -> WriteResult<Changed> {
    let sent = renewal.sent.as_ref();
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":fence": renewal.fence,
        ":now": renewal.now.as_micros(),
        ":lease_until": renewal.now.plus(renewal.lease).as_micros(),
        ":version": sent.map(|sent| sent.version),
        ":sent_bytes": sent.map(|sent| sent.bytes),
        ":row_mac": sent.map(|sent| &sent.row_mac),
        ":bytes_per_second": sent.map(|sent| sent.bytes_per_second),
    };
    let renewed = statements::execute(database, RENEW, parameters)?;
    Ok(Ok(Changed::of(renewed)))
}

pub(super) fn update(database: &Connection, account: &AccountId, update: &JobUpdate) -> WriteResult<Changed> {
    let JobUpdate { job, row_mac, due_in, due_not_before, event, completion, now, .. } = update;
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
    let due_at = due_in.map(|due_in| due_not_before.map_or(now.plus(due_in), |at| at.max(now.plus(due_in))));
    let due_at = due_at.map(Timestamp::as_micros);
    let lease_until = update.kept_lease().map(|lease| now.plus(lease).as_micros());
    let is_written = |(name, _): &(&str, &dyn ToSql)| !NEVER_WRITTEN_AGAIN.contains(name);
    let columns = columns.into_iter().filter(is_written).collect::<Vec<_>>();
    let others: [(&str, &dyn ToSql); 4] =
        [(":row_mac", row_mac), (":due_at", &due_at), (":lease_until", &lease_until), (":fence", &fence)];
    statements::execute(database, UPDATE, &[&columns[..], &others[..]].concat())?;
    for part in update.parts() {
        job_secrets::update(database, account, job, part)?;
    }
    if let Some(delivery) = &update.delivery {
        webhook_deliveries::insert_of_job(database, account, &job.id, (delivery, *now))?;
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
    let key = named_params! { ":account_id": account.as_str(), ":job_id": update.job.id.as_str() };
    let stored: Option<(u64, u64, Option<i64>)> =
        statements::find(database, FIND_GUARDED_COLUMNS, key, |row| {
            Ok((row.get("fence")?, row.get("version")?, row.get("lease_until")?))
        })?;
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
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":connection_id": connection.as_str(),
        ":now": event.at.as_micros(),
    };
    statements::execute(database, MARK_OF_CONNECTION, parameters).map(drop)
}

/// Releases a lease, and changes nothing else.
pub(super) fn release_lease(
    database: &Connection,
    account: &AccountId,
    id: &JobId,
    release: &LeaseRelease,
) -> WriteResult<Changed> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":job_id": id.as_str(),
        ":fence": release.fence,
        ":now": release.now.as_micros(),
        ":due_at": release.now.plus(release.due_in).as_micros(),
    };
    let released = statements::execute(database, RELEASE, parameters)?;
    Ok(Ok(Changed::of(released)))
}

/// Puts off jobs of a connection that are due and not leased. Returns how many.
pub(super) fn defer(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    deferral: &Deferral,
) -> WriteResult<usize> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":connection_id": connection.as_str(),
        ":now": deferral.now.as_micros(),
        ":due_at": deferral.now.plus(deferral.due_in).as_micros(),
        ":waiting_for": deferral.waiting_for.as_str(),
        ":least_class": deferral.deferred.least_class(),
        ":limit": deferral.limit,
    };
    statements::execute(database, DEFER, parameters).map(Ok)
}

/// Makes the jobs of a connection due that wait for this. Returns how many.
pub(super) fn wake(
    database: &Connection,
    account: &AccountId,
    connection: &ConnectionId,
    waiting_for: WaitingFor,
    now: Timestamp,
) -> WriteResult<usize> {
    let parameters = named_params! {
        ":account_id": account.as_str(),
        ":connection_id": connection.as_str(),
        ":waiting_for": waiting_for.as_str(),
        ":now": now.as_micros(),
    };
    statements::execute(database, WAKE, parameters).map(Ok)
}

/// Deletes an account's first jobs, up to `limit`, with their secrets. Returns how many were deleted.
pub(super) fn delete_of_account(
    database: &Connection,
    account: &AccountId,
    limit: u32,
) -> rusqlite::Result<usize> {
    job_secrets::wipe_of_account(database, account, limit)?;
    let parameters = named_params! { ":account_id": account.as_str(), ":limit": limit };
    statements::execute(database, DELETE_OF_ACCOUNT, parameters)
}
