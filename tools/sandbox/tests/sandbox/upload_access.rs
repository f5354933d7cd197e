use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn an_app_that_loses_its_upload_access_shows_no_quota_and_is_refused() {
    let sandbox = TestSandbox::strict().await;
    let order = json!({"upload": {"approach": "tus", "size": 5}, "file_name": "a.mp4"});
    let video = sandbox.placeholder(json!({})).await;
    let versions = format!("{video}/versions");
    sandbox.change_owner(json!({"quota": {"lifetime": {"max": 100}, "restricted": {"max": 9}}})).await;
    let set = async |has_access: bool| {
        let changed = sandbox.control("PATCH", "apps/240001", &json!({"upload_access": has_access})).await;
        assert_eq!((changed.status, &changed.json()["upload_access"]), (200, &json!(has_access)));
    };
    let quotas = async || {
        let me = sandbox.request("GET", "/me").await.json();
        let picked = sandbox.request("GET", "/me?fields=upload_quota").await.json();
        let verified = sandbox.request("GET", "/oauth/verify").await.json();
        let video = sandbox.request("GET", &video).await.json();
        [me, picked, verified["user"].clone(), video["user"].clone()]
            .map(|user| user.get("upload_quota").is_some())
    };
    assert_eq!(quotas().await, [true; 4]);

    set(false).await;
    assert_eq!(quotas().await, [false; 4]);
    let me = sandbox.request("GET", "/me?fields=uri,upload_quota").await;
    assert_eq!((me.status, me.json()), (200, json!({"uri": "/users/240002"})));
    for path in ["/me/videos", "/users/240002/videos", versions.as_str()] {
        let refused = sandbox.call("POST", path, &order).await;
        let error = json!({"error": "The app is not allowed to perform that action."});
        assert_eq!((refused.status, refused.json()), (403, error), "{path}");
        assert_eq!(refused.header("vimeo-error-code"), None);
    }
    let listed = sandbox.request("GET", "/me/videos?fields=uri").await.json();
    assert_eq!(listed["total"], 1);
    // What is not an upload is still allowed.
    assert_eq!(sandbox.call("PATCH", &video, &json!({"name": "Renamed"})).await.status, 200);

    set(true).await;
    assert_eq!(quotas().await, [true; 4]);
    assert_eq!(sandbox.call("POST", "/me/videos", &order).await.status, 200);
    assert_eq!(sandbox.call("DELETE", &video, &Value::Null).await.status, 204);
}
