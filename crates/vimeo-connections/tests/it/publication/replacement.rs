//! Replacing the file of a video: everything else stays as it is, and so does the earlier file until the new one plays.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{ENGINES, Engine, PublicationEnv, SIZE, after};
use crate::support::uploads::CONFIG;
use crate::support::uploads::source::sha256;

/// The length of the new file.
const NEW_SIZE: u64 = 70_000;

impl PublicationEnv {
    /// Uploads and publishes a video with everything; its URI.
    async fn publish(&self) -> String {
        let id = self.uploads.submit_with(self.everything(after(Duration::from_secs(1)))).await;
        let job = self.uploads.until(&id, |job| job["data"]["phase"] == "transcoding").await;
        let uri = job["data"]["vimeoUri"].as_str().unwrap().to_owned();
        self.step(&uri).await;
        self.step(&uri).await;
        let job = self.uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "completed", "{job}");
        uri
    }

    /// Advances the transcoding of the newest version.
    async fn step(&self, uri: &str) {
        let number = uri.rsplit('/').next().unwrap();
        self.uploads.env.control(Method::POST, &format!("videos/{number}/step"), Value::Null).await;
    }

    /// Requests the replacement of a video's file; the job ID.
    pub(super) async fn replace(&self, uri: &str, size: u64) -> String {
        let source = json!({"url": self.uploads.source.url("new.mp4", size)});
        self.uploads.submit_with(json!({"source": source, "replaces": uri})).await
    }

    /// The digest of the file that a video plays, and the number of its versions.
    pub(super) async fn played(&self, uri: &str) -> (Value, usize) {
        let video = self.recorded(uri).await;
        let versions = video["versions"].as_array().unwrap();
        let active: Vec<&Value> = versions.iter().filter(|version| version["active"] == true).collect();
        assert_eq!(active.len(), 1, "{video}");
        (active[0]["sha256"].clone(), versions.len())
    }

    /// What must not change with the file.
    async fn kept(&self, uri: &str) -> Value {
        let mut published = self.published().await;
        published["videos"][0]["versions"] = Value::Null;
        let seen = self.uploads.see(uri).await;
        let video = self.recorded(uri).await;
        json!({
            "published": published,
            "seen": [seen["uri"], seen["link"], seen["name"], seen["privacy"], seen["license"], seen["pictures"]["uri"]],
            "recorded": [video["text_tracks"], video["pictures"], video["view_changes"]],
        })
    }
}

/// An environment whose transcoding advances by hand.
async fn by_hand(engine: Engine) -> Option<PublicationEnv> {
    let options = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    PublicationEnv::with(engine, options, CONFIG).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_changes_the_file_and_nothing_else_once_it_is_transcoded() {
    for engine in ENGINES {
        let Some(env) = by_hand(engine).await else { continue };
        let uri = env.publish().await;
        let before = env.kept(&uri).await;
        let id = env.replace(&uri, NEW_SIZE).await;
        env.uploads.wait_for_phase(&id, "transcoding").await;
        assert_eq!(
            env.played(&uri).await,
            (json!(sha256(SIZE)), 2),
            "{engine:?}: transcoding has not started"
        );
        env.step(&uri).await;
        assert_eq!(env.played(&uri).await, (json!(sha256(SIZE)), 2), "{engine:?}: transcoding has not ended");
        assert_eq!(env.uploads.job(&id).await["data"]["status"], "in-progress");
        env.step(&uri).await;
        let job = env.uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "completed", "{engine:?}: {job}\n{}", env.uploads.env.log());
        assert_eq!((&job["data"]["vimeoUri"], &job["data"]["replaces"]), (&json!(uri), &json!(uri)), "{job}");
        assert_eq!(job["data"]["warnings"], json!([]), "{job}");
        assert_eq!(env.played(&uri).await, (json!(sha256(NEW_SIZE)), 2), "{engine:?}");
        assert_eq!(env.kept(&uri).await, before, "{engine:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_transcoded_leaves_the_earlier_one_in_place() {
    let env = PublicationEnv::start().await;
    let id = env.uploads.submit_with(env.everything(after(Duration::from_secs(1)))).await;
    let job = env.uploads.wait_for_end(&id).await;
    let uri = job["data"]["vimeoUri"].as_str().unwrap().to_owned();
    let before = env.kept(&uri).await;
    for outcome in [
        json!({"status": "transcoding_error"}),
        json!({"status": "uploading_error", "error": "analysis_failed"}),
    ] {
        let mut fault = outcome;
        fault["kind"] = json!("outcome");
        fault["route"] = json!("POST /videos/{video}/versions");
        env.uploads.env.inject_fault(fault).await;
        let id = env.replace(&uri, NEW_SIZE).await;
        let job = env.uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "failed", "{job}");
        assert_eq!(job["data"]["error_code"], "VIMEO_FILE_UNUSABLE", "{job}");
        let message = job["data"]["error_message"].as_str().unwrap();
        assert!(message.contains("plays its earlier version"), "{message}");
        assert_eq!(env.played(&uri).await.0, sha256(SIZE), "{job}");
        assert_eq!(env.kept(&uri).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_existing_video_of_the_account_can_be_replaced() {
    let env = PublicationEnv::start().await;
    let sandbox = &env.uploads.env.sandbox;
    let scopes = "public private create edit delete upload";
    let order = json!({"app": sandbox.client_id, "scopes": scopes, "user": {"name": "Vera"}});
    let token = env.uploads.env.control(Method::POST, "tokens", order).await;
    let token = token["access_token"].as_str().unwrap();
    let upload = json!({"approach": "tus", "size": 3});
    let body = json!({"name": "Not ours", "privacy": {"view": "anybody"}, "upload": upload});
    let other = env.vimeo_as(token, Method::POST, "/me/videos", body).await;
    let other = other["uri"].as_str().unwrap().to_owned();
    for (uri, code) in
        [(other.as_str(), "VIMEO_VIDEO_NOT_OWNED"), ("/videos/999999999", "VIMEO_VIDEO_NOT_FOUND")]
    {
        let id = env.replace(uri, NEW_SIZE).await;
        let job = env.uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "failed", "{job}");
        assert_eq!(job["data"]["error_code"], code, "{job}");
        assert!(job["data"]["error_message"].as_str().unwrap().contains(uri), "{job}");
    }
    assert_eq!(env.uploads.source.requests(), 0, "the file was not read");
    assert_eq!(env.uploads.journal("POST /videos/{video}/versions").await, Vec::<Value>::new());
    let video = env.recorded(&other).await;
    assert_eq!(video["versions"].as_array().unwrap().len(), 1, "{video}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_without_replacements_fails_the_upload_and_changes_nothing() {
    let env = PublicationEnv::start().await;
    let id = env.uploads.submit(SIZE).await;
    let job = env.uploads.wait_for_end(&id).await;
    let uri = job["data"]["vimeoUri"].as_str().unwrap().to_owned();
    let user = env.uploads.user().await;
    env.uploads.env.control(Method::PATCH, &user, json!({"refused_features": ["versions"]})).await;
    let id = env.replace(&uri, NEW_SIZE).await;
    let job = env.uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "failed", "{job}");
    assert_eq!(job["data"]["error_code"], "VIMEO_REFUSED", "{job}");
    assert_eq!(env.played(&uri).await, (json!(sha256(SIZE)), 1), "{job}");
}
