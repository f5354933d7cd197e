//! The deliveries that events add to webhook endpoints.

use std::time::Duration;

use domain::audit::{Action, Actor, AuditEvent};
use domain::id::{AccountId, DeliveryId};
use domain::job::{Cancelled, JobId, JobState, Webhook};
use domain::webhook::{
    Audience, DeliveryStatus, DisabledReason, EndpointState, EventFilter, EventType, event_id,
};

use super::TestDatabase;
use super::job_samples::{self, sealed};
use super::samples::{self, at, event, insert_account, insert_connection, new_health};
use super::webhook_samples::{
    announcement, announcing, deliveries, endpoint_id, insert_endpoint, lease, result, terms, update_of,
};
use crate::{
    AfterAttempt, Changed, ConnectionUpdate, DeliveryFilter, Error, Expired, NewConnection, NewJobDelivery,
    Store,
};

/// The endpoints that the account's deliveries go to, with their types, oldest first.
async fn received(store: &dyn Store, account: &AccountId) -> Vec<(Option<String>, String)> {
    let found = deliveries(store, account).await;
    let name =
        |id: domain::id::EndpointId| id.as_str().trim_start_matches("whe_20260131090500042").to_owned();
    let shown = |id| name(id).trim_start_matches('0').to_owned();
    found.into_iter().rev().map(|found| (found.endpoint_id.map(shown), found.event_type)).collect()
}

fn to(number: &str, event_type: &str) -> (Option<String>, String) {
    (Some(number.to_owned()), event_type.to_owned())
}

pub(crate) async fn an_event_is_delivered_to_each_endpoint_that_receives_its_type(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    insert_endpoint(&*store, &one, 2, EventFilter::only([EventType::ConnectionCreated])).await;
    let off = insert_endpoint(&*store, &one, 3, EventFilter::All).await;
    let disabling = update_of(&off, 3, EndpointState::Disabled(None));
    store.update_webhook_endpoint(&one, disabling).await.unwrap();
    insert_endpoint(&*store, &two, 4, EventFilter::All).await;

    let (connection, sealed) = samples::connection(&one, 1, "c");
    let created = announcing(&one, 11, EventType::ConnectionCreated);
    let new = NewConnection {
        connection: connection.clone(),
        sealed,
        health: new_health(),
        event: created.clone(),
        completion: None,
    };
    store.insert_connection(&one, new.clone()).await.unwrap();
    // Refused: nothing is announced.
    let again = NewConnection { event: announcing(&one, 12, EventType::ConnectionCreated), ..new };
    assert!(matches!(store.insert_connection(&one, again).await, Err(Error::NameTaken)));
    let update = ConnectionUpdate {
        expected_version: connection.version,
        connection: domain::connection::Connection { version: connection.version + 1, ..connection.clone() },
        resealed: None,
        event: announcing(&one, 13, EventType::ConnectionUpdated),
    };
    store.update_connection(&one, update.clone()).await.unwrap();
    let late = ConnectionUpdate { event: announcing(&one, 14, EventType::ConnectionUpdated), ..update };
    assert!(matches!(store.update_connection(&one, late).await, Err(Error::VersionConflict { .. })));
    let deleted = announcing(&one, 15, EventType::ConnectionDeleted);
    store.delete_connection(&one, &connection.id, &deleted).await.unwrap();
    let deleted = announcing(&one, 16, EventType::ConnectionDeleted);
    store.delete_connection(&one, &connection.id, &deleted).await.unwrap();

    let expected = [
        to("1", "connection.created"),
        to("2", "connection.created"),
        to("1", "connection.updated"),
        to("1", "connection.deleted"),
    ];
    assert_eq!(received(&*store, &one).await, expected);
    assert_eq!(received(&*store, &two).await, []);
    let first = deliveries(&*store, &one).await.pop().unwrap();
    assert_eq!(first.id.as_str(), format!("{}-{}", created.id, endpoint_id(1)));
    assert_eq!(first.event_id, event_id(created.id.as_str()));
    assert_eq!((first.created_at, first.next_attempt_at), (at(1), Some(at(1))));
    assert_eq!((first.status, first.attempts), (DeliveryStatus::Waiting, 0));
    let waiting = store.count_waiting_webhook_deliveries().await.unwrap();
    assert_eq!((waiting.count, waiting.earliest_due_at), (4, Some(at(1))));
    let leased = lease(&*store, &one, &first, (0, 5)).await;
    assert_eq!(leased.message.unwrap().body, "{\"a\":\"\u{e9}\\u0000\"}");
    assert_eq!(leased.endpoint.unwrap().endpoint.id, endpoint_id(1));
}

