//! Jobs in the store: uploads that workers run under leases.
//!
//! A job with work left has an instant at which it is due. A worker first takes a lease, by a compare-and-set of the job's
//! fence, a number that only increases. Every write of the worker compares the fence again, so that a worker that lost its
//! lease without noticing cannot change anything.

use std::time::Duration;

use domain::audit::AuditEvent;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, JobPhase, JobStatus, WaitingFor};
use domain::secret::Sealed;
use domain::time::Timestamp;

use crate::due_class::{ENDED_CLASS, PUBLICATION_CLASS, QUEUED_CLASS, STARTED_CLASS};
use crate::{Completion, NewJobDelivery};

/// A job to be added, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The job.
    pub job: Job,
    /// The MAC of [`crate::authenticated_bytes`] of the job.
    pub row_mac: Vec<u8>,
    /// The request, sealed: the source, the settings, the webhook.
    pub request: Sealed,
    /// Who executes it first.
    pub start: JobStart,
    /// The audit event.
    pub event: AuditEvent,
    /// The completion of the idempotent request, if it is one.
    pub completion: Option<Completion>,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// Who executes a new job first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStart {
    /// Any worker: it is due immediately.
    Queued,
    /// The caller, which holds the first lease (fence 1) for this long; the job is due when the lease expires.
    Leased(Duration),
}

/// The kind of work that is due. They are leased separately: none counts against the limits of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The upload, which has not ended.
    Upload,
    /// The webhook of an upload that has ended.
    Webhook,
    /// The video of an upload that is opened at a time.
    Publication,
}

impl Work {
    /// The class of its jobs, divided by two.
    pub(crate) fn number(self) -> i64 {
        let class = match self {
            Self::Upload => STARTED_CLASS,
            Self::Webhook => ENDED_CLASS,
            Self::Publication => PUBLICATION_CLASS,
        };
        class / 2
    }
}

/// Limits of a list of due jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueLimits {
    /// Jobs in all.
    pub total: u32,
    /// Jobs of one account that may run at once, on all nodes.
    pub per_account: u32,
    /// Jobs of one connection that may run at once, on all nodes.
    pub per_connection: u32,
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueJob {
    /// The account that owns it.
    pub account_id: AccountId,
    /// Its identifier.
    pub id: JobId,
    /// Its connection.
    pub connection_id: ConnectionId,
    /// Its current fence.
    pub fence: u64,
}

/// The terms on which a lease is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The fence that the job must still have.
    pub expected_fence: u64,
    /// How long the lease lasts.
    pub lease: Duration,
    /// No lease while the account has this many of the same kind of work running.
    pub per_account: u32,
    /// No lease while the connection has this many of the same kind of work running.
    pub per_connection: u32,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

impl LeaseTerms {
    /// Whether running jobs have to be counted.
    pub fn is_limited(&self) -> bool {
        (self.per_account, self.per_connection) != (u32::MAX, u32::MAX)
    }
}

/// A job as it is stored, with its MAC and its sealed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJob {
    /// The job.
    pub job: Job,
    /// Its MAC; `None` if an earlier version wrote it.
    pub row_mac: Option<Vec<u8>>,
    /// The request; `None` once it was wiped.
    pub request: Option<Sealed>,
}

/// A job that the caller may work on until its lease expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    /// The job.
    pub job: Job,
    /// Its MAC; `None` if an earlier version wrote it.
    pub row_mac: Option<Vec<u8>>,
    /// The fence of the lease.
    pub fence: u64,
    /// When the lease was taken, by the database's clock.
    pub leased_at: Timestamp,
    /// The request; `None` once it was wiped.
    pub request: Option<Sealed>,
    /// The upload link; `None` if there is none yet, or it was wiped.
    pub link: Option<Sealed>,
}

/// The renewal of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The fence of the lease.
    pub fence: u64,
    /// How long the lease lasts from now on.
    pub lease: Duration,
    /// The progress of the transfer.
    pub sent: Option<SentBytes>,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// The progress of a transfer, between two writes of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBytes {
    /// The version of the job that was sent from. If the job has another one, the progress is not written.
    pub version: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// The MAC of the job with these bytes.
    pub row_mac: Vec<u8>,
    /// The recent rate in bytes per second.
    pub bytes_per_second: u64,
}

/// A write of a job, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobUpdate {
    /// The condition for the write.
    pub guard: JobGuard,
    /// The job. Its `version` is one more than the stored one.
    pub job: Job,
    /// The MAC of [`crate::authenticated_bytes`] of the job.
    pub row_mac: Vec<u8>,
    /// When the job runs next, from now; `None`: never again, only for a job that has ended.
    pub due_in: Option<Duration>,
    /// It does not run before this instant by the database's clock.
    pub due_not_before: Option<Timestamp>,
    /// Whether the worker keeps its lease.
    pub lease: LeaseAfter,
    /// The change of the sealed request.
    pub request: SealedPart,
    /// The change of the sealed upload link. Wiping it wipes the stored response as well.
    pub link: SealedPart,
    /// The stored response with the link, sealed; `None`: it stays as it is, with the link.
    pub answer: Option<Sealed>,
    /// The webhook of the job, which ended, as a delivery to add.
    pub delivery: Option<NewJobDelivery>,
    /// The audit event.
    pub event: Option<AuditEvent>,
    /// The completion of the idempotent request, if this ends one.
    pub completion: Option<Completion>,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

