//! Images as thumbnails, and the thumbnail that every playable video has.

use serde_json::{Value, json};

use crate::support::publication::{PNG, VTT, refused_field};
use crate::support::test_sandbox::TestSandbox;
use crate::support::uploads::sha256;

#[tokio::test]
async fn an_image_becomes_the_thumbnail() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    // `active` and `time` count in the body only.
    let path = format!("{video}/pictures?active=true&time=2");
    let made = sandbox.call("POST", &path, &Value::Null).await;
    assert_eq!((made.status, made.header("content-type")), (201, Some("application/vnd.vimeo.picture+json")));
    let made = made.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(
        (&made["active"], &made["type"], &made["default_picture"], made.get("time")),
        (&json!(false), &json!("custom"), &json!(false), None)
    );
    // The link is shown once.
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json().get("link"), None);
    let early = sandbox.call("PATCH", uri, &json!({"active": true})).await;
    assert_eq!(refused_field(&early), (400, json!("active"), json!(2204)));

    assert_eq!(sandbox.put_file(&made, PNG).await.status, 200);
    let ignored = sandbox.call("PATCH", &format!("{uri}?active=true"), &json!({})).await;
    assert_eq!((ignored.status, &ignored.json()["active"]), (200, &json!(false)));
    let changed = sandbox.call("PATCH", uri, &json!({"active": true})).await;
    assert_eq!((changed.status, &changed.json()["active"]), (200, &json!(true)));
    let shown = sandbox.call("GET", &video, &Value::Null).await.json()["pictures"].clone();
    assert_eq!((&shown["uri"], &shown["type"]), (&json!(uri), &json!("custom")));
    let record = sandbox.recorded(&video).await["pictures"][0].clone();
    assert_eq!(
        (&record["active"], &record["file"]["size"], &record["file"]["sha256"], &record["file"]["format"]),
        (&json!(true), &json!(PNG.len()), &json!(sha256(PNG)), &json!("png"))
    );
    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 204);
    assert_eq!(sandbox.put_file(&made, PNG).await.status, 404);
}

#[tokio::test]
async fn a_picture_is_changed_at_its_own_address_only() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_image(&video).await;
    let body = json!({"active": true});
    assert_eq!(sandbox.call("PATCH", &format!("{video}/pictures"), &body).await.status, 405);
    let link = sandbox.call("PATCH", &sandbox.path_in(&made["link"]), &body).await;
    assert_eq!((link.status, link.header("allow")), (405, Some("PUT")));
    assert_eq!(sandbox.call("PATCH", &format!("{video}/pictures/1"), &body).await.status, 404);
    let stranger = sandbox.token_of_another_user().await;
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(sandbox.api(&stranger, "PATCH", uri, &body).await.status, 403);
    assert_eq!(sandbox.api(&stranger, "POST", &format!("{video}/pictures"), &Value::Null).await.status, 403);
    for (scope, method, path) in [("edit", "PATCH", uri), ("upload", "POST", &format!("{video}/pictures"))] {
        let token = sandbox.token_with("public private delete interact create").await;
        let refused = sandbox.api(&token, method, path, &body).await;
        let error = format!("Your access token does not have the \"{scope}\" scope");
        assert_eq!((refused.status, refused.json()), (403, json!({"error": error})));
    }
}

#[tokio::test]
async fn only_images_are_accepted() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_image(&video).await;
    for bytes in [b"".as_slice(), VTT, b"<svg></svg>", b"GIF88a", b"BM"] {
        assert_eq!(sandbox.put_file(&made, bytes).await.status, 400, "{bytes:?}");
    }
    assert_eq!(sandbox.recorded(&video).await["pictures"][0]["file"], Value::Null);
    for (bytes, format) in [(b"\xff\xd8\xff\xe0".as_slice(), "jpeg"), (b"GIF89a", "gif"), (PNG, "png")] {
        assert_eq!(sandbox.put_file(&made, bytes).await.status, 200, "{format}");
        assert_eq!(sandbox.recorded(&video).await["pictures"][0]["file"]["format"], format);
    }
}

#[tokio::test]
async fn an_image_is_active_once_it_is_processed() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.playable().await;
    sandbox.control("PATCH", "settings", &json!({"image_millis": 5000})).await;
    let made = sandbox.make_image(&video).await;
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(sandbox.put_file(&made, PNG).await.status, 200);
    let changed = sandbox.call("PATCH", uri, &json!({"active": true})).await;
    assert_eq!((changed.status, &changed.json()["active"]), (200, &json!(false)));
    let kind = async || sandbox.call("GET", &video, &Value::Null).await.json()["pictures"]["type"].clone();
    assert_eq!(kind().await, "default");
    sandbox.pass_seconds(5);
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json()["active"], true);
    assert_eq!(kind().await, "custom");
}

#[tokio::test]
async fn a_playable_video_has_an_automatic_thumbnail() {
    let sandbox = TestSandbox::strict().await;
    let empty = sandbox.placeholder(json!({})).await;
    let none = sandbox.call("GET", &format!("{empty}/pictures"), &Value::Null).await.json();
    assert_eq!(none["total"], 0);
    let video = sandbox.playable().await;
    let list = sandbox.call("GET", &format!("{video}/pictures"), &Value::Null).await.json();
    assert_eq!(list["total"], 1);
    let automatic = &list["data"][0];
    assert_eq!(
        (&automatic["type"], &automatic["default_picture"], &automatic["active"]),
        (&json!("default"), &json!(true), &json!(true))
    );
    let uri = automatic["uri"].as_str().unwrap();
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json(), *automatic);
    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 403);

    let custom =
        sandbox.call("POST", &format!("{video}/pictures"), &json!({"time": 1, "active": true})).await;
    let custom = custom.json()["uri"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json()["active"], false);
    // Back to the automatic one.
    let changed = sandbox.call("PATCH", uri, &json!({"active": true})).await;
    assert_eq!((changed.status, &changed.json()["active"]), (200, &json!(true)));
    assert_eq!(sandbox.call("GET", &custom, &Value::Null).await.json()["active"], false);
    let shown = sandbox.call("GET", &video, &Value::Null).await.json();
    assert_eq!(
        (&shown["pictures"]["uri"], &shown["pictures"]["default_picture"]),
        (&json!(uri), &json!(true))
    );
    assert_eq!(shown["metadata"]["connections"]["pictures"]["total"], 2);
}

#[tokio::test]
async fn the_link_of_an_image_gets_faults() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_image(&video).await;
    sandbox.fault(json!({"route": "PUT /files/pictures/*", "kind": "cut-after"})).await;
    let path = sandbox.path_in(&made["link"]);
    assert_eq!(sandbox.receive("PUT", &path, &[], PNG).await.unwrap(), b"");
    assert_eq!(sandbox.recorded(&video).await["pictures"][0]["file"]["size"], PNG.len());
    sandbox.fault(json!({"route": "PUT /files/pictures/{key}", "kind": "expired-link"})).await;
    for _ in 0..2 {
        assert_eq!(sandbox.put_file(&made, PNG).await.status, 404);
    }
    let put = sandbox.journal().await.into_iter().find(|entry| entry["method"] == "PUT").unwrap();
    assert_eq!((&put["body"], &put["route"]), (&Value::Null, &json!("PUT /files/pictures/{key}")));
    assert!(put["path"].as_str().unwrap().starts_with("/files/pictures/fingerprint:"), "{put}");
}
