//! What concerns all parts of a publication: scopes, plans that lack a part, the record in the controls, the state file.

use sandbox::{Options, Plan};
use serde_json::{Value, json};

use crate::support::publication::{PNG, VTT};
use crate::support::test_sandbox::TestSandbox;

/// A video with one of each part. Returns its URI and that of the showcase.
async fn publish(sandbox: &TestSandbox) -> (String, String) {
    let video = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let track = sandbox.make_track(&video, "captions", "en").await;
    assert_eq!(sandbox.put_file(&track, VTT).await.status, 200);
    let image = sandbox.make_image(&video).await;
    assert_eq!(sandbox.put_file(&image, PNG).await.status, 200);
    let chapter = json!({"title": "Start", "timecode": 0});
    let showcase = sandbox.call("POST", "/me/albums", &json!({"name": "Films"})).await.json();
    let showcase = showcase["uri"].as_str().unwrap().to_owned();
    let preset = sandbox.call("GET", "/me/presets", &Value::Null).await.json()["data"][0]["uri"].clone();
    let preset = preset.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    for (method, path, body, status) in [
        ("PUT", format!("{video}/tags"), json!(["sea"]), 200),
        ("POST", format!("{video}/chapters"), chapter, 201),
        ("PUT", format!("{showcase}{video}"), Value::Null, 204),
        ("PUT", format!("{video}/presets/{preset}"), Value::Null, 204),
        ("PATCH", image["uri"].as_str().unwrap().to_owned(), json!({"active": true}), 200),
        ("PATCH", video.clone(), json!({"privacy": {"view": "anybody"}}), 200),
    ] {
        let reply = sandbox.call(method, &path, &body).await;
        assert_eq!(reply.status, status, "{method} {path} {}", reply.text());
    }
    (video, showcase)
}

#[tokio::test]
async fn every_part_names_the_scope_that_is_missing() {
    let sandbox = TestSandbox::strict().await;
    let (video, showcase) = publish(&sandbox).await;
    let all = ["public", "private", "create", "edit", "delete", "interact", "upload"];
    for (method, path, scope) in [
        ("POST", format!("{video}/texttracks"), "upload"),
        ("PATCH", format!("{video}/texttracks/1"), "upload"),
        ("DELETE", format!("{video}/texttracks/1"), "upload"),
        ("GET", format!("{video}/texttracks"), "private"),
        ("PUT", format!("{video}/tags"), "edit"),
        ("PUT", format!("{video}/tags/sea"), "edit"),
        ("DELETE", format!("{video}/tags/sea"), "edit"),
        ("GET", format!("{video}/tags"), "private"),
        ("POST", format!("{video}/chapters"), "upload"),
        ("PATCH", format!("{video}/chapters/1"), "upload"),
        ("DELETE", format!("{video}/chapters/1"), "upload"),
        ("GET", format!("{video}/chapters"), "private"),
        ("POST", "/me/albums".to_owned(), "create"),
        ("PATCH", showcase.clone(), "edit"),
        ("DELETE", showcase.clone(), "edit"),
        ("GET", showcase.clone(), "private"),
        ("PUT", format!("{showcase}{video}"), "edit"),
        ("DELETE", format!("{showcase}{video}"), "edit"),
    ] {
        let others: Vec<&str> = all.into_iter().filter(|name| *name != scope).collect();
        let token = sandbox.token_with(&others.join(" ")).await;
        let refused = sandbox.api(&token, method, &path, &json!({"name": "x"})).await;
        let error = format!("Your access token does not have the \"{scope}\" scope");
        assert_eq!((refused.status, refused.json()), (403, json!({"error": error})), "{method} {path}");
    }
}

