//! Jobs: inserting, updating and listing them.

use std::time::Duration;

use domain::idempotency::{
    IdempotencyKey, Operation, RequestMac, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use domain::job::{Cancelled, Job, JobState, Webhook};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::TestDatabase;
use super::job_samples::{
    LEASE, any_job, connection_id, due, due_for, insert_job, job, job_id, lease, mac, new_job, sealed,
    service_event, terms, update, uploading, write,
};
use super::samples::{actor, at, event, insert_account, insert_connection, key_row, operation_id};
use crate::{Completion, Error, JobFilter, JobStart, LeaseAfter, NewJob, SealedPart, Store, Work};

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
        other_macs: Vec::new(),
        at: at(second),
    };
    store.reserve_idempotency_key(account, &request).await.unwrap()
}

fn completion(attempt: u64, second: i64) -> Completion {
    let answer = StoredResponse(b"made".to_vec());
    Completion { reservation: reservation(attempt), answer, at: at(second) }
}

/// Else a caller would take its own job for one that was changed in the database.
pub(crate) async fn a_job_and_its_mac_are_read_together(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let inserted = insert_job(&*store, &one, 1, 1).await;
    let leased = lease(&*store, &one, 1, &terms(0, 2)).await;
    let is_done = std::cell::Cell::new(false);
    let updates = async {
        let mut job = leased.job;
        for sent in 1..300 {
            job = write(&*store, update(job, leased.fence, uploading(1, sent), 3)).await;
        }
        is_done.set(true);
    };
    let reads = async {
        let mut reads = 0;
        while !is_done.get() {
            let found = store.find_stored_job(&one, &inserted.id).await.unwrap().unwrap();
            assert_eq!(found.row_mac, Some(mac(&found.job)), "after {reads} reads");
            reads += 1;
            tokio::task::yield_now().await;
        }
        reads
    };
    let ((), reads) = tokio::join!(updates, reads);
    assert!(reads > 0);
}

pub(crate) async fn every_job_is_read_back_as_it_was_stored(db: &TestDatabase) {
    let store = db.open().await;
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
        // What was created at Vimeo belongs to the video that the job replaces.
        let any = match (before.replaces, any.replaces) {
            (None, None) => any,
            _ => Job {
                // Their sizes are one column.
                facts: before.facts.clone(),
                state: before.state.clone(),
                undeleted: before.undeleted.clone(),
                ..any
            },
        };
        // An update does not change the immutable columns.
        let mut after = Job { id: before.id.clone(), version: before.version + 1, ..any };
        let mut change = update(before.clone(), 1, after.state.clone(), 3);
        change.job = after.clone();
        write(&*store, change).await;
        (after.source, after.created_at) = (before.source, before.created_at);
        (after.replaces, after.request_format) = (before.replaces, before.request_format);
        after.retry_of = before.retry_of;
        assert_eq!(store.find_job(&one, &before.id).await.unwrap(), Some(after));
    }
}

pub(crate) async fn an_insert_without_its_connection_key_or_reservation_is_refused(db: &TestDatabase) {
    let store = db.open().await;
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
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 2, "the account's, the connection's");
    assert_eq!(super::samples::audited(&*store, &two).await.len(), 1);
}

pub(crate) async fn an_idempotent_request_is_completed_with_its_job(db: &TestDatabase) {
    let store = db.open().await;
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
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
}

pub(crate) async fn an_update_completes_a_request_or_writes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let leased = job(&one, 1, 1);
    let new = NewJob { start: JobStart::Leased(LEASE), ..new_job(leased.clone(), 2) };
    store.insert_job(&one, new).await.unwrap();
    let mut change = update(leased.clone(), 1, uploading(7, 0), 3);
    change.event = Some(service_event(&one, 50));
    change.completion = Some(completion(1, 3));
    change.link = SealedPart::Replaced(sealed(3));
    let refused = store.update_job(&one, change.clone()).await;
    assert!(matches!(refused, Err(Error::ReservationLost)), "{refused:?}");
    let mut by_key = change.clone();
    by_key.event = Some(event(&one, 51, actor(&key_row(&one, 99)), "job"));
    let refused = store.update_job(&one, by_key).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(store.find_job(&one, &leased.id).await.unwrap(), Some(leased.clone()));
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
    assert_eq!(reserve(&*store, &one, 3).await, Reserved::Acquired(reservation(1)));
    let after = write(&*store, change).await;
    assert_eq!(store.find_job(&one, &leased.id).await.unwrap(), Some(after));
    assert_eq!(reserve(&*store, &one, 4).await, Reserved::Completed(StoredResponse(b"made".to_vec())));
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 4);
}

