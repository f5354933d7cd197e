//! The cases of jobs: who works on which, and what becomes of them.

use std::time::Duration;

use domain::idempotency::{
    IdempotencyKey, Operation, RequestMac, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use domain::job::{Cancelled, Job, JobState, Queued, RetryState, Webhook};
use domain::video::VideoNumber;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::TestDatabase as Place;
use super::job_samples::{
    LEASE, any_job, connection_id, insert_job, job, job_id, lease, new_job, sealed, sent, service_event,
    terms, update, uploading, write,
};
use super::samples::{actor, all, at, event, insert_account, insert_connection, key_row, operation_id};
use crate::{
    Changed, Completion, Error, JobFilter, JobGuard, JobStart, LeaseAfter, LeaseRenewal, LeaseTerms, NewJob,
    SealedPart, SentBytes, Store, Work,
};

/// Uploads that are known by their numbers, as they are due: those of account 1 first.
async fn due(store: &dyn Store, second: i64, limit: u32) -> Vec<(u8, u32)> {
    due_for(store, Work::Upload, second, limit).await
}

async fn due_for(store: &dyn Store, work: Work, second: i64, limit: u32) -> Vec<(u8, u32)> {
    let due = store.list_due_jobs(at(second), work, &super::job_samples::at_most(limit)).await.unwrap();
    let number = |due: crate::DueJob| {
        let account = (1..9).find(|number| super::samples::account(*number).id == due.account_id).unwrap();
        (account, (0..99).find(|number| job_id(*number) == due.id).unwrap())
    };
    due.into_iter().map(number).collect()
}

fn reservation(attempt: u64) -> Reservation {
    let key = IdempotencyKey::parse("k").unwrap();
    Reservation { operation: Operation::CreateUpload, key, attempt }
}

async fn reserve(store: &dyn Store, account: &domain::id::AccountId, second: i64) -> Reserved {
    let request = ReserveRequest {
        operation_id: operation_id(),
        operation: Operation::CreateUpload,
        key: reservation(1).key,
        mac: RequestMac([1; 32]),
        at: at(second),
    };
    store.reserve_idempotency_key(account, &request).await.unwrap()
}

fn completion(attempt: u64, second: i64) -> Completion {
    let answer = StoredResponse(b"made".to_vec());
    Completion { reservation: reservation(attempt), answer, at: at(second) }
}

pub(crate) async fn every_job_is_read_back_as_it_was_stored(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let mut runner = TestRunner::deterministic();
    for number in 1..60 {
        let any = any_job().new_tree(&mut runner).unwrap().current();
        let before = Job { id: job_id(number), ..any };
        let new = NewJob { start: JobStart::Leased(LEASE), ..new_job(before.clone(), 2) };
        store.insert_job(&one, new).await.unwrap();
        assert_eq!(store.find_job(&one, &before.id).await.unwrap(), Some(before.clone()));
        let any = any_job().new_tree(&mut runner).unwrap().current();
        // What never changes is as it was, whatever a settlement says.
        let mut after = Job { id: before.id.clone(), version: before.version + 1, ..any };
        let mut settlement = update(before.clone(), 1, after.state.clone(), 3);
        settlement.job = after.clone();
        write(&*store, settlement).await;
        (after.source, after.created_at) = (before.source, before.created_at);
        assert_eq!(store.find_job(&one, &before.id).await.unwrap(), Some(after));
    }
}

pub(crate) async fn a_job_is_refused_where_a_connection_or_a_right_is_missing(place: &Place) {
    let store = place.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let refused = store.insert_job(&one, new_job(job(&one, 1, 9), 2)).await;
    assert!(matches!(refused, Err(Error::NotFound)), "{refused:?}");
    let refused = store.insert_job(&two, new_job(job(&two, 1, 1), 2)).await;
    assert!(matches!(refused, Err(Error::NotFound)), "another account's connection: {refused:?}");
    let mut lost = NewJob { completion: Some(completion(1, 2)), ..new_job(job(&one, 1, 9), 2) };
    let refused = store.insert_job(&one, lost.clone()).await;
    assert!(matches!(refused, Err(Error::ReservationLost)), "{refused:?}");
    lost.event.actor = actor(&key_row(&one, 99));
    let refused = store.insert_job(&one, lost).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    let gone = super::samples::account(3).id;
    let refused = store.insert_job(&gone, new_job(job(&gone, 1, 1), 2)).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(store.list_jobs(&one, &JobFilter::default(), 9).await.unwrap(), []);
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 2, "the account's, the connection's");
    assert_eq!(store.list_audit_events(&two, 9).await.unwrap().len(), 1);
}

