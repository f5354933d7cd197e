//! Many clients who create, read, change and delete, at any of the nodes, while the nodes or the database come and go.
//! Each remembers what it was told; afterwards that is compared with what is there.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, Response, TestEnv, until};
use crate::support::postgres::sql;
use crate::support::random::next_random;

/// The most that a client does, should nobody stop it.
const ROUNDS: usize = 2_000;
/// How long a client waits for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Between a refusal and the next request.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// Where a node is, while it is there.
struct NodeAddress {
    address: Mutex<SocketAddr>,
    /// Odd while the node is away.
    changes: AtomicUsize,
}

/// What a client knows of something that it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// It did not ask for it, or was told that it was not done.
    #[default]
    No,
    /// It was told that it was done.
    Yes,
    /// It was not told.
    Maybe,
}

/// What a client knows of one connection.
#[derive(Debug)]
pub(crate) struct TrackedConnection {
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) has_key: bool,
    pub(crate) created: Known,
    /// The answer to its creation, and the identifier in it.
    pub(crate) first: Option<(String, String)>,
    pub(crate) updated: Known,
    pub(crate) deleted: Known,
}

/// All that came of a storm.
pub(crate) struct Report {
    pub(crate) connections: Vec<TrackedConnection>,
    /// How often each thing was said that was no success.
    pub(crate) codes: BTreeMap<String, usize>,
    /// Answers that nobody should ever get.
    pub(crate) wrong: Vec<String>,
    /// The longest time without a write that was acknowledged.
    pub(crate) longest_pause: Duration,
    pub(crate) acknowledged: usize,
}

struct Tally {
    codes: BTreeMap<String, usize>,
    wrong: Vec<String>,
    last: Instant,
    longest_pause: Duration,
}

struct Cluster {
    nodes: Vec<NodeAddress>,
    http: reqwest::Client,
    api_key: String,
    body: Value,
    is_finished: AtomicBool,
    acknowledged: AtomicUsize,
    tally: Mutex<Tally>,
}

pub(crate) struct ChaosClients {
    cluster: Arc<Cluster>,
    clients: JoinSet<Vec<TrackedConnection>>,
}

impl ChaosClients {
    /// Starts clients who go to any of these nodes; every other one sends its creations with an idempotency key.
    pub(crate) fn start(env: &TestEnv, nodes: &[SocketAddr], prefix: &str, clients: usize) -> Self {
        let node = |address: &SocketAddr| NodeAddress {
            address: Mutex::new(*address),
            changes: AtomicUsize::new(0),
        };
        let tally = Tally {
            codes: BTreeMap::new(),
            wrong: Vec::new(),
            last: Instant::now(),
            longest_pause: Duration::ZERO,
        };
        let cluster = Arc::new(Cluster {
            nodes: nodes.iter().map(node).collect(),
            http: env.http.clone(),
            api_key: env.api_key.clone(),
            body: env.valid_body("x"),
            is_finished: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            tally: Mutex::new(tally),
        });
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let (cluster, prefix) = (cluster.clone(), format!("{prefix}-{client}"));
            tasks.spawn(async move { cluster.work(&prefix, client).await });
        }
        Self { cluster, clients: tasks }
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) async fn wait_for_acks(&self, more: usize) {
        let goal = self.acknowledged() + more;
        until("writes are acknowledged", async || self.acknowledged() >= goal).await;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.cluster.acknowledged.load(Ordering::SeqCst)
    }

    /// How often this was said so far.
    pub(crate) fn count_of(&self, code: &str) -> usize {
        self.cluster.tally.lock().unwrap().codes.get(code).copied().unwrap_or_default()
    }

    /// From now on, whoever gets no answer from this node is not surprised.
    pub(crate) fn mark_down(&self, node: usize) {
        self.cluster.nodes[node].changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The node is there again, at this address.
    pub(crate) fn mark_up(&self, node: usize, address: SocketAddr) {
        *self.cluster.nodes[node].address.lock().unwrap() = address;
        self.cluster.nodes[node].changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) async fn finish(self) -> Report {
        self.cluster.is_finished.store(true, Ordering::SeqCst);
        let connections: Vec<_> = self.clients.join_all().await.into_iter().flatten().collect();
        let tally = self.cluster.tally.lock().unwrap();
        Report {
            connections,
            codes: tally.codes.clone(),
            wrong: tally.wrong.clone(),
            longest_pause: tally.longest_pause,
            acknowledged: self.cluster.acknowledged.load(Ordering::SeqCst),
        }
    }
}

