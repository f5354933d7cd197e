//! Writes that share a transaction: each gets its own answer, whatever the others get.

use domain::audit::Actor;
use domain::connection::{Connection, ConnectionName};
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation, Reservation};

use super::TestDatabase;
use super::samples::{actor, all, connection, event, insert_account, insert_connection, key_row};
use crate::{Changed, Completion, Error, NewConnection, Store};

/// How many writes are sent at once.
const AT_ONCE: u32 = 32;

/// Why an insertion is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NameTaken,
    NameTakenInTheBatch,
    KeyNotActive,
    NoAccount,
    ReservationLost,
}

const REFUSALS: [Refusal; 5] = [
    Refusal::NameTaken,
    Refusal::NameTakenInTheBatch,
    Refusal::KeyNotActive,
    Refusal::NoAccount,
    Refusal::ReservationLost,
];

impl Refusal {
    /// Changes a valid insertion into one that is refused for this reason. "taken" is the name of another connection.
    fn spoil(self, account: &mut AccountId, new: &mut NewConnection, neighbour: &ConnectionName) {
        match self {
            Self::NameTaken => new.connection.name = ConnectionName::parse(" taken").unwrap(),
            Self::NameTakenInTheBatch => new.connection.name = neighbour.clone(),
            Self::KeyNotActive => new.event.actor = actor(&key_row(account, 99)),
            Self::NoAccount => {
                *account = super::samples::account(77).id;
                new.connection.account_id = account.clone();
                new.event.account_id = account.clone();
            }
            Self::ReservationLost => {
                let key = IdempotencyKey::parse("never-reserved").unwrap();
                let reservation = Reservation { operation: Operation::CreateConnection, key, attempt: 1 };
                let answer = domain::idempotency::StoredResponse(b"answer".to_vec());
                new.completion = Some(Completion { reservation, answer, at: super::samples::at(3) });
            }
        }
    }

    fn is(self, result: &Result<(), Error>) -> bool {
        match self {
            Self::NameTaken | Self::NameTakenInTheBatch => matches!(result, Err(Error::NameTaken)),
            Self::KeyNotActive | Self::NoAccount => matches!(result, Err(Error::KeyNotActive)),
            Self::ReservationLost => matches!(result, Err(Error::ReservationLost)),
        }
    }
}

fn new_connection(account: &AccountId, number: u32) -> NewConnection {
    let (row, sealed) = connection(account, number, &format!("c {number}"));
    let event = event(account, 100_000 + number, Actor::Operator, row.id.as_str());
    NewConnection { connection: row, sealed, health: super::samples::new_health(), event, completion: None }
}

async fn stored(store: &dyn Store, account: &AccountId) -> Vec<Connection> {
    store.list_connections(account, None, 100_000).await.unwrap()
}

pub(crate) async fn a_refused_insertion_affects_no_other_at_any_position(db: &TestDatabase) {
    let store = db.open_with_one_writer().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 0, "taken").await.unwrap();
    let mut expected = stored(&*store, &one).await;
    let mut number = 0;
    for position in 0..AT_ONCE as usize {
        for refusal in REFUSALS {
            let first = number + 1;
            let mut writes: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    number += 1;
                    (one.clone(), new_connection(&one, number))
                })
                .collect();
            let neighbour = (position + 1) % writes.len();
            let name = writes[neighbour].1.connection.name.clone();
            let (account, new) = &mut writes[position];
            refusal.spoil(account, new, &name);
            let sent = writes.clone();
            let sent = sent.into_iter().map(|(account, new)| {
                let store = store.clone();
                async move { store.insert_connection(&account, new).await }
            });
            let results = db.together(&store, sent).await;
            // Of two that want one name, either may be the first.
            let is_first = results[position].is_ok() && refusal == Refusal::NameTakenInTheBatch;
            let refused = if is_first { neighbour } else { position };
            for (at, (result, (_, new))) in results.iter().zip(writes).enumerate() {
                if at == refused {
                    assert!(refusal.is(result), "{refusal:?} at {position}: {result:?}");
                } else {
                    assert!(result.is_ok(), "{refusal:?} at {position}, neighbour {at}: {result:?}");
                    expected.push(new.connection);
                }
            }
            let after = connection(&one, first - 1, "any").0.id;
            let found = store.list_connections(&one, Some(&after), AT_ONCE).await.unwrap();
            assert_eq!(found, expected[expected.len() - 31..], "{refusal:?} at {position}");
        }
    }
    let events = super::samples::audited(&*store, &one).await.len();
    assert_eq!(events, 1 + expected.len());
    assert_eq!(stored(&*store, &one).await, expected);
}

