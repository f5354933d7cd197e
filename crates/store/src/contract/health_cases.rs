//! The health of connections.

use std::time::Duration;

use domain::audit::{Action, Actor, AuditEvent};
use domain::health::HealthStatus;
use domain::id::{AccountId, ConnectionId};

use super::TestDatabase;
use super::samples::{
    at, audited, connection, event, insert_account, insert_connection, new_health, with_health,
};
use crate::{Changed, HealthLease, HealthRow, HealthUpdate, NewHealth, NotHealthy, Store};

fn id(account: &AccountId, number: u32) -> ConnectionId {
    connection(account, number, "any").0.id
}

fn update(account: &AccountId, number: u32, row: HealthRow, events: Vec<AuditEvent>) -> HealthUpdate {
    let connection = connection(account, number, "any").0;
    HealthUpdate {
        connection_id: connection.id,
        sealed_version: connection.sealed_version,
        client_identifier: connection.client_identifier,
        read_next_check_at: new_health().next_check_at,
        row,
        events,
    }
}

async fn find(store: &dyn Store, account: &AccountId, number: u32) -> HealthRow {
    store.find_connection_health(account, &id(account, number)).await.unwrap().unwrap()
}

fn lease(expected_revision: u64, second: i64) -> HealthLease {
    HealthLease { expected_revision, lasts: Duration::from_mins(1), now: at(second) }
}

/// A health that a check has found, based on the stored one.
fn checked(before: &HealthRow, status: HealthStatus, second: i64) -> HealthRow {
    HealthRow {
        status,
        since: at(second),
        checked_at: Some(at(second)),
        next_check_at: Some(at(second + 100)),
        unanswered: 2,
        details: Some("{\"kept\":\"as it is\"}".to_owned()),
        ..before.clone()
    }
}

pub(crate) async fn a_new_connection_has_the_health_that_it_was_added_with(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let two = insert_account(&*store, 2).await;
    insert_connection(&*store, &one, 1, "a").await.unwrap();
    let found = find(&*store, &one, 1).await;
    assert_eq!((found.status, found.since), (new_health().status, at(2)), "since its creation");
    assert_eq!(
        (found.checked_at, found.next_check_at),
        (new_health().checked_at, new_health().next_check_at)
    );
    assert_eq!((found.unanswered, found.revision, found.details), (0, 1, None));
    assert_eq!(store.find_connection_health(&two, &id(&one, 1)).await.unwrap(), None, "another account");
}

pub(crate) async fn a_health_is_written_once_with_its_events(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "a").await.unwrap();
    let before = find(&*store, &one, 1).await;
    let events: Vec<_> = [7, 8]
        .map(|number| AuditEvent {
            action: Action::MarkConnectionUnhealthy,
            ..event(&one, number, Actor::Service, "c")
        })
        .into();
    let row = checked(&before, HealthStatus::Unhealthy, 9);
    let written = update(&one, 1, row.clone(), events.clone());
    assert_eq!(store.write_connection_health(&one, written).await.unwrap(), Changed::Yes);
    let found = find(&*store, &one, 1).await;
    assert_eq!(found, HealthRow { revision: 2, ..row });
    // The same once more, as another worker would.
    let more = vec![AuditEvent { id: event(&one, 9, Actor::Service, "c").id, ..events[0].clone() }];
    let stale = update(&one, 1, checked(&before, HealthStatus::Healthy, 10), more);
    assert_eq!(store.write_connection_health(&one, stale).await.unwrap(), Changed::No);
    assert_eq!(find(&*store, &one, 1).await, found);
    let logged = audited(&*store, &one).await;
    let marked = logged.iter().filter(|record| record.action == Action::MarkConnectionUnhealthy.as_str());
    assert_eq!(marked.count(), 2);
}

