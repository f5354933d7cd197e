use std::net::SocketAddr;
use std::sync::LazyLock;

use app::{AllowHttp, Egress, EgressOptions, EgressPolicy, EgressTimeouts, OwnAddresses, PortPolicy};
use serde_json::{Value, json};

use domain::publication::Thumbnail;

use super::super::upload_fields::KEEP;
use super::*;

const CONNECTION: &str = "20260131090500042k3v9x0q2m7t1b8z";

/// Validates URLs as the service does.
static EGRESS: LazyLock<Egress> = LazyLock::new(|| {
    let policy = EgressPolicy {
        allow: Vec::new(),
        insecure: AllowHttp::Yes,
        ports: PortPolicy::Standard,
        own: OwnAddresses::from_check(|_| false, Vec::new()),
    };
    let dns_servers = vec![SocketAddr::from(([127, 0, 0, 1], 9))];
    let timeouts = EgressTimeouts::default();
    Egress::new(EgressOptions {
        policy,
        dns_servers,
        tls: None,
        user_agent: "tests".to_owned(),
        timeouts,
        minimum_rate: app::MinimumRate::default(),
    })
    .unwrap()
});

fn check(text: &str) -> Result<EgressUrl, UrlError> {
    EGRESS.validate(text)
}

fn read_text(body: &str) -> Result<UploadRequest, Problem> {
    let parsed = crate::json::parse_keeping(body.as_bytes(), KEEP).unwrap();
    let Json::Object(object) = parsed else { panic!("an object") };
    read_upload(object, &Rules { check_address: &check, connection: CONNECTION })
}

fn read(body: &Value) -> UploadRequest {
    read_text(&body.to_string()).unwrap()
}

/// Names and messages of the errors.
fn errors_of(body: &Value) -> Vec<(String, String)> {
    let problem = read_text(&body.to_string()).unwrap_err();
    let body = body.to_string();
    for fault in &problem.fields {
        assert!(!fault.errors.contains("canary"), "{fault:?} in {body}");
    }
    problem.fields.into_iter().map(|fault| (fault.name, fault.errors)).collect()
}

fn names(body: &Value) -> Vec<String> {
    let mut names: Vec<_> = errors_of(body).into_iter().map(|(name, _)| name).collect();
    names.sort();
    names
}

