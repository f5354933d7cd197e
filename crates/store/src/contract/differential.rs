//! The same random sequence of operations returns the same answers on two engines, step by step.

use std::fmt::Debug;

use domain::account::{Account, Label};
use domain::api_key::ApiKeyRow;
use domain::audit::{Actor, AuditEvent};
use domain::connection::{Connection, ConnectionName};
use domain::id::{AccountId, ConnectionId};
use domain::idempotency::{
    IdempotencyKey, Operation, OperationId, RESPONSE_TTL_SECONDS, RequestMac, Reservation, ReserveRequest,
    Reserved, StoredResponse,
};
use domain::limits::{Limit, LimitChange, LimitChanges};
use domain::secret::{SealedCredentials, WrappedKey};
use domain::webhook::{Audience, EventType};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::differential_audit::{self, AuditOp};
use super::differential_authorizations::{self, AuthorizationOp};
use super::differential_jobs::{self, JobOp, Known};
use super::differential_keys::{self, KeyOp};
use super::differential_webhooks::{self, WebhookOp};
use super::webhook_samples::announcement;
use super::{TestDatabase, samples, test_database};
use crate::{Completion, ConnectionUpdate, Counted, Error, JobFilter, NewConnection, Store, Work};

/// The number of sequences, and the most operations in one.
const SEQUENCES: u32 = 48;
const OPERATIONS: usize = 120;
pub(super) const ACCOUNTS: u8 = 3;
const NAMES: [&str; 6] = ["a", "A", " a ", "b", "\u{e9}", "e\u{301}"];

/// An operation. Numbers choose among what the sequence has created by then.
#[derive(Debug, Clone)]
enum Op {
    InsertAccount { account: u8, name: u8 },
    DeleteAccountPart { account: u8, limit: u32 },
    Key(KeyOp),
    Insert { account: u8, name: u8, actor: Option<usize>, completes: Option<(u8, u64)> },
    Update { account: u8, nth: usize, behind: u64, name: u8, actor: Option<usize>, resealed: bool },
    Delete { account: u8, nth: usize, actor: Option<usize> },
    Reserve { account: u8, key: u8, body: u8 },
    Release { account: u8, key: u8, attempt: u64 },
    Wait { seconds: i64 },
    Sweep,
    List { account: u8, after: usize, limit: u32 },
    SetLimit { account: u8, limit: usize, value: Option<u64> },
    Count { account: u8, most: u64 },
    Job(JobOp),
    Audit(AuditOp),
    Webhook(WebhookOp),
    Authorization(AuthorizationOp),
}

fn op() -> impl Strategy<Value = Op> {
    let account = 0..ACCOUNTS;
    let name = 0..u8::try_from(NAMES.len()).unwrap();
    let actor = || prop::option::weighted(0.4, 0..8_usize);
    let nth = || 0..10_usize;
    prop_oneof![
        1 => (account.clone(), account.clone()).prop_map(|(account, name)| Op::InsertAccount { account, name }),
        1 => (account.clone(), 1..4_u32).prop_map(|(account, limit)| Op::DeleteAccountPart { account, limit }),
        3 => differential_keys::op().prop_map(Op::Key),
        8 => (account.clone(), name.clone(), actor(), prop::option::weighted(0.3, (0..3_u8, 1..4_u64))).prop_map(
            |(account, name, actor, completes)| Op::Insert { account, name, actor, completes }),
        6 => (account.clone(), nth(), prop::sample::select(vec![0, 0, 0, 1]), name, actor(), any::<bool>()).prop_map(
            |(account, nth, behind, name, actor, resealed)| Op::Update { account, nth, behind, name, actor, resealed }),
        3 => (account.clone(), nth(), actor()).prop_map(|(account, nth, actor)| Op::Delete { account, nth, actor }),
        6 => (account.clone(), 0..3_u8, 0..2_u8).prop_map(|(account, key, body)| Op::Reserve { account, key, body }),
        2 => (account.clone(), 0..3_u8, 1..4_u64).prop_map(
            |(account, key, attempt)| Op::Release { account, key, attempt }),
        2 => prop::sample::select(vec![1, 29, 31, 3_600, RESPONSE_TTL_SECONDS]).prop_map(
            |seconds| Op::Wait { seconds }),
        1 => Just(Op::Sweep),
        3 => (account.clone(), nth(), 0..5_u32).prop_map(
            |(account, after, limit)| Op::List { account, after, limit }),
        1 => (account.clone(), 0..Limit::ALL.len(), prop::option::of(0..9_u64)).prop_map(
            |(account, limit, value)| Op::SetLimit { account, limit, value }),
        1 => (account, 0..9_u64).prop_map(|(account, most)| Op::Count { account, most }),
        24 => differential_jobs::op().prop_map(Op::Job),
        6 => differential_audit::op().prop_map(Op::Audit),
        12 => differential_webhooks::op().prop_map(Op::Webhook),
        8 => differential_authorizations::op().prop_map(Op::Authorization),
    ]
}