pub(crate) async fn a_result_for_other_credentials_is_not_written(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "a").await.unwrap();
    let before = find(&*store, &one, 1).await;
    let row = checked(&before, HealthStatus::Unhealthy, 9);
    let resealed = HealthUpdate { sealed_version: 2, ..update(&one, 1, row.clone(), Vec::new()) };
    assert_eq!(store.write_connection_health(&one, resealed).await.unwrap(), Changed::No);
    let client_identifier = domain::connection::ClientIdentifier::parse("client-2").unwrap();
    let other_app = HealthUpdate { client_identifier, ..update(&one, 1, row.clone(), Vec::new()) };
    assert_eq!(store.write_connection_health(&one, other_app).await.unwrap(), Changed::No);
    let missing = update(&one, 2, row, Vec::new());
    assert_eq!(store.write_connection_health(&one, missing).await.unwrap(), Changed::No);
    assert_eq!(find(&*store, &one, 1).await, before);
}

pub(crate) async fn a_check_is_leased_once_until_its_lease_ends(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "a").await.unwrap();
    let leased = store.lease_health_check(&one, &id(&one, 1), &lease(1, 10)).await.unwrap().unwrap();
    assert_eq!(leased.revision, 2);
    assert_eq!(
        store.lease_health_check(&one, &id(&one, 1), &lease(2, 20)).await.unwrap(),
        None,
        "it is held"
    );
    assert_eq!(store.lease_health_check(&one, &id(&one, 1), &lease(1, 99)).await.unwrap(), None, "a fence");
    let again = store.lease_health_check(&one, &id(&one, 1), &lease(2, 70)).await.unwrap().unwrap();
    // The first worker comes back late.
    let late = update(&one, 1, checked(&leased, HealthStatus::Unhealthy, 71), Vec::new());
    assert_eq!(store.write_connection_health(&one, late).await.unwrap(), Changed::No);
    let row = update(&one, 1, checked(&again, HealthStatus::Unhealthy, 72), Vec::new());
    assert_eq!(store.write_connection_health(&one, row).await.unwrap(), Changed::Yes);
    assert_eq!(find(&*store, &one, 1).await.revision, 4);
    assert!(store.lease_health_check(&one, &id(&one, 1), &lease(4, 73)).await.unwrap().is_some(), "released");
}

pub(crate) async fn due_checks_are_listed_by_account(db: &TestDatabase) {
    let store = db.open().await;
    let accounts = [insert_account(&*store, 1).await, insert_account(&*store, 2).await];
    let due = |second| NewHealth { next_check_at: Some(at(second)), ..new_health() };
    for (account, number, health) in [
        (0, 1, due(50)),
        (0, 2, due(30)),
        (0, 3, due(40)),
        (0, 4, due(900)),
        (1, 5, due(60)),
        (1, 6, NewHealth { next_check_at: None, ..new_health() }),
    ] {
        let account = &accounts[account];
        with_health(&*store, account, number, health).await;
    }
    let listed = async |second, per_account| {
        let due = store.list_due_health_checks(at(second), per_account).await.unwrap();
        let mut due: Vec<_> = due.into_iter().map(|due| (due.account_id, due.due_at, due.revision)).collect();
        due.sort_by_key(|(account, at, _)| (account.clone(), *at));
        due
    };
    let [one, two] = accounts.clone();
    assert_eq!(listed(29, 9).await, []);
    let mut expected = vec![
        (one.clone(), at(30), 1),
        (one.clone(), at(40), 1),
        (one.clone(), at(50), 1),
        (two.clone(), at(60), 1),
    ];
    expected.sort_by_key(|(account, at, _)| (account.clone(), *at));
    assert_eq!(listed(60, 9).await, expected);
    assert_eq!(listed(60, 2).await.len(), 3, "two of the first account");
    store.lease_health_check(&one, &id(&one, 2), &lease(1, 60)).await.unwrap().unwrap();
    assert_eq!(listed(60, 9).await.len(), 3, "one is held");
    store.schedule_health_check(&one, &id(&one, 4), Duration::from_secs(1), at(60)).await.unwrap();
    store.schedule_health_check(&two, &id(&two, 6), Duration::ZERO, at(60)).await.unwrap();
    assert_eq!(listed(61, 9).await.len(), 5, "both are due now");
    store.schedule_health_check(&one, &id(&one, 4), Duration::from_secs(500), at(60)).await.unwrap();
    assert_eq!(find(&*store, &one, 4).await.next_check_at, Some(at(61)), "never later");
}