pub(crate) async fn an_announcement_reaches_its_audience_and_the_operator(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        insert_endpoint(&*store, &one, number, EventFilter::only([EventType::EndpointDisabled])).await;
    }
    let row = store.find_webhook_endpoint(&one, &endpoint_id(1)).await.unwrap().unwrap();
    let mut disabling = update_of(&row, 1, EndpointState::Disabled(Some(DisabledReason::Failing)));
    let audience = Audience::SubscribersExcept(endpoint_id(1));
    disabling.event.announcement = Some(announcement(EventType::EndpointDisabled, audience));
    store.update_webhook_endpoint(&one, disabling.clone()).await.unwrap();
    assert_eq!(store.update_webhook_endpoint(&one, disabling).await.unwrap(), Changed::No, "once");
    let disabled = "webhook_endpoint.disabled";
    assert_eq!(received(&*store, &one).await, [to("2", disabled), to("3", disabled)]);

    let test = |number, id| AuditEvent {
        action: Action::TestWebhookEndpoint,
        announcement: Some(announcement(EventType::Test, Audience::Only(endpoint_id(id)))),
        ..event(&one, number, Actor::Operator, "endpoint")
    };
    assert_eq!(store.insert_webhook_test(&one, &test(7_001, 2)).await.unwrap(), Changed::Yes);
    for (number, id) in [(7_002, 1), (7_003, 99)] {
        assert_eq!(store.insert_webhook_test(&one, &test(number, id)).await.unwrap(), Changed::No, "{id}");
    }
    let last = deliveries(&*store, &one).await.remove(0);
    assert_eq!((last.event_type.as_str(), last.endpoint_id), ("webhook.test", Some(endpoint_id(2))));
    let events = samples::audited(&*store, &one).await;
    assert_eq!(events.iter().filter(|event| event.action == "test_webhook_endpoint").count(), 1);

    let mut unhealthy = announcing(&one, 7_010, EventType::ConnectionUnhealthy);
    let announced = unhealthy.announcement.as_mut().unwrap();
    announced.operator_message = Some(announced.message.clone());
    store.insert_audit_event(&one, &unhealthy).await.unwrap();
    assert_eq!(deliveries(&*store, &one).await.len(), 3, "those of the operator are not listed");
    let due = store.list_due_webhook_deliveries(at(100), 9).await.unwrap().due;
    let operators: Vec<_> = due.iter().filter(|due| due.receiver == "operator").collect();
    assert_eq!(operators.len(), 1);
    assert_eq!(operators[0].id.as_str(), format!("{}-operator", unhealthy.id));
}

pub(crate) async fn due_deliveries_alternate_between_receivers(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    insert_endpoint(&*store, &one, 2, EventFilter::only([EventType::ConnectionCreated])).await;
    insert_endpoint(&*store, &two, 3, EventFilter::All).await;
    for number in 1..=20 {
        let event =
            AuditEvent { at: at(i64::from(number)), ..announcing(&one, number, EventType::UploadFailed) };
        store.insert_audit_event(&one, &event).await.unwrap();
    }
    let late = AuditEvent { at: at(30), ..announcing(&one, 30, EventType::ConnectionCreated) };
    store.insert_audit_event(&one, &late).await.unwrap();
    let other = AuditEvent { at: at(25), ..announcing(&two, 31, EventType::UploadFailed) };
    store.insert_audit_event(&two, &other).await.unwrap();
    let order = async |second, per_receiver| {
        let due = store.list_due_webhook_deliveries(at(second), per_receiver).await.unwrap().due;
        let number = |due: crate::DueDelivery| {
            let receiver = due.receiver.as_bytes().last().copied().unwrap() - b'0';
            (receiver, due.due_at.seconds_after(at(0)))
        };
        due.into_iter().map(number).collect::<Vec<_>>()
    };
    assert_eq!(order(0, 3).await, []);
    assert_eq!(order(2, 3).await, [(1, 1), (1, 2)]);
    assert_eq!(order(40, 3).await, [(1, 1), (3, 25), (2, 30), (1, 2), (1, 3)]);
    let first = deliveries(&*store, &one).await.pop().unwrap();
    lease(&*store, &one, &first, (0, 40)).await;
    assert_eq!(order(41, 1).await, [(1, 2), (3, 25), (2, 30)], "one that is leased is left out");
    assert_eq!(order(70, 1).await, [(1, 1), (3, 25), (2, 30)], "until its lease expires");
    let next_in = async |second| store.list_due_webhook_deliveries(at(second), 1).await.unwrap().next_due_in;
    assert_eq!(next_in(0).await, Some(Duration::from_secs(1)));
    assert_eq!(next_in(24).await, Some(Duration::from_secs(1)), "of another receiver");
    assert_eq!((next_in(27).await, next_in(30).await), (Some(Duration::from_secs(3)), None));
}

