//! API keys with scopes: what is stored of them, their changes, successors and last use.

use domain::account::Label;
use domain::api_key::{ApiKeyRow, Creator, Grant, HashedKey, RowMac};
use domain::audit::Actor;
use domain::id::AccountId;
use domain::scope::{Scope, Scopes};

use super::TestDatabase;
use super::samples::{account, actor, all, at, event, insert_account, key_row, key_update};
use crate::{ApiKeyUpdate, ApiKeyUse, Changed, Error, OtherManager, Store, inspect_key};

/// The sample key of that number with these scopes.
fn granted(account: &AccountId, number: u8, scopes: Scopes) -> ApiKeyRow {
    let mut row = key_row(account, number);
    row.key.grant = Some(Grant { scopes, creator: Creator::Operator, rotated_from: None });
    row
}

async fn insert(store: &dyn Store, account: &AccountId, row: &ApiKeyRow) {
    let number = 10_000 + u32::from(row.hash.0[0]);
    store.insert_api_key(account, row, &event(account, number, Actor::Operator, "key")).await.unwrap();
}

/// The key as it is revoked.
fn revoked(row: &ApiKeyRow) -> ApiKeyRow {
    let mut revoked = row.clone();
    revoked.key.revoked_at = Some(at(0));
    revoked.mac = RowMac([200; 32]);
    revoked
}

pub(crate) async fn scopes_creator_and_rotated_key_are_read_back_as_stored(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let old = key_row(&one, 1);
    let mut grants = vec![None];
    for scopes in [Scopes::NONE, Scopes::ALL, [Scope::AuditRead, Scope::UploadsRead].into_iter().collect()] {
        for creator in [Creator::Operator, Creator::ApiKey(old.key.id.clone())] {
            for rotated_from in [None, Some(old.key.id.clone())] {
                grants.push(Some(Grant { scopes, creator: creator.clone(), rotated_from }));
            }
        }
    }
    for (number, grant) in (1..).zip(grants) {
        let mut row = key_row(&one, number);
        row.key.grant = grant;
        insert(&*store, &one, &row).await;
        assert_eq!(store.find_api_key(&row.key.id).await.unwrap().as_ref(), Some(&row));
        let found = store.find_api_key_by_hash(&row.hash, at(7)).await.unwrap().unwrap();
        assert_eq!((found.row, found.read_at), (row, at(7)));
    }
}

pub(crate) async fn a_revoked_or_expired_key_creates_and_changes_no_key(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    // The events of the samples are at second 1.
    let (mut active, mut expired) = (key_row(&one, 1), key_row(&one, 2));
    active.key.expires_at = Some(at(2));
    expired.key.expires_at = Some(at(1));
    let gone = revoked(&key_row(&one, 3));
    let target = key_row(&one, 4);
    for row in [&active, &expired, &gone, &target] {
        insert(&*store, &one, row).await;
    }
    for (number, key, account, is_active) in [
        (1, &active, &one, true),
        (2, &expired, &one, false),
        (3, &gone, &one, false),
        (4, &active, &two, false),
    ] {
        let by_key = |number: u32| event(account, number, actor(key), "key");
        let row = key_row(account, 20 + number);
        let inserted = store.insert_api_key(account, &row, &by_key(100 + u32::from(number))).await;
        let mut renamed = target.clone();
        renamed.key.name = Label::parse(&format!("name {number}")).unwrap();
        let update = key_update(&target, renamed.clone());
        let changed = store.update_api_key(account, update, &by_key(200 + u32::from(number))).await;
        if is_active {
            inserted.unwrap();
            assert_eq!(changed.unwrap(), Changed::Yes);
            assert_eq!(store.find_api_key(&target.key.id).await.unwrap(), Some(renamed));
        } else {
            assert!(matches!(inserted, Err(Error::KeyNotActive)), "{number}: {inserted:?}");
            assert!(matches!(changed, Err(Error::KeyNotActive)), "{number}: {changed:?}");
            assert_eq!(store.find_api_key(&row.key.id).await.unwrap(), None);
        }
    }
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 1 + 4 + 2);
}

