//! Linearizability: a recorded history of concurrent operations has a sequential order that explains every response
//! and respects real time.
//!
//! Linearizability is local: a history is linearizable exactly if its projection on each object is. An object here is
//! a name, with at most one connection that has it. Only the list touches several names; its part for each name is
//! checked as a search for that name.
//!
//! The checker searches, so the history is cut into rounds at points where no operation is in progress. This is sound:
//! everything before such a point precedes everything after it in every valid order, so the whole history is
//! linearizable exactly if each round is, starting from the final state of the previous round. A read at the end of
//! each round shows that state completely (identifier, version and text), and is part of the history of the round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::{Value, json};
use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};
use tokio::task::JoinSet;

use crate::support::connections::{delete, path_of, put};
use crate::support::harness::{COLLECTION, TestEnv};
use crate::support::random::next_random;
use crate::support::tools::print_numbers;

const NAMES: [&str; 4] = ["north", "east", "south", "west"];
const CLIENTS: usize = 8;
const ROUNDS: usize = 125;
const EACH: usize = 10;
/// The client that reads at the end of a round.
const READER: usize = CLIENTS;

/// The parts of a connection that the operations change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    id: String,
    version: u64,
    mark: String,
}

#[derive(Clone, Debug)]
enum Op {
    Create {
        mark: String,
    },
    Get {
        id: String,
    },
    Put {
        id: String,
        version: u64,
        mark: String,
    },
    Delete {
        id: String,
    },
    /// A list, or a search by name: what exists with this name.
    Look,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ret {
    Created(String),
    NameExists,
    Found(Seen),
    NotFound,
    Conflict(u64),
    Deleted,
}

/// A name, and the connection that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named(Option<Seen>);

impl SequentialSpec for Named {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        let current = |id: &str| self.0.clone().filter(|seen| seen.id == id);
        match op {
            Op::Create { mark } if self.0.is_none() => {
                self.0 = Some(Seen { id: String::new(), version: 1, mark: mark.clone() });
                Ret::Created(String::new())
            }
            Op::Create { .. } => Ret::NameExists,
            Op::Get { id } => current(id).map_or(Ret::NotFound, Ret::Found),
            Op::Look => self.0.clone().map_or(Ret::NotFound, Ret::Found),
            Op::Put { id, version, mark } => match current(id) {
                None => Ret::NotFound,
                Some(seen) if seen.version != *version => Ret::Conflict(seen.version),
                Some(seen) => {
                    let now = Seen { version: version + 1, mark: mark.clone(), ..seen };
                    self.0 = Some(now.clone());
                    Ret::Found(now)
                }
            },
            Op::Delete { id } => {
                if current(id).is_some() {
                    self.0 = None;
                }
                Ret::Deleted
            }
        }
    }

    /// The service chooses the identifier of a new connection. Everything else follows from the state.
    fn is_valid_step(&mut self, op: &Op, ret: &Ret) -> bool {
        match (self.invoke(op), ret) {
            (Ret::Created(_), Ret::Created(id)) => {
                if let Some(seen) = &mut self.0 {
                    seen.id.clone_from(id);
                }
                true
            }
            (expected, ret) => expected == *ret,
        }
    }
}

