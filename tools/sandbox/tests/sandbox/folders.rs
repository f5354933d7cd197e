use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

impl TestSandbox {
    /// Creates a folder. Returns its URI.
    async fn folder(&self, body: Value) -> String {
        let made = self.call("POST", "/me/projects", &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["uri"].as_str().unwrap().to_owned()
    }

    async fn parent_of(&self, video: &str) -> Value {
        self.call("GET", video, &Value::Null).await.json()["parent_folder"]["uri"].clone()
    }
}

#[tokio::test]
async fn a_folder_is_the_same_under_all_its_paths() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.folder(json!({"name": "Clips"})).await;
    let number = uri.rsplit('/').next().unwrap();
    let me =
        sandbox.call("GET", "/me?fields=uri", &Value::Null).await.json()["uri"].as_str().unwrap().to_owned();
    assert_eq!(uri, format!("{me}/projects/{number}"));
    for path in
        [format!("/me/projects/{number}"), format!("/me/folders/{number}"), format!("{me}/folders/{number}")]
    {
        assert_eq!(sandbox.call("GET", &path, &Value::Null).await.json()["uri"], uri, "{path}");
    }
    for spelling in [
        uri.clone(),
        format!("{me}/folders/{number}"),
        format!("/folders/{number}"),
        format!("/projects/{number}"),
        format!("/me/projects/{number}"),
        format!("/me/folders/{number}"),
    ] {
        let video = sandbox.placeholder(json!({"folder_uri": spelling})).await;
        assert_eq!(sandbox.parent_of(&video).await, uri, "{spelling}");
    }
    for wrong in
        ["", "/", number, "/folders/1", "/users/1/folders/2", "/videos/1", "https://vimeo.com/folders/1"]
    {
        let body = json!({"upload": {"approach": "tus", "size": 5}, "folder_uri": wrong});
        let refused = sandbox.call("POST", "/me/videos", &body).await;
        assert_eq!((refused.status, refused.code()), (404, json!(5000)), "{wrong}");
    }
}

#[tokio::test]
async fn a_video_is_in_one_folder_at_most() {
    let sandbox = TestSandbox::strict().await;
    let (one, other) =
        (sandbox.folder(json!({"name": "One"})).await, sandbox.folder(json!({"name": "Other"})).await);
    let video = sandbox.placeholder(json!({})).await;
    assert_eq!(sandbox.parent_of(&video).await, Value::Null);
    for folder in [&one, &other] {
        assert_eq!(sandbox.call("PUT", &format!("{folder}{video}"), &Value::Null).await.status, 204);
        assert_eq!(sandbox.parent_of(&video).await, **folder);
    }
    let inside = sandbox.call("GET", &format!("{one}/videos"), &Value::Null).await.json();
    assert_eq!(inside["total"], 0);
    assert_eq!(sandbox.call("DELETE", &format!("{one}{video}"), &Value::Null).await.status, 404);
    assert_eq!(sandbox.call("DELETE", &format!("{other}{video}"), &Value::Null).await.status, 204);
    assert_eq!(sandbox.parent_of(&video).await, Value::Null);
}

#[tokio::test]
async fn several_videos_are_placed_all_or_none() {
    let sandbox = TestSandbox::strict().await;
    let folder = sandbox.folder(json!({"name": "Many"})).await;
    let (one, other) = (sandbox.placeholder(json!({})).await, sandbox.placeholder(json!({})).await);
    let path = |uris: &str| format!("{folder}/videos?uris={uris}");
    assert_eq!(sandbox.call("PUT", &path(&format!("{one},/videos/1")), &Value::Null).await.status, 404);
    assert_eq!(sandbox.parent_of(&one).await, Value::Null);
    assert_eq!(sandbox.call("PUT", &path(&format!("{one},{other}")), &Value::Null).await.status, 204);
    let inside = sandbox.call("GET", &format!("{folder}/videos"), &Value::Null).await.json();
    assert_eq!(inside["total"], 2);
    assert_eq!(sandbox.call("DELETE", &path(&format!("{one},{other}")), &Value::Null).await.status, 204);
    assert_eq!(sandbox.parent_of(&other).await, Value::Null);
    for uris in ["", "1,2", "/videos/x"] {
        assert_eq!(sandbox.call("PUT", &path(uris), &Value::Null).await.status, 400, "{uris}");
    }
}

#[tokio::test]
async fn subfolders_are_deleted_with_their_parent() {
    let sandbox = TestSandbox::strict().await;
    let outer = sandbox.folder(json!({"name": "Outer"})).await;
    let inner = sandbox.folder(json!({"name": "Inner", "parent_folder_uri": outer})).await;
    let kept = sandbox.placeholder(json!({"folder_uri": inner})).await;
    let items = sandbox.call("GET", &format!("{outer}/items"), &Value::Null).await.json();
    assert_eq!((&items["total"], &items["data"][0]["folder"]["uri"]), (&json!(1), &json!(inner)));
    let below = sandbox.call("GET", &format!("{outer}/folders"), &Value::Null).await.json();
    assert_eq!(below["data"][0]["metadata"]["connections"]["parent_folder"]["uri"], outer);
    let renamed = sandbox.call("PATCH", &inner, &json!({"name": "Renamed"})).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Renamed")));
    assert_eq!(sandbox.call("DELETE", &outer, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", &inner, &Value::Null).await.status, 404);
    assert_eq!(sandbox.parent_of(&kept).await, Value::Null);

    let doomed = sandbox.folder(json!({"name": "Doomed"})).await;
    let video = sandbox.placeholder(json!({"folder_uri": doomed})).await;
    let path = format!("{doomed}?should_delete_clips=true");
    assert_eq!(sandbox.call("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", &video, &Value::Null).await.status, 404);
    assert_eq!(sandbox.call("GET", "/me/folders", &Value::Null).await.json()["total"], 0);
}

#[tokio::test]
async fn folders_are_invisible_to_other_users() {
    let sandbox = TestSandbox::strict().await;
    let folder = sandbox.folder(json!({"name": "Mine"})).await;
    let mine = sandbox.placeholder(json!({})).await;
    let other = sandbox.token_of_another_user().await;
    for (method, path) in [
        ("GET", folder.clone()),
        ("GET", format!("{folder}/videos")),
        ("PATCH", folder.clone()),
        ("DELETE", folder.clone()),
        ("PUT", format!("{folder}{mine}")),
    ] {
        let answer = sandbox.api(&other, method, &path, &json!({"name": "x"})).await;
        assert_eq!((answer.status, answer.code()), (404, json!(5000)), "{method} {path}");
    }
    let body = json!({"upload": {"approach": "tus", "size": 5}, "folder_uri": folder});
    assert_eq!(sandbox.api(&other, "POST", "/me/videos", &body).await.status, 404);
    // The caller's folder does not accept other users' videos either.
    let theirs = sandbox.api(&other, "POST", "/me/folders", &json!({"name": "Theirs"})).await.json();
    let path = format!("{}{mine}", theirs["uri"].as_str().unwrap());
    assert_eq!(sandbox.api(&other, "PUT", &path, &Value::Null).await.status, 403);
}
