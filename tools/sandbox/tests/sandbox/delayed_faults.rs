//! Faults with lasting effects on videos: delays, expired links and failures, from the fault to its result.

use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

impl TestSandbox {
    /// Uploads the five bytes of a placeholder and waits for transcoding. Returns the final status.
    async fn finish(&self, uri: &str, path: &str) -> String {
        assert_eq!(self.patch(path, 0, b"hello").await.status, 204);
        self.pass_seconds(10);
        let shown = self.call("GET", uri, &Value::Null).await.json();
        shown["status"].as_str().unwrap().to_owned()
    }

    fn path_of(&self, made: &Value) -> String {
        let link = made["upload"]["upload_link"].as_str().unwrap();
        link.strip_prefix(&self.running.base_url).unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_scheduled_failure_does_not_depend_on_the_fields() {
    let sandbox = TestSandbox::strict().await;
    sandbox
        .fault(json!({"route": "POST /me/videos", "kind": "outcome", "status": "transcoding_error"}))
        .await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = sandbox.call("POST", "/me/videos?fields=upload", &body).await.json();
    let list = sandbox.call("GET", "/me/videos", &Value::Null).await.json();
    let uri = list["data"][0]["uri"].as_str().unwrap();
    assert_eq!(sandbox.finish(uri, &sandbox.path_of(&made)).await, "transcoding_error");
    let shown = sandbox.call("GET", uri, &Value::Null).await.json();
    assert_eq!(
        (&shown["upload"]["status"], &shown["transcode"]["status"], &shown["is_playable"]),
        (&json!("complete"), &json!("error"), &json!(false))
    );
}

#[tokio::test]
async fn a_scheduled_upload_failure_has_its_error() {
    let sandbox = TestSandbox::strict().await;
    sandbox
        .fault(json!({"route": "POST /me/videos", "kind": "outcome", "error": "missing_video_stream"}))
        .await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = sandbox.call("POST", "/me/videos", &body).await.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(sandbox.finish(uri, &sandbox.path_of(&made)).await, "uploading_error");
    let shown = sandbox.call("GET", uri, &Value::Null).await.json()["upload"].clone();
    assert_eq!((&shown["status"], &shown["error"]), (&json!("error"), &json!("missing_video_stream")));
}

#[tokio::test]
async fn a_failed_version_leaves_the_active_one_unchanged() {
    let sandbox = TestSandbox::strict().await;
    let body = json!({"file_name": "a.mp4", "upload": {"approach": "tus", "size": 5}});
    let made = sandbox.call("POST", "/me/videos", &body).await.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(sandbox.finish(uri, &sandbox.path_of(&made)).await, "available");
    let versions = format!("{uri}/versions");
    let route = "POST /videos/{video}/versions";
    sandbox.fault(json!({"route": route, "kind": "outcome", "status": "transcoding_error"})).await;
    let second = sandbox.call("POST", &format!("{versions}?fields=upload"), &body).await.json();
    assert_eq!(sandbox.finish(uri, &sandbox.path_of(&second)).await, "available");
    let list = sandbox.call("GET", &versions, &Value::Null).await.json();
    assert_eq!(
        (&list["data"][0]["transcode"]["status"], &list["data"][1]["active"]),
        (&json!("error"), &json!(true))
    );
    // The next version becomes active once it can be played.
    let third = sandbox.call("POST", &format!("{versions}?fields=upload"), &body).await.json();
    assert_eq!(sandbox.finish(uri, &sandbox.path_of(&third)).await, "available");
    let list = sandbox.call("GET", &versions, &Value::Null).await.json();
    assert_eq!(list["data"][0]["active"], true);
}

#[tokio::test]
async fn a_lagging_list_shows_a_new_video_later() {
    let sandbox = TestSandbox::strict().await;
    let folder = sandbox.call("POST", "/me/folders", &json!({"name": "F"})).await.json();
    let folder = folder["uri"].as_str().unwrap();
    let old = sandbox.placeholder(json!({"folder_uri": folder})).await;
    sandbox.pass_seconds(60);
    let new = sandbox.placeholder(json!({"folder_uri": folder})).await;
    let inside = format!("{folder}/videos");
    for route in ["GET /me/videos", &format!("GET {inside}")] {
        sandbox.fault(json!({"route": route, "kind": "list-lag", "seconds": 20, "times": "always"})).await;
    }
    for (seconds, expected) in [(0, vec![&old]), (19, vec![&old]), (2, vec![&new, &old])] {
        sandbox.pass_seconds(seconds);
        for path in ["/me/videos", &inside] {
            let list = sandbox.call("GET", path, &Value::Null).await.json();
            let shown: Vec<&Value> =
                list["data"].as_array().unwrap().iter().map(|video| &video["uri"]).collect();
            assert_eq!(shown, expected, "{path}");
            assert_eq!(list["total"], expected.len());
        }
        assert_eq!(sandbox.call("GET", &new, &Value::Null).await.status, 200);
    }
}

#[tokio::test]
async fn a_link_that_expires_during_an_upload_has_the_configured_status() {
    for status in [404, 410] {
        let sandbox = TestSandbox::strict().await;
        let made = sandbox.make_tus(5).await;
        assert_eq!(sandbox.patch(&made.path, 0, b"he").await.status, 204);
        sandbox.fault(json!({"route": "PATCH /files/*", "kind": "expired-link", "status": status})).await;
        assert_eq!(sandbox.patch(&made.path, 2, b"llo").await.status, status);
        assert_eq!(sandbox.head(&made.path).await.status, status);
        assert_eq!(sandbox.patch(&made.path, 2, b"llo").await.status, status);
        assert_eq!(sandbox.version(made.number).await["received"], 2);
    }
}

#[tokio::test]
async fn a_cut_during_an_upload_keeps_the_received_bytes() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(200_000).await;
    let bytes = vec![b'x'; 200_000];
    sandbox.fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 70_000})).await;
    let offset = made.path.as_str();
    let headers = [
        ("Tus-Resumable", "1.0.0"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Upload-Offset", "0"),
    ];
    let answered = sandbox.receive("PATCH", offset, &headers, &bytes).await;
    // A reset may arrive before the request is sent; in either case there is no response.
    assert!(answered.is_err() || answered.is_ok_and(|received| received.is_empty()));
    assert_eq!(sandbox.offset(&made.path).await, 70_000);
    assert_eq!(sandbox.patch(&made.path, 70_000, &bytes[70_000..]).await.status, 204);
    assert_eq!(sandbox.version(made.number).await["stage"], "transcode_starting");
}

#[tokio::test]
async fn a_slow_upload_arrives_completely() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(20_000).await;
    sandbox.fault(json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 100_000})).await;
    assert_eq!(sandbox.patch(&made.path, 0, &vec![b'x'; 20_000]).await.status, 204);
    assert_eq!(sandbox.version(made.number).await["received"], 20_000);
}