pub(crate) async fn a_request_is_completed_with_its_job_and_its_repetition_is_answered(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    assert_eq!(reserve(&*store, &one, 0).await, Reserved::Acquired(reservation(1)));
    let new = |number: u32, attempt: u64| NewJob {
        completion: Some(completion(attempt, 2)),
        start: JobStart::Leased(LEASE),
        ..new_job(job(&one, number, 1), 2)
    };
    store.insert_job(&one, new(1, 1)).await.unwrap();
    assert_eq!(reserve(&*store, &one, 3).await, Reserved::Completed(StoredResponse(b"made".to_vec())));
    let refused = store.insert_job(&one, new(2, 1)).await;
    assert!(matches!(refused, Err(Error::ReservationLost)), "{refused:?}");
    assert_eq!(store.find_job(&one, &job_id(2)).await.unwrap(), None);
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 3);
}

pub(crate) async fn a_settlement_completes_a_request_or_writes_nothing(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let held = job(&one, 1, 1);
    let new = NewJob { start: JobStart::Leased(LEASE), ..new_job(held.clone(), 2) };
    store.insert_job(&one, new).await.unwrap();
    let mut settlement = update(held.clone(), 1, uploading(7, 0), 3);
    settlement.event = Some(service_event(&one, 50));
    settlement.completion = Some(completion(1, 3));
    settlement.link = SealedPart::Replaced(sealed(3));
    let refused = store.update_job(&one, settlement.clone()).await;
    assert!(matches!(refused, Err(Error::ReservationLost)), "{refused:?}");
    let mut by_key = settlement.clone();
    by_key.event = Some(event(&one, 51, actor(&key_row(&one, 99)), "job"));
    let refused = store.update_job(&one, by_key).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(store.find_job(&one, &held.id).await.unwrap(), Some(held.clone()));
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 3);
    assert_eq!(reserve(&*store, &one, 3).await, Reserved::Acquired(reservation(1)));
    let after = write(&*store, settlement).await;
    assert_eq!(store.find_job(&one, &held.id).await.unwrap(), Some(after));
    assert_eq!(reserve(&*store, &one, 4).await, Reserved::Completed(StoredResponse(b"made".to_vec())));
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 4);
}

