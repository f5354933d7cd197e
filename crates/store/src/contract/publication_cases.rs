//! Videos that are opened at a time: they are due by the database's clock, apart from other uploads.

use std::time::Duration;

use domain::audit::Actor;
use domain::job::{Job, JobState, Publishing, Scheduled, WaitingFor};
use domain::time::Timestamp;
use domain::video::VideoNumber;

use super::TestDatabase;
use super::job_samples::{
    at_most, connection_id, due, due_for, insert_job, job_id, lease, terms, update, uploading, write,
};
use super::samples::{at, event, insert_account, insert_connection};
use crate::{Changed, JobGuard, JobUpdate, LeaseAfter, Store, Work};

/// Writes the job of that number as one whose video is opened at that second.
async fn schedule(store: &dyn Store, job: Job, publish_second: i64) -> Job {
    let number = (1..99).find(|number| job_id(*number) == job.id).unwrap();
    let leased = lease(store, &job.account_id, number, &terms(0, 2)).await;
    let video = VideoNumber::from_stored(i64::from(number) + 70);
    let publish_at = at(publish_second);
    let scheduled = Job { publish_at: Some(publish_at), ..leased.job };
    let state = JobState::Scheduled(Scheduled { video, size: 1_000 });
    let update = update(scheduled, 1, state, 3);
    let update = JobUpdate {
        due_in: Some(Duration::ZERO),
        due_not_before: Some(publish_at),
        lease: LeaseAfter::Released,
        ..update
    };
    write(store, update).await
}

pub(crate) async fn a_publication_is_due_at_its_time_and_is_no_upload(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
    }
    for (account, number, second) in [(&one, 1, 50), (&two, 2, 40), (&one, 3, 60)] {
        let job = insert_job(&*store, account, number, 1).await;
        schedule(&*store, job, second).await;
    }
    assert_eq!(due_for(&*store, Work::Publication, 39, 9).await, []);
    assert_eq!(due_for(&*store, Work::Publication, 40, 9).await, [(2, 2)]);
    assert_eq!(due_for(&*store, Work::Publication, 60, 9).await, [(2, 2), (1, 1), (1, 3)], "by their time");
    assert_eq!(due_for(&*store, Work::Publication, 60, 2).await, [(2, 2), (1, 1)], "at most two");
    assert_eq!(due(&*store, 60, 9).await, [], "they are no uploads");
    assert_eq!(due_for(&*store, Work::Webhook, 60, 9).await, []);
    let fence = |work, second| {
        let (store, one) = (store.clone(), one.clone());
        async move { store.find_fence_of_due_job(&one, &job_id(1), work, at(second)).await.unwrap() }
    };
    assert_eq!(fence(Work::Publication, 49).await, None);
    assert_eq!(fence(Work::Publication, 50).await, Some(1));
    assert_eq!(fence(Work::Upload, 50).await, None);
}

pub(crate) async fn a_publication_is_leased_beside_any_number_of_uploads(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let publication = insert_job(&*store, &one, 1, 1).await;
    schedule(&*store, publication, 40).await;
    for number in 2..=4 {
        insert_job(&*store, &one, number, 1).await;
        lease(&*store, &one, number, &terms(0, 39)).await;
    }
    let strict = crate::LeaseTerms { per_account: 1, per_connection: 1, ..terms(1, 40) };
    let leased = lease(&*store, &one, 1, &strict).await;
    assert_eq!(leased.leased_at, at(40), "by the clock of the database");
    assert_eq!(due_for(&*store, Work::Publication, 40, 9).await, [], "a worker has it");
    let JobState::Scheduled(scheduled) = leased.job.state else { panic!("{leased:?}") };
    let publishing = JobState::Publishing(Publishing { video: scheduled.video, size: 1_000 });
    let job = write(&*store, update(leased.job, 2, publishing, 41)).await;
    assert_eq!(due_for(&*store, Work::Publication, 71, 9).await, [(1, 1)], "its worker was killed");
    assert_eq!(store.find_job(&one, &job.id).await.unwrap(), Some(job));
    assert_eq!(store.list_due_jobs(at(39), Work::Upload, &at_most(9)).await.unwrap(), []);
}

pub(crate) async fn a_publication_is_woken_moved_and_ended_with_its_connection(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = insert_job(&*store, &one, 1, 1).await;
    let job = schedule(&*store, job, 40).await;
    // Another time, without its lease.
    let moved = |job: &Job, second: i64, publish_at: Option<Timestamp>| {
        let update = update(Job { publish_at, ..job.clone() }, 1, job.state.clone(), second);
        JobUpdate {
            guard: JobGuard::Version(job.version),
            due_in: Some(Duration::ZERO),
            due_not_before: publish_at,
            lease: LeaseAfter::Released,
            ..update
        }
    };
    let later = write(&*store, moved(&job, 5, Some(at(60)))).await;
    assert_eq!(due_for(&*store, Work::Publication, 59, 9).await, []);
    assert_eq!(due_for(&*store, Work::Publication, 60, 9).await, [(1, 1)]);
    let past = write(&*store, moved(&later, 6, Some(at(1)))).await;
    assert_eq!(due_for(&*store, Work::Publication, 5, 9).await, [], "not before the write");
    assert_eq!(due_for(&*store, Work::Publication, 6, 9).await, [(1, 1)]);
    let waiting = Job { waiting_for: Some(WaitingFor::Connection), ..past };
    let paused = write(&*store, moved(&waiting, 7, Some(at(90)))).await;
    let connection = connection_id(1);
    let woken = store.wake_jobs(&one, &connection, WaitingFor::Connection, at(8)).await.unwrap();
    assert_eq!((woken, due_for(&*store, Work::Publication, 8, 9).await), (1, vec![(1, 1)]));
    let late = update(paused.clone(), 1, uploading(9, 9), 9);
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "an earlier fence");
    let mut deletion = event(&one, 500, Actor::Operator, "c 1");
    deletion.at = at(9);
    assert_eq!(store.delete_connection(&one, &connection, &deletion).await.unwrap(), Changed::Yes);
    assert!(store.find_job(&one, &paused.id).await.unwrap().unwrap().is_connection_deleted);
}
