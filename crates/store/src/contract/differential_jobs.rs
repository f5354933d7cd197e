//! The operations on jobs in the random sequences of `differential`.

use std::time::Duration;

use domain::audit::Action;
use domain::id::AccountId;
use domain::idempotency::StoredResponse;
use domain::job::{
    Cancelled, CleaningUp, Completed, Ending, Failed, Failure, FailureCode, Job, JobPhase, JobState,
    JobStatus, Queued, Scheduled, WaitingFor, Webhook,
};
use domain::time::Timestamp;
use domain::video::VideoNumber;
use proptest::prelude::*;

use super::differential::{ACCOUNTS, Run, describe, is_done};
use super::{job_samples, samples};
use crate::{
    Changed, Completion, Deferral, Deferred, Expired, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter,
    LeaseRenewal, LeaseTerms, NewJob, SealedPart, Store, WebhookSecretRow, Work,
};

/// An operation. Numbers select from what the sequence has created by then; `behind` is how far the expected version or
/// fence is behind the current one.
#[derive(Debug, Clone)]
pub(super) enum JobOp {
    Insert {
        account: u8,
        connection: usize,
        actor: Option<usize>,
        completes: Option<(u8, u64)>,
        held: Option<u64>,
        is_waiting: bool,
        retries: Option<usize>,
    },
    Lease {
        nth: usize,
        behind: u64,
        limits: (u32, u32),
    },
    Renew {
        nth: usize,
        behind: u64,
        sent: Option<u64>,
    },
    Update {
        nth: usize,
        behind: u64,
        state: u8,
        is_by_version: bool,
        kept: Option<u64>,
        parts: (u8, u8, u8),
        is_logged: bool,
        actor: Option<usize>,
        completes: Option<(u8, u64)>,
    },
    FindAnswer {
        nth: usize,
    },
    FindStored {
        nth: usize,
    },
    Defer {
        nth: usize,
        due_in: u64,
        limit: u32,
    },
    Wake {
        nth: usize,
    },
    ListDue {
        work: Work,
        limit: u32,
    },
    List {
        account: u8,
        connection: Option<usize>,
        before: Option<usize>,
        limit: u32,
        only: Only,
    },
    Count {
        account: u8,
        newest: u32,
    },
    DeleteEnded {
        kept: u64,
    },
    WipeKept {
        kept: u64,
    },
    InsertSecret {
        account: u8,
        overlap: u64,
        actor: Option<usize>,
    },
}

/// A job as the sequence last saw it.
pub(super) struct Known {
    job: Job,
    fence: u64,
}

