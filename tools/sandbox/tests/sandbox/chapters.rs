//! Chapters of a video.

use serde_json::{Value, json};

use crate::support::publication::refused_field;
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn chapters_are_created_listed_changed_and_deleted() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let chapters = format!("{video}/chapters");
    let mut uris = Vec::new();
    for (title, timecode) in [("End", 90), ("Start", 0), ("Middle", 45)] {
        let made = sandbox.call("POST", &chapters, &json!({"title": title, "timecode": timecode})).await;
        assert_eq!((made.status, &made.json()["title"]), (201, &json!(title)));
        uris.push(made.json()["uri"].as_str().unwrap().to_owned());
    }
    let titles = async || -> Vec<Value> {
        let list = sandbox.call("GET", &chapters, &Value::Null).await.json();
        list["data"].as_array().unwrap().iter().map(|chapter| chapter["title"].clone()).collect()
    };
    assert_eq!(titles().await, ["Start", "Middle", "End"]);
    let changed = sandbox.call("PATCH", &uris[0], &json!({"timecode": 30})).await;
    assert_eq!((changed.status, &changed.json()["title"]), (200, &json!("End")));
    assert_eq!(sandbox.call("GET", &uris[0], &Value::Null).await.json(), changed.json());
    assert_eq!(titles().await, ["Start", "End", "Middle"]);
    assert_eq!(sandbox.call("DELETE", &uris[1], &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("DELETE", &uris[1], &Value::Null).await.status, 404);
    assert_eq!(
        sandbox.recorded(&video).await["chapters"],
        json!([
            {"uri": uris[0], "title": "End", "timecode": 30},
            {"uri": uris[2], "title": "Middle", "timecode": 45},
        ])
    );
}

#[tokio::test]
async fn an_invalid_chapter_is_refused_and_changes_nothing() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let chapters = format!("{video}/chapters");
    let first = json!({"title": "First", "timecode": 0});
    let uri = sandbox.call("POST", &chapters, &first).await.json()["uri"].as_str().unwrap().to_owned();
    sandbox.call("POST", &chapters, &json!({"title": "Second", "timecode": 5})).await;
    let before = sandbox.call("GET", &chapters, &Value::Null).await.json();
    for (field, value) in [
        ("title", json!("")),
        ("title", json!(7)),
        ("title", Value::Null),
        ("timecode", Value::Null),
        ("timecode", json!(-1)),
        ("timecode", json!(1.5)),
        ("timecode", json!("00:01")),
        // Two chapters cannot begin at the same time.
        ("timecode", json!(5)),
    ] {
        let mut body = json!({"title": "Another", "timecode": 9});
        body[field] = value.clone();
        let refused = sandbox.call("POST", &chapters, &body).await;
        assert_eq!(refused_field(&refused), (400, json!(field), json!(2204)), "{field} {value}");
        let refused = sandbox.call("PATCH", &uri, &json!({field: value})).await;
        assert_eq!(refused_field(&refused), (400, json!(field), json!(2204)), "{field} {value}");
    }
    assert_eq!(sandbox.call("POST", &chapters, &Value::Null).await.code(), json!(2205));
    assert_eq!(sandbox.call("GET", &chapters, &Value::Null).await.json(), before);
    // Its own time is not that of another chapter.
    assert_eq!(sandbox.call("PATCH", &uri, &first).await.status, 200);
}

#[tokio::test]
async fn chapters_belong_to_the_owner_of_the_video() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let stranger = sandbox.token_of_another_user().await;
    let body = json!({"title": "A", "timecode": 0});
    for (video, status) in [(public.as_str(), 403), (hidden.as_str(), 404), ("/videos/1", 404)] {
        for (method, path) in [
            ("GET", format!("{video}/chapters")),
            ("POST", format!("{video}/chapters")),
            ("GET", format!("{video}/chapters/1")),
            ("PATCH", format!("{video}/chapters/1")),
            ("DELETE", format!("{video}/chapters/1")),
        ] {
            let refused = sandbox.api(&stranger, method, &path, &body).await;
            assert_eq!(refused.status, status, "{method} {path}");
        }
    }
    assert_eq!(sandbox.call("GET", &format!("{public}/chapters/1"), &Value::Null).await.status, 404);
}
