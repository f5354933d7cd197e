//! Connections: updated, deleted, listed.

use domain::audit::Actor;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName};
use domain::id::{AccountId, ConnectionId};
use domain::secret::{SealedCredentials, WrappedKey};

use super::TestDatabase;
use super::samples::{actor, all, at, connection, event, insert_account, insert_connection, key_row};
use crate::{Changed, ConnectionUpdate, Error, Store};

/// How many writes are sent at once.
const AT_ONCE: u32 = 32;

/// The sample connection of that number after an update.
pub(super) fn changed(account: &AccountId, number: u32, name: &str, version: u64) -> Connection {
    Connection {
        description: None,
        availability: Availability::Enabled,
        client_identifier: ClientIdentifier::parse("client-2").unwrap(),
        updated_at: at(10 + i64::try_from(version).unwrap()),
        version,
        ..connection(account, number, name).0
    }
}

/// An update from the previous version, by the operator, without new credentials.
pub(super) fn update_to(connection: &Connection, event_number: u32) -> ConnectionUpdate {
    ConnectionUpdate {
        expected_version: connection.version - 1,
        connection: connection.clone(),
        resealed: None,
        // Apart from those of the samples, which bear the numbers of the connections.
        event: event(&connection.account_id, 10_000 + event_number, Actor::Operator, connection.id.as_str()),
    }
}

fn resealed(fill: u8) -> SealedCredentials {
    SealedCredentials { envelope: vec![fill; 91], sealing_key: WrappedKey([fill; 60]) }
}

async fn delete(store: &dyn Store, account: &AccountId, number: u32) -> Changed {
    let id = id(number);
    let event = event(account, 5_000 + number, Actor::Operator, id.as_str());
    store.delete_connection(account, &id, &event).await.unwrap()
}

pub(super) fn id(number: u32) -> ConnectionId {
    connection(&AccountId::from_random([0; 16]), number, "any").0.id
}

pub(super) async fn events(store: &dyn Store, account: &AccountId) -> usize {
    super::samples::audited(store, account).await.len()
}

pub(crate) async fn an_update_replaces_its_fields_and_keeps_the_credentials(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "Before").await.unwrap();
    }
    let (_, sealed) = connection(&one, 1, "Before");
    let after = changed(&one, 1, " After", 5);
    let update = update_to(&after, 2);
    store.update_connection(&one, update.clone()).await.unwrap();
    assert_eq!(store.find_connection(&one, &after.id).await.unwrap(), Some(after.clone()));
    let found = store.find_sealed_connection(&one, &after.id).await.unwrap();
    assert_eq!(found, Some((after.clone(), sealed)));
    assert_eq!(store.find_connection_id_by_name(&one, "After").await.unwrap(), Some(after.id.clone()));
    assert_eq!(store.find_connection_id_by_name(&one, "Before").await.unwrap(), None);
    assert_eq!(store.list_connections(&one, None, 9).await.unwrap(), [after]);
    assert!(super::samples::audited(&*store, &one).await.contains(&(&update.event).into()));
    let untouched = connection(&two, 1, "Before").0;
    assert_eq!(store.list_connections(&two, None, 9).await.unwrap(), [untouched]);
}

pub(crate) async fn an_update_with_new_credentials_replaces_them(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "it").await.unwrap();
    insert_connection(&*store, &one, 2, "neighbour").await.unwrap();
    for version in [5, 6] {
        let after = Connection { sealed_version: version, ..changed(&one, 1, "it", version) };
        let sealed = resealed(u8::try_from(200 + version).unwrap());
        let mut update = update_to(&after, u32::try_from(version).unwrap());
        update.resealed = Some(sealed.clone());
        store.update_connection(&one, update).await.unwrap();
        let found = store.find_sealed_connection(&one, &after.id).await.unwrap();
        assert_eq!(found, Some((after, sealed)));
    }
    let neighbour = connection(&one, 2, "neighbour");
    assert_eq!(store.find_sealed_connection(&one, &id(2)).await.unwrap(), Some(neighbour));
    store.close().await;
    drop(store);
    let store = db.open().await;
    let (_, sealed) = store.find_sealed_connection(&one, &id(1)).await.unwrap().unwrap();
    assert_eq!(sealed, resealed(206), "after reopening");
}

