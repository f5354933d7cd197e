//! Writes of jobs: inserting one, updating one, and marking those of a connection that is deleted.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::id::AccountId;
use domain::time::Timestamp;

use super::audit_events::EventParameters;
use super::clock::{Clock, micros};
use super::jobs;
use super::parameters::{Named, Parameters, distinct};
use super::pg_error::PgError;
use super::rows;
use super::sessions::Session;
use super::writes::SingleWrite;
use crate::job_rows::JobRow;
use crate::jobs::PartAfter;
use crate::sql::statement;
use crate::{Changed, Completion, Error, JobGuard, JobStart, JobUpdate, NewJob};

pub(super) const INSERT: &str = statement(jobs::SQL, "insert_job");
pub(super) const UPDATE: &str = statement(jobs::SQL, "update_job");
pub(super) const MARK: &str = statement(jobs::SQL, "mark_jobs_of_deleted_connections");
pub(super) const WIPE: &str = statement(jobs::SQL, "wipe_secrets_of_marked_jobs");

/// The idempotency record that a write completes, in columns. All are NULL if there is none.
pub(super) struct CompletionParameters<'a> {
    operation: Option<&'a str>,
    key: Option<&'a str>,
    attempt: Option<i64>,
    answer: Option<&'a [u8]>,
    answered_at: Option<i64>,
}

impl<'a> CompletionParameters<'a> {
    pub(super) fn of(completion: Option<&'a Completion>, clock: Clock) -> Self {
        let reservation = completion.map(|completion| &completion.reservation);
        Self {
            operation: reservation.map(|reservation| reservation.operation.as_str()),
            key: reservation.map(|reservation| reservation.key.as_str()),
            attempt: reservation.map(|reservation| rows::stored_count(reservation.attempt)),
            answer: completion.map(|completion| completion.answer.0.as_slice()),
            answered_at: completion.and_then(|completion| clock.or_the_servers(completion.at)),
        }
    }

    /// These, and the statement's own.
    pub(super) fn and<'p>(&'p self, own: &[Named<'p>]) -> Vec<Named<'p>> {
        let completion: [Named<'p>; 5] = [
            ("operation", &self.operation),
            ("idempotency_key", &self.key),
            ("attempt", &self.attempt),
            ("answer", &self.answer),
            ("answered_at", &self.answered_at),
        ];
        [&completion, own].concat()
    }
}

/// Adds a job.
pub(super) struct InsertJob {
    pub(super) account: AccountId,
    pub(super) new: NewJob,
    pub(super) clock: Clock,
}

#[async_trait]
impl SingleWrite for InsertJob {
    type Answer = ();

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        Some((&self.new.event, ()))
    }

