//! The lists of an account's export.

use std::time::Duration;

use domain::audit::Actor;
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation, RequestMac, ReserveRequest};

use super::TestDatabase;
use super::job_samples::sealed;
use super::samples::{at, event, insert_account, operation_id};
use crate::{IdempotencyRecordId, Store, WebhookSecretDates, WebhookSecretRow};

async fn reserve(store: &dyn Store, account: &AccountId, operation: Operation, key: &str, second: i64) {
    let request = ReserveRequest {
        operation_id: operation_id(),
        operation,
        key: IdempotencyKey::parse(key).unwrap(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: at(second),
    };
    store.reserve_idempotency_key(account, &request).await.unwrap();
}

pub(crate) async fn every_idempotency_record_of_an_account_is_on_one_page(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let rows = [
        (Operation::CreateUpload, "a"),
        (Operation::CreateConnection, "b"),
        (Operation::CreateConnection, "B"),
        (Operation::CreateConnection, "~"),
        (Operation::CreateUpload, "\"quoted\""),
    ];
    for (operation, key) in rows {
        reserve(&*store, &one, operation, key, 5).await;
    }
    reserve(&*store, &two, Operation::CreateUpload, "another", 5).await;
    let mut expected: Vec<_> =
        rows.iter().map(|(operation, key)| (operation.as_str().to_owned(), (*key).to_owned())).collect();
    expected.sort();
    for limit in 1..=6 {
        let (mut listed, mut after) = (Vec::new(), IdempotencyRecordId::default());
        loop {
            let page = store.list_idempotency_records(&one, &after, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.id.clone();
            assert!(
                page.iter().all(|record| record.reserved_until == at(35) && record.answered_at.is_none())
            );
            listed.extend(page.into_iter().map(|record| (record.id.operation, record.id.key)));
        }
        assert_eq!(listed, expected, "{limit} a page");
    }
}

pub(crate) async fn the_dates_of_all_webhook_secrets_are_listed(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    assert_eq!(store.list_webhook_secret_dates(&one).await.unwrap(), []);
    for (number, second) in [(1, 10), (2, 20)] {
        let row = WebhookSecretRow {
            id: format!("secret {number}"),
            created_at: at(second),
            sealed: sealed(u8::try_from(number).unwrap()),
        };
        let mut event = event(&one, 600 + number, Actor::Operator, "secret");
        event.at = at(second);
        store.insert_webhook_secret(&one, &row, Duration::from_mins(1), &event).await.unwrap();
    }
    let dates = |second, retires_at| WebhookSecretDates { created_at: at(second), retires_at };
    let listed = store.list_webhook_secret_dates(&one).await.unwrap();
    assert_eq!(listed, [dates(20, None), dates(10, Some(at(80)))]);
}