/// The state of one sequence on one store, as far as the next operations need it.
pub(super) struct Run {
    /// Unique to the sequence.
    pub(super) round: u32,
    pub(super) second: i64,
    pub(super) number: u32,
    connections: Vec<(ConnectionId, u64)>,
    pub(super) keys: Vec<ApiKeyRow>,
    pub(super) jobs: Vec<Known>,
}

impl Run {
    fn new(round: u32) -> Self {
        Self { round, second: 0, number: 0, connections: Vec::new(), keys: Vec::new(), jobs: Vec::new() }
    }

    pub(super) fn account(&self, number: u8) -> AccountId {
        let mut random = [0; 16];
        random[..4].copy_from_slice(&self.round.to_be_bytes());
        random[4] = number;
        AccountId::from_random(random)
    }

    pub(super) fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    pub(super) fn event(&mut self, account: &AccountId, actor: Option<usize>) -> AuditEvent {
        let number = self.next();
        let key = actor.and_then(|at| self.keys.get(at % self.keys.len().max(1)));
        let actor = key.map_or(Actor::Operator, samples::actor);
        AuditEvent { at: samples::at(self.second), ..samples::event(account, number, actor, "subject") }
    }

    fn announcing(&mut self, account: &AccountId, actor: Option<usize>, event_type: EventType) -> AuditEvent {
        let announcement = Some(announcement(event_type, Audience::Subscribers));
        AuditEvent { announcement, ..self.event(account, actor) }
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

/// An answer as text: an error by its message, which has everything that the caller learns.
pub(super) fn describe<T: Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("refused: {error}"),
    }
}

pub(super) fn is_done(answer: &str) -> bool {
    !answer.starts_with("refused")
}

/// One store's answer to one operation.
async fn step(store: &dyn Store, run: &mut Run, op: &Op) -> String {
    match *op {
        Op::InsertAccount { account, name } => {
            let id = run.account(account);
            let name = Label::parse(&format!("Account {} {name}", run.round)).unwrap();
            let account = Account { name, id: id.clone(), ..samples::account(1) };
            describe(store.insert_account(&account, &run.event(&id, None)).await)
        }
        Op::DeleteAccountPart { account, limit } => {
            let id = run.account(account);
            describe(store.delete_account_part(&id, limit, &run.event(&id, None)).await)
        }
        Op::Key(ref op) => differential_keys::step(store, run, op).await,
        Op::Reserve { account, key, body } => {
            let number = run.next();
            let request = ReserveRequest {
                operation_id: OperationId(
                    u128::from(u64::from(run.round) << 32 | u64::from(number)).to_be_bytes(),
                ),
                operation: Operation::CreateConnection,
                key: Run::reservation(key, 1).key,
                mac: RequestMac([body; 32]),
                other_macs: Vec::new(),
                at: samples::at(run.second),
            };
            describe::<Reserved>(store.reserve_idempotency_key(&run.account(account), &request).await)
        }
        Op::Release { account, key, attempt } => {
            let reservation = Run::reservation(key, attempt);
            let at = samples::at(run.second);
            describe(store.release_idempotency_key(&run.account(account), &reservation, at).await)
        }
        Op::Wait { seconds } => {
            run.second += seconds;
            String::new()
        }
        Op::Sweep => describe(store.delete_idempotency_records(samples::at(run.second), 10_000).await),
        Op::List { account, after, limit } => {
            let account = run.account(account);
            let (after, _) = run.nth(after);
            describe(store.list_connections(&account, Some(&after), limit).await)
        }
        Op::SetLimit { account, limit, value } => {
            let account = run.account(account);
            let event = run.event(&account, None);
            let change = value.map_or(LimitChange::Reset, LimitChange::Set);
            let mut changes = LimitChanges::default();
            changes.set(Limit::ALL[limit], change);
            describe(store.update_account_limits(&account, &changes, &event).await)
        }
        Op::Count { account, most } => counts(store, run, (account, most)).await,
        Op::Job(ref op) => differential_jobs::step(store, run, op).await,
        Op::Audit(ref op) => differential_audit::step(store, run, op).await,
        Op::Webhook(ref op) => differential_webhooks::step(store, run, op).await,
        Op::Authorization(ref op) => differential_authorizations::step(store, run, op).await,
        Op::Insert { .. } | Op::Update { .. } | Op::Delete { .. } => write(store, run, op).await,
    }
}

async fn counts(store: &dyn Store, run: &Run, (account, most): (u8, u64)) -> String {
    let account = run.account(account);
    let counted = [
        Counted::Connections,
        Counted::JobsInProgress,
        Counted::IdempotencyRecords,
        Counted::WebhookEndpoints,
        Counted::OpenAuthorizations,
    ];
    let mut counts = Vec::new();
    for counted in counted {
        counts.push(describe(store.count_of_account(&account, counted, most).await));
    }
    counts.join(" ")
}

