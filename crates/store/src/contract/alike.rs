//! The same random sequence of operations on two engines gives the same answers, step by step.

use std::fmt::Debug;

use domain::account::{Account, Label};
use domain::api_key::{ApiKeyRow, RowMac};
use domain::audit::{Actor, AuditEvent};
use domain::connection::{Connection, ConnectionName};
use domain::id::{AccountId, ConnectionId};
use domain::idempotency::{
    ANSWER_KEPT_SECONDS, IdempotencyKey, KeptAnswer, OnceRequest, Operation, OperationId, RequestMac,
    Reservation, Reserved,
};
use domain::secret::{SealedCredentials, WrappedKey};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::alike_jobs::{self, JobOp, Known};
use super::{Place, place, samples};
use crate::{Completion, ConnectionUpdate, Error, JobFilter, NewConnection, Store, Work};

/// Sequences, and the most operations in one.
const SEQUENCES: u32 = 48;
const OPERATIONS: usize = 120;
pub(super) const ACCOUNTS: u8 = 3;
const NAMES: [&str; 6] = ["a", "A", " a ", "b", "\u{e9}", "e\u{301}"];

/// What is done. Numbers choose among what there is by then.
#[derive(Debug, Clone)]
enum Op {
    InsertAccount { account: u8, name: u8 },
    DeleteAccountPart { account: u8, limit: u32 },
    InsertKey { account: u8, is_known_hash: bool, expires_in: Option<i64> },
    RevokeKey { account: u8, key: usize, is_right_proof: bool },
    Insert { account: u8, name: u8, actor: Option<usize>, completes: Option<(u8, u64)> },
    Update { account: u8, nth: usize, behind: u64, name: u8, actor: Option<usize>, resealed: bool },
    Delete { account: u8, nth: usize, actor: Option<usize> },
    Reserve { account: u8, key: u8, body: u8 },
    Release { account: u8, key: u8, attempt: u64 },
    Wait { seconds: i64 },
    Sweep,
    List { account: u8, after: usize, limit: u32 },
    Job(JobOp),
}

fn op() -> impl Strategy<Value = Op> {
    let account = 0..ACCOUNTS;
    let name = 0..u8::try_from(NAMES.len()).unwrap();
    let actor = || prop::option::weighted(0.4, 0..8_usize);
    let nth = || 0..10_usize;
    prop_oneof![
        1 => (account.clone(), account.clone()).prop_map(|(account, name)| Op::InsertAccount { account, name }),
        1 => (account.clone(), 1..4_u32).prop_map(|(account, limit)| Op::DeleteAccountPart { account, limit }),
        2 => (account.clone(), prop::bool::weighted(0.1), prop::option::of(1..200_i64)).prop_map(
            |(account, is_known_hash, expires_in)| Op::InsertKey { account, is_known_hash, expires_in }),
        1 => (account.clone(), 0..8_usize, any::<bool>()).prop_map(
            |(account, key, is_right_proof)| Op::RevokeKey { account, key, is_right_proof }),
        8 => (account.clone(), name.clone(), actor(), prop::option::weighted(0.3, (0..3_u8, 1..4_u64))).prop_map(
            |(account, name, actor, completes)| Op::Insert { account, name, actor, completes }),
        6 => (account.clone(), nth(), prop::sample::select(vec![0, 0, 0, 1]), name, actor(), any::<bool>()).prop_map(
            |(account, nth, behind, name, actor, resealed)| Op::Update { account, nth, behind, name, actor, resealed }),
        3 => (account.clone(), nth(), actor()).prop_map(|(account, nth, actor)| Op::Delete { account, nth, actor }),
        6 => (account.clone(), 0..3_u8, 0..2_u8).prop_map(|(account, key, body)| Op::Reserve { account, key, body }),
        2 => (account.clone(), 0..3_u8, 1..4_u64).prop_map(
            |(account, key, attempt)| Op::Release { account, key, attempt }),
        2 => prop::sample::select(vec![1, 29, 31, 3_600, ANSWER_KEPT_SECONDS]).prop_map(
            |seconds| Op::Wait { seconds }),
        1 => Just(Op::Sweep),
        3 => (account, nth(), 0..5_u32).prop_map(|(account, after, limit)| Op::List { account, after, limit }),
        24 => alike_jobs::op().prop_map(Op::Job),
    ]
}

/// What the sequence has made so far, as far as the next operations need it.
pub(super) struct Course {
    /// Apart from every other sequence.
    round: u32,
    pub(super) second: i64,
    pub(super) number: u32,
    connections: Vec<(ConnectionId, u64)>,
    keys: Vec<ApiKeyRow>,
    pub(super) jobs: Vec<Known>,
}

impl Course {
    fn new(round: u32) -> Self {
        Self { round, second: 0, number: 0, connections: Vec::new(), keys: Vec::new(), jobs: Vec::new() }
    }

