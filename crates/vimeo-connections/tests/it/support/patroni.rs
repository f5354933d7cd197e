//! A Patroni cluster of three PostgreSQL servers, one of which is the synchronous standby, with etcd. Both are Debian's, and
//! PostgreSQL is 15. `scripts/servers --all` unpacks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::harness::printed;
use crate::support::ports::Port;
use crate::support::postgres::{PASSWORD, PASSWORD_IN_URL, Version, remove_memory, sql};
use crate::support::processes::{
    as_server_user, chown_to_server_user, is_running, kill_with_children, signal, signalled_at_end,
    spawn_for_life, wait,
};
use crate::support::tools::{copy_tool, finish, is_all, program};

/// The limit of every wait, after which the test fails: Patroni needs half a minute to replace a primary that was killed. Tests
/// make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(5);
const NODES: usize = 3;
/// Debian's, which the unpacked modules are for.
const PYTHON: &str = "/usr/bin/python3";
const MODULES: &str = "root/usr/lib/python3/dist-packages";

/// Ends with the test, even after a panic, and with the tests.
pub(crate) struct Patroni {
    /// Dropped first: they could not end in time without etcd.
    nodes: Vec<Node>,
    _etcd: Etcd,
    http: reqwest::Client,
    directory: tempfile::TempDir,
}

/// What Patroni reports about a cluster.
#[derive(Debug)]
struct Members(Vec<Value>);

impl Patroni {
    /// Waits until the cluster is complete. `None` without `./test --all`, or, and reported, if a program is missing: the test is
    /// skipped.
    pub(crate) async fn start() -> Option<Self> {
        if !is_all() {
            return None;
        }
        let programs = Version::V15.find_programs()?;
        let directory = tempfile::tempdir().unwrap();
        copy_tool("patroni/root", &directory.path().join("root"))?;
        chown_to_server_user(directory.path());
        let etcd = Etcd::start(directory.path());
        let mut nodes: Vec<_> = (0..NODES).map(|number| Node::new(number, directory.path())).collect();
        for node in &mut nodes {
            node.configure(&etcd, &programs);
            node.start();
        }
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let cluster = Self { nodes, _etcd: etcd, http, directory };
        cluster.wait_until_complete().await;
        Some(cluster)
    }