pub(crate) async fn a_delivery_has_one_lease_and_its_result_is_stored(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    store.insert_audit_event(&one, &announcing(&one, 1, EventType::UploadFailed)).await.unwrap();
    let delivery = deliveries(&*store, &one).await.remove(0);
    let id = &delivery.id;
    lease(&*store, &one, &delivery, (0, 5)).await;
    for terms in [terms(0, 6), terms(1, 6), terms(1, 34)] {
        assert_eq!(store.lease_webhook_delivery(&one, id, &terms).await.unwrap(), None);
    }
    // The first worker was killed: the second one takes the lease when it has expired, and the first cannot write.
    lease(&*store, &one, &delivery, (1, 35)).await;
    let ended = AfterAttempt::Ended(DeliveryStatus::Delivered);
    let late = result(1, 36, 204, ended);
    assert_eq!(store.finish_webhook_delivery(&one, id, &late).await.unwrap(), Changed::No);
    let failed = result(2, 37, 500, AfterAttempt::RetryIn(Duration::from_mins(1)));
    assert_eq!(store.finish_webhook_delivery(&one, id, &failed).await.unwrap(), Changed::Yes);
    let found = store.find_webhook_delivery(&one, id).await.unwrap().unwrap();
    assert_eq!((found.status, found.attempts), (DeliveryStatus::Waiting, 2));
    assert_eq!((found.last_attempt, found.next_attempt_at), (Some(failed.attempt), Some(at(97))));
    let failing = async || {
        store.find_webhook_endpoint(&one, &endpoint_id(1)).await.unwrap().unwrap().endpoint.failing_since
    };
    assert_eq!(failing().await, Some(at(37)));
    let due = store.list_due_webhook_deliveries(at(97), 9).await.unwrap();
    assert_eq!((due.due[0].attempts, due.next_due_in), (2, None));
    assert_eq!(store.lease_webhook_delivery(&one, id, &terms(2, 96)).await.unwrap(), None, "not due");
    lease(&*store, &one, &delivery, (2, 97)).await;
    let again = result(3, 98, 500, AfterAttempt::RetryIn(Duration::from_secs(1)));
    store.finish_webhook_delivery(&one, id, &again).await.unwrap();
    assert_eq!(failing().await, Some(at(37)), "since the first failure");
    lease(&*store, &one, &delivery, (3, 99)).await;
    assert_eq!(
        store.finish_webhook_delivery(&one, id, &result(4, 99, 200, ended)).await.unwrap(),
        Changed::Yes
    );
    assert_eq!(failing().await, None);
    let found = store.find_webhook_delivery(&one, id).await.unwrap().unwrap();
    assert_eq!((found.status, found.next_attempt_at), (DeliveryStatus::Delivered, None));
    assert_eq!(found.ended_at, Some(at(99)));
    assert_eq!(
        store.list_due_webhook_deliveries(at(9_999), 9).await.unwrap(),
        crate::DueDeliveries::default()
    );
    assert_eq!(store.count_waiting_webhook_deliveries().await.unwrap(), crate::WaitingDeliveries::default());
}

