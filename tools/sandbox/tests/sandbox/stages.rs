use std::time::Duration;

use sandbox::{Options, Pace};
use serde_json::{Value, json};

use crate::harness::{Desk, Reply};

impl Desk {
    async fn steer(&self, number: u64, what: &str, body: Value) -> Reply {
        self.control("POST", &format!("videos/{number}/{what}"), &body).await
    }

    async fn status(&self, number: u64) -> Value {
        let shown = self.call("GET", &format!("/videos/{number}?fields=status"), &Value::Null).await;
        shown.json()["status"].clone()
    }

    async fn uploaded(&self) -> u64 {
        let made = self.make_tus(3).await;
        assert_eq!(self.patch(&made.path, 0, b"abc").await.status, 204);
        made.number
    }
}

#[tokio::test]
async fn stages_last_as_long_as_the_pace_says() {
    let pace = Pace::Every(Duration::from_secs(10));
    let desk = Desk::with(Options { pace, ..Options::default() }).await;
    let number = desk.uploaded().await;
    for (passes, status) in [(9, "transcode_starting"), (1, "transcoding"), (10, "available")] {
        desk.pass_seconds(passes);
        assert_eq!(desk.status(number).await, status);
        assert_eq!(desk.version(number).await["stage"], status);
    }
}

#[tokio::test]
async fn by_hand_a_video_goes_on_only_when_it_is_told() {
    let desk = Desk::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let early = desk.make_tus(3).await;
    let reply = desk.steer(early.number, "step", Value::Null).await;
    assert!(reply.status == 409 && reply.text().contains("Bytes are missing"), "{}", reply.text());
    let number = desk.uploaded().await;
    desk.pass_seconds(1_000_000);
    assert_eq!(desk.status(number).await, "transcode_starting");
    for status in ["transcoding", "available"] {
        let stepped = desk.steer(number, "step", Value::Null).await;
        assert_eq!((stepped.status, &stepped.json()["status"]), (200, &json!(status)));
        assert_eq!(desk.status(number).await, status);
    }
    assert_eq!(desk.steer(number, "step", Value::Null).await.status, 409);
}

#[tokio::test]
async fn a_video_fails_when_it_is_told_to() {
    let desk = Desk::strict().await;
    let number = desk.uploaded().await;
    let due = json!({"status": "transcoding_error", "when": "due"});
    assert_eq!(desk.steer(number, "fail", due.clone()).await.status, 200);
    let late = json!({"error": "analysis_failed", "when": "due"});
    assert_eq!(desk.steer(number, "fail", late.clone()).await.status, 409);
    assert_eq!(desk.status(number).await, "transcode_starting");
    desk.pass_seconds(5);
    assert_eq!(desk.status(number).await, "transcoding_error");
    assert_eq!(desk.steer(number, "fail", due).await.status, 409);

    let made = desk.make_tus(3).await;
    assert_eq!(desk.steer(made.number, "fail", late).await.status, 200);
    desk.patch(&made.path, 0, b"abc").await;
    let version = desk.version(made.number).await;
    assert_eq!(
        (&version["stage"], &version["error"]),
        (&json!("uploading_error"), &json!("analysis_failed"))
    );

    let made = desk.make_tus(3).await;
    let failed = desk.steer(made.number, "fail", json!({"status": "quota_exceeded"})).await;
    assert_eq!((failed.status, &failed.json()["status"]), (200, &json!("quota_exceeded")));
    // What comes afterwards changes nothing.
    desk.patch(&made.path, 0, b"abc").await;
    assert_eq!(desk.status(made.number).await, "quota_exceeded");
}

#[tokio::test]
async fn a_control_of_videos_says_what_is_wrong_with_its_body() {
    let desk = Desk::strict().await;
    let number = desk.uploaded().await;
    for (what, body, part) in [
        ("step", json!({"x": 1}), "takes nothing"),
        ("expire-link", json!({"x": 1}), "takes nothing"),
        ("fail", json!({}), "needs a `status`"),
        ("fail", json!({"status": "available"}), "no status `available`"),
        ("fail", json!({"error": "tired"}), "no error `tired`"),
        ("fail", json!({"upload_status": "error"}), "no upload_status `error`"),
        ("fail", json!({"status": 5}), "must be a string"),
        ("fail", json!({"status": "failed", "when": "later"}), "`when` must be"),
        (
            "fail",
            json!({"status": "failed", "wehn": "due"}),
            "takes `status`, `error`, `upload_status`, `when`",
        ),
    ] {
        let reply = desk.steer(number, what, body).await;
        assert!(reply.status == 400 && reply.text().contains(part), "{}", reply.text());
    }
    for number in ["1", "01", "x", "%ff"] {
        let reply = desk.control("GET", &format!("videos/{number}"), &Value::Null).await;
        assert!(reply.status == 404 || (number == "%ff" && reply.status == 400), "{}", reply.text());
    }
    assert_eq!(desk.steer(1, "step", Value::Null).await.status, 404);
}

