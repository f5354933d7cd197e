//! Replacing the service secret, and the MACs of rows.

use domain::audit::AuditChain;
use domain::id::{AccountId, ApiKeyId, DeliveryId, SessionId};
use domain::job::JobId;
use domain::service_secrets::ServiceSecrets;

use super::TestDatabase;
use super::engine_migration_samples::fill;
use super::key_rotation_cases::{second_check, with_second};
use super::samples::{at, insert_account, keyring_check, wrapped};
use crate::{AuditChainWrite, Changed, RowMacUpdate, SignedKind, Store};

pub(crate) async fn service_secrets_change_if_they_are_those_that_were_read(db: &TestDatabase) {
    let store = db.open().await;
    insert_account(&*store, 1).await;
    assert_eq!(store.find_service_secrets().await.unwrap(), None);
    store.find_or_insert_service_secret(&wrapped(8)).await.unwrap();
    let first = ServiceSecrets::of(wrapped(8));
    assert_eq!(store.find_service_secrets().await.unwrap(), Some(first.clone()));
    let next = first.with_next(wrapped(9), at(1));
    let switched = next.switched(at(2)).unwrap();
    let retired = switched.with_former_retired(wrapped(10), at(3)).unwrap();
    let again = retired.with_next(wrapped(11), at(4)).switched(at(5)).unwrap();
    let last = again.with_former_retired(wrapped(12), at(6)).unwrap();
    for (expected, secrets) in
        [(&first, &next), (&next, &switched), (&switched, &retired), (&retired, &again), (&again, &last)]
    {
        let other = if expected == &first { &next } else { &first };
        let change = |expected, secrets| store.change_service_secrets(expected, secrets, None);
        assert_eq!(change(other, secrets).await.unwrap(), Changed::No, "others were read");
        assert_eq!(change(expected, secrets).await.unwrap(), Changed::Yes);
        assert_eq!(store.find_service_secrets().await.unwrap().as_ref(), Some(secrets));
    }
    let inspected = crate::inspect(&db.database_url()).await.unwrap().unwrap();
    assert_eq!(inspected.service_secrets, Some(last));
}

pub(crate) async fn every_service_secret_needs_its_keyring_key(db: &TestDatabase) {
    let store = db.open().await;
    let account = insert_account(&*store, 1).await;
    store.find_or_insert_service_secret(&wrapped(8)).await.unwrap();
    let first = ServiceSecrets::of(wrapped(8));
    let (old, new) = (keyring_check().keyring_key, second_check().keyring_key);
    let next = ServiceSecrets::of(with_second(9)).with_next(wrapped(7), at(1));
    let changed = store.change_service_secrets(&first, &next, None).await;
    assert!(changed.is_err(), "the database does not know the keyring key");
    let changed = store.change_service_secrets(&first, &next, Some(&second_check())).await;
    assert_eq!(changed.unwrap(), Changed::Yes);
    // Nothing else needs the old key.
    let account = store.find_account(&account).await.unwrap().unwrap();
    let update = crate::AccountKeysUpdate {
        account: account.id,
        expected: account.keys,
        keys: domain::account::AccountKeys::of(with_second(5)),
    };
    assert_eq!(store.rewrap_account_keys(&[update]).await.unwrap(), 1);
    assert_eq!(store.delete_keyring_check(&old).await.unwrap(), Changed::No, "the next secret needs it");
    let mut rewrapped = next.clone();
    rewrapped.second.as_mut().unwrap().secret.wrapped = with_second(7);
    let changed = store.change_service_secrets(&next, &rewrapped, None).await;
    assert_eq!(changed.unwrap(), Changed::Yes);
    assert_eq!(store.delete_keyring_check(&old).await.unwrap(), Changed::Yes);
    assert_eq!(store.delete_keyring_check(&new).await.unwrap(), Changed::No);
}

/// The stored MAC of a record.
async fn mac(store: &dyn Store, account: &AccountId, kind: SignedKind, record: &str) -> Vec<u8> {
    let text = record.to_owned();
    match kind {
        SignedKind::ApiKey => {
            store.find_api_key(&ApiKeyId::from_stored(text)).await.unwrap().unwrap().mac.0.to_vec()
        }
        SignedKind::Session => {
            let id = SessionId::from_stored(text);
            let found = store.find_dashboard_session(account, &id, at(1)).await.unwrap();
            found.unwrap().row.mac.to_vec()
        }
        SignedKind::Job => {
            let id = JobId::parse(record).unwrap();
            store.find_stored_job(account, &id).await.unwrap().unwrap().row_mac.unwrap()
        }
        SignedKind::WebhookMessage => {
            let id = DeliveryId::from_stored(text);
            store.find_signed_message(account, &id).await.unwrap().unwrap().mac
        }
        SignedKind::AuditChain => store.find_audit_chain(account).await.unwrap().unwrap().row_mac,
    }
}

pub(crate) async fn macs_of_every_kind_are_listed_and_replaced(db: &TestDatabase) {
    let store = db.open().await;
    let id = fill(&*store).await;
    let other = insert_account(&*store, 2).await;
    if store.find_audit_chain(&id).await.unwrap().is_none() {
        let chain = AuditChain { version: 1, row_mac: vec![3; 32], ..AuditChain::empty(id.clone(), at(1)) };
        let write = AuditChainWrite { expected_version: 0, chain, links: Vec::new(), deleted: Vec::new() };
        assert_eq!(store.write_audit_chain(&id, write).await.unwrap(), Changed::Yes);
    }
    for kind in SignedKind::ALL {
        let list = async |account, after: &str, limit| {
            store.list_signed_records(account, kind, after, limit).await.unwrap()
        };
        let records = list(&id, "", 1_000).await;
        assert!(!records.is_empty(), "{kind:?}");
        assert!(records.is_sorted(), "{kind:?}");
        assert_eq!(list(&id, "", 1).await, records[..1]);
        assert_eq!(list(&id, &records[0], 1_000).await, records[1..]);
        assert_eq!(list(&other, "", 9).await, [""; 0], "{kind:?} of another account");
        let mut updates = Vec::new();
        for (number, record) in (0..).zip(&records) {
            let expected = mac(&*store, &id, kind, record).await;
            updates.push(RowMacUpdate { record: record.clone(), expected, mac: [number + 100; 32] });
        }
        let replace = async |account, updates: &[RowMacUpdate]| {
            store.replace_row_macs(account, kind, updates).await.unwrap()
        };
        assert_eq!(replace(&other, &updates).await, 0, "{kind:?} of another account");
        assert_eq!(replace(&id, &updates).await, updates.len(), "{kind:?}");
        assert_eq!(replace(&id, &updates).await, 0, "{kind:?}: they have changed");
        for update in &updates {
            assert_eq!(mac(&*store, &id, kind, &update.record).await, update.mac, "{kind:?}");
        }
    }
}
