use serde_json::{Value, json};

use crate::harness::Desk;

impl Desk {
    /// Makes a folder: its URI.
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
async fn a_folder_is_the_same_by_every_name() {
    let desk = Desk::strict().await;
    let uri = desk.folder(json!({"name": "Clips"})).await;
    let number = uri.rsplit('/').next().unwrap();
    let me =
        desk.call("GET", "/me?fields=uri", &Value::Null).await.json()["uri"].as_str().unwrap().to_owned();
    assert_eq!(uri, format!("{me}/projects/{number}"));
    for path in
        [format!("/me/projects/{number}"), format!("/me/folders/{number}"), format!("{me}/folders/{number}")]
    {
        assert_eq!(desk.call("GET", &path, &Value::Null).await.json()["uri"], uri, "{path}");
    }
    for spelling in [
        uri.clone(),
        format!("{me}/folders/{number}"),
        format!("/folders/{number}"),
        format!("/projects/{number}"),
        format!("/me/projects/{number}"),
        format!("/me/folders/{number}"),
    ] {
        let video = desk.placeholder(json!({"folder_uri": spelling})).await;
        assert_eq!(desk.parent_of(&video).await, uri, "{spelling}");
    }
    for wrong in
        ["", "/", number, "/folders/1", "/users/1/folders/2", "/videos/1", "https://vimeo.com/folders/1"]
    {
        let body = json!({"upload": {"approach": "tus", "size": 5}, "folder_uri": wrong});
        let refused = desk.call("POST", "/me/videos", &body).await;
        assert_eq!((refused.status, refused.code()), (404, json!(5000)), "{wrong}");
    }
}

#[tokio::test]
async fn a_video_lies_in_one_folder_at_most() {
    let desk = Desk::strict().await;
    let (one, other) =
        (desk.folder(json!({"name": "One"})).await, desk.folder(json!({"name": "Other"})).await);
    let video = desk.placeholder(json!({})).await;
    assert_eq!(desk.parent_of(&video).await, Value::Null);
    for folder in [&one, &other] {
        assert_eq!(desk.call("PUT", &format!("{folder}{video}"), &Value::Null).await.status, 204);
        assert_eq!(desk.parent_of(&video).await, **folder);
    }
    let inside = desk.call("GET", &format!("{one}/videos"), &Value::Null).await.json();
    assert_eq!(inside["total"], 0);
    assert_eq!(desk.call("DELETE", &format!("{one}{video}"), &Value::Null).await.status, 404);
    assert_eq!(desk.call("DELETE", &format!("{other}{video}"), &Value::Null).await.status, 204);
    assert_eq!(desk.parent_of(&video).await, Value::Null);
}

#[tokio::test]
async fn many_videos_are_placed_all_or_none() {
    let desk = Desk::strict().await;
    let folder = desk.folder(json!({"name": "Many"})).await;
    let (one, other) = (desk.placeholder(json!({})).await, desk.placeholder(json!({})).await);
    let path = |uris: &str| format!("{folder}/videos?uris={uris}");
    assert_eq!(desk.call("PUT", &path(&format!("{one},/videos/1")), &Value::Null).await.status, 404);
    assert_eq!(desk.parent_of(&one).await, Value::Null);
    assert_eq!(desk.call("PUT", &path(&format!("{one},{other}")), &Value::Null).await.status, 204);
    let inside = desk.call("GET", &format!("{folder}/videos"), &Value::Null).await.json();
    assert_eq!(inside["total"], 2);
    assert_eq!(desk.call("DELETE", &path(&format!("{one},{other}")), &Value::Null).await.status, 204);
    assert_eq!(desk.parent_of(&other).await, Value::Null);
    for uris in ["", "1,2", "/videos/x"] {
        assert_eq!(desk.call("PUT", &path(uris), &Value::Null).await.status, 400, "{uris}");
    }
}

#[tokio::test]
async fn folders_lie_in_folders_and_go_with_them() {
    let desk = Desk::strict().await;
    let outer = desk.folder(json!({"name": "Outer"})).await;
    let inner = desk.folder(json!({"name": "Inner", "parent_folder_uri": outer})).await;
    let kept = desk.placeholder(json!({"folder_uri": inner})).await;
    let items = desk.call("GET", &format!("{outer}/items"), &Value::Null).await.json();
    assert_eq!((&items["total"], &items["data"][0]["folder"]["uri"]), (&json!(1), &json!(inner)));
    let below = desk.call("GET", &format!("{outer}/folders"), &Value::Null).await.json();
    assert_eq!(below["data"][0]["metadata"]["connections"]["parent_folder"]["uri"], outer);
    let renamed = desk.call("PATCH", &inner, &json!({"name": "Renamed"})).await;
    assert_eq!((renamed.status, &renamed.json()["name"]), (200, &json!("Renamed")));
    assert_eq!(desk.call("DELETE", &outer, &Value::Null).await.status, 204);
    assert_eq!(desk.call("GET", &inner, &Value::Null).await.status, 404);
    assert_eq!(desk.parent_of(&kept).await, Value::Null);

    let doomed = desk.folder(json!({"name": "Doomed"})).await;
    let video = desk.placeholder(json!({"folder_uri": doomed})).await;
    let path = format!("{doomed}?should_delete_clips=true");
    assert_eq!(desk.call("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(desk.call("GET", &video, &Value::Null).await.status, 404);
    assert_eq!(desk.call("GET", "/me/folders", &Value::Null).await.json()["total"], 0);
}

#[tokio::test]
async fn strangers_find_no_folder() {
    let desk = Desk::strict().await;
    let folder = desk.folder(json!({"name": "Mine"})).await;
    let mine = desk.placeholder(json!({})).await;
    let stranger = desk.strangers_token().await;
    for (method, path) in [
        ("GET", folder.clone()),
        ("GET", format!("{folder}/videos")),
        ("PATCH", folder.clone()),
        ("DELETE", folder.clone()),
        ("PUT", format!("{folder}{mine}")),
    ] {
        let answer = desk.api(&stranger, method, &path, &json!({"name": "x"})).await;
        assert_eq!((answer.status, answer.code()), (404, json!(5000)), "{method} {path}");
    }
    let body = json!({"upload": {"approach": "tus", "size": 5}, "folder_uri": folder});
    assert_eq!(desk.api(&stranger, "POST", "/me/videos", &body).await.status, 404);
    // Nor does one's own folder take what belongs to somebody else.
    let theirs = desk.api(&stranger, "POST", "/me/folders", &json!({"name": "Theirs"})).await.json();
    let path = format!("{}{mine}", theirs["uri"].as_str().unwrap());
    assert_eq!(desk.api(&stranger, "PUT", &path, &Value::Null).await.status, 403);
}
