//! Two nodes on one PostgreSQL database share the uploads, and one of them is killed meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::cluster::{Node, send_to};
use crate::support::harness::{EnvOptions, TestEnv};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv, assert_whole, is_finished};

const UPLOADS: u64 = 100;
const SIZE: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_uploads_survive_the_loss_of_one_of_two_nodes() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let config = format!(
        "{CONFIG}uploads.concurrency = 92\nuploads.per_account = 120\nuploads.per_connection = 120\nuploads.link_hours = 1\n"
    );
    let options = EnvOptions { config, database_url: Some(database.url()), ..EnvOptions::default() };
    let env = TestEnv::with(options).await;
    let created = env.post(&env.valid_body("Vimeo")).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let connection = created.header("location").to_owned();
    let mut other = Node::beside(&env);
    let nodes = [env.service.address, other.service.address];
    // Slow enough that all uploads are in progress when the node is killed.
    env.inject_fault(
        json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 30_000, "times": 0}),
    )
    .await;
    let uploads = UploadEnv { env, source: Source::start(Behaviour::Good).await, connection };
    let mut jobs = BTreeMap::new();
    for number in 0..UPLOADS {
        let size = SIZE + number;
        let body =
            json!({"source": {"url": uploads.source.url(&format!("film{number}.mp4"), size)}}).to_string();
        let path = format!("{}/uploads", uploads.connection);
        let node = nodes[usize::try_from(number % 2).unwrap()];
        let headers = [("content-type", "application/json")];
        let accepted = send_to(&uploads.env, node, (Method::POST, &path), &headers, &body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        jobs.insert(accepted.json()["data"]["jobId"].as_str().unwrap().to_owned(), size);
    }
    let held = |fence: &str| {
        let sql = format!("SELECT count(*) FROM jobs WHERE lease_until IS NOT NULL AND {fence}");
        database.sql(&sql).trim().parse::<u64>().unwrap()
    };
    let started = std::time::Instant::now();
    while held("state = 'uploading'") < UPLOADS {
        assert!(
            started.elapsed() < crate::support::uploads::WAIT_LIMIT,
            "they are not all in progress at once"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    other.service.kill();
    uploads.env.control(Method::DELETE, "faults", Value::Null).await;
    let mut shown = Vec::new();
    for id in jobs.keys() {
        shown.push(uploads.until(id, is_finished).await);
    }
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), jobs.len(), "one video for each upload");
    for job in &shown {
        let video = videos.iter().find(|video| video["uri"] == job["data"]["vimeoUri"]);
        assert_whole(job, video.unwrap_or_else(|| panic!("{job}")), jobs[job["job_id"].as_str().unwrap()]);
    }
    assert!(held("fence > 1") == 0, "no lease of a finished job is left");
    let log = std::fs::read_to_string(other.directory.path().join("service.log")).unwrap();
    let had: BTreeSet<String> = log
        .lines()
        .filter(|line| line.contains("a job was written") && line.contains("\"uploading\""))
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["job"].as_str().map(str::to_owned))
        .collect();
    let had = had.len();
    assert!(had >= 40, "the killed node had {had} of them in progress");
}
