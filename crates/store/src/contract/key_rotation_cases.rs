//! Replacing keyring keys, accounts' keys, and the keys of what is sealed.

use domain::account::{Account, AccountKeys};
use domain::audit::Actor;
use domain::id::AccountId;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped, WrappedKey};
use domain::service_secrets::ServiceSecrets;

use super::TestDatabase;
use super::engine_migration_samples::fill;
use super::samples::{
    account, at, audited, event, insert_account, insert_connection, keyring_check, wrapped,
};
use crate::{AccountKeysUpdate, Changed, KeyringUse, SealedKind, SealingKeyUpdate, Store};

pub(super) fn second_check() -> KeyringCheck {
    KeyringCheck { keyring_key: KeyringKeyId("k_second".into()), value: [8; 32] }
}

pub(super) fn with_second(fill: u8) -> KeyringWrapped {
    KeyringWrapped { keyring_key: second_check().keyring_key, wrapped: WrappedKey([fill; 60]) }
}

fn in_use(check: &KeyringCheck, accounts: u64, is_active: bool) -> KeyringUse {
    KeyringUse { keyring_key: check.keyring_key.clone(), accounts, is_active }
}

/// Makes the second keyring key active.
async fn activate(store: &dyn Store, expected: KeyringWrapped) -> Changed {
    let (expected, secrets) = (ServiceSecrets::of(expected), ServiceSecrets::of(with_second(9)));
    store.change_service_secrets(&expected, &secrets, Some(&second_check())).await.unwrap()
}

/// A database with two accounts, whose second keyring key is active.
async fn activated(db: &TestDatabase) -> std::sync::Arc<dyn Store> {
    let store = db.open().await;
    insert_account(&*store, 1).await;
    insert_account(&*store, 2).await;
    store.find_or_insert_service_secret(&wrapped(8)).await.unwrap();
    assert_eq!(activate(&*store, wrapped(8)).await, Changed::Yes);
    store
}

pub(crate) async fn a_keyring_key_becomes_active_with_the_service_secret(db: &TestDatabase) {
    let store = db.open().await;
    insert_account(&*store, 1).await;
    assert_eq!(store.find_service_secrets().await.unwrap(), None);
    store.find_or_insert_service_secret(&wrapped(8)).await.unwrap();
    assert_eq!(activate(&*store, wrapped(7)).await, Changed::No, "another secret was read");
    assert_eq!(store.list_keyring_uses().await.unwrap(), [in_use(&keyring_check(), 1, true)]);
    assert_eq!(activate(&*store, wrapped(8)).await, Changed::Yes);
    assert_eq!(store.find_service_secrets().await.unwrap(), Some(ServiceSecrets::of(with_second(9))));
    let uses = store.list_keyring_uses().await.unwrap();
    assert_eq!(uses, [in_use(&keyring_check(), 1, false), in_use(&second_check(), 0, true)]);
    assert_eq!(store.list_keyring_checks().await.unwrap(), [keyring_check(), second_check()]);
}

fn rewrap(account: &Account, fill: u8) -> AccountKeysUpdate {
    AccountKeysUpdate {
        account: account.id.clone(),
        expected: account.keys.clone(),
        keys: AccountKeys::of(with_second(fill)),
    }
}