fn with(more: &Value) -> Value {
    let mut body = json!({ "source": { "url": "https://media.example.com/a.mp4" } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// All settings with valid values.
fn settings() -> Value {
    json!({
        "name": "Launch",
        "description": "Two\nlines",
        "folder_uri": "/users/12/folders/34",
        "content_rating": ["safe", "advertisement"],
        "privacy": { "view": "password", "embed": "whitelist", "comments": "nobody", "download": false, "add": true },
        "password": "hunter2",
        "embed_domains": ["Example.com", "*.example.org"],
        "license": "by-nc",
        "locale": "pt-BR",
        "thumbnail_time": 12.3456,
    })
}

fn assert_all_settings(settings: &UploadSettings) {
    assert_eq!(settings.name.as_ref().unwrap().as_str(), "Launch");
    assert_eq!(settings.description.as_ref().unwrap().as_str(), "Two\nlines");
    let folder = FolderNumber::parse_uri("/users/12/projects/34").unwrap();
    assert_eq!(settings.folder, Some(Folder::Number(folder)));
    assert_eq!(settings.content_rating, [ContentRating::Safe, ContentRating::Advertisement]);
    let privacy = Privacy {
        view: Some(View::Password),
        embed: Some(Embed::Whitelist),
        comments: Some(Comments::Nobody),
        is_downloadable: Some(false),
        is_addable: Some(true),
    };
    assert_eq!(settings.privacy, privacy);
    assert!(settings.password.as_ref().unwrap().as_secret().is_same(&Secret::new("hunter2".to_owned())));
    let domains: Vec<_> = settings.embed_domains.iter().map(Domain::as_str).collect();
    assert_eq!(domains, ["example.com", "*.example.org"]);
    assert_eq!(settings.license, Some(License::ByNc));
    assert_eq!(settings.locale.as_ref().unwrap().as_str(), "pt-BR");
    let thumbnail = settings.publication.thumbnail.clone();
    assert!(matches!(thumbnail, Some(Thumbnail::At(at)) if at.as_millis() == 12_346));
}

#[test]
fn a_complete_body_is_parsed() {
    let mut body = with(&settings());
    body["source"]["url"] = json!("https://media.example.com/a.mp4?token=x");
    body["webhook"] = json!("https://hooks.example.com/x");
    let text = body.to_string();
    let input = "{ \"a\" : [1.50, null] }";
    let text = format!("{},\"webhookInput\":{input}}}", text.strip_suffix('}').unwrap());
    let request = read_text(&text).unwrap();
    let RequestedSource::Url { url, .. } = &request.source else { panic!() };
    assert!(url.is_same(&Secret::new("https://media.example.com/a.mp4?token=x".to_owned())));
    assert_all_settings(&request.settings);
    let webhook = request.webhook.unwrap();
    assert!(webhook.url.is_same(&Secret::new("https://hooks.example.com/x".to_owned())));
    assert!(webhook.input.unwrap().is_same(&Secret::new(input.to_owned())));
}

#[test]
fn only_a_source_is_required_and_null_counts_as_absent() {
    let nothing = json!({
        "source": { "url": null, "size": 5.0 }, "name": null, "description": null, "folder_uri": null,
        "folder_name": null, "content_rating": null, "privacy": null, "password": null, "embed_domains": null,
        "license": null, "locale": null, "thumbnail_time": null, "webhook": null, "webhookInput": null,
        "destination": null,
    });
    for body in [nothing, json!({ "source": { "size": 5 } })] {
        let request = read(&body);
        assert!(matches!(request.source, RequestedSource::Client { size: 5 }));
        assert!(request.webhook.is_none() && request.settings.check().is_empty());
        assert_eq!(request.settings.privacy, Privacy::default());
    }
    let null_inside = json!({ "privacy": { "view": null, "embed": null, "comments": null, "download": null, "add": null } });
    assert_eq!(read(&with(&null_inside)).settings.privacy, Privacy::default());
    assert_eq!(
        read(&with(&json!({ "content_rating": "safe" }))).settings.content_rating,
        [ContentRating::Safe]
    );
    let named = read(&with(&json!({ "folder_name": "Ours" }))).settings.folder;
    assert_eq!(named, Some(Folder::Named(FolderName::parse("Ours").unwrap())));
}

#[test]
fn a_destination_of_a_render_request_is_accepted() {
    let mut destination = settings();
    destination["type"] = json!("Vimeo");
    destination["connectionId"] = json!(CONNECTION);
    destination["connection_id"] = json!(CONNECTION);
    assert_all_settings(&read(&with(&json!({ "destination": destination }))).settings);
    // Settings may be in both objects as long as none is in both.
    let privacy = destination.as_object_mut().unwrap().remove("privacy").unwrap();
    assert_all_settings(&read(&with(&json!({ "destination": destination, "privacy": privacy }))).settings);
    let both = with(&json!({
        "name": "a", "privacy": {}, "license": null,
        "destination": { "name": "b", "privacy": { "view": "canary" }, "license": "by", "locale": null },
    }));
    assert_eq!(names(&both), ["destination.name", "destination.privacy"]);
    let wrong = with(&json!({
        "destination": {
            "type": "canary", "connectionId": "canary", "connection_id": 5, "privacy": { "view": "canary" },
            "embed_domains": ["canary canary"], "folder_uri": "canary", "source": {}, "webhook": "x", "privcy": {},
        },
    }));
    assert_eq!(
        names(&wrong),
        [
            "destination.connectionId",
            "destination.connection_id",
            "destination.embed_domains",
            "destination.folder_uri",
            "destination.privacy.view",
            "destination.privcy",
            "destination.source",
            "destination.type",
            "destination.webhook",
        ]
    );
    assert_eq!(names(&with(&json!({ "destination": [] }))), ["destination"]);
}

#[test]
fn all_errors_are_reported_at_once() {
    let body = json!({
        "source": { "url": "ftp://canary", "size": 0, "sise": 1 },
        "name": " ",
        "description": "canary\u{0}",
        "folder_uri": "/canary",
        "folder_name": "canary",
        "content_rating": ["safe", "canary", 5],
        "privacy": { "view": "canary", "embed": 1, "comments": "canary", "download": "true", "add": 1, "viwe": 1 },
        "password": "canary canary canary canary canary",
        "embed_domains": "https://canary",
        "license": "canary",
        "locale": "canary canary",
        "thumbnail_time": -1,
        "webhook": "ftp://canary.example",
        "webhookInput": "x".repeat(WEBHOOK_INPUT_MAX_BYTES),
        "folderUri": 1,
    });
    assert_eq!(
        names(&body),
        [
            "content_rating",
            "content_rating",
            "description",
            "embed_domains",
            "folderUri",
            "folder_name",
            "folder_uri",
            "license",
            "locale",
            "name",
            "password",
            "privacy.add",
            "privacy.comments",
            "privacy.download",
            "privacy.embed",
            "privacy.view",
            "privacy.viwe",
            "source",
            "source.sise",
            "source.size",
            "source.url",
            "thumbnail_time",
            "webhook",
            "webhookInput",
        ]
    );
}

fn assert_error(body: &Value, name: &str, errors: &str) {
    assert_eq!(errors_of(body), [(name.to_owned(), errors.to_owned())], "{body}");
}

#[test]
fn the_error_of_a_source_says_how_to_fix_it() {
    let size_rule = "must be a whole number from 1 to 300000000000";
    for (source, name, errors) in [
        (json!(null), "source", "is required"),
        (json!("x"), "source", "must be an object"),
        (json!({}), "source", "must have either url or size"),
        (json!({ "url": "https://a.example/x", "size": 1 }), "source", "must have either url or size"),
        (json!({ "url": "ftp://a.example" }), "source.url", "must start with https:// or http://"),
        (json!({ "url": "https://127.0.0.1/" }), "source.url", "must be a public address"),
        (json!({ "url": 1 }), "source.url", "must be a string or null"),
        (json!({ "size": 1.5 }), "source.size", size_rule),
        (json!({ "size": "1" }), "source.size", size_rule),
        (json!({ "size": 300_000_000_001_u64 }), "source.size", size_rule),
    ] {
        assert_error(&json!({ "source": source }), name, errors);
    }
    assert_error(&json!({}), "source", "is required");
}

#[test]
fn the_error_of_a_field_says_how_to_fix_it() {
    let moment_rule = "must be a number of seconds from 0 to 86400";
    let near = "is not a known field; did you mean ";
    for (name, value, errors) in [
        ("privacy", json!("public"), "must be an object"),
        ("embed_domains", json!(vec!["a.example"; 51]), "must have at most 50 entries"),
        ("embed_domains", json!(1), "must be an array of strings"),
        ("content_rating", json!(["safe", 1]), "entry 2 is invalid: must be a string"),
        ("thumbnail_time", json!("1"), moment_rule),
        ("thumbnail_time", json!(1e300), moment_rule),
        ("webhook", json!("https://10.0.0.1/"), "must be a public address"),
        ("webhookInput", json!(1), "needs webhook"),
        ("webHook", json!(1), &format!("{near}webhook?")),
        ("destinations", json!([]), &format!("{near}destination?")),
    ] {
        assert_error(&with(&json!({ name: value })), name, errors);
    }
    let privacy = |inside: Value| with(&json!({ "privacy": inside }));
    assert_error(&privacy(json!({ "download": 1 })), "privacy.download", "must be true, false or null");
    assert_error(&privacy(json!({ "View": "nobody" })), "privacy.View", &format!("{near}privacy.view?"));
}

#[test]
fn contradictory_settings_are_reported_with_their_paths() {
    let both = "cannot be given together with folder_uri";
    let (unused, missing) =
        ("needs privacy.view to be password", "is required when privacy.view is password");
    let no_domains = "is required when privacy.embed is whitelist";
    for (more, name, errors) in [
        (json!({ "privacy": { "view": "password" } }), "password", missing),
        (json!({ "password": "x" }), "password", unused),
        (json!({ "embed_domains": ["a.example"] }), "embed_domains", "needs privacy.embed to be whitelist"),
        (json!({ "privacy": { "embed": "whitelist" } }), "embed_domains", no_domains),
        (json!({ "folder_uri": "/folders/1", "folder_name": "x" }), "folder_name", both),
        (
            json!({ "destination": { "privacy": { "embed": "whitelist" } } }),
            "destination.embed_domains",
            no_domains,
        ),
        (json!({ "destination": { "password": "x" } }), "destination.password", unused),
        (
            json!({ "folder_uri": "/folders/1", "destination": { "folder_name": "x" } }),
            "destination.folder_name",
            both,
        ),
    ] {
        assert_error(&with(&more), name, errors);
    }
}

#[test]
fn unknown_fields_are_errors_at_every_level() {
    let body = with(&json!({
        "colour": 1,
        "source": { "url": "https://media.example.com/a.mp4", "colour": 1 },
        "privacy": { "colour": 1 },
        "destination": { "colour": 1, "not plain": 2 },
    }));
    let unknown = "is not a known field".to_owned();
    let expected = ["source.colour", "privacy.colour", "destination.colour", "destination.?", "colour"];
    assert_eq!(errors_of(&body), expected.map(|name| (name.to_owned(), unknown.clone())));
}

#[test]
fn the_error_of_a_misspelt_setting_suggests_the_field() {
    for (more, name, likely) in [
        (json!({ "view": "nobody" }), "view", "privacy.view"),
        (json!({ "visibility": "nobody" }), "visibility", "privacy.view"),
        (json!({ "privacy_view": "nobody" }), "privacy_view", "privacy.view"),
        (json!({ "privacy.visibility": "nobody" }), "?", "privacy.view"),
        (json!({ "privacy": { "visibility": "nobody" } }), "privacy.visibility", "privacy.view"),
        (json!({ "webhook_url": "https://a.example" }), "webhook_url", "webhook"),
        (json!({ "title": "canary" }), "title", "name"),
        (
            json!({ "destination": { "privacy": { "visibility": "nobody" } } }),
            "destination.privacy.visibility",
            "destination.privacy.view",
        ),
    ] {
        assert_error(&with(&more), name, &format!("is not a known field; did you mean {likely}?"));
    }
}