pub(crate) async fn jobs_are_due_in_turns_of_their_accounts(place: &Place) {
    let store = place.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
    }
    for (account, number, second) in [(&one, 4, 3), (&one, 1, 5), (&one, 2, 4), (&one, 3, 9), (&two, 7, 8)] {
        store.insert_job(account, new_job(job(account, number, 1), second)).await.unwrap();
    }
    assert_eq!(due(&*store, 2, 9).await, []);
    assert_eq!(due(&*store, 3, 9).await, [(1, 4)], "at the very instant");
    assert_eq!(due(&*store, 9, 9).await, [(1, 4), (2, 7), (1, 2), (1, 1), (1, 3)]);
    assert_eq!(due(&*store, 9, 2).await, [(1, 4), (2, 7)]);
    lease(&*store, &one, 4, &terms(0, 9)).await;
    let held = "the one that is held is nobody's, and is its account's turn";
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 2), (1, 1), (1, 3)], "{held}");
    // Connections take turns, and what was begun comes before what is new.
    insert_connection(&*store, &one, 2, "d").await.unwrap();
    store.insert_job(&one, new_job(job(&one, 5, 2), 9)).await.unwrap();
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 2), (1, 5), (1, 1), (1, 3)]);
    let mut begun = update(job(&one, 4, 1), 1, uploading(3, 0), 9);
    (begun.lease, begun.due_in) = (LeaseAfter::Released, Some(Duration::ZERO));
    write(&*store, begun).await;
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 4), (1, 5), (1, 2), (1, 1), (1, 3)]);
    lease(&*store, &one, 4, &terms(1, 9)).await;
    let found = store.list_due_jobs(at(9 + 30), Work::Upload, &super::job_samples::at_most(9)).await.unwrap();
    let again = found.iter().find(|due| due.id == job_id(4)).unwrap();
    assert_eq!(again.fence, 2, "the lease is over");
    assert_eq!((&again.account_id, &again.connection_id), (&one, &connection_id(1)));
}

pub(crate) async fn a_job_has_one_lease_at_a_time_and_a_fence_that_grows(place: &Place) {
    let store = place.open().await;
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
    assert_eq!(take(1, 31).await, None, "it is held to its last instant");
    assert_eq!(take(1, 32).await.unwrap().fence, 2);
    assert_eq!(take(1, 99).await, None, "who saw it before");
    let two = insert_account(&*store, 2).await;
    assert_eq!(store.lease_job(&two, &job_id(1), &terms(2, 99)).await.unwrap(), None);
    assert_eq!(store.find_job(&two, &job_id(1)).await.unwrap(), None);
}

pub(crate) async fn a_job_that_is_held_from_its_beginning_is_found_when_that_is_over(place: &Place) {
    let store = place.open().await;
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

pub(crate) async fn no_more_run_than_an_account_and_a_connection_may(place: &Place) {
    let store = place.open().await;
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
    // 1, 3 and 5 go through one connection, 2, 4 and 6 through the other.
    assert!(take(1, 0, 2).await);
    assert!(take(3, 0, 3).await);
    assert!(!take(5, 0, 3).await, "two of the connection are running");
    assert!(take(2, 0, 3).await);
    assert!(!take(4, 0, 3).await, "three of the account are running");
    assert!(take(4, 0, 32).await, "the first lease is over");
    let given_back = update(job(&one, 3, 2), 1, uploading(7, 0), 4);
    write(&*store, crate::JobUpdate { lease: LeaseAfter::Released, ..given_back }).await;
    assert!(take(5, 0, 32).await, "and another was given back");
    assert!(!take(6, 0, 32).await);
    // Many at once.
    let took = all((1..=6).map(|number| {
        let terms = LeaseTerms { per_account: 3, per_connection: 2, ..terms(0, 60) };
        let (store, two) = (store.clone(), two.clone());
        async move { store.lease_job(&two, &job_id(number), &terms).await.unwrap().is_some() }
    }))
    .await;
    assert_eq!(took.into_iter().filter(|is_leased| *is_leased).count(), 2);
}

pub(crate) async fn a_renewal_keeps_the_lease_and_what_was_sent(place: &Place) {
    let store = place.open().await;
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
    assert_eq!(renew(1, 49, None).await, Changed::Yes, "to the last moment");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed.clone()));
    assert_eq!(renew(0, 50, progress(2, 1, 1)).await, Changed::No, "another fence");
    assert_eq!(renew(1, 79, progress(2, 1, 1)).await, Changed::No, "it is over");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(renewed));
    let unknown = LeaseRenewal { fence: 0, lease: LEASE, sent: None, now: at(3) };
    assert_eq!(store.renew_job_lease(&one, &job_id(9), &unknown).await.unwrap(), Changed::No);
}

