//! Public tus clients, which upload to a link and encounter every fault.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::official_clients::write;
use crate::support::process::SandboxProcess;
use crate::support::test_sandbox::TestSandbox;
use crate::support::tools::{Program, node, python};

const FILE_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: u64 = FILE_BYTES / 4;

/// One upload and its fault. `HERE` in a route is replaced by the path of its link.
struct Trial {
    name: String,
    size: u64,
    faults: Vec<Value>,
}

impl Trial {
    /// An upload whose second chunk encounters a fault.
    fn of_a_chunk(mut fault: Value) -> Self {
        fault["route"] = json!("PATCH HERE");
        fault["after"] = json!(1);
        Self { name: fault.to_string(), size: FILE_BYTES, faults: vec![fault] }
    }
}

/// A public client, and the faults that it handles differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Python,
    JavaScript,
}

impl Client {
    fn program(self) -> Option<Command> {
        match self {
            Self::Python => python("transfers.py"),
            Self::JavaScript => node("transfers.js"),
        }
    }

    /// Faults that only this client recovers from.
    fn gets_over(self) -> Vec<Value> {
        match self {
            // It retries after any status.
            Self::Python => vec![json!({"kind": "rate-limit"})],
            // The other one fails on a success without an offset.
            Self::JavaScript => vec![
                json!({"kind": "html"}),
                json!({"kind": "wrong-json"}),
                json!({"kind": "empty"}),
                json!({"kind": "huge", "bytes": 100_000}),
            ],
        }
    }

    /// The trial and the status with which this client fails.
    fn gives_up(self) -> Vec<(Trial, &'static str)> {
        match self {
            Self::Python => Vec::new(),
            Self::JavaScript => vec![(Trial::of_a_chunk(json!({"kind": "rate-limit"})), "429")],
        }
    }
}

/// Faults that every client recovers from.
fn transient(client: Client) -> Vec<Trial> {
    let mut faults = vec![
        json!({"kind": "cut"}),
        json!({"kind": "cut-after"}),
        json!({"kind": "reset"}),
        json!({"kind": "cut-during", "bytes": CHUNK_BYTES / 3}),
        json!({"kind": "status", "status": 423, "body": "file currently locked"}),
        json!({"kind": "status", "status": 409, "body": "mismatched offset"}),
        json!({"kind": "html", "status": 502}),
        json!({"kind": "empty", "status": 503}),
        json!({"kind": "garbage"}),
        json!({"kind": "delay", "millis": 300}),
        json!({"kind": "late", "millis": 300}),
        json!({"kind": "slow-body", "bytes_per_second": 2 * CHUNK_BYTES}),
        json!({"kind": "drip", "millis": 20}),
        json!({"kind": "truncate"}),
        json!({"kind": "wrong-length", "by": 10}),
        json!({"kind": "redirect", "location": "http://127.0.0.1:1/"}),
    ];
    faults.extend(client.gets_over());
    faults.extend([500, 502, 503, 504].map(|status| json!({"kind": "status", "status": status})));
    let styles = ["lower", "upper", "title", "mixed"];
    faults.extend(styles.map(|style| json!({"kind": "odd-headers", "style": style})));
    let mut trials: Vec<Trial> = faults.into_iter().map(Trial::of_a_chunk).collect();
    trials.push(Trial {
        name: "a refused resumption".to_owned(),
        size: FILE_BYTES,
        faults: vec![
            json!({"route": "PATCH HERE", "kind": "cut-during", "bytes": 1, "after": 2}),
            json!({"route": "HEAD HERE", "kind": "status", "status": 503, "after": 1}),
        ],
    });
    trials.push(stale());
    trials
}

/// The response to a chunk is lost, then HEAD returns the offset before it: the sandbox responds with 409.
fn stale() -> Trial {
    let before = json!({
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": CHUNK_BYTES.to_string(),
        "Upload-Length": FILE_BYTES.to_string(),
    });
    Trial {
        name: "a stale offset".to_owned(),
        size: FILE_BYTES,
        faults: vec![
            json!({"route": "PATCH HERE", "kind": "cut-after", "after": 1}),
            json!({"route": "HEAD HERE", "kind": "status", "status": 200, "body": "", "headers": before, "after": 1}),
        ],
    }
}

/// Faults that no client recovers from, and the final status.
fn lasting(client: Client) -> Vec<(Trial, &'static str)> {
    let wrong_version = json!({
        "kind": "status", "status": 412, "body": "unsupported version", "headers": {"Tus-Version": "1.0.0"},
        "times": "always",
    });
    let too_large = Trial {
        name: "a file that is larger than was said".to_owned(),
        size: FILE_BYTES - CHUNK_BYTES / 2,
        faults: Vec::new(),
    };
    let mut trials = vec![
        (Trial::of_a_chunk(json!({"kind": "expired-link"})), "404"),
        (Trial::of_a_chunk(json!({"kind": "expired-link", "status": 410})), "410"),
        (Trial::of_a_chunk(wrong_version), "412"),
        (too_large, "413"),
    ];
    trials.extend(client.gives_up());
    trials
}

