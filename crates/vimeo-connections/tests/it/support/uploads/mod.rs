//! An environment for uploads: a source, the service and the sandbox, with helpers to start uploads and to check
//! videos.

pub(crate) mod faulty_proxy;
pub(crate) mod load;
pub(crate) mod scripted;
pub(crate) mod source;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{EnvOptions, Response, TestEnv};
use crate::support::uploads::source::{Behaviour, Source, sha256};

/// The limit of the wait for a job, after which the test fails. Tests make no other assertions about time.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_mins(5);
/// The default configuration: sources on loopback, and short timeouts for Vimeo.
pub(crate) const CONFIG: &str = "sources.allow = [\"127.0.0.1/32\"]\nsources.allow_http = true\n\
    sources.ports = \"any\"\nuploads.create_seconds = 2\nuploads.grace_seconds = 1\nuploads.look_seconds = 2\n";

/// A sandbox with fast transcoding.
pub(crate) fn fast_sandbox() -> sandbox::Options {
    sandbox::Options { pace: sandbox::Pace::Every(Duration::from_millis(50)), ..sandbox::Options::default() }
}

/// An environment with a connection and a source of videos.
pub(crate) struct UploadEnv {
    pub(crate) env: TestEnv,
    pub(crate) source: Source,
    /// The path of the connection.
    pub(crate) connection: String,
}

impl UploadEnv {
    pub(crate) async fn start() -> Self {
        Self::with(CONFIG, sandbox::Options::default()).await
    }

    pub(crate) async fn with(config: &str, sandbox: sandbox::Options) -> Self {
        let config = config.to_owned();
        Self::with_options(EnvOptions { config, sandbox: Some(sandbox), ..EnvOptions::default() }).await
    }

    pub(crate) async fn with_options(options: EnvOptions) -> Self {
        let env = TestEnv::with(options).await;
        let created = env.post(&env.valid_body("Vimeo")).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let connection = created.header("location").to_owned();
        Self { env, source: Source::start(Behaviour::Good).await, connection }
    }

    /// Requests an upload.
    pub(crate) async fn post(&self, body: &Value) -> Response {
        let path = format!("{}/uploads", self.connection);
        let headers = [("content-type", "application/json")];
        self.env.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await
    }

    /// Requests an upload of a file of this length from the default source; the job ID.
    pub(crate) async fn submit(&self, size: u64) -> String {
        self.submit_with(json!({"source": {"url": self.source.url("film.mp4", size)}})).await
    }

    pub(crate) async fn submit_with(&self, body: Value) -> String {
        let accepted = self.post(&body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        accepted.json()["data"]["jobId"].as_str().unwrap().to_owned()
    }

    /// The job, as the API returns it.
    pub(crate) async fn job(&self, id: &str) -> Value {
        let answer = self.env.get(&format!("/pictoryapis/v1/jobs/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Waits until a job has ended; the job.
    pub(crate) async fn wait_for_end(&self, id: &str) -> Value {
        self.until(id, is_finished).await
    }

    /// Waits until a job is in this phase. Fails if it ends first.
    pub(crate) async fn wait_for_phase(&self, id: &str, phase: &str) -> Value {
        let job = self.until(id, |job| job["data"]["phase"] == phase || is_finished(job)).await;
        assert_eq!(job["data"]["phase"], phase, "{job}");
        job
    }

    pub(crate) async fn until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let job = self.job(id).await;
            if is_so(&job) {
                return job;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{job}\n{}", self.env.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The videos at Vimeo, oldest first.
    pub(crate) async fn videos(&self) -> Vec<Value> {
        let shown = self.env.control(Method::GET, "videos", Value::Null).await;
        let mut videos = shown["videos"].as_array().unwrap().clone();
        videos.sort_by_key(|video| video["uri"].as_str().unwrap().to_owned());
        videos
    }

    /// The requests to a route in the journal.
    pub(crate) async fn journal(&self, route: &str) -> Vec<Value> {
        let route = route.replace(' ', "%20").replace('*', "%2A").replace('{', "%7B").replace('}', "%7D");
        let path = format!("journal?limit=10000&route={route}");
        let shown = self.env.control(Method::GET, &path, Value::Null).await;
        shown["requests"].as_array().unwrap().clone()
    }

    /// Asserts that a job was completed, and that its video is the only one and complete.
    pub(crate) async fn assert_one_video(&self, job: &Value, size: u64) -> Value {
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", self.env.log());
        assert_eq!(job["success"], true);
        let videos = self.videos().await;
        assert_eq!(videos.len(), 1, "{videos:#?}\n{}", self.env.log());
        assert_whole(job, &videos[0], size);
        videos[0].clone()
    }
}

/// Asserts that this is the video of the job, and that it is complete.
pub(crate) fn assert_whole(job: &Value, video: &Value, size: u64) {
    assert_eq!(job["data"]["vimeoUri"], video["uri"], "{job}");
    assert_eq!(video["status"], "available", "{video}");
    let version = &video["versions"][0];
    assert_eq!(version["received"], size, "{version}");
    assert_eq!(version["sha256"], sha256(size), "{version}");
}

pub(crate) fn is_finished(job: &Value) -> bool {
    job["data"]["status"] != "in-progress" && job["data"]["phase"] != "cleaning_up"
}
