//! Trouble with whole videos: what comes late, dies on the way or ends badly, from the order to its end.

use serde_json::{Value, json};

use crate::harness::Desk;

impl Desk {
    /// Uploads what a placeholder of five bytes waits for, and lets it be transcoded. The status that it comes to.
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
async fn the_end_that_was_ordered_comes_whatever_fields_were_asked_for() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "POST /me/videos", "kind": "outcome", "status": "transcoding_error"})).await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = desk.call("POST", "/me/videos?fields=upload", &body).await.json();
    let list = desk.call("GET", "/me/videos", &Value::Null).await.json();
    let uri = list["data"][0]["uri"].as_str().unwrap();
    assert_eq!(desk.finish(uri, &desk.path_of(&made)).await, "transcoding_error");
    let shown = desk.call("GET", uri, &Value::Null).await.json();
    assert_eq!(
        (&shown["upload"]["status"], &shown["transcode"]["status"], &shown["is_playable"]),
        (&json!("complete"), &json!("error"), &json!(false))
    );
}

#[tokio::test]
async fn an_upload_that_was_to_fail_fails_with_its_reason() {
    let desk = Desk::strict().await;
    desk.fault(json!({"route": "POST /me/videos", "kind": "outcome", "error": "missing_video_stream"})).await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = desk.call("POST", "/me/videos", &body).await.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(desk.finish(uri, &desk.path_of(&made)).await, "uploading_error");
    let shown = desk.call("GET", uri, &Value::Null).await.json()["upload"].clone();
    assert_eq!((&shown["status"], &shown["error"]), (&json!("error"), &json!("missing_video_stream")));
}

#[tokio::test]
async fn a_version_that_was_to_fail_leaves_the_video_as_it_was() {
    let desk = Desk::strict().await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = desk.call("POST", "/me/videos", &body).await.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(desk.finish(uri, &desk.path_of(&made)).await, "available");
    let versions = format!("{uri}/versions");
    let route = "POST /videos/{video}/versions";
    desk.fault(json!({"route": route, "kind": "outcome", "status": "transcoding_error"})).await;
    let second = desk.call("POST", &format!("{versions}?fields=upload"), &body).await.json();
    assert_eq!(desk.finish(uri, &desk.path_of(&second)).await, "available");
    let list = desk.call("GET", &versions, &Value::Null).await.json();
    assert_eq!(
        (&list["data"][0]["transcode"]["status"], &list["data"][1]["active"]),
        (&json!("error"), &json!(true))
    );
    // The next one is played once it can be.
    let third = desk.call("POST", &format!("{versions}?fields=upload"), &body).await.json();
    assert_eq!(desk.finish(uri, &desk.path_of(&third)).await, "available");
    let list = desk.call("GET", &versions, &Value::Null).await.json();
    assert_eq!(list["data"][0]["active"], true);
}

#[tokio::test]
async fn a_list_that_lags_shows_a_new_video_only_later() {
    let desk = Desk::strict().await;
    let folder = desk.call("POST", "/me/folders", &json!({"name": "F"})).await.json();
    let folder = folder["uri"].as_str().unwrap();
    let old = desk.placeholder(json!({"folder_uri": folder})).await;
    desk.pass_seconds(60);
    let new = desk.placeholder(json!({"folder_uri": folder})).await;
    let inside = format!("{folder}/videos");
    for route in ["GET /me/videos", &format!("GET {inside}")] {
        desk.fault(json!({"route": route, "kind": "list-lag", "seconds": 20, "times": "always"})).await;
    }
    for (seconds, expected) in [(0, vec![&old]), (19, vec![&old]), (2, vec![&new, &old])] {
        desk.pass_seconds(seconds);
        for path in ["/me/videos", &inside] {
            let list = desk.call("GET", path, &Value::Null).await.json();
            let shown: Vec<&Value> =
                list["data"].as_array().unwrap().iter().map(|video| &video["uri"]).collect();
            assert_eq!(shown, expected, "{path}");
            assert_eq!(list["total"], expected.len());
        }
        assert_eq!(desk.call("GET", &new, &Value::Null).await.status, 200);
    }
}

#[tokio::test]
async fn a_link_that_dies_on_the_way_is_dead_with_the_status_that_was_ordered() {
    for status in [404, 410] {
        let desk = Desk::strict().await;
        let made = desk.make_tus(5).await;
        assert_eq!(desk.patch(&made.path, 0, b"he").await.status, 204);
        desk.fault(json!({"route": "PATCH /files/*", "kind": "expired-link", "status": status})).await;
        assert_eq!(desk.patch(&made.path, 2, b"llo").await.status, status);
        assert_eq!(desk.head(&made.path).await.status, status);
        assert_eq!(desk.patch(&made.path, 2, b"llo").await.status, status);
        assert_eq!(desk.version(made.number).await["received"], 2);
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_keeps_what_had_come() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(200_000).await;
    let bytes = vec![b'x'; 200_000];
    desk.fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": 70_000})).await;
    let offset = made.path.as_str();
    let headers = [
        ("Tus-Resumable", "1.0.0"),
        ("Content-Type", "application/offset+octet-stream"),
        ("Upload-Offset", "0"),
    ];
    let answered = desk.receive("PATCH", offset, &headers, &bytes).await;
    // A reset may come before the end of what is sent; either way there is no answer.
    assert!(answered.is_err() || answered.is_ok_and(|received| received.is_empty()));
    assert_eq!(desk.offset(&made.path).await, 70_000);
    assert_eq!(desk.patch(&made.path, 70_000, &bytes[70_000..]).await.status, 204);
    assert_eq!(desk.version(made.number).await["stage"], "transcode_starting");
}

#[tokio::test]
async fn an_upload_that_is_taken_in_slowly_comes_whole() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(20_000).await;
    desk.fault(json!({"route": "PATCH /files/*", "kind": "slow-body", "bytes_per_second": 100_000})).await;
    assert_eq!(desk.patch(&made.path, 0, &vec![b'x'; 20_000]).await.status, 204);
    assert_eq!(desk.version(made.number).await["received"], 20_000);
}