pub(crate) async fn connections_are_listed_and_counted_by_their_health(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let two = insert_account(&*store, 2).await;
    let health = |status| NewHealth { status, ..new_health() };
    for (number, status) in [
        (1, HealthStatus::Healthy),
        (2, HealthStatus::Unhealthy),
        (3, HealthStatus::Unverified),
        (4, HealthStatus::Unhealthy),
        (5, HealthStatus::Healthy),
    ] {
        with_health(&*store, &one, number, health(status)).await;
    }
    with_health(&*store, &two, 6, health(HealthStatus::Unhealthy)).await;
    let listed = async |status, after: Option<u32>, limit| {
        let after = after.map(|number| id(&one, number));
        let found = store.list_connections_by_health(&one, status, after.as_ref(), limit).await.unwrap();
        found.into_iter().map(|found| found.id).collect::<Vec<_>>()
    };
    let ids = |numbers: &[u32]| numbers.iter().map(|number| id(&one, *number)).collect::<Vec<_>>();
    assert_eq!(listed(HealthStatus::Healthy, None, 9).await, ids(&[1, 5]));
    assert_eq!(listed(HealthStatus::Unhealthy, None, 9).await, ids(&[2, 4]));
    assert_eq!(listed(HealthStatus::Unhealthy, None, 1).await, ids(&[2]));
    assert_eq!(listed(HealthStatus::Unhealthy, Some(2), 9).await, ids(&[4]));
    assert_eq!(listed(HealthStatus::Unverified, Some(3), 9).await, ids(&[]));
    let counted = store.count_not_healthy_connections(9).await.unwrap();
    assert_eq!(counted, NotHealthy { unhealthy: 3, unverified: 1 });
    assert_eq!(store.count_not_healthy_connections(2).await.unwrap().unhealthy, 2);
}

pub(crate) async fn the_health_of_several_connections_is_read_at_once(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let two = insert_account(&*store, 2).await;
    for (account, number) in [(&one, 1), (&one, 2), (&one, 3), (&two, 4)] {
        with_health(&*store, account, number, new_health()).await;
    }
    let row = checked(&find(&*store, &one, 3).await, HealthStatus::Unhealthy, 9);
    store.write_connection_health(&one, update(&one, 3, row, Vec::new())).await.unwrap();
    let asked = [id(&one, 1), id(&one, 3), id(&two, 4), id(&one, 5)];
    let found = store.list_connection_health(&one, &asked).await.unwrap();
    let expected = [1, 3].map(|number| id(&one, number));
    assert_eq!(found.len(), expected.len(), "neither another account's, nor one that does not exist");
    for (number, expected) in [1, 3].into_iter().zip(expected) {
        assert_eq!(found.get(&expected), Some(&find(&*store, &one, number).await));
    }
    assert!(store.list_connection_health(&one, &[]).await.unwrap().is_empty());
}

pub(crate) async fn the_health_is_deleted_with_the_connection(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        with_health(&*store, &one, number, new_health()).await;
    }
    let deletion = event(&one, 90, Actor::Operator, "c");
    store.delete_connection(&one, &id(&one, 1), &deletion).await.unwrap();
    assert_eq!(store.find_connection_health(&one, &id(&one, 1)).await.unwrap(), None);
    let end = event(&one, 91, Actor::Operator, "account");
    while store.delete_account_part(&one, 1, &end).await.unwrap() != crate::AccountDeletion::Done {}
    for number in 2..=3 {
        assert_eq!(store.find_connection_health(&one, &id(&one, number)).await.unwrap(), None);
    }
    assert_eq!(store.list_due_health_checks(at(10_000), 9).await.unwrap(), []);
}

