//! Accounts, API keys, connections, the keyring and the queue of writes. Each name is true of every engine.

use std::time::Duration;

use domain::account::{AccountKeys, Label};
use domain::api_key::{HashedKey, RowMac};
use domain::audit::{Actor, AuditFilter, Outcome};
use domain::id::AccountId;
use domain::limits::LimitOverrides;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};

use super::TestDatabase;
use super::samples::{
    account, at, connection, event, insert_account, insert_connection, key_row, key_update, keyring_check,
    wrapped,
};
use crate::{ApiKeyUpdate, Changed, Error, FoundApiKey, NewConnection};

pub(crate) async fn an_account_is_found_by_id_and_by_name(db: &TestDatabase) {
    let store = db.open().await;
    let id = insert_account(&*store, 1).await;
    insert_account(&*store, 2).await;
    assert_eq!(store.find_account(&id).await.unwrap(), Some(account(1)));
    assert_eq!(store.find_account_by_name(&account(1).name).await.unwrap(), Some(account(1)));
    assert_eq!(store.find_account_by_name(&Label::parse("absent").unwrap()).await.unwrap(), None);
    assert_eq!(store.list_accounts().await.unwrap(), [account(1), account(2)]);
    store.probe_write().await.unwrap();
}

pub(crate) async fn two_accounts_cannot_share_a_name(db: &TestDatabase) {
    let store = db.open().await;
    insert_account(&*store, 1).await;
    let mut twin = account(2);
    twin.name = account(1).name;
    let refused = store.insert_account(&twin, &event(&twin.id, 0, Actor::Operator, "twin")).await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
    assert_eq!(super::samples::audited(&*store, &twin.id).await, []);
}

pub(crate) async fn a_key_is_found_by_its_hash_and_listed_under_its_account(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let (mut first, second) = (key_row(&one, 1), key_row(&one, 2));
    first.key.expires_at = Some(at(99));
    for (number, row) in [(11, &second), (12, &first)] {
        store.insert_api_key(&one, row, &event(&one, number, Actor::Operator, "key")).await.unwrap();
    }
    let found = FoundApiKey { row: first.clone(), limits: LimitOverrides::default(), read_at: at(7) };
    assert_eq!(store.find_api_key_by_hash(&first.hash, at(7)).await.unwrap(), Some(found));
    assert_eq!(store.find_api_key_by_hash(&HashedKey([7; 32]), at(7)).await.unwrap(), None);
    assert_eq!(store.find_api_key(&second.key.id).await.unwrap(), Some(second.clone()));
    assert_eq!(store.list_api_keys(&one).await.unwrap(), [first, second]);
    assert_eq!(store.list_api_keys(&two).await.unwrap(), []);
}

pub(crate) async fn a_key_is_imported_once(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let row = key_row(&one, 1);
    store.insert_api_key(&one, &row, &event(&one, 11, Actor::Operator, "key")).await.unwrap();
    let mut again = key_row(&two, 2);
    again.hash = row.hash.clone();
    let refused = store.insert_api_key(&two, &again, &event(&two, 12, Actor::Operator, "key")).await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
    let found = store.find_api_key_by_hash(&row.hash, at(7)).await.unwrap().unwrap();
    assert_eq!((found.row, found.read_at), (row, at(7)));
}

pub(crate) async fn a_revocation_needs_the_mac_that_was_read(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let row = key_row(&one, 1);
    store.insert_api_key(&one, &row, &event(&one, 11, Actor::Operator, "key")).await.unwrap();
    let mut revoked = row.clone();
    revoked.key.revoked_at = Some(at(50));
    revoked.mac = RowMac([77; 32]);
    let revoke = |account: AccountId, expected: RowMac, number: u32| {
        let (store, revoked) = (store.clone(), revoked.clone());
        async move {
            let event = event(&account, number, Actor::Operator, "key");
            let update = ApiKeyUpdate { expected, ..key_update(&revoked, revoked.clone()) };
            store.update_api_key(&account, update, &event).await.unwrap()
        }
    };
    assert_eq!(revoke(one.clone(), RowMac([3; 32]), 21).await, Changed::No);
    assert_eq!(revoke(two.clone(), row.mac.clone(), 22).await, Changed::No, "another account's key");
    assert_eq!(store.find_api_key(&row.key.id).await.unwrap(), Some(row.clone()));
    assert_eq!(revoke(one.clone(), row.mac.clone(), 23).await, Changed::Yes);
    assert_eq!(revoke(one.clone(), row.mac.clone(), 24).await, Changed::No, "a second time");
    assert_eq!(store.find_api_key(&row.key.id).await.unwrap(), Some(revoked));
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
}