pub(super) fn op() -> impl Strategy<Value = JobOp> {
    let account = 0..ACCOUNTS;
    let actor = || prop::option::weighted(0.2, 0..8_usize);
    let completes = || prop::option::weighted(0.1, (0..3_u8, 1..4_u64));
    let behind = || prop::sample::select(vec![0, 0, 0, 0, 0, 0, 0, 1]);
    let nth = || 0..3_usize;
    let held = || prop::option::of(1..100_u64);
    let retries = || prop::option::weighted(0.2, nth());
    let insert = ((account.clone(), nth(), actor()), completes(), held(), any::<bool>(), retries());
    let update = (
        (nth(), behind(), 0..STATES, prop::bool::weighted(0.3), prop::option::of(1..100_u64)),
        (0..4_u8, 0..3_u8, 0..3_u8),
        (any::<bool>(), actor()),
        completes(),
    );
    prop_oneof![
        6 => insert.prop_map(|((account, connection, actor), completes, held, is_waiting, retries)| {
            JobOp::Insert { account, connection, actor, completes, held, is_waiting, retries }
        }),
        8 => (nth(), behind(), (1..4_u32, 1..4_u32))
            .prop_map(|(nth, behind, limits)| JobOp::Lease { nth, behind, limits }),
        2 => (nth(), behind(), prop::option::of(0..2_000_u64))
            .prop_map(|(nth, behind, sent)| JobOp::Renew { nth, behind, sent }),
        8 => update.prop_map(|((nth, behind, state, is_by_version, kept), parts, (is_logged, actor), completes)| {
            JobOp::Update { nth, behind, state, is_by_version, kept, parts, is_logged, actor, completes }
        }),
        4 => nth().prop_map(|nth| JobOp::FindAnswer { nth }),
        1 => nth().prop_map(|nth| JobOp::FindStored { nth }),
        // The limit includes all jobs: with a lower one, each engine may choose different jobs.
        1 => (nth(), 0..60_u64).prop_map(|(nth, due_in)| JobOp::Defer { nth, due_in, limit: 1_000 }),
        1 => nth().prop_map(|nth| JobOp::Wake { nth }),
        2 => (0..9_u32, prop_oneof![Just(Work::Upload), Just(Work::Webhook)])
            .prop_map(|(limit, work)| JobOp::ListDue { limit, work }),
        2 => (account.clone(), prop::option::of(nth()), prop::option::of(nth()), 0..5_u32, only()).prop_map(
            |(account, connection, before, limit, only)| JobOp::List { account, connection, before, limit, only }),
        1 => (account.clone(), 0..9_u32).prop_map(|(account, newest)| JobOp::Count { account, newest }),
        1 => prop::sample::select(vec![0, 60]).prop_map(|kept| JobOp::DeleteEnded { kept }),
        1 => prop::sample::select(vec![0, 60]).prop_map(|kept| JobOp::WipeKept { kept }),
        1 => (account, prop::sample::select(vec![0, 30, 3_600]), actor())
            .prop_map(|(account, overlap, actor)| JobOp::InsertSecret { account, overlap, actor }),
    ]
}

/// Filters by status and by phase.
type Only = (Option<JobStatus>, Option<JobPhase>);

fn only() -> impl Strategy<Value = Only> {
    let (status, phase) =
        (prop::sample::select(JobStatus::ALL.to_vec()), prop::sample::select(JobPhase::ALL.to_vec()));
    (prop::option::of(status), prop::option::weighted(0.2, phase))
}

/// The number of states in [`state`]. Most of them have not ended.
const STATES: u8 = 16;

fn state(number: u8) -> JobState {
    let video = VideoNumber::from_stored(i64::from(number) + 70);
    let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
    let queued = Queued { restarts: 1, orphan: Some(video.into()) };
    let creating = queued.begin_creating(samples::at(50));
    let cleaning_up = |unconfirmed, target| {
        JobState::CleaningUp(CleaningUp { ending: Ending::Cancelled, unconfirmed, target, size: None })
    };
    match number {
        0 => JobState::Queued(queued),
        1 => JobState::Creating(creating),
        2 => cleaning_up(Some(creating), None),
        3 => cleaning_up(None, Some(video.into())),
        4 => JobState::Failed(Failed { failure, target: Some(video.into()), kept: None, size: Some(1_000) }),
        5 => JobState::Cancelled(Cancelled { target: None, size: None }),
        6 => {
            let link = "https://vimeo.com/76".to_owned();
            JobState::Completed(Completed { video, size: 1_000, link, player: None })
        }
        7 | 8 => JobState::Scheduled(Scheduled { video, size: 1_000 }),
        _ => job_samples::uploading(76, 0),
    }
}

fn completion(run: &Run, completes: Option<(u8, u64)>) -> Option<Completion> {
    completes.map(|(key, attempt)| Completion {
        reservation: Run::reservation(key, attempt),
        answer: StoredResponse(run.number.to_be_bytes().to_vec()),
        at: samples::at(run.second),
    })
}