impl Cluster {
    async fn work(&self, prefix: &str, client: usize) -> Vec<TrackedConnection> {
        let mut seed = u64::try_from(client).unwrap();
        let mut connections = Vec::new();
        for n in 0..ROUNDS {
            if self.is_finished.load(Ordering::SeqCst) {
                break;
            }
            let name = format!("{prefix}-{n}");
            let mut body = self.body.clone();
            body["name"] = json!(name);
            let mut connection = TrackedConnection {
                name,
                body: body.to_string(),
                has_key: client % 2 == 1,
                created: Known::No,
                first: None,
                updated: Known::No,
                deleted: Known::No,
            };
            self.run_lifecycle(&mut connection, n, &mut seed).await;
            connections.push(connection);
        }
        connections
    }

    /// One connection's life.
    async fn run_lifecycle(&self, connection: &mut TrackedConnection, n: usize, seed: &mut u64) {
        let key = connection.has_key.then_some(&*connection.name);
        let (known, answer) = self
            .write(next_random(seed, 99), (Method::POST, COLLECTION), (connection.body.clone(), key), 201)
            .await;
        connection.created = known;
        let Some(text) = answer else { return };
        let shown: Value = serde_json::from_str(&text).unwrap();
        let id = shown["connectionId"].as_str().unwrap().to_owned();
        let path = format!("{COLLECTION}/{id}");
        connection.first = Some((text, id.clone()));
        self.read(next_random(seed, 99), &path, &id).await;
        let change = json!({"version": 1, "description": "changed"}).to_string();
        connection.updated =
            self.write(next_random(seed, 99), (Method::PUT, &path), (change, None), 200).await.0;
        if n.is_multiple_of(3) {
            let nothing = (String::new(), None);
            connection.deleted =
                self.write(next_random(seed, 99), (Method::DELETE, &path), nothing, 204).await.0;
        }
    }

    async fn read(&self, node: usize, path: &str, id: &str) {
        let Some(answer) = self.ask(node, Method::GET, path, (String::new(), None)).await else { return };
        if answer.status == 200 {
            let shown = answer.json();
            if (&shown["connectionId"], &shown["version"]) != (&json!(id), &json!(1)) {
                self.record_unexpected(&answer);
            }
        } else {
            self.refused(&answer).await;
        }
    }

    /// A write, what is known of it then, and the answer if it was done.
    async fn write(
        &self,
        node: usize,
        (method, path): (Method, &str),
        (body, key): (String, Option<&str>),
        good: u16,
    ) -> (Known, Option<String>) {
        let Some(answer) = self.ask(node, method, path, (body, key)).await else {
            return (Known::Maybe, None);
        };
        if answer.status == good {
            self.acknowledged.fetch_add(1, Ordering::SeqCst);
            let mut tally = self.tally.lock().unwrap();
            tally.longest_pause = tally.longest_pause.max(tally.last.elapsed());
            tally.last = Instant::now();
            return (Known::Yes, Some(answer.text));
        }
        (self.refused(&answer).await, None)
    }

    /// What is known after an answer that is no success.
    async fn refused(&self, answer: &Response) -> Known {
        let code = answer.code();
        let is_clean = answer.status == 503 && !answer.header("retry-after").is_empty();
        *self.tally.lock().unwrap().codes.entry(code.clone()).or_default() += 1;
        tokio::time::sleep(RETRY_DELAY).await;
        match &*code {
            "STORE_UNAVAILABLE" if is_clean => Known::No,
            "OUTCOME_UNKNOWN" if is_clean => Known::Maybe,
            _ => {
                self.record_unexpected(answer);
                Known::Maybe
            }
        }
    }

    fn record_unexpected(&self, answer: &Response) {
        self.tally.lock().unwrap().wrong.push(format!("{} {}", answer.status, answer.text));
    }

    fn unanswered(&self, is_away: bool, error: &reqwest::Error) {
        let mut tally = self.tally.lock().unwrap();
        *tally.codes.entry("no answer".to_owned()).or_default() += 1;
        if !is_away {
            tally.wrong.push(format!("no answer: {error:?}"));
        }
    }

