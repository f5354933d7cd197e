//! What the store is asked about jobs: uploads that are worked on under leases.
//!
//! A job that has something to be done has an instant at which that is due. Whoever does it takes a lease first, by a
//! compare-and-set of the job's fence, a number that only grows; and everything that the holder writes is compared with the
//! fence again, so that one who lost the lease without knowing can change nothing.

use std::time::Duration;

use domain::audit::AuditEvent;
use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId};
use domain::secret::Sealed;
use domain::time::Timestamp;

use crate::Completion;

/// What stands in the audit log where a client's address would, when the service itself acted.
pub(crate) const SERVICE: &str = "service";

/// A job to be added, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The job.
    pub job: Job,
    /// What was asked for, sealed: the source, the settings, the webhook.
    pub request: Sealed,
    /// Who works on it first.
    pub start: JobStart,
    /// What is written of it in the audit log.
    pub event: AuditEvent,
    /// If the request may be repeated: what its repetition is answered.
    pub completion: Option<Completion>,
    /// Now; a database that has a clock of its own goes by that.
    pub now: Timestamp,
}

/// Who works on a new job first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStart {
    /// Whoever finds it: it is due at once.
    Queued,
    /// Whoever adds it, who holds the first lease (fence 1) for so long; it is due at once when that is over.
    Held(Duration),
}

/// What is due for a job. The two are leased apart: neither counts against the limits of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The upload, which has not ended.
    Upload,
    /// The webhook of an upload that has ended.
    Webhook,
}

/// A job that something is to be done about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueJob {
    /// Whose it is.
    pub account_id: AccountId,
    /// Which.
    pub id: JobId,
    /// The connection that it goes through.
    pub connection_id: ConnectionId,
    /// Its fence as it is now.
    pub fence: u64,
}

/// How a lease is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The fence that the job must still have.
    pub expected_fence: u64,
    /// For how long.
    pub lease: Duration,
    /// No lease while the account has this many of the same kind of work running.
    pub per_account: u32,
    /// No lease while the connection has this many of the same kind of work running.
    pub per_connection: u32,
    /// Now; a database that has a clock of its own goes by that.
    pub now: Timestamp,
}

/// A job that the caller may work on until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedJob {
    /// The job.
    pub job: Job,
    /// The number that proves the lease.
    pub fence: u64,
    /// What was asked for; `None` once it was wiped.
    pub request: Option<Sealed>,
    /// The upload link; `None` if there is none yet, or it was wiped.
    pub link: Option<Sealed>,
}

/// How a lease is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The fence that the holder has.
    pub fence: u64,
    /// For how long from now on.
    pub lease: Duration,
    /// Bytes that were sent so far, and bytes per second lately.
    pub sent: Option<(u64, u64)>,
    /// Now; a database that has a clock of its own goes by that.
    pub now: Timestamp,
}

/// What a job becomes, with everything that is written together with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSettlement {
    /// What must still be so.
    pub guard: JobGuard,
    /// What the job becomes. Its `version` is one more than the stored one.
    pub job: Job,
    /// When something is to be done next, from now on; `None`: never again, as only for a job that is over.
    pub due_in: Option<Duration>,
    /// What becomes of the lease.
    pub lease: LeaseAfter,
    /// What becomes of the sealed request.
    pub request: SealedPart,
    /// What becomes of the sealed upload link. Wiped, it takes the sealed answer with it.
    pub link: SealedPart,
    /// The answer with the link that a repeated request gets, sealed; `None`: it stays as it is, with the link.
    pub answer: Option<Sealed>,
    /// What is written of it in the audit log.
    pub event: Option<AuditEvent>,
    /// If it ends a request that may be repeated: what its repetition is answered.
    pub completion: Option<Completion>,
    /// Now; a database that has a clock of its own goes by that.
    pub now: Timestamp,
}

impl JobSettlement {
    /// For how long the writer keeps its lease. Whoever had none has none to keep; nor has anybody where nothing is to be
    /// done any more.
    pub(crate) fn kept_lease(&self) -> Option<Duration> {
        match (self.guard, self.lease, self.due_in) {
            (JobGuard::Fence(_), LeaseAfter::Kept(lease), Some(_)) => Some(lease),
            _ => None,
        }
    }

    /// What becomes of each of the sealed parts.
    pub(crate) fn parts(&self) -> [(Part, PartAfter<'_>); 3] {
        let answer = match (&self.link, &self.answer) {
            // It holds the link, and never outlives it.
            (SealedPart::Wiped, _) => PartAfter::Wiped,
            (_, Some(answer)) => PartAfter::Replaced(answer),
            (_, None) => PartAfter::Kept,
        };
        [(Part::Request, self.request.after()), (Part::Link, self.link.after()), (Part::Answer, answer)]
    }
}

/// Which of the sealed things of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What was asked for.
    Request,
    /// The upload link.
    Link,
    /// The answer with the link that a repeated request gets.
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

/// What must still be so when a job is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobGuard {
    /// The writer holds the lease: this is the fence.
    Fence(u64),
    /// The job has this version, whoever holds the lease; the holder loses it, because the fence is raised by one. It should
    /// have an event, by which it is known again if the database is lost in the middle of it.
    Version(u64),
}

/// What becomes of a lease when its job is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseAfter {
    /// The holder goes on, for so long from now on; where nothing is due any more it is given back all the same.
    Kept(Duration),
    /// It is given back.
    Released,
}

/// What becomes of something that a job keeps sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedPart {
    /// It stays as it is.
    Kept,
    /// This takes its place; the key of what was there is wiped.
    Replaced(Sealed),
    /// It goes, and its key is wiped.
    Wiped,
}

impl SealedPart {
    fn after(&self) -> PartAfter<'_> {
        match self {
            Self::Kept => PartAfter::Kept,
            Self::Replaced(sealed) => PartAfter::Replaced(sealed),
            Self::Wiped => PartAfter::Wiped,
        }
    }
}

/// The same, of something that is only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartAfter<'a> {
    /// It stays as it is.
    Kept,
    /// This takes its place.
    Replaced(&'a Sealed),
    /// It goes.
    Wiped,
}

/// Which jobs are listed: the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Those of this connection alone.
    pub connection_id: Option<ConnectionId>,
    /// Those that are older than this one.
    pub before: Option<JobId>,
}

/// The secret that an account's webhooks are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecretRow {
    /// Its identifier: part of what its sealing is bound to.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The secret, sealed.
    pub sealed: Sealed,
}
