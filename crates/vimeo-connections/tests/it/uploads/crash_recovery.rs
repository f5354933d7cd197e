//! The service is killed with SIGKILL at every step of an upload. The upload is completed, once.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::uploads::{CONFIG, UploadEnv, WAIT_LIMIT};

const SIZE: u64 = 3 * 1024 * 1024;

/// A step at which the service is killed.
#[derive(Clone, Debug)]
struct Step {
    name: &'static str,
    /// The fault that keeps the upload at this step.
    fault: Value,
    /// The condition that shows that the upload is at this step.
    sign: Sign,
}

#[derive(Clone, Copy, Debug)]
enum Sign {
    /// The job was accepted.
    Accepted,
    /// This many requests to this route have reached Vimeo.
    Asked(&'static str, usize),
    /// The job is in this phase.
    Phase(&'static str),
}

fn steps() -> Vec<Step> {
    let step = |name, fault, sign| Step { name, fault, sign };
    let hold = |route: &str, after: u64| json!({"route": route, "kind": "hold", "after": after});
    vec![
        step("queued", Value::Null, Sign::Accepted),
        step("creating, asked", hold("POST /me/videos", 0), Sign::Asked("POST /me/videos", 1)),
        step(
            "creating, executed and not answered",
            json!({"route": "POST /me/videos", "kind": "drip", "millis": 600_000}),
            Sign::Asked("POST /me/videos", 1),
        ),
        step(
            "uploading",
            json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 500_000}),
            Sign::Asked("PATCH /files/*", 1),
        ),
        step("configuring, reading", hold("GET /videos/{video}", 0), Sign::Asked("GET /videos/{video}", 1)),
        step(
            "configuring, changing",
            hold("PATCH /videos/{video}", 0),
            Sign::Asked("PATCH /videos/{video}", 1),
        ),
        step("transcoding", Value::Null, Sign::Phase("transcoding")),
        step("opening", hold("PATCH /videos/{video}", 1), Sign::Asked("PATCH /videos/{video}", 2)),
    ]
}

impl UploadEnv {
    /// Waits until this many requests to a route have reached Vimeo.
    pub(crate) async fn asked(&self, route: &str, count: usize) {
        let started = Instant::now();
        while self.journal(route).await.len() < count {
            assert!(started.elapsed() < WAIT_LIMIT, "{route}\n{}", self.env.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn kill_at(&mut self, id: &str, sign: Sign) {
        match sign {
            Sign::Accepted => {}
            Sign::Asked(route, count) => self.asked(route, count).await,
            Sign::Phase(phase) => {
                self.wait_for_phase(id, phase).await;
            }
        }
        self.env.service.kill();
        self.env.control(Method::DELETE, "faults", Value::Null).await;
        self.env.kill_and_restart();
    }
}

async fn kill_at(step: Step) {
    let mut uploads = UploadEnv::start().await;
    if !step.fault.is_null() {
        uploads.env.inject_fault(step.fault.clone()).await;
    }
    let id = uploads.submit(SIZE).await;
    uploads.kill_at(&id, step.sign).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{}: {job}\n{}", step.name, uploads.env.log());
    uploads.assert_one_video(&job, SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_step_leaves_one_complete_video() {
    let mut kills: JoinSet<()> = steps().into_iter().map(kill_at).collect();
    while let Some(killed) = kills.join_next().await {
        killed.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_clean_up_leaves_nothing_behind() {
    let mut uploads = UploadEnv::start().await;
    uploads
        .env
        .inject_fault(json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 1000}))
        .await;
    uploads.env.inject_fault(json!({"route": "DELETE /videos/{video}", "kind": "hold"})).await;
    let id = uploads.submit(SIZE).await;
    uploads.wait_for_phase(&id, "uploading").await;
    let path = format!("/pictoryapis/v1/jobs/{id}");
    assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    uploads.kill_at(&id, Sign::Asked("DELETE /videos/{video}", 1)).await;
    let job = uploads.until(&id, |job| job["data"]["phase"] == "cancelled").await;
    assert_eq!(job["data"]["status"], "cancelled");
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

/// The response to the create is lost, the create is executed seconds later, and the list shows the video much later
/// still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_create_that_is_listed_even_later_is_found() {
    let config = CONFIG.replace("look_seconds = 2", "look_seconds = 50");
    let uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    uploads.env.inject_fault(json!({"route": "POST /me/videos", "kind": "late", "millis": 4_000})).await;
    uploads
        .env
        .inject_fault(json!({"route": "GET /me/videos", "kind": "list-lag", "seconds": 20, "times": 0}))
        .await;
    let id = uploads.submit(SIZE).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, SIZE).await;
    assert_eq!(uploads.journal("POST /me/videos").await.len(), 1, "no second video was requested");
}

/// It is executed when the job no longer looks for it: the job has another placeholder by then, and deletes this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_arrives_after_its_replacement_is_deleted() {
    let uploads = UploadEnv::start().await;
    uploads.env.inject_fault(json!({"route": "POST /me/videos", "kind": "late", "millis": 15_000})).await;
    uploads
        .env
        .inject_fault(json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 150_000}))
        .await;
    let id = uploads.submit(SIZE).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, SIZE).await;
    assert_eq!(uploads.journal("POST /me/videos").await.len(), 2);
}
