//! The command `upload`: a file or a URL becomes one video with the right bytes, whatever interrupts the command.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::canaries::Canaries;
use crate::support::harness::{ACCOUNT, EnvOptions, TestEnv, binary, printed, until};

const CONNECTION: &str = "films";
const SOURCES: &str = "sources.allow = [\"127.0.0.1/32\"]\nsources.allow_http = true\nsources.ports = \"any\"\n\
     uploads.confirm_seconds = 2\n";
const PASSWORD: &str = "canary-of-a-password";

/// An environment with a connection and a stopped service, so that only the command uses the database.
async fn alone() -> TestEnv {
    let mut env = with_service().await;
    env.service.kill();
    env
}

/// An environment with a connection and a running service.
pub(super) async fn with_service() -> TestEnv {
    let env = TestEnv::with(EnvOptions { config: SOURCES.to_owned(), ..EnvOptions::default() }).await;
    let made = env.post(&env.valid_body(CONNECTION)).await;
    assert!(made.status.is_success(), "{}", made.text);
    env
}

/// Bytes that are the same in every run, with no two equal parts.
pub(super) fn film(bytes: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let mut film = Vec::with_capacity(bytes + 8);
    while film.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        film.extend_from_slice(&state.to_be_bytes());
    }
    film.truncate(bytes);
    film
}

pub(super) fn file(env: &TestEnv, name: &str, bytes: &[u8]) -> PathBuf {
    let path = env.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn arguments<'a>(source: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["upload", source, "--account", ACCOUNT, "--connection", CONNECTION][..], more].concat()
}

pub(super) fn upload(env: &TestEnv, source: &str, more: &[&str]) -> Output {
    env.cli(&arguments(source, more), "")
}

/// Starts an upload that runs while the test continues.
pub(super) fn begin(env: &TestEnv, source: &str) -> Child {
    let mut command = binary(env.path());
    command.args(arguments(source, &[])).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", printed(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn videos(env: &TestEnv) -> Vec<Value> {
    env.control(Method::GET, "videos", Value::Null).await["videos"].as_array().unwrap().clone()
}

/// Asserts that there is exactly one video, and that it is complete.
pub(super) async fn assert_one(env: &TestEnv, bytes: &[u8]) -> Value {
    let videos = videos(env).await;
    assert_eq!(videos.len(), 1, "{videos:?}");
    assert_eq!(videos[0]["versions"][0]["sha256"], json!(hash(bytes)), "{videos:?}");
    videos[0].clone()
}

pub(super) async fn received(env: &TestEnv) -> u64 {
    let videos = videos(env).await;
    videos.last().map_or(0, |video| video["versions"][0]["received"].as_u64().unwrap())
}

/// Throttles the upload server, so that the test can act in the middle of an upload.
pub(super) async fn slow_down(env: &TestEnv) {
    let fault = json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 2_000_000, "times": "always"});
    env.inject_fault(fault).await;
}

