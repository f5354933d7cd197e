//! How the client manages videos and folders at Vimeo, against the sandbox.

use std::time::Duration;

use domain::secret::Secret;
use domain::video::{FolderNumber, VideoNumber};
use reqwest::Method;
use serde_json::json;
use vimeo::{
    Failure, NewPlaceholder, PlaceholderView, PrivacyChange, TranscodeStatus, UploadStatus, VideoChange,
};

use crate::support::client_fixture::{ClientFixture, TIMEOUT, placeholder};

#[tokio::test]
async fn a_placeholder_is_private_from_the_start() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    let [request] = fixture.journal().await.try_into().unwrap();
    assert_eq!(request["accept"], "application/vnd.vimeo.*+json;version=3.4");
    assert_eq!(request["content_type"], "application/json");
    assert_eq!(request["query"], "fields=uri,upload.upload_link,upload.status,allowed_privacies");
    assert_eq!(
        request["body"],
        json!({"name": "a video", "upload": {"approach": "tus", "size": 10}, "privacy": {"view": "nobody"}})
    );
    let state = fixture.session.find_video(made.video, TIMEOUT).await.unwrap().unwrap();
    assert_eq!((state.name.as_str(), &state.upload), ("a video", &UploadStatus::InProgress));
    assert_eq!((state.transcode, state.is_playable), (TranscodeStatus::InProgress, false));
    assert_eq!((state.view.as_deref(), state.failed_status), (Some("nobody"), None));
    assert_eq!(state.upload_link.unwrap().expose(), made.link.expose());
    let shown = fixture.shown(&made.video.to_string()).await;
    assert_eq!(state.link.as_deref(), shown["link"].as_str());
    assert_eq!(state.player.as_deref(), shown["player_embed_url"].as_str());
}

#[tokio::test]
async fn a_create_may_be_answered_with_201() {
    let fixture = ClientFixture::start().await;
    let link = "https://europe-files.tus.vimeo.com/files/x/0123";
    let body = json!({"uri": "/videos/77:abc", "upload": {"upload_link": link, "status": "in_progress"}});
    fixture.fault("POST /me/videos", json!({"kind": "status", "status": 201, "body": body})).await;
    let made = fixture.make(10).await;
    assert_eq!((made.video, made.link.expose()), (VideoNumber::from_stored(77), link));
}

#[tokio::test]
async fn a_placeholder_can_be_protected_by_a_password() {
    let fixture = ClientFixture::start().await;
    let password = Secret::new("canary-password".to_owned());
    let new =
        NewPlaceholder { view: PlaceholderView::Password, password: Some(&password), ..placeholder(10) };
    let made = fixture.session.create_video(&new, TIMEOUT).await.unwrap();
    let shown = fixture.shown(&made.video.to_string()).await;
    assert_eq!(
        (&shown["privacy"]["view"], &shown["password"]),
        (&json!("password"), &json!("canary-password"))
    );
}

#[tokio::test]
async fn a_failed_video_reports_its_reason() {
    let fixture = ClientFixture::start().await;
    for (fate, upload, failed_status) in [
        (
            json!({"error": "duration_too_long"}),
            UploadStatus::Failed(Some("duration_too_long".to_owned())),
            Some("uploading_error"),
        ),
        (json!({"upload_status": "canceled"}), UploadStatus::Cancelled, Some("uploading_error")),
        (json!({"status": "quota_exceeded"}), UploadStatus::Failed(None), Some("quota_exceeded")),
    ] {
        let made = fixture.make(10).await;
        fixture.control(Method::POST, &format!("videos/{}/fail", made.video.as_i64()), fate.clone()).await;
        let state = fixture.session.find_video(made.video, TIMEOUT).await.unwrap().unwrap();
        assert_eq!((state.upload, state.failed_status), (upload, failed_status), "{fate}");
        assert_eq!(state.transcode, TranscodeStatus::Failed);
        assert!(state.upload_link.is_none());
    }
}

#[tokio::test]
async fn only_a_response_about_the_video_counts() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    let upload = json!({"status": "in_progress"});
    for body in [
        json!({"uri": "/videos/1", "upload": upload}),
        json!({"uri": made.video.to_string()}),
        json!({"uri": made.video.to_string(), "upload": {"status": null}}),
        json!({"upload": upload}),
        json!([made.video.to_string()]),
    ] {
        fixture.fault("GET /videos/*", json!({"kind": "wrong-json", "body": body})).await;
        let found = fixture.session.find_video(made.video, TIMEOUT).await;
        assert_eq!(found.err(), Some(Failure::Unknown(vimeo::TransportError::UnexpectedResponse)), "{body}");
    }
    // A link to another host is rejected.
    let body = json!({"uri": made.video.to_string(), "upload": {"status": "in_progress", "upload_link": "https://evil.example/x"}});
    fixture.fault("GET /videos/*", json!({"kind": "wrong-json", "body": body})).await;
    let state = fixture.session.find_video(made.video, TIMEOUT).await.unwrap().unwrap();
    assert!(state.upload_link.is_none());
    let unknown = VideoNumber::from_stored(1);
    assert!(fixture.session.find_video(unknown, TIMEOUT).await.unwrap().is_none());
}