pub(crate) async fn deliveries_are_listed_newest_first_and_filtered(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    insert_endpoint(&*store, &one, 2, EventFilter::All).await;
    for number in 1..=4 {
        let mut event = announcing(&one, number, EventType::UploadFailed);
        if number == 2 {
            event.announcement.as_mut().unwrap().job_id = Some(job_samples::job_id(7));
        }
        store.insert_audit_event(&one, &event).await.unwrap();
    }
    let all = deliveries(&*store, &one).await;
    assert!(all.is_sorted_by(|a, b| a.id > b.id) && all.len() == 8);
    let ended = result(1, 6, 410, AfterAttempt::Ended(DeliveryStatus::Exhausted));
    lease(&*store, &one, &all[3], (0, 5)).await;
    store.finish_webhook_delivery(&one, &all[3].id, &ended).await.unwrap();
    let listed = async |account: &AccountId, filter: DeliveryFilter, limit| {
        let found = store.list_webhook_deliveries(account, &filter, limit).await.unwrap();
        found.into_iter().map(|found| found.id).collect::<Vec<_>>()
    };
    let ids = |places: &[usize]| places.iter().map(|at| all[*at].id.clone()).collect::<Vec<DeliveryId>>();
    let endpoint = |number| DeliveryFilter { endpoint_id: Some(endpoint_id(number)), ..Default::default() };
    assert_eq!(listed(&one, endpoint(1), 9).await, ids(&[1, 3, 5, 7]));
    assert_eq!(listed(&one, endpoint(1), 2).await, ids(&[1, 3]));
    let after = DeliveryFilter { before: Some(all[3].id.clone()), ..endpoint(1) };
    assert_eq!(listed(&one, after, 9).await, ids(&[5, 7]));
    let exhausted = |filter| DeliveryFilter { status: Some(DeliveryStatus::Exhausted), ..filter };
    assert_eq!(listed(&one, exhausted(endpoint(1)), 9).await, ids(&[3]));
    assert_eq!(listed(&one, exhausted(DeliveryFilter::default()), 9).await, ids(&[3]));
    let of_job = |job: JobId, filter| DeliveryFilter { job_id: Some(job), ..filter };
    let job = job_samples::job_id(7);
    assert_eq!(listed(&one, of_job(job.clone(), DeliveryFilter::default()), 9).await, ids(&[4, 5]));
    assert_eq!(listed(&one, of_job(job.clone(), endpoint(2)), 9).await, ids(&[4]));
    assert_eq!(listed(&two, of_job(job, DeliveryFilter::default()), 9).await, []);
    assert_eq!(listed(&two, DeliveryFilter::default(), 9).await, []);
    assert_eq!(store.find_webhook_delivery(&two, &all[0].id).await.unwrap(), None);
}

pub(crate) async fn a_delivery_is_made_again_while_its_endpoint_is_enabled(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let row = insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    store.insert_audit_event(&one, &announcing(&one, 1, EventType::UploadFailed)).await.unwrap();
    let delivery = deliveries(&*store, &one).await.remove(0);
    lease(&*store, &one, &delivery, (0, 5)).await;
    let ended = result(1, 6, 404, AfterAttempt::Ended(DeliveryStatus::Exhausted));
    store.finish_webhook_delivery(&one, &delivery.id, &ended).await.unwrap();
    let again = |number| AuditEvent {
        at: at(50),
        action: Action::RedeliverWebhook,
        ..event(&one, number, Actor::Operator, delivery.id.as_str())
    };
    assert_eq!(store.redeliver_webhook(&two, &delivery.id, &again(8_000)).await.unwrap(), Changed::No);
    assert_eq!(store.redeliver_webhook(&one, &delivery.id, &again(8_001)).await.unwrap(), Changed::Yes);
    let found = store.find_webhook_delivery(&one, &delivery.id).await.unwrap().unwrap();
    assert_eq!((found.status, found.attempts, found.ended_at), (DeliveryStatus::Waiting, 0, None));
    assert_eq!(found.next_attempt_at, Some(at(50)));
    assert_eq!(found.last_attempt, Some(ended.attempt), "it stays until the next one");
    lease(&*store, &one, &delivery, (2, 51)).await;
    let disabling = update_of(&row, 1, EndpointState::Disabled(None));
    store.update_webhook_endpoint(&one, disabling).await.unwrap();
    assert_eq!(store.redeliver_webhook(&one, &delivery.id, &again(8_002)).await.unwrap(), Changed::No);
    let gone = event(&one, 8_003, Actor::Operator, "endpoint");
    store.delete_webhook_endpoint(&one, &endpoint_id(1), &gone).await.unwrap();
    assert_eq!(store.redeliver_webhook(&one, &delivery.id, &again(8_004)).await.unwrap(), Changed::No);
    assert_eq!(lease(&*store, &one, &delivery, (3, 90)).await.endpoint, None, "the delivery stays");
}

