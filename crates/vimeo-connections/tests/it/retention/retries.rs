//! `POST /v1/jobs/{jobId}/retry` queues a failed upload again, while its request is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::Response;
use crate::support::uploads::UploadEnv;
use crate::support::uploads::scripted::{File, Reply, Scripted};

const SIZE: u64 = 1_000;

/// A source that returns 404 until its file appears.
struct LateSource {
    server: Scripted,
    is_there: Arc<AtomicBool>,
}

impl LateSource {
    async fn start() -> Self {
        let is_there = Arc::new(AtomicBool::new(false));
        let (seen, file) = (is_there.clone(), File::new(1, SIZE, &[]));
        let answer = move |asked: &_| {
            if seen.load(Ordering::SeqCst) { file.answer(asked) } else { Reply::status(404) }
        };
        Self { server: Scripted::start(answer).await, is_there }
    }

    fn appear(&self) {
        self.is_there.store(true, Ordering::SeqCst);
    }
}

impl UploadEnv {
    async fn retry(&self, id: &str) -> Response {
        let path = format!("/pictoryapis/v1/jobs/{id}/retry");
        self.env.send(Method::POST, &path, &[], Vec::new()).await
    }

    /// An upload that has failed because its source was missing.
    async fn failed(&self, source: &LateSource) -> String {
        let body = json!({"source": {"url": source.server.url()}, "name": "As requested", "password": "open sesame",
            "privacy": {"view": "password"}});
        let id = self.submit_with(body).await;
        let job = self.wait_for_end(&id).await;
        assert_eq!(job["data"]["error_code"], "SOURCE_REFUSED", "{job}");
        id
    }

