use std::time::Duration;

use sandbox::{Options, Pace};
use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox};

impl TestSandbox {
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
async fn stages_last_as_long_as_configured() {
    let pace = Pace::Every(Duration::from_secs(10));
    let sandbox = TestSandbox::with(Options { pace, ..Options::default() }).await;
    let number = sandbox.uploaded().await;
    for (passes, status) in [(9, "transcode_starting"), (1, "transcoding"), (10, "available")] {
        sandbox.pass_seconds(passes);
        assert_eq!(sandbox.status(number).await, status);
        assert_eq!(sandbox.version(number).await["stage"], status);
    }
}

#[tokio::test]
async fn by_hand_stages_advance_only_by_the_control() {
    let sandbox = TestSandbox::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let early = sandbox.make_tus(3).await;
    let reply = sandbox.steer(early.number, "step", Value::Null).await;
    assert!(reply.status == 409 && reply.text().contains("Bytes are missing"), "{}", reply.text());
    let number = sandbox.uploaded().await;
    sandbox.pass_seconds(1_000_000);
    assert_eq!(sandbox.status(number).await, "transcode_starting");
    for status in ["transcoding", "available"] {
        let stepped = sandbox.steer(number, "step", Value::Null).await;
        assert_eq!((stepped.status, &stepped.json()["status"]), (200, &json!(status)));
        assert_eq!(sandbox.status(number).await, status);
    }
    assert_eq!(sandbox.steer(number, "step", Value::Null).await.status, 409);
}

#[tokio::test]
async fn a_video_fails_by_the_control() {
    let sandbox = TestSandbox::strict().await;
    let number = sandbox.uploaded().await;
    let due = json!({"status": "transcoding_error", "when": "due"});
    assert_eq!(sandbox.steer(number, "fail", due.clone()).await.status, 200);
    let late = json!({"error": "analysis_failed", "when": "due"});
    assert_eq!(sandbox.steer(number, "fail", late.clone()).await.status, 409);
    assert_eq!(sandbox.status(number).await, "transcode_starting");
    sandbox.pass_seconds(5);
    assert_eq!(sandbox.status(number).await, "transcoding_error");
    assert_eq!(sandbox.steer(number, "fail", due).await.status, 409);

    let made = sandbox.make_tus(3).await;
    assert_eq!(sandbox.steer(made.number, "fail", late).await.status, 200);
    sandbox.patch(&made.path, 0, b"abc").await;
    let version = sandbox.version(made.number).await;
    assert_eq!(
        (&version["stage"], &version["error"]),
        (&json!("uploading_error"), &json!("analysis_failed"))
    );

    let made = sandbox.make_tus(3).await;
    let failed = sandbox.steer(made.number, "fail", json!({"status": "quota_exceeded"})).await;
    assert_eq!((failed.status, &failed.json()["status"]), (200, &json!("quota_exceeded")));
    // Later requests change nothing.
    sandbox.patch(&made.path, 0, b"abc").await;
    assert_eq!(sandbox.status(made.number).await, "quota_exceeded");
}

#[tokio::test]
async fn the_video_controls_reject_invalid_bodies_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    let number = sandbox.uploaded().await;
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
        let reply = sandbox.steer(number, what, body).await;
        assert!(reply.status == 400 && reply.text().contains(part), "{}", reply.text());
    }
    for number in ["1", "01", "x", "%ff"] {
        let reply = sandbox.control("GET", &format!("videos/{number}"), &Value::Null).await;
        assert!(reply.status == 404 || (number == "%ff" && reply.status == 400), "{}", reply.text());
    }
    assert_eq!(sandbox.steer(1, "step", Value::Null).await.status, 404);
}

impl TestSandbox {
    async fn shown(&self, number: u64) -> Value {
        self.call("GET", &format!("/videos/{number}"), &Value::Null).await.json()
    }
}

#[tokio::test]
async fn with_a_lag_a_complete_upload_is_reported_later() {
    for (pace, later) in [(Pace::Every(Duration::from_secs(10)), "transcoding"), (Pace::ByHand, "uploading")]
    {
        let sandbox =
            TestSandbox::with(Options { upload_lag: Duration::from_secs(20), pace, ..Options::default() })
                .await;
        let made = sandbox.make_tus(3).await;
        assert_eq!(sandbox.patch(&made.path, 0, b"abc").await.status, 204);
        sandbox.pass_seconds(19);
        let shown = sandbox.shown(made.number).await;
        assert_eq!(
            (&shown["status"], &shown["upload"]["status"], &shown["transcode"]["status"]),
            (&json!("uploading"), &json!("in_progress"), &json!("in_progress"))
        );
        // The upload link reports the offset.
        assert_eq!(sandbox.offset(&made.path).await, 3);
        sandbox.pass_seconds(1 + 10);
        assert_eq!(sandbox.status(made.number).await, later);
        if pace == Pace::ByHand {
            let stepped = sandbox.steer(made.number, "step", Value::Null).await;
            assert_eq!((stepped.status, &stepped.json()["status"]), (200, &json!("transcode_starting")));
        }
    }
}

#[tokio::test]
async fn a_video_is_playable_during_transcoding() {
    let sandbox = TestSandbox::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let number = sandbox.uploaded().await;
    for (status, is_playable) in [("transcode_starting", false), ("transcoding", true), ("available", true)] {
        if status == "transcoding" {
            // The playable version stays active until another one is playable.
            let path = format!("/videos/{number}/versions");
            let body = json!({"file_name": "a.mp4", "upload": {"approach": "tus", "size": 9}});
            assert_eq!(sandbox.call("POST", &path, &body).await.json()["active"], false);
            let version = sandbox.call("GET", &path, &Value::Null).await.json()["data"][0]["uri"].clone();
            assert_eq!(sandbox.call("DELETE", version.as_str().unwrap(), &Value::Null).await.status, 204);
        }
        let shown = sandbox.shown(number).await;
        assert_eq!((&shown["status"], &shown["is_playable"]), (&json!(status), &json!(is_playable)));
        let is_done = if status == "available" { "complete" } else { "in_progress" };
        assert_eq!(shown["transcode"]["status"], is_done);
        sandbox.steer(number, "step", Value::Null).await;
    }
}

#[tokio::test]
async fn every_failure_can_be_scheduled_and_is_shown() {
    let sandbox = TestSandbox::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
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
        // Now, by a control; and later, by a fault.
        let number = sandbox.uploaded().await;
        assert_eq!(sandbox.steer(number, "fail", failure.clone()).await.status, 200, "{failure}");
        let mut fault = failure.clone();
        (fault["route"], fault["kind"]) = (json!("POST /me/videos"), json!("outcome"));
        sandbox.fault(fault).await;
        let doomed = sandbox.uploaded().await;
        for _ in 0..3 {
            sandbox.steer(doomed, "step", Value::Null).await;
        }
        for number in [number, doomed] {
            let shown = sandbox.shown(number).await;
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