pub(crate) async fn an_update_may_keep_its_name_or_take_a_free_one(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_connection(&*store, &one, 1, "Mine").await.unwrap();
    insert_connection(&*store, &two, 2, "Theirs").await.unwrap();
    let mut version = 4;
    for name in ["Mine", "  Mine", "mine", "Theirs", "Mine"] {
        version += 1;
        let after = changed(&one, 1, name, version);
        store.update_connection(&one, update_to(&after, u32::try_from(version).unwrap())).await.unwrap();
        assert_eq!(store.find_connection(&one, &after.id).await.unwrap(), Some(after));
    }
}

/// Why an update is refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refusal {
    NotFound,
    VersionConflict,
    NameTaken,
    KeyNotActive,
}

const REFUSALS: [Refusal; 4] =
    [Refusal::NotFound, Refusal::VersionConflict, Refusal::NameTaken, Refusal::KeyNotActive];

impl Refusal {
    /// Changes a valid update into one that is refused for this reason. "taken" is the name of another connection.
    fn spoil(self, update: &mut ConnectionUpdate) {
        match self {
            Self::NotFound => update.connection.id = id(77_777),
            Self::VersionConflict => update.expected_version += 1,
            Self::NameTaken => update.connection.name = ConnectionName::parse(" taken").unwrap(),
            Self::KeyNotActive => update.event.actor = actor(&key_row(&update.event.account_id, 99)),
        }
    }

    pub(super) fn assert_is(self, result: &Result<(), Error>, stored_version: u64) {
        let is_so = match (self, result) {
            (Self::NotFound, Err(Error::NotFound))
            | (Self::NameTaken, Err(Error::NameTaken))
            | (Self::KeyNotActive, Err(Error::KeyNotActive)) => true,
            (Self::VersionConflict, Err(Error::VersionConflict { current })) => *current == stored_version,
            _ => false,
        };
        assert!(is_so, "{self:?}: {result:?}");
    }
}

pub(crate) async fn a_refused_update_changes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    insert_connection(&*store, &one, 1, "it").await.unwrap();
    insert_connection(&*store, &one, 2, "taken").await.unwrap();
    insert_connection(&*store, &two, 3, "theirs").await.unwrap();
    let before = store.find_sealed_connection(&one, &id(1)).await.unwrap();
    for with_secrets in [None, Some(resealed(222))] {
        for refusal in REFUSALS {
            let mut update = update_to(&changed(&one, 1, "new", 5), 2);
            update.resealed.clone_from(&with_secrets);
            refusal.spoil(&mut update);
            refusal.assert_is(&store.update_connection(&one, update).await, 4);
            assert_eq!(store.find_sealed_connection(&one, &id(1)).await.unwrap(), before, "{refusal:?}");
        }
    }
    // A row of another account is absent.
    let mut theirs = update_to(&changed(&one, 3, "new", 5), 3);
    let refused = store.update_connection(&one, theirs.clone()).await;
    Refusal::NotFound.assert_is(&refused, 0);
    // The order of the refusals: the key, the row, the version, the name.
    for refusal in [Refusal::NameTaken, Refusal::VersionConflict, Refusal::NotFound, Refusal::KeyNotActive] {
        theirs.connection.id = id(1);
        refusal.spoil(&mut theirs);
        refusal.assert_is(&store.update_connection(&one, theirs.clone()).await, 4);
    }
    assert_eq!(events(&*store, &one).await, 3);
    assert_eq!(events(&*store, &two).await, 2);
}

