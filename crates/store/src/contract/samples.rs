//! Sample values for the cases.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use domain::account::{Account, AccountKeys, Label};
use domain::api_key::{ApiKey, ApiKeyRow, HashedKey, RowMac};
use domain::audit::{Action, Actor, AuditEvent, AuditFilter, AuditRecord, Outcome};
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName, Description};
use domain::health::HealthStatus;
use domain::id::{AccountId, ApiKeyId, AuditEventId, ConnectionId};
use domain::idempotency::OperationId;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped, SealedCredentials, WrappedKey};
use domain::time::Timestamp;

use crate::{ApiKeyUpdate, Error, NewConnection, NewHealth, OtherManager, Store};

/// The health of a sample connection.
pub(crate) fn new_health() -> NewHealth {
    NewHealth { status: HealthStatus::Healthy, checked_at: Some(at(2)), next_check_at: Some(at(600)) }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_769_850_300_042_000).plus_seconds(second)
}

pub(crate) fn keyring_check() -> KeyringCheck {
    KeyringCheck { keyring_key: KeyringKeyId("k_sample".into()), value: [9; 32] }
}

pub(crate) fn wrapped(fill: u8) -> KeyringWrapped {
    KeyringWrapped { keyring_key: keyring_check().keyring_key, wrapped: WrappedKey([fill; 60]) }
}

pub(crate) fn account(number: u8) -> Account {
    Account {
        id: AccountId::from_random([number; 16]),
        name: Label::parse(&format!("Account {number}")).unwrap(),
        created_at: at(0),
        keys: AccountKeys::of(wrapped(number)),
    }
}

pub(crate) fn event(account: &AccountId, number: u32, actor: Actor, subject: &str) -> AuditEvent {
    AuditEvent {
        id: AuditEventId::from_stored(format!("2026013109050004{number:0>16}")),
        account_id: account.clone(),
        at: at(1),
        actor,
        action: Action::CreateConnection,
        subject: Some(subject.to_owned()),
        outcome: Outcome::Done,
        announcement: None,
    }
}

pub(crate) fn key_row(account: &AccountId, number: u8) -> ApiKeyRow {
    ApiKeyRow {
        key: ApiKey {
            id: ApiKeyId::from_random([number; 16]),
            account_id: account.clone(),
            name: Label::parse("ci").unwrap(),
            last_four: "wxyz".into(),
            created_at: at(i64::from(number)),
            expires_at: None,
            revoked_at: None,
            grant: None,
            last_used_at: None,
        },
        hash: HashedKey([number; 32]),
        mac: RowMac([number; 32]),
    }
}

pub(crate) fn connection(account: &AccountId, number: u32, name: &str) -> (Connection, SealedCredentials) {
    let connection = Connection {
        id: ConnectionId::from_stored(format!("20260131090500042{number:0>15}")),
        account_id: account.clone(),
        name: ConnectionName::parse(name).unwrap(),
        description: Description::parse("kept\nas it is \u{1f600}").unwrap(),
        availability: Availability::Disabled,
        client_identifier: ClientIdentifier::parse("client-1").unwrap(),
        created_at: at(2),
        updated_at: at(3),
        version: 4,
        sealed_version: 3,
    };
    let fill = u8::try_from(number % 251).unwrap();
    (connection, SealedCredentials { envelope: vec![fill; 90], sealing_key: WrappedKey([fill; 60]) })
}

/// A new identifier for an attempt to reserve an idempotency key.
pub(crate) fn operation_id() -> OperationId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    OperationId(u128::from(NUMBER.fetch_add(1, Ordering::Relaxed)).to_be_bytes())
}

/// Adds the sample account of that number and the check value of its key.
pub(crate) async fn insert_account(store: &dyn Store, number: u8) -> AccountId {
    let account = account(number);
    store.insert_keyring_check(&keyring_check(), &[]).await.unwrap();
    store.insert_account(&account, &event(&account.id, 999_999, Actor::Operator, "account")).await.unwrap();
    account.id
}

/// Adds the sample connection of that number.
pub(crate) async fn insert_connection(
    store: &dyn Store,
    account: &AccountId,
    number: u32,
    name: &str,
) -> Result<(), Error> {
    let (row, sealed) = connection(account, number, name);
    let event = event(account, number, Actor::Operator, row.id.as_str());
    let new = NewConnection { connection: row, sealed, health: new_health(), event, completion: None };
    store.insert_connection(account, new).await
}

/// Adds the sample connection of that number with this health.
pub(crate) async fn with_health(store: &dyn Store, account: &AccountId, number: u32, health: NewHealth) {
    let (row, sealed) = connection(account, number, &format!("c {number}"));
    let event = event(account, number, Actor::Operator, row.id.as_str());
    let new = NewConnection { connection: row, sealed, health, event, completion: None };
    store.insert_connection(account, new).await.unwrap();
}

/// An API key as an actor.
pub(crate) fn actor(key: &ApiKeyRow) -> Actor {
    let (key_id, name) = (key.key.id.clone(), key.key.name.clone());
    Actor::ApiKey { key_id, name, remote: Some([127, 0, 0, 1].into()) }
}

/// The account's audit events, oldest first.
pub(crate) async fn audited(store: &dyn Store, account: &AccountId) -> Vec<AuditRecord> {
    let page = store.list_audit_events(account, &AuditFilter::default(), 100_000).await.unwrap();
    assert_eq!(page.next, None);
    page.events.into_iter().rev().collect()
}

/// A change to this row, based on the stored one, that no other key is needed for.
pub(crate) fn key_update(stored: &ApiKeyRow, row: ApiKeyRow) -> ApiKeyUpdate {
    let other_manager = OtherManager::NotRequired;
    ApiKeyUpdate { expected: stored.mac.clone(), row, successor: None, other_manager }
}

/// Runs all futures concurrently, polling them first in this order, so that writes are queued in this order.
pub(crate) async fn all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}
