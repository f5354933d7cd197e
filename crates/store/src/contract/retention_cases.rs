//! Deletion by age, its leases, and what a failed job keeps for a retry.

use std::time::Duration;

use domain::audit::Actor;
use domain::id::AccountId;
use domain::job::{Completed, Failed, Failure, FailureCode, Job, JobState, Webhook};
use domain::video::VideoNumber;

use super::TestDatabase;
use super::job_samples::{
    connection_id, insert_job, job, job_id, lease, new_job, sealed, terms, update, uploading, write,
};
use super::job_secret_cases::keys;
use super::samples::{at, event, insert_account, insert_connection};
use crate::{AccountDeletion, Changed, Error, Expired, JobFilter, LeaseAfter, SealedPart, Store, SweepLease};

const MINUTE: Duration = Duration::from_mins(1);

fn failed() -> JobState {
    let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
    JobState::Failed(Failed { failure, target: None, kept: None, size: None })
}

fn completed() -> JobState {
    let (video, link) = (VideoNumber::from_stored(7), "https://vimeo.com/7".to_owned());
    JobState::Completed(Completed { video, size: 9, link, player: None })
}

/// Adds a job through the first connection that ends at this second.
async fn insert_ended(store: &dyn Store, account: &AccountId, number: u32, state: JobState, second: i64) {
    let new = insert_job(store, account, number, 1).await;
    lease(store, account, number, &terms(0, 2)).await;
    let request = if state == failed() { SealedPart::Retained } else { SealedPart::Wiped };
    write(store, crate::JobUpdate { request, ..update(new, 1, state, second) }).await;
}

fn after_a_minute(second: i64, limit: u32) -> Expired {
    Expired { kept: MINUTE, limit, now: at(second) }
}

async fn numbers(store: &dyn Store, account: &AccountId) -> Vec<u32> {
    let jobs = store.list_jobs(account, &JobFilter::default(), 99).await.unwrap();
    let mut numbers: Vec<_> =
        jobs.iter().map(|job| (0..99).find(|number| job_id(*number) == job.id).unwrap()).collect();
    numbers.reverse();
    numbers
}

pub(crate) async fn a_sweep_has_one_lease_at_a_time_and_its_fence_increases(db: &TestDatabase) {
    let stores = [db.open().await, db.open().await];
    let lasts = Duration::from_secs(30);
    assert_eq!(stores[0].lease_sweep("jobs", lasts, at(0)).await.unwrap(), Some(1));
    assert_eq!(stores[1].lease_sweep("jobs", lasts, at(29)).await.unwrap(), None);
    assert_eq!(stores[1].lease_sweep("others", lasts, at(29)).await.unwrap(), Some(1));
    let renewal = |fence, second| SweepLease { fence, lasts, now: at(second) };
    assert_eq!(stores[0].renew_sweep_lease("jobs", &renewal(1, 29)).await.unwrap(), Changed::Yes);
    assert_eq!(stores[0].renew_sweep_lease("jobs", &renewal(2, 29)).await.unwrap(), Changed::No);
    assert_eq!(stores[1].lease_sweep("jobs", lasts, at(58)).await.unwrap(), None, "it was renewed");
    assert_eq!(stores[1].lease_sweep("jobs", lasts, at(59)).await.unwrap(), Some(2));
    assert_eq!(stores[0].renew_sweep_lease("jobs", &renewal(1, 60)).await.unwrap(), Changed::No);
    assert_eq!(stores[1].renew_sweep_lease("jobs", &renewal(2, 89)).await.unwrap(), Changed::No, "expired");
    assert_eq!(stores[0].renew_sweep_lease("none", &renewal(1, 0)).await.unwrap(), Changed::No);
}

