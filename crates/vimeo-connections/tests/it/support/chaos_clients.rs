//! Chaos clients: they create, read, update and delete on any node while nodes or the database fail. Each records its
//! responses, which are compared with the database afterwards.

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

/// The maximum number of connections for each client.
const ROUNDS: usize = 2_000;
/// The timeout of a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The pause after a refusal.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// The address of a node, while it is up.
struct NodeAddress {
    address: Mutex<SocketAddr>,
    /// Odd while the node is down.
    changes: AtomicUsize,
}

/// What a client knows about the effect of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was not sent, or it was refused.
    #[default]
    No,
    /// It was acknowledged.
    Yes,
    /// The response did not arrive, or left it open.
    Maybe,
}

/// What a client knows about one connection.
#[derive(Debug)]
pub(crate) struct TrackedConnection {
    pub(crate) name: String,
    pub(crate) body: String,
    pub(crate) has_key: bool,
    pub(crate) created: Known,
    /// The response to the create, and the identifier in it.
    pub(crate) first: Option<(String, String)>,
    pub(crate) updated: Known,
    pub(crate) deleted: Known,
}

/// The results of all clients.
pub(crate) struct Report {
    pub(crate) connections: Vec<TrackedConnection>,
    /// The number of failed requests by error code.
    pub(crate) codes: BTreeMap<String, usize>,
    /// Responses that must not occur.
    pub(crate) wrong: Vec<String>,
    /// The longest time without an acknowledged write.
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
    /// Starts clients on these nodes. Every other client sends its creates with an idempotency key.
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

    /// Waits until `more` further writes are acknowledged.
    pub(crate) async fn wait_for_acks(&self, more: usize) {
        let goal = self.acknowledged() + more;
        until("writes are acknowledged", async || self.acknowledged() >= goal).await;
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.cluster.acknowledged.load(Ordering::SeqCst)
    }

    /// How often this error code was returned so far.
    pub(crate) fn count_of(&self, code: &str) -> usize {
        self.cluster.tally.lock().unwrap().codes.get(code).copied().unwrap_or_default()
    }

    /// The node is about to go down: missing responses from it are expected.
    pub(crate) fn mark_down(&self, node: usize) {
        self.cluster.nodes[node].changes.fetch_add(1, Ordering::SeqCst);
    }

    /// The node is up again, at this address.
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

    /// Creates, reads, updates and possibly deletes one connection.
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

    /// Sends a write; what is known about its effect, and the response if it succeeded.
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

    /// What is known after a refusal.
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

    /// The response; `None` if the node went down meanwhile.
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
        // The HTTP client may lose a request whose node is killed, and would then wait for ever.
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
    /// Asserts that all responses were valid, and that no other error codes were returned.
    pub(crate) fn assert_only_errors(&self, codes: &[&str]) {
        assert!(self.wrong.is_empty(), "{:?}", self.wrong);
        let others: Vec<_> = self.codes.iter().filter(|(code, _)| !codes.contains(&&***code)).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// Asserts that acknowledged connections are stored, refused ones are not, and every other one is stored at most
    /// once.
    pub(crate) fn assert_acknowledged_stored(&self, url: &str) {
        let rows = sql(url, "SELECT name, connection_id, version FROM connections").unwrap();
        let mut there: HashMap<String, (String, u64)> = HashMap::new();
        for row in rows.lines() {
            let [name, id, version] = row.split('|').collect::<Vec<_>>()[..] else { panic!("{row}") };
            let before = there.insert(name.to_owned(), (id.to_owned(), version.parse().unwrap()));
            assert!(before.is_none(), "{name} is stored twice");
        }
        for connection in &self.connections {
            let found = there.get(&connection.name);
            match (connection.created, connection.deleted) {
                (Known::No, _) => {
                    assert!(found.is_none(), "was refused and is stored: {connection:?} {found:?}");
                }
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

    /// A summary for the output of the test.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} writes acknowledged, {:?}; longest time without one {} ms",
            self.acknowledged,
            self.codes,
            self.longest_pause.as_millis()
        )
    }
}

/// Asserts that the database has no partial writes, and that every connection decrypts.
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
            "a create without a connection",
            format!("{created} EXCEPT SELECT connection_id FROM connections EXCEPT {deleted}"),
        ),
        (
            "a delete of an existing connection",
            format!("{deleted} INTERSECT SELECT connection_id FROM connections"),
        ),
        (
            "a version without an event",
            format!(
                "SELECT connection_id FROM connections LEFT JOIN ({updated}) u ON subject = connection_id
                 GROUP BY connection_id, version HAVING version <> 1 + count(subject)"
            ),
        ),
        (
            "a stored response without a connection",
            format!(
                "SELECT r.idempotency_key FROM idempotency_records r WHERE r.answer IS NOT NULL AND
                 r.operation = 'create_connection' AND (regexp_match(convert_from(r.answer, 'UTF8'), 'connectionId[^0-9]*([0-9a-z]+)'))[1]
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