    /// The answer; none if the node was taken away meanwhile.
    async fn ask(
        &self,
        node: usize,
        method: Method,
        path: &str,
        (body, key): (String, Option<&str>),
    ) -> Option<Response> {
        let node = &self.nodes[node % self.nodes.len()];
        let before = node.changes.load(Ordering::SeqCst);
        let url = format!("http://{}{path}", node.address.lock().unwrap());
        // A request whose node is killed may be forgotten by the client itself: without a limit it would wait for ever.
        let mut request = self.http.request(method, url).timeout(ANSWER_LIMIT);
        request = request.header("authorization", &self.api_key).body(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok::<_, reqwest::Error>(Response { status, headers, text: response.text().await? })
        };
        match answer.await {
            Ok(answer) => Some(answer),
            Err(error) => {
                let is_away = before % 2 == 1 || node.changes.load(Ordering::SeqCst) != before;
                self.unanswered(is_away, &error);
                tokio::time::sleep(RETRY_DELAY).await;
                None
            }
        }
    }
}

impl Report {
    /// Nobody was told what should not be said, and of the refusals only these were heard.
    pub(crate) fn assert_only_errors(&self, codes: &[&str]) {
        assert!(self.wrong.is_empty(), "{:?}", self.wrong);
        let others: Vec<_> = self.codes.iter().filter(|(code, _)| !codes.contains(&&***code)).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// What was acknowledged is there, what was refused is not, and of the rest each is there once or not at all.
    pub(crate) fn assert_acknowledged_stored(&self, url: &str) {
        let rows = sql(url, "SELECT name, connection_id, version FROM connections").unwrap();
        let mut there: HashMap<String, (String, u64)> = HashMap::new();
        for row in rows.lines() {
            let [name, id, version] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let before = there.insert(name.to_owned(), (id.to_owned(), version.parse().unwrap()));
            assert!(before.is_none(), "{name} is there twice");
        }
        for connection in &self.connections {
            let found = there.get(&connection.name);
            match (connection.created, connection.deleted) {
                (Known::No, _) => assert!(found.is_none(), "was not to be there: {connection:?} {found:?}"),
                (Known::Yes, Known::Yes) => assert!(found.is_none(), "was deleted: {connection:?} {found:?}"),
                (Known::Yes, Known::No) => assert!(found.is_some(), "is lost: {connection:?}"),
                _ => {}
            }
            let Some((id, version)) = found else { continue };
            if let Some((_, first)) = &connection.first {
                assert_eq!(id, first, "{connection:?}");
            }
            let versions = match connection.updated {
                Known::No => 1..=1,
                Known::Yes => 2..=2,
                Known::Maybe => 1..=2,
            };
            assert!(versions.contains(version), "has version {version}: {connection:?}");
        }
    }

    /// What a log of the tests says of it.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} writes acknowledged, {:?}; longest time without one {} ms",
            self.acknowledged,
            self.codes,
            self.longest_pause.as_millis()
        )
    }
}

/// The database holds nothing by halves, and everything in it opens.
pub(crate) fn assert_whole(env: &TestEnv, url: &str) {
    let done = |action: &str| {
        format!("SELECT subject FROM audit_events WHERE refusal IS NULL AND action = '{action}_connection'")
    };
    let (created, updated, deleted) = (done("create"), done("update"), done("delete"));
    for (impossible, query) in [
        ("a connection without its event", format!("SELECT connection_id FROM connections EXCEPT {created}")),
        ("two creations", format!("{created} GROUP BY subject HAVING count(*) > 1")),
        ("two deletions", format!("{deleted} GROUP BY subject HAVING count(*) > 1")),
        (
            "a creation of nothing",
            format!("{created} EXCEPT SELECT connection_id FROM connections EXCEPT {deleted}"),
        ),
        ("a deletion of what is there", format!("{deleted} INTERSECT SELECT connection_id FROM connections")),
        (
            "a version that no event tells of",
            format!(
                "SELECT connection_id FROM connections LEFT JOIN ({updated}) u ON subject = connection_id
                 GROUP BY connection_id, version HAVING version <> 1 + count(subject)"
            ),
        ),
        (
            "an answer of nothing",
            format!(
                "SELECT r.idempotency_key FROM idempotency_records r WHERE r.answer IS NOT NULL AND
                 (regexp_match(convert_from(r.answer, 'UTF8'), 'connectionId[^0-9]*([0-9a-z]+)'))[1]
                 NOT IN ({created})"
            ),
        ),
    ] {
        assert_eq!(sql(url, &query).unwrap(), "", "{impossible}: {query}");
    }
    let checked = env.cli(&["connections", "check", "--json"], "");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked.status.success(), "{report}");
    assert_eq!(report["broken"], json!([]));
    assert_eq!(report["opened"].to_string(), sql(url, "SELECT count(*) FROM connections").unwrap());
}
