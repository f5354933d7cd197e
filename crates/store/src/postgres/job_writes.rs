//! Writes of jobs: adding one, updating one, and marking those of a connection that is deleted.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;

use super::audit_events::EventArrays as Columns;
use super::clock::{Clock, micros};
use super::job_fragments::{active, clock, given_event, log_given};
use super::pg_error::PgError as Trouble;
use super::rows;
use super::sessions::{Positional as Parameters, Session};
use super::writes::SingleWrite as LoneWrite;
use crate::job_rows::{JobRow, changing_column_names, job_column_names, job_columns};
use crate::jobs::{Part, PartAfter};
use crate::{Changed, Completion, Error, JobGuard, JobStart, JobUpdate, NewJob};

type Parameter<'a> = &'a dyn super::parameters::Parameter;

/// The request that is completed, in columns; nothing if none is.
struct Completed<'a> {
    operation: Option<&'a str>,
    key: Option<&'a str>,
    attempt: Option<i64>,
    answer: Option<&'a [u8]>,
    at: Option<i64>,
}

impl<'a> Completed<'a> {
    fn of(completion: Option<&'a Completion>, clock: Clock) -> Self {
        let reservation = completion.map(|completion| &completion.reservation);
        Self {
            operation: reservation.map(|reservation| reservation.operation.as_str()),
            key: reservation.map(|reservation| reservation.key.as_str()),
            attempt: reservation.map(|reservation| rows::stored_count(reservation.attempt)),
            answer: completion.map(|completion| completion.answer.0.as_slice()),
            at: completion.and_then(|completion| clock.or_the_servers(completion.at)),
        }
    }

    fn parameters(&self) -> [Parameter<'_>; 5] {
        [&self.operation, &self.key, &self.attempt, &self.answer, &self.at]
    }
}

/// What a statement here begins with: one event at most (`$1` to `$9`), the account (`$10`), the request that is completed
/// (`$11` to `$15`), and now (`$16`).
macro_rules! allowed {
    () => {
        concat!(
            given_event!(),
            ", ",
            active!(),
            ", held AS (
                SELECT r.attempt FROM idempotency_records r
                WHERE r.account_id = $10 AND r.operation = $11 AND r.idempotency_key = $12 AND r.attempt = $13
                    AND r.answer IS NULL AND NOT r.is_released FOR UPDATE),
            allowed AS (
                SELECT NOT EXISTS (SELECT FROM given) OR EXISTS (SELECT FROM active) AS is_active,
                    $11::text IS NULL OR EXISTS (SELECT FROM held) AS is_held, ",
            clock!("$16"),
            " AS now)"
        )
    };
}

/// What it ends with, if a part of it wrote the job.
macro_rules! completed_and_logged {
    ($effect:literal) => {
        concat!(
            ", completed AS (
                UPDATE idempotency_records r SET answer = $14, answered_at = ",
            clock!("$15"),
            " FROM ",
            $effect,
            " WHERE r.account_id = $10 AND r.operation = $11 AND r.idempotency_key = $12), ",
            log_given!($effect)
        )
    };
}

/// Adds a job.
pub(super) struct InsertJob {
    pub(super) account: AccountId,
    pub(super) new: NewJob,
    pub(super) clock: Clock,
}

/// The connection is locked, so that whoever deletes it comes before, or sees the job.
pub(super) const INSERT: &str = concat!(
    allowed!(),
    ", connected AS (
        SELECT c.account_id AS owner FROM connections c
        WHERE c.account_id = $10 AND c.connection_id = $23 FOR KEY SHARE),
    inserted AS (
        INSERT INTO jobs (",
    job_columns!(job_column_names),
    ", row_mac, due_at, lease_until, fence)
        SELECT ",
    job_columns!(job_column_names),
    ", $22::bytea, now, now + $19::bigint, $20::bigint
        FROM allowed, connected, (SELECT row.* FROM jsonb_populate_record(NULL::jobs, $21::text::jsonb) AS row) AS row
        WHERE is_active AND is_held
        RETURNING account_id, job_id),
    sealed AS (
        INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
        SELECT account_id, job_id, 'request', $17::bytea, $18::bytea FROM inserted)",
    completed_and_logged!("inserted"),
    " SELECT is_active, is_held, EXISTS (SELECT FROM inserted) AS is_inserted FROM allowed"
);

