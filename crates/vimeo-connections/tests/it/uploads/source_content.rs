//! The content of a source: only videos are uploaded, decompressed, and named after their file.

use serde_json::{Value, json};

use crate::support::tools::program;
use crate::support::uploads::scripted::{File, Reply, Scripted};
use crate::support::uploads::source::{bytes, sha256};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const SIZE: u64 = 300_000;

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form method=\"post\" \
    action=\"/login\"><input name=\"user\"><input name=\"password\" type=\"password\"></form></body></html>\n";
const ERROR: &str = "{\"error\": {\"code\": 403, \"message\": \"The link has expired.\"}}\n";
const PLAYLIST: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:6.0,\nsegment-0.ts\n#EXT-X-ENDLIST\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_not_a_video_is_rejected_before_the_create() {
    let uploads = UploadEnv::start().await;
    for (content_type, body, expected) in [
        ("Content-Type: text/html; charset=utf-8", PAGE, "a web page"),
        ("Content-Type: video/mp4", PAGE, "a web page"),
        ("Content-Type: application/json", ERROR, "JSON"),
        ("Content-Type: application/vnd.apple.mpegurl", PLAYLIST, "playlist"),
    ] {
        // A success status, whatever is requested.
        let source = Scripted::start(move |_| Reply::bytes(&[content_type], body.as_bytes())).await;
        let job = uploads.upload_scripted(&source).await;
        assert_eq!(job["data"]["error_code"], "SOURCE_NOT_VIDEO", "{content_type}: {job}");
        let message = job["data"]["error_message"].as_str().unwrap();
        assert!(message.starts_with("The address returned ") && message.contains(expected), "{job}");
        // The content is not quoted.
        assert!(!message.contains("Sign in") && !message.contains("expired"), "{job}");
    }
    assert_eq!(uploads.journal("POST /me/videos").await, Vec::<Value>::new());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("film");
    std::fs::write(&file, bytes).unwrap();
    let output = program("gzip").arg("-c").arg(&file).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_body_is_uploaded_decompressed() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let packed = gzip(&bytes(SIZE));
    let marks = ["Content-Type: video/mp4", "Content-Encoding: gzip", "ETag: \"packed\""];
    let source = Scripted::start(move |_| Reply::bytes(&marks, &packed)).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_one_video(&job, SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_content_encoding_of_plain_bytes_is_ignored() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    // A compressed file without `Content-Encoding` is uploaded as it is, which may be intended.
    let packed = gzip(&bytes(SIZE));
    let (length, hash) = (packed.len(), crate::support::uploads::source::sha256_of(&packed));
    let labelled = File::new(0, SIZE, &["Content-Encoding: gzip", "Content-Type: text/html", "ETag: \"a\""]);
    let sources = [
        Scripted::start(move |asked| labelled.answer(asked)).await,
        Scripted::start(move |_| Reply::bytes(&["ETag: \"b\""], &packed)).await,
    ];
    let mut uris = Vec::new();
    for source in &sources {
        let job = uploads.upload_scripted(source).await;
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", uploads.env.log());
        uris.push(job["data"]["vimeoUri"].clone());
    }
    let videos = uploads.videos().await;
    let version = |uri: &Value| &videos.iter().find(|video| video["uri"] == *uri).unwrap()["versions"][0];
    let (first, second) = (version(&uris[0]), version(&uris[1]));
    assert_eq!((&first["received"], &first["sha256"]), (&json!(SIZE), &json!(sha256(SIZE))));
    assert_eq!((&second["received"], &second["sha256"]), (&json!(length), &json!(hash)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unnamed_video_is_named_after_its_file() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let (mut started, mut sources, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for (path, disposition, name, expected) in [
        ("/a/download", "attachment; filename=\"Quarterly film.mp4\"", None, "Quarterly film"),
        (
            "/a/film.mp4",
            "attachment; filename=x.mp4; filename*=UTF-8''na%C3%AFve%20film.mp4",
            None,
            "naïve film",
        ),
        ("/a/My%20Film%20%231.mp4", "inline", None, "My Film #1"),
        ("/a/My%20Film.mp4", "", None, "My Film"),
        ("/a/film.mp4", "attachment; filename=\"other.mp4\"", Some("Given"), "Given"),
    ] {
        let line = format!("Content-Disposition: {disposition}");
        let lines = if disposition.is_empty() { vec!["ETag: \"a\""] } else { vec!["ETag: \"a\"", &line] };
        let film = File::new(0, 1_000, &lines);
        let source = Scripted::start(move |asked| film.answer(asked)).await;
        let mut body = json!({"source": {"url": source.url_of(path)}});
        if let Some(name) = name {
            body["name"] = json!(name);
        }
        started.push((uploads.submit_with(body).await, expected));
        sources.push(source);
    }
    for (id, expected) in started {
        let job = uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "completed", "{job}\n{}", uploads.env.log());
        named.push((job["data"]["vimeoUri"].clone(), expected));
    }
    let videos = uploads.videos().await;
    for (uri, expected) in named {
        let video = videos.iter().find(|video| video["uri"] == uri).unwrap();
        assert_eq!(video["name"], expected, "{video}");
    }
}
