//! The part of the random sequences that is about jobs.

use std::time::Duration;

use domain::audit::Action;
use domain::id::AccountId;
use domain::idempotency::StoredResponse;
use domain::job::{
    Cancelled, CleaningUp, Completed, Ending, Failed, Failure, FailureCode, Job, JobState, Queued,
    WaitingFor, Webhook,
};
use domain::video::VideoNumber;
use proptest::prelude::*;

use super::differential::{ACCOUNTS, Run as Course, describe as said, is_done};
use super::{job_samples, samples};
use crate::{
    Changed, Completion, Deferral, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter, LeaseRenewal,
    LeaseTerms, NewJob, SealedPart, Store, WebhookSecretRow, Work,
};

/// What is done. Numbers choose among what there is by then; `behind`: by how much what is known is out of date.
#[derive(Debug, Clone)]
pub(super) enum JobOp {
    Insert {
        account: u8,
        connection: usize,
        actor: Option<usize>,
        completes: Option<(u8, u64)>,
        held: Option<u64>,
        is_waiting: bool,
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
    },
    InsertSecret {
        account: u8,
        overlap: u64,
        actor: Option<usize>,
    },
}

/// A job as the sequence knows it.
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
    let insert = (account.clone(), nth(), actor(), completes(), prop::option::of(1..100_u64), any::<bool>());
    let settle = (
        (nth(), behind(), 0..STATES, prop::bool::weighted(0.3), prop::option::of(1..100_u64)),
        (0..3_u8, 0..3_u8, 0..3_u8),
        (any::<bool>(), actor()),
        completes(),
    );
    prop_oneof![
        6 => insert.prop_map(|(account, connection, actor, completes, held, is_waiting)| {
            JobOp::Insert { account, connection, actor, completes, held, is_waiting }
        }),
        8 => (nth(), behind(), (1..4_u32, 1..4_u32))
            .prop_map(|(nth, behind, limits)| JobOp::Lease { nth, behind, limits }),
        2 => (nth(), behind(), prop::option::of(0..2_000_u64))
            .prop_map(|(nth, behind, sent)| JobOp::Renew { nth, behind, sent }),
        8 => settle.prop_map(|((nth, behind, state, is_by_version, kept), parts, (is_logged, actor), completes)| {
            JobOp::Update { nth, behind, state, is_by_version, kept, parts, is_logged, actor, completes }
        }),
        4 => nth().prop_map(|nth| JobOp::FindAnswer { nth }),
        1 => nth().prop_map(|nth| JobOp::FindStored { nth }),
        // Of some jobs, each engine would choose others.
        1 => (nth(), 0..60_u64).prop_map(|(nth, due_in)| JobOp::Defer { nth, due_in, limit: 1_000 }),
        1 => nth().prop_map(|nth| JobOp::Wake { nth }),
        2 => (0..9_u32, prop_oneof![Just(Work::Upload), Just(Work::Webhook)])
            .prop_map(|(limit, work)| JobOp::ListDue { limit, work }),
        2 => (account.clone(), prop::option::of(nth()), prop::option::of(nth()), 0..5_u32).prop_map(
            |(account, connection, before, limit)| JobOp::List { account, connection, before, limit }),
        1 => (account, prop::sample::select(vec![0, 30, 3_600]), actor())
            .prop_map(|(account, overlap, actor)| JobOp::InsertSecret { account, overlap, actor }),
    ]
}

/// So many that most of them go on.
const STATES: u8 = 14;

/// One of the states.
fn state(number: u8) -> JobState {
    let video = VideoNumber::from_stored(i64::from(number) + 70);
    let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
    let accepted = Queued { restarts: 1, orphan: Some(video) };
    let creating = accepted.begin_creating(samples::at(50));
    let abandoning = |unconfirmed, video| {
        JobState::CleaningUp(CleaningUp { ending: Ending::Cancelled, unconfirmed, video, size: None })
    };
    match number {
        0 => JobState::Queued(accepted),
        1 => JobState::Creating(creating),
        2 => abandoning(Some(creating), None),
        3 => abandoning(None, Some(video)),
        4 => JobState::Failed(Failed { failure, video: Some(video), kept: None, size: Some(1_000) }),
        5 => JobState::Cancelled(Cancelled { video: None, size: None }),
        6 => {
            let link = "https://vimeo.com/76".to_owned();
            JobState::Completed(Completed { video, size: 1_000, link, player: None })
        }
        _ => job_samples::uploading(76, 0),
    }
}

fn completion(course: &Course, completes: Option<(u8, u64)>) -> Option<Completion> {
    completes.map(|(key, attempt)| Completion {
        reservation: Course::reservation(key, attempt),
        answer: StoredResponse(course.number.to_be_bytes().to_vec()),
        at: samples::at(course.second),
    })
}

fn part(number: u8, course: &Course) -> SealedPart {
    match number {
        0 => SealedPart::Kept,
        1 => SealedPart::Wiped,
        _ => SealedPart::Replaced(job_samples::sealed(u8::try_from(course.number % 250).unwrap())),
    }
}

/// Which of the jobs that came last, and its account; one that nobody knows if there is none.
fn nth(course: &Course, nth: usize) -> (usize, AccountId, Job, u64) {
    let at = course.jobs.len().saturating_sub(1 + nth);
    match course.jobs.get(at) {
        Some(known) => (at, known.job.account_id.clone(), known.job.clone(), known.fence),
        None => (at, course.account(0), job_samples::job(&course.account(0), 0, 0), 0),
    }
}

