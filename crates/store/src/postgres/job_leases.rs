//! The leases of jobs: taking one, and keeping many in one statement. All by the database's own clock, so that a node whose
//! clock is off neither takes a job from another one nor keeps one.

use async_trait::async_trait;
use domain::id::AccountId;
use domain::job::JobId;

use super::clock::{Clock, clock, micros};
use super::jobs;
use super::rows;
use super::sessions::{Parameters, Session};
use super::trouble::Trouble;
use super::writes::{Answers, LoneWrite, SharedWrite, Write};
use crate::job_rows::{has_ended, job_column_names, job_columns};
use crate::jobs::Part;
use crate::{Changed, Error, LeaseRenewal, LeaseTerms, LeasedJob};

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
pub(super) const LEASE: &str = concat!(
    "UPDATE jobs j SET fence = j.fence + 1, lease_until = ",
    clock!("$4"),
    " + $5::bigint
     WHERE j.account_id = $1 AND j.job_id = $2 AND j.fence = $3 AND j.due_at <= ",
    clock!("$4"),
    " AND (j.lease_until IS NULL OR j.lease_until <= ",
    clock!("$4"),
    ") AND (SELECT count(*) FROM jobs r WHERE r.account_id = $1 AND r.lease_until > ",
    clock!("$4"),
    " AND ",
    has_ended!("r"),
    " = ",
    has_ended!("j"),
    ") < $6::bigint
       AND (SELECT count(*) FROM jobs r WHERE r.account_id = $1 AND r.lease_until > ",
    clock!("$4"),
    " AND ",
    has_ended!("r"),
    " = ",
    has_ended!("j"),
    " AND r.connection_id = j.connection_id) < $7::bigint
     RETURNING ",
    job_columns!(job_column_names)
);
/// Once the job is locked, so that it is what whoever had the job before has left.
pub(super) const FIND_SEALED: &str =
    "SELECT part, wrapped_key, envelope FROM job_secrets WHERE account_id = $1 AND job_id = $2";

#[async_trait]
impl LoneWrite for LeaseJob {
    type Answer = Option<LeasedJob>;

    // After a lost connection nobody can tell whose lease it is that was taken: then it is nobody's, and runs out.
    async fn run(&self, session: &Session) -> Result<Result<Self::Answer, Error>, Trouble> {
        session.batch("BEGIN").await?;
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
        let job = jobs::job(row)?;
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
        Ok(Some(LeasedJob { job, fence: terms.expected_fence + 1, request, link }))
    }
}

/// Keeps a lease.
pub(super) struct RenewLease {
    pub(super) account: AccountId,
    pub(super) id: JobId,
    pub(super) renewal: LeaseRenewal,
    pub(super) clock: Clock,
}

pub(super) const RENEW: &str = concat!(
    "WITH given AS (
        SELECT account_id, job_id, fence, lease, sent, rate, ",
    clock!("now"),
    " AS now, position
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
            WITH ORDINALITY AS given (account_id, job_id, fence, lease, sent, rate, now, position)),
    locked AS (
        SELECT j.account_id, j.job_id FROM jobs j JOIN given USING (account_id, job_id)
        WHERE j.fence = given.fence AND j.lease_until > given.now
        ORDER BY j.account_id, j.job_id FOR UPDATE OF j),
    renewed AS (
        UPDATE jobs j SET lease_until = given.now + given.lease, sent_bytes = coalesce(given.sent, j.sent_bytes),
            bytes_per_second = coalesce(given.rate, j.bytes_per_second)
        FROM given JOIN locked USING (account_id, job_id)
        WHERE j.account_id = given.account_id AND j.job_id = given.job_id
        RETURNING j.account_id, j.job_id)
    SELECT renewed.job_id IS NOT NULL AS is_renewed
    FROM given LEFT JOIN renewed USING (account_id, job_id) ORDER BY given.position"
);

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
            column!(write => write.renewal.sent.map(|(bytes, _)| rows::stored_count(bytes))),
            column!(write => write.renewal.sent.map(|(_, rate)| rows::stored_count(rate))),
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
