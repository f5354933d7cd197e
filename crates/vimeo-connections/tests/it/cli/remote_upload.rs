//! `upload` through a remote service: the bytes of a file go straight to Vimeo.

use std::fs;
use std::io::Write as _;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use super::upload::{assert_one, film, received, slow_down, speed_up};
use crate::support::harness::{TestEnv, printed, until};
use crate::support::remote_cli::RemoteUser;
use crate::support::uploads::source::{Behaviour, Source};

async fn start() -> (TestEnv, RemoteUser) {
    let env = super::upload::with_service().await;
    let user = RemoteUser::of(&env);
    (env, user)
}

fn write(user: &RemoteUser, name: &str, bytes: &[u8]) {
    fs::write(user.path().join(name), bytes).unwrap();
}

const UPLOAD: [&str; 4] = ["upload", "My film.mp4", "--connection", "films"];

fn upload(user: &RemoteUser, more: &[&str]) -> Output {
    user.run(&[&UPLOAD[..], more].concat(), "")
}

fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", printed(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_uploaded_with_its_settings_and_a_rerun_reports_it() {
    let (env, user) = start().await;
    let bytes = film(3_000_001);
    write(&user, "My film.mp4", &bytes);
    fs::write(user.path().join("password"), "canary-password\n").unwrap();
    let settings = ["--view", "password", "--password-file", "password", "--description", "of a day"];
    let more = ["--folder", "Holidays", "--thumbnail-at", "0.5", "--content-rating", "safe"];
    let settings = [&settings[..], &more].concat();
    let made = done(&upload(&user, &[&settings[..], &["--json"]].concat()));
    let video = assert_one(&env, &bytes).await;
    assert_eq!(video["name"], "My film", "an unnamed video has the name of the file");
    assert_eq!((&made["data"]["status"], &made["data"]["vimeoUri"]), (&json!("completed"), &video["uri"]));
    assert_eq!(made["data"]["warnings"], json!([]), "{made}");
    let url = format!("{}{}", env.sandbox.base_url, video["uri"].as_str().unwrap());
    let at_vimeo = env.http.get(url).bearer_auth(&env.sandbox.access_token).send().await.unwrap();
    let at_vimeo: Value = serde_json::from_str(&at_vimeo.text().await.unwrap()).unwrap();
    assert_eq!(
        (&at_vimeo["description"], &at_vimeo["privacy"]["view"]),
        (&json!("of a day"), &json!("password"))
    );
    let again = upload(&user, &settings);
    assert!(again.stdout.starts_with(b"Uploaded before"), "{}", printed(&again));
    assert_one(&env, &bytes).await;
    assert!(upload(&user, &[&settings[..], &["--again"]].concat()).stdout.starts_with(b"Uploaded: "));
    let asked = env.control(Method::GET, "journal?route=POST%20/me/videos", Value::Null).await;
    assert_eq!(asked["requests"].as_array().unwrap().len(), 2, "{asked}");
    assert!(!env.log().contains("canary-password"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_upload_resumes_where_it_stopped_without_a_second_video() {
    let (env, user) = start().await;
    let bytes = film(20_000_000);
    write(&user, "My film.mp4", &bytes);
    slow_down(&env).await;
    for least in [500_000, 6_000_000] {
        let mut child = user.start(&UPLOAD);
        until("some bytes have arrived", async || received(&env).await > least).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    speed_up(&env).await;
    assert!(received(&env).await < 20_000_000);
    let last = upload(&user, &[]);
    assert!(last.stdout.starts_with(b"Uploaded: "), "{}", printed(&last));
    assert_one(&env, &bytes).await;
    let sent = env.control(Method::GET, "journal?route=PATCH%20/files/%2A&limit=1000", Value::Null).await;
    assert!(!sent.to_string().contains(&env.api_key), "the key goes to the service alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_survives_disconnects_of_vimeo() {
    let (env, user) = start().await;
    let bytes = film(2_000_000);
    write(&user, "My film.mp4", &bytes);
    env.inject_fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 700_000, "times": 2}))
        .await;
    env.inject_fault(json!({"route": "HEAD /files/*", "kind": "status", "status": 503, "times": 1})).await;
    let output = upload(&user, &[]);
    assert!(output.status.success(), "{}", printed(&output));
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upload_explains_how_to_resume() {
    let (env, user) = start().await;
    let bytes = film(12_000_000);
    write(&user, "My film.mp4", &bytes);
    slow_down(&env).await;
    let child = user.start(&UPLOAD);
    until("some bytes have arrived", async || received(&env).await > 200_000).await;
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    assert!(printed(&output).contains("Run the same command again to resume"), "{}", printed(&output));
    speed_up(&env).await;
    assert!(upload(&user, &[]).status.success());
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_sent_never_becomes_a_video() {
    let (env, user) = start().await;
    write(&user, "My film.mp4", &film(32_000_000));
    slow_down(&env).await;
    let child = user.start(&UPLOAD);
    until("some bytes have arrived", async || received(&env).await > 0).await;
    let path = user.path().join("My film.mp4");
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    speed_up(&env).await;
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("the file changed while it was sent"), "{}", printed(&output));
    until("the job is cancelled", async || {
        let jobs = user.json(&["jobs", "list"], "");
        jobs[0]["data"]["phase"] == "cancelled"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_upload_stops_sending() {
    let (env, user) = start().await;
    write(&user, "My film.mp4", &film(20_000_000));
    slow_down(&env).await;
    let child = user.start(&UPLOAD);
    until("some bytes have arrived", async || received(&env).await > 0).await;
    let jobs = user.json(&["jobs", "list"], "");
    user.json(&["jobs", "cancel", jobs[0]["job_id"].as_str().unwrap()], "");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    assert!(printed(&output).contains("The upload was cancelled."), "{}", printed(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_is_fetched_by_the_service() {
    let (env, user) = start().await;
    let source = Source::start(Behaviour::Good).await;
    let url = format!("{}&token=canary-of-a-query", source.url("film.mp4", 50_000));
    let arguments = ["upload", &url, "--connection", "films", "--name", "Fetched"];
    let taken = user.run(&[&arguments[..], &["--no-wait"]].concat(), "");
    assert!(taken.status.success(), "{}", printed(&taken));
    let id = printed(&taken).trim().to_owned();
    let watched = user.json(&["jobs", "watch", &id], "");
    assert_eq!(watched["data"]["status"], "completed", "{watched}");
    let again = user.run(&arguments, "");
    assert!(again.stdout.starts_with(b"Uploaded before"), "{}", printed(&again));
    let keys: Vec<String> = env
        .database()
        .prepare("SELECT idempotency_key FROM idempotency_records")
        .and_then(|mut keys| keys.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    assert!(
        keys.iter().any(|key| key.starts_with("cli-upload-")) && !keys.concat().contains("canary"),
        "{keys:?}"
    );
    let file = user.error(&["upload", "missing.mp4", "--connection", "films"], "");
    assert!(file.1.contains("missing.mp4 cannot be read"), "{file:?}");
}