#[tokio::test]
async fn videos_are_listed_newest_first_in_pages() {
    let fixture = ClientFixture::start().await;
    let empty = fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap();
    assert_eq!((empty.videos.len(), empty.is_last), (0, true));
    for _ in 0..101 {
        fixture.make(10).await;
        fixture.pass(Duration::from_secs(1));
    }
    let newest = fixture.make(10).await.video;
    let first = fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap();
    assert_eq!((first.videos.len(), first.is_last, first.videos[0].video), (100, false, newest));
    assert_eq!(
        (first.videos[0].name.as_str(), &first.videos[0].upload),
        ("a video", &UploadStatus::InProgress)
    );
    assert_eq!(first.videos[0].created_at.unwrap().as_millis() / 1000, fixture.now().as_millis() / 1000);
    assert!(first.videos.is_sorted_by(|a, b| a.created_at > b.created_at));
    let second = fixture.session.list_newest_videos(2, TIMEOUT).await.unwrap();
    assert_eq!((second.videos.len(), second.is_last), (2, true));
    let third = fixture.session.list_newest_videos(3, TIMEOUT).await.unwrap();
    assert_eq!((third.videos.len(), third.is_last), (0, true));
    fixture.fault("GET /me/videos", json!({"kind": "list-lag", "seconds": 1})).await;
    let late = fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap();
    assert!(late.videos.iter().all(|listed| listed.video != newest));
}

#[tokio::test]
async fn unparsable_list_items_do_not_hide_the_rest() {
    let fixture = ClientFixture::start().await;
    let good =
        json!({"uri": "/videos/7", "name": "n", "created_time": "soon", "upload": {"status": "complete"}});
    let data = json!([good, 7, null, {"uri": "/videos/8"}, {"uri": "/me", "name": "n", "upload": {"status": "complete"}}, {"uri": 9}]);
    fixture.fault("GET /me/videos", json!({"kind": "wrong-json", "body": {"data": data}})).await;
    let page = fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap();
    let [listed] = page.videos.try_into().unwrap();
    assert_eq!(
        (listed.video, listed.created_at, listed.upload),
        (VideoNumber::from_stored(7), None, UploadStatus::Complete)
    );
    assert!(page.is_last);
}

#[tokio::test]
async fn a_change_is_sent_nested_and_skipped_if_empty() {
    let fixture = ClientFixture::start().await;
    let video = fixture.make(10).await.video;
    let before = fixture.journal().await.len();
    assert!(VideoChange::default().is_empty());
    fixture.session.change_video(video, &VideoChange::default(), TIMEOUT).await.unwrap();
    assert_eq!(fixture.journal().await.len(), before);
    let text = |text: &str| Some(text.to_owned());
    let change = VideoChange {
        name: text("ünïcode \"name\""),
        description: text("two\nlines"),
        license: text("by-nc"),
        locale: text("de"),
        content_rating: Some(vec!["language".to_owned(), "violence".to_owned()]),
        privacy: PrivacyChange {
            view: text("password"),
            embed: text("whitelist"),
            comments: text("nobody"),
            download: Some(false),
            add: Some(false),
        },
        password: Some(Secret::new("canary-password".to_owned())),
    };
    assert!(!change.is_empty());
    fixture.session.change_video(video, &change, TIMEOUT).await.unwrap();
    let shown = fixture.shown(&video.to_string()).await;
    for (name, value) in [
        ("name", json!("ünïcode \"name\"")),
        ("description", json!("two\nlines")),
        ("license", json!("by-nc")),
        ("language", json!("de")),
        ("content_rating", json!(["language", "violence"])),
        ("password", json!("canary-password")),
    ] {
        assert_eq!(shown[name], value);
    }
    let privacy = &shown["privacy"];
    assert_eq!(
        json!([privacy["view"], privacy["embed"], privacy["comments"], privacy["download"], privacy["add"]]),
        json!(["password", "whitelist", "nobody", false, false])
    );
    let small = VideoChange { name: text("other"), ..VideoChange::default() };
    fixture.session.change_video(video, &small, TIMEOUT).await.unwrap();
    assert_eq!(fixture.journal().await.last().unwrap()["body"], json!({"name": "other"}));
    let unknown = VideoNumber::from_stored(1);
    assert_eq!(fixture.session.change_video(unknown, &small, TIMEOUT).await, Err(Failure::NotFound));
}