pub(crate) async fn a_refused_update_affects_no_other_at_any_position(db: &TestDatabase) {
    let store = db.open_with_one_writer().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 100, "taken").await.unwrap();
    for number in 0..AT_ONCE {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    let mut expected: Vec<Connection> = store.list_connections(&one, None, AT_ONCE).await.unwrap();
    let mut event_number = 1_000;
    for position in 0..expected.len() {
        for refusal in REFUSALS {
            let mut updates = Vec::new();
            for (number, stored) in (0..).zip(&expected) {
                event_number += 1;
                let after = changed(&one, number, &format!("c {number}"), stored.version + 1);
                updates.push(update_to(&after, event_number));
            }
            refusal.spoil(&mut updates[position]);
            let sent = updates.clone();
            let sent = sent.into_iter().map(|update| store.update_connection(&one, update));
            let results = db.together(&store, sent).await;
            for (at, (result, update)) in results.into_iter().zip(updates).enumerate() {
                if at == position {
                    refusal.assert_is(&result, expected[at].version);
                } else {
                    result.unwrap();
                    expected[at] = update.connection;
                }
            }
            let stored = store.list_connections(&one, None, AT_ONCE).await.unwrap();
            assert_eq!(stored, expected, "{refusal:?} at {position}");
        }
    }
    let done = 1 + 1 + AT_ONCE + 4 * AT_ONCE * (AT_ONCE - 1);
    assert_eq!(events(&*store, &one).await, done as usize);
}

pub(crate) async fn one_of_many_updates_of_a_version_succeeds(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "it").await.unwrap();
    let updates: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let after = Connection { sealed_version: 5, ..changed(&one, 1, &format!("by {number}"), 5) };
            let sealed = resealed(u8::try_from(number).unwrap());
            ConnectionUpdate { resealed: Some(sealed), ..update_to(&after, 10 + number) }
        })
        .collect();
    let sent = updates.clone();
    let results = all(sent.into_iter().map(|update| store.update_connection(&one, update))).await;
    let (won, lost): (Vec<_>, Vec<_>) = updates.into_iter().zip(results).partition(|(_, done)| done.is_ok());
    let [(won, _)] = won.try_into().unwrap();
    for (_, result) in lost {
        Refusal::VersionConflict.assert_is(&result, 5);
    }
    let stored = store.find_sealed_connection(&one, &id(1)).await.unwrap();
    assert_eq!(stored, won.resealed.map(|sealed| (won.connection, sealed)));
    assert_eq!(events(&*store, &one).await, 3);
}

pub(crate) async fn a_deleted_connection_is_absent_and_its_name_is_free(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    assert_eq!(delete(&*store, &one, 2).await, Changed::Yes);
    assert_eq!(events(&*store, &one).await, 5);
    assert_eq!(delete(&*store, &one, 2).await, Changed::No, "a second time");
    assert_eq!(delete(&*store, &one, 4).await, Changed::No, "never there");
    assert_eq!(events(&*store, &one).await, 5, "nothing was deleted, nothing is written of it");
    assert_eq!(store.find_connection(&one, &id(2)).await.unwrap(), None);
    assert_eq!(store.find_sealed_connection(&one, &id(2)).await.unwrap(), None);
    assert_eq!(store.find_connection_id_by_name(&one, "c 2").await.unwrap(), None);
    assert_eq!(store.list_connection_ids(&one, None, 9).await.unwrap(), [id(1), id(3)]);
    let late = update_to(&changed(&one, 2, "c 2", 5), 9);
    Refusal::NotFound.assert_is(&store.update_connection(&one, late).await, 0);
    insert_connection(&*store, &one, 5, "c 2").await.unwrap();
    for number in [1, 3] {
        let kept = connection(&one, number, &format!("c {number}"));
        assert_eq!(store.find_sealed_connection(&one, &id(number)).await.unwrap(), Some(kept));
    }
}