    pub(super) fn account(&self, number: u8) -> AccountId {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&self.round.to_be_bytes());
        random[4] = number;
        AccountId::from_random(random)
    }

    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    pub(super) fn event(&mut self, account: &AccountId, actor: Option<usize>) -> AuditEvent {
        let number = self.next();
        let key = actor.and_then(|at| self.keys.get(at % self.keys.len().max(1)));
        let actor = key.map_or(Actor::Operator, samples::actor);
        AuditEvent { at: samples::at(self.second), ..samples::event(account, number, actor, "subject") }
    }

    pub(super) fn reservation(key: u8, attempt: u64) -> Reservation {
        let key = IdempotencyKey::parse(&format!("k{key}")).unwrap();
        Reservation { operation: Operation::CreateConnection, key, attempt }
    }

    pub(super) fn nth(&self, nth: usize) -> (ConnectionId, u64) {
        let known = self.connections.get(nth % self.connections.len().max(1)).cloned();
        known.unwrap_or_else(|| (samples::connection(&self.account(0), 0, "any").0.id, 1))
    }
}

/// What a step is answered: an error by its sentence, which has all that the caller learns.
pub(super) fn said<T: Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

pub(super) fn is_done(answer: &str) -> bool {
    !answer.starts_with("refused")
}

/// One store's answer to one operation. The course is told only by the first of the two stores.
async fn step(store: &dyn Store, course: &mut Course, op: &Op) -> String {
    match *op {
        Op::InsertAccount { account, name } => {
            let id = course.account(account);
            let name = Label::parse(&format!("Account {} {name}", course.round)).unwrap();
            let account = Account { name, id: id.clone(), ..samples::account(1) };
            said(store.insert_account(&account, &course.event(&id, None)).await)
        }
        Op::DeleteAccountPart { account, limit } => {
            let id = course.account(account);
            said(store.delete_account_part(&id, limit, &course.event(&id, None)).await)
        }
        Op::InsertKey { .. } | Op::RevokeKey { .. } => write_key(store, course, op).await,
        Op::Reserve { account, key, body } => {
            let number = course.next();
            let request = OnceRequest {
                operation_id: OperationId(
                    u128::from(u64::from(course.round) << 32 | u64::from(number)).to_be_bytes(),
                ),
                operation: Operation::CreateConnection,
                key: Course::reservation(key, 1).key,
                mac: RequestMac([body; 32]),
                at: samples::at(course.second),
            };
            said::<Reserved>(store.reserve_idempotency_key(&course.account(account), &request).await)
        }
        Op::Release { account, key, attempt } => {
            let reservation = Course::reservation(key, attempt);
            let at = samples::at(course.second);
            said(store.release_idempotency_key(&course.account(account), &reservation, at).await)
        }
        Op::Wait { seconds } => {
            course.second += seconds;
            String::new()
        }
        Op::Sweep => said(store.delete_idempotency_records(samples::at(course.second), 10_000).await),
        Op::List { account, after, limit } => {
            let account = course.account(account);
            let (after, _) = course.nth(after);
            said(store.list_connections(&account, Some(&after), limit).await)
        }
        Op::Job(ref op) => alike_jobs::step(store, course, op).await,
        Op::Insert { .. } | Op::Update { .. } | Op::Delete { .. } => write(store, course, op).await,
    }
}

async fn write_key(store: &dyn Store, course: &mut Course, op: &Op) -> String {
    match *op {
        Op::InsertKey { account, is_known_hash, expires_in } => {
            let id = course.account(account);
            let number = course.next();
            let mut row = samples::key_row(&id, 1);
            let mut random = [0; 32];
            random[..4].copy_from_slice(&course.round.to_be_bytes());
            random[4..8].copy_from_slice(&number.to_be_bytes());
            (row.hash.0, row.mac.0) = (random, random);
            row.key.id = domain::id::ApiKeyId::from_stored(format!("key_{}_{number}", course.round));
            row.key.created_at = samples::at(course.second);
            row.key.expires_at = expires_in.map(|seconds| samples::at(course.second + seconds));
            if let Some(known) = course.keys.first().filter(|_| is_known_hash) {
                row.hash = known.hash.clone();
            }
            // Of an account that is there: what the engine says of a row that belongs to nobody is its own.
            if store.find_account(&id).await.unwrap().is_none() {
                return "no account".to_owned();
            }
            let answer = said(store.insert_api_key(&id, &row, &course.event(&id, None)).await);
            if is_done(&answer) {
                course.keys.push(row);
            }
            answer
        }
        Op::RevokeKey { account, key, is_right_proof } => {
            let id = course.account(account);
            let event = course.event(&id, None);
            let Some(row) = course.keys.get(key % course.keys.len().max(1)).cloned() else {
                return "no key".to_owned();
            };
            let expected = if is_right_proof { row.mac.clone() } else { RowMac([1; 32]) };
            let mut revoked = row;
            revoked.key.revoked_at = Some(samples::at(course.second));
            said(store.update_api_key_revoked(&id, &expected, &revoked, &event).await)
        }
        _ => String::new(),
    }
}