/// An older version adds connections without it.
pub(crate) async fn a_missing_health_is_added(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        with_health(&*store, &one, number, new_health()).await;
    }
    db.change("DELETE FROM connection_health").await;
    let two = insert_account(&*store, 2).await;
    let add = async |account, after: Option<&ConnectionId>| {
        store.insert_missing_connection_health(account, after, 2, at(5)).await.unwrap()
    };
    assert_eq!(add(&two, None).await, None);
    let last = add(&one, None).await;
    assert_eq!(last, Some(id(&one, 2)));
    assert_eq!(store.list_due_health_checks(at(100_000_000), 9).await.unwrap().len(), 2);
    let last = add(&one, last.as_ref()).await;
    assert_eq!(last, Some(id(&one, 3)));
    assert_eq!(add(&one, last.as_ref()).await, None);
    assert_eq!(add(&one, None).await, Some(id(&one, 2)), "those that have one keep it");
    let found = find(&*store, &one, 3).await;
    assert_eq!((found.status, found.revision), (HealthStatus::Unverified, 1));
    assert_eq!(store.list_due_health_checks(at(100_000_000), 9).await.unwrap().len(), 3);
    // A result is kept even before that.
    db.change("DELETE FROM connection_health").await;
    let row = HealthRow { revision: 0, ..checked(&found, HealthStatus::Healthy, 9) };
    let written = store.write_connection_health(&one, update(&one, 1, row, Vec::new())).await.unwrap();
    assert_eq!((written, find(&*store, &one, 1).await.revision), (Changed::Yes, 1));
}

/// An older version deletes connections without it.
pub(crate) async fn an_orphaned_health_is_deleted(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        with_health(&*store, &one, number, new_health()).await;
    }
    let of = async |number| store.find_connection_health(&one, &id(&one, number)).await.unwrap();
    store.delete_orphaned_health(&one, &id(&one, 1)).await.unwrap();
    assert!(of(1).await.is_some(), "its connection exists");
    db.change(&format!("DELETE FROM connections WHERE connection_id = '{}'", id(&one, 1))).await;
    store.delete_orphaned_health(&one, &id(&one, 1)).await.unwrap();
    assert_eq!(of(1).await, None);
    // Or with its account.
    db.change(&format!("DELETE FROM connections WHERE connection_id = '{}'", id(&one, 2))).await;
    let end = event(&one, 91, Actor::Operator, "account");
    while store.delete_account_part(&one, 1, &end).await.unwrap() != crate::AccountDeletion::Done {}
    assert_eq!((of(2).await, of(3).await), (None, None));
}

pub(crate) async fn a_check_that_was_made_due_meanwhile_stays_due(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    with_health(&*store, &one, 1, new_health()).await;
    let leased = store.lease_health_check(&one, &id(&one, 1), &lease(1, 10)).await.unwrap().unwrap();
    store.schedule_health_check(&one, &id(&one, 1), Duration::ZERO, at(20)).await.unwrap();
    let written = update(&one, 1, checked(&leased, HealthStatus::Healthy, 30), Vec::new());
    assert_eq!(store.write_connection_health(&one, written).await.unwrap(), Changed::Yes);
    let found = find(&*store, &one, 1).await;
    assert_eq!((found.checked_at, found.next_check_at), (Some(at(30)), Some(at(20))));
    let written = HealthUpdate {
        read_next_check_at: found.next_check_at,
        ..update(&one, 1, checked(&found, HealthStatus::Healthy, 40), Vec::new())
    };
    assert_eq!(store.write_connection_health(&one, written).await.unwrap(), Changed::Yes);
    assert_eq!(find(&*store, &one, 1).await.next_check_at, Some(at(140)));
}
