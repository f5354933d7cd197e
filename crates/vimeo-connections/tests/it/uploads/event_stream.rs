//! Uploads are requested once, and watched as event streams: their events, their end, and reconnects.

use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::support::connections::revoke_key;
use crate::support::harness::{EnvOptions, TestEnv, printed};
use crate::support::tools::{find_tool, finish, program, tests_folder};

/// No worker fetches it: the job waits, and only the test changes it.
const UPLOAD: &str = r#"{"source":{"url":"https://media.invalid.example/film.mp4"}}"#;
/// Longer than any test here takes.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// An event stream.
struct Stream {
    response: reqwest::Response,
    text: String,
    /// The number of blocks read.
    blocks: usize,
}

/// A parsed event.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    job: Value,
}

impl Stream {
    async fn open(env: &TestEnv, job: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = env.http.get(env.url(&format!("{job}/events"))).timeout(WAIT_LIMIT);
        if headers.iter().all(|(name, _)| *name != "authorization") {
            request = request.header("authorization", &env.api_key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new(), blocks: 0 }
    }

    /// The next event; `None` after a clean end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                self.blocks += 1;
                // Some clients take every block for a message, so each must be an event, with comments at most before
                // it.
                let lines: Vec<_> = block.lines().filter(|line| *line != ": heartbeat").collect();
                let (is_first, lines) = match lines.as_slice() {
                    ["retry: 2000", lines @ ..] => (true, lines),
                    lines => (false, lines),
                };
                assert_eq!(is_first, self.blocks == 1, "the first event has the retry time: {block}");
                let ["event: job", id, data] = lines else { panic!("{block}") };
                let (id, data) = (id.strip_prefix("id: ").unwrap(), data.strip_prefix("data: ").unwrap());
                return Some(Event { id: id.to_owned(), job: serde_json::from_str(data).unwrap() });
            }
            let Some(chunk) = self.response.chunk().await.unwrap() else {
                assert!(self.text.lines().all(|line| line == ": heartbeat"), "{}", self.text);
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn env() -> TestEnv {
    let config = "uploads.work = false\n".to_owned();
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

/// The path of a new job.
async fn begin(env: &TestEnv) -> String {
    let connection = env.post(&env.valid_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let submitted = env.send(Method::POST, &path, &[], UPLOAD.into()).await;
    assert_eq!(submitted.status, 202, "{}", submitted.text);
    submitted.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_streamed_until_it_ends() {
    let env = env().await;
    let job = begin(&env).await;
    let mut stream = Stream::open(&env, &job, &[]).await;
    let headers = stream.response.headers().clone();
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(headers[name], value);
    }
    let first = stream.next().await.unwrap();
    assert_eq!(first.job, env.get(&job).await.json());
    let head = env.send(Method::HEAD, &format!("{job}/events"), &[], Vec::new()).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-type"), &*head.text),
        (200, "text/event-stream", "")
    );
    let cancelled = env.send(Method::DELETE, &job, &[], Vec::new()).await;
    assert_eq!(cancelled.status, 204);
    let mut last = first.clone();
    while let Some(event) = stream.next().await {
        assert_ne!(event.id, last.id);
        last = event;
    }
    assert_eq!(last.job["data"]["status"], "cancelled");
    assert_eq!(last.job, env.get(&job).await.json());
    // A client that missed events gets the rest. One that has the last event need not reconnect.
    let mut again = Stream::open(&env, &job, &[("last-event-id", &first.id)]).await;
    assert_eq!(again.next().await.unwrap().id, last.id);
    assert!(again.next().await.is_none());
    let path = format!("{job}/events");
    let seen = env.send(Method::GET, &path, &[("last-event-id", &last.id)], Vec::new()).await;
    assert_eq!((seen.status.as_u16(), &*seen.text), (204, ""));
    // Clients that cannot set a header use the query.
    let seen = env.get(&format!("{path}?lastEventId={}", last.id)).await;
    assert_eq!((seen.status.as_u16(), &*seen.text), (204, ""));
    let headers = [("last-event-id", first.id.as_str())];
    let path = format!("{path}?lastEventId={}", last.id);
    let other = env.send(Method::GET, &path, &headers, Vec::new()).await;
    assert_eq!(other.status, 200, "the header counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_has_comment_lines_and_no_empty_blocks() {
    let env = env().await;
    let job = begin(&env).await;
    let mut stream = Stream::open(&env, &job, &[]).await;
    let first = stream.next().await.unwrap();
    let mut silent = Stream::open(&env, &job, &[("last-event-id", &first.id)]).await;
    for stream in [&mut stream, &mut silent] {
        while stream.text.lines().count() < 2 {
            let chunk = stream.response.chunk().await.unwrap().unwrap();
            stream.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        assert_eq!(stream.text, ": heartbeat\n: heartbeat\n");
    }
}

/// Runs a public client, which checks every message that its library delivers. It cancels the job after a pause longer
/// than the read timeout of httpx.
async fn watch_with(mut client: Command) {
    let env = env().await;
    let job = begin(&env).await;
    client.env("URL", env.url(&job)).env("API_KEY", &env.api_key).env("SILENCE_SECONDS", "7");
    let output = finish(client);
    assert!(output.status.success(), "{}", printed(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{}", printed(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn httpx_sse_sees_every_event_and_nothing_else() {
    let Some(python) = find_tool("python/bin/python") else { return };
    let mut client = program(python);
    client.env("PYTHONDONTWRITEBYTECODE", "1").arg(tests_folder().join("clients/python/watch.py"));
    watch_with(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_event_source_sees_every_event_and_nothing_else() {
    let Some(packages) = find_tool("javascript/node_modules") else { return };
    let mut client = program("node");
    client.env("NODE_PATH", packages).arg(tests_folder().join("clients/javascript/watch.js"));
    watch_with(client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_when_its_key_is_revoked() {
    let env = env().await;
    let job = begin(&env).await;
    let second = env.make_key("acme", &[]);
    let mut theirs = Stream::open(&env, &job, &[("authorization", &second)]).await;
    assert!(theirs.next().await.is_some());
    revoke_key(&env, &second);
    while theirs.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_does_not_delay_shutdown() {
    let mut env = env().await;
    let job = begin(&env).await;
    let mut stream = Stream::open(&env, &job, &[]).await;
    assert!(stream.next().await.is_some());
    assert_eq!(env.service.terminate(), Some(0));
    // A stream that was cut at the shutdown deadline would end with an error.
    while stream.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_upload_request_starts_one_upload() {
    let env = env().await;
    let connection = env.post(&env.valid_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let headers = [("idempotency-key", "k1")];
    let first = env.send(Method::POST, &path, &headers, UPLOAD.into()).await;
    let again = env.send(Method::POST, &path, &headers, UPLOAD.into()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!((&first.text, first.header("location")), (&again.text, again.header("location")));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
    let jobs = env.get("/pictoryapis/v1/jobs").await.json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs}");
    // The body is validated before the key, and the key before the connection.
    let other = UPLOAD.replace("film", "other");
    let reused = env.send(Method::POST, &path, &headers, other.into()).await;
    assert_eq!((reused.status.as_u16(), reused.code()), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()));
    let faulty = env.send(Method::POST, &path, &headers, "{}".into()).await;
    assert_eq!(
        (faulty.status.as_u16(), faulty.fields()),
        (400, vec![("source".to_owned(), "is required".to_owned())])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_newest_first_by_page_and_connection() {
    let env = env().await;
    let connection = env.post(&env.valid_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let mut submitted = Vec::new();
    for _ in 0..3 {
        let job = env.send(Method::POST, &path, &[], UPLOAD.into()).await;
        submitted.push(job.json()["data"]["jobId"].as_str().unwrap().to_owned());
    }
    submitted.sort();
    submitted.reverse();
    let mut listed = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = env.get(&format!("/pictoryapis/v1/jobs{query}")).await.json();
        let items = page["items"].as_array().unwrap();
        listed.extend(items.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextPageKey"].as_str() else { break };
        query = format!("?limit=2&nextPageKey={next}");
    }
    assert_eq!(listed, submitted);
    let id = connection.json()["connectionId"].as_str().unwrap().to_owned();
    for (of, count) in [(id.as_str(), 3), ("20260131090500042abcdefghijklmno", 0), ("x", 0)] {
        let page = env.get(&format!("/pictoryapis/v1/jobs?connectionId={of}")).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{of}");
    }
    let bad = env.get("/pictoryapis/v1/jobs?nextPageKey=x&limit=0").await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "INVALID_QUERY".to_owned()));
    let bad = env.get("/pictoryapis/v1/jobs?nextPageKey=x").await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "INVALID_PAGE_KEY".to_owned()));
}
