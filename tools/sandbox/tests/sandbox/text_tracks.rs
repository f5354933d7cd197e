//! Text tracks and their files.

use serde_json::{Value, json};

use crate::support::publication::{VTT, refused_field};
use crate::support::test_sandbox::TestSandbox;
use crate::support::uploads::sha256;

/// One byte more than the largest file.
const TOO_LONG: usize = 10 * 1024 * 1024 + 1;

#[tokio::test]
async fn a_text_track_is_created_filled_read_changed_and_deleted() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let tracks = format!("{video}/texttracks");
    let body = json!({"type": "subtitles", "language": "pt-BR", "name": "subtitles.vtt"});
    let made = sandbox.call("POST", &tracks, &body).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.header("content-type"), Some("application/vnd.vimeo.video.texttrack+json"));
    let made = made.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(uri, format!("{tracks}/{}", made["id"]));
    for (member, value) in [
        ("type", json!("subtitles")),
        ("language", json!("pt-BR")),
        ("display_language", json!("Portuguese (Brazil)")),
        ("name", json!("subtitles.vtt")),
        ("active", json!(false)),
        ("hls_link", Value::Null),
    ] {
        assert_eq!(made.get(member), Some(&value), "{member}");
    }
    // As long as no file has arrived, the upload link is shown again.
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json(), made);

    let sent = sandbox.put_file(&made, VTT).await;
    assert_eq!((sent.status, sent.text()), (200, String::new()));
    let shown = sandbox.call("GET", uri, &Value::Null).await.json();
    assert_ne!(shown["link"], made["link"]);
    let read = sandbox.send("GET", &sandbox.path_in(&shown["link"]), &[], b"").await;
    assert_eq!((read.status, read.header("content-type")), (200, Some("text/vtt; charset=utf-8")));
    assert_eq!(read.body, VTT);
    let record = sandbox.recorded(&video).await["text_tracks"][0].clone();
    assert_eq!(
        (&record["uri"], &record["file"]["size"], &record["file"]["sha256"], &record["file"]["format"]),
        (&json!(uri), &json!(VTT.len()), &json!(sha256(VTT)), &json!("vtt"))
    );

    let change = json!({"name": "Português", "active": true});
    let changed = sandbox.call("PATCH", uri, &change).await;
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("Português")));
    let list = sandbox.call("GET", &tracks, &Value::Null).await.json();
    assert_eq!((&list["total"], &list["data"][0]), (&json!(1), &changed.json()));
    let picked = sandbox.call("GET", &format!("{tracks}?fields=name,active"), &Value::Null).await.json();
    assert_eq!(picked["data"], json!([{"name": "Português", "active": true}]));
    let connections =
        sandbox.call("GET", &video, &Value::Null).await.json()["metadata"]["connections"].clone();
    assert_eq!(
        (&connections["texttracks"]["uri"], &connections["texttracks"]["total"]),
        (&json!(tracks), &json!(1))
    );

    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.status, 404);
    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 404);
    assert_eq!(sandbox.put_file(&made, VTT).await.status, 404);
    assert_eq!(sandbox.send("GET", &sandbox.path_in(&shown["link"]), &[], b"").await.status, 404);
}

#[tokio::test]
async fn one_track_of_each_language_and_type_is_active() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let first = sandbox.make_track(&video, "subtitles", "en").await;
    let second = sandbox.make_track(&video, "subtitles", "en").await;
    sandbox.make_track(&video, "captions", "en").await;
    let german = sandbox.make_track(&video, "subtitles", "de").await;
    let active = async || -> Vec<bool> {
        let list = sandbox.call("GET", &format!("{video}/texttracks"), &Value::Null).await.json();
        list["data"].as_array().unwrap().iter().map(|track| track["active"] == true).collect()
    };
    assert_eq!(active().await, [false, true, true, true]);
    let patch = async |track: &Value, change: Value| {
        let reply = sandbox.call("PATCH", track["uri"].as_str().unwrap(), &change).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    patch(&first, json!({"active": true})).await;
    assert_eq!(active().await, [true, false, true, true]);
    patch(&second, json!({"active": false})).await;
    assert_eq!(active().await, [true, false, true, true]);
    // The language of an active track decides which others are inactive.
    patch(&german, json!({"language": "en"})).await;
    assert_eq!(active().await, [false, false, true, true]);
}