/// A sandbox with an upload for each trial.
struct Scene {
    sandbox: TestSandbox,
    /// The path of each upload's link.
    paths: Vec<String>,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn of(trials: impl IntoIterator<Item = &Trial>) -> Self {
        let sandbox = TestSandbox::strict().await;
        let mut paths = Vec::new();
        for trial in trials {
            let path = sandbox.make_tus(trial.size).await.path;
            for fault in &trial.faults {
                let mut fault = fault.clone();
                fault["route"] = fault["route"].as_str().unwrap().replace("HERE", &path).into();
                sandbox.fault(fault).await;
            }
            paths.push(path);
        }
        Self { sandbox, paths, folder: tempfile::tempdir().unwrap() }
    }

    /// A client that sends the file to every link.
    fn start(&self, mut client: Command) -> Program {
        let links: Vec<String> =
            self.paths.iter().map(|path| format!("{}{path}", self.sandbox.running.base_url)).collect();
        client
            .env("FILE", self.file())
            .env("CHUNK_BYTES", CHUNK_BYTES.to_string())
            .env("LINKS", json!(links).to_string());
        Program::start(client)
    }

    fn file(&self) -> std::path::PathBuf {
        let path = self.folder.path().join("file.mp4");
        if path.exists() { path } else { write(&self.folder, "file.mp4", FILE_BYTES) }
    }

    /// The sandbox's record of each upload, in their order.
    async fn uploads(&self) -> Vec<Value> {
        let shown = self.sandbox.control("GET", "videos", &Value::Null).await.json();
        shown["videos"].as_array().unwrap().iter().map(|video| video["versions"][0].clone()).collect()
    }
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn survive(client: Client) {
    let Some(program) = client.program() else { return };
    let trials = transient(client);
    let scene = Scene::of(&trials).await;
    let said = scene.start(program).finish();
    let hash = sha256(&scene.file());
    for ((trial, outcome), upload) in trials.iter().zip(said.lines()).zip(scene.uploads().await) {
        assert_eq!(outcome, "complete", "{}", trial.name);
        assert_eq!(upload["received"], FILE_BYTES, "{}", trial.name);
        assert_eq!(upload["sha256"], hash, "{}", trial.name);
    }
    assert_eq!(said.lines().count(), trials.len());
    // Each fault has happened.
    let left = scene.sandbox.control("GET", "faults", &Value::Null).await.json();
    assert_eq!(left["faults"], json!([]));
    let conflicts = scene.sandbox.journal().await;
    assert!(conflicts.iter().any(|entry| entry["status"] == 409 && entry["fault"].is_null()));
}

async fn give_up(client: Client) {
    let Some(program) = client.program() else { return };
    let (trials, statuses): (Vec<Trial>, Vec<&str>) = lasting(client).into_iter().unzip();
    let scene = Scene::of(&trials).await;
    let said = scene.start(program).finish();
    for ((trial, outcome), status) in trials.iter().zip(said.lines()).zip(&statuses) {
        assert_eq!(outcome, format!("failed {status}"), "{}", trial.name);
    }
    assert_eq!(said.lines().count(), trials.len());
    for upload in scene.uploads().await {
        assert_eq!(upload["stage"], "uploading", "{upload}");
    }
}

/// Another sender holds the upload when the client starts, and disconnects once the client was rejected.
async fn wait_for_another_sender(client: Client) {
    let Some(program) = client.program() else { return };
    let trial = Trial { name: String::new(), size: FILE_BYTES, faults: Vec::new() };
    let scene = Scene::of([&trial]).await;
    let path = &scene.paths[0];
    let first = std::fs::read(scene.file()).unwrap()[0];
    let other = scene.sandbox.stalled(path, 0, FILE_BYTES, &[first]).await;
    while scene.uploads().await[0]["received"] != 1 {
        tokio::task::yield_now().await;
    }
    let program = scene.start(program);
    while !scene.sandbox.journal().await.iter().any(|entry| entry["status"] == 423) {
        tokio::task::yield_now().await;
    }
    drop(other);
    assert_eq!(program.finish(), "complete\n");
    assert_eq!(scene.uploads().await[0]["sha256"], sha256(&scene.file()));
}

/// The response to a chunk is held until it is released.
async fn wait_for_a_held_response(client: Client) {
    let Some(program) = client.program() else { return };
    let trial = Trial::of_a_chunk(json!({"kind": "hold"}));
    let scene = Scene::of([&trial]).await;
    let program = scene.start(program);
    while !scene.sandbox.journal().await.iter().any(|entry| entry["fault"] == "hold") {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.uploads().await[0]["received"], CHUNK_BYTES);
    scene.sandbox.control("DELETE", "faults", &Value::Null).await;
    assert_eq!(program.finish(), "complete\n");
    assert_eq!(scene.uploads().await[0]["sha256"], sha256(&scene.file()));
}

/// An outage in the middle of the upload, limited by the clock.
async fn survive_an_outage(client: Client) {
    let Some(program) = client.program() else { return };
    let trial = Trial::of_a_chunk(json!({"kind": "hold"}));
    let scene = Scene::of([&trial]).await;
    let program = scene.start(program);
    let met = async |fault: &str| {
        scene.sandbox.journal().await.iter().filter(|entry| entry["fault"] == fault).count()
    };
    while met("hold").await < 1 {
        tokio::task::yield_now().await;
    }
    scene.sandbox.fault(json!({"kind": "outage", "for_seconds": 60})).await;
    assert_eq!(scene.sandbox.control("DELETE", "faults/1", &Value::Null).await.status, 204);
    while met("outage").await < 3 {
        tokio::task::yield_now().await;
    }
    scene.sandbox.pass_seconds(60);
    assert_eq!(program.finish(), "complete\n");
    assert_eq!(scene.uploads().await[0]["sha256"], sha256(&scene.file()));
}

/// The sandbox is killed during a chunk and restarted.
async fn resume_after_a_restart(client: Client) {
    let Some(mut program) = client.program() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = write(&directory, "file.mp4", FILE_BYTES);
    let sandbox = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, path) = sandbox.make(json!({"approach": "tus", "size": FILE_BYTES})).await;
    let slow = json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": CHUNK_BYTES / 100, "after": 1});
    let made = sandbox.request("POST", "/_sandbox/faults", &[], slow.to_string().as_bytes()).await;
    assert_eq!(made.status, 201);
    let link = format!("{}{path}", sandbox.said["base_url"].as_str().unwrap());
    program
        .env("FILE", &file)
        .env("CHUNK_BYTES", CHUNK_BYTES.to_string())
        .env("LINKS", json!([link]).to_string());
    let program = Program::start(program);
    while sandbox.version(number).await["received"].as_u64().unwrap() <= CHUNK_BYTES {
        tokio::task::yield_now().await;
    }
    let (listen, kept) = (sandbox.addr.to_string(), sandbox.offset(&path).await);
    assert!(kept < 2 * CHUNK_BYTES, "{kept}");
    drop(sandbox);
    let sandbox = SandboxProcess::start_in(&listen, directory.path());
    assert_eq!(program.finish(), "complete\n");
    let version = sandbox.version(number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(FILE_BYTES), &json!(sha256(&file))));
}

