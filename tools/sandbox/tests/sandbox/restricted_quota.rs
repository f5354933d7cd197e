use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

impl TestSandbox {
    async fn quota(&self) -> Value {
        self.request("GET", "/me?fields=upload_quota").await.json()["upload_quota"].clone()
    }

    /// Creates a video of five bytes. Returns the status and the error code.
    async fn create_with(&self, view: Option<&str>) -> (u16, Value) {
        let mut body = json!({"upload": {"approach": "tus", "size": 5}, "password": "secret"});
        if let Some(view) = view {
            body["privacy"] = json!({"view": view});
        }
        let made = self.call("POST", "/me/videos", &body).await;
        (made.status, made.json()["error_code"].clone())
    }
}

#[tokio::test]
async fn closed_videos_count_in_the_restricted_pool_only() {
    let sandbox = TestSandbox::strict().await;
    assert!(sandbox.quota().await.get("restricted").is_none());
    let quota = json!({"lifetime": {"max": 100, "used": 10}, "restricted": {"max": 13, "used": 1}});
    sandbox.change_owner(json!({"quota": quota})).await;
    let pool = |free: u64, max: u64, used: u64| json!({"free": free, "max": max, "used": used, "unit": "video_size"});
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"], &shown["lifetime"]), (&pool(12, 13, 1), &pool(90, 100, 10)));
    assert_eq!(shown["space"]["free"], 90);

    assert_eq!(sandbox.create_with(Some("nobody")).await, (200, Value::Null));
    assert_eq!(sandbox.create_with(Some("unlisted")).await, (200, Value::Null));
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"], &shown["lifetime"]), (&pool(2, 13, 11), &pool(90, 100, 10)));
    for view in ["nobody", "password", "unlisted", "disable"] {
        assert_eq!(sandbox.create_with(Some(view)).await, (403, json!(4101)), "{view}");
    }
    assert_eq!(sandbox.create_with(Some("anybody")).await, (200, Value::Null));
    assert_eq!(sandbox.create_with(None).await, (200, Value::Null));
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"], &shown["lifetime"]), (&pool(2, 13, 11), &pool(80, 100, 20)));
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.json()["user"]["upload_quota"], shown);
}

#[tokio::test]
async fn a_video_that_is_opened_leaves_the_restricted_pool() {
    let sandbox = TestSandbox::strict().await;
    let quota = json!({"lifetime": {"max": 100}, "restricted": {"max": 5}});
    sandbox.change_owner(json!({"quota": quota})).await;
    let video = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    assert_eq!(sandbox.create_with(Some("nobody")).await, (403, json!(4101)));
    // Another version of a closed video is closed too.
    let version = json!({"upload": {"approach": "tus", "size": 5}, "file_name": "a.mp4"});
    let refused = sandbox.call("POST", &format!("{video}/versions"), &version).await;
    assert_eq!((refused.status, refused.code()), (403, json!(4101)));
    sandbox.call("PATCH", &video, &json!({"privacy": {"view": "anybody"}})).await;
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"]["used"], &shown["lifetime"]["used"]), (&json!(0), &json!(5)));
    let made = sandbox.call("POST", &format!("{video}/versions"), &version).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(sandbox.create_with(Some("nobody")).await, (200, Value::Null));
    sandbox.call("DELETE", &video, &Value::Null).await;
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"]["used"], &shown["lifetime"]["used"]), (&json!(5), &json!(0)));
}

#[tokio::test]
async fn a_restricted_pool_can_count_videos_or_be_unlimited() {
    let sandbox = TestSandbox::strict().await;
    let quota = json!({"unit": "count", "lifetime": {"max": 1}, "restricted": {"max": 1}});
    sandbox.change_owner(json!({"quota": quota})).await;
    assert_eq!(sandbox.create_with(None).await, (200, Value::Null));
    assert_eq!(sandbox.create_with(Some("nobody")).await, (200, Value::Null));
    let full = json!({"free": 0, "max": 1, "used": 1, "unit": "video_count"});
    let shown = sandbox.quota().await;
    assert_eq!((&shown["restricted"], &shown["lifetime"]), (&full, &full));
    assert_eq!(sandbox.create_with(None).await, (403, json!(4103)));
    assert_eq!(sandbox.create_with(Some("nobody")).await, (403, json!(4103)));

    let quota = json!({"lifetime": {"max": 5}, "restricted": {"max": null, "used": 7}});
    sandbox.change_owner(json!({"quota": quota})).await;
    assert_eq!(sandbox.create_with(Some("nobody")).await, (200, Value::Null));
    let unlimited = json!({"free": null, "max": null, "used": 17, "unit": "video_size"});
    assert_eq!(sandbox.quota().await["restricted"], unlimited);
    // Without the pool all videos count alike.
    sandbox.change_owner(json!({"quota": {"lifetime": {"max": 100}}})).await;
    let shown = sandbox.quota().await;
    assert!(shown.get("restricted").is_none() && shown["lifetime"]["used"] == 15, "{shown}");
    let refused =
        sandbox.control("PATCH", "users/240002", &json!({"quota": {"restricted": {"used": 1}}})).await;
    assert!(refused.status == 400 && refused.text().contains("`restricted` must be"));
}

#[tokio::test]
async fn an_upload_of_unknown_size_fails_if_it_exceeds_its_pool() {
    let sandbox = TestSandbox::strict().await;
    let quota = json!({"lifetime": {"max": 1_000_000}, "restricted": {"max": 2}});
    sandbox.change_owner(json!({"quota": quota})).await;
    for (view, status) in [("nobody", "total_cap_exceeded"), ("anybody", "transcode_starting")] {
        let made = sandbox
            .call("POST", "/me/videos", &json!({"upload": {"approach": "post"}, "privacy": {"view": view}}))
            .await
            .json();
        let link = made["upload"]["upload_link"].as_str().unwrap();
        let path = link.strip_prefix(&sandbox.running.base_url).unwrap();
        let body = b"--x\r\nContent-Disposition: form-data; name=\"file_data\"; filename=\"a.mp4\"\r\n\r\nhello\r\n--x--\r\n";
        sandbox.send("POST", path, &[("Content-Type", "multipart/form-data; boundary=x")], body).await;
        let video = sandbox.request("GET", made["uri"].as_str().unwrap()).await.json();
        assert_eq!(video["status"], status);
    }
}
