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
        ("fail", json!({"status": 5}), "must be a string"),
        ("fail", json!({"status": "failed", "when": "later"}), "`when` must be"),
        ("fail", json!({"status": "failed", "wehn": "due"}), "takes `status`, `error`, `when`"),
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
