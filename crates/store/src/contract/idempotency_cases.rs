//! Requests with an idempotency key.

use domain::audit::Actor;
use domain::id::AccountId;
use domain::idempotency::{
    IdempotencyKey, Operation, RESERVATION_SECONDS, RESPONSE_TTL_SECONDS, RequestMac, Reservation,
    ReserveRequest, Reserved, StoredResponse,
};

use super::TestDatabase;
use super::samples::{
    actor, all, at, connection, event, insert_account, insert_connection, key_row, operation_id,
};
use crate::{Completion, Error, NewConnection, Store};

const DAY: i64 = RESPONSE_TTL_SECONDS;

/// Reserves a key at a second, for the body with this number.
async fn reserve(store: &dyn Store, account: &AccountId, key: &str, body: u8, second: i64) -> Reserved {
    let request = ReserveRequest {
        operation_id: operation_id(),
        operation: Operation::CreateConnection,
        key: IdempotencyKey::parse(key).unwrap(),
        mac: RequestMac([body; 32]),
        other_macs: Vec::new(),
        at: at(second),
    };
    store.reserve_idempotency_key(account, &request).await.unwrap()
}

fn reservation(key: &str, attempt: u64) -> Reservation {
    Reservation { operation: Operation::CreateConnection, key: IdempotencyKey::parse(key).unwrap(), attempt }
}

/// The answer to an attempt that acquired the key.
fn now(key: &str, attempt: u64) -> Reserved {
    Reserved::Acquired(reservation(key, attempt))
}

fn answer(text: &str) -> StoredResponse {
    StoredResponse(text.as_bytes().to_vec())
}

/// The sample connection of that number, which completes an attempt at a second.
fn completing(account: &AccountId, number: u32, attempt: Reservation, second: i64) -> NewConnection {
    let (row, sealed) = connection(account, number, &format!("c {number}"));
    let event = event(account, 100 + number, Actor::Operator, row.id.as_str());
    let answer = answer(&format!("made {number}"));
    let completion = Some(Completion { reservation: attempt, answer, at: at(second) });
    NewConnection { connection: row, sealed, health: super::samples::new_health(), event, completion }
}

/// The numbers of connections and of audit events, without that of the account itself.
async fn written(store: &dyn Store, account: &AccountId) -> (usize, usize) {
    let connections = store.list_connection_ids(account, None, 1_000).await.unwrap().len();
    (connections, super::samples::audited(store, account).await.len() - 1)
}

pub(crate) async fn a_key_is_reserved_once_while_the_request_runs(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    assert_eq!(reserve(&*store, &one, "k", 1, 0).await, now("k", 1));
    for second in [0, 1, RESERVATION_SECONDS - 1] {
        assert_eq!(reserve(&*store, &one, "k", 1, second).await, Reserved::InProgress, "{second}");
        assert_eq!(reserve(&*store, &one, "k", 2, second).await, Reserved::BodyMismatch, "{second}");
    }
    for other in ["K", "kk", "k2", "~"] {
        assert_eq!(reserve(&*store, &one, other, 1, 0).await, now(other, 1));
    }
    assert_eq!(written(&*store, &one).await, (0, 0));
}

pub(crate) async fn an_expired_reservation_is_taken_over_even_by_another_body(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let mut second = 0;
    for (attempt, body) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        assert_eq!(reserve(&*store, &one, "k", body, second).await, now("k", attempt));
        assert_eq!(reserve(&*store, &one, "k", body, second + 29).await, Reserved::InProgress);
        assert_eq!(reserve(&*store, &one, "k", body + 1, second + 29).await, Reserved::BodyMismatch);
        second += RESERVATION_SECONDS;
    }
}

pub(crate) async fn a_response_is_stored_for_a_day(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    assert_eq!(reserve(&*store, &one, "k", 1, 0).await, now("k", 1));
    store.insert_connection(&one, completing(&one, 1, reservation("k", 1), 20)).await.unwrap();
    assert_eq!(written(&*store, &one).await, (1, 1));
    let done = Reserved::Completed(answer("made 1"));
    for second in [20, RESERVATION_SECONDS, 20 + DAY - 1] {
        assert_eq!(reserve(&*store, &one, "k", 1, second).await, done, "{second}");
        assert_eq!(reserve(&*store, &one, "k", 2, second).await, Reserved::BodyMismatch, "{second}");
    }
    store.close().await;
    drop(store);
    let store = db.open().await;
    assert_eq!(reserve(&*store, &one, "k", 1, 21).await, done, "after reopening");
    let later = 20 + DAY;
    assert_eq!(reserve(&*store, &one, "k", 2, later).await, now("k", 2), "another body is a new request");
    assert_eq!(reserve(&*store, &one, "k", 1, later).await, Reserved::BodyMismatch);
    store.insert_connection(&one, completing(&one, 2, reservation("k", 2), later)).await.unwrap();
    let again = reserve(&*store, &one, "k", 2, later + DAY - 1).await;
    assert_eq!(again, Reserved::Completed(answer("made 2")));
    assert_eq!(reserve(&*store, &one, "k", 2, later + DAY).await, now("k", 3));
}

