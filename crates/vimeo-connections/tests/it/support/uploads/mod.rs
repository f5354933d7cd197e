//! An environment for upload tests: a source, the service and the sandbox, with helpers to start uploads and inspect the result.

pub(crate) mod faulty_proxy;
pub(crate) mod scripted;
pub(crate) mod source;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{Answer, Wish, World};
use crate::support::uploads::source::{Manner, Source, sha256};

/// How long a job is waited for before a test gives up. No test asserts how long something took.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// The usual configuration: sources on loopback, and little patience with Vimeo.
pub(crate) const CONFIG: &str = "sources.allow = [\"127.0.0.1/32\"]\nsources.allow_http = true\n\
    sources.ports = \"any\"\nuploads.create_seconds = 2\nuploads.grace_seconds = 1\nuploads.look_seconds = 2\n";

/// A sandbox in which nobody waits for transcoding.
pub(crate) fn quick() -> sandbox::Options {
    sandbox::Options { pace: sandbox::Pace::Every(Duration::from_millis(50)), ..sandbox::Options::default() }
}

/// A world with a connection, and a source of videos.
pub(crate) struct Uploads {
    pub(crate) world: World,
    pub(crate) source: Source,
    /// The path of the connection.
    pub(crate) connection: String,
}

impl Uploads {
    pub(crate) async fn start() -> Self {
        Self::with(CONFIG, sandbox::Options::default()).await
    }

    pub(crate) async fn with(config: &str, sandbox: sandbox::Options) -> Self {
        let wish = Wish { config: config.to_owned(), sandbox: Some(sandbox), ..Wish::default() };
        let world = World::with(wish).await;
        let created = world.post(&world.good_body("Vimeo")).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let connection = created.header("location").to_owned();
        Self { world, source: Source::start(Manner::Good).await, connection }
    }

    /// Asks for an upload.
    pub(crate) async fn ask(&self, body: &Value) -> Answer {
        let path = format!("{}/uploads", self.connection);
        let headers = [("content-type", "application/json")];
        self.world.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await
    }

    /// Asks for an upload of a file of so many bytes with the usual source; the job's identifier.
    pub(crate) async fn begin(&self, size: u64) -> String {
        self.begin_with(json!({"source": {"url": self.source.url("film.mp4", size)}})).await
    }

    pub(crate) async fn begin_with(&self, body: Value) -> String {
        let accepted = self.ask(&body).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        accepted.json()["data"]["jobId"].as_str().unwrap().to_owned()
    }

    /// The job as it is shown.
    pub(crate) async fn job(&self, id: &str) -> Value {
        let answer = self.world.get(&format!("/pictoryapis/v1/jobs/{id}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Waits until a job is over; the job.
    pub(crate) async fn end(&self, id: &str) -> Value {
        self.until(id, is_over).await
    }

    /// Waits until a job is in this phase, or beyond its end.
    pub(crate) async fn phase(&self, id: &str, phase: &str) -> Value {
        let job = self.until(id, |job| job["data"]["phase"] == phase || is_over(job)).await;
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
            assert!(started.elapsed() < PATIENCE, "{job}\n{}", self.world.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The videos at Vimeo, the oldest first.
    pub(crate) async fn videos(&self) -> Vec<Value> {
        let shown = self.world.control(Method::GET, "videos", Value::Null).await;
        let mut videos = shown["videos"].as_array().unwrap().clone();
        videos.sort_by_key(|video| video["uri"].as_str().unwrap().to_owned());
        videos
    }

    /// What the journal has of a route.
    pub(crate) async fn journal(&self, route: &str) -> Vec<Value> {
        let route = route.replace(' ', "%20").replace('*', "%2A").replace('{', "%7B").replace('}', "%7D");
        let path = format!("journal?limit=10000&route={route}");
        let shown = self.world.control(Method::GET, &path, Value::Null).await;
        shown["requests"].as_array().unwrap().clone()
    }

    /// Asserts that a job was completed, and that its video is the only one, with the right bytes.
    pub(crate) async fn assert_one_video(&self, job: &Value, size: u64) -> Value {
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", self.world.log());
        assert_eq!(job["success"], true);
        let videos = self.videos().await;
        assert_eq!(videos.len(), 1, "{videos:#?}\n{}", self.world.log());
        assert_whole(job, &videos[0], size);
        videos[0].clone()
    }
}

/// Asserts that a job's video is this one, with the right bytes.
pub(crate) fn assert_whole(job: &Value, video: &Value, size: u64) {
    assert_eq!(job["data"]["vimeoUri"], video["uri"], "{job}");
    assert_eq!(video["status"], "available", "{video}");
    let version = &video["versions"][0];
    assert_eq!(version["received"], size, "{version}");
    assert_eq!(version["sha256"], sha256(size), "{version}");
}

pub(crate) fn is_over(job: &Value) -> bool {
    job["data"]["status"] != "in-progress" && job["data"]["phase"] != "abandoning"
}
