//! The service is killed at every step of a replacement, or an answer is lost. The video has exactly one new version.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fixtures::{Engine, PublicationEnv};
use super::schedules::Kill;
use crate::support::postgres::Version;
use crate::support::uploads::source::sha256;

const OLD_SIZE: u64 = 1_000;
const NEW_SIZE: u64 = 300_000;
const CREATE: &str = "POST /videos/{video}/versions";
const SHOW: &str = "GET /videos/{video}/versions/{version}";

/// A fault, and when the service is killed.
#[derive(Clone)]
struct Step {
    name: &'static str,
    fault: Value,
    kill: Option<Kill>,
}

fn steps() -> Vec<Step> {
    let step = |name, fault, kill| Step { name, fault, kill };
    let hold = |route: &str| json!({"route": route, "kind": "hold"});
    let slow = json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 30_000});
    let drip = json!({"route": CREATE, "kind": "drip", "millis": 600_000});
    vec![
        step("checking the owner", hold("GET /me"), Some(Kill::At("GET /me", 1))),
        step("creating", hold(CREATE), Some(Kill::At(CREATE, 1))),
        step("created and not answered", drip, Some(Kill::At(CREATE, 1))),
        step("uploading", slow, Some(Kill::At("PATCH /files/*", 1))),
        step("assembling", hold(SHOW), Some(Kill::At(SHOW, 1))),
        step("transcoding", json!({"route": SHOW, "kind": "hold", "after": 1}), Some(Kill::At(SHOW, 2))),
        step("an answer that is lost", json!({"route": CREATE, "kind": "cut-after"}), None),
        step("a request that is late", json!({"route": CREATE, "kind": "late", "millis": 1_000}), None),
    ]
}

async fn replace_with(engine: Engine, step: Step) {
    let Some(mut env) = PublicationEnv::on(engine).await else { return };
    let id = env.uploads.submit(OLD_SIZE).await;
    let job = env.uploads.wait_for_end(&id).await;
    let uri = job["data"]["vimeoUri"].as_str().unwrap().to_owned();
    env.uploads.env.control(reqwest::Method::DELETE, "journal", Value::Null).await;
    env.uploads.env.inject_fault(step.fault.clone()).await;
    let id = env.replace(&uri, NEW_SIZE).await;
    if let Some(kill) = step.kill {
        env.kill_at(&id, kill).await.unwrap();
    }
    let job = env.uploads.wait_for_end(&id).await;
    let log = || env.uploads.env.log();
    assert_eq!(job["data"]["status"], "completed", "{}: {job}\n{}", step.name, log());
    assert_eq!(job["data"]["warnings"], json!([]), "{}: {job}", step.name);
    assert_eq!(env.uploads.videos().await.len(), 1, "{}\n{}", step.name, log());
    assert_eq!(env.played(&uri).await, (json!(sha256(NEW_SIZE)), 2), "{}\n{}", step.name, log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_step_of_a_replacement_leaves_one_new_version() {
    let mut running: JoinSet<()> =
        steps().into_iter().map(|step| replace_with(Engine::Sqlite, step)).collect();
    let on_postgres = steps().into_iter().filter(|step| step.name.starts_with("creat"));
    for step in on_postgres {
        running.spawn(replace_with(Engine::Postgres(Version::V15), step));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}