/// The start or the end of an operation, in real-time order: the start is recorded before the request is sent, the end
/// after the response was read.
#[derive(Clone, Debug)]
enum Event {
    Invoked(usize, &'static str, Op),
    Returned(usize, &'static str, Ret),
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    fn push(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Checks the events of a round on one name against the state at the start of the round.
fn is_linearizable(name: &str, initial: &Named, events: &[Event]) -> bool {
    let mut tester = LinearizabilityTester::new(initial.clone());
    for event in events {
        match event {
            Event::Invoked(client, of, op) if *of == name => {
                tester.on_invoke(*client, op.clone()).unwrap();
            }
            Event::Returned(client, of, ret) if *of == name => {
                tester.on_return(*client, ret.clone()).unwrap();
            }
            _ => {}
        }
    }
    tester.is_consistent()
}

fn seen(connection: &Value) -> Seen {
    Seen {
        id: connection["connectionId"].as_str().unwrap().to_owned(),
        version: connection["version"].as_u64().unwrap(),
        mark: connection["description"].as_str().unwrap().to_owned(),
    }
}

/// A client, and its view of each name.
struct Client {
    number: usize,
    seed: u64,
    believed: BTreeMap<&'static str, Seen>,
}

impl Client {
    /// One operation, chosen by the seed.
    async fn act(&mut self, env: &TestEnv, recorder: &Recorder, count: usize) {
        let name = NAMES[next_random(&mut self.seed, NAMES.len())];
        let mark = format!("client {} act {count}", self.number);
        let choice = next_random(&mut self.seed, 20);
        let believed = self.believed.get(name).cloned();
        let (op, ret) = match (choice, believed) {
            (0..=2, _) | (_, None) => {
                let op = Op::Create { mark: mark.clone() };
                recorder.push(Event::Invoked(self.number, name, op.clone()));
                (op, create(env, name, &mark).await)
            }
            (3..=7, Some(Seen { id, .. })) => {
                let op = Op::Get { id: id.clone() };
                recorder.push(Event::Invoked(self.number, name, op.clone()));
                (op, connection(&env.get(&path_of(&id)).await))
            }
            (8..=14, Some(Seen { id, version, .. })) => {
                let op = Op::Put { id: id.clone(), version, mark: mark.clone() };
                recorder.push(Event::Invoked(self.number, name, op.clone()));
                (op, connection(&put(env, &id, &json!({"version": version, "description": mark})).await))
            }
            (15, Some(Seen { id, .. })) => {
                let op = Op::Delete { id: id.clone() };
                recorder.push(Event::Invoked(self.number, name, op.clone()));
                assert_eq!(delete(env, &id).await.status, 204);
                (op, Ret::Deleted)
            }
            (16 | 17, Some(_)) => {
                recorder.push(Event::Invoked(self.number, name, Op::Look));
                let found = env.get(&format!("{COLLECTION}?name={name}")).await.json();
                (Op::Look, found["Items"].get(0).map_or(Ret::NotFound, |found| Ret::Found(seen(found))))
            }
            (_, Some(_)) => {
                self.believed = look_at_all(env, recorder, self.number).await;
                return;
            }
        };
        recorder.push(Event::Returned(self.number, name, ret.clone()));
        self.learn(name, op, ret);
    }

    fn learn(&mut self, name: &'static str, op: Op, ret: Ret) {
        match (op, ret) {
            (Op::Create { mark }, Ret::Created(id)) => {
                self.believed.insert(name, Seen { id, version: 1, mark });
            }
            // It exists, but its identifier is unknown. A wrong guess is an operation too.
            (Op::Create { mark }, _) => {
                self.believed.entry(name).or_insert(Seen { id: "unknown".to_owned(), version: 1, mark });
            }
            (_, Ret::Found(seen)) => {
                self.believed.insert(name, seen);
            }
            (_, Ret::Conflict(version)) => {
                self.believed.entry(name).and_modify(|seen| seen.version = version);
            }
            // Now and then, read a deleted connection.
            _ if next_random(&mut self.seed, 2) == 0 => {
                self.believed.remove(name);
            }
            _ => {}
        }
    }
}

async fn create(env: &TestEnv, name: &str, mark: &str) -> Ret {
    let mut body = env.valid_body(name);
    body["description"] = json!(mark);
    let answer = env.post(&body).await;
    match answer.status.as_u16() {
        201 => Ret::Created(answer.json()["connectionId"].as_str().unwrap().to_owned()),
        status => {
            assert_eq!((status, &*answer.code()), (409, "CONNECTION_NAME_EXISTS"));
            Ret::NameExists
        }
    }
}

/// The response to a GET or a PUT of one connection.
fn connection(answer: &crate::support::harness::Response) -> Ret {
    match (answer.status.as_u16(), &*answer.code()) {
        (200, _) => Ret::Found(seen(&answer.json())),
        (404, "CONNECTION_NOT_FOUND") => Ret::NotFound,
        (409, "VERSION_CONFLICT") => Ret::Conflict(answer.json()["currentVersion"].as_u64().unwrap()),
        _ => panic!("{answer:?}"),
    }
}

/// Lists everything, which is one operation for each name.
async fn look_at_all(env: &TestEnv, recorder: &Recorder, client: usize) -> BTreeMap<&'static str, Seen> {
    for name in NAMES {
        recorder.push(Event::Invoked(client, name, Op::Look));
    }
    let listed = env.send(Method::GET, COLLECTION, &[], Vec::new()).await.json();
    let items = listed["Items"].as_array().unwrap();
    let mut all = BTreeMap::new();
    for name in NAMES {
        let found = items.iter().find(|item| item["name"] == name).map(seen);
        let ret = found.clone().map_or(Ret::NotFound, Ret::Found);
        recorder.push(Event::Returned(client, name, ret));
        all.extend(found.map(|found| (name, found)));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_histories_are_linearizable() {
    let env = Arc::new(TestEnv::without_verification("").await);
    let recorder = Arc::new(Recorder::default());
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| Client { number, seed: 1_000 + number as u64, believed: BTreeMap::new() })
        .collect();
    let mut states = NAMES.map(|name| (name, Named(None)));
    let mut counts = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut working = JoinSet::new();
        for mut client in clients.drain(..) {
            let (env, recorder) = (env.clone(), recorder.clone());
            working.spawn(async move {
                for n in 0..EACH {
                    client.act(&env, &recorder, round * EACH + n).await;
                }
                client
            });
        }
        clients = working.join_all().await;
        let all = look_at_all(&env, &recorder, READER).await;
        let events = recorder.take();
        for (name, state) in &mut states {
            assert!(is_linearizable(name, state, &events), "round {round}, {name}: {state:?} {events:#?}");
            *state = Named(all.get(name).cloned());
        }
        count(&events, &mut counts);
    }
    let total: usize = counts.values().sum();
    print_numbers(&format!(
        "{} operations in {ROUNDS} rounds; by name and response {total}: {counts:?}",
        CLIENTS * EACH * ROUNDS
    ));
    for kind in ["Conflict", "Created", "Deleted", "Found", "NameExists", "NotFound"] {
        assert!(counts.get(kind).is_some_and(|count| *count > 50), "too few {kind}: {counts:?}");
    }
}

fn count(events: &[Event], counts: &mut BTreeMap<String, usize>) {
    for event in events {
        if let Event::Returned(_, _, ret) = event {
            let text = format!("{ret:?}");
            let kind = text.split(['(', ' ']).next().unwrap_or_default();
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

/// A sequential history of one name.
fn in_turn(operations: Vec<(usize, Op, Ret)>) -> Vec<Event> {
    let ends =
        |(client, op, ret)| [Event::Invoked(client, "north", op), Event::Returned(client, "north", ret)];
    operations.into_iter().flat_map(ends).collect()
}

#[test]
fn the_checker_rejects_histories_that_are_not_linearizable() {
    let mark = |mark: &str| mark.to_owned();
    let state = |version, text: &str| Seen { id: mark("a"), version, mark: mark(text) };
    let initial = Named(Some(state(1, "old")));
    let put = || Op::Put { id: mark("a"), version: 1, mark: mark("new") };
    let get = || Op::Get { id: mark("a") };
    let done = || Ret::Found(state(2, "new"));
    let read = |seen: Seen| (1, get(), Ret::Found(seen));
    let deletion = (0, Op::Delete { id: mark("a") }, Ret::Deleted);
    let creation = |client, id: &str| (client, Op::Create { mark: mark("x") }, Ret::Created(mark(id)));
    let good = [
        vec![(0, put(), done()), read(state(2, "new"))],
        vec![deletion.clone(), (1, put(), Ret::NotFound), creation(0, "b")],
    ];
    for history in good {
        assert!(is_linearizable("north", &initial, &in_turn(history)));
    }
    let bad = [
        ("a stale read after an acknowledged update", vec![(0, put(), done()), read(state(1, "old"))]),
        ("two updates of one version", vec![(0, put(), done()), (1, put(), done())]),
        ("a version that never existed", vec![(0, put(), Ret::Conflict(3))]),
        ("a lost update", vec![(0, put(), done()), (1, put(), Ret::Conflict(1))]),
        ("a read of a deleted connection", vec![deletion.clone(), read(state(1, "old"))]),
        ("a name twice", vec![creation(0, "b")]),
        (
            "a name that stays taken after a delete",
            vec![deletion, (1, Op::Create { mark: mark("x") }, Ret::NameExists)],
        ),
        ("a list without an existing connection", vec![(0, Op::Look, Ret::NotFound)]),
    ];
    for (what, history) in bad {
        assert!(!is_linearizable("north", &initial, &in_turn(history)), "{what}");
    }
    // While the update is in progress, either value is valid; but a later read must not go back in time.
    let under_way = |reads: [Seen; 2]| {
        let mut events = vec![Event::Invoked(0, "north", put())];
        events.extend(in_turn(reads.map(read).into()));
        events.push(Event::Returned(0, "north", done()));
        is_linearizable("north", &initial, &events)
    };
    assert!(under_way([state(1, "old"), state(2, "new")]));
    assert!(!under_way([state(2, "new"), state(1, "old")]));
}