async fn write(store: &dyn Store, run: &mut Run, op: &Op) -> String {
    match *op {
        Op::Insert { account, name, actor, completes } => {
            let account = run.account(account);
            let number = run.next();
            let (row, sealed) = samples::connection(&account, number, NAMES[name as usize]);
            let at = samples::at(run.second);
            let completion = completes.map(|(key, attempt)| Completion {
                reservation: Run::reservation(key, attempt),
                answer: StoredResponse(number.to_be_bytes().to_vec()),
                at,
            });
            let event = run.announcing(&account, actor, EventType::ConnectionCreated);
            let known = (row.id.clone(), row.version);
            let new = NewConnection {
                connection: row,
                sealed,
                health: super::samples::new_health(),
                event,
                completion,
            };
            let answer = describe(store.insert_connection(&account, new).await);
            if is_done(&answer) {
                run.connections.push(known);
            }
            answer
        }
        Op::Update { account, nth, behind, name, actor, resealed } => {
            let account = run.account(account);
            let (id, version) = run.nth(nth);
            let event = run.announcing(&account, actor, EventType::ConnectionUpdated);
            let fill = u8::try_from(run.number % 250).unwrap();
            let connection = Connection {
                id: id.clone(),
                description: None,
                version: version + 1,
                updated_at: samples::at(run.second),
                sealed_version: if resealed { version + 1 } else { 3 },
                ..samples::connection(&account, 1, NAMES[name as usize]).0
            };
            let resealed = resealed
                .then(|| SealedCredentials { envelope: vec![fill; 80], sealing_key: WrappedKey([fill; 60]) });
            let expected_version = version.saturating_sub(behind);
            let update = ConnectionUpdate { expected_version, connection, resealed, event };
            let answer = describe(store.update_connection(&account, update).await);
            if is_done(&answer)
                && let Some(known) = run.connections.iter_mut().find(|known| known.0 == id)
            {
                known.1 += 1;
            }
            answer
        }
        Op::Delete { account, nth, actor } => {
            let account = run.account(account);
            let event = run.announcing(&account, actor, EventType::ConnectionDeleted);
            describe(store.delete_connection(&account, &run.nth(nth).0, &event).await)
        }
        _ => String::new(),
    }
}

/// Everything that can be read of what a sequence has created.
async fn observe(store: &dyn Store, run: &Run) -> Vec<String> {
    let mut seen =
        vec![describe(store.find_last_connection_time().await), describe(store.list_accounts().await)];
    for number in 0..ACCOUNTS {
        let account = run.account(number);
        seen.push(describe(store.find_account(&account).await));
        seen.push(describe(store.find_account_limits(&account).await));
        seen.push(describe(store.list_connections(&account, None, 1_000).await));
        seen.push(describe(store.list_connection_ids(&account, None, 1_000).await));
        seen.push(describe(store.list_api_keys(&account).await));
        seen.extend(differential_audit::observe(store, &account).await);
        seen.extend(differential_webhooks::observe(store, run, &account).await);
        seen.push(describe(store.list_authorizations(&account, None, 1_000).await));
        seen.push(describe(store.list_jobs(&account, &JobFilter::default(), 1_000).await));
        seen.push(describe(store.list_webhook_secrets(&account, samples::at(run.second)).await));
        for name in NAMES {
            let name = ConnectionName::parse(name).unwrap();
            seen.push(describe(store.find_connection_id_by_name(&account, name.unique_part()).await));
        }
        for (id, _) in &run.connections {
            seen.push(describe(store.find_sealed_connection(&account, id).await));
            seen.push(describe(store.find_connection(&account, id).await));
        }
    }
    for work in [Work::Upload, Work::Webhook] {
        seen.push(describe(
            store.list_due_jobs(samples::at(run.second), work, &super::job_samples::at_most(1_000)).await,
        ));
    }
    for key in &run.keys {
        seen.push(describe(store.find_api_key(&key.key.id).await));
        seen.push(describe(store.find_api_key_by_hash(&key.hash, samples::at(run.second)).await));
    }
    seen
}

async fn compare(stores: [&dyn Store; 2], round: u32, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut runs = [Run::new(round), Run::new(round)];
    for number in 0..ACCOUNTS - 1 {
        let op = Op::InsertAccount { account: number, name: number };
        for (store, run) in stores.into_iter().zip(&mut runs) {
            step(store, run, &op).await;
            let connection = Op::Insert { account: number, name: number, actor: None, completes: None };
            step(store, run, &connection).await;
        }
    }
    for (at, op) in ops.iter().enumerate() {
        let [one, two] = &mut runs;
        let (left, right) = (step(stores[0], one, op).await, step(stores[1], two, op).await);
        prop_assert_eq!(left, right, "step {}: {:?}", at, op);
    }
    let [one, two] = &runs;
    prop_assert_eq!(observe(stores[0], one).await, observe(stores[1], two).await, "the final state");
    Ok(())
}

fn assert_same_answers(other: impl Future<Output = Option<TestDatabase>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(other) = runtime.block_on(other) else { return };
    let sqlite = TestDatabase::sqlite();
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
fn sqlite_and_postgres_15_return_the_same_answers() {
    assert_same_answers(test_database::postgres_15());
}

#[test]
fn sqlite_and_postgres_18_return_the_same_answers() {
    assert_same_answers(test_database::postgres_18());
}

#[test]
fn sqlite_and_postgres_behind_a_pooler_return_the_same_answers() {
    assert_same_answers(test_database::pgbouncer_transaction());
}