pub(crate) async fn many_renewals_are_answered_each_by_itself(place: &Place) {
    let store = place.open_with_one_writer().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
        for number in 0..8 {
            insert_job(&*store, account, number, 1).await;
            let sending = update(job(account, number, 1), 1, uploading(7, 0), 2);
            lease(&*store, account, number, &terms(0, 2)).await;
            write(&*store, sending).await;
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
    let answers = place.together(&store, renewals).await;
    for (number, answer) in (0_u32..).zip(answers) {
        let is_good = number % 4 != 1 && number / 2 < 8;
        assert_eq!(answer, if is_good { Changed::Yes } else { Changed::No }, "{number}");
    }
    for (account, number, sent) in [(&one, 0, 0), (&two, 1, 2), (&one, 3, 6), (&two, 7, 14), (&one, 7, 0)] {
        let found = store.find_job(account, &job_id(number)).await.unwrap().unwrap();
        assert_eq!(found.state, uploading(7, sent), "{account} {number}");
    }
}

pub(crate) async fn who_lost_the_lease_settles_nothing(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let refuse = |fence: u64, second: i64| {
        let mut settlement = update(job.clone(), fence, uploading(7, 0), second);
        settlement.link = SealedPart::Replaced(sealed(5));
        settlement.request = SealedPart::Wiped;
        settlement.event = Some(service_event(&one, 70));
        let (store, one) = (store.clone(), one.clone());
        async move { store.update_job(&one, settlement).await.unwrap() }
    };
    assert_eq!(refuse(0, 3).await, Changed::No);
    assert_eq!(refuse(2, 3).await, Changed::No);
    assert_eq!(refuse(1, 32).await, Changed::No, "nobody took it, and yet it is over");
    let again = lease(&*store, &one, 1, &terms(1, 32)).await;
    assert_eq!(refuse(1, 33).await, Changed::No);
    assert_eq!((again.job, again.request, again.link), (job.clone(), Some(sealed(100)), None));
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job.clone()));
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 3);
    let unknown = update(super::job_samples::job(&one, 9, 1), 0, uploading(7, 0), 3);
    assert_eq!(store.update_job(&one, unknown).await.unwrap(), Changed::No);
    let two = insert_account(&*store, 2).await;
    let strangers = update(job, 2, uploading(7, 0), 33);
    assert_eq!(store.update_job(&two, strangers).await.unwrap(), Changed::No);
}

pub(crate) async fn a_settlement_says_when_the_job_is_due_and_who_holds_it(place: &Place) {
    let store = place.open().await;
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
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "it was given back");
    lease(&*store, &one, 1, &terms(1, 25)).await;
    let over = JobState::Cancelled(Cancelled { video: None, size: Some(1_000) });
    let job = write(&*store, update(job, 2, over, 26)).await;
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job));
    assert_eq!(due(&*store, 100_000, 9).await, [], "never again");
    assert_eq!(store.lease_job(&one, &job_id(1), &terms(2, 100_000)).await.unwrap(), None);
}

pub(crate) async fn a_settlement_of_a_version_takes_the_lease_from_its_holder(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let job = write(&*store, update(job, 1, uploading(7, 0), 3)).await;
    let video = Some(VideoNumber::from_stored(7));
    let abandoned = job.cancel().unwrap();
    let mut cancelling = update(job.clone(), 0, abandoned, 4);
    cancelling.event = Some(service_event(&one, 80));
    cancelling.guard = JobGuard::Version(1);
    assert_eq!(store.update_job(&one, cancelling.clone()).await.unwrap(), Changed::No);
    cancelling.guard = JobGuard::Version(2);
    let cancelled = write(&*store, cancelling.clone()).await;
    assert_eq!(store.find_job(&one, &job.id).await.unwrap(), Some(cancelled.clone()));
    assert_eq!(store.update_job(&one, cancelling).await.unwrap(), Changed::No, "a second time");
    let late = update(job, 1, uploading(7, 500), 5);
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "the holder has lost it");
    let renewal = LeaseRenewal { fence: 1, lease: LEASE, sent: None, now: at(5) };
    assert_eq!(store.renew_job_lease(&one, &job_id(1), &renewal).await.unwrap(), Changed::No);
    assert_eq!(due(&*store, 5, 9).await, [(1, 1)], "it is free");
    let leased = lease(&*store, &one, 1, &terms(2, 5)).await;
    assert_eq!(leased.job, cancelled);
    let JobState::CleaningUp(abandoning) = leased.job.state.clone() else { panic!("{leased:?}") };
    write(&*store, update(leased.job, 3, abandoning.ended(video), 6)).await;
    assert_eq!(store.list_audit_events(&one, 9).await.unwrap().len(), 4);
}

