//! The deletion of accounts, with everything that they have.

use domain::audit::Actor;
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation, RESPONSE_TTL_SECONDS, RequestMac, ReserveRequest};

use super::TestDatabase;
use super::connection_cases::{Refusal, changed, events, id, update_to};
use super::samples::{
    account, actor, at, connection, event, insert_account, insert_connection, key_row, operation_id,
};
use crate::{AccountDeletion, Error, NewConnection, Store};

/// Reserves `count` idempotency keys.
async fn reserve(store: &dyn Store, account: &AccountId, count: u32) {
    for number in 0..count {
        let key = IdempotencyKey::parse(&format!("k{number}")).unwrap();
        let operation = Operation::CreateConnection;
        let request = ReserveRequest {
            operation_id: operation_id(),
            operation,
            key,
            mac: RequestMac([1; 32]),
            other_macs: Vec::new(),
            at: at(0),
        };
        store.reserve_idempotency_key(account, &request).await.unwrap();
    }
}

pub(crate) async fn the_deletion_of_an_account_runs_in_parts_and_can_be_resumed(db: &TestDatabase) {
    let mut store = db.open().await;
    let cases = [
        (0, 0, 5, 1),
        (4, 0, 5, 1),
        (5, 0, 5, 2),
        (12, 0, 5, 3),
        (3, 11, 5, 3),
        (12, 12, 100, 1),
        (3, 3, 1, 4),
    ];
    for (number, (connections, records, limit, parts)) in (1..).zip(cases) {
        let one = insert_account(&*store, number).await;
        let before = events(&*store, &one).await;
        for number in 0..connections {
            insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
        }
        reserve(&*store, &one, records).await;
        let event = event(&one, 7_000, Actor::Operator, "account");
        for part in 1..=parts {
            let left = store.delete_account_part(&one, limit, &event).await.unwrap();
            let expected = if part == parts { AccountDeletion::Done } else { AccountDeletion::More };
            assert_eq!(left, expected, "part {part} of {parts}, {connections} and {records} by {limit}");
            if part == 1 && parts > 1 {
                assert!(store.find_account(&one).await.unwrap().is_some(), "it is there until all is gone");
                assert_eq!(events(&*store, &one).await, before + connections as usize);
            }
            // Interrupted: another process takes it up.
            store.close().await;
            store = db.open().await;
        }
        assert_eq!(store.find_account(&one).await.unwrap(), None);
        assert_eq!(store.list_connection_ids(&one, None, 9).await.unwrap(), []);
        let kept = super::samples::audited(&*store, &one).await;
        assert_eq!(kept.len(), before + connections as usize + 1);
        assert!(kept.contains(&(&event).into()));
        let again = store.delete_account_part(&one, limit, &event).await.unwrap();
        assert_eq!(again, AccountDeletion::NoAccount);
        assert_eq!(events(&*store, &one).await, kept.len());
    }
}

pub(crate) async fn an_account_that_is_being_deleted_accepts_no_connections(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let key = key_row(&one, 1);
    store.insert_api_key(&one, &key, &event(&one, 8_001, Actor::Operator, "key")).await.unwrap();
    for number in 0..20 {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    let gone = event(&one, 8_002, Actor::Operator, "account");
    let by_key = |number: u32| {
        let (row, sealed) = connection(&one, number, &format!("c {number}"));
        let event = event(&one, 100 + number, actor(&key), row.id.as_str());
        NewConnection {
            connection: row,
            sealed,
            health: super::samples::new_health(),
            event,
            completion: None,
        }
    };
    store.insert_connection(&one, by_key(50)).await.unwrap();
    assert_eq!(store.delete_account_part(&one, 5, &gone).await.unwrap(), AccountDeletion::More);
    assert_eq!(store.find_api_key_by_hash(&key.hash, at(0)).await.unwrap(), None);
    assert_eq!(store.list_api_keys(&one).await.unwrap(), []);
    loop {
        let refused = store.insert_connection(&one, by_key(51)).await;
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
        let mut update = update_to(&changed(&one, 50, "c 50", 5), 3);
        update.event.actor = actor(&key);
        Refusal::KeyNotActive.assert_is(&store.update_connection(&one, update).await, 0);
        let deletion = event(&one, 4, actor(&key), "c");
        let refused = store.delete_connection(&one, &id(50), &deletion).await;
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
        if store.delete_account_part(&one, 5, &gone).await.unwrap() == AccountDeletion::NoAccount {
            break;
        }
    }
    assert_eq!(store.list_connection_ids(&one, None, 99).await.unwrap(), []);
}

pub(crate) async fn the_deletion_of_an_account_affects_no_other(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let key = key_row(&two, 2);
    store.insert_api_key(&two, &key, &event(&two, 8_001, Actor::Operator, "key")).await.unwrap();
    for number in 0..30 {
        for account in [&one, &two] {
            insert_connection(&*store, account, number, &format!("c {number}")).await.unwrap();
        }
    }
    reserve(&*store, &two, 3).await;
    let event_count = events(&*store, &two).await;
    let gone = event(&one, 8_002, Actor::Operator, "account");
    while store.delete_account_part(&one, 7, &gone).await.unwrap() == AccountDeletion::More {}
    assert_eq!(store.list_account_ids().await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(store.list_api_keys(&two).await.unwrap(), [key]);
    for number in 0..30 {
        let kept = connection(&two, number, &format!("c {number}"));
        assert_eq!(store.find_sealed_connection(&two, &id(number)).await.unwrap(), Some(kept));
    }
    assert_eq!(store.delete_idempotency_records(at(1_000 + RESPONSE_TTL_SECONDS), 99).await.unwrap(), 3);
    assert_eq!(events(&*store, &two).await, event_count);
    let mut successor = account(3);
    successor.name = account(1).name;
    let created = event(&successor.id, 1, Actor::Operator, "account");
    store.insert_account(&successor, &created).await.unwrap();
    assert_eq!(store.find_account_by_name(&successor.name).await.unwrap(), Some(successor));
}