    fn count(&self, sql: &str) -> i64 {
        self.env.database().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Action, subject and refusal of the account's last audit event.
    fn last_event(&self) -> (String, String, Option<String>) {
        let sql = "SELECT action, subject, refusal FROM audit_events WHERE action = 'retry_upload'
            ORDER BY audit_event_id DESC LIMIT 1";
        let columns =
            |row: &rusqlite::Row<'_>| Ok((row.get("action")?, row.get("subject")?, row.get("refusal")?));
        self.env.database().query_row(sql, [], columns).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_upload_is_retried_once_as_a_new_job() {
    let mut uploads = UploadEnv::start().await;
    let source = LateSource::start().await;
    let first = uploads.failed(&source).await;
    assert_eq!(uploads.count("SELECT count(*) FROM job_secrets WHERE part = 'request'"), 1);
    assert_eq!(uploads.count("SELECT count(*) FROM job_secrets"), 1, "nothing else is kept");
    uploads.env.kill_and_restart();

    // The first retry fails, too, and can be retried in turn.
    let accepted = uploads.retry(&first).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let second = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
    assert_eq!(accepted.text, format!(r#"{{"success":true,"data":{{"jobId":"{second}"}}}}"#));
    assert_eq!(accepted.header("location"), format!("/pictoryapis/v1/jobs/{second}"));
    assert_eq!(uploads.last_event(), ("retry_upload".to_owned(), second.clone(), None));
    let job = uploads.wait_for_end(&second).await;
    assert_eq!((&job["data"]["status"], &job["data"]["retryOf"]), (&json!("failed"), &json!(first)));

    source.appear();
    let again = uploads.retry(&first).await;
    assert_eq!((again.status.as_u16(), &*again.code()), (409, "JOB_ALREADY_RETRIED"));
    assert_eq!(again.json()["jobId"], second);
    let refused = Some("JOB_ALREADY_RETRIED".to_owned());
    assert_eq!(uploads.last_event(), ("retry_upload".to_owned(), first.clone(), refused));
    let third = uploads.retry(&second).await.json()["data"]["jobId"].as_str().unwrap().to_owned();
    let job = uploads.wait_for_end(&third).await;
    assert_eq!(job["data"]["retryOf"], second);
    let video = uploads.assert_one_video_of(&job).await;
    assert_eq!(video["name"], "As requested");
    assert_eq!(uploads.see(video["uri"].as_str().unwrap()).await["privacy"]["view"], "password");
    let of_third = format!("SELECT count(*) FROM job_secrets WHERE job_id = '{third}'");
    assert_eq!(uploads.count(&of_third), 0, "a completed upload keeps nothing");

    assert_eq!(uploads.retry(&third).await.code(), "JOB_NOT_FAILED");
    let first = uploads.job(&first).await;
    assert_eq!((&first["data"]["status"], &first["data"]["retryOf"]), (&json!("failed"), &Value::Null));
}

impl UploadEnv {
    /// The only video at Vimeo, which is the job's.
    async fn assert_one_video_of(&self, job: &Value) -> Value {
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", self.env.log());
        let videos = self.videos().await;
        assert_eq!(videos.len(), 1, "{videos:#?}");
        assert_eq!(job["data"]["vimeoUri"], videos[0]["uri"]);
        videos[0].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_retries_at_once_queue_one_job() {
    let uploads = UploadEnv::start().await;
    let source = LateSource::start().await;
    let id = uploads.failed(&source).await;
    let answers = futures_util::future::join_all((0..8).map(|_| uploads.retry(&id))).await;
    let accepted: Vec<_> = answers.iter().filter(|answer| answer.status == 202).collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    let retry = &accepted[0].json()["data"]["jobId"];
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!((&*refused.code(), &refused.json()["jobId"]), ("JOB_ALREADY_RETRIED", retry));
    }
    assert_eq!(uploads.count("SELECT count(*) FROM jobs"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_be_retried_says_why() {
    let uploads = UploadEnv::start().await;
    let source = LateSource::start().await;
    for unknown in ["0192f0c1-0000-7000-8000-000000000000", "x", "%00"] {
        let answer = uploads.retry(unknown).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "JOB_NOT_FOUND"), "{unknown}");
    }
    // Vimeo refuses an upload whose bytes the client sends.
    let refusal = json!({"route": "POST /me/videos", "kind": "status", "status": 403, "times": 1});
    uploads.env.inject_fault(refusal).await;
    assert_eq!(uploads.post(&json!({"source": {"size": SIZE}})).await.code(), "UPLOAD_REFUSED");
    let listed = uploads.env.get("/pictoryapis/v1/jobs").await.json();
    let client = listed["items"][0]["job_id"].as_str().unwrap().to_owned();
    let refused = uploads.retry(&client).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (409, "JOB_NOT_RETRYABLE"));
    assert!(refused.text.contains("The client sends the bytes"), "{}", refused.text);
    assert_eq!(uploads.count("SELECT count(*) FROM job_secrets"), 0);

    let id = uploads.failed(&source).await;
    let path = format!("/pictoryapis/v1/jobs/{id}/retry?now=1");
    assert_eq!(uploads.env.send(Method::POST, &path, &[], Vec::new()).await.code(), "INVALID_QUERY");
    let path = format!("/pictoryapis/v1/jobs/{id}/retry");
    let misspelt = uploads.env.send(Method::POST, &path, &[], br#"{"name":"New"}"#.to_vec()).await;
    assert_eq!((misspelt.status.as_u16(), &*misspelt.code()), (400, "INVALID_REQUEST_BODY"));
    let disable = json!({"version": 1, "enabled": false}).to_string();
    let headers = [("content-type", "application/json")];
    let disabled = uploads.env.send(Method::PUT, &uploads.connection, &headers, disable.into()).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    assert_eq!(uploads.retry(&id).await.code(), "CONNECTION_DISABLED");
    assert_eq!(uploads.count("SELECT count(*) FROM job_secrets"), 1);
    assert_eq!(uploads.env.send(Method::DELETE, &uploads.connection, &[], Vec::new()).await.status, 204);
    assert_eq!(uploads.count("SELECT count(*) FROM job_secrets"), 0, "it is wiped with the connection");
    let gone = uploads.retry(&id).await;
    assert_eq!((gone.status.as_u16(), &*gone.code()), (404, "CONNECTION_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_that_was_forged_is_not_retried() {
    let uploads = UploadEnv::start().await;
    let source = LateSource::start().await;
    let id = uploads.failed(&source).await;
    let other = uploads.env.post(&uploads.env.valid_body("Another")).await.json();
    let forged = format!("UPDATE jobs SET connection_id = '{}'", other["connectionId"].as_str().unwrap());
    assert_eq!(uploads.env.database().execute(&forged, []).unwrap(), 1);
    assert_eq!(uploads.retry(&id).await.code(), "INTERNAL_ERROR");
    assert_eq!(uploads.count("SELECT count(*) FROM jobs"), 1);
    assert!(uploads.env.log().contains("the row of a job does not verify"));
}