#[async_trait]
impl LoneWrite for InsertJob {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        let Self { account, new, clock } = self;
        let event = Columns::of(std::iter::once(&new.event));
        let event_at = clock.or_the_servers(new.event.at);
        let completed = Completed::of(new.completion.as_ref(), *clock);
        let (fence, lease) = match new.start {
            JobStart::Queued => (0_i64, None),
            JobStart::Leased(lease) => (1, Some(micros(lease))),
        };
        let row = JobRow::of(&new.job);
        let row = JobRow { sent_bytes: row.sent_bytes.or(Some(0)), ..row };
        let own: Parameters<'_> = &[
            &clock.or_the_servers(new.now),
            &new.request.sealing_key.0.as_slice(),
            &new.request.envelope.as_slice(),
            &lease,
            &fence,
            &json(&row),
            &new.row_mac.as_slice(),
            &row.connection_id,
        ];
        let before: Parameters<'_> = &[&event_at, &account.as_str()];
        let (event, completed) = (event.parameters(), completed.parameters());
        let parameters = [&event, before, &completed, own].concat();
        let found = session.query(INSERT, &parameters).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_inserted")) };
        Ok(if !rows::get::<bool>(row, "is_active")? {
            Err(Error::KeyNotActive)
        } else if !rows::get::<bool>(row, "is_held")? {
            Err(Error::ReservationLost)
        } else if rows::get::<bool>(row, "is_inserted")? {
            Ok(())
        } else {
            Err(Error::NotFound)
        })
    }
}

/// Writes a job.
pub(super) struct UpdateJob {
    pub(super) account: AccountId,
    pub(super) update: JobUpdate,
    pub(super) clock: Clock,
}

/// `$17` to `$24`: the job, the fence or the version that it must have, what is added to now for the next run and for the
/// lease, and which sealed parts are replaced by what. `$25`: which are wiped. `$26`, `$27`: the row and its MAC. A write of
/// a sealed part changes what the guard compares, so that none is overlooked that came in between.
pub(super) const UPDATE: &str = concat!(
    allowed!(),
    ", updated AS (
        UPDATE jobs j SET (",
    job_columns!(changing_column_names),
    ") = (SELECT ",
    job_columns!(changing_column_names),
    " FROM jsonb_populate_record(
                NULL::jobs, $26::text::jsonb || CASE WHEN $26::text::jsonb -> 'sent_bytes' = 'null'::jsonb
                    THEN jsonb_build_object('sent_bytes', j.sent_bytes) ELSE '{}'::jsonb END)),
            row_mac = $27::bytea, due_at = now + $20::bigint, lease_until = now + $21::bigint,
            fence = CASE WHEN $18::bigint IS NULL THEN j.fence + 1 ELSE j.fence END
        FROM allowed
        WHERE is_active AND is_held AND j.account_id = $10 AND j.job_id = $17
            AND CASE WHEN $18::bigint IS NULL THEN j.version = $19::bigint
                ELSE j.fence = $18::bigint AND j.lease_until > now END
        RETURNING j.account_id, j.job_id),
    replaced AS (
        INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
        SELECT account_id, job_id, part, wrapped_key, envelope
        FROM updated, unnest($22::text[], $23::bytea[], $24::bytea[]) AS given (part, wrapped_key, envelope)
        ORDER BY part COLLATE \"C\"
        ON CONFLICT (account_id, job_id, part) DO UPDATE
        SET wrapped_key = excluded.wrapped_key, envelope = excluded.envelope),
    wiped AS (
        DELETE FROM job_secrets s USING updated
        WHERE s.account_id = updated.account_id AND s.job_id = updated.job_id AND s.part = ANY ($25::text[]))",
    completed_and_logged!("updated"),
    " SELECT is_active, is_held, EXISTS (SELECT FROM updated) AS is_updated,
        EXISTS (SELECT FROM jobs j WHERE j.account_id = $10 AND j.job_id = $17 AND j.fence = $18::bigint
            AND j.row_mac = $27::bytea) AS is_so
     FROM allowed"
);

