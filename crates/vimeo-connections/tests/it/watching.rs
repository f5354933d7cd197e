//! Uploads are asked for once and watched: streams of events, what ends them, and coming back to them.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::callers::revoke;
use crate::harness::{Wish, World};

/// Nobody fetches it: the job waits, and changes by our doing alone.
const UPLOAD: &str = r#"{"source":{"url":"https://media.invalid.example/film.mp4"}}"#;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A stream of events.
struct Stream {
    response: reqwest::Response,
    text: String,
}

/// An event, taken apart.
#[derive(Debug, Clone)]
struct Event {
    id: String,
    job: Value,
}

impl Stream {
    async fn open(world: &World, job: &str, headers: &[(&str, &str)]) -> Self {
        let mut request = world.http.get(world.url(&format!("{job}/events"))).timeout(PATIENCE);
        if headers.iter().all(|(name, _)| *name != "authorization") {
            request = request.header("authorization", &world.api_key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// The next event; `None` at the end, which must be a clean one.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(data) = line("data:") {
                    assert_eq!(line("event:"), Some("job"), "{block}");
                    let id = line("id:").unwrap().to_owned();
                    return Some(Event { id, job: serde_json::from_str(data).unwrap() });
                }
                assert!(block == "retry: 2000" || block == ": still here", "{block}");
            } else {
                let chunk = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        }
    }
}

async fn world() -> World {
    let config = "uploads.work = false\n".to_owned();
    World::with(Wish { config, verification_off: true, ..Wish::default() }).await
}

/// The path of a job that has begun.
async fn begin(world: &World) -> String {
    let connection = world.post(&world.good_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let begun = world.send(Method::POST, &path, &[], UPLOAD.into()).await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    begun.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_watched_until_it_is_over() {
    let world = world().await;
    let job = begin(&world).await;
    let mut stream = Stream::open(&world, &job, &[]).await;
    let headers = stream.response.headers().clone();
    for (name, value) in
        [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")]
    {
        assert_eq!(headers[name], value);
    }
    let first = stream.next().await.unwrap();
    assert_eq!(first.job, world.get(&job).await.json());
    let head = world.send(Method::HEAD, &format!("{job}/events"), &[], Vec::new()).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-type"), &*head.text),
        (200, "text/event-stream", "")
    );
    let cancelled = world.send(Method::DELETE, &job, &[], Vec::new()).await;
    assert_eq!(cancelled.status, 204);
    let mut last = first.clone();
    while let Some(event) = stream.next().await {
        assert_ne!(event.id, last.id);
        last = event;
    }
    assert_eq!(last.job["data"]["status"], "cancelled");
    assert_eq!(last.job, world.get(&job).await.json());
    // Whoever saw less is told the rest; whoever saw the end need not come back.
    let mut again = Stream::open(&world, &job, &[("last-event-id", &first.id)]).await;
    assert_eq!(again.next().await.unwrap().id, last.id);
    assert!(again.next().await.is_none());
    let path = format!("{job}/events");
    let seen = world.send(Method::GET, &path, &[("last-event-id", &last.id)], Vec::new()).await;
    assert_eq!((seen.status.as_u16(), &*seen.text), (204, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_key() {
    let world = world().await;
    let job = begin(&world).await;
    let second = world.make_key("acme", &[]);
    let mut theirs = Stream::open(&world, &job, &[("authorization", &second)]).await;
    assert!(theirs.next().await.is_some());
    revoke(&world, &second);
    while theirs.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_does_not_keep_the_service_from_stopping() {
    let mut world = world().await;
    let job = begin(&world).await;
    let mut stream = Stream::open(&world, &job, &[]).await;
    assert!(stream.next().await.is_some());
    assert_eq!(world.service.terminate(), Some(0));
    // A stream that had been cut off when patience was over would end in an error.
    while stream.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_begun_once_however_often_it_is_asked_for() {
    let world = world().await;
    let connection = world.post(&world.good_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let headers = [("idempotency-key", "k1")];
    let first = world.send(Method::POST, &path, &headers, UPLOAD.into()).await;
    let again = world.send(Method::POST, &path, &headers, UPLOAD.into()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!((&first.text, first.header("location")), (&again.text, again.header("location")));
    assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
    let jobs = world.get("/pictoryapis/v1/jobs").await.json();
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs}");
    // The body is judged before the key, and the key before the connection.
    let other = UPLOAD.replace("film", "other");
    let reused = world.send(Method::POST, &path, &headers, other.into()).await;
    assert_eq!((reused.status.as_u16(), reused.code()), (422, "IDEMPOTENCY_KEY_REUSED".to_owned()));
    let faulty = world.send(Method::POST, &path, &headers, "{}".into()).await;
    assert_eq!(
        (faulty.status.as_u16(), faulty.fields()),
        (400, vec![("source".to_owned(), "is required".to_owned())])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_from_the_newest_by_page_and_by_connection() {
    let world = world().await;
    let connection = world.post(&world.good_body("mine")).await;
    let path = format!("{}/uploads", connection.header("location"));
    let mut begun = Vec::new();
    for _ in 0..3 {
        let job = world.send(Method::POST, &path, &[], UPLOAD.into()).await;
        begun.push(job.json()["data"]["jobId"].as_str().unwrap().to_owned());
    }
    begun.sort();
    begun.reverse();
    let mut listed = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = world.get(&format!("/pictoryapis/v1/jobs{query}")).await.json();
        let items = page["items"].as_array().unwrap();
        listed.extend(items.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextPageKey"].as_str() else { break };
        query = format!("?limit=2&nextPageKey={next}");
    }
    assert_eq!(listed, begun);
    let id = connection.json()["connectionId"].as_str().unwrap().to_owned();
    for (of, count) in [(id.as_str(), 3), ("20260131090500042abcdefghijklmno", 0), ("x", 0)] {
        let page = world.get(&format!("/pictoryapis/v1/jobs?connectionId={of}")).await.json();
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{of}");
    }
    let bad = world.get("/pictoryapis/v1/jobs?nextPageKey=x&limit=0").await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "INVALID_QUERY".to_owned()));
    let bad = world.get("/pictoryapis/v1/jobs?nextPageKey=x").await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "INVALID_PAGE_KEY".to_owned()));
}
