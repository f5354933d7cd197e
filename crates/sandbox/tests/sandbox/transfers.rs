//! The public clients of tus, which send to an upload's link and meet every fault on the way.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::clients::write;
use crate::harness::Desk;
use crate::tools::{Program, node, python};

const FILE_BYTES: u64 = 1024 * 1024;
const CHUNK_BYTES: u64 = FILE_BYTES / 4;

/// One upload, and what befalls it. `HERE` in a route stands for the path of its link.
struct Trial {
    name: String,
    size: u64,
    faults: Vec<Value>,
}

impl Trial {
    /// An upload whose second chunk meets a fault.
    fn of_a_chunk(mut fault: Value) -> Self {
        fault["route"] = json!("PATCH HERE");
        fault["after"] = json!(1);
        Self { name: fault.to_string(), size: FILE_BYTES, faults: vec![fault] }
    }
}

/// Everything that a client should get over.
fn transient() -> Vec<Trial> {
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
    ];
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

/// The answer to a chunk is lost, and then the offset is told as it was before it: the sandbox itself says 409.
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

/// What no client gets over, and the status that it ends with.
fn lasting() -> Vec<(Trial, &'static str)> {
    let wrong_version = json!({
        "kind": "status", "status": 412, "body": "unsupported version", "headers": {"Tus-Version": "1.0.0"},
        "times": "always",
    });
    let too_large = Trial {
        name: "a file that is larger than was said".to_owned(),
        size: FILE_BYTES - CHUNK_BYTES / 2,
        faults: Vec::new(),
    };
    vec![
        (Trial::of_a_chunk(json!({"kind": "expired-link"})), "404"),
        (Trial::of_a_chunk(json!({"kind": "expired-link", "status": 410})), "410"),
        (Trial::of_a_chunk(wrong_version), "412"),
        (too_large, "413"),
    ]
}

/// A sandbox with an upload for each trial.
struct Scene {
    desk: Desk,
    /// The path of each upload's link.
    paths: Vec<String>,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn of(trials: impl IntoIterator<Item = &Trial>) -> Self {
        let desk = Desk::strict().await;
        let mut paths = Vec::new();
        for trial in trials {
            let path = create(&desk, trial.size).await;
            for fault in &trial.faults {
                let mut fault = fault.clone();
                fault["route"] = fault["route"].as_str().unwrap().replace("HERE", &path).into();
                desk.fault(fault).await;
            }
            paths.push(path);
        }
        Self { desk, paths, folder: tempfile::tempdir().unwrap() }
    }

    /// A client that sends the file to every link.
    fn start(&self, mut client: Command) -> Program {
        let links: Vec<String> =
            self.paths.iter().map(|path| format!("{}{path}", self.desk.running.base_url)).collect();
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

    /// What the sandbox has of each upload, in their order.
    async fn uploads(&self) -> Vec<Value> {
        let shown = self.desk.control("GET", "videos", &Value::Null).await.json();
        shown["videos"].as_array().unwrap().iter().map(|video| video["versions"][0].clone()).collect()
    }
}

/// Makes a video, and says the path of its link.
async fn create(desk: &Desk, size: u64) -> String {
    let authorization = format!("bearer {}", desk.running.access_token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.vimeo.*+json;version=3.4"),
        ("Content-Type", "application/json"),
    ];
    let body = json!({"upload": {"approach": "tus", "size": size}}).to_string();
    let made = desk.send("POST", "/me/videos?fields=upload", &headers, body.as_bytes()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    let link = made["upload"]["upload_link"].as_str().unwrap();
    link.strip_prefix(&desk.running.base_url).unwrap().to_owned()
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn survive(client: Command) {
    let trials = transient();
    let scene = Scene::of(&trials).await;
    let said = scene.start(client).finish();
    let hash = sha256(&scene.file());
    for ((trial, outcome), upload) in trials.iter().zip(said.lines()).zip(scene.uploads().await) {
        assert_eq!(outcome, "complete", "{}", trial.name);
        assert_eq!(upload["received"], FILE_BYTES, "{}", trial.name);
        assert_eq!(upload["sha256"], hash, "{}", trial.name);
    }
    assert_eq!(said.lines().count(), trials.len());
    // Each has happened.
    let left = scene.desk.control("GET", "faults", &Value::Null).await.json();
    assert_eq!(left["faults"], json!([]));
    let conflicts = scene.desk.journal().await;
    assert!(conflicts.iter().any(|entry| entry["status"] == 409 && entry["fault"].is_null()));
}

async fn give_up(client: Command) {
    let (trials, statuses): (Vec<Trial>, Vec<&str>) = lasting().into_iter().unzip();
    let scene = Scene::of(&trials).await;
    let said = scene.start(client).finish();
    for ((trial, outcome), status) in trials.iter().zip(said.lines()).zip(&statuses) {
        assert_eq!(outcome, format!("failed {status}"), "{}", trial.name);
    }
    assert_eq!(said.lines().count(), trials.len());
    for upload in scene.uploads().await {
        assert_eq!(upload["stage"], "uploading", "{upload}");
    }
}

/// Another sender has the upload when the client comes to it, and breaks off once the client was refused.
async fn wait_for_the_other(client: Command) {
    let trial = Trial { name: String::new(), size: FILE_BYTES, faults: Vec::new() };
    let scene = Scene::of([&trial]).await;
    let path = &scene.paths[0];
    let first = std::fs::read(scene.file()).unwrap()[0];
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: sandbox\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: {FILE_BYTES}\r\n\r\n"
    );
    let mut other = TcpStream::connect(scene.desk.running.addr).await.unwrap();
    other.write_all(head.as_bytes()).await.unwrap();
    other.write_all(&[first]).await.unwrap();
    while scene.uploads().await[0]["received"] != 1 {
        tokio::task::yield_now().await;
    }
    let program = scene.start(client);
    while !scene.desk.journal().await.iter().any(|entry| entry["status"] == 423) {
        tokio::task::yield_now().await;
    }
    drop(other);
    assert_eq!(program.finish(), "complete\n");
    assert_eq!(scene.uploads().await[0]["sha256"], sha256(&scene.file()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_python_gets_over_what_is_transient() {
    let Some(client) = python("transfers.py") else { return };
    survive(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_javascript_gets_over_what_is_transient() {
    let Some(client) = node("transfers.js") else { return };
    survive(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_python_gives_up_at_what_lasts() {
    let Some(client) = python("transfers.py") else { return };
    give_up(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_javascript_gives_up_at_what_lasts() {
    let Some(client) = node("transfers.js") else { return };
    give_up(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_python_waits_while_another_sends() {
    let Some(client) = python("transfers.py") else { return };
    wait_for_the_other(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_of_tus_for_javascript_waits_while_another_sends() {
    let Some(client) = node("transfers.js") else { return };
    wait_for_the_other(client).await;
}
