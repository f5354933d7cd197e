//! Leases of jobs: taking, renewing and losing them.

use std::time::Duration;

use domain::id::AccountId;
use domain::job::{Cancelled, Job, JobState, Queued, RetryState, WaitingFor, Webhook};
use domain::video::VideoNumber;

use super::TestDatabase;
use super::job_samples::{
    LEASE, connection_id, due, due_for, insert_job, job, job_id, lease, new_job, sealed, sent, service_event,
    terms, update, uploading, write,
};
use super::samples::{all, at, insert_account, insert_connection};
use crate::{
    Changed, Deferral, Deferred, JobGuard, JobStart, LeaseAfter, LeaseRenewal, LeaseTerms, NewJob,
    SealedPart, SentBytes, Work,
};

pub(crate) async fn a_job_has_one_lease_at_a_time_and_its_fence_increases(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    let take = |fence: u64, second: i64| {
        let (store, one) = (store.clone(), one.clone());
        async move { store.lease_job(&one, &job_id(1), &terms(fence, second)).await.unwrap() }
    };
    assert_eq!(take(0, 1).await, None, "it is not due");
    assert_eq!(take(1, 2).await, None, "another fence");
    let mut got: Vec<_> = all((0..16).map(|_| take(0, 2))).await.into_iter().flatten().collect();
    let leased = got.pop().unwrap();
    assert!(got.is_empty(), "{got:?}");
    assert_eq!((leased.fence, &leased.job), (1, &job));
    assert_eq!((leased.request, leased.link), (Some(sealed(100)), None));
    assert_eq!(take(1, 31).await, None, "the lease is valid until its last instant");
    assert_eq!(take(1, 32).await.unwrap().fence, 2);
    assert_eq!(take(1, 99).await, None, "an earlier fence");
    let two = insert_account(&*store, 2).await;
    assert_eq!(store.lease_job(&two, &job_id(1), &terms(2, 99)).await.unwrap(), None);
    assert_eq!(store.find_job(&two, &job_id(1)).await.unwrap(), None);
}

pub(crate) async fn a_due_job_is_found_by_its_identifier(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    let fence = |account: &AccountId, work: Work, second: i64| {
        let (store, account) = (store.clone(), account.clone());
        async move { store.find_fence_of_due_job(&account, &job_id(1), work, at(second)).await.unwrap() }
    };
    assert_eq!(fence(&one, Work::Upload, 1).await, None, "it is not due");
    assert_eq!(fence(&one, Work::Upload, 2).await, Some(0));
    assert_eq!(fence(&one, Work::Webhook, 2).await, None, "other work is due");
    assert_eq!(fence(&two, Work::Upload, 2).await, None, "it is another account's");
    lease(&*store, &one, 1, &terms(0, 2)).await;
    assert_eq!(fence(&one, Work::Upload, 31).await, None, "a worker has it");
    assert_eq!(fence(&one, Work::Upload, 32).await, Some(1), "the lease has expired");
    let mut ended = update(job, 1, JobState::Cancelled(Cancelled { target: None, size: None }), 3);
    (ended.due_in, ended.lease) = (Some(Duration::ZERO), LeaseAfter::Released);
    ended.job.webhook = Webhook::Waiting { attempts: 0 };
    write(&*store, ended).await;
    assert_eq!(fence(&one, Work::Upload, 3).await, None, "it has ended");
    assert_eq!(fence(&one, Work::Webhook, 3).await, Some(1));
}

pub(crate) async fn a_job_inserted_with_a_lease_is_due_when_the_lease_expires(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let new = NewJob { start: JobStart::Leased(LEASE), ..new_job(job(&one, 1, 1), 2) };
    store.insert_job(&one, new).await.unwrap();
    assert_eq!(due(&*store, 31, 9).await, []);
    assert_eq!(due(&*store, 32, 9).await, [(1, 1)]);
    let renewal = LeaseRenewal { fence: 1, lease: LEASE, sent: None, now: at(31) };
    assert_eq!(store.renew_job_lease(&one, &job_id(1), &renewal).await.unwrap(), Changed::Yes);
    assert_eq!(due(&*store, 60, 9).await, []);
    assert_eq!(lease(&*store, &one, 1, &terms(1, 61)).await.fence, 2);
}