pub(crate) async fn a_connection_is_found_by_its_account_alone(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let (row, sealed) = connection(&one, 1, " My Vimeo ");
    insert_connection(&*store, &one, 1, " My Vimeo ").await.unwrap();
    assert_eq!(store.find_connection(&one, &row.id).await.unwrap(), Some(row.clone()));
    assert_eq!(store.find_sealed_connection(&one, &row.id).await.unwrap(), Some((row.clone(), sealed)));
    assert_eq!(store.find_connection_id_by_name(&one, "My Vimeo").await.unwrap(), Some(row.id.clone()));
    assert_eq!(store.find_connection_id_by_name(&one, "my vimeo").await.unwrap(), None);
    assert_eq!(store.find_connection(&two, &row.id).await.unwrap(), None);
    assert_eq!(store.find_sealed_connection(&two, &row.id).await.unwrap(), None);
    assert_eq!(store.find_connection_id_by_name(&two, "My Vimeo").await.unwrap(), None);
}

pub(crate) async fn a_name_is_taken_once_in_an_account_and_free_in_another(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_connection(&*store, &one, 1, "Same").await.unwrap();
    let refused = insert_connection(&*store, &one, 2, "  Same ").await;
    assert!(matches!(refused, Err(Error::NameTaken)), "{refused:?}");
    insert_connection(&*store, &one, 3, "same").await.unwrap();
    insert_connection(&*store, &two, 4, "Same").await.unwrap();
}

pub(crate) async fn a_revoked_or_expired_key_writes_no_connection(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    // The events of the samples are at second 1.
    let (mut sharp, mut expired, mut revoked) = (key_row(&one, 1), key_row(&one, 2), key_row(&one, 3));
    sharp.key.expires_at = Some(at(2));
    expired.key.expires_at = Some(at(1));
    revoked.key.revoked_at = Some(at(0));
    for (number, row) in [(11, &sharp), (12, &expired), (13, &revoked)] {
        store.insert_api_key(&one, row, &event(&one, number, Actor::Operator, "key")).await.unwrap();
    }
    for (number, account, key, good) in [
        (1, &one, &sharp, true),
        (2, &one, &expired, false),
        (3, &one, &revoked, false),
        (4, &two, &sharp, false),
    ] {
        let (row, sealed) = connection(account, number, &format!("name {number}"));
        let (key_id, name) = (key.key.id.clone(), key.key.name.clone());
        let actor = Actor::ApiKey { key_id, name, remote: Some([127, 0, 0, 1].into()) };
        let event = event(account, 20 + number, actor, row.id.as_str());
        let new = NewConnection {
            connection: row.clone(),
            sealed,
            health: super::samples::new_health(),
            event,
            completion: None,
        };
        let result = store.insert_connection(account, new).await;
        assert_eq!(result.is_ok(), good, "{number}: {result:?}");
        assert!(good || matches!(result, Err(Error::KeyNotActive)), "{number}");
        assert_eq!(store.find_connection(account, &row.id).await.unwrap().is_some(), good, "{number}");
    }
}

/// Thirty-two writes at once, so that they share transactions; every fourth is refused.
pub(crate) async fn a_refused_write_writes_nothing_and_affects_no_other(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 100, "taken").await.unwrap();
    let writes: Vec<_> = (0..32_u32)
        .map(|number| {
            let (store, one) = (store.clone(), one.clone());
            async move {
                let name = if number % 4 == 0 { "taken".to_owned() } else { format!("free {number}") };
                (number, insert_connection(&*store, &one, number, &name).await)
            }
        })
        .collect();
    let mut set = tokio::task::JoinSet::new();
    for write in writes {
        set.spawn(write);
    }
    for (number, result) in set.join_all().await {
        let (row, _) = connection(&one, number, "any");
        let stored = store.find_connection(&one, &row.id).await.unwrap();
        if number % 4 == 0 {
            assert!(matches!(result, Err(Error::NameTaken)), "{number}: {result:?}");
            assert_eq!(stored, None);
        } else {
            result.unwrap();
            assert_eq!(stored.unwrap().name.as_str(), format!("free {number}"));
        }
    }
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 1 + 1 + 24);
}

pub(crate) async fn every_write_adds_its_audit_event(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let row = key_row(&one, 1);
    let (key_id, name) = (row.key.id.clone(), row.key.name.clone());
    let actor = Actor::ApiKey { key_id, name, remote: Some("2001:db8::1".parse().unwrap()) };
    store.insert_api_key(&one, &row, &event(&one, 1, Actor::Operator, "key")).await.unwrap();
    let (new, sealed) = connection(&one, 1, "x");
    let done = event(&one, 2, actor.clone(), new.id.as_str());
    let written = NewConnection {
        connection: new,
        sealed,
        health: super::samples::new_health(),
        event: done.clone(),
        completion: None,
    };
    store.insert_connection(&one, written).await.unwrap();
    let mut refused = event(&one, 3, actor, "x");
    refused.outcome = Outcome::Refused("CONNECTION_NAME_EXISTS".into());
    refused.subject = None;
    store.insert_audit_event(&one, &refused).await.unwrap();
    let events = super::samples::audited(&*store, &one).await;
    assert_eq!(events.len(), 4);
    assert_eq!(events[1..3], [(&done).into(), (&refused).into()]);
    let page = store.list_audit_events(&one, &AuditFilter::default(), 2).await.unwrap();
    assert_eq!(page.events, [events[3].clone(), events[2].clone()]);
}

