//! Clients that create connections and record the acknowledged ones, and checks of the database against them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, TestEnv};

/// An acknowledged create.
#[derive(Debug, Clone)]
pub(crate) struct AcknowledgedCreate {
    pub(crate) name: String,
    /// The response, unless the service was killed while it was read.
    pub(crate) answer: Option<Value>,
}

/// Running clients.
pub(crate) struct CreateLoad {
    clients: JoinSet<()>,
    acknowledged_creates: mpsc::UnboundedReceiver<AcknowledgedCreate>,
    refusals: mpsc::UnboundedReceiver<StatusCode>,
    count: Arc<AtomicUsize>,
    reached: Arc<Notify>,
    stopping: Arc<AtomicBool>,
}

impl CreateLoad {
    /// Starts clients that create connections named `<prefix>-<client>-<n>` until the service ends or they are
    /// stopped. [`Self::reach`] returns after `goal` acknowledgements.
    pub(crate) fn start(env: &TestEnv, prefix: &str, clients: usize, goal: usize) -> Self {
        let (acknowledged_create, acknowledged_creates) = mpsc::unbounded_channel();
        let (refusal, refusals) = mpsc::unbounded_channel();
        let mut load = Self {
            clients: JoinSet::new(),
            acknowledged_creates,
            refusals,
            count: Arc::default(),
            reached: Arc::default(),
            stopping: Arc::default(),
        };
        for client in 0..clients {
            let (http, url, key) = (env.http.clone(), env.url(COLLECTION), env.api_key.clone());
            let (acknowledged_create, refusal) = (acknowledged_create.clone(), refusal.clone());
            let (count, reached, stopping) =
                (load.count.clone(), load.reached.clone(), load.stopping.clone());
            let (prefix, mut body) = (prefix.to_owned(), env.valid_body("x"));
            load.clients.spawn(async move {
                for n in 0.. {
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("{prefix}-{client}-{n}");
                    body["name"] = json!(name);
                    let request = http.post(&url).header("authorization", &key).body(body.to_string());
                    let Ok(response) = request.send().await else { return };
                    if response.status() != StatusCode::CREATED {
                        refusal.send(response.status()).unwrap();
                        continue;
                    }
                    let answer = response.text().await.ok().and_then(|text| serde_json::from_str(&text).ok());
                    acknowledged_create.send(AcknowledgedCreate { name, answer }).unwrap();
                    if count.fetch_add(1, Ordering::Relaxed) + 1 == goal {
                        reached.notify_one();
                    }
                }
            });
        }
        load
    }

    /// Waits for `goal` acknowledgements.
    pub(crate) async fn reach(&self) {
        self.reached.notified().await;
    }

    /// The number of acknowledged creates so far. The first ones in the list are those.
    pub(crate) fn acknowledged(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Stops the clients; the acknowledged creates, and the refusals.
    pub(crate) async fn finish(mut self) -> (Vec<AcknowledgedCreate>, Vec<StatusCode>) {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let (mut acknowledged_creates, mut refusals) = (Vec::new(), Vec::new());
        while let Ok(acknowledged_create) = self.acknowledged_creates.try_recv() {
            acknowledged_creates.push(acknowledged_create);
        }
        while let Ok(refusal) = self.refusals.try_recv() {
            refusals.push(refusal);
        }
        (acknowledged_creates, refusals)
    }
}

/// Asserts that the service returns each acknowledged connection unchanged.
pub(crate) async fn assert_shown(env: &TestEnv, acknowledged_creates: &[AcknowledgedCreate]) {
    for promised in
        acknowledged_creates.iter().filter_map(|acknowledged_create| acknowledged_create.answer.as_ref())
    {
        let id = promised["connectionId"].as_str().unwrap();
        let found = env.get(&format!("{COLLECTION}/{id}")).await;
        assert_eq!(found.status, StatusCode::OK, "{promised} was acknowledged: {found:?}");
        let found = found.json();
        for (field, value) in promised.as_object().unwrap() {
            assert_eq!(found[field], *value, "{field} of {id}");
        }
    }
}

/// Asserts that the database has every acknowledged connection and no partial writes, and that everything decrypts.
pub(crate) fn assert_whole(env: &TestEnv, acknowledged_creates: &[AcknowledgedCreate]) {
    let database = env.database();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let done = "FROM audit_events WHERE action = 'create_connection' AND refusal IS NULL";
    for (impossible, query) in [
        (
            "a name twice",
            "SELECT name FROM connections GROUP BY account_id, name HAVING count(*) > 1".to_owned(),
        ),
        ("no event", format!("SELECT connection_id FROM connections EXCEPT SELECT subject {done}")),
        (
            "an event without a connection",
            format!("SELECT subject {done} EXCEPT SELECT connection_id FROM connections"),
        ),
        ("two events", format!("SELECT subject {done} GROUP BY subject HAVING count(*) > 1")),
        (
            "no sealing key",
            "SELECT sealing_key_id FROM connections EXCEPT SELECT sealing_key_id FROM sealing_keys"
                .to_owned(),
        ),
        (
            "a sealing key without a connection",
            "SELECT sealing_key_id FROM sealing_keys EXCEPT SELECT sealing_key_id FROM connections"
                .to_owned(),
        ),
        (
            "a shared sealing key",
            "SELECT sealing_key_id FROM connections GROUP BY sealing_key_id HAVING count(*) > 1".to_owned(),
        ),
    ] {
        let found = database.prepare(&query).unwrap().exists([]).unwrap();
        assert!(!found, "{impossible}: {query}");
    }
    let mut rows = database.prepare("SELECT connection_id, name FROM connections").unwrap();
    let rows: HashSet<(String, String)> =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let names: HashSet<_> = rows.iter().map(|(_, name)| name.clone()).collect();
    for AcknowledgedCreate { name, answer } in acknowledged_creates {
        assert!(names.contains(name), "{name} was acknowledged and is missing");
        if let Some(answer) = answer {
            let id = answer["connectionId"].as_str().unwrap().to_owned();
            assert_eq!(answer["name"], *name);
            assert!(rows.contains(&(id, name.clone())), "{answer} was acknowledged and is missing");
        }
    }
    let checked = env.cli(&["connections", "check", "--json"], "");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked.status.success(), "{report}");
    assert_eq!((&report["opened"], &report["broken"]), (&json!(rows.len()), &json!([])));
}
