//! Uploads without faults at Vimeo: settings, privacy, cancelling, disabled connections, and unreadable sources.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv};

const MIB: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_is_uploaded_completely_and_published_last() {
    let uploads = UploadEnv::start().await;
    let id = uploads
        .submit_with(json!({
            "source": {"url": uploads.source.url("film.mp4", 5 * MIB)},
            "name": "A film",
            "description": "Two\nlines",
            "privacy": {"view": "unlisted", "embed": "whitelist", "comments": "nobody", "download": false},
            "embed_domains": ["example.com", "www.example.com"],
            "content_rating": ["safe"],
            "folder_name": "Films",
            "license": "by",
            "locale": "en",
            "thumbnail_time": 1.5,
        }))
        .await;
    let job = uploads.wait_for_end(&id).await;
    let video = uploads.assert_one_video(&job, 5 * MIB).await;
    assert_eq!(video["name"], "A film");
    let data = &job["data"];
    assert_eq!(data["warnings"], json!([]), "{job}");
    assert_eq!((&data["progress"], &data["bytesSent"]), (&json!(100), &json!(5 * MIB)));
    assert!(data["vimeoUrl"].as_str().unwrap().starts_with("https://vimeo.com/"), "{job}");
    let number = video["uri"].as_str().unwrap();
    let seen = uploads.see(number).await;
    for (pointer, value) in [
        ("/description", json!("Two\nlines")),
        ("/privacy/view", json!("unlisted")),
        ("/privacy/embed", json!("whitelist")),
        ("/privacy/comments", json!("nobody")),
        ("/content_rating", json!(["safe"])),
        ("/license", json!("by")),
        ("/language", json!("en")),
        ("/parent_folder/name", json!("Films")),
    ] {
        assert_eq!(seen.pointer(pointer), Some(&value), "{pointer}: {seen:#}");
    }
    // Private from the start, and published by the last change.
    let created = uploads.journal("POST /me/videos").await;
    assert_eq!(created.len(), 1, "{created:#?}");
    assert_eq!(created[0]["body"]["privacy"]["view"], "nobody", "{created:#?}");
    let changes = uploads.journal("PATCH /videos/{video}").await;
    let opened: Vec<_> =
        changes.iter().filter(|change| !change["body"]["privacy"]["view"].is_null()).collect();
    assert_eq!(opened.len(), 1, "{changes:#?}");
    assert_eq!(opened[0], changes.last().unwrap());
}

impl UploadEnv {
    /// A video as its owner sees it at Vimeo.
    pub(crate) async fn see(&self, uri: &str) -> Value {
        let url = format!("{}{uri}", self.env.sandbox.base_url);
        let request = self.env.http.get(url).bearer_auth(&self.env.sandbox.access_token);
        let answer =
            request.header("accept", "application/vnd.vimeo.*+json;version=3.4").send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_the_documented_form_is_carried_out() {
    let uploads = UploadEnv::start().await;
    let id = uploads
        .submit_with(json!({
            "source": {"url": uploads.source.url("nameless.mp4", 3)},
            "destination": {"type": "vimeo", "content_rating": ["safe"], "privacy": {"view": "nobody"}},
        }))
        .await;
    let video = uploads.assert_one_video(&uploads.wait_for_end(&id).await, 3).await;
    assert_eq!(video["name"], "nameless", "named after the file of the source");
    assert_eq!(uploads.see(video["uri"].as_str().unwrap()).await["privacy"]["view"], "nobody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_privacy_setting_keeps_the_video_private() {
    let uploads = UploadEnv::start().await;
    // Vimeo does not say beforehand which views the plan includes.
    let change = json!({"refused_views": ["unlisted"], "shows_allowed_privacies": false});
    uploads.env.control(Method::PATCH, &uploads.user().await, change).await;
    let source = json!({"url": uploads.source.url("film.mp4", 1000)});
    let id = uploads.submit_with(json!({"source": source, "privacy": {"view": "unlisted"}})).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "failed", "{job}");
    assert_eq!(job["success"], false);
    assert_eq!(job["data"]["error_code"], "VIMEO_SETTING_REFUSED", "{job}");
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), 1);
    let uri = videos[0]["uri"].as_str().unwrap();
    assert!(job["data"]["error_message"].as_str().unwrap().contains(uri), "{job}");
    assert_eq!(uploads.see(uri).await["privacy"]["view"], "nobody", "it is still private");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_without_private_videos_gets_the_narrowest_view() {
    let uploads = UploadEnv::start().await;
    uploads.env.control(Method::PATCH, &uploads.user().await, json!({"refused_views": ["nobody"]})).await;
    let id = uploads.submit(1000).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 1000).await;
    let created = uploads.journal("POST /me/videos").await;
    let views: Vec<_> = created.iter().map(|entry| entry["body"]["privacy"]["view"].clone()).collect();
    assert_eq!(views, [json!("nobody"), json!("password")], "{created:#?}");
}

