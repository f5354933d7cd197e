//! The time at which a video opens: moved, removed, and not reached.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{ENGINES, PublicationEnv, after, instant};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_opens_at_the_time_that_was_set_last() {
    for engine in ENGINES {
        let Some(env) = PublicationEnv::on(engine).await else { continue };
        let body =
            |at| json!({"source": {"url": env.uploads.source.url("film.mp4", 1_000)}, "publishAt": at});
        // Later, before anything is done: it must not open at the earlier time.
        let first = after(Duration::from_secs(4));
        let later = env.uploads.submit_with(body(first.to_string())).await;
        let last = after(Duration::from_secs(8));
        assert_eq!(env.reschedule(&later, Some(last)).await.status, 200);
        // At once, of one that waits.
        let at_once = env.uploads.submit_with(body(after(HOUR).to_string())).await;
        env.uploads.wait_for_phase(&at_once, "scheduled").await;
        let changed = env.reschedule(&at_once, None).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        assert!(changed.json()["data"]["publishAt"].is_null(), "{}", changed.text);
        for (id, not_before) in [(&later, Some(last)), (&at_once, None)] {
            let job = env.uploads.wait_for_end(id).await;
            assert_eq!(job["data"]["status"], "completed", "{engine:?} {job}");
            let video = env.recorded(job["data"]["vimeoUri"].as_str().unwrap()).await;
            let opened_at = instant(&video["opened_at"]);
            assert!(not_before.is_none_or(|at| opened_at >= at), "{engine:?} {video}");
            assert_eq!(video["view_changes"].as_array().unwrap().len(), 1, "{video}");
            let refused = env.reschedule(id, Some(after(HOUR))).await;
            assert_eq!(refused.status, 409, "it is open: {}", refused.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_scheduled_video_is_deleted_and_never_opens() {
    for engine in ENGINES {
        let Some(env) = PublicationEnv::on(engine).await else { continue };
        let id = env.uploads.submit_with(env.everything(after(HOUR))).await;
        env.uploads.wait_for_phase(&id, "scheduled").await;
        let path = format!("/pictoryapis/v1/jobs/{id}");
        let deleted = env.uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await;
        assert_eq!(deleted.status, 204, "{}", deleted.text);
        let job = env.uploads.until(&id, |job| job["data"]["phase"] == "cancelled").await;
        assert_eq!((&job["data"]["status"], &job["success"]), (&json!("cancelled"), &json!(false)), "{job}");
        assert_eq!(env.uploads.videos().await, Vec::<Value>::new(), "{engine:?}");
        let opened = env.uploads.journal("PATCH /videos/{video}").await;
        let opened = opened.iter().filter(|request| !request["body"]["privacy"]["view"].is_null()).count();
        assert_eq!(opened, 0, "{engine:?}");
        assert_eq!(env.reschedule(&id, Some(after(HOUR))).await.status, 409);
    }
}