pub(crate) async fn account_keys_are_rewrapped_unless_they_have_changed(db: &TestDatabase) {
    let store = activated(db).await;
    let (one, two) = (account(1), account(2));
    let key = second_check().keyring_key;
    let to_rewrap = async |after: Option<&AccountId>, limit| {
        let found = store.list_accounts_to_rewrap(&key, after, limit).await.unwrap();
        found.into_iter().map(|account| account.id).collect::<Vec<_>>()
    };
    assert_eq!(to_rewrap(None, 9).await, [one.id.clone(), two.id.clone()]);
    assert_eq!(to_rewrap(None, 1).await, std::slice::from_ref(&one.id));
    assert_eq!(to_rewrap(Some(&one.id), 9).await, std::slice::from_ref(&two.id));
    let stale = AccountKeysUpdate { expected: AccountKeys::of(wrapped(77)), ..rewrap(&two, 12) };
    assert_eq!(store.rewrap_account_keys(&[rewrap(&one, 11), stale]).await.unwrap(), 1);
    let stored = store.find_account(&one.id).await.unwrap().unwrap();
    assert_eq!(stored, Account { keys: AccountKeys::of(with_second(11)), ..one.clone() });
    assert_eq!(to_rewrap(None, 9).await, std::slice::from_ref(&two.id));
    assert_eq!(store.rewrap_account_keys(&[rewrap(&one, 13)]).await.unwrap(), 0, "it has changed");

    // A second key counts too.
    let (before, next) = (store.find_account(&one.id).await.unwrap().unwrap(), wrapped(14));
    let keys = before.keys.with_next(next.clone(), at(5));
    let update = AccountKeysUpdate { account: one.id.clone(), expected: before.keys, keys: keys.clone() };
    let replaced = store.update_account_keys(&update, &event(&one.id, 21, Actor::Operator, "key")).await;
    assert_eq!(replaced.unwrap(), Changed::Yes);
    assert_eq!(to_rewrap(None, 9).await, [one.id.clone(), two.id.clone()]);
    let mut rewrapped = keys.clone();
    rewrapped.second.as_mut().unwrap().key = with_second(15);
    let update =
        |expected: &AccountKeys| AccountKeysUpdate { expected: expected.clone(), ..rewrap(&one, 11) };
    let wrong = AccountKeys::of(keys.current.clone());
    assert_eq!(store.rewrap_account_keys(&[update(&wrong)]).await.unwrap(), 0, "another second key");
    let update = AccountKeysUpdate { keys: rewrapped.clone(), ..update(&keys) };
    assert_eq!(store.rewrap_account_keys(&[update]).await.unwrap(), 1);
    assert_eq!(store.find_account(&one.id).await.unwrap().unwrap().keys, rewrapped);
    assert_eq!(to_rewrap(None, 9).await, [two.id]);
}

pub(crate) async fn a_keyring_key_is_deleted_only_when_nothing_needs_it(db: &TestDatabase) {
    let store = activated(db).await;
    let (first, second) = (keyring_check().keyring_key, second_check().keyring_key);
    assert_eq!(store.delete_keyring_check(&second).await.unwrap(), Changed::No, "of the service secret");
    for (number, fill) in [(1, 11), (2, 12)] {
        assert_eq!(store.delete_keyring_check(&first).await.unwrap(), Changed::No, "an account needs it");
        assert_eq!(store.rewrap_account_keys(&[rewrap(&account(number), fill)]).await.unwrap(), 1);
    }
    let before = store.find_account(&account(1).id).await.unwrap().unwrap();
    let keys = before.keys.with_next(wrapped(3), at(5));
    let mut update = AccountKeysUpdate { account: before.id.clone(), expected: before.keys, keys };
    let changed = store.update_account_keys(&update, &event(&before.id, 31, Actor::Operator, "key")).await;
    assert_eq!(changed.unwrap(), Changed::Yes);
    assert_eq!(store.delete_keyring_check(&first).await.unwrap(), Changed::No, "a second key needs it");
    std::mem::swap(&mut update.expected, &mut update.keys);
    let changed = store.update_account_keys(&update, &event(&before.id, 32, Actor::Operator, "key")).await;
    assert_eq!(changed.unwrap(), Changed::Yes);
    assert_eq!(store.delete_keyring_check(&first).await.unwrap(), Changed::Yes);
    assert_eq!(store.delete_keyring_check(&first).await.unwrap(), Changed::No, "it is gone");
    assert_eq!(store.list_keyring_uses().await.unwrap(), [in_use(&second_check(), 2, true)]);
    let late = account(3);
    let inserted = store.insert_account(&late, &event(&late.id, 33, Actor::Operator, "account")).await;
    assert!(inserted.is_err(), "nothing is wrapped with a deleted key");
    store.probe_write().await.unwrap();
}

