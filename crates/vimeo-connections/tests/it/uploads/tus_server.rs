//! Uploads to a third-party tus server: `@tus/server` behind the upload link.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::tools::{find_tool, program, tests_folder};
use crate::support::uploads::source::{Behaviour, Source, bytes};
use crate::support::uploads::{CONFIG, UploadEnv, WAIT_LIMIT, fast_sandbox};

const MIB: u64 = 1024 * 1024;

/// A Vimeo whose links lead to `@tus/server`, with the sandbox for everything else.
struct FarEnd {
    child: Child,
    base_url: String,
    /// The directory of its file store.
    directory: PathBuf,
    http: reqwest::Client,
}

impl FarEnd {
    fn start(packages: &Path, uploads: &UploadEnv) -> Self {
        let directory = uploads.env.path().join("far-end");
        std::fs::create_dir(&directory).unwrap();
        let mut child = program("node")
            .arg(tests_folder().join("clients/javascript/tus-server.js"))
            .env("NODE_PATH", packages)
            .env("SANDBOX", &uploads.env.sandbox.base_url)
            .env("DIRECTORY", &directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, base_url: line.trim().to_owned(), directory, http: uploads.env.http.clone() }
    }

    async fn ask(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}{path}", self.base_url)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    /// The responses to requests with this method, each with its offset.
    async fn answers(&self, method: &str) -> Vec<(Value, Value)> {
        let requests = self.ask("/_requests").await;
        let requests = requests.as_array().unwrap().iter();
        requests
            .filter(|request| request["method"] == method)
            .map(|request| (request["offset"].clone(), request["status"].clone()))
            .collect()
    }

    /// The only file in its store.
    fn file(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files = entries.filter(|path| path.extension().is_none());
        let file = files.next();
        assert_eq!(files.next(), None);
        file
    }

    /// Waits until it has this many bytes.
    async fn holds(&self, count: u64) {
        let started = Instant::now();
        while self.file().is_none_or(|file| file.metadata().unwrap().len() < count) {
            assert!(started.elapsed() < WAIT_LIMIT, "{count} bytes never came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(self.file().unwrap().metadata().unwrap().len(), count);
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An environment with this Vimeo. `None` if `@tus/server` is not installed.
async fn start(config: &str) -> Option<(UploadEnv, FarEnd)> {
    let packages = find_tool("javascript/node_modules")?;
    let mut uploads = UploadEnv::with(&format!("{CONFIG}{config}"), fast_sandbox()).await;
    let far_end = FarEnd::start(&packages, &uploads);
    let file = uploads.env.path().join("vimeo-connections.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, config.replace(&uploads.env.sandbox.base_url, &far_end.base_url)).unwrap();
    uploads.env.kill_and_restart();
    Some((uploads, far_end))
}

/// Asserts that the upload was completed, that both ends have the same bytes, and that no credential was sent to the
/// link.
async fn assert_arrived(uploads: &UploadEnv, far_end: &FarEnd, id: &str, size: u64) {
    let job = uploads.wait_for_end(id).await;
    uploads.assert_one_video(&job, size).await;
    let kept = std::fs::read(far_end.file().unwrap()).unwrap();
    // Not `assert_eq!`, which would print the bytes.
    assert!(kept == bytes(size), "{} bytes, and not the same", kept.len());
    let requests = far_end.ask("/_requests").await;
    for request in requests.as_array().unwrap() {
        assert_eq!(request["authorization"], Value::Null, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_tus_server_accepts_a_single_request() {
    let Some((uploads, far_end)) = start("").await else { return };
    let id = uploads.submit(5 * MIB).await;
    assert_arrived(&uploads, &far_end, &id, 5 * MIB).await;
    assert_eq!(far_end.answers("PATCH").await, [(json!("0"), json!(204))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_tus_server_accepts_several_requests() {
    let Some((uploads, far_end)) = start("uploads.chunk_mebibytes = 1\n").await else { return };
    let size = 5 * MIB - 1;
    let id = uploads.submit(size).await;
    assert_arrived(&uploads, &far_end, &id, size).await;
    let expected: Vec<_> = (0..5).map(|piece| (json!((piece * MIB).to_string()), json!(204))).collect();
    assert_eq!(far_end.answers("PATCH").await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_tus_server_resumes_after_a_source_disconnect() {
    let Some((uploads, far_end)) = start("").await else { return };
    let source = Source::start(Behaviour::CutAfter(MIB)).await;
    let size = 2 * MIB + 7;
    let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", size)}})).await;
    assert_arrived(&uploads, &far_end, &id, size).await;
    assert_eq!(source.requests(), 5, "a probe, three parts, and a probe after the last byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_tus_server_resumes_after_a_service_kill() {
    let Some((mut uploads, far_end)) = start("").await else { return };
    let source = Source::start(Behaviour::StopsAfter(MIB)).await;
    let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", 2 * MIB)}})).await;
    far_end.holds(MIB).await;
    uploads.env.kill_and_restart();
    assert_arrived(&uploads, &far_end, &id, 2 * MIB).await;
    let sent = far_end.answers("PATCH").await;
    assert_eq!(sent.last().unwrap(), &(json!(MIB.to_string()), json!(204)), "{sent:?}");
    let asked = far_end.answers("HEAD").await;
    assert!(!asked.is_empty(), "after the kill the offset is asked for");
}

/// Another client sends to the same link while the service does: `@tus/server` ends the first request with the bytes
/// so far, accepts the second, and refuses the next one of the service, whose offset is no longer right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_party_tus_server_may_have_another_writer() {
    let Some((uploads, far_end)) = start("").await else { return };
    let (stop, size) = (MIB, 2 * MIB);
    let source = Source::start(Behaviour::StopsAfter(stop)).await;
    let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", size)}})).await;
    far_end.holds(stop).await;
    let links = far_end.ask("/_links").await;
    let (from, until) = (usize::try_from(stop).unwrap(), usize::try_from(stop + 300_000).unwrap());
    let sent = far_end
        .http
        .patch(links[0].as_str().unwrap())
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", stop.to_string())
        .header("content-type", "application/offset+octet-stream")
        .body(bytes(size)[from..until].to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 204);
    assert_arrived(&uploads, &far_end, &id, size).await;
    let sent = far_end.answers("PATCH").await;
    assert!(sent.contains(&(json!(stop.to_string()), json!(409))), "{sent:?}");
    assert_eq!(sent.last().unwrap(), &(json!(until.to_string()), json!(204)), "{sent:?}");
}