pub(crate) async fn a_released_key_is_free_at_once_and_its_attempts_count_up(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for attempt in 1..=5 {
        // Each with a body of its own, in the same second.
        let body = u8::try_from(attempt).unwrap();
        assert_eq!(reserve(&*store, &one, "k", body, 7).await, now("k", attempt));
        assert_eq!(reserve(&*store, &one, "k", body, 7).await, Reserved::InProgress);
        store.release_idempotency_key(&one, &reservation("k", attempt), at(7)).await.unwrap();
    }
    assert_eq!(reserve(&*store, &one, "k", 5, 7).await, now("k", 6));
    // An expired reservation ended when it expired, however late it is released.
    store.release_idempotency_key(&one, &reservation("k", 6), at(1_000)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 9, 7 + RESERVATION_SECONDS).await, now("k", 7));
    // A released key is free at any later instant, even an earlier one by another clock.
    store.release_idempotency_key(&one, &reservation("k", 7), at(7 + RESERVATION_SECONDS)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 1, -DAY / 2).await, now("k", 8));
}

pub(crate) async fn a_deleted_account_reserves_and_adds_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let (one, gone) = (insert_account(&*store, 1).await, super::samples::account(2).id);
    let request = ReserveRequest {
        operation_id: operation_id(),
        operation: Operation::CreateConnection,
        key: IdempotencyKey::parse("k").unwrap(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: at(0),
    };
    let reserved = store.reserve_idempotency_key(&gone, &request).await;
    assert!(matches!(reserved, Err(Error::KeyNotActive)), "{reserved:?}");
    let inserted = insert_connection(&*store, &gone, 1, "by the operator").await;
    assert!(matches!(inserted, Err(Error::KeyNotActive)), "{inserted:?}");
    assert_eq!(reserve(&*store, &one, "k", 1, 0).await, now("k", 1));
}

pub(crate) async fn an_attempt_that_lost_its_key_writes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    reserve(&*store, &one, "k", 1, 0).await;
    assert_eq!(reserve(&*store, &one, "k", 1, RESERVATION_SECONDS).await, now("k", 2));
    // Lost; never reserved; of an unknown key. Each among valid ones.
    let lost = [reservation("k", 1), reservation("k", 3), reservation("unknown", 1)];
    let mut writes = Vec::new();
    for number in 0..12_u32 {
        let mut write = completing(&one, number, lost[number as usize % 3].clone(), 31);
        if number % 4 == 1 {
            write.completion = None;
        }
        writes.push(write);
    }
    let results = all(writes.into_iter().map(|write| store.insert_connection(&one, write))).await;
    for (number, result) in results.into_iter().enumerate() {
        if number % 4 == 1 {
            result.unwrap();
        } else {
            assert!(matches!(result, Err(Error::ReservationLost)), "{number}: {result:?}");
        }
    }
    assert_eq!(written(&*store, &one).await, (3, 3));
    assert_eq!(reserve(&*store, &one, "k", 1, 31).await, Reserved::InProgress, "the second attempt has it");
    store.insert_connection(&one, completing(&one, 2, reservation("k", 2), 32)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 1, 33).await, Reserved::Completed(answer("made 2")));
    assert_eq!(written(&*store, &one).await, (4, 4));
}

pub(crate) async fn a_completed_attempt_writes_nothing_more(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    reserve(&*store, &one, "k", 1, 0).await;
    let twice = [1, 2].map(|number| completing(&one, number, reservation("k", 1), 1));
    let results = all(twice.into_iter().map(|write| store.insert_connection(&one, write))).await;
    // Whichever was first: an engine may do two at once.
    let winner = if results[0].is_ok() { 1 } else { 2 };
    for (number, result) in (1..).zip(results) {
        let is_lost = matches!(result, Err(Error::ReservationLost));
        assert!(if number == winner { result.is_ok() } else { is_lost }, "{number}: {result:?}");
    }
    let kept = Reserved::Completed(answer(&format!("made {winner}")));
    assert_eq!(reserve(&*store, &one, "k", 1, 2).await, kept);
    assert_eq!(written(&*store, &one).await, (1, 1));
}

pub(crate) async fn a_refused_write_completes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 9, "taken").await.unwrap();
    reserve(&*store, &one, "k", 1, 0).await;
    let mut named = completing(&one, 1, reservation("k", 1), 1);
    named.connection.name = connection(&one, 1, "taken").0.name;
    let mut revoked = completing(&one, 1, reservation("k", 1), 1);
    revoked.event.actor = actor(&key_row(&one, 99));
    let refused = store.insert_connection(&one, named).await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
    let refused = store.insert_connection(&one, revoked).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(reserve(&*store, &one, "k", 1, 2).await, Reserved::InProgress);
    store.insert_connection(&one, completing(&one, 1, reservation("k", 1), 3)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 1, 4).await, Reserved::Completed(answer("made 1")));
}