impl JobUpdate {
    /// How long the writer keeps its lease: only if it has one, and the job runs again.
    pub(crate) fn kept_lease(&self) -> Option<Duration> {
        match (self.guard, self.lease, self.due_in) {
            (JobGuard::Fence(_), LeaseAfter::Kept(lease), Some(_)) => Some(lease),
            _ => None,
        }
    }

    /// The change of each sealed part.
    pub(crate) fn parts(&self) -> [(Part, PartAfter<'_>); 3] {
        let answer = match (&self.link, &self.answer) {
            // It contains the link, and never outlives it.
            (SealedPart::Wiped, _) => PartAfter::Wiped,
            (_, Some(answer)) => PartAfter::Replaced(answer),
            (_, None) => PartAfter::Kept,
        };
        [(Part::Request, self.request.after()), (Part::Link, self.link.after()), (Part::Answer, answer)]
    }
}

/// A sealed part of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The request.
    Request,
    /// The upload link.
    Link,
    /// The stored response with the link.
    Answer,
}

impl Part {
    /// Its name in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Link => "link",
            Self::Answer => "answer",
        }
    }
}

/// The condition for writing a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobGuard {
    /// The writer holds the lease: this is the fence.
    Fence(u64),
    /// The job has this version, whether leased or not; a worker that holds the lease loses it, because the fence increases.
    /// The write should have an event, by which it is recognised if the database connection is lost before its answer.
    Version(u64),
}

/// The lease of a job after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAfter {
    /// The worker keeps it for this long from now. The lease of a job that has no work left is released anyway.
    Kept(Duration),
    /// It is released.
    Released,
}

/// The change of a sealed part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedPart {
    /// It stays as it is.
    Kept,
    /// It is replaced, and the old key is wiped.
    Replaced(Sealed),
    /// Of a job that has ended: it is kept for a retry, as long as the connection exists and retention allows; without the
    /// connection it is wiped.
    Retained,
    /// It is deleted, and its key is wiped.
    Wiped,
}

impl SealedPart {
    fn after(&self) -> PartAfter<'_> {
        match self {
            Self::Kept => PartAfter::Kept,
            Self::Replaced(sealed) => PartAfter::Replaced(sealed),
            Self::Retained => PartAfter::Retained,
            Self::Wiped => PartAfter::Wiped,
        }
    }
}

/// The same, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartAfter<'a> {
    /// It stays as it is.
    Kept,
    /// It is replaced.
    Replaced(&'a Sealed),
    /// It is kept for a retry.
    Retained,
    /// It is deleted.
    Wiped,
}

/// Which jobs are listed, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only those of this connection.
    pub connection_id: Option<ConnectionId>,
    /// Only those with this status.
    pub status: Option<JobStatus>,
    /// Only those in this phase.
    pub phase: Option<JobPhase>,
    /// Only those created at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Only those created before this instant.
    pub created_until: Option<Timestamp>,
    /// Only those older than this one.
    pub before: Option<JobId>,
}

/// A filter as parameters of the statements, where every filter has a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterParameters<'a> {
    /// Empty: any.
    pub(crate) status: &'static str,
    /// Empty: any.
    pub(crate) phase: &'static str,
    pub(crate) created_from: i64,
    pub(crate) created_until: i64,
    pub(crate) before: &'a str,
}

impl JobFilter {
    pub(crate) fn parameters(&self) -> FilterParameters<'_> {
        FilterParameters {
            status: self.status.map_or("", JobStatus::as_str),
            phase: self.phase.map_or("", JobPhase::as_str),
            created_from: self.created_from.map_or(0, Timestamp::as_micros),
            created_until: self.created_until.map_or(i64::MAX, Timestamp::as_micros),
            // Every identifier sorts before `~`.
            before: self.before.as_ref().map_or("~", JobId::as_str),
        }
    }
}

/// A secret that signs an account's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecretRow {
    /// Its identifier: part of what its sealing is bound to.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// The secret, sealed.
    pub sealed: Sealed,
}

/// The release of a lease that writes nothing else of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRelease {
    /// The fence of the lease.
    pub fence: u64,
    /// When the job runs next, from now.
    pub due_in: Duration,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}

/// Which uploads of a connection are put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferred {
    /// Those that have not started.
    Queued,
    /// All that have not ended.
    Unfinished,
}

impl Deferred {
    /// The lowest class of these.
    pub(crate) fn least_class(self) -> i64 {
        match self {
            Self::Queued => QUEUED_CLASS,
            Self::Unfinished => STARTED_CLASS,
        }
    }
}

/// Defers all waiting jobs of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deferral {
    /// Which ones.
    pub deferred: Deferred,
    /// What they wait for.
    pub waiting_for: WaitingFor,
    /// When they run next, from now.
    pub due_in: Duration,
    /// Jobs in one call.
    pub limit: u32,
    /// The current time. A database with its own clock uses that instead.
    pub now: Timestamp,
}
