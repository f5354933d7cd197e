//! Clients that request uploads with idempotency keys while nodes or the database fail, and repeat each request until it is
//! accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::uploads::{UploadEnv, WAIT_LIMIT, assert_whole, is_finished};

const SIZE: u64 = 64 * 1024;
/// The pause between two requests of a client.
const PAUSE: Duration = Duration::from_millis(100);
/// The timeout of a request.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Running clients.
pub(crate) struct UploadLoad {
    shared: Arc<Shared>,
    clients: JoinSet<BTreeMap<String, u64>>,
}

struct Shared {
    nodes: Mutex<Vec<SocketAddr>>,
    http: reqwest::Client,
    api_key: String,
    path: String,
    /// The URL of a file without its size.
    source: String,
    is_finished: AtomicBool,
    accepted: AtomicUsize,
    /// The requests that were refused or not answered, by error code.
    codes: Mutex<BTreeMap<String, usize>>,
}

impl UploadLoad {
    pub(crate) fn start(uploads: &UploadEnv, nodes: &[SocketAddr], prefix: &str, clients: u64) -> Self {
        let shared = Arc::new(Shared {
            nodes: Mutex::new(nodes.to_vec()),
            http: uploads.env.http.clone(),
            api_key: uploads.env.api_key.clone(),
            path: format!("{}/uploads", uploads.connection),
            source: uploads.source.url("film.mp4", 0).split_once("size=").unwrap().0.to_owned(),
            is_finished: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            codes: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let (shared, prefix) = (shared.clone(), format!("{prefix}-{client}"));
            tasks.spawn(async move { shared.work(&prefix, client).await });
        }
        Self { shared, clients: tasks }
    }

    /// The number of accepted uploads so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// The node is at this address from now on.
    pub(crate) fn move_node(&self, node: usize, address: SocketAddr) {
        self.shared.nodes.lock().unwrap()[node] = address;
    }

    /// Ends the clients, once their last requests are accepted; the accepted uploads.
    pub(crate) async fn finish(self) -> AcceptedUploads {
        self.shared.is_finished.store(true, Ordering::SeqCst);
        let found = self.clients.join_all().await;
        let requests = found.iter().map(BTreeMap::len).sum();
        let sizes = found.into_iter().flatten().collect();
        AcceptedUploads { requests, sizes, codes: self.shared.codes.lock().unwrap().clone() }
    }
}

/// The uploads that were accepted, each of whose requests has its own idempotency key.
pub(crate) struct AcceptedUploads {
    requests: usize,
    /// The sizes of the files, by job.
    sizes: BTreeMap<String, u64>,
    codes: BTreeMap<String, usize>,
}

impl AcceptedUploads {
    /// Asserts that each upload is completed, and that its video is at Vimeo once. `before` is the number of videos of other
    /// uploads.
    pub(crate) async fn assert_completed_once(&self, uploads: &UploadEnv, before: usize) {
        assert_eq!(self.sizes.len(), self.requests, "each request has a job of its own");
        let mut jobs = Vec::new();
        for id in self.sizes.keys() {
            jobs.push(uploads.until(id, is_finished).await);
        }
        let videos = uploads.videos().await;
        assert_eq!(videos.len(), before + jobs.len(), "one video for each upload");
        let mut uris = BTreeSet::new();
        for job in &jobs {
            assert_eq!(job["data"]["status"], "completed", "{job}");
            let video = videos.iter().find(|video| video["uri"] == job["data"]["vimeoUri"]);
            assert_whole(
                job,
                video.unwrap_or_else(|| panic!("{job}")),
                self.sizes[job["job_id"].as_str().unwrap()],
            );
            assert!(uris.insert(job["data"]["vimeoUri"].to_string()), "two jobs have this video: {job}");
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// A summary for the output of the test.
    pub(crate) fn summary(&self) -> String {
        format!("{} uploads, {:?}", self.len(), self.codes)
    }
}

impl Shared {
    /// The jobs of one client, with the sizes of their files.
    async fn work(&self, prefix: &str, client: u64) -> BTreeMap<String, u64> {
        let mut jobs = BTreeMap::new();
        for n in 0.. {
            if self.is_finished.load(Ordering::SeqCst) {
                break;
            }
            let size = SIZE + client * 10_000 + n;
            let job = self.request(&format!("{prefix}-{n}"), size).await;
            jobs.insert(job, size);
            self.accepted.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
        jobs
    }

    /// Repeats a request until it is accepted; the job.
    async fn request(&self, key: &str, size: u64) -> String {
        let body = json!({"source": {"url": format!("{}size={size}", self.source)}}).to_string();
        let started = Instant::now();
        for attempt in 0.. {
            assert!(
                started.elapsed() < WAIT_LIMIT,
                "{key} is not accepted: {:?}",
                self.codes.lock().unwrap()
            );
            let node = {
                let nodes = self.nodes.lock().unwrap();
                nodes[(attempt + key.len()) % nodes.len()]
            };
            match self.send(node, key, body.clone()).await {
                Ok((202, answer)) => return answer["data"]["jobId"].as_str().unwrap().to_owned(),
                Ok((status, answer)) => {
                    let code = answer["code"].as_str().unwrap_or_default();
                    let expected = ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN", "IDEMPOTENCY_KEY_IN_USE"];
                    assert!(expected.contains(&code), "{key}: {status} {answer}");
                    *self.codes.lock().unwrap().entry(code.to_owned()).or_default() += 1;
                }
                Err(_) => *self.codes.lock().unwrap().entry("no answer".to_owned()).or_default() += 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        unreachable!("the loop has no end")
    }

    async fn send(&self, node: SocketAddr, key: &str, body: String) -> reqwest::Result<(u16, Value)> {
        let request = self.http.post(format!("http://{node}{}", self.path)).timeout(ANSWER_LIMIT);
        let request = request.header("authorization", &self.api_key).header("idempotency-key", key);
        let response = request.header("content-type", "application/json").body(body).send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text().await?).unwrap_or(Value::Null)))
    }
}