pub(crate) async fn leases_are_limited_per_account_and_per_connection(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for (account, connection) in [(&one, 1), (&one, 2), (&two, 1)] {
        insert_connection(&*store, account, connection, &format!("c {connection}")).await.unwrap();
    }
    for number in 1..=6 {
        insert_job(&*store, &one, number, 1 + number % 2).await;
        insert_job(&*store, &two, number, 1).await;
    }
    let take = |number: u32, fence: u64, second: i64| {
        let terms = LeaseTerms { per_account: 3, per_connection: 2, ..terms(fence, second) };
        let (store, one) = (store.clone(), one.clone());
        async move { store.lease_job(&one, &job_id(number), &terms).await.unwrap().is_some() }
    };
    lease(&*store, &two, 1, &terms(0, 2)).await;
    // 1, 3 and 5 use one connection, 2, 4 and 6 the other.
    assert!(take(1, 0, 2).await);
    assert!(take(3, 0, 3).await);
    assert!(!take(5, 0, 3).await, "two of the connection are running");
    assert!(take(2, 0, 3).await);
    assert!(!take(4, 0, 3).await, "three of the account are running");
    assert!(take(4, 0, 32).await, "the first lease has expired");
    let released = update(job(&one, 3, 2), 1, uploading(7, 0), 4);
    write(&*store, crate::JobUpdate { lease: LeaseAfter::Released, ..released }).await;
    assert!(take(5, 0, 32).await, "and another was released");
    assert!(!take(6, 0, 32).await);
    // Concurrent requests.
    let took = all((1..=6).map(|number| {
        let terms = LeaseTerms { per_account: 3, per_connection: 2, ..terms(0, 60) };
        let (store, two) = (store.clone(), two.clone());
        async move { store.lease_job(&two, &job_id(number), &terms).await.unwrap().is_some() }
    }))
    .await;
    assert_eq!(took.into_iter().filter(|is_leased| *is_leased).count(), 2);
}

pub(crate) async fn a_renewal_extends_the_lease_and_stores_the_progress(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let job = write(&*store, update(job, 1, uploading(7, 10), 3)).await;
    let progress = |version, bytes, rate| Some(sent(&Job { version, ..job.clone() }, bytes, rate));
    let renew = |fence: u64, second: i64, sent: Option<SentBytes>| {
        let renewal = LeaseRenewal { fence, lease: LEASE, sent, now: at(second) };
        let (store, one) = (store.clone(), one.clone());
        async move { store.renew_job_lease(&one, &job_id(1), &renewal).await.unwrap() }
    };
    assert_eq!(renew(1, 20, progress(2, 500, 80)).await, Changed::Yes);
    let renewed = Job { state: uploading(7, 500), bytes_per_second: Some(80), ..job.clone() };
    let mac = store.find_stored_job(&one, &job_id(1)).await.unwrap().unwrap().row_mac;
    assert_eq!(mac, progress(2, 500, 80).map(|sent| sent.row_mac));
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed.clone()));
    assert_eq!(renew(1, 49, progress(1, 7, 7)).await, Changed::Yes, "the progress of another version");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed.clone()));
    assert_eq!(renew(1, 49, None).await, Changed::Yes, "at the last instant of the lease");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed.clone()));
    assert_eq!(renew(0, 50, progress(2, 1, 1)).await, Changed::No, "another fence");
    assert_eq!(renew(1, 79, progress(2, 1, 1)).await, Changed::No, "the lease has expired");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed));
    let unknown = LeaseRenewal { fence: 0, lease: LEASE, sent: None, now: at(3) };
    assert_eq!(store.renew_job_lease(&one, &job_id(9), &unknown).await.unwrap(), Changed::No);
}

