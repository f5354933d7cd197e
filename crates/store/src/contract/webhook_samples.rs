//! Sample endpoints and deliveries for the cases.

use std::time::Duration;

use domain::audit::{Action, Actor, AuditEvent};
use domain::id::{AccountId, EndpointId};
use domain::webhook::{
    AnnouncedMessage, Announcement, Attempt, AttemptResult, Audience, Delivery, Endpoint, EndpointState,
    EventFilter, EventType,
};

use super::job_samples::sealed;
use super::samples::{at, event};
use crate::{
    AfterAttempt, DeliveryFilter, DeliveryResult, DeliveryTerms, EndpointHealth, EndpointRow, EndpointUpdate,
    FailingSince, LeasedDelivery, NewEndpoint, Store,
};

pub(crate) fn endpoint_id(number: u32) -> EndpointId {
    EndpointId::from_stored(format!("whe_20260131090500042{number:0>15}"))
}

pub(crate) fn endpoint(account: &AccountId, number: u32, events: EventFilter) -> EndpointRow {
    let endpoint = Endpoint {
        id: endpoint_id(number),
        account_id: account.clone(),
        created_at: at(1),
        updated_at: at(2),
        version: 1,
        events,
        state: EndpointState::Enabled,
        failing_since: None,
    };
    EndpointRow { endpoint, sealed: sealed(u8::try_from(number % 250).unwrap()) }
}

/// Adds the sample endpoint of that number.
pub(crate) async fn insert_endpoint(
    store: &dyn Store,
    account: &AccountId,
    number: u32,
    events: EventFilter,
) -> EndpointRow {
    let row = endpoint(account, number, events);
    let event = event(account, 5_000 + number, Actor::Operator, row.endpoint.id.as_str());
    let new = NewEndpoint { row: row.clone(), event, completion: None };
    store.insert_webhook_endpoint(account, new).await.unwrap();
    row
}

/// The next version of an endpoint, in this state.
pub(crate) fn update_of(row: &EndpointRow, number: u32, state: EndpointState) -> EndpointUpdate {
    let endpoint = Endpoint { version: row.endpoint.version + 1, state, ..row.endpoint.clone() };
    let event = event(&row.endpoint.account_id, 6_000 + number, Actor::Operator, row.endpoint.id.as_str());
    EndpointUpdate {
        expected_version: row.endpoint.version,
        row: EndpointRow { endpoint, sealed: sealed(u8::try_from(200 + number % 50).unwrap()) },
        failing_since: FailingSince::Kept,
        event: AuditEvent { action: Action::UpdateWebhookEndpoint, ..event },
    }
}

pub(crate) fn announcement(event_type: EventType, audience: Audience) -> Announcement {
    let message = |body: &str| AnnouncedMessage { body: body.to_owned(), mac: [3; 32] };
    Announcement {
        event_type,
        job_id: None,
        audience,
        message: message("{\"a\":\"\u{e9}\\u0000\"}"),
        operator_message: None,
    }
}

/// An event at a second that announces to the subscribers of its type.
pub(crate) fn announcing(account: &AccountId, number: u32, event_type: EventType) -> AuditEvent {
    let announcement = Some(announcement(event_type, Audience::Subscribers));
    AuditEvent { announcement, ..event(account, number, Actor::Operator, "subject") }
}

/// The account's deliveries, the newest first.
pub(crate) async fn deliveries(store: &dyn Store, account: &AccountId) -> Vec<Delivery> {
    store.list_webhook_deliveries(account, &DeliveryFilter::default(), 1_000).await.unwrap()
}

/// Leases the delivery, which must be due.
pub(crate) async fn lease(
    store: &dyn Store,
    account: &AccountId,
    delivery: &Delivery,
    (fence, second): (u64, i64),
) -> LeasedDelivery {
    let terms = terms(fence, second);
    store.lease_webhook_delivery(account, &delivery.id, &terms).await.unwrap().expect("the lease is free")
}

/// A lease of 30 s.
pub(crate) fn terms(expected_fence: u64, second: i64) -> DeliveryTerms {
    DeliveryTerms { expected_fence, lease: Duration::from_secs(30), now: at(second) }
}

/// A response at a second, and what follows.
pub(crate) fn result(fence: u64, second: i64, status: u16, next: AfterAttempt) -> DeliveryResult {
    let is_success = (200..300).contains(&status);
    DeliveryResult {
        fence,
        attempts: u32::try_from(fence).unwrap(),
        attempt: Attempt {
            at: at(second),
            result: AttemptResult::Http(status),
            duration: Duration::from_millis(12),
        },
        next,
        health: if is_success { EndpointHealth::Working } else { EndpointHealth::Failing },
        now: at(second),
    }
}