pub(super) async fn speed_up(env: &TestEnv) {
    env.control(Method::DELETE, "faults", Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_without_a_service_and_a_rerun_reports_it() {
    let env = alone().await;
    let bytes = film(3_000_001);
    file(&env, "My film.mp4", &bytes);
    let settings =
        ["--view", "unlisted", "--description", "of a day", "--folder", "Holidays", "--thumbnail-at", "0.5"];
    let first = upload(&env, "My film.mp4", &[&settings[..], &["--json"]].concat());
    let made = done(&first);
    let video = assert_one(&env, &bytes).await;
    assert_eq!(video["name"], "My film", "an unnamed video has the name of the file");
    assert_eq!(
        (&made["data"]["status"], &made["data"]["vimeoUri"]),
        (&json!("completed"), &video["uri"]),
        "{made}"
    );
    assert_eq!(
        (&made["data"]["error_code"], &made["data"]["warnings"]),
        (&Value::Null, &json!([])),
        "{made}"
    );
    let again = upload(&env, "My film.mp4", &settings);
    assert!(again.status.success() && again.stdout.starts_with(b"Uploaded before"), "{}", printed(&again));
    assert!(printed(&again).contains(made["data"]["vimeoUrl"].as_str().unwrap()), "{}", printed(&again));
    assert_one(&env, &bytes).await;
    assert_eq!(done(&upload(&env, "My film.mp4", &[&settings[..], &["--json"]].concat())), made);
    let once_more = upload(&env, "My film.mp4", &[&settings[..], &["--again"]].concat());
    assert!(once_more.stdout.starts_with(b"Uploaded: "), "{}", printed(&once_more));
    assert_eq!(videos(&env).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_upload_resumes_where_it_stopped() {
    let env = alone().await;
    // Larger than all socket buffers between the command and the sandbox, so that some of it remains to be sent.
    let bytes = film(20_000_000);
    file(&env, "film.mp4", &bytes);
    slow_down(&env).await;
    for least in [500_000, 6_000_000] {
        let mut child = begin(&env, "film.mp4");
        until("some bytes have arrived", async || received(&env).await > least).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    speed_up(&env).await;
    assert!(received(&env).await < 20_000_000);
    let last = upload(&env, "film.mp4", &[]);
    assert!(last.status.success(), "{}", printed(&last));
    assert_one(&env, &bytes).await;
    let asked = env.control(Method::GET, "journal?route=POST%20/me/videos", Value::Null).await;
    assert_eq!(asked["requests"].as_array().unwrap().len(), 1, "no second video was asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upload_explains_how_to_resume_and_resumes() {
    let env = with_service().await;
    let bytes = film(12_000_000);
    file(&env, "film.mp4", &bytes);
    slow_down(&env).await;
    let child = begin(&env, "film.mp4");
    until("some bytes have arrived", async || received(&env).await > 200_000).await;
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    assert!(printed(&output).contains("Run the same command again to resume"), "{}", printed(&output));
    speed_up(&env).await;
    assert!(upload(&env, "film.mp4", &[]).status.success());
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_resumes_after_disconnects_and_locks() {
    let env = alone().await;
    let bytes = film(2_000_000);
    file(&env, "film.mp4", &bytes);
    env.inject_fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 700_000, "times": 2}))
        .await;
    env.inject_fault(json!({"route": "HEAD /files/*", "kind": "status", "status": 503, "times": 1})).await;
    let output = upload(&env, "film.mp4", &[]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_during_the_upload_never_becomes_a_video() {
    let env = alone().await;
    let bytes = film(32_000_000);
    let path = file(&env, "film.mp4", &bytes);
    // Throttled, so that some of the file has not been read when it changes.
    slow_down(&env).await;
    let child = begin(&env, "film.mp4");
    until("some bytes have arrived", async || received(&env).await > 0).await;
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    speed_up(&env).await;
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("the file changed while it was sent"), "{}", printed(&output));
    assert_eq!(videos(&env).await, [] as [Value; 0], "the incomplete video is deleted");
    assert!(upload(&env, "film.mp4", &[]).status.success(), "the changed file is another one");
    assert_one(&env, &[&bytes[..], b"more"].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_upload_starts_again_on_rerun() {
    let env = alone().await;
    let bytes = film(1_000_000);
    file(&env, "film.mp4", &bytes);
    env.inject_fault(json!({"route": "PATCH /files/*", "kind": "expired-link"})).await;
    let failed = upload(&env, "film.mp4", &["--json"]);
    assert_eq!(failed.status.code(), Some(1), "{}", printed(&failed));
    let report: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(
        (&report["data"]["status"], &report["data"]["error_code"]),
        (&json!("failed"), &json!("VIMEO_UPLOAD_LOST")),
        "{report}"
    );
    // All bytes had left when the link expired. Vimeo may have them, so nothing is deleted.
    let left = videos(&env).await;
    assert!(
        report["data"]["error_message"].as_str().unwrap().contains(left[0]["uri"].as_str().unwrap()),
        "{report}"
    );
    let made = done(&upload(&env, "film.mp4", &["--json"]));
    let videos = videos(&env).await;
    let whole = videos.iter().find(|video| video["uri"] == made["data"]["vimeoUri"]).unwrap();
    assert_eq!((videos.len(), &whole["versions"][0]["sha256"]), (2, &json!(hash(&bytes))), "{videos:?}");
}

/// A server of one file on loopback, for the rest of the test.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bytes) = (stream.unwrap(), bytes.clone());
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).to_lowercase();
                let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let parts = range.and_then(|range| range.split_once('-'));
                let from = parts.map_or(0, |(from, _)| from.parse().unwrap());
                let end = parts.and_then(|(_, to)| to.parse().ok()).map_or(bytes.len(), |to: usize| to + 1);
                let end = end.min(bytes.len());
                let (status, shown) = match range {
                    Some(_) => (
                        "206 Partial Content",
                        format!("content-range: bytes {from}-{}/{}\r\n", end - 1, bytes.len()),
                    ),
                    None => ("200 OK", String::new()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\naccept-ranges: bytes\r\netag: \"film\"\r\n{shown}content-length: {}\r\n\
                     connection: close\r\n\r\n",
                    end - from
                );
                // The client disconnects when it has read enough.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes[from..end]));
            });
        }
    });
    format!("http://{address}/Trailer-1.mp4")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_is_uploaded_with_and_without_a_service_and_kept_secret() {
    for env in [alone().await, with_service().await] {
        let bytes = film(2_000_000);
        let url = format!("{}?signature=canary-of-a-query", serve(bytes.clone()));
        let password_file = file(&env, "password", format!("{PASSWORD}\n").as_bytes());
        let more = ["--view", "password", "--password-file", password_file.to_str().unwrap(), "--json"];
        let output = upload(&env, &url, &more);
        let made = done(&output);
        let video = assert_one(&env, &bytes).await;
        assert_eq!(
            (&made["data"]["status"], &made["data"]["vimeoUri"]),
            (&json!("completed"), &video["uri"]),
            "{made}"
        );
        let again = upload(&env, &url, &more);
        assert_eq!(done(&again), made);
        let canaries = Canaries::of(&[("password", PASSWORD.as_bytes()), ("query", b"canary-of-a-query")]);
        for output in [&output, &again] {
            assert!(canaries.in_bytes(printed(output).as_bytes()).is_empty(), "{}", printed(output));
        }
        assert_eq!(canaries.in_files(env.path(), &[&password_file]), [] as [String; 0]);
        assert_one(&env, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_upload_can_be_left_to_the_service() {
    let env = with_service().await;
    let bytes = film(1_000_000);
    let url = serve(bytes.clone());
    let taken = done(&upload(&env, &url, &["--no-wait", "--json"]));
    assert_eq!(taken["success"], true);
    let seen = done(&upload(&env, &url, &["--json"]));
    assert_eq!(
        (&seen["job_id"], &seen["data"]["status"]),
        (&taken["data"]["jobId"], &json!("completed")),
        "it watches the same job"
    );
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upload_link_and_the_access_token_are_never_exposed() {
    let env = alone().await;
    file(&env, "film.mp4", &film(500_000));
    let output = upload(&env, "film.mp4", &[]);
    assert!(output.status.success() && !printed(&output).contains("/files/"), "{}", printed(&output));
    assert!(!printed(&output).contains(&env.sandbox.access_token));
    let link = Canaries::of(&[("link", b"/files/vimeo-prod-src-tus")]);
    assert_eq!(link.in_files(env.path(), &[]), [] as [String; 0], "it is stored sealed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_arguments_are_rejected_before_anything_is_done() {
    let env = alone().await;
    file(&env, "film.mp4", b"film");
    file(&env, "empty.mp4", b"");
    file(&env, "long", &[b'x'; 200]);
    for (source, more, report) in [
        ("film.mp4", &["--view", "friends"][..], "--view"),
        ("film.mp4", &["--embed-domain", "https://x.example"], "--embed-domain"),
        ("film.mp4", &["--embed-domain", "x.example"], "--embed-domain needs --embed whitelist"),
        ("film.mp4", &["--embed", "whitelist"], "--embed whitelist needs --embed-domain"),
        ("film.mp4", &["--view", "password"], "--view password needs --password-file"),
        ("film.mp4", &["--view", "password", "--password-file", "long"], "at most 32 characters"),
        ("film.mp4", &["--password", "secret-in-arguments"], "never taken from arguments"),
        ("film.mp4", &["--password=secret-in-arguments"], "never taken from arguments"),
        ("film.mp4", &["--folder", "/albums/1"], "--folder"),
        ("film.mp4", &["--name", " "], "--name"),
        ("film.mp4", &["--license", "mit"], "--license"),
        ("film.mp4", &["--locale", "english"], "--locale"),
        ("film.mp4", &["--thumbnail-at", "soon"], "--thumbnail-at"),
        ("film.mp4", &["--content-rating", "fun"], "--content-rating"),
        ("film.mp4", &["--no-wait"], "--no-wait is for an address"),
        ("-", &[], "standard input cannot be uploaded"),
        (".", &[], "is a directory"),
        ("empty.mp4", &[], "empty.mp4 is empty"),
        ("missing.mp4", &[], "missing.mp4 cannot be read"),
        ("/dev/null", &[], "is not a regular file"),
        ("s3://bucket/secret-in-arguments", &[], "must be a file, or an address"),
        ("https://user:secret-in-arguments@x.example/", &[], "the address must not contain a user name"),
        ("https://10.0.0.1/?secret-in-arguments", &[], "the address must be a public address"),
    ] {
        let output = upload(&env, source, more);
        assert!(!output.status.success(), "{source} {more:?}");
        let printed = printed(&output);
        assert!(
            printed.contains(report) && !printed.contains("secret-in-arguments"),
            "{source} {more:?}: {printed}"
        );
    }
    let unknown = env.cli(&["upload", "film.mp4", "--account", ACCOUNT, "--connection", "no such"], "");
    assert!(printed(&unknown).contains("no connection with this ID or name"), "{}", printed(&unknown));
    assert_eq!(videos(&env).await, [] as [Value; 0]);
}