pub(crate) async fn a_batch_of_renewals_returns_a_result_for_each(db: &TestDatabase) {
    let store = db.open_with_one_writer().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
        for number in 0..8 {
            insert_job(&*store, account, number, 1).await;
            let started = update(job(account, number, 1), 1, uploading(7, 0), 2);
            lease(&*store, account, number, &terms(0, 2)).await;
            write(&*store, started).await;
        }
    }
    let renewals = (0..24).map(|number| {
        let account = if number % 3 == 0 { &one } else { &two };
        let fence = if number % 4 == 1 { 2 } else { 1 };
        let job = Job { version: 2, ..job(account, number / 2, 1) };
        let sent = (number % 2 == 0).then(|| sent(&job, u64::from(number), 5));
        let renewal = LeaseRenewal { fence, lease: LEASE, sent, now: at(3) };
        let store = store.clone();
        async move { store.renew_job_lease(account, &job_id(number / 2), &renewal).await.unwrap() }
    });
    let answers = db.together(&store, renewals).await;
    for (number, answer) in (0_u32..).zip(answers) {
        let is_valid = number % 4 != 1 && number / 2 < 8;
        assert_eq!(answer, if is_valid { Changed::Yes } else { Changed::No }, "{number}");
    }
    for (account, number, sent) in [(&one, 0, 0), (&two, 1, 2), (&one, 3, 6), (&two, 7, 14), (&one, 7, 0)] {
        let found = store.find_job(account, &job_id(number)).await.unwrap().unwrap();
        assert_eq!(found.state, uploading(7, sent), "{account} {number}");
    }
}

pub(crate) async fn an_update_without_the_lease_writes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let try_update = |fence: u64, second: i64| {
        let mut change = update(job.clone(), fence, uploading(7, 0), second);
        change.link = SealedPart::Replaced(sealed(5));
        change.request = SealedPart::Wiped;
        change.event = Some(service_event(&one, 70));
        let (store, one) = (store.clone(), one.clone());
        async move { store.update_job(&one, change).await.unwrap() }
    };
    assert_eq!(try_update(0, 3).await, Changed::No);
    assert_eq!(try_update(2, 3).await, Changed::No);
    assert_eq!(
        try_update(1, 32).await,
        Changed::No,
        "the lease has expired, though no other worker took one"
    );
    let again = lease(&*store, &one, 1, &terms(1, 32)).await;
    assert_eq!(try_update(1, 33).await, Changed::No);
    assert_eq!((again.job, again.request, again.link), (job.clone(), Some(sealed(100)), None));
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job.clone()));
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
    let unknown = update(super::job_samples::job(&one, 9, 1), 0, uploading(7, 0), 3);
    assert_eq!(store.update_job(&one, unknown).await.unwrap(), Changed::No);
    let two = insert_account(&*store, 2).await;
    let of_other_account = update(job, 2, uploading(7, 0), 33);
    assert_eq!(store.update_job(&two, of_other_account).await.unwrap(), Changed::No);
}

pub(crate) async fn an_update_sets_the_lease_and_when_the_job_is_due(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let mut kept = update(job, 1, uploading(7, 0), 10);
    kept.job.retry = RetryState {
        count: 3,
        last_progress_at: at(9),
        refused_since: Some(at(7)),
        missing_since: Some(at(8)),
    };
    kept.job.warnings = vec!["one".to_owned(), "two".to_owned()];
    let job = write(&*store, kept).await;
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job.clone()));
    assert_eq!((due(&*store, 39, 9).await, due(&*store, 40, 9).await), (vec![], vec![(1, 1)]));
    let released = update(job, 1, JobState::Queued(Queued::default()), 20);
    let (due_in, lease_after) = (Some(Duration::from_secs(5)), LeaseAfter::Released);
    let job = write(&*store, crate::JobUpdate { due_in, lease: lease_after, ..released }).await;
    assert_eq!((due(&*store, 24, 9).await, due(&*store, 25, 9).await), (vec![], vec![(1, 1)]));
    let late = update(job.clone(), 1, uploading(7, 0), 21);
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "the lease was released");
    lease(&*store, &one, 1, &terms(1, 25)).await;
    let ended = JobState::Cancelled(Cancelled { target: None, size: Some(1_000) });
    let job = write(&*store, update(job, 2, ended, 26)).await;
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job));
    assert_eq!(due(&*store, 100_000, 9).await, [], "it has ended");
    assert_eq!(store.lease_job(&one, &job_id(1), &terms(2, 100_000)).await.unwrap(), None);
}