async fn write(store: &dyn Store, course: &mut Course, op: &Op) -> String {
    match *op {
        Op::Insert { account, name, actor, completes } => {
            let account = course.account(account);
            let number = course.next();
            let (row, sealed) = samples::connection(&account, number, NAMES[name as usize]);
            let at = samples::at(course.second);
            let completion = completes.map(|(key, attempt)| Completion {
                reservation: Course::reservation(key, attempt),
                answer: KeptAnswer(number.to_be_bytes().to_vec()),
                at,
            });
            let event = course.event(&account, actor);
            let known = (row.id.clone(), row.version);
            let new = NewConnection { connection: row, sealed, event, completion };
            let answer = said(store.insert_connection(&account, new).await);
            if is_done(&answer) {
                course.connections.push(known);
            }
            answer
        }
        Op::Update { account, nth, behind, name, actor, resealed } => {
            let account = course.account(account);
            let (id, version) = course.nth(nth);
            let event = course.event(&account, actor);
            let fill = u8::try_from(course.number % 250).unwrap();
            let connection = Connection {
                id: id.clone(),
                description: None,
                version: version + 1,
                updated_at: samples::at(course.second),
                sealed_version: if resealed { version + 1 } else { 3 },
                ..samples::connection(&account, 1, NAMES[name as usize]).0
            };
            let resealed = resealed
                .then(|| SealedCredentials { envelope: vec![fill; 80], sealing_key: WrappedKey([fill; 60]) });
            let expected_version = version.saturating_sub(behind);
            let update = ConnectionUpdate { expected_version, connection, resealed, event };
            let answer = said(store.update_connection(&account, update).await);
            if is_done(&answer)
                && let Some(known) = course.connections.iter_mut().find(|known| known.0 == id)
            {
                known.1 += 1;
            }
            answer
        }
        Op::Delete { account, nth, actor } => {
            let account = course.account(account);
            let event = course.event(&account, actor);
            said(store.delete_connection(&account, &course.nth(nth).0, &event).await)
        }
        _ => String::new(),
    }
}

/// All that can be read of what a sequence has made.
async fn look(store: &dyn Store, course: &Course) -> Vec<String> {
    let mut seen = vec![said(store.find_last_connection_time().await), said(store.list_accounts().await)];
    for number in 0..ACCOUNTS {
        let account = course.account(number);
        seen.push(said(store.find_account(&account).await));
        seen.push(said(store.list_connections(&account, None, 1_000).await));
        seen.push(said(store.list_connection_ids(&account, None, 1_000).await));
        seen.push(said(store.list_api_keys(&account).await));
        seen.push(said(store.list_audit_events(&account, 1_000).await));
        seen.push(said(store.list_jobs(&account, &JobFilter::default(), 1_000).await));
        seen.push(said(store.list_webhook_secrets(&account, samples::at(course.second)).await));
        for name in NAMES {
            let name = ConnectionName::parse(name).unwrap();
            seen.push(said(store.find_connection_id_by_name(&account, name.unique_part()).await));
        }
        for (id, _) in &course.connections {
            seen.push(said(store.find_sealed_connection(&account, id).await));
            seen.push(said(store.find_connection(&account, id).await));
        }
    }
    for work in [Work::Upload, Work::Webhook] {
        seen.push(said(
            store.list_due_jobs(samples::at(course.second), work, &super::job_samples::at_most(1_000)).await,
        ));
    }
    for key in &course.keys {
        seen.push(said(store.find_api_key(&key.key.id).await));
        seen.push(said(store.find_api_key_by_hash(&key.hash, samples::at(course.second)).await));
    }
    seen
}

async fn compare(stores: [&dyn Store; 2], round: u32, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut courses = [Course::new(round), Course::new(round)];
    for number in 0..ACCOUNTS - 1 {
        let op = Op::InsertAccount { account: number, name: number };
        for (store, course) in stores.into_iter().zip(&mut courses) {
            step(store, course, &op).await;
            let connection = Op::Insert { account: number, name: number, actor: None, completes: None };
            step(store, course, &connection).await;
        }
    }
    for (at, op) in ops.iter().enumerate() {
        let [one, two] = &mut courses;
        let (left, right) = (step(stores[0], one, op).await, step(stores[1], two, op).await);
        prop_assert_eq!(left, right, "step {}: {:?}", at, op);
    }
    let [one, two] = &courses;
    prop_assert_eq!(look(stores[0], one).await, look(stores[1], two).await, "what is there in the end");
    Ok(())
}

fn are_alike(other: impl Future<Output = Option<Place>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(other) = runtime.block_on(other) else { return };
    let sqlite = Place::sqlite();
    let stores = runtime.block_on(async { [sqlite.open().await, other.open().await] });
    for store in &stores {
        runtime.block_on(store.insert_keyring_check(&samples::keyring_check(), &[])).unwrap();
    }
    let round = std::cell::Cell::new(0);
    let config = Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    runner
        .run(&prop::collection::vec(op(), 1..OPERATIONS), |ops| {
            round.set(round.get() + 1);
            runtime.block_on(compare([&*stores[0], &*stores[1]], round.get(), &ops))
        })
        .unwrap();
}

#[test]
fn sqlite_and_postgres_15_answer_alike() {
    are_alike(place::postgres_15());
}

#[test]
fn sqlite_and_postgres_18_answer_alike() {
    are_alike(place::postgres_18());
}
