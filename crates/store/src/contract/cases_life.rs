//! The cases of what becomes of connections: changed, deleted, listed, gone with their account.

use domain::audit::Actor;
use domain::connection::{Availability, ClientIdentifier, Connection, ConnectionName};
use domain::id::{AccountId, ConnectionId};
use domain::idempotency::{ANSWER_KEPT_SECONDS, IdempotencyKey, OnceRequest, Operation, RequestMac};
use domain::secret::{SealedCredentials, WrappedKey};

use super::Place;
use super::samples::{
    account, actor, all, at, connection, event, insert_account, insert_connection, key_row, operation_id,
};
use crate::{AccountDeletion, Changed, ConnectionUpdate, Error, NewConnection, Store};

/// How many writes are sent at once.
const AT_ONCE: u32 = 32;

/// The sample connection of that number as an update makes it.
fn changed(account: &AccountId, number: u32, name: &str, version: u64) -> Connection {
    Connection {
        description: None,
        availability: Availability::Enabled,
        client_identifier: ClientIdentifier::parse("client-2").unwrap(),
        updated_at: at(10 + i64::try_from(version).unwrap()),
        version,
        ..connection(account, number, name).0
    }
}

/// An update from the version before, by the operator, without new secrets.
fn update_to(connection: &Connection, event_number: u32) -> ConnectionUpdate {
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

fn id(number: u32) -> ConnectionId {
    connection(&AccountId::from_random([0; 16]), number, "any").0.id
}

async fn events(store: &dyn Store, account: &AccountId) -> usize {
    store.list_audit_events(account, 10_000).await.unwrap().len()
}

pub(crate) async fn an_update_replaces_what_it_says_and_keeps_the_secrets(place: &Place) {
    let store = place.open().await;
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
    assert!(store.list_audit_events(&one, 9).await.unwrap().contains(&update.event));
    let untouched = connection(&two, 1, "Before").0;
    assert_eq!(store.list_connections(&two, None, 9).await.unwrap(), [untouched]);
}

pub(crate) async fn an_update_with_new_secrets_replaces_them_too(place: &Place) {
    let store = place.open().await;
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
    let store = place.open().await;
    let (_, sealed) = store.find_sealed_connection(&one, &id(1)).await.unwrap().unwrap();
    assert_eq!(sealed, resealed(206), "after reopening");
}

pub(crate) async fn an_update_keeps_its_own_name_and_takes_a_free_one(place: &Place) {
    let store = place.open().await;
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
enum Refusal {
    NotFound,
    VersionConflict,
    NameTaken,
    KeyNotActive,
}

const REFUSALS: [Refusal; 4] =
    [Refusal::NotFound, Refusal::VersionConflict, Refusal::NameTaken, Refusal::KeyNotActive];

impl Refusal {
    /// Makes a good update one that is refused so; "taken" is another connection's name.
    fn spoil(self, update: &mut ConnectionUpdate) {
        match self {
            Self::NotFound => update.connection.id = id(77_777),
            Self::VersionConflict => update.expected_version += 1,
            Self::NameTaken => update.connection.name = ConnectionName::parse(" taken").unwrap(),
            Self::KeyNotActive => update.event.actor = actor(&key_row(&update.event.account_id, 99)),
        }
    }

    fn assert_is(self, result: &Result<(), Error>, stored_version: u64) {
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

pub(crate) async fn an_update_is_refused_as_one_and_changes_nothing(place: &Place) {
    let store = place.open().await;
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
    // What is another account's is not there.
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

pub(crate) async fn a_refused_update_disturbs_no_neighbour_wherever_it_stands(place: &Place) {
    let store = place.open_with_one_writer().await;
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
            let results = place.together(&store, sent).await;
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

pub(crate) async fn of_many_updates_of_one_version_one_is_done(place: &Place) {
    let store = place.open().await;
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

pub(crate) async fn a_deleted_connection_is_gone_and_its_name_is_free(place: &Place) {
    let store = place.open().await;
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

pub(crate) async fn a_deletion_touches_no_other_account(place: &Place) {
    let store = place.open().await;
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

pub(crate) async fn a_revoked_key_deletes_nothing(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    let (active, mut revoked) = (key_row(&one, 1), key_row(&one, 2));
    revoked.key.revoked_at = Some(at(0));
    for (number, row) in [(1, &active), (2, &revoked)] {
        store.insert_api_key(&one, row, &event(&one, number, Actor::Operator, "key")).await.unwrap();
    }
    for number in 0..AT_ONCE {
        insert_connection(&*store, &one, 100 + number, &format!("c {number}")).await.unwrap();
    }
    // One in three has no right to it.
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

pub(crate) async fn pages_go_on_where_the_last_one_ended(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    assert_eq!(store.list_connections(&one, None, 9).await.unwrap(), []);
    for number in [7, 3, 11, 1, 9, 5, 2] {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    let order = [1, 2, 3, 5, 7, 9, 11].map(|number| connection(&one, number, &format!("c {number}")).0);
    for limit in 1..=9 {
        let mut walked: Vec<Connection> = Vec::new();
        loop {
            let after = walked.last().map(|last| last.id.clone());
            let page = store.list_connections(&one, after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let is_last = page.is_empty();
            walked.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(walked, order, "by {limit}");
    }
    // After a place where nothing is, or no longer is, or that is the last.
    assert_eq!(store.list_connections(&one, Some(&id(4)), 2).await.unwrap(), order[3..5]);
    assert_eq!(delete(&*store, &one, 5).await, Changed::Yes);
    assert_eq!(store.list_connections(&one, Some(&id(5)), 2).await.unwrap(), order[4..6]);
    assert_eq!(store.list_connections(&one, Some(&id(11)), 2).await.unwrap(), []);
    assert_eq!(store.list_connections(&one, None, 0).await.unwrap(), []);
}

pub(crate) async fn a_page_holds_one_accounts_connections_alone(place: &Place) {
    let store = place.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for number in 1..=6 {
        let account = if number % 2 == 0 { &two } else { &one };
        insert_connection(&*store, account, number, &format!("c {number}")).await.unwrap();
    }
    for (account, numbers) in [(&one, [1, 3, 5]), (&two, [2, 4, 6])] {
        let mine = numbers.map(|number| connection(account, number, &format!("c {number}")).0);
        assert_eq!(store.list_connections(account, None, 9).await.unwrap(), mine);
        // The place is another account's identifier: only its order counts.
        let after = store.list_connections(account, Some(&id(numbers[0] + 1)), 9).await.unwrap();
        assert_eq!(after, mine[1..]);
    }
    let nobody = AccountId::from_random([3; 16]);
    assert_eq!(store.list_connections(&nobody, None, 9).await.unwrap(), []);
}

/// Reserves so many idempotency keys.
async fn reserve(store: &dyn Store, account: &AccountId, count: u32) {
    for number in 0..count {
        let key = IdempotencyKey::parse(&format!("k{number}")).unwrap();
        let operation = Operation::CreateConnection;
        let request =
            OnceRequest { operation_id: operation_id(), operation, key, mac: RequestMac([1; 32]), at: at(0) };
        store.reserve_idempotency_key(account, &request).await.unwrap();
    }
}

pub(crate) async fn an_account_is_deleted_in_parts_and_can_be_taken_up_again(place: &Place) {
    let mut store = place.open().await;
    let cases = [
        (0, 0, 5, 1),
        (4, 0, 5, 1),
        (5, 0, 5, 2),
        (12, 0, 5, 3),
        (3, 11, 5, 3),
        (12, 12, 100, 1),
        (3, 3, 1, 4),
    ];
    for (number, (connections, records, limit, parts)) in (1..).zip(cases) {
        let one = insert_account(&*store, number).await;
        let before = events(&*store, &one).await;
        for number in 0..connections {
            insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
        }
        reserve(&*store, &one, records).await;
        let event = event(&one, 7_000, Actor::Operator, "account");
        for part in 1..=parts {
            let left = store.delete_account_part(&one, limit, &event).await.unwrap();
            let expected = if part == parts { AccountDeletion::Done } else { AccountDeletion::More };
            assert_eq!(left, expected, "part {part} of {parts}, {connections} and {records} by {limit}");
            if part == 1 && parts > 1 {
                assert!(store.find_account(&one).await.unwrap().is_some(), "it is there until all is gone");
                assert_eq!(events(&*store, &one).await, before + connections as usize);
            }
            // Interrupted: another process takes it up.
            store.close().await;
            store = place.open().await;
        }
        assert_eq!(store.find_account(&one).await.unwrap(), None);
        assert_eq!(store.list_connection_ids(&one, None, 9).await.unwrap(), []);
        let kept = store.list_audit_events(&one, 10_000).await.unwrap();
        assert_eq!(kept.len(), before + connections as usize + 1);
        assert!(kept.contains(&event));
        let again = store.delete_account_part(&one, limit, &event).await.unwrap();
        assert_eq!(again, AccountDeletion::NoAccount);
        assert_eq!(events(&*store, &one).await, kept.len());
    }
}

pub(crate) async fn an_account_that_is_being_deleted_takes_no_more_connections(place: &Place) {
    let store = place.open().await;
    let one = insert_account(&*store, 1).await;
    let key = key_row(&one, 1);
    store.insert_api_key(&one, &key, &event(&one, 8_001, Actor::Operator, "key")).await.unwrap();
    for number in 0..20 {
        insert_connection(&*store, &one, number, &format!("c {number}")).await.unwrap();
    }
    let gone = event(&one, 8_002, Actor::Operator, "account");
    let by_key = |number: u32| {
        let (row, sealed) = connection(&one, number, &format!("c {number}"));
        let event = event(&one, 100 + number, actor(&key), row.id.as_str());
        NewConnection { connection: row, sealed, event, completion: None }
    };
    store.insert_connection(&one, by_key(50)).await.unwrap();
    assert_eq!(store.delete_account_part(&one, 5, &gone).await.unwrap(), AccountDeletion::More);
    assert_eq!(store.find_api_key_by_hash(&key.hash, at(0)).await.unwrap(), None);
    assert_eq!(store.list_api_keys(&one).await.unwrap(), []);
    loop {
        let refused = store.insert_connection(&one, by_key(51)).await;
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
        let mut update = update_to(&changed(&one, 50, "c 50", 5), 3);
        update.event.actor = actor(&key);
        Refusal::KeyNotActive.assert_is(&store.update_connection(&one, update).await, 0);
        let deletion = event(&one, 4, actor(&key), "c");
        let refused = store.delete_connection(&one, &id(50), &deletion).await;
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
        if store.delete_account_part(&one, 5, &gone).await.unwrap() == AccountDeletion::NoAccount {
            break;
        }
    }
    assert_eq!(store.list_connection_ids(&one, None, 99).await.unwrap(), []);
}

pub(crate) async fn the_deletion_of_an_account_leaves_the_others_as_they_were(place: &Place) {
    let store = place.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let key = key_row(&two, 2);
    store.insert_api_key(&two, &key, &event(&two, 8_001, Actor::Operator, "key")).await.unwrap();
    for number in 0..30 {
        for account in [&one, &two] {
            insert_connection(&*store, account, number, &format!("c {number}")).await.unwrap();
        }
    }
    reserve(&*store, &two, 3).await;
    let event_count = events(&*store, &two).await;
    let gone = event(&one, 8_002, Actor::Operator, "account");
    while store.delete_account_part(&one, 7, &gone).await.unwrap() == AccountDeletion::More {}
    assert_eq!(store.list_account_ids().await.unwrap(), std::slice::from_ref(&two));
    assert_eq!(store.list_api_keys(&two).await.unwrap(), [key]);
    for number in 0..30 {
        let kept = connection(&two, number, &format!("c {number}"));
        assert_eq!(store.find_sealed_connection(&two, &id(number)).await.unwrap(), Some(kept));
    }
    assert_eq!(store.delete_idempotency_records(at(1_000 + ANSWER_KEPT_SECONDS), 99).await.unwrap(), 3);
    assert_eq!(events(&*store, &two).await, event_count);
    let mut successor = account(3);
    successor.name = account(1).name;
    let created = event(&successor.id, 1, Actor::Operator, "account");
    store.insert_account(&successor, &created).await.unwrap();
    assert_eq!(store.find_account_by_name(&successor.name).await.unwrap(), Some(successor));
}
