//! Reservations, kept answers and expiry go by the server's clock, whatever the nodes' clocks say.

use domain::audit::Actor;
use domain::idempotency::{IdempotencyKey, OnceRequest, Operation, RequestMac, Reserved};
use domain::time::Timestamp;

use crate::contract::{Place, place, samples};
use crate::{Error, NewConnection};

const YEAR: i64 = 365 * 24 * 60 * 60;

/// The server's clock, as its session tells.
async fn now(place: &Place) -> Timestamp {
    let now = place.ask("SELECT (extract(epoch FROM now()) * 1000000)::bigint::text").await;
    Timestamp::from_micros(now.parse().unwrap())
}

async fn a_key_ends_when_the_server_says_so(place: &Place) {
    let store = crate::open(place.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    let now = now(place).await;
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
            .insert_connection(&one, NewConnection { connection, sealed, event, completion: None })
            .await;
        if expires_in > 0 {
            result.unwrap();
        } else {
            assert!(matches!(result, Err(Error::KeyNotActive)), "{number}: {result:?}");
        }
        let (_, looked_at) =
            store.find_api_key_by_hash(&key.hash, now.plus_seconds(offset)).await.unwrap().unwrap();
        assert!((now..now.plus_seconds(3_600)).contains(&looked_at), "{looked_at}");
    }
}

async fn a_reservation_lasts_as_long_as_the_server_says(place: &Place) {
    let store = crate::open(place.options()).await.unwrap();
    let one = samples::insert_account(&*store, 1).await;
    let reserve = async |offset: i64| {
        let request = OnceRequest {
            operation_id: samples::operation_id(),
            operation: Operation::CreateConnection,
            key: IdempotencyKey::parse("k").unwrap(),
            mac: RequestMac([1; 32]),
            at: samples::at(offset),
        };
        store.reserve_idempotency_key(&one, &request).await.unwrap()
    };
    assert!(matches!(reserve(0).await, Reserved::Now(_)));
    for offset in [-YEAR, 0, 31, YEAR, 100 * YEAR] {
        assert_eq!(reserve(offset).await, Reserved::InUse, "by a node whose clock is {offset} s off");
        assert_eq!(store.delete_idempotency_records(samples::at(offset), 99).await.unwrap(), 0);
    }
    // A lost answer: the same attempt is made again, and has the key.
    let request = OnceRequest {
        operation_id: samples::operation_id(),
        operation: Operation::CreateConnection,
        key: IdempotencyKey::parse("k2").unwrap(),
        mac: RequestMac([1; 32]),
        at: samples::at(0),
    };
    let first = store.reserve_idempotency_key(&one, &request).await.unwrap();
    assert!(matches!(first, Reserved::Now(_)));
    assert_eq!(store.reserve_idempotency_key(&one, &request).await.unwrap(), first);
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_15() {
    if let Some(place) = place::postgres_15().await {
        a_key_ends_when_the_server_says_so(&place).await;
        a_reservation_lasts_as_long_as_the_server_says(&place::postgres_15().await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_18() {
    if let Some(place) = place::postgres_18().await {
        a_key_ends_when_the_server_says_so(&place).await;
        a_reservation_lasts_as_long_as_the_server_says(&place::postgres_18().await.unwrap()).await;
    }
}
