use app::{AllowHttp, Egress, EgressOptions, EgressPolicy, EgressTimeouts, OwnAddresses, PortPolicy};
use app::{RequestedSource, UploadRequest};
use domain::video::ShowcaseNumber;
use serde_json::{Value, json};

use super::super::upload_body::read_upload;
use super::super::upload_fields::KEEP;
use super::*;
use crate::json::Json;

fn read(more: &Value) -> Result<UploadRequest, Vec<(String, String)>> {
    let policy = EgressPolicy {
        allow: Vec::new(),
        insecure: AllowHttp::Yes,
        ports: PortPolicy::Standard,
        own: OwnAddresses::from_check(|_| false, Vec::new()),
    };
    let egress = Egress::new(EgressOptions {
        policy,
        dns_servers: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 9))],
        tls: None,
        user_agent: "tests".to_owned(),
        timeouts: EgressTimeouts::default(),
        minimum_rate: app::MinimumRate::default(),
    })
    .unwrap();
    let mut body = json!({ "source": { "url": "https://media.example.com/a.mp4" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = body.to_string();
    let Json::Object(object) = crate::json::parse_keeping(body.as_bytes(), KEEP).unwrap() else { panic!() };
    let check_address = |text: &str| egress.validate(text);
    let rules = Rules { check_address: &check_address, connection: "20260131090500042k3v9x0q2m7t1b8z" };
    read_upload(object, &rules).map_err(|problem| {
        let errors: Vec<_> = problem.fields.into_iter().map(|fault| (fault.name, fault.errors)).collect();
        assert!(errors.iter().all(|(_, error)| !error.contains("canary")), "{errors:?}");
        errors
    })
}

/// The names of the errors.
fn names(more: &Value) -> Vec<String> {
    let mut names: Vec<_> = read(more).unwrap_err().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

#[test]
fn a_whole_publication_is_read() {
    let request = read(&json!({
        "source": {
            "url": "https://media.example.com/a.mp4",
            "headers": { "Authorization": "Bearer abc", "X-Api-Version": "2" },
        },
        "thumbnail": { "url": "https://media.example.com/a.png" },
        "textTracks": [
            { "url": "https://media.example.com/en.vtt", "language": "en", "type": "captions", "name": "English" },
            { "url": "https://media.example.com/de.srt", "language": "de", "type": "subtitles", "required": true, "active": false },
        ],
        "tags": ["a", "b"],
        "showcases": ["/me/albums/7", "Talks"],
        "embedPreset": "/me/presets/9",
        "chapters": [{ "timecode": 0, "title": "Start" }, { "timecode": 95, "title": "Questions" }],
        "publishAt": "2026-03-01T10:00:00+01:00",
    }))
    .unwrap();
    let publication = &request.settings.publication;
    assert!(matches!(publication.thumbnail, Some(Thumbnail::Image(_))));
    let tracks: Vec<_> = publication.text_tracks.iter().map(ToString::to_string).collect();
    assert_eq!(tracks, ["captions en \u{201c}English\u{201d}", "subtitles de"]);
    let required: Vec<_> = publication
        .text_tracks
        .iter()
        .map(|track| (track.is_active, track.requirement == Requirement::Required))
        .collect();
    assert_eq!(required, [(true, false), (false, true)]);
    assert_eq!(publication.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let ShowcaseNumber { number, .. } = ShowcaseNumber::parse_uri("/me/albums/7").unwrap();
    assert!(matches!(&publication.showcases[..],
        [Showcase::Number(found), Showcase::Named(name)] if found.number == number && name.as_str() == "Talks"));
    assert_eq!(publication.preset.unwrap().as_i64(), 9);
    let starts: Vec<_> = publication.chapters.iter().map(|chapter| chapter.starts_at.as_millis()).collect();
    assert_eq!(starts, [0, 95_000]);
    assert_eq!(request.publish_at, Timestamp::parse("2026-03-01T09:00:00Z").ok());
    let RequestedSource::Url { headers, .. } = &request.source else { panic!("a URL") };
    assert_eq!(headers.names().collect::<Vec<_>>(), ["authorization", "x-api-version"]);
}

#[test]
fn a_thumbnail_has_one_origin() {
    let frame = |body: &Value| read(body).unwrap().settings.publication.thumbnail;
    for body in [json!({ "thumbnail": { "timeSeconds": 1.5 } }), json!({ "thumbnail_time": 1.5 })] {
        assert!(matches!(frame(&body), Some(Thumbnail::At(at)) if at.as_millis() == 1_500), "{body}");
    }
    for bad in [
        json!({ "thumbnail": {} }),
        json!({ "thumbnail": { "url": "https://a.example/b", "timeSeconds": 1 } }),
        json!({ "thumbnail": { "timeSeconds": 1 }, "thumbnail_time": 1 }),
    ] {
        assert_eq!(names(&bad), ["thumbnail"], "{bad}");
    }
    assert_eq!(names(&json!({ "thumbnail": { "url": "file:///canary" } })), ["thumbnail.url"]);
    assert_eq!(names(&json!({ "thumbnail": { "time": 1, "timeSeconds": 2 } })), ["thumbnail.time"]);
}

#[test]
fn each_fault_of_a_list_is_named_by_its_entry() {
    let track = |more: Value| {
        let mut track = json!({ "url": "https://a.example/b", "language": "en", "type": "captions" });
        track.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        track
    };
    let faults = json!({
        "textTracks": [
            track(json!({ "type": "canary" })),
            track(json!({ "url": "ftp://canary", "require": true })),
            { "url": "https://a.example/b" },
            7,
        ],
        "chapters": [{ "timecode": 1.5, "title": "A" }, { "title": "canary\u{0}" }],
        "showcases": ["/videos/7", ""],
        "tags": ["", 7],
        "embedPreset": "canary",
    });
    assert_eq!(
        names(&faults),
        [
            "chapters[0].timecode",
            "chapters[1].timecode",
            "chapters[1].title",
            "embedPreset",
            "showcases",
            "showcases",
            "tags",
            "tags",
            "textTracks[0].type",
            "textTracks[1].require",
            "textTracks[1].url",
            "textTracks[2].language",
            "textTracks[2].type",
            "textTracks[3]",
        ]
    );
    assert_eq!(
        names(&json!({ "textTracks": [track(json!({})), track(json!({ "name": "en" }))] })),
        ["textTracks"; 2]
    );
    assert_eq!(names(&json!({ "tags": vec!["a"; 21] })), ["tags"]);
    assert_eq!(names(&json!({ "chapters": {} })), ["chapters"]);
}

#[test]
fn a_time_of_publication_has_a_date_a_time_and_a_time_zone() {
    assert_eq!(names(&json!({ "publishAt": "2026-03-01" })), ["publishAt"]);
    assert_eq!(names(&json!({ "publishAt": 1_772_355_600 })), ["publishAt"]);
    assert_eq!(names(&json!({ "publish_at": "2026-03-01T00:00:00Z" })), ["publish_at"], "never ignored");
}

#[test]
fn a_replaced_video_keeps_its_settings() {
    let request =
        read(&json!({ "replaces": "/videos/7:ab12", "webhook": "https://a.example/hook" })).unwrap();
    assert_eq!(request.replaces, VideoNumber::parse_uri("/videos/7"));
    for (name, value) in [
        ("name", json!("x")),
        ("privacy", json!({ "view": "anybody" })),
        ("publishAt", json!("2026-03-01T00:00:00Z")),
        ("textTracks", json!([])),
        ("thumbnail", json!({ "timeSeconds": 1 })),
        ("tags", json!(["a"])),
    ] {
        assert_eq!(names(&json!({ "replaces": "/videos/7", name: value })), [name]);
    }
    let nested = json!({ "replaces": "/videos/7", "destination": { "type": "vimeo", "name": "x" } });
    assert_eq!(names(&nested), ["destination.name"]);
    assert!(read(&json!({ "replaces": "/videos/7", "destination": { "type": "vimeo" } })).is_ok());
    assert_eq!(names(&json!({ "replaces": "https://vimeo.com/7" })), ["replaces"]);
}

#[test]
fn headers_go_with_a_url_and_their_faults_show_no_value() {
    let source = |headers: Value| json!({ "source": { "url": "https://a.example/b", "headers": headers } });
    for (headers, expected) in [
        (json!({ "Host": "canary" }), "source.headers.host"),
        (json!({ "Range": "canary" }), "source.headers.range"),
        (json!({ "X-A": "canary\r\nX-B: 1" }), "source.headers.x-a"),
        (json!({ "X A": "canary" }), "source.headers.?"),
        (json!({ "X-A": 1 }), "source.headers.?"),
        (json!("canary"), "source.headers"),
    ] {
        assert_eq!(names(&source(headers.clone())), [expected], "{headers}");
    }
    let client = json!({ "source": { "size": 5, "headers": { "X-A": "canary" } } });
    assert_eq!(names(&client), ["source.headers"]);
    assert!(read(&source(json!({}))).is_ok() && read(&source(Value::Null)).is_ok());
}
