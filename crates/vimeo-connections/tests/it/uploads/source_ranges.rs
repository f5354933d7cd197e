//! Sources with unusual responses to ranges: the bytes decide, not the probe.

use serde_json::{Value, json};

use crate::support::uploads::UploadEnv;
use crate::support::uploads::scripted::{Asked, File, Reply, Scripted};

const SIZE: u64 = 300_000;
const TAG: [&str; 1] = ["ETag: \"tag\""];

impl UploadEnv {
    /// Uploads from a scripted source; the final job.
    pub(crate) async fn upload_scripted(&self, source: &Scripted) -> Value {
        let id = self.submit_with(json!({"source": {"url": source.url()}})).await;
        let job = self.wait_for_end(&id).await;
        assert!(!job.to_string().contains("canary-source-query"), "{job}");
        job
    }

    /// Asserts that a job was completed with the whole of this file, and that there is no other video.
    pub(crate) async fn assert_film(&self, job: &Value, file: &File) {
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", self.env.log());
        let videos = self.videos().await;
        assert_eq!(videos.len(), 1, "{videos:#?}");
        let version = &videos[0]["versions"][0];
        assert_eq!((&version["received"], &version["sha256"]), (&json!(file.size), &json!(file.sha256())));
    }
}

fn film() -> File {
    File::new(0, SIZE, &TAG)
}

/// Uploads from a source with this script; the heads of the requests.
async fn is_uploaded(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Vec<String> {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(script).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &film()).await;
    source.asked()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_rejects_ranges_is_read_without_them() {
    for status in [400, 403, 405, 416, 500, 501] {
        is_uploaded(move |asked| match asked.range {
            Some(_) => Reply::status(status),
            None => film().whole(),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_disconnects_on_ranges_is_read_without_them() {
    is_uploaded(|asked| if asked.range.is_some() { Reply::nothing() } else { film().whole() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_requires_a_range_gets_one() {
    is_uploaded(|asked| if asked.range.is_some() { film().answer(asked) } else { Reply::status(403) }).await;
    // It accepts only a range of the whole file.
    let asked = is_uploaded(|asked| match asked.range {
        Some((0, None)) => film().whole_as_part(),
        _ => Reply::status(403),
    })
    .await;
    assert!(asked.iter().any(|head| head.contains("range: bytes=0-\r\n")), "{asked:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_always_returns_a_full_206_is_read() {
    is_uploaded(|_| film().whole_as_part()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_unit_in_capitals_is_accepted() {
    is_uploaded(|asked| match asked.range {
        Some((0, Some(to))) => {
            let head = format!(
                "HTTP/1.1 206 X\r\nConnection: close\r\nContent-Length: {}\r\nContent-Range: BYTES 0-{to}/{SIZE}\r\n\r\n",
                to + 1
            );
            film().part(0, to).with_head(&head)
        }
        _ => film().answer(asked),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_returns_short_ranges_is_read_in_parts() {
    // At most 100,000 bytes at once, and only by range.
    is_uploaded(|asked| match asked.range {
        Some((from, to)) => film().part(from, to.unwrap_or(u64::MAX).min(from + 99_999).min(SIZE - 1)),
        None => Reply::status(403),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statuses_of_a_refusing_server_are_reported() {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(|asked| match asked.range {
        Some((_, Some(_))) => Reply::status(403),
        None => Reply::status(404),
        Some(_) => Reply::status(400),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    assert_eq!(job["data"]["error_code"], "SOURCE_REFUSED", "{job}");
    assert!(job["data"]["error_message"].as_str().unwrap().contains("403, 404 and 400"), "{job}");
    assert_eq!(source.asked().len(), 3, "a definite response is not requested again");
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_body_of_an_error_response_is_not_waited_for() {
    let uploads = UploadEnv::start().await;
    let head = "HTTP/1.1 404 X\r\nContent-Length: 1000\r\n\r\n";
    // The body hardly arrives: a pause of an hour before every thousand bytes.
    let source = Scripted::start(move |_| {
        film().part(0, 1).with_head(head).with_pauses(std::time::Duration::from_hours(1))
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    assert_eq!(job["data"]["error_code"], "SOURCE_REFUSED", "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_url_expiring_after_the_last_byte_is_harmless() {
    let asked = is_uploaded(|asked| match asked.number {
        0 | 1 => film().answer(asked),
        _ => Reply::status(403),
    })
    .await;
    assert_eq!(asked.len(), 5, "the last request is sent in each form, once: {asked:#?}");
}