#[tokio::test]
async fn a_plan_can_lack_each_part() {
    let sandbox = TestSandbox::strict().await;
    let (video, showcase) = publish(&sandbox).await;
    let upload = json!({"approach": "tus", "size": 4});
    let track = json!({"type": "captions", "language": "en"});
    let preset =
        sandbox.recorded(&video).await["preset"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    for (feature, method, path, body, status) in [
        ("text_tracks", "POST", format!("{video}/texttracks"), track, 201),
        ("thumbnails", "POST", format!("{video}/pictures"), Value::Null, 201),
        ("tags", "PUT", format!("{video}/tags"), json!(["a"]), 200),
        ("showcases", "PUT", format!("{showcase}{video}"), Value::Null, 204),
        ("presets", "PUT", format!("{video}/presets/{preset}"), Value::Null, 204),
        ("chapters", "POST", format!("{video}/chapters"), json!({"title": "A", "timecode": 7}), 201),
        ("versions", "POST", format!("{video}/versions"), json!({"file_name": "a", "upload": upload}), 201),
    ] {
        sandbox.change_owner(json!({"refused_features": [feature]})).await;
        let before = sandbox.recorded(&video).await;
        let refused = sandbox.call(method, &path, &body).await;
        assert_eq!(refused.status, 403, "{feature} {}", refused.text());
        assert_eq!(sandbox.recorded(&video).await, before, "{feature}");
        if feature == "versions" {
            assert_eq!(refused.code(), 3427);
        }
        sandbox.change_owner(json!({"refused_features": []})).await;
        assert_eq!(sandbox.call(method, &path, &body).await.status, status, "{feature}");
    }
    let unknown = sandbox.control("PATCH", "users/240002", &json!({"refused_features": ["music"]})).await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.json()["error"].as_str().unwrap().contains("`music`"));
}

#[tokio::test]
async fn the_record_of_a_video_shows_when_it_was_opened() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let record = sandbox.recorded(&video).await;
    assert_eq!((&record["view"], &record["opened_at"]), (&json!("nobody"), &Value::Null));
    sandbox.pass_seconds(1);
    let image = sandbox.make_image(&video).await;
    assert_eq!(sandbox.put_file(&image, PNG).await.status, 200);
    sandbox.pass_seconds(1);
    for view in ["unlisted", "unlisted", "anybody"] {
        sandbox.call("PATCH", &video, &json!({"name": "N", "privacy": {"view": view}})).await;
        sandbox.pass_seconds(1);
    }
    let refused = sandbox.call("PATCH", &video, &json!({"privacy": {"view": "nowhere"}})).await;
    assert_eq!(refused.status, 400);
    let record = sandbox.recorded(&video).await;
    let (unlisted, open) = ("2021-10-05T13:46:36Z", "2021-10-05T13:46:38Z");
    assert_eq!(
        record["view_changes"],
        json!([{"view": "unlisted", "at": unlisted}, {"view": "anybody", "at": open}])
    );
    assert_eq!(record["opened_at"], open);
    assert_eq!(record["pictures"][0]["file"]["received_at"], "2021-10-05T13:46:35Z");
}

#[tokio::test]
async fn the_state_file_keeps_everything_and_a_reset_removes_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let start =
        async || TestSandbox::with(Options { state_file: Some(file.clone()), ..Options::default() }).await;
    let sandbox = start().await;
    let (video, showcase) = publish(&sandbox).await;
    sandbox.change_owner(json!({"refused_features": ["tags", "versions"]})).await;
    let settings = json!({"empty_track_links": false, "playable_millis": 7, "image_millis": 9});
    sandbox.control("PATCH", "settings", &settings).await;
    let record = sandbox.recorded(&video).await;
    let list = sandbox.call("GET", &format!("{video}/texttracks"), &Value::Null).await.json();
    let link = sandbox.path_in(&list["data"][0]["link"]);
    sandbox.running.stop().await;

    let sandbox = start().await;
    assert_eq!(sandbox.recorded(&video).await, record);
    assert_eq!(sandbox.control("GET", "settings", &Value::Null).await.json(), settings);
    let users = sandbox.control("GET", "users", &Value::Null).await.json();
    assert_eq!(users["users"][0]["refused_features"], json!(["tags", "versions"]));
    assert_eq!(sandbox.send("GET", &link, &[], b"").await.body, VTT);
    sandbox.control("POST", "reset", &Value::Null).await;
    assert_eq!(sandbox.call("GET", &showcase, &Value::Null).await.status, 404);
    assert_eq!(sandbox.send("GET", &link, &[], b"").await.status, 404);
}

#[tokio::test]
async fn requests_count_against_the_rate_limit_and_files_do_not() {
    let sandbox = TestSandbox::on_plan(Plan::Free).await;
    let video = sandbox.placeholder(json!({})).await;
    let remaining = async || {
        let reply = sandbox.call("GET", &format!("{video}/tags"), &Value::Null).await;
        reply.header("x-ratelimit-remaining").unwrap().parse::<u64>().unwrap()
    };
    let before = remaining().await;
    let track = sandbox.make_track(&video, "captions", "en").await;
    assert_eq!(remaining().await, before - 2);
    for _ in 0..3 {
        assert_eq!(sandbox.put_file(&track, VTT).await.status, 200);
    }
    assert_eq!(remaining().await, before - 3);
}