pub(crate) async fn identifiers_are_listed_in_order_and_within_the_account(db: &TestDatabase) {
    let store = db.open().await;
    assert_eq!(store.find_last_connection_time().await.unwrap(), None);
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for number in [5, 3, 1, 4, 2] {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    insert_connection(&*store, &two, 9, "other").await.unwrap();
    assert_eq!(store.find_last_connection_time().await.unwrap(), Some(at(2)));
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = store.list_connection_ids(&one, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        listed.extend(page);
    }
    let expected: Vec<_> = (1..=5).map(|number| connection(&one, number, "any").0.id).collect();
    assert_eq!(listed, expected);
    assert_eq!(store.list_account_ids().await.unwrap(), [one, two]);
}

pub(crate) async fn the_first_keyring_and_the_first_service_secret_are_kept(db: &TestDatabase) {
    let store = db.open().await;
    let first = keyring_check();
    let second = KeyringCheck { keyring_key: KeyringKeyId("k_second".into()), value: [8; 32] };
    let kept = store.insert_keyring_check(&first, &[]).await.unwrap();
    assert_eq!(kept, std::slice::from_ref(&first));
    let lost = store.insert_keyring_check(&second, &[]).await.unwrap();
    assert_eq!(lost, kept, "another keyring came second");
    let forged = KeyringCheck { value: [7; 32], ..first.clone() };
    assert_eq!(
        store.insert_keyring_check(&forged, &kept).await.unwrap(),
        kept,
        "a check value never changes"
    );
    assert_eq!(store.insert_keyring_check(&second, &kept).await.unwrap(), [first, second]);
    assert_eq!(store.find_or_insert_service_secret(&wrapped(1)).await.unwrap(), wrapped(1));
    assert_eq!(store.find_or_insert_service_secret(&wrapped(2)).await.unwrap(), wrapped(1));
    let unchecked = KeyringWrapped { keyring_key: KeyringKeyId("k_unknown".into()), ..wrapped(3) };
    let mut stranger = account(3);
    stranger.keys = AccountKeys::of(unchecked);
    let refused = store.insert_account(&stranger, &event(&stranger.id, 1, Actor::Operator, "x")).await;
    assert!(refused.is_err(), "a key that the database holds no check value for");
    let checks = store.list_keyring_checks().await.unwrap();
    assert_eq!(checks.len(), 2);
    store.probe_write().await.unwrap();
}

pub(crate) async fn acknowledged_writes_survive_reopening(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 0..50 {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = db.open().await;
    for number in 0..50 {
        let (row, sealed) = connection(&one, number, &format!("c {number}"));
        assert_eq!(store.find_sealed_connection(&one, &row.id).await.unwrap(), Some((row, sealed)));
    }
}

pub(crate) async fn a_full_queue_refuses_writes(db: &TestDatabase) {
    let store = db.open_with_queue(1).await;
    let one = insert_account(&*store, 1).await;
    let mut set = tokio::task::JoinSet::new();
    for number in 0..400 {
        let (store, one) = (store.clone(), one.clone());
        set.spawn(
            async move { (number, insert_connection(&*store, &one, number, &format!("c {number}")).await) },
        );
    }
    let (mut done, mut turned_away) = (0, 0);
    for (number, result) in set.join_all().await {
        let (row, _) = connection(&one, number, "any");
        let stored = store.find_connection(&one, &row.id).await.unwrap().is_some();
        match result {
            Ok(()) => done += 1,
            Err(Error::Overloaded) => turned_away += 1,
            Err(error) => panic!("{number}: {error:?}"),
        }
        assert_eq!(stored, result.is_ok(), "{number}");
    }
    assert!(done > 0 && turned_away > 0, "{done} done, {turned_away} turned away");
}

pub(crate) async fn a_closed_store_refuses_writes(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    store.close().await;
    let refused = insert_connection(&*store, &one, 1, "late").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let never = tokio::time::timeout(Duration::from_millis(20), store.failed()).await;
    assert!(never.is_err(), "closing is no failure");
}

pub(crate) async fn a_withdrawn_write_leaves_the_store_consistent(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let mut done = 0;
    for number in 0..200 {
        let name = format!("c {number}");
        // Polled once and dropped: it may have run already, or not.
        done += tokio::select! {
            biased;
            _ = insert_connection(&*store, &one, number, &name) => 1,
            () = std::future::ready(()) => 0,
        };
        let (row, _) = connection(&one, number, "any");
        let _ = store.find_connection(&one, &row.id).await.unwrap();
    }
    assert!(done < 200, "some were withdrawn");
    // The store still works and is consistent: there is one audit event for each connection.
    insert_connection(&*store, &one, 900, "after").await.unwrap();
    let mut connections = 0;
    for number in (0..200).chain([900]) {
        let (row, _) = connection(&one, number, "any");
        connections += usize::from(store.find_connection(&one, &row.id).await.unwrap().is_some());
    }
    assert_eq!(super::samples::audited(&*store, &one).await.len(), connections + 1);
}