    async fn run(&self, session: &Session) -> Result<Result<(), Error>, PgError> {
        let Self { account, new, clock } = self;
        let (fence, lease) = match new.start {
            JobStart::Queued => (0_i64, None),
            JobStart::Leased(lease) => (1, Some(micros(lease))),
        };
        let row = JobRow::of(&new.job);
        let row = JobRow { sent_bytes: row.sent_bytes.or(Some(0)), ..row };
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("connection_id", &row.connection_id),
            ("now", &clock.or_the_servers(new.now)),
            ("job", &json(&row)),
            ("row_mac", &new.row_mac.as_slice()),
            ("lease_micros", &lease),
            ("fence", &fence),
            ("wrapped_key", &new.request.sealing_key.0.as_slice()),
            ("envelope", &new.request.envelope.as_slice()),
        ];
        let event = EventParameters::of(&new.event);
        let completion = CompletionParameters::of(new.completion.as_ref(), *clock);
        let found = session.query_named(INSERT, &event.and(&completion.and(own))).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_inserted")) };
        Ok(if !rows::get::<bool>(row, "is_active")? {
            Err(Error::KeyNotActive)
        } else if !rows::get::<bool>(row, "is_held")? {
            Err(Error::ReservationLost)
        } else if rows::get::<bool>(row, "is_inserted")? {
            Ok(())
        } else if rows::get::<bool>(row, "is_connected")? {
            Err(Error::AlreadyRetried)
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

#[async_trait]
impl SingleWrite for UpdateJob {
    type Answer = Changed;

    fn audit_marker(&self) -> Option<(&AuditEvent, Self::Answer)> {
        self.update.event.as_ref().map(|event| (event, Changed::Yes))
    }

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let Self { account, update, clock } = self;
        let (fence, version) = match update.guard {
            JobGuard::Fence(fence) => (Some(rows::stored_count(fence)), None),
            JobGuard::Version(version) => (None, Some(rows::stored_count(version))),
        };
        let secrets = Secrets::of(update);
        let row = JobRow::of(&update.job);
        let own: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("job_id", &row.job_id),
            ("now", &clock.or_the_servers(update.now)),
            ("fence", &fence),
            ("version", &version),
            ("due_in_micros", &update.due_in.map(micros)),
            ("due_not_before", &update.due_not_before.map(Timestamp::as_micros)),
            ("lease_micros", &update.kept_lease().map(micros)),
            ("replaced_part", &secrets.replaced),
            ("wrapped_key", &secrets.keys),
            ("envelope", &secrets.envelopes),
            ("wiped_part", &secrets.wiped),
            ("retained_part", &secrets.retained),
            ("connection_id", &row.connection_id),
            ("job", &json(&row)),
            ("row_mac", &update.row_mac.as_slice()),
        ];
        let delivery = update.delivery.as_ref();
        let delivery: Parameters<'_> = &[
            ("delivery_id", &delivery.map(|new| new.id.as_str())),
            ("delivery_event_id", &delivery.map(|new| new.event_id.as_str())),
            ("delivery_type", &delivery.map(|new| new.event_type)),
            ("delivery_receiver", &delivery.map(|new| new.receiver.as_str())),
            ("delivery_wrapped_key", &delivery.map(|new| new.sealed.sealing_key.0.as_slice())),
            ("delivery_envelope", &delivery.map(|new| new.sealed.envelope.as_slice())),
        ];
        let event = EventParameters::of_any(update.event.as_ref());
        let completion = CompletionParameters::of(update.completion.as_ref(), *clock);
        let own = [own, delivery].concat();
        let found = session.query_named(UPDATE, &event.announcing(&completion.and(&own))).await?;
        let Some(row) = found.first() else { return Err(rows::impossible("is_updated")) };
        // An update without an event may have been committed before its session was lost: then the job has the new content
        // and the same fence. Without a fence, another caller may have written that content.
        let is_applied = update.event.is_none() && rows::get::<bool>(row, "is_applied")?;
        Ok(if is_applied || rows::get::<bool>(row, "is_updated")? {
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
    // Strings, numbers and booleans always serialize.
    serde_json::to_string(row).unwrap_or_default()
}

/// The secrets that an update replaces, wipes and retains, in columns.
#[derive(Default)]
struct Secrets<'a> {
    replaced: Vec<&'static str>,
    keys: Vec<&'a [u8]>,
    envelopes: Vec<&'a [u8]>,
    wiped: Vec<&'static str>,
    retained: Vec<&'static str>,
}

impl<'a> Secrets<'a> {
    fn of(update: &'a JobUpdate) -> Self {
        let mut parts = Self::default();
        for (part, becomes) in update.parts() {
            match becomes {
                PartAfter::Kept => {}
                PartAfter::Wiped => parts.wiped.push(part.as_str()),
                PartAfter::Retained => parts.retained.push(part.as_str()),
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

/// Marks the jobs of connections that are being deleted and have not ended, and wipes the secrets that they no longer need,
/// in the transaction of the deletion.
pub(super) async fn mark_of_connections(
    session: &Session,
    deleted: &[(&AuditEvent, Clock, &str)],
) -> Result<(), PgError> {
    let account_ids: Vec<_> = deleted.iter().map(|(event, ..)| event.account_id.as_str()).collect();
    let connection_ids: Vec<_> = deleted.iter().map(|(_, _, connection)| *connection).collect();
    let now: Vec<_> = deleted.iter().map(|(event, clock, _)| clock.or_the_servers(event.at)).collect();
    let accounts = distinct(&account_ids);
    let parameters: Parameters<'_> = &[
        ("accounts", &accounts),
        ("account_id", &account_ids),
        ("connection_id", &connection_ids),
        ("now", &now),
    ];
    let marked = session.query_named(MARK, parameters).await?;
    if marked.is_empty() {
        return Ok(());
    }
    let (mut account_ids, mut job_ids, mut is_waiting) = (Vec::new(), Vec::new(), Vec::new());
    for row in &marked {
        account_ids.push(rows::get::<&str>(row, "account_id")?);
        job_ids.push(rows::get::<&str>(row, "job_id")?);
        is_waiting.push(rows::get::<bool>(row, "is_waiting")?);
    }
    let parameters: Parameters<'_> = &[
        ("accounts", &accounts),
        ("account_id", &account_ids),
        ("job_id", &job_ids),
        ("is_waiting", &is_waiting),
    ];
    session.query_named(WIPE, parameters).await.map(drop)
}