pub(crate) async fn a_release_of_a_lost_or_completed_reservation_changes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    reserve(&*store, &one, "k", 1, 0).await;
    assert_eq!(reserve(&*store, &one, "k", 1, 40).await, now("k", 2));
    for lost in [reservation("k", 1), reservation("k", 3), reservation("unknown", 1)] {
        store.release_idempotency_key(&one, &lost, at(41)).await.unwrap();
    }
    store.release_idempotency_key(&two, &reservation("k", 2), at(41)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 1, 41).await, Reserved::InProgress);
    assert_eq!(reserve(&*store, &one, "unknown", 1, 41).await, now("unknown", 1));
    store.insert_connection(&one, completing(&one, 1, reservation("k", 2), 42)).await.unwrap();
    store.release_idempotency_key(&one, &reservation("k", 2), at(43)).await.unwrap();
    assert_eq!(reserve(&*store, &one, "k", 1, 44).await, Reserved::Completed(answer("made 1")));
}

pub(crate) async fn a_key_belongs_to_its_account(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    assert_eq!(reserve(&*store, &one, "k", 1, 0).await, now("k", 1));
    assert_eq!(reserve(&*store, &two, "k", 2, 0).await, now("k", 1));
    store.insert_connection(&one, completing(&one, 1, reservation("k", 1), 1)).await.unwrap();
    assert_eq!(reserve(&*store, &two, "k", 2, 1).await, Reserved::InProgress);
    assert_eq!(reserve(&*store, &one, "k", 1, 1).await, Reserved::Completed(answer("made 1")));
    store.release_idempotency_key(&two, &reservation("k", 1), at(2)).await.unwrap();
    assert_eq!(reserve(&*store, &two, "k", 1, 2).await, now("k", 2));
    assert_eq!(reserve(&*store, &one, "k", 1, 2).await, Reserved::Completed(answer("made 1")));
}

pub(crate) async fn the_sweep_deletes_exactly_the_ended_records_in_parts(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    // Ended by second 100: reserved before, and neither answered nor taken over later.
    for number in 0..7 {
        reserve(&*store, &two, &format!("ended-{number}"), 1, 0).await;
    }
    reserve(&*store, &one, "just-ended", 1, 100 - RESERVATION_SECONDS).await;
    reserve(&*store, &one, "answered", 1, 0).await;
    store.insert_connection(&one, completing(&one, 1, reservation("answered", 1), 100)).await.unwrap();
    reserve(&*store, &one, "released", 1, 90).await;
    store.release_idempotency_key(&one, &reservation("released", 1), at(95)).await.unwrap();
    // Not ended.
    reserve(&*store, &one, "running", 1, 101 - RESERVATION_SECONDS).await;
    reserve(&*store, &one, "answered-late", 1, 0).await;
    store.insert_connection(&one, completing(&one, 2, reservation("answered-late", 1), 101)).await.unwrap();
    reserve(&*store, &one, "answered-early", 1, 80).await;
    store.insert_connection(&one, completing(&one, 3, reservation("answered-early", 1), 81)).await.unwrap();
    reserve(&*store, &one, "taken-over", 1, 0).await;
    reserve(&*store, &one, "taken-over", 1, 99).await;
    let mut deleted = Vec::new();
    while deleted.last() != Some(&0) {
        deleted.push(store.delete_idempotency_records(at(100 + DAY), 4).await.unwrap());
    }
    assert_eq!(deleted, [4, 4, 2, 0]);
    assert_eq!(reserve(&*store, &one, "running", 1, 100).await, Reserved::InProgress);
    assert_eq!(reserve(&*store, &one, "answered-late", 1, 101).await, Reserved::Completed(answer("made 2")));
    assert_eq!(reserve(&*store, &one, "answered-early", 1, 101).await, Reserved::Completed(answer("made 3")));
    assert_eq!(reserve(&*store, &one, "taken-over", 1, 101).await, Reserved::InProgress);
    for (account, forgotten) in
        [(&one, "just-ended"), (&one, "answered"), (&one, "released"), (&two, "ended-6")]
    {
        assert_eq!(reserve(&*store, account, forgotten, 1, 101).await, now(forgotten, 1));
    }
    assert_eq!(written(&*store, &one).await, (3, 3), "the effects stay");
}

pub(crate) async fn one_of_many_concurrent_requests_gets_a_key(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for round in 0..8 {
        // Two halves with bodies of their own.
        let asked = (0..32_u8).map(|number| reserve(&*store, &one, "k", number % 2, round * 30));
        let answers = all(asked).await;
        let first = now("k", u64::try_from(round).unwrap() + 1);
        let winner = answers.iter().position(|said| *said == first).unwrap();
        for (number, said) in answers.into_iter().enumerate().filter(|(number, _)| *number != winner) {
            let expected =
                if number % 2 == winner % 2 { Reserved::InProgress } else { Reserved::BodyMismatch };
            assert_eq!(said, expected, "{number}");
        }
    }
}