pub(crate) async fn a_refused_deletion_affects_no_other_at_any_position(db: &TestDatabase) {
    let store = db.open_with_one_writer().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let mut number = 0;
    let mut events = 1;
    for position in 0..AT_ONCE {
        // No such connection; another account's; no right to it.
        for refusal in 0..3 {
            let first = number + 1;
            number += AT_ONCE;
            all((first..first + AT_ONCE)
                .map(|number| store.insert_connection(&one, new_connection(&one, number))))
            .await
            .into_iter()
            .for_each(Result::unwrap);
            insert_connection(&*store, &two, number, &format!("c {number}")).await.unwrap();
            let deletions = (0..AT_ONCE).map(|at| {
                let mut account = one.clone();
                let mut id = connection(&one, first + at, "any").0.id;
                let mut event = event(&one, 200_000 + first + at, Actor::Operator, id.as_str());
                if at == position {
                    match refusal {
                        0 => id = connection(&one, 99_999, "any").0.id,
                        1 => account = two.clone(),
                        _ => event.actor = actor(&key_row(&one, 99)),
                    }
                    event.account_id = account.clone();
                }
                let store = store.clone();
                async move { store.delete_connection(&account, &id, &event).await }
            });
            for (at, result) in (0..).zip(db.together(&store, deletions).await) {
                let is_expected = match result {
                    Ok(Changed::Yes) => at != position || (refusal == 1 && position == AT_ONCE - 1),
                    Ok(Changed::No) => at == position && refusal < 2,
                    Err(Error::KeyNotActive) => at == position && refusal == 2,
                    Err(_) => false,
                };
                assert!(is_expected, "{refusal} at {position}, {at}: {result:?}");
            }
            let left = stored(&*store, &one).await;
            assert_eq!(left.len(), 1, "{refusal} at {position}");
            assert_eq!(left[0].id, connection(&one, first + position, "any").0.id);
            store
                .delete_connection(&one, &left[0].id, &event(&one, 300_000 + number, Actor::Operator, "last"))
                .await
                .unwrap();
            events += 2 * AT_ONCE;
        }
    }
    assert_eq!(super::samples::audited(&*store, &one).await.len(), events as usize);
}

/// Alternating writes of two accounts, with the same names in both.
pub(crate) async fn writes_of_several_accounts_do_not_conflict(db: &TestDatabase) {
    let store = db.open_with_one_writer().await;
    let accounts = [insert_account(&*store, 1).await, insert_account(&*store, 2).await];
    for round in 0..4 {
        let writes = (0..64_u32).map(|at| {
            let account = accounts[at as usize % 2].clone();
            // Each name is wanted by two writes of each account.
            let mut new = new_connection(&account, round * 100 + at);
            new.connection.name = ConnectionName::parse(&format!("name {round} {}", at / 4)).unwrap();
            let store = store.clone();
            async move { (at, store.insert_connection(&account, new).await) }
        });
        let mut done = [0; 64];
        for (at, result) in db.together(&store, writes).await {
            match result {
                Ok(()) => done[(at / 4 * 2 + at % 2) as usize] += 1,
                Err(Error::NameTaken) => {}
                Err(error) => panic!("{at}: {error:?}"),
            }
        }
        assert_eq!(done[..32], [1; 32], "one of the two that want a name in an account");
    }
    for account in &accounts {
        assert_eq!(stored(&*store, account).await.len(), 4 * 16);
        assert_eq!(super::samples::audited(&*store, account).await.len(), 1 + 4 * 16);
    }
}
