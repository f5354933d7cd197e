//! Writing jobs: adding one, settling one, and cancelling those of a connection that goes.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use tokio_postgres::types::ToSql;

use super::api_keys::active;
use super::audit_events::{Columns, given_event, log_given};
use super::clock::{Clock, clock, micros};
use super::rows;
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::LoneWrite;
use crate::job_rows::{
    JobRow, LEFT_BEHIND, changing_column_names, changing_parameters, fixed_parameters, job_column_names,
    job_columns,
};
use crate::jobs::{Part, PartAfter};
use crate::{Changed, Completion, Error, JobGuard, JobSettlement, JobStart, NewJob};

type Parameter<'a> = &'a (dyn ToSql + Sync);

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
        SELECT c.connection_id FROM connections c WHERE c.account_id = $10 AND c.connection_id = $23 FOR KEY SHARE),
    inserted AS (
        INSERT INTO jobs (",
    job_columns!(job_column_names),
    ", due_at, lease_until, fence)
        SELECT $21::text, $22::text, $23::text, $24::text, $25::bigint,
            $26::bigint, $27::bigint, $28::text, $29::bigint, $30::text,
            $31::text, $32::bigint, $33::bigint,
            $34::bigint, $35::bigint, $36::bigint, $37::bigint,
            $38::bigint, $39::text, $40::text, $41::text,
            $42::text, $43::text, $44::text,
            $45::bigint, $46::bigint, $47::text, $48::bigint, $49::bigint, $50::bigint, $51::text,
            now, now + $19::bigint, $20::bigint
        FROM allowed, connected WHERE is_active AND is_held
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

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, Trouble> {
        let Self { account, new, clock } = self;
        let event = Columns::of(std::iter::once(&new.event));
        let event_at = clock.or_the_servers(new.event.at);
        let completed = Completed::of(new.completion.as_ref(), *clock);
        let (fence, lease) = match new.start {
            JobStart::Queued => (0_i64, None),
            JobStart::Held(lease) => (1, Some(micros(lease))),
        };
        let row = JobRow::of(&new.job);
        let row = JobRow { sent_bytes: row.sent_bytes.or(Some(0)), ..row };
        let (fixed, changing): ([Parameter<'_>; _], [Parameter<'_>; _]) =
            (job_columns!(fixed_parameters row), job_columns!(changing_parameters row));
        let own: Parameters<'_> = &[
            &clock.or_the_servers(new.now),
            &new.request.sealing_key.0.as_slice(),
            &new.request.envelope.as_slice(),
            &lease,
            &fence,
        ];
        let before: Parameters<'_> = &[&event_at, &account.as_str()];
        let (event, completed) = (event.parameters(), completed.parameters());
        let parameters = [&event, before, &completed, own, &fixed, &changing].concat();
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

/// Writes what a job has become.
pub(super) struct SettleJob {
    pub(super) account: AccountId,
    pub(super) settlement: JobSettlement,
    pub(super) clock: Clock,
}

/// `$17` to `$24`: the job, the fence or the version that it must have, what is added to now for the next instant and for
/// the lease, and which sealed parts are replaced by what. `$25`: which are wiped. Whoever changes a sealed part changes
/// what the guard compares, so that none is overlooked that came in between.
pub(super) const SETTLE: &str = concat!(
    allowed!(),
    ", settled AS (
        UPDATE jobs j SET (",
    job_columns!(changing_column_names),
    ") = ($26, $27, $28, $29, $30, $31, coalesce($32, j.sent_bytes), $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43,
            $44, $45, $46, $47, $48, $49, $50, $51),
            due_at = now + $20::bigint, lease_until = now + $21::bigint,
            fence = CASE WHEN $18::bigint IS NULL THEN j.fence + 1 ELSE j.fence END
        FROM allowed
        WHERE is_active AND is_held AND j.account_id = $10 AND j.job_id = $17
            AND CASE WHEN $18::bigint IS NULL THEN j.version = $19::bigint
                ELSE j.fence = $18::bigint AND j.lease_until > now END
        RETURNING j.account_id, j.job_id),
    replaced AS (
        INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
        SELECT account_id, job_id, part, wrapped_key, envelope
        FROM settled, unnest($22::text[], $23::bytea[], $24::bytea[]) AS given (part, wrapped_key, envelope)
        ORDER BY part COLLATE \"C\"
        ON CONFLICT (account_id, job_id, part) DO UPDATE
        SET wrapped_key = excluded.wrapped_key, envelope = excluded.envelope),
    wiped AS (
        DELETE FROM job_secrets s USING settled
        WHERE s.account_id = settled.account_id AND s.job_id = settled.job_id AND s.part = ANY ($25::text[]))",
    completed_and_logged!("settled"),
    " SELECT is_active, is_held, EXISTS (SELECT FROM settled) AS is_settled,
        EXISTS (SELECT FROM jobs j WHERE j.account_id = $10 AND j.job_id = $17 AND j.fence = $18::bigint
            AND j.version = $27 AND j.updated_at = $26 AND j.state = $28) AS is_so
     FROM allowed"
);

#[async_trait]
impl LoneWrite for SettleJob {
    type Answer = Changed;

    fn recorded(&self) -> Option<(&AuditEvent, Self::Answer)> {
        self.settlement.event.as_ref().map(|event| (event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, Trouble> {
        let Self { account, settlement, clock } = self;
        let event = Columns::of(settlement.event.iter());
        let event_at = settlement.event.as_ref().and_then(|event| clock.or_the_servers(event.at));
        let completed = Completed::of(settlement.completion.as_ref(), *clock);
        let (fence, version) = match settlement.guard {
            JobGuard::Fence(fence) => (Some(rows::stored_count(fence)), None),
            JobGuard::Version(version) => (None, Some(rows::stored_count(version))),
        };
        let parts = Parts::of(settlement);
        let row = JobRow::of(&settlement.job);
        let changing: [Parameter<'_>; _] = job_columns!(changing_parameters row);
        let own: Parameters<'_> = &[
            &clock.or_the_servers(settlement.now),
            &row.job_id,
            &fence,
            &version,
            &settlement.due_in.map(micros),
            &settlement.kept_lease().map(micros),
            &parts.replaced,
            &parts.keys,
            &parts.envelopes,
            &parts.wiped,
        ];
        let before: Parameters<'_> = &[&event_at, &account.as_str()];
        let (event, completed) = (event.parameters(), completed.parameters());
        let parameters = [&event, before, &completed, own, &changing].concat();
        let found = session.query(SETTLE, &parameters).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_settled")) };
        // One without an event may have been done before a connection was lost: then the job is as it was to become, and
        // has the same fence. Without a fence, somebody else may have made it so.
        let is_so = settlement.event.is_none() && rows::get::<bool>(row, "is_so")?;
        Ok(if is_so || rows::get::<bool>(row, "is_settled")? {
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

/// What becomes of a job's sealed parts, in columns.
#[derive(Default)]
struct Parts<'a> {
    replaced: Vec<&'static str>,
    keys: Vec<&'a [u8]>,
    envelopes: Vec<&'a [u8]>,
    wiped: Vec<&'static str>,
}

impl<'a> Parts<'a> {
    fn of(settlement: &'a JobSettlement) -> Self {
        let mut parts = Self::default();
        for (part, becomes) in settlement.parts() {
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

/// Cancels the jobs of connections that are gone, as far as they are not over. `$5`: what they are told if something of
/// them is left.
pub(super) const CANCEL: &str = concat!(
    "WITH given AS (
        SELECT account_id, connection_id, at, ",
    clock!("now"),
    " AS now
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS given (account_id, connection_id, at, now)),
    locked AS (
        SELECT j.account_id, j.job_id, given.at, given.now FROM jobs j JOIN given USING (account_id, connection_id)
        WHERE j.due_at IS NOT NULL AND j.state NOT IN ('completed', 'failed', 'cancelled')
        ORDER BY j.account_id, j.job_id FOR UPDATE OF j)
    UPDATE jobs j SET state = 'cancelled', version = j.version + 1, updated_at = locked.at,
        fence = j.fence + 1, lease_until = NULL, due_at = CASE j.webhook WHEN 'waiting' THEN locked.now END,
        video_number = coalesce(j.video_number, j.discarded_number), discarded_number = NULL,
        deadline_at = NULL, looks = 0, restarts = 0, end_state = NULL, failure_code = NULL, failure_message = NULL,
        warnings = CASE WHEN coalesce(j.video_number, j.discarded_number, j.deadline_at) IS NULL
            THEN j.warnings ELSE j.warnings || $5::text END
    FROM locked WHERE j.account_id = locked.account_id AND j.job_id = locked.job_id
    RETURNING j.account_id, j.job_id, j.webhook = 'waiting' AS is_waiting"
);
/// Once the jobs are locked, so that nothing is overlooked that came in between.
pub(super) const WIPE: &str =
    "DELETE FROM job_secrets s USING unnest($1::text[], $2::text[], $3::boolean[]) AS given (account_id, job_id, is_waiting)
     WHERE s.account_id = given.account_id AND s.job_id = given.job_id AND (s.part <> $4 OR NOT given.is_waiting)";

/// Does that, in the transaction in which the connections go: for each the event, and now.
pub(super) async fn cancel_of_connections(
    session: &Session,
    gone: &[(&AuditEvent, Clock, &str)],
) -> Result<(), Trouble> {
    let accounts: Vec<_> = gone.iter().map(|(event, ..)| event.account_id.as_str()).collect();
    let connections: Vec<_> = gone.iter().map(|(_, _, connection)| *connection).collect();
    let at: Vec<_> = gone.iter().map(|(event, ..)| event.at.as_micros()).collect();
    let now: Vec<_> = gone.iter().map(|(event, clock, _)| clock.or_the_servers(event.at)).collect();
    let parameters: Parameters<'_> = &[&accounts, &connections, &at, &now, &LEFT_BEHIND];
    let cancelled = session.query(CANCEL, parameters).await?;
    if cancelled.is_empty() {
        return Ok(());
    }
    let (mut accounts, mut jobs, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for row in &cancelled {
        accounts.push(rows::get::<&str>(row, "account_id")?);
        jobs.push(rows::get::<&str>(row, "job_id")?);
        waiting.push(rows::get::<bool>(row, "is_waiting")?);
    }
    session.query(WIPE, &[&accounts, &jobs, &waiting, &Part::Request.as_str()]).await.map(drop)
}
