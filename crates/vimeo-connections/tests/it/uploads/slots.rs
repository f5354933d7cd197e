//! Slow sources and silent webhook receivers of one account leave slots for other uploads and webhooks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::support::uploads::{CONFIG, UploadEnv};

/// A source that sends some bytes each second, for longer than any test takes.
async fn trickle() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/film.mp4", listener.local_addr().unwrap());
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks.spawn(trickle_to(stream));
        }
    });
    url
}

async fn trickle_to(mut stream: TcpStream) {
    let mut request = [0; 4096];
    if stream.read(&mut request).await.unwrap_or(0) == 0 {
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 100000000\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while stream.write_all(&[0; 8 * 1024]).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A receiver that never responds: its current and maximum number of connections.
#[derive(Default)]
struct Silent {
    open: AtomicUsize,
    most: AtomicUsize,
}

async fn silence() -> (String, Arc<Silent>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let silent = Arc::<Silent>::default();
    let counted = silent.clone();
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            let open = counted.open.fetch_add(1, Ordering::SeqCst) + 1;
            counted.most.fetch_max(open, Ordering::SeqCst);
            tasks.spawn(async move {
                let mut unread = [0; 4096];
                while stream.read(&mut unread).await.is_ok_and(|length| length > 0) {}
                counted.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (url, silent)
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    for _ in 0..3_000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never happened: {what}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_to_a_silent_receiver_block_nothing_else() {
    let uploads = UploadEnv::start().await;
    let made = uploads.env.send(Method::POST, "/pictoryapis/v1/webhook-secret", &[], Vec::new()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let (url, silent) = silence().await;
    for _ in 0..60 {
        let source = json!({"url": uploads.source.url("film.mp4", 1000)});
        let id = uploads.submit_with(json!({"source": source, "webhook": url})).await;
        let path = format!("/pictoryapis/v1/jobs/{id}");
        assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    }
    until("a webhook", async || (silent.open.load(Ordering::SeqCst) > 0).then_some(())).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("http://{}/hook", listener.local_addr().unwrap());
    let source = json!({"url": uploads.source.url("film.mp4", 1000)});
    let id = uploads.submit_with(json!({"source": source, "webhook": other})).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    let accepted = tokio::time::timeout(Duration::from_mins(5), listener.accept()).await;
    assert!(accepted.is_ok(), "the other receiver gets its webhook meanwhile");
    let most = silent.most.load(Ordering::SeqCst);
    assert!((1..=4).contains(&most), "{most} webhooks at once to one receiver");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_uploads_of_one_account_leave_slots_for_others() {
    let config = format!("{CONFIG}uploads.concurrency = 4\n");
    let uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    let url = trickle().await;
    for _ in 0..8 {
        uploads.submit_with(json!({"source": {"url": url}})).await;
    }
    let sending = async || {
        let jobs = uploads.env.get("/pictoryapis/v1/jobs").await.json();
        let jobs = jobs["items"].as_array().unwrap().clone();
        jobs.iter().filter(|job| job["data"]["phase"] == "uploading").count()
    };
    until("three slow uploads", async || (sending().await >= 3).then_some(())).await;
    let key = uploads.env.make_key("another", &[]);

    let headers = [("authorization", &*key), ("content-type", "application/json")];
    let body = uploads.env.valid_body("Vimeo").to_string().into_bytes();
    let created = uploads.env.send(Method::POST, "/pictoryapis/v1/vimeo-connections", &headers, body).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let path = format!("{}/uploads", created.header("location"));
    let body = json!({"source": {"url": uploads.source.url("film.mp4", 1000)}});
    let accepted = uploads.env.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let path = format!("/pictoryapis/v1/jobs/{}", accepted.json()["data"]["jobId"].as_str().unwrap());
    let job = until("the other account's upload", async || {
        let job = uploads.env.send(Method::GET, &path, &headers, Vec::new()).await.json();
        (job["data"]["status"] != "in-progress").then_some(job)
    })
    .await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    assert_eq!(sending().await, 3, "the slow uploads are still in progress");
}