macro_rules! of_both {
    ($($trial:ident: $python:ident, $javascript:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $python() {
            $trial(Client::Python).await;
        }

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $javascript() {
            $trial(Client::JavaScript).await;
        }
    )+};
}

of_both! {
    survive: the_tus_client_for_python_survives_transient_faults,
        the_tus_client_for_javascript_survives_transient_faults;
    give_up: the_tus_client_for_python_gives_up_at_permanent_faults,
        the_tus_client_for_javascript_gives_up_at_permanent_faults;
    wait_for_another_sender: the_tus_client_for_python_waits_while_another_client_sends,
        the_tus_client_for_javascript_waits_while_another_client_sends;
    wait_for_a_held_response: the_tus_client_for_python_waits_for_a_held_response,
        the_tus_client_for_javascript_waits_for_a_held_response;
    survive_an_outage: the_tus_client_for_python_survives_an_outage,
        the_tus_client_for_javascript_survives_an_outage;
    resume_after_a_restart: the_tus_client_for_python_resumes_after_a_restart,
        the_tus_client_for_javascript_resumes_after_a_restart;
}

#[tokio::test]
async fn every_kind_of_fault_is_tried() {
    // These have trials of their own here; those do not apply to requests of a tus client.
    let mut tried: Vec<String> = ["hold", "outage", "list-lag", "outcome"].map(str::to_owned).into();
    for client in [Client::Python, Client::JavaScript] {
        let trials = transient(client).into_iter().chain(lasting(client).into_iter().map(|(trial, _)| trial));
        for fault in trials.flat_map(|trial| trial.faults) {
            tried.push(fault["kind"].as_str().unwrap().to_owned());
        }
    }
    let sandbox = TestSandbox::strict().await;
    let refusal = sandbox.control("POST", "faults", &json!({"kind": "?"})).await.json();
    let (_, kinds) = refusal["error"].as_str().unwrap().split_once("there are ").unwrap();
    for kind in kinds.trim_end_matches('.').split(", ") {
        assert!(tried.iter().any(|known| known == kind), "no client of tus has met {kind}");
    }
}