/// An upload that has started continues while its connection is unhealthy.
pub(crate) async fn uploads_of_a_connection_are_put_off_by_whether_they_have_started(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=2 {
        insert_connection(&*store, &one, number, &format!("c{number}")).await.unwrap();
    }
    let started = insert_job(&*store, &one, 1, 1).await;
    for number in 2..=3 {
        insert_job(&*store, &one, number, 1).await;
    }
    insert_job(&*store, &one, 4, 2).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let released = crate::JobUpdate { lease: LeaseAfter::Released, ..update(started, 1, uploading(7, 0), 3) };
    write(&*store, released).await;
    let defer = async |deferred, waiting_for| {
        let (due_in, limit, now) = (Duration::from_secs(100), 10, at(20));
        let deferral = Deferral { deferred, waiting_for, due_in, limit, now };
        store.defer_jobs(&one, &connection_id(1), &deferral).await.unwrap()
    };
    let due_at = async |second| {
        let mut due = due(&*store, second, 9).await;
        due.sort_unstable();
        due
    };
    assert_eq!(due_at(20).await, [(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(defer(Deferred::Queued, WaitingFor::Health).await, 2);
    assert_eq!(due_at(20).await, [(1, 1), (1, 4)]);
    assert_eq!(defer(Deferred::Unfinished, WaitingFor::RateLimit).await, 1);
    assert_eq!(due_at(20).await, [(1, 4)]);
    assert_eq!(store.wake_jobs(&one, &connection_id(1), WaitingFor::Health, at(30)).await.unwrap(), 2);
    assert_eq!(due_at(30).await, [(1, 2), (1, 3), (1, 4)]);
    assert_eq!(due_at(120).await, [(1, 1), (1, 2), (1, 3), (1, 4)]);
}

pub(crate) async fn an_update_by_version_revokes_the_lease(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let job = write(&*store, update(job, 1, uploading(7, 0), 3)).await;
    let video = Some(VideoNumber::from_stored(7));
    let cleaning_up = job.cancel().unwrap();
    let mut cancelling = update(job.clone(), 0, cleaning_up, 4);
    cancelling.event = Some(service_event(&one, 80));
    cancelling.guard = JobGuard::Version(1);
    assert_eq!(store.update_job(&one, cancelling.clone()).await.unwrap(), Changed::No);
    cancelling.guard = JobGuard::Version(2);
    let cancelled = write(&*store, cancelling.clone()).await;
    assert_eq!(store.find_job(&one, &job.id).await.unwrap(), Some(cancelled.clone()));
    assert_eq!(store.update_job(&one, cancelling).await.unwrap(), Changed::No, "a second time");
    let late = update(job, 1, uploading(7, 500), 5);
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "the worker has lost its lease");
    let renewal = LeaseRenewal { fence: 1, lease: LEASE, sent: None, now: at(5) };
    assert_eq!(store.renew_job_lease(&one, &job_id(1), &renewal).await.unwrap(), Changed::No);
    assert_eq!(due(&*store, 5, 9).await, [(1, 1)], "the lease is released");
    let leased = lease(&*store, &one, 1, &terms(2, 5)).await;
    assert_eq!(leased.job, cancelled);
    let JobState::CleaningUp(cleaning) = leased.job.state.clone() else { panic!("{leased:?}") };
    write(&*store, update(leased.job, 3, cleaning.ended(video.map(Into::into)), 6)).await;
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 4);
}

/// Neither kind of work counts against the limits of the other.
pub(crate) async fn uploads_and_webhooks_have_separate_lease_limits(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    for number in 1..=6 {
        let webhook = Webhook::Waiting { attempts: 0 };
        let new = Job { webhook, ..job(&one, number, 1) };
        store.insert_job(&one, new_job(new.clone(), 2)).await.unwrap();
        if number <= 3 {
            lease(&*store, &one, number, &terms(0, 2)).await;
            let ended = JobState::Cancelled(Cancelled { target: None, size: None });
            let mut waiting = update(new, 1, ended, 3);
            (waiting.lease, waiting.due_in) = (LeaseAfter::Released, Some(Duration::ZERO));
            write(&*store, waiting).await;
        }
    }
    assert_eq!(due_for(&*store, Work::Webhook, 4, 9).await, [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(due(&*store, 4, 9).await, [(1, 4), (1, 5), (1, 6)]);
    for (per_account, per_connection) in [(2, 9), (9, 2)] {
        let second = if per_account == 2 { 5 } else { 50 };
        let fences = if per_account == 2 { (1, 0) } else { (2, 1) };
        let mut leased = Vec::new();
        for number in 1..=6 {
            let fence = if number <= 3 { fences.0 } else { fences.1 };
            let terms = LeaseTerms { per_account, per_connection, ..terms(fence, second) };
            leased.push(store.lease_job(&one, &job_id(number), &terms).await.unwrap().is_some());
        }
        assert_eq!(leased, [true, true, false, true, true, false]);
    }
}