#[tokio::test]
async fn an_invalid_track_is_refused_and_changes_nothing() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let tracks = format!("{video}/texttracks");
    let whole = json!({"type": "captions", "language": "en", "name": "English", "active": true});
    for (field, value) in [
        ("type", Value::Null),
        ("type", json!("lyrics")),
        ("type", json!(7)),
        ("language", Value::Null),
        ("language", json!("klingon")),
        ("language", json!("")),
        ("name", json!(7)),
        ("active", json!("yes")),
    ] {
        let mut body = whole.clone();
        body[field] = value.clone();
        let refused = sandbox.call("POST", &tracks, &body).await;
        assert_eq!(refused_field(&refused), (400, json!(field), json!(2204)), "{field} {value}");
    }
    let empty = sandbox.call("POST", &tracks, &Value::Null).await;
    assert_eq!((empty.status, empty.code()), (400, json!(2205)));
    assert_eq!(sandbox.call("GET", &tracks, &Value::Null).await.json()["total"], 0);

    let made = sandbox.make_track(&video, "captions", "en").await;
    let uri = made["uri"].as_str().unwrap();
    for (field, value) in
        [("type", json!("lyrics")), ("language", json!("xx")), ("name", json!([])), ("active", json!(1))]
    {
        let refused = sandbox.call("PATCH", uri, &json!({field: value})).await;
        assert_eq!(refused_field(&refused), (400, json!(field), json!(2204)), "{field} {value}");
    }
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json(), made);
    // Without a name it has that of its language.
    let unnamed = sandbox.call("POST", &tracks, &json!({"type": "metadata", "language": "de-AT"})).await;
    assert_eq!((unnamed.status, &unnamed.json()["name"]), (201, &json!("German")));
}

#[tokio::test]
async fn tracks_belong_to_the_owner_of_the_video() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let stranger = sandbox.token_of_another_user().await;
    let body = json!({"type": "captions", "language": "en", "active": true});
    for (video, status) in [(&public, 403), (&hidden, 404)] {
        let uri = sandbox.make_track(video, "captions", "en").await["uri"].as_str().unwrap().to_owned();
        for (method, path) in [
            ("GET", format!("{video}/texttracks")),
            ("POST", format!("{video}/texttracks")),
            ("GET", uri.clone()),
            ("PATCH", uri.clone()),
            ("DELETE", uri),
        ] {
            let refused = sandbox.api(&stranger, method, &path, &body).await;
            assert_eq!(refused.status, status, "{method} {path}");
        }
    }
    for path in ["/videos/1/texttracks", &format!("{public}/texttracks/1"), &format!("{public}/texttracks/x")]
    {
        let missing = sandbox.call("GET", path, &Value::Null).await;
        assert_eq!((missing.status, missing.code()), (404, json!(5000)), "{path}");
    }
}

#[tokio::test]
async fn only_files_of_text_tracks_are_accepted() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_track(&video, "captions", "en").await;
    let path = sandbox.path_in(&made["link"]);
    for bytes in [b"".as_slice(), b"Hello", b"\x89PNG\r\n\x1a\n", b"{}"] {
        assert_eq!(sandbox.put_file(&made, bytes).await.status, 400, "{bytes:?}");
    }
    assert_eq!(sandbox.put_file(&made, &vec![b' '; TOO_LONG]).await.status, 413);
    for method in ["GET", "POST", "PATCH", "DELETE"] {
        let refused = sandbox.send(method, &path, &[], VTT).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("PUT")), "{method}");
    }
    for unknown in
        ["/files/texttracks/0123", "/files/texttracks/%ff", &path.replace("texttracks", "pictures")]
    {
        assert_eq!(sandbox.send("PUT", unknown, &[], VTT).await.status, 404, "{unknown}");
    }
    assert_eq!(sandbox.recorded(&video).await["text_tracks"][0]["file"], Value::Null);
    let srt = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n";
    for (bytes, format) in [(VTT, "vtt"), (srt, "srt")] {
        // A file can be sent again.
        assert_eq!(sandbox.put_file(&made, bytes).await.status, 200);
        let file = sandbox.recorded(&video).await["text_tracks"][0]["file"].clone();
        assert_eq!((&file["format"], &file["sha256"]), (&json!(format), &json!(sha256(bytes))));
    }
}