    /// The URL of a database, with all hosts.
    pub(crate) fn url(&self, database: &str) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.server.address().to_string()).collect();
        format!("postgres://tests:{PASSWORD_IN_URL}@{}/{database}", hosts.join(","))
    }

    /// The URL of a database at one node.
    pub(crate) fn url_at(&self, node: usize, database: &str) -> String {
        format!("postgres://tests:{PASSWORD_IN_URL}@{}/{database}", self.nodes[node].server.address())
    }

    /// Creates an empty database.
    pub(crate) async fn create_database(&self, name: &str) {
        let url = self.url_at(self.find_leader().await, "postgres");
        sql(&url, &format!("CREATE DATABASE \"{name}\"")).unwrap();
    }

    /// The node with the primary.
    pub(crate) async fn find_leader(&self) -> usize {
        self.wait_for("a leader", Members::leader).await
    }

    /// Waits until another node than this has the primary; that node.
    pub(crate) async fn wait_for_other_leader(&self, old: usize) -> usize {
        self.wait_for("another leader", |members| members.leader().filter(|leader| *leader != old)).await
    }

    /// Waits until every node has a server that runs, and one of them is the synchronous standby.
    pub(crate) async fn wait_until_complete(&self) {
        self.wait_for("a complete cluster", |members| members.is_complete().then_some(())).await;
    }

    /// Kills Patroni and PostgreSQL on a node, as if its machine had failed.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Kills Patroni on a node, as if the machine had run out of memory. PostgreSQL continues.
    pub(crate) fn kill_patroni(&mut self, node: usize) {
        let mut patroni = self.nodes[node].patroni.take().unwrap();
        patroni.kill().unwrap();
        wait(&mut patroni);
    }

    /// Starts Patroni on a node again.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].start();
    }

    /// Makes the synchronous standby the primary, as an operator does; the node.
    pub(crate) async fn switch_over(&self) -> usize {
        let leader = self.find_leader().await;
        let order = json!({"leader": self.nodes[leader].name}).to_string();
        let url = format!("http://{}/switchover", self.nodes[leader].api.address());
        let answer = self.http.post(url).body(order).timeout(WAIT_LIMIT).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        self.wait_for_other_leader(leader).await
    }

    /// The versions of Patroni and etcd.
    pub(crate) fn versions(&self) -> String {
        let mut patroni = program(PYTHON);
        let print = "from patroni.version import __version__; print('Patroni', __version__)";
        patroni.env("PYTHONPATH", self.directory.path().join(MODULES)).args(["-c", print]);
        let mut etcd = program(self.directory.path().join("root/usr/bin/etcd"));
        etcd.arg("--version");
        let lines = [patroni, etcd].map(|command| {
            let text = printed(&finish(command));
            text.lines().next().unwrap_or_default().to_owned()
        });
        lines.join(", ")
    }

    async fn wait_for<T>(&self, what: &str, find: impl Fn(&Members) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let members = self.members().await;
            if let Some(found) = members.as_ref().and_then(&find) {
                return found;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "there is never {what}: {members:?}\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// What the first node that responds reports.
    async fn members(&self) -> Option<Members> {
        for node in &self.nodes {
            let url = format!("http://{}/cluster", node.api.address());
            let Ok(answer) = self.http.get(url).timeout(Duration::from_secs(5)).send().await else {
                continue;
            };
            let Ok(text) = answer.text().await else { continue };
            let Ok(shown) = serde_json::from_str::<Value>(&text) else { continue };
            return Some(Members(shown["members"].as_array()?.clone()));
        }
        None
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let end = |node: &Node| {
            let log = fs::read_to_string(node.directory.join("log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            format!("{}:\n{}", node.name, lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        self.nodes.iter().map(end).collect::<Vec<_>>().join("\n")
    }
}

impl Members {
    fn leader(&self) -> Option<usize> {
        let leaders: Vec<_> = self.0.iter().filter(|member| member["role"] == "leader").collect();
        let [leader] = leaders[..] else { return None };
        if !is_up(leader) {
            return None;
        }
        leader["name"].as_str()?.strip_prefix("node")?.parse().ok()
    }

    fn is_complete(&self) -> bool {
        self.leader().is_some()
            && self.0.len() == NODES
            && self.0.iter().all(|member| is_up(member) && member["timeline"] == self.0[0]["timeline"])
            && self.0.iter().any(|member| member["role"] == "sync_standby")
    }
}

fn is_up(member: &Value) -> bool {
    ["running", "streaming"].iter().any(|state| member["state"] == *state)
}

struct Etcd {
    process: Child,
    client: Port,
}

impl Etcd {
    fn start(directory: &Path) -> Self {
        let (client, peer) = (Port::reserve(), Port::reserve());
        let (for_clients, for_peers) =
            (format!("http://{}", client.address()), format!("http://{}", peer.address()));
        let mut command = program(directory.join("root/usr/bin/etcd"));
        command.args(["--name", "only", "--data-dir"]).arg(directory.join("etcd"));
        command.args(["--listen-client-urls", &for_clients, "--advertise-client-urls", &for_clients]);
        command.args(["--listen-peer-urls", &for_peers, "--initial-advertise-peer-urls", &for_peers]);
        command.args(["--initial-cluster", &format!("only={for_peers}")]);
        let mut command = as_server_user(&signalled_at_end("TERM", &command));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: spawn_for_life(command), client }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Node {
    name: String,
    directory: PathBuf,
    modules: PathBuf,
    /// Of Patroni's REST API, and of PostgreSQL.
    api: Port,
    server: Port,
    patroni: Option<Child>,
}

impl Node {
    fn new(number: usize, directory: &Path) -> Self {
        let name = format!("node{number}");
        let own = directory.join(&name);
        fs::create_dir(&own).unwrap();
        chown_to_server_user(&own);
        let (api, server) = (Port::reserve(), Port::reserve());
        Self { name, directory: own, modules: directory.join(MODULES), api, server, patroni: None }
    }

    /// Patroni's defaults for times, and strict synchronous replication: without a standby nothing is acknowledged.
    fn configure(&self, etcd: &Etcd, programs: &Path) {
        let (api, server) = (self.api.address(), self.server.address());
        let host = "127.0.0.1/32 scram-sha-256";
        let config = json!({
            "scope": "vimeo",
            "name": self.name,
            "restapi": {"listen": api, "connect_address": api},
            "etcd3": {"host": etcd.client.address()},
            "watchdog": {"mode": "off"},
            "bootstrap": {
                "dcs": {
                    "ttl": 30, "loop_wait": 10, "retry_timeout": 10,
                    "synchronous_mode": true, "synchronous_mode_strict": true,
                    "postgresql": {
                        "use_pg_rewind": true,
                        "parameters": {"max_connections": 100, "shared_buffers": "32MB"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C.UTF-8"}, "no-sync"],
                "pg_hba": [format!("host all all {host}"), format!("host replication all {host}")],
            },
            "postgresql": {
                "listen": server, "connect_address": server,
                "data_dir": self.data(), "bin_dir": programs, "pgpass": self.directory.join("pgpass"),
                "authentication": {
                    "superuser": {"username": "tests", "password": PASSWORD},
                    "replication": {"username": "replicator", "password": PASSWORD},
                },
                "parameters": {"unix_socket_directories": ""},
            },
        });
        let file = self.config();
        // JSON is YAML, too.
        fs::write(&file, config.to_string()).unwrap();
        chown_to_server_user(&file);
    }

    fn start(&mut self) {
        assert!(self.patroni.is_none(), "it runs");
        let mut command = program(PYTHON);
        command.args(["-m", "patroni"]).arg(self.config()).env("PYTHONPATH", &self.modules);
        // Patroni stops PostgreSQL then.
        let mut command = as_server_user(&signalled_at_end("TERM", &command));
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.patroni = Some(spawn_for_life(command));
    }

    fn kill(&mut self) {
        let mut patroni = self.patroni.take().unwrap();
        // Stopped first, so that it does not start PostgreSQL again.
        signal(patroni.id(), Signal::STOP).unwrap();
        kill_with_children(self.postmaster().unwrap());
        patroni.kill().unwrap();
        wait(&mut patroni);
    }

    fn config(&self) -> PathBuf {
        self.directory.join("patroni.json")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The process of PostgreSQL, if it runs. Another process may have its ID since: it does not work in this directory.
    fn postmaster(&self) -> Option<u32> {
        let id = fs::read_to_string(self.data().join("postmaster.pid")).ok()?.lines().next()?.parse().ok()?;
        let directory = fs::read_link(format!("/proc/{id}/cwd")).ok()?;
        (directory == fs::canonicalize(self.data()).ok()?).then_some(id)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut patroni) = self.patroni.take() {
            kill_with_children(patroni.id());
            let _ = patroni.wait();
        }
        if let Some(postmaster) = self.postmaster() {
            let _ = signal(postmaster, Signal::QUIT);
            let started = Instant::now();
            // It ends its own processes, after five seconds by force.
            while is_running(postmaster) && started.elapsed() < WAIT_LIMIT {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        remove_memory(&self.data());
    }
}