impl Desk {
    async fn shown(&self, number: u64) -> Value {
        self.call("GET", &format!("/videos/{number}"), &Value::Null).await.json()
    }
}

#[tokio::test]
async fn an_upload_may_be_whole_before_anything_says_so() {
    for (pace, later) in [(Pace::Every(Duration::from_secs(10)), "transcoding"), (Pace::ByHand, "uploading")]
    {
        let desk =
            Desk::with(Options { upload_lag: Duration::from_secs(20), pace, ..Options::default() }).await;
        let made = desk.make_tus(3).await;
        assert_eq!(desk.patch(&made.path, 0, b"abc").await.status, 204);
        desk.pass_seconds(19);
        let shown = desk.shown(made.number).await;
        assert_eq!(
            (&shown["status"], &shown["upload"]["status"], &shown["transcode"]["status"]),
            (&json!("uploading"), &json!("in_progress"), &json!("in_progress"))
        );
        // Whoever asks the link knows better.
        assert_eq!(desk.offset(&made.path).await, 3);
        desk.pass_seconds(1 + 10);
        assert_eq!(desk.status(made.number).await, later);
        if pace == Pace::ByHand {
            let stepped = desk.steer(made.number, "step", Value::Null).await;
            assert_eq!((stepped.status, &stepped.json()["status"]), (200, &json!("transcode_starting")));
        }
    }
}

#[tokio::test]
async fn a_video_can_be_watched_before_its_last_rendition_is_done() {
    let desk = Desk::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let number = desk.uploaded().await;
    for (status, is_playable) in [("transcode_starting", false), ("transcoding", true), ("available", true)] {
        if status == "transcoding" {
            // What can be watched stays what is watched until another file can be.
            let path = format!("/videos/{number}/versions");
            let body = json!({"upload": {"approach": "tus", "size": 9}});
            assert_eq!(desk.call("POST", &path, &body).await.json()["active"], false);
            let version = desk.call("GET", &path, &Value::Null).await.json()["data"][0]["uri"].clone();
            assert_eq!(desk.call("DELETE", version.as_str().unwrap(), &Value::Null).await.status, 204);
        }
        let shown = desk.shown(number).await;
        assert_eq!((&shown["status"], &shown["is_playable"]), (&json!(status), &json!(is_playable)));
        let is_done = if status == "available" { "complete" } else { "in_progress" };
        assert_eq!(shown["transcode"]["status"], is_done);
        desk.steer(number, "step", Value::Null).await;
    }
}

#[tokio::test]
async fn every_end_that_is_not_good_can_be_ordered_and_is_shown() {
    let desk = Desk::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let errors = [
        "analysis_failed",
        "disallowed_address",
        "disallowed_content_type",
        "duration_too_long",
        "duration_too_short",
        "empty_upload",
        "exceeded_retry_count",
        "internal",
        "invalid_redirects",
        "max_file_size_exceeded",
        "missing_video_stream",
        "remote_bad_request",
        "remote_forbidden",
        "remote_internal",
        "remote_not_found",
        "remote_unauthorized",
        "resolution_dimension_too_small",
        "unsupported_video_projection",
    ];
    let of_upload = errors.map(|error| (json!({"error": error}), "uploading_error", "error", json!(error)));
    let of_status = [
        ("uploading_error", "error"),
        ("quota_exceeded", "error"),
        ("total_cap_exceeded", "error"),
        ("transcoding_error", "complete"),
        ("unavailable", "complete"),
        ("failed", "complete"),
    ];
    let of_status =
        of_status.map(|(status, upload)| (json!({"status": status}), status, upload, Value::Null));
    let canceled = (json!({"upload_status": "canceled"}), "uploading_error", "canceled", Value::Null);
    for (failure, status, upload, error) in of_upload.into_iter().chain(of_status).chain([canceled]) {
        // Now, by a control; and when it is due, by a fault.
        let number = desk.uploaded().await;
        assert_eq!(desk.steer(number, "fail", failure.clone()).await.status, 200, "{failure}");
        let mut fault = failure.clone();
        (fault["route"], fault["kind"]) = (json!("POST /me/videos"), json!("outcome"));
        desk.fault(fault).await;
        let doomed = desk.uploaded().await;
        for _ in 0..3 {
            desk.steer(doomed, "step", Value::Null).await;
        }
        for number in [number, doomed] {
            let shown = desk.shown(number).await;
            assert_eq!(
                (&shown["status"], &shown["upload"]["status"], &shown["upload"]["error"]),
                (&json!(status), &json!(upload), &error),
                "{failure}"
            );
            assert_eq!(
                (&shown["transcode"]["status"], &shown["is_playable"]),
                (&json!("error"), &json!(false))
            );
        }
    }
}