pub(crate) async fn the_keys_of_an_account_change_with_the_event_or_not_at_all(db: &TestDatabase) {
    let store = db.open().await;
    let id = insert_account(&*store, 1).await;
    let before = store.find_account(&id).await.unwrap().unwrap();
    let next = before.keys.with_next(wrapped(21), at(5));
    let switched = next.switched(at(6)).unwrap();
    let steps =
        [(&before.keys, &next), (&next, &switched), (&switched, &AccountKeys::of(switched.current.clone()))];
    for (number, (expected, keys)) in (41..).zip(steps) {
        let update =
            AccountKeysUpdate { account: id.clone(), expected: expected.clone(), keys: keys.clone() };
        let event = event(&id, number, Actor::Operator, "key");
        assert_eq!(store.update_account_keys(&update, &event).await.unwrap(), Changed::Yes);
        let again = super::samples::event(&id, number + 100, Actor::Operator, "key");
        assert_eq!(store.update_account_keys(&update, &again).await.unwrap(), Changed::No, "once");
        assert_eq!(&store.find_account(&id).await.unwrap().unwrap().keys, keys);
        let with_second = store.list_accounts_with_second_key().await.unwrap();
        assert_eq!(with_second.len(), usize::from(keys.second.is_some()));
    }
    assert_eq!(audited(&*store, &id).await.len(), 4, "with that of the account itself");
}

pub(crate) async fn sealing_keys_of_every_kind_are_listed_and_replaced(db: &TestDatabase) {
    let store = db.open().await;
    let id = fill(&*store).await;
    let other = insert_account(&*store, 2).await;
    insert_connection(&*store, &other, 9, "theirs").await.unwrap();
    for (number, kind) in (1..).zip(SealedKind::ALL) {
        let found = store.list_sealing_keys(&id, kind, "", 9).await.unwrap();
        assert!(!found.is_empty(), "{kind:?}");
        assert!(found.is_sorted_by_key(|key| key.record.clone()), "{kind:?}");
        let first = &found[0];
        let rest = store.list_sealing_keys(&id, kind, &first.record, 9).await.unwrap();
        assert_eq!(rest, found[1..], "{kind:?}");
        assert_eq!(store.list_sealing_keys(&id, kind, "", 1).await.unwrap(), found[..1], "{kind:?}");
        let update = SealingKeyUpdate {
            record: first.record.clone(),
            expected: first.wrapped.clone(),
            wrapped: WrappedKey([100 + number; 60]),
        };
        let updates = [update];
        assert_eq!(store.replace_sealing_keys(&other, kind, &updates).await.unwrap(), 0, "{kind:?}");
        assert_eq!(store.replace_sealing_keys(&id, kind, &updates).await.unwrap(), 1, "{kind:?}");
        assert_eq!(
            store.replace_sealing_keys(&id, kind, &updates).await.unwrap(),
            0,
            "{kind:?}: it has changed"
        );
        let after = store.list_sealing_keys(&id, kind, "", 9).await.unwrap();
        assert_eq!(after[0].wrapped, updates[0].wrapped, "{kind:?}");
        assert_eq!(after[1..], found[1..], "{kind:?}");
    }
    // Each is of its own kind: none was changed by another's.
    for (number, kind) in (1..).zip(SealedKind::ALL) {
        let found = store.list_sealing_keys(&id, kind, "", 1).await.unwrap();
        assert_eq!(found[0].wrapped, WrappedKey([100 + number; 60]), "{kind:?}");
    }
    assert_eq!(store.list_sealing_keys(&other, SealedKind::Connection, "", 9).await.unwrap().len(), 1);
}