pub(crate) async fn a_rotation_adds_the_successor_with_the_change_or_not_at_all(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let old = granted(&one, 1, Scopes::ALL);
    insert(&*store, &one, &old).await;
    let mut limited = old.clone();
    limited.key.expires_at = Some(at(500));
    limited.mac = RowMac([9; 32]);
    let rotate = |number: u8, expected: &RowMac| {
        let mut successor = key_row(&one, number);
        let rotated_from = Some(old.key.id.clone());
        successor.key.grant = Some(Grant { scopes: Scopes::ALL, creator: Creator::Operator, rotated_from });
        let (expected, row) = (expected.clone(), limited.clone());
        let other_manager = OtherManager::NotRequired;
        let update = ApiKeyUpdate { expected, row, successor: Some(successor.clone()), other_manager };
        let event = event(&one, u32::from(number), Actor::Operator, "key");
        let (store, one) = (store.clone(), one.clone());
        async move { (store.update_api_key(&one, update, &event).await.unwrap(), successor) }
    };
    let (changed, successor) = rotate(2, &RowMac([3; 32])).await;
    assert_eq!(changed, Changed::No);
    assert_eq!(store.find_api_key(&successor.key.id).await.unwrap(), None);
    assert_eq!(store.find_api_key(&old.key.id).await.unwrap().as_ref(), Some(&old));
    let (changed, successor) = rotate(3, &old.mac).await;
    assert_eq!(changed, Changed::Yes);
    assert_eq!(store.find_api_key(&successor.key.id).await.unwrap(), Some(successor));
    assert_eq!(store.find_api_key(&old.key.id).await.unwrap().as_ref(), Some(&limited));
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
    // A rotation that does not change the old key is not repeated either, once its successor exists.
    let (changed, _) = rotate(3, &limited.mac).await;
    assert_eq!(changed, Changed::No);
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 3);
}

pub(crate) async fn the_last_key_that_manages_keys_is_kept_where_that_is_required(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let manages: Scopes = [Scope::AuditRead, Scope::KeysManage].into_iter().collect();
    let reads: Scopes = [Scope::ConnectionsRead, Scope::AuditRead].into_iter().collect();
    let rows =
        [key_row(&one, 1), granted(&one, 2, manages), granted(&one, 3, reads), granted(&one, 4, manages)];
    let (mut expired, foreign) = (granted(&one, 5, Scopes::ALL), granted(&two, 6, Scopes::ALL));
    expired.key.expires_at = Some(at(1));
    for row in rows.iter().chain([&expired]) {
        insert(&*store, &one, row).await;
    }
    insert(&*store, &two, &foreign).await;
    let revoke = |row: &ApiKeyRow, number: u32, other_manager: OtherManager| {
        let update = ApiKeyUpdate { other_manager, ..key_update(row, revoked(row)) };
        let event = event(&one, number, Actor::Operator, "key");
        let (store, one) = (store.clone(), one.clone());
        async move { store.update_api_key(&one, update, &event).await }
    };
    for (number, row) in [(1, &rows[0]), (2, &rows[1]), (3, &rows[2])] {
        assert_eq!(revoke(row, number, OtherManager::Required).await.unwrap(), Changed::Yes);
    }
    let kept = revoke(&rows[3], 4, OtherManager::Required).await;
    assert!(matches!(kept, Err(Error::LastManagingKey)), "{kept:?}");
    // One that expires earlier would leave none.
    let (mut short, mut long) = (granted(&one, 7, manages), granted(&one, 8, manages));
    short.key.expires_at = Some(at(9_000_000_000_000_000));
    long.key.expires_at = Some(at(9_000_000_000_000_001));
    for row in [&short, &long] {
        insert(&*store, &one, row).await;
    }
    let kept = revoke(&rows[3], 6, OtherManager::Required).await;
    assert!(matches!(kept, Err(Error::LastManagingKey)), "{kept:?}");
    assert_eq!(revoke(&short, 7, OtherManager::Required).await.unwrap(), Changed::Yes);
    assert_eq!(store.find_api_key(&rows[3].key.id).await.unwrap().as_ref(), Some(&rows[3]));
    assert_eq!(revoke(&rows[3], 5, OtherManager::NotRequired).await.unwrap(), Changed::Yes);
}