pub(crate) async fn what_waits_for_its_webhook_is_due_though_it_is_over(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let mut job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    job.webhook = Webhook::Waiting { attempts: 2 };
    let over = JobState::Cancelled(Cancelled { video: None, size: None });
    let mut waiting = update(job, 1, over.clone(), 3);
    (waiting.due_in, waiting.lease) = (Some(Duration::from_mins(1)), LeaseAfter::Released);
    let mut job = write(&*store, waiting).await;
    assert_eq!(
        (due_for(&*store, Work::Webhook, 62, 9).await, due_for(&*store, Work::Webhook, 63, 9).await),
        (vec![], vec![(1, 1)])
    );
    assert_eq!(lease(&*store, &one, 1, &terms(1, 63)).await.job, job);
    job.webhook = Webhook::Delivered;
    write(&*store, update(job, 2, over, 64)).await;
    assert_eq!(due_for(&*store, Work::Webhook, 100_000, 9).await, []);
}

pub(crate) async fn jobs_are_listed_from_the_newest_on_and_by_connection(place: &Place) {
    let store = place.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for (account, connection) in [(&one, 1), (&one, 2), (&two, 1)] {
        insert_connection(&*store, account, connection, &format!("c {connection}")).await.unwrap();
    }
    for number in [3, 1, 2, 5, 4] {
        insert_job(&*store, &one, number, 1 + number % 2).await;
    }
    insert_job(&*store, &two, 9, 1).await;
    let list = |connection: Option<u32>, before: Option<u32>, limit: u32| {
        let filter = JobFilter { connection_id: connection.map(connection_id), before: before.map(job_id) };
        let (store, one) = (store.clone(), one.clone());
        async move {
            let jobs = store.list_jobs(&one, &filter, limit).await.unwrap();
            assert!(jobs.iter().all(|found| found.account_id == one));
            let number = |found: &Job| (0..99).find(|number| job_id(*number) == found.id).unwrap();
            jobs.iter().map(number).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(None, None, 9).await, [5, 4, 3, 2, 1]);
    assert_eq!(list(None, None, 2).await, [5, 4]);
    assert_eq!(list(None, Some(4), 2).await, [3, 2]);
    assert_eq!(list(None, Some(1), 2).await, Vec::<u32>::new());
    assert_eq!(list(Some(2), None, 9).await, [5, 3, 1]);
    assert_eq!(list(Some(2), Some(4), 1).await, [3]);
    assert_eq!(list(Some(1), Some(9), 9).await, [4, 2]);
    assert_eq!(list(Some(7), None, 9).await, Vec::<u32>::new());
    assert_eq!(list(None, None, 0).await, Vec::<u32>::new());
}

/// Neither kind of work takes what the limits leave to the other.
pub(crate) async fn uploads_and_webhooks_are_leased_apart(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    for number in 1..=6 {
        let webhook = Webhook::Waiting { attempts: 0 };
        let new = Job { webhook, ..job(&one, number, 1) };
        store.insert_job(&one, new_job(new.clone(), 2)).await.unwrap();
        if number <= 3 {
            lease(&*store, &one, number, &terms(0, 2)).await;
            let ended = JobState::Cancelled(Cancelled { video: None, size: None });
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