pub(crate) async fn the_webhook_of_a_job_becomes_a_delivery_whose_secrets_are_wiped(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_endpoint(&*store, &one, 1, EventFilter::only([EventType::UploadCancelled])).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = job_samples::insert_job(&*store, &one, 1, 1).await;
    job_samples::lease(&*store, &one, 1, &job_samples::terms(0, 2)).await;
    let new = NewJobDelivery {
        id: DeliveryId::from_stored("20260131090500043000000000000000-job".to_owned()),
        event_id: "msg_of_the_job".to_owned(),
        event_type: EventType::UploadCancelled.as_str(),
        receiver: "origin".to_owned(),
        sealed: sealed(77),
    };
    let state = JobState::Cancelled(Cancelled { target: None, size: None });
    let mut handing = job_samples::update(job, 1, state, 4);
    handing.job.webhook = Webhook::Waiting { attempts: 0 };
    handing.row_mac = job_samples::mac(&handing.job);
    (handing.due_in, handing.delivery) = (None, Some(new.clone()));
    let mut event = announcing(&one, 20, EventType::UploadCancelled);
    event.announcement.as_mut().unwrap().job_id = Some(handing.job.id.clone());
    handing.event = Some(event);
    let mut lost = handing.clone();
    lost.guard = crate::JobGuard::Fence(9);
    assert_eq!(store.update_job(&one, lost).await.unwrap(), Changed::No);
    assert_eq!(deliveries(&*store, &one).await, []);
    job_samples::write(&*store, handing.clone()).await;

    let found = deliveries(&*store, &one).await;
    assert_eq!(found.len(), 2, "one to the endpoint, and the job's own");
    assert!(found.iter().all(|found| found.job_id.as_ref() == Some(&handing.job.id)));
    let own = found.iter().find(|found| found.endpoint_id.is_none()).unwrap();
    assert_eq!((own.id.clone(), own.event_id.clone()), (new.id.clone(), new.event_id.clone()));
    assert_eq!(own.next_attempt_at, Some(at(4)));
    let leased = lease(&*store, &one, own, (0, 5)).await;
    assert_eq!((leased.sealed, leased.message, leased.receiver), (Some(new.sealed), None, new.receiver));
    let again = AuditEvent { at: at(6), ..samples::event(&one, 30, Actor::Operator, own.id.as_str()) };
    assert_eq!(store.redeliver_webhook(&one, &own.id, &again).await.unwrap(), Changed::Yes);
    lease(&*store, &one, own, (2, 7)).await;
    let ended = result(3, 8, 200, AfterAttempt::Ended(DeliveryStatus::Delivered));
    assert_eq!(store.finish_webhook_delivery(&one, &own.id, &ended).await.unwrap(), Changed::Yes);
    let again = AuditEvent { at: at(9), ..samples::event(&one, 31, Actor::Operator, own.id.as_str()) };
    assert_eq!(store.redeliver_webhook(&one, &own.id, &again).await.unwrap(), Changed::No, "it is wiped");
    assert!(!super::job_secret_cases::keys(db).await.contains(&77));
}

pub(crate) async fn ended_deliveries_are_deleted_when_they_are_old_enough(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_endpoint(&*store, &one, 1, EventFilter::All).await;
    for number in 1..=4 {
        store.insert_audit_event(&one, &announcing(&one, number, EventType::UploadFailed)).await.unwrap();
    }
    let all = deliveries(&*store, &one).await;
    for (delivery, second) in all[..3].iter().zip([10, 11, 13]) {
        lease(&*store, &one, delivery, (0, second)).await;
        let ended = result(1, second, 200, AfterAttempt::Ended(DeliveryStatus::Delivered));
        store.finish_webhook_delivery(&one, &delivery.id, &ended).await.unwrap();
    }
    let expired = |second, limit| Expired { kept: Duration::from_mins(1), limit, now: at(second) };
    assert_eq!(store.delete_ended_webhook_deliveries(&expired(69, 9)).await.unwrap(), 0);
    assert_eq!(store.delete_ended_webhook_deliveries(&expired(72, 1)).await.unwrap(), 1);
    assert_eq!(store.delete_ended_webhook_deliveries(&expired(72, 9)).await.unwrap(), 1);
    assert_eq!(
        deliveries(&*store, &one).await,
        [store.find_webhook_delivery(&one, &all[2].id).await.unwrap().unwrap(), all[3].clone()]
    );
}
