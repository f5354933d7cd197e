//! What cannot be made is a warning that names it, unless it is a required text track.

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{PublicationEnv, after};
use std::time::Duration;

impl PublicationEnv {
    /// A request with text tracks from these paths of the file server, each in its own language.
    fn with_tracks(&self, tracks: &[(&str, &str, bool)]) -> Value {
        let tracks: Vec<Value> = tracks
            .iter()
            .map(|(path, language, is_required)| {
                let url = self.files.url_of(path);
                json!({"url": url, "type": "captions", "language": language, "required": is_required})
            })
            .collect();
        json!({"source": {"url": self.uploads.source.url("film.mp4", 1_000)}, "textTracks": tracks})
    }
}

fn warnings(job: &Value) -> Vec<String> {
    let warnings = job["data"]["warnings"].as_array().unwrap();
    warnings.iter().map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_track_that_cannot_be_made_is_a_warning_that_names_it() {
    let env = PublicationEnv::start().await;
    let refused = json!({"route": "POST /videos/{video}/texttracks", "kind": "status", "status": 400, "error_code": 2204});
    env.uploads.env.inject_fault(refused).await;
    let refused = json!({"route": "PUT /files/texttracks/{key}", "kind": "status", "status": 400});
    env.uploads.env.inject_fault(refused).await;
    let tracks = [
        ("/en.vtt", "en", "Vimeo refused it"),
        ("/de.srt", "de", "Vimeo refused its file"),
        ("/page.vtt", "fr", "a web page"),
        ("/text.vtt", "es", "not WebVTT, SRT, SBV or TTML"),
        ("/large.vtt", "it", "larger than 5 MiB"),
        ("/missing.vtt", "pt", "404"),
        ("/en.vtt", "nl", ""),
    ];
    let body = env.with_tracks(&tracks.map(|(path, language, _)| (path, language, false)));
    let job = env.uploads.wait_for_end(&env.uploads.submit_with(body).await).await;
    assert_eq!(job["data"]["status"], "completed", "{job}\n{}", env.uploads.env.log());
    let warnings = warnings(&job);
    assert_eq!(warnings.len(), 6, "{warnings:#?}");
    for (warning, (_, language, reason)) in warnings.iter().zip(tracks) {
        assert!(warning.contains(&format!("captions {language} ")) && warning.contains(reason), "{warning}");
    }
    assert!(!warnings.concat().contains("canary"), "{warnings:#?}");
    let video = env.uploads.videos().await.remove(0);
    assert_eq!(video["view"], "anybody", "{video}");
    let made: Vec<&Value> = video["text_tracks"].as_array().unwrap().iter().collect();
    assert_eq!(made.len(), 1, "{video:#}");
    assert_eq!(made[0]["language"], "nl", "{video:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_text_track_that_cannot_be_made_fails_the_upload_with_the_video_closed() {
    let env = PublicationEnv::start().await;
    let refusal = json!({"route": "POST /videos/{video}/texttracks", "kind": "status", "status": 400, "error_code": 2204});
    for (path, fault) in [("/page.vtt", Value::Null), ("/missing.vtt", Value::Null), ("/en.vtt", refusal)] {
        env.clean().await;
        if !fault.is_null() {
            env.uploads.env.inject_fault(fault).await;
        }
        let body = env.with_tracks(&[(path, "de", true)]);
        let job = env.uploads.wait_for_end(&env.uploads.submit_with(body).await).await;
        assert_eq!(job["data"]["status"], "failed", "{path}: {job}");
        assert_eq!(job["data"]["error_code"], "TEXT_TRACK_FAILED", "{path}: {job}");
        let message = job["data"]["error_message"].as_str().unwrap();
        assert!(message.contains("captions de"), "{path}: {message}");
        let videos = env.uploads.videos().await;
        assert_eq!(videos.len(), 1, "{path}: it is kept");
        assert_eq!(
            (&videos[0]["view"], &videos[0]["view_changes"]),
            (&json!("nobody"), &json!([])),
            "{path}"
        );
        assert_eq!(job["data"]["vimeoUri"], videos[0]["uri"], "{path}: and named");
        assert_eq!(videos[0]["text_tracks"], json!([]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thumbnail_that_cannot_be_made_is_a_warning() {
    let env = PublicationEnv::start().await;
    for (path, reason) in [("/page.vtt", "a web page"), ("/missing.png", "404")] {
        env.clean().await;
        let source = json!({"url": env.uploads.source.url("film.mp4", 1_000)});
        let body = json!({"source": source, "thumbnail": {"url": env.files.url_of(path)}});
        let job = env.uploads.wait_for_end(&env.uploads.submit_with(body).await).await;
        assert_eq!(job["data"]["status"], "completed", "{job}");
        let warnings = warnings(&job);
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        assert!(warnings[0].contains("thumbnail") && warnings[0].contains(reason), "{warnings:#?}");
        assert_eq!(env.uploads.videos().await[0]["pictures"], json!([]));
    }
}

/// What the account's plan lacks: the video opens without it, and a warning names each part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_plan_lacks_is_named_in_warnings() {
    let env = PublicationEnv::start().await;
    let lacks = json!(["text_tracks", "thumbnails", "tags", "showcases", "presets", "chapters"]);
    let user = env.uploads.user().await;
    env.uploads.env.control(Method::PATCH, &user, json!({"refused_features": lacks})).await;
    let publish_at = after(Duration::from_secs(3));
    let id = env.uploads.submit_with(env.everything(publish_at)).await;
    let job = env.uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}\n{}", env.uploads.env.log());
    let warnings = warnings(&job);
    for part in [
        "tags",
        "embed preset",
        "showcase “Existing”",
        "showcase “Created”",
        "captions en “English”",
        "subtitles de",
        "subtitles fr",
        "chapters",
        "thumbnail",
    ] {
        let about = warnings.iter().filter(|warning| warning.contains(part)).count();
        assert_eq!(about, 1, "{part}: {warnings:#?}");
    }
    assert_eq!(warnings.len(), 9, "{warnings:#?}");
    let video = env.uploads.videos().await.remove(0);
    assert_eq!((&video["view"], &video["text_tracks"]), (&json!("anybody"), &json!([])), "{video:#}");
}
