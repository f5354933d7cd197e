//! The leases of jobs: taking one, and renewing many in one statement. All by the database's clock, so that a node whose clock
//! is wrong neither takes another node's job nor keeps one too long.

use async_trait::async_trait;
use domain::id::{AccountId, ConnectionId};
use domain::job::{JobId, WaitingFor};
use domain::time::Timestamp;

use super::clock::{Clock, micros};
use super::jobs;
use super::parameters::{Parameters, column, distinct};
use super::pg_error::PgError;
use super::rows;
use super::sessions::{Isolation, Session};
use super::writes::{Answers, BatchWrite, SingleWrite, Write};
use crate::jobs::Part;
use crate::sql::statement;
use crate::{Changed, Deferral, Error, LeaseRelease, LeaseRenewal, LeaseTerms, LeasedJob, SentBytes};

/// Takes a lease.
pub(super) struct LeaseJob {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) terms: LeaseTerms,
    pub(super) clock: Clock,
}

pub(super) const LOCK_ACCOUNT: &str = statement(jobs::SQL, "lock_account");
pub(super) const LEASE: &str = statement(jobs::SQL, "lease_job");
pub(super) const FIND_SECRETS: &str = statement(jobs::SQL, "find_secrets");

#[async_trait]
impl SingleWrite for LeaseJob {
    type Answer = Option<LeasedJob>;

    // After a lost session it is unknown whether the lease was taken. If it was, no worker has it, and it expires.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, PgError> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.lease(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl LeaseJob {
    async fn lease(&self, session: &Session) -> Result<Option<LeasedJob>, PgError> {
        let Self { account, id, terms, clock } = self;
        let (account, id) = (account.as_str(), id.as_str());
        if terms.is_limited() {
            session.query_named(LOCK_ACCOUNT, &[("account_id", &account)]).await?;
        }
        let parameters: Parameters<'_> = &[
            ("account_id", &account),
            ("job_id", &id),
            ("fence", &rows::stored_count(terms.expected_fence)),
            ("now", &clock.or_the_servers(terms.now)),
            ("lease_micros", &micros(terms.lease)),
            ("per_account", &i64::from(terms.per_account)),
            ("per_connection", &i64::from(terms.per_connection)),
        ];
        let leased = session.query_named(LEASE, parameters).await?;
        let Some(row) = leased.first() else { return Ok(None) };
        let (job, row_mac) = (jobs::job(row)?, rows::get(row, "row_mac")?);
        let (mut request, mut link) = (None, None);
        // Read once the job is locked: these are the secrets that its last worker left.
        for row in session.query_named(FIND_SECRETS, &[("account_id", &account), ("job_id", &id)]).await? {
            let sealed = Some(jobs::sealed(&row)?);
            match rows::get::<&str>(&row, "part")? {
                part if part == Part::Request.as_str() => request = sealed,
                part if part == Part::Link.as_str() => link = sealed,
                // For a repeated request, not for a worker.
                part if part == Part::Answer.as_str() => {}
                _ => return Err(rows::impossible("part")),
            }
        }
        let leased_at = Timestamp::from_micros(rows::get(row, "leased_at")?);
        Ok(Some(LeasedJob { job, row_mac, fence: terms.expected_fence + 1, leased_at, request, link }))
    }
}

/// Renews a lease.
pub(super) struct RenewLease {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) renewal: LeaseRenewal,
    pub(super) clock: Clock,
}

pub(super) const RENEW: &str = statement(jobs::SQL, "renew_leases");

impl RenewLease {
    /// A column of the progress; `None` if none is reported.
    fn sent<'a, T>(&'a self, value: impl FnOnce(&'a SentBytes) -> T) -> Option<T> {
        self.renewal.sent.as_ref().map(value)
    }
}

impl BatchWrite for RenewLease {
    type Key = (AccountId, JobId);

    fn key(&self) -> Self::Key {
        (self.account.clone(), self.id.clone())
    }

    fn account(&self) -> &AccountId {
        &self.account
    }
}