#[async_trait]
impl LoneWrite for UpdateJob {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        self.update.event.as_ref().map(|event| (event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, Trouble> {
        let Self { account, update, clock } = self;
        let event = Columns::of(update.event.iter());
        let event_at = update.event.as_ref().and_then(|event| clock.or_the_servers(event.at));
        let completed = Completed::of(update.completion.as_ref(), *clock);
        let (fence, version) = match update.guard {
            JobGuard::Fence(fence) => (Some(rows::stored_count(fence)), None),
            JobGuard::Version(version) => (None, Some(rows::stored_count(version))),
        };
        let parts = Parts::of(update);
        let row = JobRow::of(&update.job);
        let own: Parameters<'_> = &[
            &clock.or_the_servers(update.now),
            &row.job_id,
            &fence,
            &version,
            &update.due_in.map(micros),
            &update.kept_lease().map(micros),
            &parts.replaced,
            &parts.keys,
            &parts.envelopes,
            &parts.wiped,
            &json(&row),
            &update.row_mac.as_slice(),
        ];
        let before: Parameters<'_> = &[&event_at, &account.as_str()];
        let (event, completed) = (event.parameters(), completed.parameters());
        let parameters = [&event, before, &completed, own].concat();
        let found = session.query(UPDATE, &parameters).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_updated")) };
        // One without an event may have been done before a connection was lost: then the job is as it was to become, and
        // has the same fence. Without a fence, somebody else may have made it so.
        let is_so = update.event.is_none() && rows::get::<bool>(row, "is_so")?;
        Ok(if is_so || rows::get::<bool>(row, "is_updated")? {
            Ok(Changed::Yes)
        } else if !rows::get::<bool>(row, "is_active")? {
            Err(Error::KeyNotActive)
        } else if !rows::get::<bool>(row, "is_held")? {
            Err(Error::ReservationLost)
        } else {
            Ok(Changed::No)
        })
    }
}

/// A row as JSON: the server reads its columns by their names.
fn json(row: &JobRow) -> String {
    // Names and values of texts, numbers and booleans: always JSON.
    serde_json::to_string(row).unwrap_or_default()
}

/// What becomes of a job's sealed parts, in columns.
#[derive(Default)]
struct Parts<'a> {
    replaced: Vec<&'static str>,
    keys: Vec<&'a [u8]>,
    envelopes: Vec<&'a [u8]>,
    wiped: Vec<&'static str>,
}

impl<'a> Parts<'a> {
    fn of(update: &'a JobUpdate) -> Self {
        let mut parts = Self::default();
        for (part, becomes) in update.parts() {
            match becomes {
                PartAfter::Kept => {}
                PartAfter::Wiped => parts.wiped.push(part.as_str()),
                PartAfter::Replaced(sealed) => {
                    parts.replaced.push(part.as_str());
                    parts.keys.push(&sealed.sealing_key.0);
                    parts.envelopes.push(&sealed.envelope);
                }
            }
        }
        parts
    }
}

/// Marks the jobs of connections that are being deleted, as far as they have not ended.
pub(super) const MARK: &str = include_str!("sql/job_mark_of_connections.sql");
/// Once the jobs are locked, so that nothing is overlooked that came in between.
pub(super) const WIPE: &str =
    "DELETE FROM job_secrets s USING unnest($1::text[], $2::text[], $3::boolean[]) AS given (account_id, job_id, is_waiting)
     WHERE s.account_id = ANY ($1::text[]) AND s.account_id = given.account_id AND s.job_id = given.job_id
        AND (s.part <> $4 OR NOT given.is_waiting)";

/// Does that, in the transaction that deletes the connections: for each the event, and now.
pub(super) async fn mark_of_connections(
    session: &Session,
    gone: &[(&AuditEvent, Clock, &str)],
) -> Result<(), Trouble> {
    let accounts: Vec<_> = gone.iter().map(|(event, ..)| event.account_id.as_str()).collect();
    let connections: Vec<_> = gone.iter().map(|(_, _, connection)| *connection).collect();
    let now: Vec<_> = gone.iter().map(|(event, clock, _)| clock.or_the_servers(event.at)).collect();
    let parameters: Parameters<'_> = &[&accounts, &connections, &now];
    let marked = session.query(MARK, parameters).await?;
    if marked.is_empty() {
        return Ok(());
    }
    let (mut accounts, mut jobs, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for row in &marked {
        accounts.push(rows::get::<&str>(row, "account_id")?);
        jobs.push(rows::get::<&str>(row, "job_id")?);
        waiting.push(rows::get::<bool>(row, "is_waiting")?);
    }
    session.query(WIPE, &[&accounts, &jobs, &waiting, &Part::Request.as_str()]).await.map(drop)
}