pub(crate) async fn ended_jobs_are_deleted_in_pieces_when_they_are_old_enough(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
        insert_ended(&*store, account, 1, completed(), 10).await;
        insert_ended(&*store, account, 2, failed(), 11).await;
        insert_ended(&*store, account, 3, failed(), 13).await;
        insert_job(&*store, account, 4, 1).await;
        // It has ended, and its webhook is not delivered.
        let new = Job { webhook: Webhook::Waiting { attempts: 0 }, ..job(account, 5, 1) };
        store.insert_job(account, new_job(new.clone(), 2)).await.unwrap();
        lease(&*store, account, 5, &terms(0, 2)).await;
        let ended = update(new, 1, completed(), 5);
        write(&*store, crate::JobUpdate { due_in: Some(MINUTE), ..ended }).await;
        // The same, handed over to a delivery.
        let new = Job { webhook: Webhook::Waiting { attempts: 0 }, ..job(account, 6, 1) };
        store.insert_job(account, new_job(new.clone(), 2)).await.unwrap();
        lease(&*store, account, 6, &terms(0, 2)).await;
        write(&*store, crate::JobUpdate { due_in: None, ..update(new, 1, completed(), 5) }).await;
    }
    let before = [1, 1, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100];
    assert_eq!(keys(db).await, before, "two connections, and five requests of each account");
    assert_eq!(store.delete_ended_jobs(&after_a_minute(69, 9)).await.unwrap(), 0);
    let mut deleted = Vec::new();
    while deleted.last() != Some(&0) {
        deleted.push(store.delete_ended_jobs(&after_a_minute(72, 3)).await.unwrap());
    }
    assert_eq!(deleted, [3, 1, 0]);
    for account in [&one, &two] {
        assert_eq!(numbers(&*store, account).await, [3, 4, 5, 6]);
    }
    assert_eq!(keys(db).await, [1, 1, 100, 100, 100, 100, 100, 100, 100, 100]);
    assert_eq!(store.delete_ended_jobs(&after_a_minute(73, 9)).await.unwrap(), 2);
    assert_eq!(numbers(&*store, &one).await, [4, 5, 6]);
    assert_eq!(keys(db).await, [1, 1, 100, 100, 100, 100, 100, 100]);
}

pub(crate) async fn a_kept_request_is_wiped_when_it_is_old_enough(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    insert_ended(&*store, &one, 1, completed(), 10).await;
    for (number, second) in [(2, 11), (3, 12), (4, 14)] {
        insert_ended(&*store, &one, number, failed(), second).await;
    }
    insert_job(&*store, &one, 5, 1).await;
    let kept = async || {
        let mut kept = Vec::new();
        for number in 1..=5 {
            let stored = store.find_stored_job(&one, &job_id(number)).await.unwrap().unwrap();
            kept.extend(stored.request.map(|request| (number, request)));
        }
        assert!(kept.iter().all(|(_, request)| *request == sealed(100)));
        kept.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(kept().await, [2, 3, 4, 5]);
    assert_eq!(store.wipe_kept_requests(&after_a_minute(70, 9)).await.unwrap(), 0);
    assert_eq!(store.wipe_kept_requests(&after_a_minute(72, 1)).await.unwrap(), 1);
    assert_eq!(kept().await, [3, 4, 5]);
    assert_eq!(store.wipe_kept_requests(&after_a_minute(72, 9)).await.unwrap(), 1);
    assert_eq!(store.wipe_kept_requests(&after_a_minute(72, 9)).await.unwrap(), 0);
    assert_eq!(kept().await, [4, 5]);
    assert_eq!(keys(db).await, [1, 100, 100]);
    assert_eq!(numbers(&*store, &one).await, [1, 2, 3, 4, 5], "the jobs themselves stay");
}

pub(crate) async fn a_kept_request_is_wiped_with_its_connection_or_account(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        for connection in [1, 2] {
            insert_connection(&*store, account, connection, &format!("c {connection}")).await.unwrap();
        }
        insert_ended(&*store, account, 1, failed(), 10).await;
        insert_job(&*store, account, 2, 2).await;
    }
    assert_eq!(keys(db).await, [1, 1, 2, 2, 100, 100, 100, 100]);
    let deletion = event(&one, 500, Actor::Operator, "c 1");
    assert_eq!(store.delete_connection(&one, &connection_id(1), &deletion).await.unwrap(), Changed::Yes);
    let stored = store.find_stored_job(&one, &job_id(1)).await.unwrap().unwrap();
    assert_eq!((stored.request, stored.job.is_connection_deleted), (None, false));
    assert_eq!(keys(db).await, [1, 2, 2, 100, 100, 100]);
    let event = event(&two, 999, Actor::Operator, "account");
    assert_eq!(store.delete_account_part(&two, 9, &event).await.unwrap(), AccountDeletion::Done);
    assert_eq!(keys(db).await, [2, 100]);
}

