//! `upload --from` through a remote service: each film is at Vimeo once, whatever is interrupted or refuses requests.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::bulk_upload::{hashes, lines_with, records};
use crate::support::harness::{EnvOptions, TestEnv, printed, until};
use crate::support::remote_cli::RemoteUser;
use crate::support::uploads::source::{Behaviour, Source, bytes, sha256};
use crate::support::uploads::{CONFIG, fast_sandbox};

const LIST: &str = "films.jsonl";
const REPORT: &str = "films.jsonl.report.jsonl";
const LINES: u64 = 500;

async fn start(config: &str) -> (TestEnv, RemoteUser, Source) {
    let config = format!("{CONFIG}{config}");
    let env =
        TestEnv::with(EnvOptions { config, sandbox: Some(fast_sandbox()), ..EnvOptions::default() }).await;
    let made = env.post(&env.valid_body("films")).await;
    assert!(made.status.is_success(), "{}", made.text);
    let user = RemoteUser::of(&env);
    (env, user, Source::start(Behaviour::Good).await)
}

const UPLOAD: [&str; 5] = ["upload", "--from", LIST, "--connection", "films"];

fn upload(user: &RemoteUser, more: &[&str]) -> Output {
    user.run(&[&UPLOAD[..], more].concat(), "")
}

/// Starts the command without readers of its output.
fn begin(user: &RemoteUser) -> Child {
    let mut command = user.command(&[&UPLOAD[..], &["--profile", "test"]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Lines with URLs of these sizes.
fn list_of(source: &Source, sizes: impl Iterator<Item = u64>) -> String {
    sizes.map(|size| json!({"source": {"url": source.url("film.mp4", size)}}).to_string() + "\n").collect()
}

fn hashes_of(sizes: impl Iterator<Item = u64>) -> Vec<String> {
    let mut hashes: Vec<_> = sizes.map(sha256).collect();
    hashes.sort();
    hashes
}

/// The number of lines of the report.
fn reported(user: &RemoteUser, status: &str) -> usize {
    let text = fs::read_to_string(user.path().join(REPORT)).unwrap_or_default();
    text.lines().filter(|line| line.contains(&format!("\"status\":\"{status}\""))).count()
}

/// Restarts the service at the same address.
fn restart_in_place(env: &mut TestEnv) {
    let path = env.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&path).unwrap();
    let listen = format!("listen = \"{}\"", env.service.address);
    fs::write(&path, config.replace("listen = \"127.0.0.1:0\"", &listen)).unwrap();
    env.kill_and_restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_500_films_is_uploaded_once_whatever_is_interrupted() {
    let limits = "uploads.concurrency = 32\nuploads.per_account = 32\nuploads.per_connection = 32\n";
    let (mut env, user, source) = start(limits).await;
    let sizes = || 1_000..1_000 + LINES;
    fs::write(user.path().join(LIST), list_of(&source, sizes())).unwrap();
    // Ctrl-C.
    let child = begin(&user);
    until("some lines are accepted", async || reported(&user, "accepted") >= 40).await;
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    assert!(printed(&output).contains("Run the same command again to resume"), "{}", printed(&output));
    // SIGKILL for the service, and then for the command.
    let accepted = reported(&user, "accepted");
    let mut child = begin(&user);
    until("more lines are accepted", async || reported(&user, "accepted") >= (accepted + 40).min(500)).await;
    restart_in_place(&mut env);
    let accepted = reported(&user, "accepted");
    until("still more are accepted", async || reported(&user, "accepted") >= (accepted + 40).min(500)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let last = upload(&user, &["--parallel", "32"]);
    assert!(last.status.success(), "{}", printed(&last));
    assert!(printed(&last).contains("Lines: 500: 500 completed."), "{}", printed(&last));
    assert_eq!(hashes(&env).await, hashes_of(sizes()));
    let report = records(&user.path().join(REPORT));
    assert_eq!(lines_with(&report, "completed"), (1..=LINES).collect::<Vec<_>>());
    let again = upload(&user, &[]);
    assert!(again.status.success(), "{}", printed(&again));
    assert_eq!(records(&user.path().join(REPORT)), report, "a repetition does nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_sent_from_here_and_the_settings_are_those_of_the_api() {
    let (env, user, source) = start("").await;
    let files = [700_000, 800_000, 900_000, 1_000_000];
    let mut list = list_of(&source, [5_000, 6_000].into_iter());
    for size in files {
        fs::write(user.path().join(format!("{size}.mp4")), bytes(size)).unwrap();
        let view = json!({"view": "password"});
        let line = json!({"source": format!("{size}.mp4"), "privacy": view, "password": "canary-password"});
        list += &(line.to_string() + "\r\n");
    }
    fs::write(user.path().join(LIST), list).unwrap();
    let output = upload(&user, &[]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(hashes(&env).await, hashes_of(files.into_iter().chain([5_000, 6_000])));
    let report = fs::read_to_string(user.path().join(REPORT)).unwrap();
    assert!(!report.contains("canary") && !report.contains("/files/"), "{report}");
    let jobs = user.json(&["jobs", "list"], "");
    assert_eq!(jobs.as_array().unwrap().len(), 6, "{jobs}");
    let uri = records(&user.path().join(REPORT))
        .iter()
        .find(|record| record["status"] == "completed" && record["line"] == 3)
        .map(|record| record["vimeoUri"].as_str().unwrap().to_owned())
        .unwrap();
    let shown = env.http.get(format!("{}{uri}", env.sandbox.base_url)).bearer_auth(&env.sandbox.access_token);
    let video: Value = serde_json::from_str(&shown.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!((&video["name"], &video["privacy"]["view"]), (&json!("700000"), &json!("password")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_waited_for_and_are_no_failures() {
    let limits =
        "limits.jobs_in_progress = 3\nlimits.key_requests_per_minute = 600\nlimits.burst_seconds = 1\n";
    let (env, user, source) = start(limits).await;
    let sizes = || 1_000..1_012;
    fs::write(user.path().join(LIST), list_of(&source, sizes())).unwrap();
    let output = upload(&user, &["--parallel", "64"]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(hashes(&env).await, hashes_of(sizes()));
    let log = env.log();
    assert!(log.contains("\"status\":422"), "the limit was not reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_lines_can_be_left_to_the_service() {
    let (env, user, source) = start("").await;
    let sizes = || 1_000..1_020;
    fs::write(user.path().join(LIST), list_of(&source, sizes())).unwrap();
    // Until the fault is removed, nothing completes.
    env.inject_fault(json!({"route": "POST /me/videos", "kind": "status", "status": 503, "times": "always"}))
        .await;
    let left = upload(&user, &["--no-wait"]);
    assert!(left.status.success(), "{}", printed(&left));
    let report = records(&user.path().join(REPORT));
    assert_eq!(lines_with(&report, "accepted"), (1..=20).collect::<Vec<_>>());
    assert_eq!(lines_with(&report, "completed"), [] as [u64; 0]);
    super::upload::speed_up(&env).await;
    let last = upload(&user, &[]);
    assert!(last.status.success(), "{}", printed(&last));
    assert_eq!(hashes(&env).await, hashes_of(sizes()));
}