#[async_trait]
impl Write for RenewLease {
    type Answer = Changed;

    // A repetition does the same.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, PgError> {
        let account_ids = column(writes, |write| write.account.as_str());
        let parameters: Parameters<'_> = &[
            ("accounts", &distinct(&account_ids)),
            ("account_id", &account_ids),
            ("job_id", &column(writes, |write| write.id.as_str())),
            ("fence", &column(writes, |write| rows::stored_count(write.renewal.fence))),
            ("lease_micros", &column(writes, |write| micros(write.renewal.lease))),
            ("version", &column(writes, |write| write.sent(|sent| rows::stored_count(sent.version)))),
            ("sent_bytes", &column(writes, |write| write.sent(|sent| rows::stored_count(sent.bytes)))),
            ("row_mac", &column(writes, |write| write.sent(|sent| sent.row_mac.as_slice()))),
            (
                "bytes_per_second",
                &column(writes, |write| write.sent(|sent| rows::stored_count(sent.bytes_per_second))),
            ),
            ("now", &column(writes, |write| write.clock.or_the_servers(write.renewal.now))),
        ];
        let mut answers = Vec::new();
        for row in session.query_named(RENEW, parameters).await? {
            let is_renewed = rows::get::<bool>(&row, "is_renewed")?;
            answers.push(Some(Ok(if is_renewed { Changed::Yes } else { Changed::No })));
        }
        Ok(answers)
    }
}

/// Releases a lease, and changes nothing else of its job.
pub(super) struct ReleaseLease {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) release: LeaseRelease,
    pub(super) clock: Clock,
}

pub(super) const RELEASE: &str = statement(jobs::SQL, "release_lease");

#[async_trait]
impl SingleWrite for ReleaseLease {
    type Answer = Changed;

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, PgError> {
        let parameters: Parameters<'_> = &[
            ("account_id", &self.account.as_str()),
            ("job_id", &self.id.as_str()),
            ("fence", &rows::stored_count(self.release.fence)),
            ("now", &self.clock.or_the_servers(self.release.now)),
            ("due_in_micros", &micros(self.release.due_in)),
        ];
        let released = session.query_named(RELEASE, parameters).await?;
        Ok(Ok(Changed::of(released.len())))
    }
}

/// Puts off the due jobs of a connection.
pub(super) struct DeferJobs {
    pub(super) account: AccountId,
    pub(super) connection: ConnectionId,
    pub(super) deferral: Deferral,
    pub(super) clock: Clock,
}

pub(super) const DEFER: &str = statement(jobs::SQL, "defer_jobs");

#[async_trait]
impl SingleWrite for DeferJobs {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        let Self { account, connection, deferral, clock } = self;
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("connection_id", &connection.as_str()),
            ("now", &clock.or_the_servers(deferral.now)),
            ("due_in_micros", &micros(deferral.due_in)),
            ("waiting_for", &deferral.waiting_for.as_str()),
            ("least_class", &deferral.deferred.least_class()),
            ("limit", &i64::from(deferral.limit)),
        ];
        Ok(Ok(session.query_named(DEFER, parameters).await?.len()))
    }
}

/// Makes the waiting jobs of a connection due.
pub(super) struct WakeJobs {
    pub(super) account: AccountId,
    pub(super) connection: ConnectionId,
    pub(super) waiting_for: WaitingFor,
    pub(super) now: Timestamp,
    pub(super) clock: Clock,
}

pub(super) const WAKE: &str = statement(jobs::SQL, "wake_jobs");

#[async_trait]
impl SingleWrite for WakeJobs {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, PgError> {
        let Self { account, connection, waiting_for, now, clock } = self;
        let parameters: Parameters<'_> = &[
            ("account_id", &account.as_str()),
            ("connection_id", &connection.as_str()),
            ("waiting_for", &waiting_for.as_str()),
            ("now", &clock.or_the_servers(*now)),
        ];
        Ok(Ok(session.query_named(WAKE, parameters).await?.len()))
    }
}