#[tokio::test]
async fn a_missing_video_counts_as_deleted() {
    let fixture = ClientFixture::start().await;
    let video = fixture.make(10).await.video;
    fixture.session.delete_video(video, TIMEOUT).await.unwrap();
    assert_eq!(fixture.videos().await, 0);
    fixture.session.delete_video(video, TIMEOUT).await.unwrap();
    // An HTML page says nothing about the video.
    let other = fixture.make(10).await.video;
    for status in [200, 404] {
        fixture.fault("DELETE /videos/*", json!({"kind": "html", "status": status})).await;
        fixture.session.delete_video(other, TIMEOUT).await.unwrap_err();
    }
    assert_eq!(fixture.videos().await, 1);
}

#[tokio::test]
async fn a_domain_is_encoded_as_one_path_segment() {
    let fixture = ClientFixture::start().await;
    let video = fixture.make(10).await.video;
    let add = async |domain: &str| fixture.session.add_domain(video, domain, TIMEOUT).await;
    let Err(Failure::Refused(refused)) = add("www.example.com").await else {
        panic!("embed is not whitelist")
    };
    assert_eq!((refused.status, refused.code), (403, None));
    let privacy = PrivacyChange { embed: Some("whitelist".to_owned()), ..PrivacyChange::default() };
    let change = VideoChange { privacy, ..VideoChange::default() };
    fixture.session.change_video(video, &change, TIMEOUT).await.unwrap();
    for good in ["www.example.com", "localhost:3000", "*.example.org", "www.example.com"] {
        add(good).await.unwrap();
    }
    for bad in ["", ".", "..", "../../../me", "a/b", "a?b", "a#b", "https://x.y"] {
        assert!(matches!(add(bad).await, Err(Failure::Refused(_))), "{bad}");
    }
    let shown = fixture.shown(&format!("{video}/privacy/domains")).await;
    let shown: Vec<_> = shown["data"].as_array().unwrap().iter().map(|item| item["domain"].clone()).collect();
    assert_eq!(json!(shown), json!(["*.example.org", "localhost:3000", "www.example.com"]));
}

#[tokio::test]
async fn a_folder_is_found_by_exact_name_or_created() {
    let fixture = ClientFixture::start().await;
    let find = async |name: &str| fixture.session.find_folder_by_name(name, TIMEOUT).await.unwrap();
    assert_eq!(find("Trailers").await, None);
    for number in 0..100 {
        fixture.session.create_folder(&format!("Trailers {number}"), TIMEOUT).await.unwrap();
    }
    assert_eq!(find("Trailers").await, None);
    let first = fixture.session.create_folder("Trailers", TIMEOUT).await.unwrap();
    let second = fixture.session.create_folder("Trailers", TIMEOUT).await.unwrap();
    assert!(first.number < second.number);
    assert_eq!(find("Trailers").await, Some(first));
    assert_eq!(find("trailers").await, None);
    let video = fixture.make(10).await.video;
    let unowned = FolderNumber { owner: None, ..second };
    for folder in [first, unowned] {
        fixture.session.put_in_folder(folder, video, TIMEOUT).await.unwrap();
        let shown = fixture.shown(&video.to_string()).await["parent_folder"]["uri"].clone();
        assert_eq!(FolderNumber::parse_uri(shown.as_str().unwrap()).unwrap().number, folder.number);
    }
    let nowhere = FolderNumber { owner: None, number: 1 };
    assert_eq!(fixture.session.put_in_folder(nowhere, video, TIMEOUT).await, Err(Failure::NotFound));
}

#[tokio::test]
async fn a_frame_of_the_video_becomes_its_thumbnail() {
    let fixture = ClientFixture::start().await;
    let video = fixture.make(10).await.video;
    for moment in [Duration::ZERO, Duration::from_millis(12_345)] {
        fixture.session.set_thumbnail(video, moment, TIMEOUT).await.unwrap();
    }
    let shown = fixture.shown(&format!("{video}/pictures")).await;
    let active = shown["data"].as_array().unwrap().iter().find(|picture| picture["active"] == true).unwrap();
    assert_eq!(active["time"], 12.345);
    let unknown = VideoNumber::from_stored(1);
    let answered = fixture.session.set_thumbnail(unknown, Duration::ZERO, TIMEOUT).await;
    assert_eq!(answered, Err(Failure::NotFound));
}
