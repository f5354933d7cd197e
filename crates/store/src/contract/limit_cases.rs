//! The limits of accounts, and how much of them is used.

use domain::audit::Actor;
use domain::idempotency::{IdempotencyKey, Operation, RequestMac, ReserveRequest};
use domain::job::{Cancelled, JobState};
use domain::limits::{Limit, LimitChange, LimitChanges, LimitOverrides, PerLimit};

use super::TestDatabase;
use super::connection_cases::events;
use super::job_samples::{insert_job, lease, terms, update, write};
use super::samples::{at, event, insert_account, insert_connection, key_row, operation_id};
use crate::{Changed, Counted};

pub(crate) async fn the_limits_of_an_account_are_set_and_reset_one_by_one(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let key = key_row(&one, 1);
    store.insert_api_key(&one, &key, &event(&one, 7_001, Actor::Operator, "key")).await.unwrap();
    let mut expected = LimitOverrides::default();
    for (number, limit) in (1..).zip(Limit::ALL) {
        let changes = with(limit, LimitChange::Set(u64::from(number) * 1_000_000));
        let event = event(&one, 7_100 + number, Actor::Operator, "limits");
        let before = events(&*store, &one).await;
        assert_eq!(store.update_account_limits(&one, &changes, &event).await.unwrap(), Changed::Yes);
        expected.set(limit, Some(u64::from(number) * 1_000_000));
        assert_eq!(store.find_account_limits(&one).await.unwrap(), Some(expected));
        assert_eq!(events(&*store, &one).await, before + 1);
        let found = store.find_api_key_by_hash(&key.hash, at(7)).await.unwrap().unwrap();
        assert_eq!((found.row, found.limits), (key.clone(), expected));
    }
    let changes = LimitChanges {
        event_streams: LimitChange::Reset,
        connections: LimitChange::Set(0),
        ..LimitChanges::default()
    };
    let reset = event(&one, 7_200, Actor::Operator, "limits");
    assert_eq!(store.update_account_limits(&one, &changes, &reset).await.unwrap(), Changed::Yes);
    (expected.event_streams, expected.connections) = (None, Some(0));
    drop(store);
    let store = db.open().await;
    assert_eq!(store.find_account_limits(&one).await.unwrap(), Some(expected));
    assert_eq!(store.find_account_limits(&two).await.unwrap(), Some(LimitOverrides::default()));
}

fn with(limit: Limit, change: LimitChange) -> LimitChanges {
    PerLimit::from_fn(|other| if other == limit { change } else { LimitChange::Keep })
}

pub(crate) async fn an_absent_account_has_no_limits(db: &TestDatabase) {
    let store = db.open().await;
    insert_account(&*store, 1).await;
    let absent = super::samples::account(9).id;
    let set = with(Limit::Connections, LimitChange::Set(1));
    let event = event(&absent, 1, Actor::Operator, "limits");
    assert_eq!(store.update_account_limits(&absent, &set, &event).await.unwrap(), Changed::No);
    assert_eq!(store.find_account_limits(&absent).await.unwrap(), None);
    assert_eq!(events(&*store, &absent).await, 0);
}

pub(crate) async fn the_things_of_an_account_are_counted_up_to_a_maximum(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let kinds = [Counted::Connections, Counted::JobsInProgress, Counted::IdempotencyRecords];
    for number in 0..5 {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
        insert_job(&*store, &one, number, number).await;
        let key = IdempotencyKey::parse(&format!("k{number}")).unwrap();
        let operation = Operation::CreateConnection;
        assert!(!store.has_idempotency_record(&one, operation, &key).await.unwrap());
        let (operation_id, mac) = (operation_id(), RequestMac([1; 32]));
        let request = ReserveRequest {
            operation_id,
            operation,
            key: key.clone(),
            mac,
            other_macs: Vec::new(),
            at: at(0),
        };
        store.reserve_idempotency_key(&one, &request).await.unwrap();
        assert!(store.has_idempotency_record(&one, operation, &key).await.unwrap());
        assert!(!store.has_idempotency_record(&one, Operation::CreateUpload, &key).await.unwrap());
        assert!(!store.has_idempotency_record(&two, operation, &key).await.unwrap());
    }
    insert_connection(&*store, &two, 9, "c").await.unwrap();
    for counted in kinds {
        for (most, expected) in [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (u64::MAX, 5)] {
            let count = store.count_of_account(&one, counted, most).await.unwrap();
            assert_eq!(count, expected, "{counted:?} up to {most}");
        }
    }
    assert_eq!(store.count_of_account(&two, Counted::JobsInProgress, 9).await.unwrap(), 0);
    // A job that has ended is not in progress.
    let leased = lease(&*store, &one, 1, &terms(0, 2)).await;
    write(
        &*store,
        update(leased.job, leased.fence, JobState::Cancelled(Cancelled { target: None, size: None }), 3),
    )
    .await;
    assert_eq!(store.count_of_account(&one, Counted::JobsInProgress, 9).await.unwrap(), 4);
    assert_eq!(store.count_of_account(&one, Counted::Connections, 9).await.unwrap(), 5);
}
