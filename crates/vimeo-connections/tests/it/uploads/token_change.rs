//! Uploads whose connection gets another access token meanwhile, or loses it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::uploads::{CONFIG, UploadEnv};

impl UploadEnv {
    /// An environment in which transcoding waits for the test, and an upload that waits for it: its job ID and its
    /// video.
    async fn transcoding() -> (Self, String, Value) {
        let sandbox = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
        let uploads = Self::with(CONFIG, sandbox).await;
        let id = uploads.submit(1000).await;
        let job = uploads.wait_for_phase(&id, "transcoding").await;
        let uri = job["data"]["vimeoUri"].clone();
        (uploads, id, uri)
    }

    async fn step(&self, uri: &Value) {
        let number = uri.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        self.env.control(Method::POST, &format!("videos/{number}/step"), Value::Null).await;
    }

    async fn revoke_first_token(&self) {
        let url = format!("{}/tokens", self.env.sandbox.base_url);
        let request = self.env.http.delete(url).bearer_auth(&self.env.sandbox.access_token);
        assert_eq!(request.send().await.unwrap().status(), 204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_fails_the_upload_and_keeps_the_video_private() {
    let (uploads, id, uri) = UploadEnv::transcoding().await;
    uploads.revoke_first_token().await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_CREDENTIALS_REJECTED", "{job}");
    assert!(job["data"]["error_message"].as_str().unwrap().contains(uri.as_str().unwrap()), "{job}");
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), 1, "it is not deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_continues_with_a_replaced_token() {
    let (uploads, id, uri) = UploadEnv::transcoding().await;
    let new = json!({"app": uploads.env.sandbox.client_id});
    let made = uploads.env.control(Method::POST, "tokens", new).await;
    let change = json!({"version": 1, "accessToken": made["access_token"]}).to_string();
    let headers = [("content-type", "application/json")];
    let changed = uploads.env.send(Method::PUT, &uploads.connection, &headers, change.into_bytes()).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    uploads.revoke_first_token().await;
    uploads.step(&uri).await;
    uploads.step(&uri).await;
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 1000).await;
}