fn filter(run: &Run, connection: Option<usize>, before: Option<usize>, only: Only) -> JobFilter {
    let (status, phase) = only;
    let connection_id = connection.map(|number| run.nth(number).0);
    let before = before.map(|number| nth(run, number).2.id);
    JobFilter { connection_id, status, phase, before, ..JobFilter::default() }
}

fn part(number: u8, run: &Run) -> SealedPart {
    match number {
        0 => SealedPart::Kept,
        1 => SealedPart::Wiped,
        3 => SealedPart::Retained,
        _ => SealedPart::Replaced(job_samples::sealed(u8::try_from(run.number % 250).unwrap())),
    }
}

/// The job `nth` places before the last one, with its index, account and fence; an unknown job if there is none.
fn nth(run: &Run, nth: usize) -> (usize, AccountId, Job, u64) {
    let at = run.jobs.len().saturating_sub(1 + nth);
    match run.jobs.get(at) {
        Some(known) => (at, known.job.account_id.clone(), known.job.clone(), known.fence),
        None => (at, run.account(0), job_samples::job(&run.account(0), 0, 0), 0),
    }
}

/// The answer of one store to one operation.
pub(super) async fn step(store: &dyn Store, run: &mut Run, op: &JobOp) -> String {
    let now = samples::at(run.second);
    match *op {
        JobOp::Insert { .. } => insert(store, run, op).await,
        JobOp::Update { .. } => write(store, run, op).await,
        JobOp::Lease { nth: number, behind, limits } => {
            let (at, account, job, fence) = nth(run, number);
            let terms = LeaseTerms {
                expected_fence: fence.saturating_sub(behind),
                lease: job_samples::LEASE,
                per_account: limits.0,
                per_connection: limits.1,
                now,
            };
            let leased = store.lease_job(&account, &job.id, &terms).await;
            if let (Ok(Some(leased)), Some(known)) = (&leased, run.jobs.get_mut(at)) {
                (known.job, known.fence) = (leased.job.clone(), leased.fence);
            }
            describe(leased)
        }
        JobOp::Renew { nth: number, behind, sent } => {
            let (_, account, job, fence) = nth(run, number);
            let sent = sent.map(|sent| job_samples::sent(&job, sent, sent / 2));
            let fence = fence.saturating_sub(behind);
            let renewal = LeaseRenewal { fence, lease: job_samples::LEASE, sent, now };
            describe(store.renew_job_lease(&account, &job.id, &renewal).await)
        }
        JobOp::FindAnswer { nth: number } => {
            let (_, account, job, _) = nth(run, number);
            describe(store.find_job_answer(&account, &job.id).await)
        }
        JobOp::Defer { nth: number, due_in, limit } => {
            let (_, account, job, _) = nth(run, number);
            let (waiting_for, due_in) = (WaitingFor::RateLimit, Duration::from_secs(due_in));
            let deferred = if limit % 2 == 0 { Deferred::Queued } else { Deferred::Unfinished };
            let deferral = Deferral { deferred, waiting_for, due_in, limit, now };
            describe(store.defer_jobs(&account, &job.connection_id, &deferral).await)
        }
        JobOp::Wake { nth: number } => {
            let (_, account, job, _) = nth(run, number);
            describe(store.wake_jobs(&account, &job.connection_id, WaitingFor::RateLimit, now).await)
        }
        JobOp::FindStored { nth: number } => {
            let (_, account, job, _) = nth(run, number);
            describe(store.find_stored_job(&account, &job.id).await)
        }
        JobOp::ListDue { limit, work } => {
            describe(store.list_due_jobs(now, work, &job_samples::at_most(limit)).await)
        }
        JobOp::List { account, connection, before, limit, only } => {
            let filter = filter(run, connection, before, only);
            describe(store.list_jobs(&run.account(account), &filter, limit).await)
        }
        JobOp::Count { account, newest } => describe(store.count_jobs(&run.account(account), newest).await),
        JobOp::DeleteEnded { kept } => describe(store.delete_ended_jobs(&expired(kept, now)).await),
        JobOp::WipeKept { kept } => describe(store.wipe_kept_requests(&expired(kept, now)).await),
        JobOp::InsertSecret { account, overlap, actor } => {
            let account = run.account(account);
            let event = run.event(&account, actor);
            let secret = WebhookSecretRow {
                id: format!("secret {}", run.number),
                created_at: now,
                sealed: job_samples::sealed(u8::try_from(run.number % 250).unwrap()),
            };
            let overlap = Duration::from_secs(overlap);
            describe(store.insert_webhook_secret(&account, &secret, overlap, &event).await)
        }
    }
}

