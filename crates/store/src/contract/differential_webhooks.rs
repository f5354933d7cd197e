//! The operations on webhooks in the random sequences.

use std::time::Duration;

use domain::id::AccountId;
use domain::webhook::{Audience, DeliveryStatus, DisabledReason, EndpointState, EventFilter, EventType};
use proptest::prelude::*;

use super::differential::{ACCOUNTS, Run, describe};
use super::samples;
use super::webhook_samples::{announcement, endpoint, endpoint_id, result, terms, update_of};
use crate::{AfterAttempt, DeliveryFilter, Expired, FailingSince, NewEndpoint, Store};

/// An operation. Endpoints have few numbers, so that many operations meet the same one.
#[derive(Debug, Clone)]
pub(super) enum WebhookOp {
    Insert {
        account: u8,
        events: Option<i64>,
        actor: Option<usize>,
    },
    Update {
        account: u8,
        nth: usize,
        behind: u64,
        is_enabled: bool,
    },
    Delete {
        account: u8,
        nth: usize,
    },
    Test {
        account: u8,
        nth: usize,
        actor: Option<usize>,
    },
    /// Leases the delivery, with its fence or a wrong one, and finishes it.
    Attempt {
        account: u8,
        nth: usize,
        behind: u64,
        status: u16,
    },
    Lease {
        account: u8,
        nth: usize,
    },
    Redeliver {
        account: u8,
        nth: usize,
        actor: Option<usize>,
    },
    Sweep {
        seconds: u64,
    },
}

pub(super) fn op() -> impl Strategy<Value = WebhookOp> {
    let account = 0..ACCOUNTS;
    let nth = || 0..6_usize;
    let actor = || prop::option::weighted(0.2, 0..8_usize);
    let behind = || prop::sample::select(vec![0_u64, 0, 0, 1]);
    let events = prop::option::of(prop::sample::select(vec![8_i64, 24, 63, 511]));
    prop_oneof![
        3 => (account.clone(), events, actor()).prop_map(
            |(account, events, actor)| WebhookOp::Insert { account, events, actor }),
        2 => (account.clone(), nth(), behind(), any::<bool>()).prop_map(
            |(account, nth, behind, is_enabled)| WebhookOp::Update { account, nth, behind, is_enabled }),
        1 => (account.clone(), nth()).prop_map(|(account, nth)| WebhookOp::Delete { account, nth }),
        2 => (account.clone(), nth(), actor()).prop_map(
            |(account, nth, actor)| WebhookOp::Test { account, nth, actor }),
        6 => (account.clone(), nth(), behind(), prop::sample::select(vec![200, 410, 500])).prop_map(
            |(account, nth, behind, status)| WebhookOp::Attempt { account, nth, behind, status }),
        2 => (account.clone(), nth()).prop_map(|(account, nth)| WebhookOp::Lease { account, nth }),
        2 => (account, nth(), actor()).prop_map(
            |(account, nth, actor)| WebhookOp::Redeliver { account, nth, actor }),
        1 => (1..200_u64).prop_map(|seconds| WebhookOp::Sweep { seconds }),
    ]
}

