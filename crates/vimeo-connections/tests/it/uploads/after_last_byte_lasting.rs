//! Permanent faults of the requests that configure a complete video: the video is kept.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::tools::is_all;
use crate::support::uploads::faulty_proxy::{Fault, Plan};
use crate::support::uploads::{CONFIG, UploadEnv};
use crate::uploads::after_last_byte::CONFIRM;

/// The requests that change something.
const CHANGES: [&str; 4] = ["describe", "privacy", "domain", "folder"];

/// Every refusal except the rate limit, which is waited out; without `--all` only frequent ones.
fn refusals() -> Vec<u16> {
    let is_often = |status: &u16| matches!(status, 400 | 401 | 403 | 404 | 405 | 409 | 410 | 422 | 423 | 451);
    (400..=499).filter(|status| *status != 429 && (is_all() || is_often(status))).collect()
}

/// The error code of an upload with a permanently refused change; `None`: it completes without the change.
fn expected(point: &str, status: u16) -> Option<&'static str> {
    match (point, status) {
        (_, 401) => Some("VIMEO_CREDENTIALS_REJECTED"),
        // The text is refused, not the request: the remaining texts are set, and the video is published.
        ("describe", 400 | 422) | ("folder", _) => None,
        // These are required before a video is published.
        ("privacy" | "domain", 400 | 422) => Some("VIMEO_SETTING_REFUSED"),
        _ => Some("VIMEO_REFUSED"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanently_refused_change_keeps_the_video_private_or_warns() {
    let (uploads, proxy, body) = UploadEnv::behind_faults(CONFIRM).await;
    let mut cases = Vec::new();
    for point in CHANGES {
        cases.extend(refusals().into_iter().map(|status| (point, status)));
    }
    proxy.plan(cases.iter().map(|(point, status)| Plan::lasting(Fault::Status(*status), &[point])), &[]);
    let mut ids = Vec::new();
    for _ in &cases {
        ids.push(uploads.begin_url(&body).await);
    }
    let jobs = uploads.ends(&ids).await;
    let stored = uploads.videos().await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        let Fault::Status(status) = seen.fault.unwrap() else { unreachable!() };
        let point = seen.faulted[0];
        let code = expected(point, status);
        assert_eq!(job["data"]["error_code"].as_str(), code, "{point} {status}: {job}");
        if code.is_none() {
            assert_ne!(job["data"]["warnings"], json!([]), "{point} {status}: {job}");
            continue;
        }
        let message = job["data"]["error_message"].as_str().unwrap();
        let is_it = |video: &&Value| message.contains(video["uri"].as_str().unwrap());
        let video = stored.iter().find(is_it).unwrap();
        assert_ne!(video["privacy"]["view"], "unlisted", "{point} {status}: it is not published: {video}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_change_is_made_once_vimeo_returns() {
    let (uploads, proxy, body) = UploadEnv::behind_faults(CONFIRM).await;
    let faults = [Fault::Status(500), Fault::Status(503), Fault::CutBefore, Fault::CutInHead];
    let points = [&CHANGES[..], &["open"]].concat();
    let plans = points.iter().flat_map(|point| faults.map(|fault| Plan::lasting(fault, &[point])));
    proxy.plan(plans, &[]);
    let mut ids = Vec::new();
    for _ in 0..points.len() * faults.len() {
        ids.push(uploads.begin_url(&body).await);
    }
    // Each was requested without result for longer than a refusal takes to confirm, and is waiting.
    crate::support::harness::until("each waits", async || {
        proxy.faulted().into_iter().filter(|times| *times > 2).count() == ids.len()
    })
    .await;
    for id in &ids {
        assert_eq!(uploads.job(id).await["data"]["status"], "in-progress");
    }
    proxy.clear_faults();
    let jobs = uploads.ends(&ids).await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        assert_eq!(job["data"]["status"], "completed", "{seen:?}: {job}");
        assert_eq!(job["data"]["warnings"], json!([]), "{seen:?}: {job}");
    }
}

/// An upload whose create was not confirmed, and whose lists are refused from the last byte on; the final job.
async fn with_refused_lists(status: u16) -> (u16, Value) {
    let uploads =
        UploadEnv::with(&format!("{CONFIG}{CONFIRM}"), crate::support::uploads::fast_sandbox()).await;
    let lists =
        json!({"route": "GET /me/videos", "kind": "status", "status": status, "after": 1, "times": "always"});
    for fault in [json!({"route": "POST /me/videos", "kind": "cut-after"}), lists] {
        uploads.env.inject_fault(fault).await;
    }
    let id = uploads.submit(1_000).await;
    let job = uploads.wait_for_end(&id).await;
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), 1, "{status}: {job}");
    assert_eq!(videos[0]["versions"][0]["received"], 1_000, "{status}: {job}");
    let uri = videos[0]["uri"].as_str().unwrap();
    assert!(job["data"]["error_message"].as_str().unwrap().contains(uri), "{status}: {job}");
    uploads.env.control(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(uploads.journal("DELETE /videos/{video}").await, Vec::<Value>::new());
    (status, job)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanently_refused_list_fails_and_keeps_the_video() {
    let mut runs = JoinSet::new();
    for status in [400, 401, 403, 404] {
        runs.spawn(with_refused_lists(status));
    }
    for (status, job) in runs.join_all().await {
        let code = if status == 401 { "VIMEO_CREDENTIALS_REJECTED" } else { "VIMEO_REFUSED" };
        assert_eq!(job["data"]["error_code"], code, "{status}: {job}");
    }
}