impl UploadEnv {
    /// The path of the control of the connection's user.
    pub(crate) async fn user(&self) -> String {
        let users = self.env.control(Method::GET, "users", Value::Null).await;
        let uri = users["users"][0]["uri"].as_str().unwrap().to_owned();
        format!("users/{}", uri.rsplit('/').next().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_upload_leaves_nothing_behind() {
    let uploads = UploadEnv::start().await;
    uploads
        .env
        .inject_fault(
            json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 1000, "times": 0}),
        )
        .await;
    let id = uploads.submit(5 * MIB).await;
    uploads.wait_for_phase(&id, "uploading").await;
    let path = format!("/pictoryapis/v1/jobs/{id}");
    for _ in 0..2 {
        assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    }
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "cancelled", "{job}");
    uploads.until(&id, |job| job["data"]["phase"] == "cancelled").await;
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabling_a_connection_pauses_uploads_and_deleting_cancels() {
    let uploads = UploadEnv::start().await;
    uploads
        .env
        .inject_fault(
            json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 200_000, "times": 1}),
        )
        .await;
    let id = uploads.submit(3 * MIB).await;
    uploads.wait_for_phase(&id, "uploading").await;
    let enable = async |version: u64, is_enabled: bool| {
        let body = json!({"version": version, "enabled": is_enabled}).to_string();
        let headers = [("content-type", "application/json")];
        let answer = uploads.env.send(Method::PUT, &uploads.connection, &headers, body.into_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    enable(1, false).await;
    assert_eq!(
        uploads.post(&json!({"source": {"url": uploads.source.url("b.mp4", 5)}})).await.code(),
        "CONNECTION_DISABLED"
    );
    uploads.released(&id).await;
    enable(2, true).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 3 * MIB).await;
    // Now one whose connection is deleted during the upload.
    uploads
        .env
        .inject_fault(
            json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 200_000, "times": 1}),
        )
        .await;
    let id = uploads.submit(3 * MIB).await;
    uploads.wait_for_phase(&id, "uploading").await;
    assert_eq!(uploads.env.send(Method::DELETE, &uploads.connection, &[], Vec::new()).await.status, 204);
    let job = uploads.job(&id).await;
    assert_eq!(job["data"]["status"], "cancelled", "at the same time: {job}");
    let secrets: i64 =
        uploads.env.database().query_row("SELECT count(*) FROM job_secrets", [], |row| row.get(0)).unwrap();
    assert_eq!(secrets, 0, "and its link is wiped");
    let left = uploads.videos().await;
    let warnings = job["data"]["warnings"].to_string();
    assert!(
        warnings.contains(left[1]["uri"].as_str().unwrap()),
        "a video that cannot be deleted is named: {job}"
    );
}

impl UploadEnv {
    /// Waits until no worker has a lease of the job.
    async fn released(&self, id: &str) {
        let database = self.env.database();
        let is_held = || {
            let sql = "SELECT lease_until IS NOT NULL FROM jobs WHERE job_id = ?1";
            database.query_row(sql, [id], |row| row.get::<_, bool>(0)).unwrap()
        };
        while is_held() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_source_fails_with_its_reason() {
    let uploads =
        UploadEnv::with(&format!("{CONFIG}sources.spool_max_bytes = 1000\n"), sandbox::Options::default())
            .await;
    for (behaviour, size, code) in [
        (Behaviour::Status(403), 1000, "SOURCE_REFUSED"),
        (Behaviour::Status(404), 1000, "SOURCE_REFUSED"),
        (Behaviour::WithoutLength, 1001, "SOURCE_TOO_LARGE"),
    ] {
        let source = Source::start(behaviour).await;
        let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", size)}})).await;
        let job = uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["error_code"], code, "{behaviour:?}: {job}");
        assert!(!job.to_string().contains("canary-source-query"));
        assert_eq!(uploads.videos().await, Vec::<Value>::new(), "{behaviour:?}");
    }
    let source = Source::start(Behaviour::WithoutLength).await;
    let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", 1000)}})).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 1000).await;
    assert!(!uploads.env.log().contains("canary-source-query"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_source_is_resumed() {
    let uploads = UploadEnv::start().await;
    let source = Source::start(Behaviour::CutAfter(400_000)).await;
    let id = uploads.submit_with(json!({"source": {"url": source.url("film.mp4", MIB)}})).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, MIB).await;
    assert_eq!(source.requests(), 5, "a probe, three parts, and a probe after the last byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_job_does_not_block_the_others() {
    let uploads = UploadEnv::start().await;
    let first = uploads.submit(1000).await;
    uploads.wait_for_end(&first).await;
    let damage = "UPDATE jobs SET state = 'nonsense', due_at = 0, lease_until = NULL WHERE job_id = ?1";
    assert_eq!(uploads.env.database().execute(damage, [&first]).unwrap(), 1);
    let second = uploads.submit(2000).await;
    assert_eq!(uploads.wait_for_end(&second).await["data"]["status"], "completed");
}