pub(crate) async fn due_jobs_alternate_between_accounts_and_connections(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
    }
    for (account, number, second) in [(&one, 4, 3), (&one, 1, 5), (&one, 2, 4), (&one, 3, 9), (&two, 7, 8)] {
        store.insert_job(account, new_job(job(account, number, 1), second)).await.unwrap();
    }
    assert_eq!(due(&*store, 2, 9).await, []);
    assert_eq!(due(&*store, 3, 9).await, [(1, 4)], "at exactly its time");
    assert_eq!(due(&*store, 9, 9).await, [(1, 4), (2, 7), (1, 2), (1, 1), (1, 3)]);
    assert_eq!(due(&*store, 9, 2).await, [(1, 4), (2, 7)]);
    lease(&*store, &one, 4, &terms(0, 9)).await;
    let leased = "a leased job is not due, and counts as its account's first";
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 2), (1, 1), (1, 3)], "{leased}");
    // Connections alternate, and started jobs come before queued ones.
    insert_connection(&*store, &one, 2, "d").await.unwrap();
    store.insert_job(&one, new_job(job(&one, 5, 2), 9)).await.unwrap();
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 2), (1, 5), (1, 1), (1, 3)]);
    let mut started = update(job(&one, 4, 1), 1, uploading(3, 0), 9);
    (started.lease, started.due_in) = (LeaseAfter::Released, Some(Duration::ZERO));
    write(&*store, started).await;
    assert_eq!(due(&*store, 9, 9).await, [(2, 7), (1, 4), (1, 5), (1, 2), (1, 1), (1, 3)]);
    lease(&*store, &one, 4, &terms(1, 9)).await;
    let found = store.list_due_jobs(at(9 + 30), Work::Upload, &super::job_samples::at_most(9)).await.unwrap();
    let again = found.iter().find(|due| due.id == job_id(4)).unwrap();
    assert_eq!(again.fence, 2, "the lease has expired");
    assert_eq!((&again.account_id, &again.connection_id), (&one, &connection_id(1)));
}

pub(crate) async fn an_ended_job_with_an_undelivered_webhook_is_due(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let mut job = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    job.webhook = Webhook::Waiting { attempts: 2 };
    let ended = JobState::Cancelled(Cancelled { target: None, size: None });
    let mut waiting = update(job, 1, ended.clone(), 3);
    (waiting.due_in, waiting.lease) = (Some(Duration::from_mins(1)), LeaseAfter::Released);
    let mut job = write(&*store, waiting).await;
    assert_eq!(
        (due_for(&*store, Work::Webhook, 62, 9).await, due_for(&*store, Work::Webhook, 63, 9).await),
        (vec![], vec![(1, 1)])
    );
    assert_eq!(lease(&*store, &one, 1, &terms(1, 63)).await.job, job);
    job.webhook = Webhook::Delivered;
    write(&*store, update(job, 2, ended, 64)).await;
    assert_eq!(due_for(&*store, Work::Webhook, 100_000, 9).await, []);
}

pub(crate) async fn jobs_are_listed_newest_first_and_by_connection(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for (account, connection) in [(&one, 1), (&one, 2), (&two, 1)] {
        insert_connection(&*store, account, connection, &format!("c {connection}")).await.unwrap();
    }
    for number in [3, 1, 2, 5, 4] {
        insert_job(&*store, &one, number, 1 + number % 2).await;
    }
    insert_job(&*store, &two, 9, 1).await;
    let list = |connection: Option<u32>, before: Option<u32>, limit: u32| {
        let filter = JobFilter {
            connection_id: connection.map(connection_id),
            before: before.map(job_id),
            ..JobFilter::default()
        };
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