pub(crate) async fn of_keys_revoked_at_once_one_that_manages_keys_is_kept(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    let rows: Vec<_> = (1..=8).map(|number| granted(&one, number, Scopes::ALL)).collect();
    for row in &rows {
        insert(&*nodes[0], &one, row).await;
    }
    let revocations = rows.iter().enumerate().map(|(at, row)| {
        let update = ApiKeyUpdate { other_manager: OtherManager::Required, ..key_update(row, revoked(row)) };
        let event = event(&one, u32::try_from(at).unwrap(), Actor::Operator, "key");
        let (node, one) = (&nodes[at % 2], &one);
        async move { node.update_api_key(one, update, &event).await }
    });
    let results = all(revocations).await;
    let kept = results.iter().filter(|result| matches!(result, Err(Error::LastManagingKey))).count();
    assert_eq!(kept, 1, "{results:?}");
}

pub(crate) async fn the_last_use_of_a_key_is_kept_to_the_latest(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let (first, second) = (key_row(&one, 1), key_row(&one, 2));
    insert(&*store, &one, &first).await;
    insert(&*store, &one, &second).await;
    let used = |row: &ApiKeyRow, second: i64| ApiKeyUse { key_id: row.key.id.clone(), hour: at(second) };
    let unknown = key_row(&one, 9);
    for (uses, expected) in [
        (vec![used(&first, 10)], [Some(at(10)), None]),
        (vec![used(&unknown, 5), used(&second, 20), used(&first, 9)], [Some(at(10)), Some(at(20))]),
        (vec![used(&second, 21), used(&first, 11)], [Some(at(11)), Some(at(21))]),
        (vec![], [Some(at(11)), Some(at(21))]),
    ] {
        store.update_api_key_uses(&uses).await.unwrap();
        let stored: Vec<_> = store.list_api_keys(&one).await.unwrap();
        assert_eq!(stored.iter().map(|row| row.key.last_used_at).collect::<Vec<_>>(), expected);
        assert_eq!(stored[0].mac, first.mac, "the MAC does not cover it");
    }
    let events = super::samples::audited(&*store, &one).await;
    assert_eq!(events.len(), 3, "it is not audited");
}

pub(crate) async fn a_page_of_keys_continues_after_the_last_one(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let mut rows: Vec<_> = (1..=7).map(|number| key_row(&one, number)).collect();
    // Some of the same instant, whose order is that of their identifiers.
    rows[3].key.created_at = rows[2].key.created_at;
    rows[4].key.created_at = rows[2].key.created_at;
    for row in &rows {
        insert(&*store, &one, row).await;
    }
    let mut foreign = key_row(&two, 50);
    foreign.hash = HashedKey([250; 32]);
    insert(&*store, &two, &foreign).await;
    rows.sort_by(|a, b| (a.key.created_at, &a.key.id).cmp(&(b.key.created_at, &b.key.id)));
    assert_eq!(store.list_api_keys(&one).await.unwrap(), rows);
    for limit in 1..=8 {
        let (mut listed_ids, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_api_key_page(&one, after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some((last.key.created_at, last.key.id.clone()));
            listed_ids.extend(page);
        }
        assert_eq!(listed_ids, rows, "{limit} a page");
    }
}

/// `config check`, and the start itself, read a key before the database is migrated.
pub(crate) async fn a_key_is_inspected_in_a_database_without_scopes(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let row = key_row(&one, 1);
    insert(&*store, &one, &row).await;
    store.close().await;
    let inspected = async || {
        let found = inspect_key(&db.database_url(), &account(1).name, Some(&row.hash)).await.unwrap();
        assert_eq!(found.account, Some(account(1)));
        found.key
    };
    assert_eq!(inspected().await.as_ref(), Some(&row));
    let columns = ["scopes", "created_by", "rotated_from", "last_used_at"];
    let mut older: Vec<_> =
        columns.iter().map(|column| format!("ALTER TABLE api_keys DROP COLUMN {column};")).collect();
    older.push("DELETE FROM schema_migrations WHERE number >= 10;".to_owned());
    db.change(&older.concat()).await;
    assert_eq!(inspected().await.as_ref(), Some(&row));
}
