//! Replacing the file of a video.

use sandbox::{Options, Pace};
use serde_json::{Value, json};

use crate::support::publication::refused_field;
use crate::support::test_sandbox::TestSandbox;

const FIELDS: &str = "fields=transcode.status,is_playable,version_transcode_status,upload.status";

impl TestSandbox {
    /// Creates a version and sends its bytes. Returns its URI.
    async fn replace(&self, video: &str) -> String {
        let body = json!({"file_name": "new.mp4", "upload": {"approach": "tus", "size": 4}});
        let made = self.call("POST", &format!("{video}/versions"), &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        assert_eq!((&made["file_name"], &made["filename"]), (&json!("new.mp4"), &json!("new.mp4")));
        assert_eq!(self.patch(&self.path_in(&made["upload"]["upload_link"]), 0, b"wxyz").await.status, 204);
        made["uri"].as_str().unwrap().to_owned()
    }

    async fn json_of(&self, uri: &str) -> Value {
        self.call("GET", uri, &Value::Null).await.json()
    }

    async fn step(&self, video: &str) {
        let path = format!("{}/step", video.trim_start_matches('/'));
        assert_eq!(self.control("POST", &path, &Value::Null).await.status, 200);
    }
}

#[tokio::test]
async fn the_video_shows_the_old_file_until_the_new_one_is_active() {
    let sandbox = TestSandbox::with(Options { pace: Pace::ByHand, ..Options::default() }).await;
    let made = sandbox.make_tus(3).await;
    let video = format!("/videos/{}", made.number);
    sandbox.patch(&made.path, 0, b"abc").await;
    sandbox.step(&video).await;
    sandbox.step(&video).await;
    let track = sandbox.make_track(&video, "captions", "en").await;
    let before = sandbox.json_of(&video).await;
    let new = sandbox.replace(&video).await;
    for stage in ["transcode_starting", "transcoding"] {
        let shown = sandbox.json_of(&format!("{video}?{FIELDS}")).await;
        assert_eq!(
            shown,
            json!({
                "transcode": {"status": "complete"},
                "is_playable": true,
                "version_transcode_status": {"is_playable": true, "is_fully_playable": true, "is_complete": true},
                "upload": {"status": "complete"},
            }),
            "{stage}"
        );
        let version = sandbox.json_of(&new).await;
        assert_eq!(
            (&version["active"], &version["upload"]["status"], &version["transcode"]["status"]),
            (&json!(false), &json!("complete"), &json!("in_progress")),
            "{stage}"
        );
        sandbox.step(&video).await;
    }
    let version = sandbox.json_of(&new).await;
    assert_eq!((&version["active"], &version["transcode"]["status"]), (&json!(true), &json!("complete")));
    let after = sandbox.json_of(&video).await;
    for kept in ["uri", "link", "name", "privacy", "pictures", "player_embed_url"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(sandbox.json_of(track["uri"].as_str().unwrap()).await["uri"], track["uri"]);
    let current = &after["metadata"]["connections"]["versions"]["current_uri"];
    assert_eq!(current, &json!(new));
}

#[tokio::test]
async fn a_version_that_cannot_be_transcoded_leaves_the_old_one_active() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.playable().await;
    let old = sandbox.json_of(&format!("{video}/versions")).await["data"][0]["uri"].clone();
    let new = sandbox.replace(&video).await;
    let failure = json!({"status": "transcoding_error", "when": "due"});
    sandbox.control("POST", &format!("{}/fail", video.trim_start_matches('/')), &failure).await;
    sandbox.pass_seconds(100);
    let shown = sandbox.json_of(&new).await;
    assert_eq!(
        (&shown["active"], &shown["upload"]["status"], &shown["transcode"]["status"]),
        (&json!(false), &json!("complete"), &json!("error"))
    );
    assert_eq!(sandbox.json_of(old.as_str().unwrap()).await["active"], true);
    let shown = sandbox.json_of(&video).await;
    assert_eq!((&shown["transcode"]["status"], &shown["is_playable"]), (&json!("complete"), &json!(true)));
}

#[tokio::test]
async fn a_version_needs_a_file_name_and_the_owner() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let upload = json!({"approach": "tus", "size": 4});
    for name in [Value::Null, json!(""), json!(7)] {
        let body = json!({"file_name": name, "upload": upload});
        let refused = sandbox.call("POST", &format!("{public}/versions"), &body).await;
        assert_eq!(refused_field(&refused), (400, json!("file_name"), json!(2204)), "{name}");
    }
    assert_eq!(sandbox.json_of(&format!("{public}/versions")).await["total"], 1);
    let stranger = sandbox.token_of_another_user().await;
    let body = json!({"file_name": "a.mp4", "upload": upload});
    for (video, expected) in [
        (public.as_str(), (403, json!(3427))),
        (hidden.as_str(), (404, json!(5011))),
        ("/videos/1", (404, json!(5011))),
    ] {
        let refused = sandbox.api(&stranger, "POST", &format!("{video}/versions"), &body).await;
        assert_eq!((refused.status, refused.code()), expected, "{video}");
    }
}

#[tokio::test]
async fn a_control_sets_how_long_a_video_is_playable_before_it_is_complete() {
    let sandbox = TestSandbox::strict().await;
    let set = sandbox.control("PATCH", "settings", &json!({"playable_millis": 60_000})).await;
    assert_eq!((set.status, &set.json()["playable_millis"]), (200, &json!(60_000)));
    let video = sandbox.playable().await;
    for (seconds, status, is_complete) in
        [(0, "in_progress", false), (49, "in_progress", false), (2, "complete", true)]
    {
        sandbox.pass_seconds(seconds);
        let shown = sandbox.json_of(&format!("{video}?{FIELDS}")).await;
        assert_eq!((&shown["is_playable"], &shown["transcode"]["status"]), (&json!(true), &json!(status)));
        let of_version = &shown["version_transcode_status"];
        assert_eq!(
            of_version,
            &json!({"is_playable": true, "is_fully_playable": is_complete, "is_complete": is_complete})
        );
    }
    let set = sandbox.control("PATCH", "settings", &json!({"playable_millis": null})).await;
    assert_eq!(set.json()["playable_millis"], Value::Null);
}