/// A webhook outlives its connection: once it is delivered, nothing is kept.
pub(crate) async fn nothing_is_kept_for_a_retry_without_the_connection(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let new = Job { webhook: Webhook::Waiting { attempts: 0 }, ..job(&one, 1, 1) };
    store.insert_job(&one, new_job(new.clone(), 2)).await.unwrap();
    lease(&*store, &one, 1, &terms(0, 2)).await;
    let mut ended = update(new, 1, failed(), 3);
    (ended.due_in, ended.lease) = (Some(Duration::ZERO), LeaseAfter::Kept(MINUTE));
    let ended = write(&*store, ended).await;
    let deletion = event(&one, 500, Actor::Operator, "c");
    assert_eq!(store.delete_connection(&one, &connection_id(1), &deletion).await.unwrap(), Changed::Yes);
    assert_eq!(keys(db).await, [100], "the webhook needs it");
    let delivered = Job { webhook: Webhook::Delivered, ..ended };
    let state = delivered.state.clone();
    let delivered = crate::JobUpdate { request: SealedPart::Retained, ..update(delivered, 1, state, 4) };
    write(&*store, delivered).await;
    assert_eq!(keys(db).await, Vec::<u8>::new());
}

pub(crate) async fn a_job_is_retried_once(db: &TestDatabase) {
    let stores = [db.open().await, db.open().await];
    let (one, two) = (insert_account(&*stores[0], 1).await, insert_account(&*stores[0], 2).await);
    for account in [&one, &two] {
        insert_connection(&*stores[0], account, 1, "c").await.unwrap();
        insert_ended(&*stores[0], account, 1, failed(), 10).await;
    }
    let retry = |account: &AccountId, number| Job { retry_of: Some(job_id(1)), ..job(account, number, 1) };
    assert_eq!(stores[0].find_retry(&one, &job_id(1)).await.unwrap(), None);
    let inserting = (0..8_u32).map(|number| {
        let (store, one) = (&stores[number as usize % 2], &one);
        async move { store.insert_job(one, new_job(retry(one, 10 + number), 20)).await }
    });
    let inserted = super::samples::all(inserting).await;
    assert_eq!(inserted.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refused in inserted.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Error::AlreadyRetried), "{refused:?}");
    }
    let id = stores[1].find_retry(&one, &job_id(1)).await.unwrap().unwrap();
    let again = stores[1].find_job(&one, &id).await.unwrap().unwrap();
    assert_eq!(again.retry_of, Some(job_id(1)));
    assert_eq!(stores[1].find_retry(&one, &id).await.unwrap(), None);
    assert_eq!(stores[1].find_retry(&two, &job_id(1)).await.unwrap(), None, "another account's job");
    stores[1].insert_job(&two, new_job(retry(&two, 30), 20)).await.unwrap();
    let leased = stores[0].lease_job(&one, &id, &terms(0, 20)).await.unwrap().unwrap();
    assert_eq!(leased.job, again);
    let written = write(&*stores[0], update(again, 1, uploading(7, 0), 21)).await;
    assert_eq!(stores[1].find_job(&one, &id).await.unwrap(), Some(written), "an update keeps the reference");
}

pub(crate) async fn two_nodes_that_sweep_at_once_delete_each_job_once(db: &TestDatabase) {
    let stores = [db.open().await, db.open().await];
    let one = insert_account(&*stores[0], 1).await;
    insert_connection(&*stores[0], &one, 1, "c").await.unwrap();
    for number in 1..=40 {
        insert_ended(&*stores[0], &one, number, failed(), 10).await;
    }
    let sweep = async |store: &dyn Store| {
        let mut deleted = Vec::new();
        while deleted.last() != Some(&0) {
            deleted.push(store.delete_ended_jobs(&after_a_minute(70, 3)).await.unwrap());
        }
        deleted.into_iter().sum::<usize>()
    };
    let (left, right) = tokio::join!(sweep(&*stores[0]), sweep(&*stores[1]));
    let rest = sweep(&*stores[0]).await;
    assert_eq!(left + right + rest, 40);
    assert_eq!(numbers(&*stores[0], &one).await, Vec::<u32>::new());
    assert_eq!(keys(db).await, [1]);
}