#[tokio::test]
async fn the_links_of_empty_tracks_can_be_hidden() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let change = json!({"empty_track_links": false});
    let settings = sandbox.control("PATCH", "settings", &change).await;
    assert_eq!((settings.status, &settings.json()["empty_track_links"]), (200, &json!(false)));
    // The response to the creation always has it.
    let made = sandbox.make_track(&video, "captions", "en").await;
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(sandbox.call("GET", uri, &Value::Null).await.json()["link"], Value::Null);
    assert_eq!(sandbox.put_file(&made, VTT).await.status, 200);
    assert!(sandbox.call("GET", uri, &Value::Null).await.json()["link"].is_string());
    assert_eq!(sandbox.control("PATCH", "settings", &json!({"links": true})).await.status, 400);
    sandbox.control("POST", "reset", &Value::Null).await;
    let restored = sandbox.control("GET", "settings", &Value::Null).await.json();
    assert_eq!(restored, json!({"empty_track_links": true, "playable_millis": null, "image_millis": 0}));
}

#[tokio::test]
async fn the_links_of_files_get_faults() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_track(&video, "captions", "en").await;
    let path = sandbox.path_in(&made["link"]);
    let is_stored = async || !sandbox.recorded(&video).await["text_tracks"][0]["file"].is_null();
    for (kind, is_carried_out) in [("cut", false), ("cut-after", true)] {
        sandbox.fault(json!({"route": "PUT /files/texttracks/*", "kind": kind})).await;
        assert_eq!(sandbox.receive("PUT", &path, &[], VTT).await.unwrap(), b"");
        assert_eq!(is_stored().await, is_carried_out, "{kind}");
    }
    sandbox.fault(json!({"route": "PUT /files/texttracks/{key}", "kind": "status", "status": 503})).await;
    assert_eq!(sandbox.put_file(&made, VTT).await.status, 503);
    // Creating one is carried out, too, although the answer is lost.
    sandbox.fault(json!({"route": "POST /videos/{video}/texttracks", "kind": "cut-after"})).await;
    let authorization = format!("Bearer {}", sandbox.running.access_token);
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let body = br#"{"type": "captions", "language": "de", "name": "Lost"}"#;
    let answered = sandbox.receive("POST", &format!("{video}/texttracks"), &headers, body).await.unwrap();
    assert_eq!(answered, b"");
    let list = sandbox.call("GET", &format!("{video}/texttracks"), &Value::Null).await.json();
    assert_eq!(list["data"][1]["name"], "Lost");
    // An expired link stays so; the file that has arrived stays, too.
    sandbox.fault(json!({"route": "PUT /files/*", "kind": "expired-link", "status": 410})).await;
    for _ in 0..2 {
        assert_eq!(sandbox.put_file(&made, b"WEBVTT\n").await.status, 410);
    }
    assert_eq!(sandbox.recorded(&video).await["text_tracks"][0]["file"]["sha256"], sha256(VTT));
    assert_eq!(sandbox.put_file(&list["data"][1], VTT).await.status, 200);
}

#[tokio::test]
async fn the_journal_shows_neither_the_link_nor_the_file() {
    let sandbox = TestSandbox::strict().await;
    let video = sandbox.placeholder(json!({})).await;
    let made = sandbox.make_track(&video, "captions", "en").await;
    let path = sandbox.path_in(&made["link"]);
    for kind in ["none", "status"] {
        if kind == "status" {
            sandbox.fault(json!({"route": "PUT /files/*", "kind": "status", "status": 500})).await;
        }
        // As a form it would be an object.
        sandbox.send("PUT", &path, &[("X-Note", kind)], b"WEBVTT\n\nname=Hello").await;
    }
    let read = sandbox.call("GET", made["uri"].as_str().unwrap(), &Value::Null).await.json()["link"].clone();
    sandbox.send("GET", &sandbox.path_in(&read), &[], b"").await;
    let journal = sandbox.journal().await;
    let sent: Vec<&Value> = journal.iter().filter(|entry| entry["method"] == "PUT").collect();
    assert_eq!(sent.iter().map(|entry| &entry["status"]).collect::<Vec<_>>(), [&json!(200), &json!(500)]);
    for entry in sent {
        assert_eq!((&entry["body"], &entry["route"]), (&Value::Null, &json!("PUT /files/texttracks/{key}")));
        assert_eq!(entry["authorization"], Value::Null);
        let path = entry["path"].as_str().unwrap();
        assert!(path.starts_with("/files/texttracks/fingerprint:"), "{path}");
    }
    let text = serde_json::to_string(&journal).unwrap();
    let keys = [&path, &sandbox.path_in(&read)].map(|path| path.rsplit('/').next().unwrap().to_owned());
    assert!(keys.iter().all(|key| !text.contains(key)), "{text}");
}
