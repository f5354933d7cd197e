//! Tags of a video.

use serde_json::{Value, json};

use crate::support::publication::refused_field;
use crate::support::test_sandbox::TestSandbox;

impl TestSandbox {
    async fn tags(&self, video: &str) -> Vec<String> {
        let list = self.call("GET", &format!("{video}/tags?per_page=100"), &Value::Null).await.json();
        let name = |tag: &Value| tag["name"].as_str().unwrap().to_owned();
        list["data"].as_array().unwrap().iter().map(name).collect()
    }
}

#[tokio::test]
async fn tags_are_added_listed_and_removed() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let tags = format!("{video}/tags");
    let put = sandbox.call("PUT", &tags, &json!(["Sea", {"name": "Summer Holidays"}])).await;
    assert_eq!((put.status, &put.json()["total"]), (200, &json!(2)));
    let holidays = &put.json()["data"][1];
    assert_eq!(
        (&holidays["name"], &holidays["canonical"], &holidays["uri"]),
        (&json!("Summer Holidays"), &json!("summerholidays"), &json!("/tags/summerholidays"))
    );
    // They are added to those that the video has; the same tag is not added twice.
    assert_eq!(sandbox.call("PUT", &tags, &json!(["sea", "Beach"])).await.status, 200);
    assert_eq!(sandbox.tags(&video).await, ["Sea", "Summer Holidays", "Beach"]);
    let shown = sandbox.call("GET", &format!("{video}?fields=tags.name"), &Value::Null).await.json();
    assert_eq!(shown, json!({"tags": [{"name": "Sea"}, {"name": "Summer Holidays"}, {"name": "Beach"}]}));

    let one = |word: &str| format!("{tags}/{word}");
    for (method, word, status) in [
        ("GET", "waves", 404),
        ("PUT", "waves", 204),
        ("GET", "Waves", 200),
        ("DELETE", "Summer%20Holidays", 204),
        ("DELETE", "summerholidays", 404),
        ("PUT", "%21", 400),
    ] {
        assert_eq!(sandbox.call(method, &one(word), &Value::Null).await.status, status, "{method} {word}");
    }
    assert_eq!(sandbox.tags(&video).await, ["Sea", "Beach", "waves"]);
    assert_eq!(sandbox.recorded(&video).await["tags"], json!(["Sea", "Beach", "waves"]));
}

#[tokio::test]
async fn a_video_has_twenty_tags_at_most() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let tags = format!("{video}/tags");
    let names = |count: usize| json!((0..count).map(|number| format!("tag {number}")).collect::<Vec<_>>());
    assert_eq!(sandbox.call("PUT", &tags, &names(21)).await.status, 403);
    assert_eq!(sandbox.tags(&video).await.len(), 0);
    for _ in 0..2 {
        assert_eq!(sandbox.call("PUT", &tags, &names(20)).await.status, 200);
    }
    assert_eq!(sandbox.call("PUT", &format!("{tags}/another"), &Value::Null).await.status, 403);
    assert_eq!(sandbox.call("PUT", &format!("{tags}/tag3"), &Value::Null).await.status, 204);
    assert_eq!(sandbox.tags(&video).await.len(), 20);
}

#[tokio::test]
async fn a_body_that_is_no_list_of_names_is_refused() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let tags = format!("{video}/tags");
    for body in [json!({"tags": ["a"]}), json!("a"), json!([1]), json!([{"tag": "a"}]), json!([["a"]])] {
        let refused = sandbox.call("PUT", &tags, &body).await;
        assert_eq!(refused_field(&refused), (400, json!("tags"), json!(2204)), "{body}");
    }
    for body in [json!([""]), json!(["a", "  "]), json!([{"name": "!"}])] {
        let refused = sandbox.call("PUT", &tags, &body).await;
        assert_eq!(refused_field(&refused), (400, json!("name"), json!(2204)), "{body}");
    }
    let empty = sandbox.call("PUT", &tags, &Value::Null).await;
    assert_eq!((empty.status, empty.code()), (400, json!(2700)));
    assert_eq!(sandbox.tags(&video).await.len(), 0);
}

#[tokio::test]
async fn tags_belong_to_the_owner_of_the_video() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let stranger = sandbox.token_of_another_user().await;
    for (video, status) in [(public.as_str(), 403), (hidden.as_str(), 404), ("/videos/1", 404)] {
        for (method, path) in [
            ("GET", format!("{video}/tags")),
            ("PUT", format!("{video}/tags")),
            ("PUT", format!("{video}/tags/a")),
            ("DELETE", format!("{video}/tags/a")),
        ] {
            let refused = sandbox.api(&stranger, method, &path, &json!(["a"])).await;
            assert_eq!(refused.status, status, "{method} {path}");
        }
    }
}
