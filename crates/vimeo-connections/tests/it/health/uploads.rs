//! Uploads and the health of their connection.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::EnvOptions;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

async fn uploads() -> UploadEnv {
    uploads_with("").await
}

async fn uploads_with(more: &str) -> UploadEnv {
    let config = format!("{CONFIG}{more}");
    UploadEnv::with_options(EnvOptions { config, sandbox: Some(fast_sandbox()), ..EnvOptions::default() })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_pauses_queued_uploads_and_a_new_one_completes_them() {
    let uploads = uploads_with("uploads.per_connection = 1\n").await;
    let env = &uploads.env;
    env.change_token(json!({"revoked": true})).await;
    let ids = [uploads.submit(1_000).await, uploads.submit(1_000).await];
    for id in &ids {
        let job = uploads.until(id, |job| job["data"]["waitingFor"] == "connection-unhealthy").await;
        assert_eq!(
            (&job["data"]["status"], &job["data"]["phase"]),
            (&json!("in-progress"), &json!("queued"))
        );
    }
    let health = env.health(&uploads.connection).await;
    assert_eq!(
        (&health["status"], &health["problem"]["code"]),
        (&json!("unhealthy"), &json!("TOKEN_REJECTED"))
    );
    let refused = uploads.post(&json!({"source": {"url": uploads.source.url("film.mp4", 10)}})).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "CONNECTION_UNHEALTHY"));
    assert_eq!(refused.json()["problem"]["code"], "TOKEN_REJECTED", "{}", refused.text);
    let refused = uploads.post(&json!({"source": {"size": 10}})).await;
    assert_eq!(refused.code(), "CONNECTION_UNHEALTHY", "{}", refused.text);
    let replaced = env.replace_token(&uploads.connection, 1, &env.new_token().await).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    for id in &ids {
        let job = uploads.wait_for_end(id).await;
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", env.log());
    }
    assert_eq!(uploads.videos().await.len(), 2);
    let marks = ["mark_connection_unhealthy", "mark_connection_healthy"];
    assert_eq!(env.audited_actions(&marks).await, marks, "one event for each change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_continue_when_vimeo_accepts_the_token_again() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.change_token(json!({"scopes": "public private"})).await;
    let id = uploads.submit(1_000).await;
    uploads.until(&id, |job| job["data"]["waitingFor"] == "connection-unhealthy").await;
    env.change_token(json!({"scopes": "public private upload edit"})).await;
    assert_eq!(env.verified(&uploads.connection).await["status"], "healthy");
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 1_000).await;
}

/// Vimeo's answer to one request is no proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_rejection_that_a_check_does_not_confirm_leaves_the_connection_healthy() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.inject_fault(
        json!({"route": "POST /me/videos", "kind": "status", "status": 401, "error_code": 8003}),
    )
    .await;
    let id = uploads.submit(1_000).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_CREDENTIALS_REJECTED", "{job}");
    assert_eq!(env.health(&uploads.connection).await["status"], "healthy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_upload_access_fails_the_upload_by_name_and_refuses_the_next() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.change_app(json!({"upload_access": false})).await;
    let id = uploads.submit(1_000).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_UPLOAD_ACCESS_MISSING", "{job}");
    let refused = uploads.post(&json!({"source": {"size": 10}})).await;
    assert_eq!(refused.json()["problem"]["code"], "UPLOAD_ACCESS_MISSING", "{}", refused.text);
    assert!(uploads.videos().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_account_fails_the_upload_before_a_byte_flows() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.change_user(json!({"quota": {"lifetime": {"max": 100}, "restricted": {"max": 500}}})).await;
    for (size, code) in [(1_000, "VIMEO_QUOTA_EXCEEDED")] {
        let id = uploads.submit(size).await;
        let job = uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["error_code"], code, "{job}");
    }
    assert!(uploads.videos().await.is_empty());
    assert_eq!(uploads.journal("PATCH /files/*").await.len(), 0, "no byte was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_the_plan_lacks_fails_the_upload_before_a_byte_flows() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.change_user(json!({"allowed_privacies": ["anybody", "nobody"]})).await;
    let source = |source: Value| json!({"source": source, "privacy": {"view": "unlisted"}});
    let id = uploads.submit_with(source(json!({"url": uploads.source.url("film.mp4", 1_000)}))).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_PRIVACY_NOT_ALLOWED", "{job}");
    assert!(job["data"]["error_message"].as_str().unwrap().contains("it allows anybody, "), "{job}");
    assert!(uploads.videos().await.is_empty(), "its placeholder is deleted");
    assert_eq!(uploads.journal("PATCH /files/*").await.len(), 0, "no byte was sent");
    let refused = uploads.post(&source(json!({"size": 10}))).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (422, "UPLOAD_REFUSED"),
        "{}",
        refused.text
    );
    let id = uploads.submit(1_000).await;
    uploads.wait_for_end(&id).await;
    let health = env.until_health(&uploads.connection, |health| health["allowedPrivacies"].is_array()).await;
    assert_eq!(health["allowedPrivacies"], json!(["anybody", "nobody"]));
    let started = std::time::Instant::now();
    while uploads.videos().await.len() > 1 && started.elapsed() < crate::support::uploads::WAIT_LIMIT {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(uploads.videos().await.len(), 1, "the placeholder of the refused link is deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_that_is_shown_to_fewer_people_is_a_warning() {
    let uploads = uploads().await;
    let env = &uploads.env;
    env.change_user(json!({"cold_privacy": true})).await;
    let id = uploads.submit(1_000).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    let warnings = job["data"]["warnings"].to_string();
    assert!(warnings.contains("to fewer people"), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_uploads_survive_a_restart_and_can_be_cancelled() {
    let mut uploads = uploads().await;
    uploads.env.change_token(json!({"revoked": true})).await;
    let ids = [uploads.submit(1_000).await, uploads.submit(2_000).await];
    for id in &ids {
        uploads.until(id, |job| job["data"]["waitingFor"] == "connection-unhealthy").await;
    }
    uploads.env.kill_and_restart();
    let path = format!("/pictoryapis/v1/jobs/{}", ids[1]);
    assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    assert_eq!(uploads.wait_for_end(&ids[1]).await["data"]["status"], "cancelled");
    uploads.env.change_token(json!({"revoked": false})).await;
    assert_eq!(uploads.env.verified(&uploads.connection).await["status"], "healthy");
    uploads.assert_one_video(&uploads.wait_for_end(&ids[0]).await, 1_000).await;
}
