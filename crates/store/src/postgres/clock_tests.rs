//! Reservations, stored responses and expiry go by the server's clock, whatever the clocks of the nodes are.

use std::time::Duration;

use domain::audit::Actor;
use domain::idempotency::{IdempotencyKey, Operation, RequestMac, ReserveRequest, Reserved};
use domain::time::Timestamp;

use crate::contract::{TestDatabase, job_samples, samples, test_database};
use crate::{
    Changed, Error, LeaseAfter, LeaseRenewal, LeaseTerms, NewConnection, NewJob, WebhookSecretRow, Work,
};

const YEAR: i64 = 365 * 24 * 60 * 60;

/// The server's clock.
async fn now(db: &TestDatabase) -> Timestamp {
    let now = db.ask("SELECT (extract(epoch FROM now()) * 1000000)::bigint::text").await;
    Timestamp::from_micros(now.parse().unwrap())
}

async fn a_key_ends_when_the_server_says_so(db: &TestDatabase) {
    let store = crate::open(db.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    let now = now(db).await;
    for (number, expires_in, offset) in
        [(1, 3_600, 0), (2, 3_600, YEAR), (3, 3_600, -YEAR), (4, -1, -YEAR), (5, -1, 0)]
    {
        let mut key = samples::key_row(&one, number);
        key.key.expires_at = Some(now.plus_seconds(expires_in));
        let number = u32::from(number);
        store
            .insert_api_key(&one, &key, &samples::event(&one, number, Actor::Operator, "key"))
            .await
            .unwrap();
        let (connection, sealed) = samples::connection(&one, number, &format!("c {number}"));
        let mut event = samples::event(&one, 100 + number, samples::actor(&key), "c");
        event.at = now.plus_seconds(offset);
        let result = store
            .insert_connection(
                &one,
                NewConnection { connection, sealed, health: samples::new_health(), event, completion: None },
            )
            .await;
        if expires_in > 0 {
            result.unwrap();
        } else {
            assert!(matches!(result, Err(Error::KeyNotActive)), "{number}: {result:?}");
        }
        let found = store.find_api_key_by_hash(&key.hash, now.plus_seconds(offset)).await.unwrap().unwrap();
        let looked_at = found.read_at;
        assert!((now..now.plus_seconds(3_600)).contains(&looked_at), "{looked_at}");
    }
}

async fn a_reservation_lasts_as_long_as_the_server_says(db: &TestDatabase) {
    let store = crate::open(db.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    let reserve = async |offset: i64| {
        let request = ReserveRequest {
            operation_id: samples::operation_id(),
            operation: Operation::CreateConnection,
            key: IdempotencyKey::parse("k").unwrap(),
            mac: RequestMac([1; 32]),
            other_macs: Vec::new(),
            at: samples::at(offset),
        };
        store.reserve_idempotency_key(&one, &request).await.unwrap()
    };
    assert!(matches!(reserve(0).await, Reserved::Acquired(_)));
    for offset in [-YEAR, 0, 31, YEAR, 100 * YEAR] {
        assert_eq!(reserve(offset).await, Reserved::InProgress, "by a node whose clock is {offset} s off");
        assert_eq!(store.delete_idempotency_records(samples::at(offset), 99).await.unwrap(), 0);
    }
    // A lost answer: the same attempt is repeated, and has the key.
    let request = ReserveRequest {
        operation_id: samples::operation_id(),
        operation: Operation::CreateConnection,
        key: IdempotencyKey::parse("k2").unwrap(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: samples::at(0),
    };
    let first = store.reserve_idempotency_key(&one, &request).await.unwrap();
    assert!(matches!(first, Reserved::Acquired(_)));
    assert_eq!(store.reserve_idempotency_key(&one, &request).await.unwrap(), first);
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_15() {
    if let Some(db) = test_database::postgres_15().await {
        a_key_ends_when_the_server_says_so(&db).await;
        a_reservation_lasts_as_long_as_the_server_says(&test_database::postgres_15().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_18() {
    if let Some(db) = test_database::postgres_18().await {
        a_key_ends_when_the_server_says_so(&db).await;
        a_reservation_lasts_as_long_as_the_server_says(&test_database::postgres_18().await.unwrap()).await;
    }
}

/// With nodes whose clocks are wrong by a year, in both directions.
async fn a_lease_lasts_as_long_as_the_server_says(db: &TestDatabase) {
    let store = crate::open(db.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    samples::insert_connection(&*store, &one, 1, "c").await.unwrap();
    let here = now(db).await;
    let id = job_samples::job_id(1);
    for (number, offset) in [(1, YEAR), (2, -YEAR)] {
        let new = job_samples::new_job(job_samples::job(&one, number, 1), 2);
        store.insert_job(&one, NewJob { now: here.plus_seconds(offset), ..new }).await.unwrap();
    }
    for offset in [-YEAR, 0, YEAR] {
        assert_eq!(
            store
                .list_due_jobs(here.plus_seconds(offset), Work::Upload, &job_samples::at_most(9))
                .await
                .unwrap()
                .len(),
            2
        );
    }
    let terms = |fence: u64, offset: i64| LeaseTerms {
        now: here.plus_seconds(offset),
        lease: Duration::from_hours(1),
        ..job_samples::terms(fence, 0)
    };
    assert!(store.lease_job(&one, &id, &terms(0, -YEAR)).await.unwrap().is_some());
    for offset in [-YEAR, 0, YEAR] {
        assert_eq!(store.lease_job(&one, &id, &terms(1, offset)).await.unwrap(), None);
        assert_eq!(
            store
                .list_due_jobs(here.plus_seconds(offset), Work::Upload, &job_samples::at_most(9))
                .await
                .unwrap()
                .len(),
            1
        );
        let renewal = LeaseRenewal {
            fence: 1,
            lease: Duration::from_hours(1),
            sent: None,
            now: here.plus_seconds(offset),
        };
        assert_eq!(store.renew_job_lease(&one, &id, &renewal).await.unwrap(), Changed::Yes);
    }
    let mut settlement =
        job_samples::update(job_samples::job(&one, 1, 1), 1, job_samples::uploading(7, 0), 0);
    settlement.now = here.plus_seconds(YEAR);
    settlement.lease = LeaseAfter::Kept(Duration::ZERO);
    settlement.due_in = Some(Duration::ZERO);
    job_samples::write(&*store, settlement).await;
    assert_eq!(
        store.list_due_jobs(here, Work::Upload, &job_samples::at_most(9)).await.unwrap().len(),
        2,
        "the lease expired at once"
    );
}

async fn a_webhook_secret_retires_when_the_server_says_so(db: &TestDatabase) {
    let store = crate::open(db.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    let here = now(db).await;
    for (number, offset) in [(1_u8, -YEAR), (2, YEAR), (3, -YEAR)] {
        let mut event = samples::event(&one, number.into(), Actor::Operator, "secret");
        event.at = here.plus_seconds(offset);
        let secret = WebhookSecretRow {
            id: number.to_string(),
            created_at: samples::at(number.into()),
            sealed: job_samples::sealed(number),
        };
        store.insert_webhook_secret(&one, &secret, Duration::from_hours(1), &event).await.unwrap();
    }
    for offset in [-YEAR, 0, YEAR] {
        let listed = store.list_webhook_secrets(&one, here.plus_seconds(offset)).await.unwrap();
        assert_eq!(listed.iter().map(|secret| secret.id.as_str()).collect::<Vec<_>>(), ["3", "2"]);
    }
}

#[tokio::test]
async fn a_lease_and_a_secret_end_by_the_clock_of_15() {
    if let Some(db) = test_database::postgres_15().await {
        a_lease_lasts_as_long_as_the_server_says(&db).await;
        a_webhook_secret_retires_when_the_server_says_so(&test_database::postgres_15().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_lease_and_a_secret_end_by_the_clock_of_18() {
    if let Some(db) = test_database::postgres_18().await {
        a_lease_lasts_as_long_as_the_server_says(&db).await;
        a_webhook_secret_retires_when_the_server_says_so(&test_database::postgres_18().await.unwrap()).await;
    }
}