pub(crate) async fn a_deletion_affects_no_other_account(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "same").await.unwrap();
    }
    insert_connection(&*store, &two, 2, "theirs").await.unwrap();
    assert_eq!(delete(&*store, &one, 2).await, Changed::No);
    assert_eq!(delete(&*store, &one, 1).await, Changed::Yes);
    for (number, name) in [(1, "same"), (2, "theirs")] {
        let kept = connection(&two, number, name);
        assert_eq!(store.find_sealed_connection(&two, &id(number)).await.unwrap(), Some(kept));
    }
    assert_eq!((events(&*store, &one).await, events(&*store, &two).await), (3, 3));
}

pub(crate) async fn a_revoked_key_deletes_nothing(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let (active, mut revoked) = (key_row(&one, 1), key_row(&one, 2));
    revoked.key.revoked_at = Some(at(0));
    for (number, row) in [(1, &active), (2, &revoked)] {
        store.insert_api_key(&one, row, &event(&one, number, Actor::Operator, "key")).await.unwrap();
    }
    for number in 0..AT_ONCE {
        insert_connection(&*store, &one, 100 + number, &format!("c {number}")).await.unwrap();
    }
    // A third of them use a revoked key.
    let deletions = (0..AT_ONCE).map(|number| {
        let key = if number % 3 == 0 { &revoked } else { &active };
        let event = event(&one, 200 + number, actor(key), "c");
        let (store, one) = (store.clone(), one.clone());
        async move { (number, store.delete_connection(&one, &id(100 + number), &event).await) }
    });
    for (number, result) in all(deletions).await {
        let is_there = store.find_connection(&one, &id(100 + number)).await.unwrap().is_some();
        if number % 3 == 0 {
            assert!(matches!(result, Err(Error::KeyNotActive)) && is_there, "{number}: {result:?}");
        } else {
            assert_eq!((result.unwrap(), is_there), (Changed::Yes, false), "{number}");
        }
    }
}

pub(crate) async fn a_page_continues_after_the_last_one(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    assert_eq!(store.list_connections(&one, None, 9).await.unwrap(), []);
    for number in [7, 3, 11, 1, 9, 5, 2] {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    let order = [1, 2, 3, 5, 7, 9, 11].map(|number| connection(&one, number, &format!("c {number}")).0);
    for limit in 1..=9 {
        let mut listed: Vec<Connection> = Vec::new();
        loop {
            let after = listed.last().map(|last| last.id.clone());
            let page = store.list_connections(&one, after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let is_last = page.is_empty();
            listed.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(listed, order, "by {limit}");
    }
    // After an identifier that never was there, that was deleted, and that is the last.
    assert_eq!(store.list_connections(&one, Some(&id(4)), 2).await.unwrap(), order[3..5]);
    assert_eq!(delete(&*store, &one, 5).await, Changed::Yes);
    assert_eq!(store.list_connections(&one, Some(&id(5)), 2).await.unwrap(), order[4..6]);
    assert_eq!(store.list_connections(&one, Some(&id(11)), 2).await.unwrap(), []);
    assert_eq!(store.list_connections(&one, None, 0).await.unwrap(), []);
}

pub(crate) async fn a_page_has_the_connections_of_one_account_alone(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for number in 1..=6 {
        let account = if number % 2 == 0 { &two } else { &one };
        insert_connection(&*store, account, number, &format!("c {number}")).await.unwrap();
    }
    for (account, numbers) in [(&one, [1, 3, 5]), (&two, [2, 4, 6])] {
        let mine = numbers.map(|number| connection(account, number, &format!("c {number}")).0);
        assert_eq!(store.list_connections(account, None, 9).await.unwrap(), mine);
        // The page starts after another account's identifier: only its order counts.
        let after = store.list_connections(account, Some(&id(numbers[0] + 1)), 9).await.unwrap();
        assert_eq!(after, mine[1..]);
    }
    let unknown = AccountId::from_random([3; 16]);
    assert_eq!(store.list_connections(&unknown, None, 9).await.unwrap(), []);
}
