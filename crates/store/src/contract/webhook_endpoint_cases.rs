//! Webhook endpoints: adding, replacing and deleting them.

use domain::audit::{Actor, AuditEvent};
use domain::idempotency::{
    IdempotencyKey, Operation, RequestMac, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use domain::webhook::{Audience, DeliveryStatus, DisabledReason, EndpointState, EventFilter, EventType};

use super::TestDatabase;
use super::samples::{self, actor, at, event, insert_account, key_row};
use super::webhook_samples::{
    announcement, announcing, deliveries, endpoint, endpoint_id, insert_endpoint, lease, result, update_of,
};
use crate::{
    AccountDeletion, AfterAttempt, Changed, Completion, Counted, EndpointUpdate, Error, FailingSince,
    NewEndpoint,
};

pub(crate) async fn an_endpoint_is_found_by_its_account_and_listed_in_order(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let mut rows = Vec::new();
    for number in [3, 1, 2] {
        let events = EventFilter::only([EventType::UploadFailed, EventType::EndpointDisabled]);
        rows.push(insert_endpoint(&*store, &one, number, events).await);
    }
    rows.sort_by(|a, b| a.endpoint.id.as_str().cmp(b.endpoint.id.as_str()));
    insert_endpoint(&*store, &two, 9, EventFilter::All).await;
    assert_eq!(store.list_webhook_endpoints(&one, None, 9).await.unwrap(), rows);
    assert_eq!(
        store.list_webhook_endpoints(&one, Some(&endpoint_id(1)), 1).await.unwrap(),
        [rows[1].clone()]
    );
    assert_eq!(store.find_webhook_endpoint(&one, &endpoint_id(2)).await.unwrap(), Some(rows[1].clone()));
    assert_eq!(store.find_webhook_endpoint(&two, &endpoint_id(2)).await.unwrap(), None);
    assert_eq!(store.count_of_account(&one, Counted::WebhookEndpoints, 9).await.unwrap(), 3);
    assert_eq!(store.count_of_account(&one, Counted::WebhookEndpoints, 2).await.unwrap(), 2);
}

pub(crate) async fn an_endpoint_is_replaced_in_the_expected_version_alone(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let row = insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    let update = update_of(&row, 1, EndpointState::Disabled(Some(DisabledReason::Gone)));
    assert_eq!(store.update_webhook_endpoint(&two, update.clone()).await.unwrap(), Changed::No);
    assert_eq!(store.update_webhook_endpoint(&one, update.clone()).await.unwrap(), Changed::Yes);
    assert_eq!(store.find_webhook_endpoint(&one, &endpoint_id(1)).await.unwrap(), Some(update.row.clone()));
    let mut late = update_of(&row, 2, EndpointState::Enabled);
    late.row.endpoint.version = 2;
    assert_eq!(store.update_webhook_endpoint(&one, late).await.unwrap(), Changed::No);
    let enabled = update_of(&update.row, 3, EndpointState::Enabled);
    assert_eq!(store.update_webhook_endpoint(&one, enabled.clone()).await.unwrap(), Changed::Yes);
    assert_eq!(store.find_webhook_endpoint(&one, &endpoint_id(1)).await.unwrap(), Some(enabled.row));
    let gone = event(&one, 7_000, Actor::Operator, "endpoint");
    assert_eq!(store.delete_webhook_endpoint(&two, &endpoint_id(1), &gone).await.unwrap(), Changed::No);
    assert_eq!(store.delete_webhook_endpoint(&one, &endpoint_id(1), &gone).await.unwrap(), Changed::Yes);
    assert_eq!(store.delete_webhook_endpoint(&one, &endpoint_id(1), &gone).await.unwrap(), Changed::No);
    let events = samples::audited(&*store, &one).await;
    assert_eq!(events.len(), 5, "the account, the insertion, two updates, the deletion");
}

pub(crate) async fn an_update_keeps_or_clears_since_when_an_endpoint_fails(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let read = insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    // An attempt fails after the endpoint was read. The version stays the same.
    let mark = async |number, second, status| {
        let event = announcing(&one, number, EventType::UploadFailed);
        store.insert_audit_event(&one, &event).await.unwrap();
        let delivery = deliveries(&*store, &one).await.remove(0);
        lease(&*store, &one, &delivery, (0, second)).await;
        let ended = result(1, second, status, AfterAttempt::Ended(DeliveryStatus::Exhausted));
        assert_eq!(store.finish_webhook_delivery(&one, &delivery.id, &ended).await.unwrap(), Changed::Yes);
    };
    let found = async || store.find_webhook_endpoint(&one, &endpoint_id(1)).await.unwrap().unwrap().endpoint;
    mark(1, 10, 500).await;
    let with =
        |failing_since, row, number, state| EndpointUpdate { failing_since, ..update_of(row, number, state) };
    let kept = with(FailingSince::Kept, &read, 1, EndpointState::Enabled);
    assert_eq!(store.update_webhook_endpoint(&one, kept.clone()).await.unwrap(), Changed::Yes);
    assert_eq!((found().await.version, found().await.failing_since), (2, Some(at(10))));
    // It works again, and then fails again: it has not failed since the instant that was read.
    mark(2, 20, 200).await;
    let disabled = EndpointState::Disabled(Some(DisabledReason::Failing));
    let failing = |number, second| with(FailingSince::Still(at(second)), &kept.row, number, disabled);
    assert_eq!(store.update_webhook_endpoint(&one, failing(2, 10)).await.unwrap(), Changed::No);
    mark(3, 30, 500).await;
    assert_eq!(store.update_webhook_endpoint(&one, failing(3, 10)).await.unwrap(), Changed::No);
    assert_eq!(found().await.state, EndpointState::Enabled);
    assert_eq!(store.update_webhook_endpoint(&one, failing(4, 30)).await.unwrap(), Changed::Yes);
    assert_eq!((found().await.state, found().await.failing_since), (disabled, Some(at(30))));
    let cleared = with(FailingSince::Cleared, &failing(4, 30).row, 5, EndpointState::Enabled);
    assert_eq!(store.update_webhook_endpoint(&one, cleared).await.unwrap(), Changed::Yes);
    assert_eq!(found().await.failing_since, None);
}

pub(crate) async fn a_revoked_key_changes_no_endpoint(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let row = insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    let announced = announcing(&one, 1, EventType::ConnectionDeleted);
    store.insert_audit_event(&one, &announced).await.unwrap();
    let key = key_row(&one, 1);
    let by_key = |number| AuditEvent { actor: actor(&key), ..event(&one, number, Actor::Operator, "x") };
    let new =
        NewEndpoint { row: endpoint(&one, 2, EventFilter::All), event: by_key(8_000), completion: None };
    let mut update = update_of(&row, 1, EndpointState::Enabled);
    update.event = by_key(8_001);
    let delivery = deliveries(&*store, &one).await.remove(0);
    let mut test = by_key(8_002);
    test.announcement = Some(announcement(EventType::Test, Audience::Only(endpoint_id(1))));
    let refused = [
        store.insert_webhook_endpoint(&one, new).await,
        store.update_webhook_endpoint(&one, update).await.map(drop),
        store.delete_webhook_endpoint(&one, &endpoint_id(1), &by_key(8_003)).await.map(drop),
        store.insert_webhook_test(&one, &test).await.map(drop),
        store.redeliver_webhook(&one, &delivery.id, &by_key(8_004)).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    }
    assert_eq!(store.list_webhook_endpoints(&one, None, 9).await.unwrap(), [row]);
    assert_eq!(deliveries(&*store, &one).await, [delivery]);
}

pub(crate) async fn an_idempotent_request_is_completed_with_its_endpoint(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let key = IdempotencyKey::parse("once").unwrap();
    let operation = Operation::CreateWebhookEndpoint;
    let request = ReserveRequest {
        operation_id: samples::operation_id(),
        operation,
        key: key.clone(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: at(0),
    };
    store.reserve_idempotency_key(&one, &request).await.unwrap();
    let new = |number, attempt| NewEndpoint {
        row: endpoint(&one, number, EventFilter::All),
        event: event(&one, 8_000 + number, Actor::Operator, "endpoint"),
        completion: Some(Completion {
            reservation: Reservation { operation, key: key.clone(), attempt },
            answer: StoredResponse(vec![7]),
            at: at(1),
        }),
    };
    let lost = store.insert_webhook_endpoint(&one, new(1, 2)).await;
    assert!(matches!(lost, Err(Error::ReservationLost)), "{lost:?}");
    store.insert_webhook_endpoint(&one, new(2, 1)).await.unwrap();
    let found = store.list_webhook_endpoints(&one, None, 9).await.unwrap();
    assert_eq!(found.iter().map(|row| row.endpoint.id.clone()).collect::<Vec<_>>(), [endpoint_id(2)]);
    let again = store.reserve_idempotency_key(&one, &request).await.unwrap();
    assert_eq!(again, Reserved::Completed(StoredResponse(vec![7])));
}

pub(crate) async fn deleting_an_account_deletes_its_endpoints_and_deliveries(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        for number in 1..=3 {
            insert_endpoint(&*store, account, number, EventFilter::All).await;
        }
        for number in 1..=3 {
            store
                .insert_audit_event(account, &announcing(account, number, EventType::UploadFailed))
                .await
                .unwrap();
        }
    }
    let gone = event(&one, 9_000, Actor::Operator, "account");
    let mut parts = 1;
    while store.delete_account_part(&one, 4, &gone).await.unwrap() != AccountDeletion::Done {
        parts += 1;
    }
    assert_eq!(parts, 3, "nine deliveries by four");
    assert_eq!(store.list_webhook_endpoints(&one, None, 9).await.unwrap(), []);
    assert_eq!(deliveries(&*store, &one).await, []);
    assert_eq!(store.list_webhook_endpoints(&two, None, 9).await.unwrap().len(), 3);
    assert_eq!(deliveries(&*store, &two).await.len(), 9);
}
