//! Several nodes on one database: none of them keeps state of its own.

use domain::connection::{Connection, ConnectionName};
use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, Operation, RequestMac, ReserveRequest, Reserved};
use domain::secret::{KeyringCheck, KeyringKeyId};

use super::TestDatabase;
use super::job_samples;
use super::samples::{
    self, actor, all, at, connection, event, insert_account, insert_connection, key_row, key_update,
    operation_id,
};
use crate::{Changed, ConnectionUpdate, Error, LeaseTerms, NewConnection, Store, Work};

const ROUNDS: u32 = 8;
const AT_ONCE: u32 = 32;

fn new_connection(account: &AccountId, number: u32, name: &str) -> NewConnection {
    let (mut row, sealed) = connection(account, number, "any");
    row.name = ConnectionName::parse(name).unwrap();
    let event = event(account, 100_000 + number, domain::audit::Actor::Operator, row.id.as_str());
    NewConnection { connection: row, sealed, health: super::samples::new_health(), event, completion: None }
}

/// Each node in the opposite order of the other: rows must not be locked in the order of arrival.
pub(crate) async fn two_nodes_that_insert_the_same_names_insert_each_once(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    for round in 0..ROUNDS {
        let writes = (0..2 * AT_ONCE).map(|at| {
            let (node, name) = if at < AT_ONCE { (&nodes[0], at) } else { (&nodes[1], 2 * AT_ONCE - 1 - at) };
            let new = new_connection(&one, round * 1_000 + at, &format!("name {round} {name}"));
            let one = &one;
            async move { (name, node.insert_connection(one, new).await) }
        });
        let mut done = [0; AT_ONCE as usize];
        for (name, result) in all(writes).await {
            match result {
                Ok(()) => done[name as usize] += 1,
                Err(Error::NameTaken) => {}
                Err(error) => panic!("{round}, {name}: {error:?}"),
            }
        }
        assert_eq!(done, [1; AT_ONCE as usize], "round {round}");
    }
    let events = super::samples::audited(&*nodes[1], &one).await;
    assert_eq!(events.len(), 1 + (ROUNDS * AT_ONCE) as usize);
}

pub(crate) async fn two_nodes_that_update_the_same_rows_update_each_once(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    for number in 0..AT_ONCE {
        insert_connection(&*nodes[0], &one, number, &format!("c {number}")).await.unwrap();
    }
    for version in 5..5 + u64::from(ROUNDS) {
        let updates = (0..2 * AT_ONCE).map(|at| {
            let (node, number) =
                if at < AT_ONCE { (&nodes[0], at) } else { (&nodes[1], 2 * AT_ONCE - 1 - at) };
            let connection = Connection {
                version,
                updated_at: samples::at(10),
                ..connection(&one, number, &format!("c {number}")).0
            };
            let number = u32::try_from(version).unwrap() * 1_000 + at;
            let update = ConnectionUpdate {
                expected_version: version - 1,
                event: event(&one, number, domain::audit::Actor::Operator, "c"),
                connection,
                resealed: None,
            };
            let one = &one;
            async move { node.update_connection(one, update).await }
        });
        let (mut done, mut late) = (0, 0);
        for result in all(updates).await {
            match result {
                Ok(()) => done += 1,
                Err(Error::VersionConflict { current }) if current == version => late += 1,
                Err(error) => panic!("{version}: {error:?}"),
            }
        }
        assert_eq!((done, late), (AT_ONCE, AT_ONCE), "version {version}");
    }
}

pub(crate) async fn one_of_two_nodes_gets_an_idempotency_key(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    for round in 0..ROUNDS {
        let asked = (0..AT_ONCE).map(|at| {
            let request = ReserveRequest {
                operation_id: operation_id(),
                operation: Operation::CreateConnection,
                key: IdempotencyKey::parse(&format!("k{}", at % 4)).unwrap(),
                mac: RequestMac([1; 32]),
                other_macs: Vec::new(),
                at: samples::at(i64::from(round) * 30),
            };
            let (node, one) = (&nodes[at as usize / 4 % 2], &one);
            async move { (at % 4, node.reserve_idempotency_key(one, &request).await.unwrap()) }
        });
        let mut got = [0; 4];
        for (key, said) in all(asked).await {
            match said {
                Reserved::Acquired(reservation) => {
                    assert_eq!(reservation.attempt, u64::from(round) + 1);
                    got[key as usize] += 1;
                }
                said => assert_eq!(said, Reserved::InProgress),
            }
        }
        assert_eq!(got, [1; 4], "round {round}");
    }
}

