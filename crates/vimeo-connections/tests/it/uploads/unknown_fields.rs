//! Unknown fields and query parameters on routes of uploads, jobs, webhooks and keys are rejected with a suggestion: a
//! setting that is silently ignored could publish a video.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};

const SOURCE: &str = "https://media.invalid.example/film.mp4";
const JOBS: &str = "/pictoryapis/v1/jobs";

async fn env() -> TestEnv {
    // No worker fetches the sources.
    let config = "uploads.work = false\n".to_owned();
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

/// The path of the uploads of a connection.
async fn uploads(env: &TestEnv) -> String {
    let connection = env.post(&env.valid_body("mine")).await;
    format!("{}/uploads", connection.header("location"))
}

fn upload_with(more: &Value) -> Value {
    let mut body = json!({ "source": { "url": SOURCE } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Misspelt settings, the name in the response, and the suggested field.
fn misspelt() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (json!({ "view": "nobody" }), "view", "privacy.view"),
        (json!({ "visibility": "nobody" }), "visibility", "privacy.view"),
        (json!({ "privacy_view": "nobody" }), "privacy_view", "privacy.view"),
        (json!({ "privacyView": "nobody" }), "privacyView", "privacy.view"),
        (json!({ "privacy.view": "nobody" }), "?", "privacy.view"),
        (json!({ "privacy.visibility": "nobody" }), "?", "privacy.view"),
        (json!({ "privacyStatus": "private" }), "privacyStatus", "privacy.view"),
        (json!({ "isPrivate": true }), "isPrivate", "privacy.view"),
        (json!({ "private": true }), "private", "privacy.view"),
        (json!({ "unlisted": true }), "unlisted", "privacy.view"),
        (json!({ "Privacy": { "view": "nobody" } }), "Privacy", "privacy"),
        (json!({ "privicy": { "view": "nobody" } }), "privicy", "privacy"),
        (json!({ "privacy": { "visibility": "nobody" } }), "privacy.visibility", "privacy.view"),
        (json!({ "privacy": { "View": "nobody" } }), "privacy.View", "privacy.view"),
        (json!({ "privacy": { "veiw": "nobody" } }), "privacy.veiw", "privacy.view"),
        (json!({ "privacy": { "public": false } }), "privacy.public", "privacy.view"),
        (json!({ "embed": "private" }), "embed", "privacy.embed"),
        (json!({ "download": false }), "download", "privacy.download"),
        (json!({ "pasword": "x" }), "pasword", "password"),
        (json!({ "embedDomains": ["a.example"] }), "embedDomains", "embed_domains"),
        (json!({ "contentRating": "safe" }), "contentRating", "content_rating"),
        (json!({ "title": "canary" }), "title", "name"),
        (json!({ "webhook_url": "https://canary.example" }), "webhook_url", "webhook"),
        (json!({ "callback": "https://canary.example" }), "callback", "webhook"),
        (json!({ "webhook_input": 1 }), "webhook_input", "webhookInput"),
        (json!({ "folder": "canary" }), "folder", "folder_name"),
        (json!({ "folderUri": "canary" }), "folderUri", "folder_uri"),
        (json!({ "url": "https://canary.example" }), "url", "source.url"),
        (json!({ "source": { "url": SOURCE, "view": "nobody" } }), "source.view", "privacy.view"),
        (json!({ "source": { "url": SOURCE, "privacy": {} } }), "source.privacy", "privacy"),
        (json!({ "destinations": [{ "type": "vimeo" }] }), "destinations", "destination"),
        (json!({ "destination": { "view": "nobody" } }), "destination.view", "destination.privacy.view"),
        (
            json!({ "destination": { "privacy": { "visibility": "nobody" } } }),
            "destination.privacy.visibility",
            "destination.privacy.view",
        ),
        (json!({ "destination": { "webhook": "https://canary.example" } }), "destination.webhook", "webhook"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_misspelt_setting_is_rejected_with_a_suggestion() {
    let env = env().await;
    let path = uploads(&env).await;
    for (more, shown, likely) in misspelt() {
        let body = upload_with(&more);
        let refused = env.send(Method::POST, &path, &[], body.to_string().into()).await;
        let errors = format!("is not a known field; did you mean {likely}?");
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (400, "INVALID_REQUEST_BODY".to_owned()),
            "{more}"
        );
        assert_eq!(refused.fields(), [(shown.to_owned(), errors.clone())], "{more}");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&errors), "{message}");
        assert!(!refused.text.contains("canary") && refused.header("x-ignored-fields").is_empty());
    }
    // Names without a similar field are rejected too, at each level, and without `strict_fields`.
    for (more, shown) in [
        (json!({ "rotation": ["canary"] }), "rotation"),
        (json!({ "canary colour": 1 }), "?"),
        (json!({ "source": { "url": SOURCE, "cookies": {} } }), "source.cookies"),
        (json!({ "thumbnail": { "timeSeconds": 1, "colour": 1 } }), "thumbnail.colour"),
        (json!({ "privacy": { "colour": 1 } }), "privacy.colour"),
        (json!({ "destination": { "colour": 1 } }), "destination.colour"),
    ] {
        let refused = env.send(Method::POST, &path, &[], upload_with(&more).to_string().into()).await;
        assert_eq!(refused.fields(), [(shown.to_owned(), "is not a known field".to_owned())], "{more}");
    }
    assert_eq!(env.get(JOBS).await.json()["items"], json!([]), "no upload was started");
    let known = json!({ "destination": {
        "type": "vimeo", "folder_uri": "/folders/1", "content_rating": ["safe"], "privacy": { "view": "nobody" },
    } });
    let accepted = env.send(Method::POST, &path, &[], upload_with(&known).to_string().into()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_query_parameters_are_rejected_outside_part_1() {
    let env = env().await;
    let path = uploads(&env).await;
    let connection = path.strip_suffix("/uploads").unwrap();
    let upload = upload_with(&json!({})).to_string();
    let job = env.send(Method::POST, &path, &[], upload.clone().into()).await.header("location").to_owned();
    for (method, path, body) in [
        (Method::POST, path.as_str(), upload.as_str()),
        (Method::GET, JOBS, ""),
        (Method::GET, &job, ""),
        (Method::GET, &format!("{job}/events"), ""),
        (Method::DELETE, &job, ""),
        (Method::PATCH, &job, r#"{"publishAt":null}"#),
        (Method::POST, "/pictoryapis/v1/webhook-secret", ""),
        (Method::GET, "/pictoryapis/v1/whoami", ""),
    ] {
        for (query, shown) in [("colour=canary", "colour"), ("=canary", "?"), ("a%20canary=1", "?")] {
            let refused = env.send(method.clone(), &format!("{path}?{query}"), &[], body.into()).await;
            let answer = (refused.status.as_u16(), refused.code());
            assert_eq!(answer, (400, "INVALID_QUERY".to_owned()), "{method} {path}: {}", refused.text);
            assert_eq!(refused.fields(), [(shown.to_owned(), "is not a known parameter".to_owned())]);
            assert!(!refused.text.contains("canary"), "{}", refused.text);
        }
        // The API key is checked first.
        let headers = [("authorization", "pictai_unknown-key")];
        let stranger = env.send(method.clone(), &format!("{path}?colour=1"), &headers, body.into()).await;
        assert_eq!(stranger.status, 401, "{method} {path}");
    }
    let misspelt = env.get(&format!("{JOBS}?connection_id=x")).await;
    let errors = "is not a known parameter; did you mean connectionId?".to_owned();
    assert_eq!(misspelt.fields(), [("connection_id".to_owned(), errors)]);
    let jobs = env.get(&format!("{JOBS}?limit=5&nextPageKey=&connectionId=x")).await;
    assert_eq!(jobs.status, 200, "{}", jobs.text);
    assert_eq!(env.get(&job).await.json()["data"]["status"], "in-progress", "it was not cancelled");
    for path in [COLLECTION, connection] {
        assert_eq!(env.get(&format!("{path}?colour=1&_=2")).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_secret_request_takes_no_fields() {
    let env = env().await;
    let send = async |headers: &[(&str, &str)], body: &str| {
        env.send(Method::POST, "/pictoryapis/v1/webhook-secret", headers, body.into()).await
    };
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (headers, body) in
        [(&[][..], ""), (&[form], ""), (&[], "{}"), (&[("content-type", "application/json")], " {} ")]
    {
        assert_eq!(send(headers, body).await.status, 201, "{body}");
    }
    for (headers, body, status) in [
        (&[][..], "[]", 400),
        (&[], "null", 400),
        (&[], "secret", 400),
        (&[], "{\"secret\":\"canary\"}", 400),
        (&[form], "{}", 415),
    ] {
        let refused = send(headers, body).await;
        assert_eq!(refused.status.as_u16(), status, "{body}: {}", refused.text);
        assert!(!refused.text.contains("canary"), "{}", refused.text);
    }
    let refused = send(&[], "{\"secret\":\"canary\"}").await;
    assert_eq!(refused.fields(), [("secret".to_owned(), "is not a known field".to_owned())]);
}