/// The limit includes all rows, as for a deferral.
fn expired(kept_seconds: u64, now: Timestamp) -> Expired {
    Expired { kept: Duration::from_secs(kept_seconds), limit: 10_000, now }
}

async fn insert(store: &dyn Store, run: &mut Run, op: &JobOp) -> String {
    let JobOp::Insert { account, connection, actor, completes, held, is_waiting, retries } = *op else {
        return String::new();
    };
    let account = run.account(account);
    let event = run.event(&account, actor);
    let now = samples::at(run.second);
    let job = Job {
        connection_id: run.nth(connection).0,
        created_at: now,
        retry_of: retries.map(|number| nth(run, number).2.id),
        webhook: if is_waiting { Webhook::Waiting { attempts: 0 } } else { Webhook::None },
        ..job_samples::job(&account, run.number, 1)
    };
    let known = Known { job: job.clone(), fence: u64::from(held.is_some()) };
    let new = NewJob {
        row_mac: job_samples::mac(&job),
        job,
        request: job_samples::sealed(u8::try_from(run.number % 250).unwrap()),
        start: held.map_or(JobStart::Queued, |held| JobStart::Leased(Duration::from_secs(held))),
        event,
        completion: completion(run, completes),
        now,
    };
    let answer = describe(store.insert_job(&account, new).await);
    if is_done(&answer) {
        run.jobs.push(known);
    }
    answer
}

async fn write(store: &dyn Store, run: &mut Run, op: &JobOp) -> String {
    let JobOp::Update {
        nth: number,
        behind,
        state: next,
        is_by_version,
        kept,
        parts,
        is_logged,
        actor,
        completes,
    } = *op
    else {
        return String::new();
    };
    let (at, account, job, fence) = nth(run, number);
    let event = is_logged.then(|| run.event(&account, actor));
    let guard = if is_by_version {
        JobGuard::Version(job.version.saturating_sub(behind))
    } else {
        JobGuard::Fence(fence.saturating_sub(behind))
    };
    let state = state(next);
    let due_in = if state.has_ended() && job.webhook == Webhook::None { None } else { kept.or(Some(0)) };
    let after = Job {
        version: job.version + 1,
        updated_at: samples::at(run.second),
        warnings: vec![format!("step {}", run.number)],
        state,
        ..job
    };
    let update = JobUpdate {
        due_not_before: None,
        delivery: None,
        guard,
        row_mac: job_samples::mac(&after),
        job: after.clone(),
        due_in: due_in.map(Duration::from_secs),
        lease: kept.map_or(LeaseAfter::Released, |kept| LeaseAfter::Kept(Duration::from_secs(kept))),
        request: part(parts.0, run),
        link: part(parts.1, run),
        answer: match part(parts.2, run) {
            SealedPart::Replaced(sealed) => Some(sealed),
            _ => None,
        },
        event: event.map(|event| domain::audit::AuditEvent { action: Action::EndUpload, ..event }),
        completion: completion(run, completes),
        now: samples::at(run.second),
    };
    let updated = store.update_job(&account, update).await;
    if let (Ok(Changed::Yes), Some(known)) = (&updated, run.jobs.get_mut(at)) {
        *known = Known { job: after, fence: fence + u64::from(is_by_version) };
    }
    describe(updated)
}