pub(crate) async fn a_node_sees_the_writes_of_another_at_once(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    for number in 0..AT_ONCE {
        let (here, there) = (&nodes[number as usize % 2], &nodes[(number as usize + 1) % 2]);
        insert_connection(&**here, &one, number, &format!("c {number}")).await.unwrap();
        let id = connection(&one, number, "any").0.id;
        assert!(there.find_connection(&one, &id).await.unwrap().is_some());
        let mut key = key_row(&one, u8::try_from(number).unwrap());
        key.hash.0[1] = 200;
        here.insert_api_key(&one, &key, &event(&one, 1_000 + number, domain::audit::Actor::Operator, "key"))
            .await
            .unwrap();
        let by_key = |number: u32| {
            let mut new = new_connection(&one, 500 + number, &format!("by key {number}"));
            new.event.actor = actor(&key);
            new
        };
        there.insert_connection(&one, by_key(2 * number)).await.unwrap();
        let mut revoked = key.clone();
        revoked.key.revoked_at = Some(at(0));
        let written = event(&one, 2_000 + number, domain::audit::Actor::Operator, "key");
        let changed = here.update_api_key(&one, key_update(&key, revoked), &written).await.unwrap();
        assert_eq!(changed, Changed::Yes);
        let refused = there.insert_connection(&one, by_key(2 * number + 1)).await;
        assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    }
}

pub(crate) async fn one_of_many_first_keyrings_is_kept(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let check = |number: u32| KeyringCheck {
        keyring_key: KeyringKeyId(format!("k_{number}")),
        value: [u8::try_from(number).unwrap(); 32],
    };
    let proposals = (0..16).map(|number| {
        let node: &dyn Store = &*nodes[number as usize % 2];
        async move { node.insert_keyring_check(&check(number), &[]).await.unwrap() }
    });
    let kept = all(proposals).await;
    assert_eq!(kept[0].len(), 1, "{kept:?}");
    assert!(kept.iter().all(|said| *said == kept[0]), "{kept:?}");
}

pub(crate) async fn two_nodes_lease_each_job_once_and_within_the_limits(db: &TestDatabase) {
    let nodes = [db.open().await, db.open().await];
    let one = insert_account(&*nodes[0], 1).await;
    insert_connection(&*nodes[0], &one, 1, "c").await.unwrap();
    for number in 0..AT_ONCE {
        job_samples::insert_job(&*nodes[0], &one, number, 1).await;
    }
    for (round, limits) in (0_u32..).zip([(5, 100), (100, 7), (100, 100)]) {
        // The leases of the previous round have expired.
        let second = i64::from(round) * 60 + 2;
        let asked = (0..2 * AT_ONCE).map(|turn| {
            let (node, number) =
                if turn < AT_ONCE { (&nodes[0], turn) } else { (&nodes[1], 2 * AT_ONCE - 1 - turn) };
            let id = job_samples::job_id(number);
            let one = &one;
            async move {
                let due = node
                    .list_due_jobs(at(second), Work::Upload, &super::job_samples::at_most(100))
                    .await
                    .unwrap();
                let fence = due.iter().find(|due| due.id == id)?.fence;
                let (per_account, per_connection) = limits;
                let terms = LeaseTerms { per_account, per_connection, ..job_samples::terms(fence, second) };
                node.lease_job(one, &id, &terms).await.unwrap().map(|leased| leased.job.id)
            }
        });
        let mut leased: Vec<_> = all(asked).await.into_iter().flatten().collect();
        let count = leased.len();
        leased.sort();
        leased.dedup();
        let most = limits.0.min(limits.1).min(AT_ONCE);
        assert_eq!((count, leased.len()), (most as usize, most as usize), "round {round}");
    }
}
