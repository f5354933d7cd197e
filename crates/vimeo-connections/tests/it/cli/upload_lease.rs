//! The command `upload` beside a running service: the command that sends a file holds the lease of its job.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use super::upload::{assert_one, begin, file, film, received, slow_down, speed_up, upload, with_service};
use crate::support::harness::{TestEnv, printed, until};

/// The data of the only job, if there is one yet.
async fn only_job(env: &TestEnv) -> Value {
    let jobs = env.get("/pictoryapis/v1/jobs").await.json();
    let jobs = jobs["items"].as_array().unwrap_or_else(|| panic!("{jobs}"));
    assert!(jobs.len() <= 1, "{jobs:?}");
    jobs.first().map_or(Value::Null, |job| job["data"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_watches_an_upload_only_after_its_command_has_stopped() {
    let env = with_service().await;
    let bytes = film(20_000_000);
    file(&env, "film.mp4", &bytes);
    slow_down(&env).await;
    let child = begin(&env, "film.mp4");
    until("the job shows what the command sends", async || {
        let job = only_job(&env).await;
        assert_eq!(job["error_code"], Value::Null, "{job}");
        let is_held = job["waitingFor"].is_null() && !job["bytesPerSecond"].is_null();
        is_held && job["bytesSent"].as_u64().is_some_and(|sent| sent > 4_000_000)
    })
    .await;
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    until("the service watches it", async || only_job(&env).await["waitingFor"] == "client").await;
    // The command had sent more than Vimeo had received.
    let log = env.log();
    assert!(!log.contains("impossible state"), "{log}");
    speed_up(&env).await;
    let rerun = upload(&env, "film.mp4", &[]);
    assert!(rerun.status.success(), "{}", printed(&rerun));
    assert_one(&env, &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_beyond_the_limit_of_its_connection_waits_and_says_so() {
    let env = with_service().await;
    let config = env.path().join("vimeo-connections.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("uploads.per_connection = 1\n{text}")).unwrap();
    file(&env, "first.mp4", &film(50_000_000));
    file(&env, "second.mp4", &film(1_000));
    slow_down(&env).await;
    let mut first = begin(&env, "first.mp4");
    until("some bytes have arrived", async || received(&env).await > 0).await;
    let mut second = begin(&env, "second.mp4");
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.contains("waiting for other uploads to end"));
    assert!(line.is_some(), "the second command has ended");
    assert!(first.try_wait().unwrap().is_none(), "the first is still running");
    speed_up(&env).await;
    assert!(second.wait().unwrap().success());
    assert!(first.wait_with_output().unwrap().status.success());
}