/// One store's answer to one operation.
pub(super) async fn step(store: &dyn Store, course: &mut Course, op: &JobOp) -> String {
    let now = samples::at(course.second);
    match *op {
        JobOp::Insert { .. } => insert(store, course, op).await,
        JobOp::Update { .. } => write(store, course, op).await,
        JobOp::Lease { nth: number, behind, limits } => {
            let (at, account, job, fence) = nth(course, number);
            let terms = LeaseTerms {
                expected_fence: fence.saturating_sub(behind),
                lease: job_samples::LEASE,
                per_account: limits.0,
                per_connection: limits.1,
                now,
            };
            let leased = store.lease_job(&account, &job.id, &terms).await;
            if let (Ok(Some(leased)), Some(known)) = (&leased, course.jobs.get_mut(at)) {
                (known.job, known.fence) = (leased.job.clone(), leased.fence);
            }
            said(leased)
        }
        JobOp::Renew { nth: number, behind, sent } => {
            let (_, account, job, fence) = nth(course, number);
            let sent = sent.map(|sent| job_samples::sent(&job, sent, sent / 2));
            let fence = fence.saturating_sub(behind);
            let renewal = LeaseRenewal { fence, lease: job_samples::LEASE, sent, now };
            said(store.renew_job_lease(&account, &job.id, &renewal).await)
        }
        JobOp::FindAnswer { nth: number } => {
            let (_, account, job, _) = nth(course, number);
            said(store.find_job_answer(&account, &job.id).await)
        }
        JobOp::Defer { nth: number, due_in, limit } => {
            let (_, account, job, _) = nth(course, number);
            let (waiting_for, due_in) = (WaitingFor::RateLimit, Duration::from_secs(due_in));
            let deferral = Deferral { waiting_for, due_in, limit, now };
            said(store.defer_jobs(&account, &job.connection_id, &deferral).await)
        }
        JobOp::Wake { nth: number } => {
            let (_, account, job, _) = nth(course, number);
            said(store.wake_jobs(&account, &job.connection_id, WaitingFor::RateLimit, now).await)
        }
        JobOp::FindStored { nth: number } => {
            let (_, account, job, _) = nth(course, number);
            said(store.find_stored_job(&account, &job.id).await)
        }
        JobOp::ListDue { limit, work } => {
            said(store.list_due_jobs(now, work, &job_samples::at_most(limit)).await)
        }
        JobOp::List { account, connection, before, limit } => {
            let filter = JobFilter {
                connection_id: connection.map(|nth| course.nth(nth).0),
                before: before.map(|number| nth(course, number).2.id),
            };
            said(store.list_jobs(&course.account(account), &filter, limit).await)
        }
        JobOp::InsertSecret { account, overlap, actor } => {
            let account = course.account(account);
            let event = course.event(&account, actor);
            let secret = WebhookSecretRow {
                id: format!("secret {}", course.number),
                created_at: now,
                sealed: job_samples::sealed(u8::try_from(course.number % 250).unwrap()),
            };
            let overlap = Duration::from_secs(overlap);
            said(store.insert_webhook_secret(&account, &secret, overlap, &event).await)
        }
    }
}

async fn insert(store: &dyn Store, course: &mut Course, op: &JobOp) -> String {
    let JobOp::Insert { account, connection, actor, completes, held, is_waiting } = *op else {
        return String::new();
    };
    let account = course.account(account);
    let event = course.event(&account, actor);
    let now = samples::at(course.second);
    let job = Job {
        connection_id: course.nth(connection).0,
        created_at: now,
        webhook: if is_waiting { Webhook::Waiting { attempts: 0 } } else { Webhook::None },
        ..job_samples::job(&account, course.number, 1)
    };
    let known = Known { job: job.clone(), fence: u64::from(held.is_some()) };
    let new = NewJob {
        row_mac: job_samples::mac(&job),
        job,
        request: job_samples::sealed(u8::try_from(course.number % 250).unwrap()),
        start: held.map_or(JobStart::Queued, |held| JobStart::Leased(Duration::from_secs(held))),
        event,
        completion: completion(course, completes),
        now,
    };
    let answer = said(store.insert_job(&account, new).await);
    if is_done(&answer) {
        course.jobs.push(known);
    }
    answer
}

async fn write(store: &dyn Store, course: &mut Course, op: &JobOp) -> String {
    let JobOp::Update {
        nth: number,
        behind,
        state: becomes,
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
    let (at, account, job, fence) = nth(course, number);
    let event = is_logged.then(|| course.event(&account, actor));
    let guard = if is_by_version {
        JobGuard::Version(job.version.saturating_sub(behind))
    } else {
        JobGuard::Fence(fence.saturating_sub(behind))
    };
    let state = state(becomes);
    let due_in = if state.has_ended() && job.webhook == Webhook::None { None } else { kept.or(Some(0)) };
    let after = Job {
        version: job.version + 1,
        updated_at: samples::at(course.second),
        warnings: vec![format!("step {}", course.number)],
        state,
        ..job
    };
    let settlement = JobUpdate {
        guard,
        row_mac: job_samples::mac(&after),
        job: after.clone(),
        due_in: due_in.map(Duration::from_secs),
        lease: kept.map_or(LeaseAfter::Released, |kept| LeaseAfter::Kept(Duration::from_secs(kept))),
        request: part(parts.0, course),
        link: part(parts.1, course),
        answer: match part(parts.2, course) {
            SealedPart::Replaced(sealed) => Some(sealed),
            SealedPart::Kept | SealedPart::Wiped => None,
        },
        event: event.map(|event| domain::audit::AuditEvent { action: Action::EndUpload, ..event }),
        completion: completion(course, completes),
        now: samples::at(course.second),
    };
    let settled = store.update_job(&account, settlement).await;
    if let (Ok(Changed::Yes), Some(known)) = (&settled, course.jobs.get_mut(at)) {
        *known = Known { job: after, fence: fence + u64::from(is_by_version) };
    }
    said(settled)
}
