//! The leases of jobs: taking one, and keeping many in one statement. All by the database's own clock, so that a node whose
//! clock is off neither takes a job from another one nor keeps one.

use async_trait::async_trait;
use domain::id::{AccountId, ConnectionId};
use domain::job::{JobId, WaitingFor};
use domain::time::Timestamp;

use super::clock::{Clock, micros};
use super::jobs;
use super::pg_error::PgError as Trouble;
use super::rows;
use super::sessions::{Isolation, Positional as Parameters, Session};
use super::writes::{Answers, BatchWrite as SharedWrite, SingleWrite as LoneWrite, Write};
use crate::jobs::Part;
use crate::{Changed, Deferral, Error, LeaseRelease, LeaseRenewal, LeaseTerms, LeasedJob};

/// Takes a lease.
pub(super) struct LeaseJob {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) terms: LeaseTerms,
    pub(super) clock: Clock,
}

/// Of an account one lease is taken at a time: two that count at the same moment would not count each other. Rows that
/// refer to the account can be added meanwhile.
pub(super) const LOCK_ACCOUNT: &str =
    "SELECT account_id FROM accounts WHERE account_id = $1 FOR NO KEY UPDATE";
pub(super) const LEASE: &str = include_str!("sql/job_lease.sql");
/// Once the job is locked, so that it is what whoever had the job before has left.
pub(super) const FIND_SEALED: &str =
    "SELECT part, wrapped_key, envelope FROM job_secrets WHERE account_id = $1 AND job_id = $2";

#[async_trait]
impl LoneWrite for LeaseJob {
    type Answer = Option<LeasedJob>;

    // After a lost connection nobody can tell whose lease it is that was taken: then it is nobody's, and runs out.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, Trouble> {
        session.begin(Isolation::ReadCommitted).await?;
        let steps = self.lease(session).await;
        Ok(Ok(session.end(steps).await?))
    }
}

impl LeaseJob {
    async fn lease(&self, session: &Session) -> Result<Option<LeasedJob>, Trouble> {
        let Self { account, id, terms, clock } = self;
        let (account, id) = (account.as_str(), id.as_str());
        session.query(LOCK_ACCOUNT, &[&account]).await?;
        let parameters: Parameters<'_> = &[
            &account,
            &id,
            &rows::stored_count(terms.expected_fence),
            &clock.or_the_servers(terms.now),
            &micros(terms.lease),
            &i64::from(terms.per_account),
            &i64::from(terms.per_connection),
        ];
        let leased = session.query(LEASE, parameters).await?;
        let Some(row) = leased.first() else { return Ok(None) };
        let (job, row_mac) = (jobs::job(row)?, rows::get(row, "row_mac")?);
        let (mut request, mut link) = (None, None);
        for row in session.query(FIND_SEALED, &[&account, &id]).await? {
            let sealed = Some(jobs::sealed(&row)?);
            match rows::get::<&str>(&row, "part")? {
                part if part == Part::Request.as_str() => request = sealed,
                part if part == Part::Link.as_str() => link = sealed,
                // For whoever repeats the request, and not for whoever works on the job.
                part if part == Part::Answer.as_str() => {}
                _ => return Err(rows::impossible("part")),
            }
        }
        Ok(Some(LeasedJob { job, row_mac, fence: terms.expected_fence + 1, request, link }))
    }
}

/// Keeps a lease.
pub(super) struct RenewLease {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) renewal: LeaseRenewal,
    pub(super) clock: Clock,
}

pub(super) const RENEW: &str = include_str!("sql/job_renew.sql");

impl SharedWrite for RenewLease {
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

    // A second time it does the same.
    async fn run(session: &Session, writes: &[&Self]) -> Result<Answers<Self>, Trouble> {
        macro_rules! column {
            ($write:ident => $value:expr) => {
                &writes.iter().map(|$write| $value).collect::<Vec<_>>()
            };
        }
        let parameters: Parameters<'_> = &[
            column!(write => write.account.as_str()),
            column!(write => write.id.as_str()),
            column!(write => rows::stored_count(write.renewal.fence)),
            column!(write => micros(write.renewal.lease)),
            column!(write => write.renewal.sent.as_ref().map(|sent| rows::stored_count(sent.version))),
            column!(write => write.renewal.sent.as_ref().map(|sent| rows::stored_count(sent.bytes))),
            column!(write => write.renewal.sent.as_ref().map(|sent| sent.row_mac.as_slice())),
            column!(write => write.renewal.sent.as_ref().map(|sent| rows::stored_count(sent.bytes_per_second))),
            column!(write => write.clock.or_the_servers(write.renewal.now)),
        ];
        let mut answers = Vec::new();
        for row in session.query(RENEW, parameters).await? {
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

pub(super) const RELEASE: &str = include_str!("sql/job_release_lease.sql");

#[async_trait]
impl LoneWrite for ReleaseLease {
    type Answer = Changed;

    async fn run(&self, session: &Session) -> Result<Result<Changed, Error>, Trouble> {
        let parameters: Parameters<'_> = &[
            &self.account.as_str(),
            &self.id.as_str(),
            &rows::stored_count(self.release.fence),
            &self.clock.or_the_servers(self.release.now),
            &micros(self.release.due_in),
        ];
        let released = session.query(RELEASE, parameters).await?;
        Ok(Ok(if released.is_empty() { Changed::No } else { Changed::Yes }))
    }
}

/// Puts off the due jobs of a connection.
pub(super) struct DeferJobs {
    pub(super) account: AccountId,
    pub(super) connection: ConnectionId,
    pub(super) deferral: Deferral,
    pub(super) clock: Clock,
}

pub(super) const DEFER: &str = include_str!("sql/job_defer.sql");

#[async_trait]
impl LoneWrite for DeferJobs {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, Trouble> {
        let Self { account, connection, deferral, clock } = self;
        let parameters: Parameters<'_> = &[
            &account.as_str(),
            &connection.as_str(),
            &clock.or_the_servers(deferral.now),
            &micros(deferral.due_in),
            &deferral.waiting_for.as_str(),
            &i64::from(deferral.limit),
        ];
        Ok(Ok(session.query(DEFER, parameters).await?.len()))
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

pub(super) const WAKE: &str = include_str!("sql/job_wake.sql");

#[async_trait]
impl LoneWrite for WakeJobs {
    type Answer = usize;

    async fn run(&self, session: &Session) -> Result<Result<usize, Error>, Trouble> {
        let Self { account, connection, waiting_for, now, clock } = self;
        let (account, connection) = (account.as_str(), connection.as_str());
        let now = clock.or_the_servers(*now);
        let parameters: Parameters<'_> = &[&account, &connection, &waiting_for.as_str(), &now];
        Ok(Ok(session.query(WAKE, parameters).await?.len()))
    }
}
