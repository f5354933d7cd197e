//! Vimeo is killed with SIGKILL at every step of an upload, and restarted from its saved state.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, EnvOptions, Service, TestEnv};
use crate::support::tools::skip;
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv, WAIT_LIMIT, assert_whole};

const SIZE: u64 = 3 * 1024 * 1024;

/// The sandbox as a process.
struct Vimeo {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    /// What it prints about itself.
    printed: Value,
}

impl Vimeo {
    async fn start(program: &Path, directory: &Path) -> Self {
        // Free a moment before; no other test uses a fixed port.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Self::spawn(program, directory, port);
        let printed = Self::heard(directory).await;
        Self { child, program: program.to_owned(), directory: directory.to_owned(), port, printed }
    }

    /// The caller waits for the end of the process.
    fn spawn(program: &Path, directory: &Path, port: u16) -> Child {
        let file = std::fs::File::create(directory.join("sandbox.json")).unwrap();
        Command::new(program)
            .current_dir(directory)
            .env_clear()
            .args(["--json", "--state", "state", "--keep-bytes", "bytes", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .stdout(file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn heard(directory: &Path) -> Value {
        let started = Instant::now();
        loop {
            let printed = std::fs::read_to_string(directory.join("sandbox.json")).unwrap();
            if let Ok(value) = serde_json::from_str(&printed) {
                return value;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the sandbox does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.program, &self.directory, self.port);
        Self::heard(&self.directory).await;
    }

    fn text(&self, name: &str) -> &str {
        self.printed[name].as_str().unwrap()
    }
}

impl Drop for Vimeo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The steps at which Vimeo is killed: a name, the fault that keeps the upload there, and the phase that shows it.
fn steps() -> Vec<(&'static str, Value, &'static str)> {
    let hold = |route: &str| json!({"route": route, "kind": "hold"});
    vec![
        ("creating", hold("POST /me/videos"), "creating"),
        (
            "uploading",
            json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 500_000, "times": 0}),
            "uploading",
        ),
        ("configuring", hold("PATCH /videos/{video}"), "configuring"),
        ("transcoding", Value::Null, "transcoding"),
    ]
}

async fn kill_at(program: PathBuf, step: (&'static str, Value, &'static str)) {
    let (name, fault, phase) = step;
    let mut env = TestEnv::with(EnvOptions { config: CONFIG.to_owned(), ..EnvOptions::default() }).await;
    let directory = env.path().join("vimeo");
    std::fs::create_dir(&directory).unwrap();
    let mut vimeo = Vimeo::start(&program, &directory).await;
    let base_url = vimeo.text("base_url").to_owned();
    env.service.kill();
    env.service =
        Service::start_with(env.path(), &[("VIMEO_CONNECTIONS_VIMEO__BASE_URL", base_url.as_str())]);
    let body = json!({
        "name": "Vimeo", "enabled": true, "clientIdentifier": vimeo.text("client_id"),
        "clientSecret": vimeo.text("client_secret"), "accessToken": vimeo.text("access_token"),
    });
    let created = env.post(&body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let connection = created.header("location").to_owned();
    assert!(connection.starts_with(COLLECTION));
    let http = env.http.clone();
    let control = async |method: reqwest::Method, path: &str, body: Value| -> Value {
        let request = http.request(method, format!("{base_url}/_sandbox/{path}"));
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null)
    };
    if !fault.is_null() {
        control(reqwest::Method::POST, "faults", fault).await;
    }
    let uploads = UploadEnv { env, source: Source::start(Behaviour::Good).await, connection };
    let id = uploads.submit(SIZE).await;
    uploads.wait_for_phase(&id, phase).await;
    if name == "uploading" {
        // In the middle of the bytes.
        let has_bytes = |video: &Value| video["versions"][0]["received"].as_u64().unwrap_or(0) > 0;
        let started = Instant::now();
        loop {
            let shown = control(reqwest::Method::GET, "videos", Value::Null).await;
            if shown["videos"].as_array().is_some_and(|videos| videos.iter().any(has_bytes)) {
                break;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{shown}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    vimeo.kill_and_restart().await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{name}: {job}\n{}", uploads.env.log());
    let shown = control(reqwest::Method::GET, "videos", Value::Null).await;
    let videos = shown["videos"].as_array().unwrap();
    assert_eq!(videos.len(), 1, "{name}: {videos:#?}\n{}", uploads.env.log());
    assert_whole(&job, &videos[0], SIZE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vimeo_kill_at_any_step_leaves_one_complete_video() {
    let program = Path::new(env!("CARGO_BIN_EXE_vimeo-connections")).with_file_name("vimeo-sandbox");
    if !program.exists() {
        return skip("the program vimeo-sandbox is not built; `cargo build --workspace` builds it");
    }
    let mut kills = JoinSet::new();
    for step in steps() {
        kills.spawn(kill_at(program.clone(), step));
    }
    while let Some(killed) = kills.join_next().await {
        killed.unwrap();
    }
}
