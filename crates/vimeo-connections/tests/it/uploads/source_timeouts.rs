//! Sources that are down or too slow: the time limits are the same at the start and in the middle.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::harness::ClosedPort;
use crate::support::uploads::scripted::{File, Reply, Scripted};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const SIZE: u64 = 300_000;

fn film() -> File {
    File::new(0, SIZE, &["ETag: \"tag\""])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_down_at_the_start_is_waited_for() {
    let uploads = UploadEnv::start().await;
    // Six attempts with three requests each, more than earlier versions made.
    let source = Scripted::start(|asked| match asked.number {
        0..6 => Reply::nothing(),
        6..18 => Reply::status(503),
        _ => film().answer(asked),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &film()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_stays_down_fails_with_its_code() {
    let uploads = UploadEnv::with(&format!("{CONFIG}sources.attempts = 2\n"), fast_sandbox()).await;
    let closed = ClosedPort::bind();
    let url = format!("http://{}/film.mp4", closed.address());
    let id = uploads.submit_with(json!({"source": {"url": url}})).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "SOURCE_UNREACHABLE", "{job}");
    assert!(!job["data"]["error_message"].as_str().unwrap().contains("refused"), "{job}");
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickling_source_fails_even_if_every_attempt_progresses() {
    let slow =
        "sources.attempts = 2\nsources.min_bytes_per_second = 100000\nsources.min_rate_window_seconds = 1\n";
    let uploads = UploadEnv::with(&format!("{CONFIG}{slow}"), fast_sandbox()).await;
    for cut in [u64::MAX, 3_000] {
        // A thousand bytes every tenth of a second; the same with a disconnect after every three of them.
        let source = Scripted::start(move |asked| {
            film().answer(asked).with_pauses(Duration::from_millis(100)).cut_after(cut)
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        assert_eq!(job["data"]["error_code"], "SOURCE_TOO_SLOW", "{job}");
        assert_eq!(uploads.videos().await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intermittently_slow_source_is_uploaded() {
    let slow = "sources.min_bytes_per_second = 5000\nsources.min_rate_window_seconds = 1\n";
    let uploads = UploadEnv::with(&format!("{CONFIG}{slow}"), fast_sandbox()).await;
    let film = || File { size: 20_000, ..film() };
    let source =
        Scripted::start(move |asked| film().answer(asked).with_pauses(Duration::from_millis(100))).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &film()).await;
}