pub(super) async fn step(store: &dyn Store, run: &mut Run, op: &WebhookOp) -> String {
    match *op {
        WebhookOp::Insert { account, events, actor } => {
            let account = run.account(account);
            let event = run.event(&account, actor);
            let mut row = endpoint(&account, run.number, EventFilter::from_stored(events));
            row.endpoint.created_at = samples::at(run.second);
            let new = NewEndpoint { row, event, completion: None };
            describe(store.insert_webhook_endpoint(&account, new).await)
        }
        WebhookOp::Update { account, nth, behind, is_enabled } => {
            let account = run.account(account);
            let rows = store.list_webhook_endpoints(&account, None, 100).await.unwrap();
            let mut event = run.event(&account, None);
            let Some(row) = rows.get(nth % rows.len().max(1)) else { return "no endpoint".to_owned() };
            let disabled = EndpointState::Disabled(Some(DisabledReason::Failing));
            let state = if is_enabled { EndpointState::Enabled } else { disabled };
            let audience = Audience::SubscribersExcept(row.endpoint.id.clone());
            event.announcement = Some(announcement(EventType::EndpointDisabled, audience));
            let mut update = update_of(row, run.number, state);
            (update.event, update.expected_version) = (event, row.endpoint.version - behind.min(1));
            update.failing_since = match (nth % 3, row.endpoint.failing_since) {
                (0, _) => FailingSince::Cleared,
                (1, Some(since)) => FailingSince::Still(since.plus_seconds(i64::from(run.number % 2))),
                _ => FailingSince::Kept,
            };
            describe(store.update_webhook_endpoint(&account, update).await)
        }
        WebhookOp::Delete { account, nth } => {
            let account = run.account(account);
            let rows = store.list_webhook_endpoints(&account, None, 100).await.unwrap();
            let event = run.event(&account, None);
            let id = rows.get(nth).map_or_else(|| endpoint_id(0), |row| row.endpoint.id.clone());
            describe(store.delete_webhook_endpoint(&account, &id, &event).await)
        }
        WebhookOp::Test { account, nth, actor } => {
            let account = run.account(account);
            let rows = store.list_webhook_endpoints(&account, None, 100).await.unwrap();
            let id = rows.get(nth).map_or_else(|| endpoint_id(0), |row| row.endpoint.id.clone());
            let mut event = run.event(&account, actor);
            event.announcement = Some(announcement(EventType::Test, Audience::Only(id)));
            describe(store.insert_webhook_test(&account, &event).await)
        }
        WebhookOp::Sweep { seconds } => {
            let (kept, now) = (Duration::from_secs(seconds), samples::at(run.second));
            // Of other sequences too, whose rows are the same in both databases.
            let expired = Expired { kept, limit: 10_000, now };
            describe(store.delete_ended_webhook_deliveries(&expired).await)
        }
        WebhookOp::Attempt { .. } | WebhookOp::Lease { .. } | WebhookOp::Redeliver { .. } => {
            deliver(store, run, op).await
        }
    }
}

async fn deliver(store: &dyn Store, run: &mut Run, op: &WebhookOp) -> String {
    let (WebhookOp::Attempt { account, nth, .. }
    | WebhookOp::Lease { account, nth }
    | WebhookOp::Redeliver { account, nth, .. }) = *op
    else {
        return String::new();
    };
    let account = run.account(account);
    let listed = store.list_webhook_deliveries(&account, &DeliveryFilter::default(), 100).await.unwrap();
    let due = due(store, run, &account).await;
    match *op {
        WebhookOp::Attempt { behind, status, .. } => {
            let Some(due) = due.get(nth % due.len().max(1)) else { return "nothing is due".to_owned() };
            let leased =
                store.lease_webhook_delivery(&account, &due.id, &terms(due.fence, run.second)).await.unwrap();
            let next = match status {
                200 => AfterAttempt::Ended(DeliveryStatus::Delivered),
                410 => AfterAttempt::Ended(DeliveryStatus::Exhausted),
                _ => AfterAttempt::RetryIn(Duration::from_secs(20)),
            };
            let result = result(due.fence + 1 - behind, run.second, status, next);
            let finished = store.finish_webhook_delivery(&account, &due.id, &result).await;
            format!("{leased:?} {}", describe(finished))
        }
        WebhookOp::Lease { .. } => {
            let Some(due) = due.get(nth % due.len().max(1)) else { return "nothing is due".to_owned() };
            let terms = terms(due.fence, run.second);
            describe(store.lease_webhook_delivery(&account, &due.id, &terms).await)
        }
        WebhookOp::Redeliver { actor, .. } => {
            let event = run.event(&account, actor);
            let Some(delivery) = listed.get(nth) else { return "no delivery".to_owned() };
            describe(store.redeliver_webhook(&account, &delivery.id, &event).await)
        }
        _ => String::new(),
    }
}

/// The due deliveries of one account: other sequences use the same database.
async fn due(store: &dyn Store, run: &Run, account: &AccountId) -> Vec<crate::DueDelivery> {
    let mut due = store.list_due_webhook_deliveries(samples::at(run.second), 3).await.unwrap().due;
    due.retain(|due| due.account_id == *account);
    due
}

pub(super) async fn observe(store: &dyn Store, run: &Run, account: &AccountId) -> Vec<String> {
    vec![
        describe(store.list_webhook_endpoints(account, None, 1_000).await),
        describe(store.list_webhook_deliveries(account, &DeliveryFilter::default(), 1_000).await),
        format!("{:?}", due(store, run, account).await),
    ]
}
